//! The formatter's style, and what it keeps.

use expect_test::{Expect, expect};
use hark_diag::FileId;
use hark_syntax::{ParseOptions, format};

#[track_caller]
fn check(text: &str, expected: Expect) {
    let once = format(FileId(0), text, &ParseOptions::default()).expect("the text has no errors");
    expected.assert_eq(&once);
    let twice = format(FileId(0), &once, &ParseOptions::default());
    assert_eq!(twice.as_ref(), Ok(&once), "formatting again changes nothing");
}

#[test]
fn one_liners_are_spread() {
    check(
        "kprobe:f,kprobe:g /pid==1/{@[comm]=count();$x=1}END{clear(@)}",
        expect![[r#"
            kprobe:f,
            kprobe:g
            /pid == 1/
            {
              @[comm] = count();
              $x = 1;
            }

            END
            {
              clear(@)
            }
        "#]],
    );
}

#[test]
fn statements() {
    check(
        "BEGIN { if(a){f();}else if b{g()}else{h();} for($i:0..5){break} for $kv:@m{} while(a){} unroll(3){f();} \
         let $x:uint64=1; $y={let $z=1;$z}; $w=if a{1}else{2}; return -1; }",
        expect![[r#"
            BEGIN
            {
              if (a) {
                f();
              } else if b {
                g()
              } else {
                h();
              }
              for ($i : 0..5) {
                break;
              }
              for $kv : @m {
              }
              while (a) {
              }
              unroll(3) {
                f();
              }
              let $x: uint64 = 1;
              $y = {
                let $z = 1;
                $z
              };
              $w = if a { 1 } else { 2 };
              return -1;
            }
        "#]],
    );
}

#[test]
fn comments_stay_where_they_are() {
    check(
        "#!/usr/bin/env bpftrace\n// top\n\n\n// about f\nkprobe:f, // one\nkprobe:g /* two */\n/* pred */\n/1/ // three\n\
         { // four\n\n  f(); // five\n  // six\n\n\n  g(/* seven */ 1);\n  if (a) { // eight\n    h(); } // nine\n  else { } \
         /* ten */ }\n\n// end",
        expect![[r#"
            #!/usr/bin/env bpftrace
            // top

            // about f
            kprobe:f, // one
            kprobe:g /* two */
            /* pred */
            /1/ // three
            { // four

              f(); // five
              // six

              g(/* seven */ 1);
              if (a) { // eight
                h();
              } // nine
              else {
              } /* ten */
            }

            // end
        "#]],
    );
}

#[test]
fn directives_and_definitions_are_left_alone() {
    check(
        "#ifndef X\n#include <a.h>\nstruct s {\n\tint   a;   // tabs\n};\n#else\nk:not { read  }\n#endif\n\n\
         #define N  5 // n\nBEGIN {\n  f(N);\n#ifdef Y\n  g( );\n#endif\n  h( );\n}",
        expect![[r#"
            #ifndef X
            #include <a.h>
            struct s {
            	int   a;   // tabs
            };
            #else
            k:not { read  }
            #endif

            #define N  5 // n
            BEGIN
            {
              f(N);
            #ifdef Y
              g( );
            #endif
              h();
            }
        "#]],
    );
}

#[test]
fn spellings_and_parentheses_are_kept() {
    check(
        "BEGIN { f(0x10, 1e6, 1_000, 10ms, \"\\x41\\101\", (a + b), ((1 << 2)) | 3, args->x, (a)); }",
        expect![[r#"
            BEGIN
            {
              f(0x10, 1e6, 1_000, 10ms, "\x41\101", (a + b), (1 << 2) | 3, args->x, (a));
            }
        "#]],
    );
}

#[test]
fn long_lines_are_broken_and_breaks_in_lists_kept() {
    check(
        "BEGIN { printf(\"%s %s %s %s %s\\n\", aaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbb, cccccccccccccccccccccccc, dddddd);
         printf(\"%s\\n\",\n a, b); if (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa == 1 && bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb == 2 || cccccccc == 3) { } }",
        expect![[r#"
            BEGIN
            {
              printf("%s %s %s %s %s\n", aaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbb,
                     cccccccccccccccccccccccc, dddddd);
              printf("%s\n",
                     a, b);
              if (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa == 1 && bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb == 2 ||
                  cccccccc == 3) {
              }
            }
        "#]],
    );
}

#[test]
fn config_imports_macros_and_maps() {
    check(
        "config={a=1;b=\"x\"/*c*/}import \"x.bt\";import \"y.bt\";let @a=hash(1);let @b=hash(2);macro m($a,@b,c){$a=c;@b[c]}fn f($a:int32):int32{return $a}",
        expect![[r#"
            config = {
              a = 1;
              b = "x"; /*c*/
            }

            import "x.bt";
            import "y.bt";

            let @a = hash(1);
            let @b = hash(2);

            macro m($a, @b, c)
            {
              $a = c;
              @b[c]
            }

            fn f($a: int32): int32
            {
              return $a;
            }
        "#]],
    );
}

#[test]
fn a_script_with_errors_is_not_formatted() {
    let diags =
        format(FileId(0), "BEGIN { $a = ; }", &ParseOptions::default()).expect_err("there is an error");
    assert_eq!(diags[0].message, "expected an expression, found `;`");
}

#[test]
fn nothing_stays_nothing() {
    check("", expect![[""]]);
    check("\n\n", expect![[""]]);
    check(
        "// only\n",
        expect![[r#"
        // only
    "#]],
    );
}
