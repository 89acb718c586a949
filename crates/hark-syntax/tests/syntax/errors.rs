//! What is said about wrong texts, to the letter.

use crate::{messages, parse_text};
use expect_test::expect;
use hark_diag::Code;
use hark_syntax::{MAX_SCRIPT, ParseOptions, dump};

/// The messages for several texts, one after the other.
fn all(texts: &[&str]) -> String {
    texts.iter().map(|t| messages(t)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_missing_semicolon() {
    let texts = [
        "BEGIN { printf(\"a\")\n printf(\"b\"); }",
        "BEGIN { @x = 1 @y = 2; for (x : @m) {} for ($x : 5) {} for ($x @m) { a } b }",
    ];
    expect![[r#"
        test.bt:1:19-20: ERROR: expected `;` after this, found `printf` [H0101]
        BEGIN { printf("a")
                          ~

        test.bt:1:14-15: ERROR: expected `;` after this, found `@y` [H0101]
        BEGIN { @x = 1 @y = 2; for (x : @m) {} for ($x : 5) {} for ($x @m) { a } b }
                     ~
        test.bt:1:29-30: ERROR: expected a variable like `$x`, found `x` [H0101]
        BEGIN { @x = 1 @y = 2; for (x : @m) {} for ($x : 5) {} for ($x @m) { a } b }
                                    ~
        test.bt:1:50-51: ERROR: a loop goes over a range or a map [H0101]
        BEGIN { @x = 1 @y = 2; for (x : @m) {} for ($x : 5) {} for ($x @m) { a } b }
                                                         ~
        HINT: write `for ($i : 0..10) { … }` or `for ($kv : @map) { … }`
        test.bt:1:64-66: ERROR: expected `:`, found `@m` [H0101]
        BEGIN { @x = 1 @y = 2; for (x : @m) {} for ($x : 5) {} for ($x @m) { a } b }
                                                                       ~~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn an_unterminated_string() {
    let texts = ["BEGIN { printf(\"a); }\nEND { x; }"];
    expect![[r#"
        test.bt:1:16-22: ERROR: this string is never closed [H0101]
        BEGIN { printf("a); }
                       ~~~~~~
        HINT: a string ends with `"` on the line it begins on; write \n for a line end
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn assignment_where_a_comparison_is_meant() {
    let texts = ["BEGIN { if ($a = 1) { } }", "kprobe:f /pid = 1/ { print(1); }"];
    expect![[r#"
        test.bt:1:16-17: ERROR: expected `)` or `,`, found `=` [H0101]
        BEGIN { if ($a = 1) { } }
                       ~
        HINT: `=` assigns and is a statement; to compare, write `==`

        test.bt:1:15-16: ERROR: expected the end of the predicate, found `=` [H0101]
        kprobe:f /pid = 1/ { print(1); }
                      ~
        HINT: `=` assigns and is a statement; to compare, write `==`
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn several_errors_in_one_run() {
    let texts =
        ["BEGIN { $a = ; $b = 1 +; print($a }", "BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }"];
    expect![[r#"
        test.bt:1:14-15: ERROR: expected an expression, found `;` [H0101]
        BEGIN { $a = ; $b = 1 +; print($a }
                     ~
        test.bt:1:24-25: ERROR: expected an expression, found `;` [H0101]
        BEGIN { $a = ; $b = 1 +; print($a }
                               ~
        test.bt:1:33-34: ERROR: expected `)` or `,`, found `}` [H0101]
        BEGIN { $a = ; $b = 1 +; print($a }
                                        ~

        test.bt:1:16-17: ERROR: expected `)` or an expression, found `,` [H0101]
        BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }
                       ~
        test.bt:1:25-26: ERROR: expected `]`, found `;` [H0101]
        BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }
                                ~
        test.bt:1:31-32: ERROR: expected an expression, found `=` [H0101]
        BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }
                                      ~
        test.bt:1:41-42: ERROR: expected `:`, found `;` [H0101]
        BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }
                                                ~
        test.bt:1:49-50: ERROR: expected the name of a field or the number of a tuple's field, found `;` [H0101]
        BEGIN { foo(1, , 2); a[1; @x[ = 3; b ? c; d.1.x.; }
                                                        ~
    "#]].assert_eq(&all(&texts));
}

#[test]
fn a_missing_brace() {
    let texts = [
        "BEGIN { if (1) { print(1); \n}\nEND { print(2); }",
        "BEGIN {\n  if (1) {\n    print(1);\n}\nkprobe:f { print(2); }",
    ];
    expect![[r#"
        test.bt:1:7-8: ERROR: this `{` is never closed [H0101]
        BEGIN { if (1) { print(1); 
              ~
        test.bt:2:1-2: NOTE: a `}` is missing after this
        }
        ~

        test.bt:2:10-11: ERROR: this `{` is never closed [H0101]
          if (1) {
                 ~
        test.bt:4:1-2: NOTE: a `}` is missing after this
        }
        ~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn predicates() {
    let texts = [
        "kprobe:f /pid == 1 { print(1); }",
        "kprobe:f /pid ==/ { print(1); }",
        "kprobe:f/pid==1/ { print(1); }",
        "kprobe:f/pid == 1/ { print(1); }",
        "kprobe:f /(pid == 1/ { print(1); } END { }",
    ];
    expect![[r#"
        test.bt:1:10-11: ERROR: this predicate has no closing `/` [H0101]
        kprobe:f /pid == 1 { print(1); }
                 ~ opened here
        HINT: a predicate stands between slashes: `/pid == 42/ { … }`

        test.bt:1:16-17: ERROR: expected an expression, found the `/` that ends the predicate [H0101]
        kprobe:f /pid ==/ { print(1); }
                       ~

        test.bt:1:1-17: ERROR: an attach point cannot end with `/` [H0101]
        kprobe:f/pid==1/ { print(1); }
        ~~~~~~~~~~~~~~~~
        HINT: a predicate is set off by a blank: `kprobe:vfs_read /pid == 42/ { … }`

        test.bt:1:14-16: ERROR: expected `,` or `{`, found `==` [H0101]
        kprobe:f/pid == 1/ { print(1); }
                     ~~
        HINT: a predicate is set off by a blank: `kprobe:vfs_read /pid == 42/ { … }`
        test.bt:1:18-19: ERROR: this predicate has no closing `/` [H0101]
        kprobe:f/pid == 1/ { print(1); }
                         ~ opened here
        HINT: a predicate stands between slashes: `/pid == 42/ { … }`

        test.bt:1:19-20: ERROR: expected `)` or `,`, found the `/` that ends the predicate [H0101]
        kprobe:f /(pid == 1/ { print(1); } END { }
                          ~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn too_many_brackets() {
    let texts = ["BEGIN { print(1)); }", "BEGIN { print(1); } }"];
    expect![[r#"
        test.bt:1:17-18: ERROR: expected `;` or `}`, found `)` [H0101]
        BEGIN { print(1)); }
                        ~

        test.bt:1:21-22: ERROR: this `}` closes nothing [H0101]
        BEGIN { print(1); } }
                            ~
        HINT: remove it, or look for a block that is closed twice before it
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn what_is_not_in_a_probe() {
    let texts = ["printf(\"hi\");", "{ print(1) }", "foo bar baz"];
    expect![[r#"
        test.bt:1:1-13: ERROR: this statement stands outside of a probe [H0101]
        printf("hi");
        ~~~~~~~~~~~~
        HINT: put it into a block, as in `BEGIN { … }`

        test.bt:1:1-2: ERROR: expected a probe before this block [H0101]
        { print(1) }
        ~
        HINT: a block belongs to a probe, as in `BEGIN { … }` or `kprobe:vfs_read { … }`

        test.bt:1:11-12: ERROR: expected a block in braces after this [H0101]
        foo bar baz
                  ~
        HINT: a probe is followed by what it does, as in `BEGIN { printf("hi\n"); }`
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn probes_without_block() {
    let texts = ["BEGIN", "kprobe:f,", "kprobe:f kprobe:g { }"];
    expect![[r#"
        test.bt:1:5-6: ERROR: expected a block in braces after this [H0101]
        BEGIN
            ~
        HINT: a probe is followed by what it does, as in `BEGIN { printf("hi\n"); }`

        test.bt:1:9-10: ERROR: expected a block in braces after this [H0101]
        kprobe:f,
                ~
        HINT: a probe is followed by what it does, as in `BEGIN { printf("hi\n"); }`

        test.bt:1:10-16: ERROR: expected `,` or `{`, found `kprobe` [H0101]
        kprobe:f kprobe:g { }
                 ~~~~~~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn words_out_of_place() {
    let texts = [
        "BEGIN { else { } }",
        "BEGIN { retrun 1; int x = 5; elseif (1) { } }",
        "BEGIN { $if = 1; $x = if; print(while); }",
    ];
    expect![[r#"
        test.bt:1:9-13: ERROR: expected `}` or a statement, found `else` [H0101]
        BEGIN { else { } }
                ~~~~
        HINT: an `else` stands directly after the `}` of an `if`

        test.bt:1:14-15: ERROR: expected `;` after this, found the number `1` [H0101]
        BEGIN { retrun 1; int x = 5; elseif (1) { } }
                     ~
        HINT: did you mean `return`?
        test.bt:1:21-22: ERROR: expected `;` after this, found `x` [H0101]
        BEGIN { retrun 1; int x = 5; elseif (1) { } }
                            ~
        HINT: a variable is declared with `let $x = …;` or by assigning to it
        test.bt:1:39-40: ERROR: expected `;` after this, found `{` [H0101]
        BEGIN { retrun 1; int x = 5; elseif (1) { } }
                                              ~

        test.bt:1:25-26: ERROR: expected an expression, found `;` [H0101]
        BEGIN { $if = 1; $x = if; print(while); }
                                ~
        test.bt:1:33-38: ERROR: expected `)` or an expression, found `while` [H0101]
        BEGIN { $if = 1; $x = if; print(while); }
                                        ~~~~~
        HINT: `while` is a reserved word and cannot be a name here
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn quotes_of_another_kind() {
    let texts = ["BEGIN { print('a'); }", "BEGIN { print(“a”); }"];
    expect![[r#"
        test.bt:1:15-16: ERROR: expected `)` or an expression, found `'` [H0101]
        BEGIN { print('a'); }
                      ~
        HINT: strings are written in double quotes; there are no character literals

        test.bt:1:15-16: ERROR: expected `)` or an expression, found `“` [H0101]
        BEGIN { print(“a”); }
                      ~
        HINT: this is a typographic quote; write " instead
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn missing_field_names() {
    let texts = ["BEGIN { args-> = 1; str(args.); }"];
    expect![[r#"
        test.bt:1:16-17: ERROR: expected the name of a field, found `=` [H0101]
        BEGIN { args-> = 1; str(args.); }
                       ~
        HINT: the name of an argument follows, as in `args.filename`; `hark -lv PROBE` lists them
        test.bt:1:30-31: ERROR: expected the name of a field or the number of a tuple's field, found `)` [H0101]
        BEGIN { args-> = 1; str(args.); }
                                     ~
        HINT: the name of an argument follows, as in `args.filename`; `hark -lv PROBE` lists them
    "#]].assert_eq(&all(&texts));
}

#[test]
fn literals() {
    let texts = ["BEGIN { \"\\q\\xzz\"; 08; 1e30; 5x }"];
    expect![[r#"
        test.bt:1:10-12: ERROR: there is no escape `\q` [H0103]
        BEGIN { "\q\xzz"; 08; 1e30; 5x }
                 ~~
        HINT: escapes are \n \t \r \" \\ \NNN (octal) and \xHH
        test.bt:1:12-14: ERROR: \x needs two hexadecimal digits [H0103]
        BEGIN { "\q\xzz"; 08; 1e30; 5x }
                   ~~
        HINT: escapes are \n \t \r \" \\ \NNN (octal) and \xHH
        test.bt:1:19-21: ERROR: `8` in `08`, which is octal because it begins with 0 [H0103]
        BEGIN { "\q\xzz"; 08; 1e30; 5x }
                          ~~
        test.bt:1:23-27: ERROR: `1e30` does not fit 64 bits [H0103]
        BEGIN { "\q\xzz"; 08; 1e30; 5x }
                              ~~~~
        test.bt:1:29-31: ERROR: `5x` is not a number [H0103]
        BEGIN { "\q\xzz"; 08; 1e30; 5x }
                                    ~~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn directives() {
    let texts = [
        "#foo\n#inclde <x>\n#if\n#ifdef X\nBEGIN {}",
        "#define F(a) a +\n#define S struct x\nBEGIN { F(1); F(); S; }",
        "#define F(a) F(a)\nBEGIN { F(1); }",
        "#define J(a, b) a ## b\nBEGIN { J(x, y); }",
    ];
    expect![[r#"
        test.bt:1:1-5: ERROR: unknown preprocessor line `#foo` [H0104]
        #foo
        ~~~~
        test.bt:2:1-12: ERROR: unknown preprocessor line `#inclde` [H0104]
        #inclde <x>
        ~~~~~~~~~~~
        HINT: did you mean `#include`?
        test.bt:3:1-4: ERROR: this #if has no #endif [H0104]
        #if
        ~~~
        test.bt:3-4: ERROR: #if needs a condition [H0104]
        #if
           ~
        test.bt:4:1-9: ERROR: this #if has no #endif [H0104]
        #ifdef X
        ~~~~~~~~

        test.bt:3:9-13: ERROR: `F` expands to `1 +`, which is not an expression [H0104]
        BEGIN { F(1); F(); S; }
                ~~~~
        test.bt:1:9-10: NOTE: defined here
        #define F(a) a +
                ~
        test.bt:3:15-18: ERROR: `F` takes 1 arguments, not 0 [H0302]
        BEGIN { F(1); F(); S; }
                      ~~~
        test.bt:1:9-10: NOTE: defined here
        #define F(a) a +
                ~
        test.bt:3:20-21: ERROR: `S` is #defined as something that is not an expression [H0104]
        BEGIN { F(1); F(); S; }
                           ~
        test.bt:2:9-10: NOTE: defined here
        #define S struct x
                ~

        test.bt:2:9-13: ERROR: `F` expands without end [H0104]
        BEGIN { F(1); }
                ~~~~

        test.bt:2:9-16: ERROR: `J` uses # or ##, which hark's preprocessor does not have [H0104]
        BEGIN { J(x, y); }
                ~~~~~~~
        test.bt:1:9-10: NOTE: defined here
        #define J(a, b) a ## b
                ~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn order_of_sections() {
    let texts = ["BEGIN {} config = { a = 1 }\nstruct x { int y; };"];
    expect![[r#"
        test.bt:1:10-28: ERROR: the config block stands before all probes [H0105]
        BEGIN {} config = { a = 1 }
                 ~~~~~~~~~~~~~~~~~~
        test.bt:1:1-6: NOTE: it stands after this
        BEGIN {} config = { a = 1 }
        ~~~~~
        HINT: the order is: preprocessor lines and C definitions, config and imports, everything else
        test.bt:2:1-21: ERROR: a C definition stands at the top of a script [H0105]
        struct x { int y; };
        ~~~~~~~~~~~~~~~~~~~~
        test.bt:1:10-28: NOTE: it stands after this
        BEGIN {} config = { a = 1 }
                 ~~~~~~~~~~~~~~~~~~
        HINT: the order is: preprocessor lines and C definitions, config and imports, everything else
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn c_definitions() {
    let texts = ["struct x { int y };\nBEGIN {}", "struct x { int : x; foo bar baz; };\nBEGIN {}"];
    expect![[r#"
        test.bt:1:18-19: ERROR: expected `,`, `:` or `;`, found `}` [H0101]
        struct x { int y };
                         ~

        test.bt:1:29-32: ERROR: expected `,`, `:` or `;`, found `baz` [H0101]
        struct x { int : x; foo bar baz; };
                                    ~~~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn items() {
    let texts = [
        "config = { a 1; b = 2 c = 3 }\nBEGIN {}",
        "macro f { 1 }\nmacro g(1) { }\nfn h($a) { }\nlet @m = ;\nBEGIN {}",
    ];
    expect![[r#"
        test.bt:1:14-15: ERROR: expected `=`, found the number `1` [H0101]
        config = { a 1; b = 2 c = 3 }
                     ~

        test.bt:1:7-8: ERROR: expected `(`, found `{` [H0101]
        macro f { 1 }
              ~
        HINT: a macro has parentheses even if it takes nothing: `macro f() { … }`
        test.bt:2:9-10: ERROR: expected `)`, a map like `@m`, a name or a variable like `$x`, found the number `1` [H0101]
        macro g(1) { }
                ~
        test.bt:3:8-9: ERROR: expected `:`, found `)` [H0101]
        fn h($a) { }
               ~
        test.bt:4:10-11: ERROR: expected a name, found `;` [H0101]
        let @m = ;
                 ~
    "#]].assert_eq(&all(&texts));
}

#[test]
fn comments() {
    let texts = ["/* x"];
    expect![[r#"
        test.bt:1:1-3: ERROR: this comment is never closed [H0101]
        /* x
        ~~
        HINT: add `*/`
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn expressions() {
    let texts = ["BEGIN { print(struct foo); (struct foo; $x = 1 = 2; }"];
    expect![[r#"
        test.bt:1:39-40: ERROR: expected `)`, found `;` [H0101]
        BEGIN { print(struct foo); (struct foo; $x = 1 = 2; }
                                              ~
        test.bt:1:48-49: ERROR: expected `;` or `}`, found `=` [H0101]
        BEGIN { print(struct foo); (struct foo; $x = 1 = 2; }
                                                       ~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn statements() {
    let texts = ["BEGIN { unroll { } while { } let x = 1; let $x: = 1; }"];
    expect![[r#"
        test.bt:1:20-25: ERROR: expected `{`, found `while` [H0101]
        BEGIN { unroll { } while { } let x = 1; let $x: = 1; }
                           ~~~~~
        test.bt:1:34-35: ERROR: expected a variable like `$x`, found `x` [H0101]
        BEGIN { unroll { } while { } let x = 1; let $x: = 1; }
                                         ~
        test.bt:1:49-50: ERROR: expected a type, found `=` [H0101]
        BEGIN { unroll { } while { } let x = 1; let $x: = 1; }
                                                        ~
    "#]]
    .assert_eq(&all(&texts));
}

#[test]
fn what_is_right_is_understood_beside_what_is_wrong() {
    let (parsed, _) = parse_text(
        "BEGIN { a(); $x = ; if ($y = 1) { b(); } else { c(); } d( } kprobe: f { } END { e(); }",
        &ParseOptions::default(),
    );
    expect![[r#"
        probe
          attach BEGIN
            part "BEGIN"
          body
            do
              call a
            do
              error
            do
              if
                error
                then
                  do
                    call b
                else
                  block
                    do
                      call c
            do
              error
        probe
          attach END
            part "END"
          body
            do
              call e
    "#]]
    .assert_eq(&dump(&parsed.script));
}

/// The code of the one message for a text.
#[track_caller]
fn only_code(text: &str) -> Code {
    let (parsed, messages) = parse_text(text, &ParseOptions::default());
    assert_eq!(parsed.diags.len(), 1, "{messages}");
    parsed.diags[0].code
}

#[test]
fn nesting_is_limited() {
    let body = |text: String| format!("BEGIN {{ {text} }}");
    let nested = |n: usize| body(format!("$x = {}1{};", "(".repeat(n), ")".repeat(n)));
    assert_eq!(messages(&nested(150)), "");
    for deep in [
        nested(250),
        body(format!("$x = {}1;", "!".repeat(5000))),
        body(format!("$x = {}1;", "(int32)".repeat(5000))),
        body(format!("$x = 1{};", " + 1".repeat(5000))),
        body(format!("$x = {}1;", "a ? b : ".repeat(300))),
        body(format!("$x = $y{};", ".a".repeat(5000))),
        body(format!("let $x : int32{};", "*".repeat(5000))),
        body(format!("if a {{ }} {}", "else if a { } ".repeat(300))),
        format!("struct a {{ int {}x; }};", "*".repeat(5000)),
        "k:f /".to_string() + &"(".repeat(300) + "1" + &")".repeat(300) + "/ { }",
    ] {
        assert_eq!(only_code(&deep), Code::TOO_DEEP, "{}", &deep[..40]);
    }
}

#[test]
fn the_length_of_a_script_is_limited() {
    assert_eq!(only_code(&" ".repeat(MAX_SCRIPT + 1)), Code::TOO_DEEP);
}

#[test]
fn a_macro_that_never_ends_is_stopped() {
    assert_eq!(only_code("#define F(a) F(a)\nBEGIN { F(1); }"), Code::PREPROCESSOR);
    let deep = format!("#define F(a) a + a\nBEGIN {{ $x = {}1{}; }}", "F(".repeat(60), ")".repeat(60));
    assert_eq!(only_code(&deep), Code::PREPROCESSOR);
}

#[test]
fn what_never_ends_is_read_once_at_every_level() {
    for text in ["{", "if a {", "(typeof((", "(string[", "typeof(", "x = {", "@[(", "f({", "if a {} else {"] {
        let script = format!("BEGIN {{ {}", text.repeat(60));
        assert_ne!(messages(&script), "", "{text}");
    }
}
