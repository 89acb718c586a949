//! Statements, blocks and their values.

use crate::{body, messages};
use expect_test::expect;

#[test]
fn assignments() {
    expect![[r#"
        assign =
          var $a
          int 1
        assign +=
          map @b
            int 1
          int 2
        assign <<=
          var $a
          int 3
        assign >>=
          var $a
          int 3
        assign |=
          var $a
          int 1
        assign ^=
          var $a
          int 1
        assign &=
          var $a
          int 1
        assign -=
          var $a
          int 1
        assign *=
          var $a
          int 1
        assign /=
          var $a
          int 2
        assign %=
          var $a
          int 2
        discard
          call f
        do
          post-increment
            var $a
        do
          pre-decrement
            map @b
    "#]].assert_eq(&body(
        "$a = 1; @b[1] += 2; $a <<= 3; $a >>= 3; $a |= 1; $a ^= 1; $a &= 1; $a -= 1; $a *= 1; $a /= 2; $a %= 2; \
         _ = f(); $a++; --@b;",
    ));
}

#[test]
fn declarations() {
    expect![[r#"
        let $a
        let $a
          is
            int 1
        let $a
          type uint64
          is
            int 1
        let $a
          type string[64]
        let $a
          type struct foo[4]*
        let $a
          type tuple
            type int32
            type string
        let $a
          type typeof
            var $b
    "#]]
    .assert_eq(&body(
        "let $a; let $a = 1; let $a : uint64 = 1; let $a: string[64]; let $a : struct foo[4]*; \
         let $a : (int32, string); let $a : typeof($b);",
    ));
}

#[test]
fn loops() {
    expect![[r#"
        for $i in range
          int 0
          int 10
          body
            break
        for $i in range
          var $a
          binary +
            name b
            int 1
          body
            continue
        for $kv in map
          map @m
          body
        while
          binary <
            var $i
            int 5
          body
            value
              post-increment
                var $i
        while
          var $i
          body
        unroll
          int 3
          body
            value
              call f
        unroll
          positional $1
          body
    "#]]
    .assert_eq(&body(
        "for ($i : 0..10) { break; } for $i : $a..(b + 1) { continue } for ($kv : @m) { } \
         while ($i < 5) { $i++ } while $i { } unroll(3) { f() } unroll ($1) { }",
    ));
}

#[test]
fn conditions_need_no_parentheses() {
    expect![[r#"
        do
          if
            var $p
            then
        do
          if
            name a
            then
            else
              block
        do
          if
            binary &&
              not
                name a
              name b
            then
            else
              if
                name c
                then
    "#]]
    .assert_eq(&body("if $p { } if (a) { } else { } if !a && (b) { } else if c { }"));
}

#[test]
fn returns() {
    expect![[r#"
        do
          if
            name a
            then
              return
        do
          if
            name b
            then
              return
        return
          int 1
    "#]]
    .assert_eq(&body("if a { return } if b { return; } return 1;"));
}

#[test]
fn the_last_expression_without_semicolon_is_the_value() {
    let value = |text: &str| body(text).contains("value");
    assert!(value("f()"));
    assert!(value("$x++"));
    assert!(value("1 + 1"));
    assert!(!value("f();"));
    assert!(!value("$x = 1"));
    assert!(!value("let $x = 1"));
    // An `if` or block is one if it has a value whichever way it goes.
    assert!(value("{ 1 }"));
    assert!(value("if a { 1 } else { 2 }"));
    assert!(!body("if a { f(); } else { 2 }").starts_with("value"));
    assert!(!body("if a { 1 }").starts_with("value"));
    assert!(body("if a { 1 } else if b { 2 } else { 3 }").starts_with("value"));
}

#[test]
fn semicolons_are_optional_after_blocks_and_before_braces() {
    let same = body("if a { f(); } { g(); } h();");
    assert_eq!(body("if a { f(); }; { g(); };; h();"), same);
    assert_eq!(messages("BEGIN { if a { f() } while b { g() } h() }"), "");
}

#[test]
fn a_statement_may_run_over_lines() {
    assert_eq!(body("printf(\"%d\",\n  1\n  + 2\n);"), body("printf(\"%d\", 1 + 2);"));
}
