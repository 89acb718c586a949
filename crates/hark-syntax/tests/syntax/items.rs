//! What stands at the top: probes, config, imports, macros, functions, maps.

use crate::tree;
use expect_test::expect;

#[test]
fn attach_points() {
    expect![[r#"
        probe
          attach BEGIN
            part "BEGIN"
          attach kprobe:vfs_*
            part "kprobe"
            part "vfs_*"
          attach tracepoint:a:b
            part "tracepoint"
            part "a"
            part "b"
          attach uprobe:/usr/lib/*/libc.so*:malloc+4
            part "uprobe"
            part "/usr/lib/*/libc.so*"
            part "malloc+4"
          attach uprobe:/bin/a:cpp:"ns::f(int, {})"
            part "uprobe"
            part "/bin/a"
            part "cpp"
            quoted "ns::f(int, {})"
          attach usdt:"/a \"b:c":x
            part "usdt"
            quoted "/a \"b:c"
            part "x"
          attach i:ms:$1
            part "i"
            part "ms"
            part "$1"
          attach p=profile:hz:99
            part "profile"
            part "hz"
            part "99"
          attach n=END
            part "END"
          attach $1
            part "$1"
          body
    "#]].assert_eq(&tree(
        "BEGIN, kprobe:vfs_*,\n tracepoint:a:b, // comment\n uprobe:/usr/lib/*/libc.so*:malloc+4, \
         uprobe:/bin/a:cpp:\"ns::f(int, {})\", usdt:\"/a \\\"b:c\":x, i:ms:$1, p = profile:hz:99, n=END, $1,\n{ }",
    ));
}

#[test]
fn predicates_may_divide() {
    expect![[r#"
        probe
          attach BEGIN
            part "BEGIN"
          predicate
            name pid
          body
        probe
          attach kprobe:f
            part "kprobe"
            part "f"
          predicate
            binary ==
              binary /
                name pid
                int 2
              int 1
          body
        probe
          attach kprobe:g
            part "kprobe"
            part "g"
          predicate
            binary /
              binary /
                name a
                name b
              name c
          body
        probe
          attach k:h
            part "k"
            part "h"
          predicate
            int 1
          body
        probe
          attach t:a:b
            part "t"
            part "a"
            part "b"
          predicate
            binary ==
              call str
                field .f
                  name args
              str "a/{"
          body
    "#]]
    .assert_eq(&tree(
        "BEGIN /pid/ { } kprobe:f /pid / 2 == 1/ { } kprobe:g /a / b / c/\n{ } k:h /* text */ /1/{} \
         t:a:b / str(args.f) == \"a/{\" / { }",
    ));
}

#[test]
fn a_predicate_may_hold_blocks() {
    expect![[r#"
        probe
          attach k:f
            part "k"
            part "f"
          predicate
            if
              name a
              then
                value
                  int 1
              else
                block
                  value
                    int 2
          body
        probe
          attach k:g
            part "k"
            part "g"
          predicate
            binary /
              block
                let $x
                  is
                    int 1
                value
                  var $x
              int 2
          body
    "#]]
    .assert_eq(&tree("k:f /if a { 1 } else { 2 }/ { } k:g /({ let $x = 1; $x }) / 2/ { }"));
}

#[test]
fn config() {
    expect![[r#"
        config BPFTRACE_MAX_MAP_KEYS
          int 5
        config stack_mode
          name perf
        config license
          str "GPL"
        config print_maps_on_exit
          bool false
        probe
          attach BEGIN
            part "BEGIN"
          body
    "#]].assert_eq(&tree(
        "config = { BPFTRACE_MAX_MAP_KEYS = 5; stack_mode=perf; license = \"GPL\"; print_maps_on_exit = false }\nBEGIN { }",
    ));
    assert_eq!(tree("config = { a = 1; };BEGIN{}"), tree("config={a=1}BEGIN{}"));
}

#[test]
fn imports_and_maps() {
    expect![[r#"
        import "a.bt"
        import "b"
        map @m lruhash
          binary *
            int 2
            int 5
        map @ hash
          int 1
    "#]]
    .assert_eq(&tree("import \"a.bt\"; import \"b\";\nlet @m = lruhash(2 * 5);\nlet @ = hash(1);"));
}

#[test]
fn macros_and_functions() {
    expect![[r#"
        macro none()
          body
            value
              int 1
        macro all($v, @m, e)
          body
            assign =
              var $v
              name e
            value
              map @m
                name e
        fn f
          param $a
            type int32
          param $b
            type struct x*
          returns
            type tuple
              type int64
              type string
          body
            return
              tuple
                int 1
                str ""
        fn g
          body
    "#]]
    .assert_eq(&tree(
        "macro none() { 1 }\nmacro all($v, @m, e) { $v = e; @m[e] }\n\
         fn f($a : int32, $b : struct x *) : (int64, string) { return (1, \"\"); } fn g() { }",
    ));
}

#[test]
fn words_of_the_language_can_be_names_of_other_things() {
    // `config` is a builtin, too, and fields may be called anything.
    assert!(
        tree("BEGIN { print(config.max_strlen, config().x, $a.if, $a->struct.enum); }").contains("field .if")
    );
    assert!(tree("config:x:y { }").contains("attach config:x:y"));
    assert!(tree("fn:x { } macro:y { } struct:z { }").contains("attach macro:y"));
}

#[test]
fn a_shebang_line_is_kept() {
    expect![[r##"
        shebang "#!/usr/bin/env bpftrace"
        probe
          attach BEGIN
            part "BEGIN"
          body
    "##]]
    .assert_eq(&tree("#!/usr/bin/env bpftrace\nBEGIN { }"));
}

#[test]
fn spans_are_places_in_the_file() {
    let text = "#define A 1\n// é\nBEGIN { $x = (A + 2) ; }";
    let mut map = hark_diag::SourceMap::default();
    let file = map.add("a", text);
    let parsed = hark_syntax::parse(file, text, &hark_syntax::ParseOptions::default());
    expect![[r#"
        define A [8..9]
          int 1 [10..11]
        probe [18..42]
          attach BEGIN [18..23]
            part "BEGIN" [18..23]
          body [24..42]
            assign = [26..38]
              var $x [26..28]
              binary + [31..38]
                name A [32..33]
                int 2 [36..37]
    "#]]
    .assert_eq(&hark_syntax::dump_with_spans(&parsed.script));
}
