//! Directives: what they include, exclude and define.

use crate::{defined, messages, parse_text, tree};
use expect_test::expect;
use hark_syntax::{ParseOptions, dump};

const WITH_BTF: &str = "#ifndef BPFTRACE_HAVE_BTF\n#include <net/sock.h>\nstruct x { int y; };\n#else\n\
    #define AF_INET 2 /* IPv4 */\n#define AF_INET6 10\n#endif\nBEGIN { print(AF_INET); }";

#[test]
fn conditionals_choose() {
    let (parsed, messages) = parse_text(WITH_BTF, &defined("BPFTRACE_HAVE_BTF"));
    assert_eq!(messages, "");
    expect![[r#"
        define AF_INET
          int 2
        define AF_INET6
          int 10
        probe
          attach BEGIN
            part "BEGIN"
          body
            do
              call print
                name AF_INET
    "#]]
    .assert_eq(&dump(&parsed.script));
    let (parsed, messages) = parse_text(WITH_BTF, &ParseOptions::default());
    assert_eq!(messages, "");
    expect![[r#"
        include <net/sock.h>
        struct x
          member y
            type int
        probe
          attach BEGIN
            part "BEGIN"
          body
            do
              call print
                name AF_INET
    "#]]
    .assert_eq(&dump(&parsed.script));
}

#[test]
fn conditions() {
    let holds = |condition: &str| {
        let text = format!(
            "#define ONE 1\n#define TWO (ONE + ONE)\n#define EMPTY\n#if {condition}\nBEGIN {{ }}\n#endif\n"
        );
        let (parsed, messages) = parse_text(&text, &defined("GIVEN=5"));
        assert_eq!(messages, "", "{condition}");
        !parsed.script.items.is_empty()
    };
    for yes in [
        "1",
        "ONE",
        "TWO == 2",
        "defined(ONE)",
        "defined ONE && defined(TWO)",
        "!defined(NONE)",
        "NONE == 0",
        "GIVEN >= 5",
        "defined EMPTY",
        "(1 ? 0 : 1) || 3 % 2",
        "-1 < 0",
        "0x10 == 16 && 5UL == 5",
        "~0 == -1",
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in ["0", "ONE - 1", "NONE", "defined(NONE)", "!defined GIVEN", "1 && 0", "TWO < ONE"] {
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn branches_nest_and_exclude_each_other() {
    let chosen = |a: &str| {
        let text = format!(
            "#define A {a}\n#if A == 1\nk:one {{}}\n# if 0\nk:never {{ {{{{\n# else\nk:inner {{}}\n# endif\n\
             #elif A == 2\nk:two {{}}\n#elif 1\nk:three {{}}\n#else\nk:four {{}}\n#endif\nk:after {{}}"
        );
        tree(&text).lines().filter_map(|l| l.strip_prefix("  attach k:")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(chosen("1"), "one inner after");
    assert_eq!(chosen("2"), "two after");
    assert_eq!(chosen("3"), "three after");
}

#[test]
fn directives_are_only_at_the_start_of_lines() {
    assert_eq!(messages("BEGIN { print($#); /*\n#if 0\n*/ print(\"#if\"); }"), "");
    assert_eq!(messages("BEGIN {\n  #define X 1\n  print(X);\n}"), "");
}

#[test]
fn macros_with_parameters_expand_as_text() {
    let same = |macros: &str, a: &str, b: &str| {
        let a = tree(&format!("{macros}\nBEGIN {{ {a} }}"));
        assert_eq!(a, tree(&format!("{macros}\nBEGIN {{ {b} }}")));
    };
    same("#define TWICE(x) (x * 2)", "f(TWICE(1 + 2));", "f((1 + 2 * 2));");
    same("#define ADD(a, b) \\\n  ((a) + (b))", "f(ADD(g(1, 2), \"a,b\"));", "f(((g(1, 2)) + (\"a,b\")));");
    same("#define A(x) B(x)\n#define B(x) x.y", "f(A($p));", "f($p.y);");
    same("#define Z() 7", "f(Z());", "f(7);");
    same("#define S(x) \"x\" == x", "f(S(a));", "f(\"x\" == a);");
}

#[test]
fn names_may_stand_for_types() {
    let defined = tree(
        "#define T struct task_struct\n#define L string[64]*\nBEGIN { $x = ((T *)arg0)->pid; let $y: L; }",
    );
    assert_eq!(defined, tree("BEGIN { $x = ((struct task_struct *)arg0)->pid; let $y: string[64]*; }"));
}

#[test]
fn a_byte_order_mark_and_line_ends_of_other_systems_are_blanks() {
    assert_eq!(
        tree("\u{feff}#define A 1\r\n#if A\r\nBEGIN { }\r\n#endif\r\n"),
        tree("#define A 1\nBEGIN { }")
    );
}

#[test]
fn a_name_may_be_defined_anew() {
    let text = "#define A 1\n#undef A\n#define A 2\n#define B\n#ifdef B\n#undef B\n#endif\n#ifndef B\nBEGIN {}\n#endif";
    expect![[r#"
        define A
          int 2
        probe
          attach BEGIN
            part "BEGIN"
          body
    "#]]
    .assert_eq(&tree(text));
}

#[test]
fn comments_hide_and_wildcards_do_not() {
    assert!(tree("k:a // k:b {\n{ } /* k:c { } */ /* /* */ k:d { }").contains("k:d"));
    assert!(tree("u:/lib/*/x:f { } u:/*:g { }").contains("part \"/*\""));
}
