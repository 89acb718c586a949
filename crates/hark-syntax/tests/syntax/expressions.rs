//! Expressions: precedence, literals, what looks alike.

use crate::body;
use expect_test::expect;
use hark_diag::FileId;
use hark_syntax::ast::{BinOp, Expr, ExprKind, UnOp};
use hark_syntax::parse_expr;

/// An expression with all its parentheses.
fn grouped(text: &str) -> String {
    let (expr, diags) = parse_expr(FileId(0), text);
    assert!(diags.is_empty(), "{text}: {diags:?}");
    show(&expr)
}

fn show(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(op, a, b) => format!("({} {} {})", show(a), op.symbol(), show(b)),
        ExprKind::Unary(op, e) => {
            let op = match op {
                UnOp::Not => "!",
                UnOp::BitNot => "~",
                UnOp::Neg => "-",
                UnOp::Plus => "+",
                UnOp::Deref => "*",
                UnOp::AddrOf => "&",
            };
            format!("({op}{})", show(e))
        }
        ExprKind::Ternary { cond, then: Some(then), els } => {
            format!("({} ? {} : {})", show(cond), show(then), show(els))
        }
        ExprKind::Ternary { cond, then: None, els } => format!("({} ?: {})", show(cond), show(els)),
        ExprKind::Cast(_, e) => format!("(cast {})", show(e)),
        ExprKind::Field { base, field, .. } => format!("{}.{}", show(base), field.text),
        ExprKind::Index(base, index) => format!("{}[{}]", show(base), show(index)),
        ExprKind::IncDec { target, increment, postfix } => {
            let op = if *increment { "++" } else { "--" };
            if *postfix { format!("({}{op})", show(target)) } else { format!("({op}{})", show(target)) }
        }
        ExprKind::Int { value, .. } => value.to_string(),
        ExprKind::Ident(name) => name.clone(),
        ExprKind::Var(name) => format!("${name}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_documented() {
    // From those that bind least to those that bind most; each binds more than all before it.
    let levels: &[&[BinOp]] = &[
        &[BinOp::Or],
        &[BinOp::And],
        &[BinOp::BitOr],
        &[BinOp::BitXor],
        &[BinOp::BitAnd],
        &[BinOp::Eq, BinOp::Ne],
        &[BinOp::Lt, BinOp::Gt, BinOp::Le, BinOp::Ge],
        &[BinOp::Shl, BinOp::Shr],
        &[BinOp::Add, BinOp::Sub],
        &[BinOp::Mul, BinOp::Div, BinOp::Mod],
    ];
    for (m, low) in levels.iter().enumerate() {
        for (n, high) in levels.iter().enumerate() {
            for (low, high) in low.iter().flat_map(|l| high.iter().map(move |h| (l.symbol(), h.symbol()))) {
                let shown = grouped(&format!("a {low} b {high} c"));
                let expected =
                    if m < n { format!("(a {low} (b {high} c))") } else { format!("((a {low} b) {high} c)") };
                assert_eq!(shown, expected);
            }
        }
    }
}

#[test]
fn prefixes_postfixes_and_ternaries() {
    for (text, expected) in [
        ("-a * b", "((-a) * b)"),
        ("!a.b[1]", "(!a.b[1])"),
        ("*$p++", "(*($p++))"),
        ("- -a", "(-(-a))"),
        ("--a", "(--a)"),
        ("a - -b", "(a - (-b))"),
        ("a - --b", "(a - (--b))"),
        ("a-- - b", "((a--) - b)"),
        ("&a & &b", "((&a) & (&b))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a ? b ? c : d : e", "(a ? (b ? c : d) : e)"),
        ("a || b ? c + 1 : d", "((a || b) ? (c + 1) : d)"),
        ("a ?: b ?: c", "(a ?: (b ?: c))"),
        ("a<b", "(a < b)"),
        ("a<<b>>c", "((a << b) >> c)"),
        ("a & b == c", "(a & (b == c))"),
        ("1-1", "(1 - 1)"),
        ("$a-1", "($a - 1)"),
    ] {
        assert_eq!(grouped(text), expected, "{text}");
    }
}

#[test]
fn parentheses_are_casts_only_around_types() {
    for (text, expected) in [
        ("(uint64)-1", "(cast (-1))"),
        ("(size_t)-1", "(cast (-1))"),
        ("(a)-1", "(a - 1)"),
        ("(a)*b", "(a * b)"),
        ("(a)&b", "(a & b)"),
        ("(a)+b", "(a + b)"),
        ("(foo)b", "(cast b)"),
        ("(foo)(b)", "(cast b)"),
        ("(foo*)-b", "(cast (-b))"),
        ("(struct foo *)arg0", "(cast arg0)"),
        ("(struct foo)arg0", "(cast arg0)"),
        ("(uint8[8])a", "(cast a)"),
        ("(int32*[4])a", "(cast a)"),
        ("(typeof(x))a", "(cast a)"),
        ("(unsigned long long)a.b", "(cast a.b)"),
        ("(const char *)a + 1", "((cast a) + 1)"),
        ("((struct foo *)a).b", "(cast a).b"),
        ("((a))", "a"),
        ("(a[1])", "a[1]"),
        ("(a * b)", "(a * b)"),
        ("((a * b) * c)", "((a * b) * c)"),
    ] {
        assert_eq!(grouped(text), expected, "{text}");
    }
}

#[test]
fn calls_take_expressions_and_types() {
    expect![[r#"
        do
          call f
        do
          call f
            int 1
            var $a
        do
          call sizeof
            type struct x
        do
          call sizeof
            type int32[4]
        do
          call sizeof
            name x
        do
          call sizeof
            type foo*
        do
          call sizeof
            binary *
              name a
              name b
        do
          call offsetof
            type struct x
            field .b
              name a
        do
          call container_of
            var $p
            type struct x
            name m
        do
          call m
            type typeof
              type int32
        do
          call f
            tuple
              name a
              name b
    "#]]
    .assert_eq(&body(
        "f(); f(1, $a,); sizeof(struct x); sizeof(int32[4]); sizeof(x); sizeof(foo *); sizeof(a * b);
         offsetof(struct x, a.b); container_of($p, struct x, m); m(typeof(int32)); f((a, b));",
    ));
}

#[test]
fn maps_tuples_records_and_fields() {
    expect![[r#"
        assign =
          map @
          int 1
        assign =
          map @m
          int 2
        assign =
          map @m
            int 1
          int 3
        assign =
          map @m
            int 1
            int 2
          int 4
        assign =
          map @m
            tuple
              int 1
              int 2
          int 5
        assign =
          var $t
          tuple
            int 1
        assign =
          var $t
          tuple
        assign =
          var $t
          int 1
        assign =
          var $t
          record
            a =
              int 1
            b =
              tuple
                int 2
                int 3
        assign =
          var $x
          field .1
            field .0
              var $t
        assign =
          var $x
          field .c
            field ->b
              field .a
                var $t
        assign =
          var $x
          index
            map @m
              int 1
            int 2
    "#]]
    .assert_eq(&body(
        "@ = 1; @m = 2; @m[1] = 3; @m[1, 2] = 4; @m[(1, 2)] = 5; $t = (1, ); $t = (); $t = (1); \
         $t = (a = 1, b = (2, 3)); $x = $t.0.1; $x = $t.a->b.c; $x = @m[1][2];",
    ));
}

#[test]
fn literals() {
    expect![[r#"
        do
          call f
            int 31
            int 15
            int 1000000
            int 1000
            int 5
            duration 2000000ns
            duration 86400000000000ns
            bool true
            bool false
            str "a\tbAA"
            str ""
            positional $1
            positional $#
            negate
              int 1
    "#]]
    .assert_eq(&body(
        "f(0x1F, 017, 1e6, 1_000, 5UL, 2ms, 1d, true, false, \"a\\tb\\x41\\101\", \"\", $1, $#, -1);",
    ));
}

#[test]
fn blocks_and_ifs_are_expressions() {
    expect![[r#"
        assign =
          var $a
          block
            let $b
              is
                int 1
            value
              var $b
        assign =
          var $c
          if
            var $a
            then
              value
                int 1
            else
              if
                var $b
                then
                  value
                    int 2
                else
                  block
                    value
                      int 3
        do
          call f
            block
              value
                call printf
                  str "x"
        assign =
          var $d
          binary +
            comptime
              binary +
                int 1
                int 1
            int 2
    "#]]
    .assert_eq(&body(
        "$a = { let $b = 1; $b }; $c = if $a { 1 } else if $b { 2 } else { 3 }; f({ printf(\"x\") }); \
         $d = comptime (1 + 1) + 2;",
    ));
}

#[test]
fn a_comment_stands_wherever_a_blank_can() {
    assert_eq!(body("f(/* a */ 1 // b\n , 2);"), body("f(1, 2);"));
}
