//! Random trees: every one can be written and is read back.

use hark_diag::Span;
use hark_syntax::ast::{
    ApPart, Arg, AttachPoint, BinOp, Block, CDef, CEnum, CMember, CStruct, CType, ConfigItem, Define, Expr,
    ExprKind, Func, Import, Include, Item, Macro, MacroParam, MapDecl, Name, Probe, Script, Stmt, StmtKind,
    TypeExpr, TypeKind, UnOp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Union};

const BIN_OPS: &[BinOp] = &[
    BinOp::Or,
    BinOp::And,
    BinOp::BitOr,
    BinOp::BitXor,
    BinOp::BitAnd,
    BinOp::Eq,
    BinOp::Ne,
    BinOp::Lt,
    BinOp::Gt,
    BinOp::Le,
    BinOp::Ge,
    BinOp::Shl,
    BinOp::Shr,
    BinOp::Add,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::Div,
    BinOp::Mod,
];
/// Operators that have a compound assignment.
const ASSIGN_OPS: &[BinOp] = &[
    BinOp::BitOr,
    BinOp::BitXor,
    BinOp::BitAnd,
    BinOp::Shl,
    BinOp::Shr,
    BinOp::Add,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::Div,
    BinOp::Mod,
];
const UN_OPS: &[UnOp] = &[UnOp::Not, UnOp::BitNot, UnOp::Neg, UnOp::Plus, UnOp::Deref, UnOp::AddrOf];

fn at() -> Span {
    Span::default()
}

fn e(kind: ExprKind) -> Expr {
    Expr { kind, span: at() }
}

fn named(text: &str) -> Name {
    Name { text: text.to_string(), span: at() }
}

fn name() -> impl Strategy<Value = Name> {
    select(vec!["pid", "comm", "a", "b2", "X_Y", "ifx", "_u", "letter", "config"]).prop_map(named)
}

fn text() -> impl Strategy<Value = String> {
    name().prop_map(|n| n.text)
}

/// Types that are types wherever they stand.
fn sure_type() -> BoxedStrategy<TypeExpr> {
    let t = |kind| TypeExpr { kind, span: at() };
    let leaf = prop_oneof![
        select(vec!["int32", "uint8", "string", "u64", "size_t", "void", "unsigned long long", "char"])
            .prop_map(move |n| t(TypeKind::Named(n.to_string()))),
        text().prop_map(move |n| t(TypeKind::Struct(n))),
        text().prop_map(move |n| t(TypeKind::Union(n))),
        text().prop_map(move |n| t(TypeKind::Enum(n))),
        text().prop_map(move |n| t(TypeKind::Typeof(Box::new(Arg::Expr(e(ExprKind::Var(n))))))),
        text().prop_map(move |n| {
            let pointee = t(TypeKind::Named(n));
            t(TypeKind::Ptr(Box::new(pointee)))
        }),
    ];
    leaf.prop_recursive(3, 6, 3, move |inner| {
        prop_oneof![
            inner.clone().prop_map(move |i| t(TypeKind::Ptr(Box::new(i)))),
            (inner.clone(), option::of(0..99u64)).prop_map(move |(i, n)| {
                let length = n.map(|value| Box::new(e(ExprKind::Int { value, duration: false })));
                t(TypeKind::Array(Box::new(i), length))
            }),
            vec(inner.clone(), 2..4).prop_map(move |parts| t(TypeKind::Tuple(parts))),
            inner.prop_map(move |i| t(TypeKind::Typeof(Box::new(Arg::Type(i))))),
        ]
    })
    .boxed()
}

/// Types where only a type can stand.
fn any_type() -> BoxedStrategy<TypeExpr> {
    let t = |kind| TypeExpr { kind, span: at() };
    prop_oneof![
        3 => sure_type(),
        1 => text().prop_map(move |n| t(TypeKind::Named(n))),
        1 => vec(text(), 0..3).prop_map(move |names| {
            t(TypeKind::Tuple(names.into_iter().map(|n| t(TypeKind::Named(n))).collect()))
        }),
    ]
    .boxed()
}

fn cast_type() -> BoxedStrategy<TypeExpr> {
    let bare = text().prop_map(|n| TypeExpr { kind: TypeKind::Named(n), span: at() });
    prop_oneof![3 => sure_type(), 1 => bare].boxed()
}

fn leaf() -> BoxedStrategy<Expr> {
    prop_oneof![
        (any::<u64>(), any::<bool>()).prop_map(|(value, duration)| e(ExprKind::Int { value, duration })),
        (0..20u64).prop_map(|value| e(ExprKind::Int { value, duration: false })),
        any::<bool>().prop_map(|b| e(ExprKind::Bool(b))),
        vec(any::<u8>(), 0..6).prop_map(|s| e(ExprKind::Str(s))),
        "[a-z/*\"\\\\{};%]{0,6}".prop_map(|s| e(ExprKind::Str(s.into_bytes()))),
        text().prop_map(|n| e(ExprKind::Ident(n))),
        (1..20u32).prop_map(|n| e(ExprKind::Positional(n))),
        Just(e(ExprKind::PositionalCount)),
        text().prop_map(|n| e(ExprKind::Var(n))),
        prop_oneof![Just(String::new()), text()].prop_map(|name| e(ExprKind::Map { name, keys: Vec::new() })),
    ]
    .boxed()
}

/// Expressions; blocks in them only if `with_blocks`.
fn expr_of(depth: u32, with_blocks: bool) -> BoxedStrategy<Expr> {
    if depth == 0 {
        return leaf();
    }
    let sub = expr_of(depth - 1, with_blocks);
    let boxed = sub.clone().prop_map(Box::new);
    let arg = prop_oneof![4 => sub.clone().prop_map(Arg::Expr), 1 => sure_type().prop_map(Arg::Type)];
    let mut cases: Vec<(u32, BoxedStrategy<Expr>)> = vec![
        (4, leaf()),
        (
            4,
            (select(BIN_OPS), boxed.clone(), boxed.clone())
                .prop_map(|(op, a, b)| e(ExprKind::Binary(op, a, b)))
                .boxed(),
        ),
        (2, (select(UN_OPS), boxed.clone()).prop_map(|(op, x)| e(ExprKind::Unary(op, x))).boxed()),
        (
            1,
            (boxed.clone(), any::<bool>(), any::<bool>())
                .prop_map(|(target, increment, postfix)| e(ExprKind::IncDec { target, increment, postfix }))
                .boxed(),
        ),
        (
            1,
            (prop_oneof![Just(String::new()), text()], vec(sub.clone(), 1..3))
                .prop_map(|(name, keys)| e(ExprKind::Map { name, keys }))
                .boxed(),
        ),
        (1, (name(), vec(arg, 0..4)).prop_map(|(func, args)| e(ExprKind::Call { func, args })).boxed()),
        (
            1,
            (boxed.clone(), option::of(boxed.clone()), boxed.clone())
                .prop_map(|(cond, then, els)| e(ExprKind::Ternary { cond, then, els }))
                .boxed(),
        ),
        (1, boxed.clone().prop_map(|x| e(ExprKind::Comptime(x))).boxed()),
        (1, (cast_type(), boxed.clone()).prop_map(|(t, x)| e(ExprKind::Cast(t, x))).boxed()),
        (
            1,
            (boxed.clone(), name(), any::<bool>())
                .prop_map(|(base, field, arrow)| e(ExprKind::Field { base, field, arrow }))
                .boxed(),
        ),
        (
            1,
            (boxed.clone(), 0..12u32)
                .prop_map(|(base, index)| e(ExprKind::TupleField { base, index }))
                .boxed(),
        ),
        (1, (boxed.clone(), boxed.clone()).prop_map(|(a, b)| e(ExprKind::Index(a, b))).boxed()),
        (1, vec(sub.clone(), 0..3).prop_map(|parts| e(ExprKind::Tuple(parts))).boxed()),
        (1, vec((name(), sub), 1..3).prop_map(|fields| e(ExprKind::Record(fields))).boxed()),
    ];
    if with_blocks {
        cases.push((1, block(depth - 1).prop_map(|b| e(ExprKind::Block(b))).boxed()));
        cases.push((1, if_of(depth - 1)));
    }
    Union::new_weighted(cases).boxed()
}

fn if_of(depth: u32) -> BoxedStrategy<Expr> {
    let els = block(depth).prop_map(|b| e(ExprKind::Block(b))).boxed();
    let els = if depth == 0 { els } else { prop_oneof![2 => els, 1 => if_of(depth - 1)].boxed() };
    (expr_of(depth.min(1), false), block(depth), option::of(els))
        .prop_map(|(cond, then, els)| e(ExprKind::If { cond: Box::new(cond), then, els: els.map(Box::new) }))
        .boxed()
}

fn stmt(depth: u32) -> BoxedStrategy<Stmt> {
    let expr = expr_of(depth.min(2), depth > 0);
    let mut cases: Vec<(u32, BoxedStrategy<StmtKind>)> = vec![
        (3, expr.clone().prop_map(StmtKind::Expr).boxed()),
        (
            3,
            (expr_of(1, false), option::of(select(ASSIGN_OPS)), expr.clone())
                .prop_map(|(target, op, value)| StmtKind::Assign { target, op, value })
                .boxed(),
        ),
        (1, expr.clone().prop_map(StmtKind::Discard).boxed()),
        (
            1,
            (name(), option::of(any_type()), option::of(expr.clone()))
                .prop_map(|(var, ty, value)| StmtKind::Let { var, ty, value })
                .boxed(),
        ),
        (1, option::of(expr.clone()).prop_map(StmtKind::Return).boxed()),
        (1, Just(StmtKind::Break).boxed()),
        (1, Just(StmtKind::Continue).boxed()),
    ];
    if depth > 0 {
        let body = block(depth - 1);
        cases.push((1, if_of(depth - 1).prop_map(StmtKind::Expr).boxed()));
        cases.push((
            1,
            (expr.clone(), body.clone()).prop_map(|(cond, body)| StmtKind::While { cond, body }).boxed(),
        ));
        cases.push((
            1,
            (expr.clone(), body.clone()).prop_map(|(count, body)| StmtKind::Unroll { count, body }).boxed(),
        ));
        cases.push((
            1,
            (name(), expr.clone(), expr, body.clone())
                .prop_map(|(var, from, to, body)| StmtKind::ForRange { var, from, to, body })
                .boxed(),
        ));
        cases.push((
            1,
            (name(), text(), body)
                .prop_map(|(var, name, body)| {
                    let map = e(ExprKind::Map { name, keys: Vec::new() });
                    StmtKind::ForMap { var, map, body }
                })
                .boxed(),
        ));
    }
    Union::new_weighted(cases).prop_map(|kind| Stmt { kind, span: at() }).boxed()
}

fn block(depth: u32) -> BoxedStrategy<Block> {
    (vec(stmt(depth), 0..3), option::of(expr_of(depth.min(1), false)))
        .prop_map(|(stmts, value)| Block { stmts, value: value.map(Box::new), span: at() })
        .boxed()
}

fn attach_point() -> impl Strategy<Value = AttachPoint> {
    let points: Vec<(&str, Vec<(&str, bool)>)> = vec![
        ("BEGIN", vec![("BEGIN", false)]),
        ("kprobe:vfs_*", vec![("kprobe", false), ("vfs_*", false)]),
        (
            "uprobe:/usr/lib/*/libc.so*:malloc",
            vec![("uprobe", false), ("/usr/lib/*/libc.so*", false), ("malloc", false)],
        ),
        (
            "uprobe:\"/a b\":cpp:\"x::\\\"y{\"",
            vec![("uprobe", false), ("/a b", true), ("cpp", false), ("x::\"y{", true)],
        ),
        ("interval:$1", vec![("interval", false), ("$1", false)]),
        ("software:faults:", vec![("software", false), ("faults", false), ("", false)]),
    ];
    (any::<bool>(), select(points)).prop_map(|(has_name, (text, parts))| AttachPoint {
        name: has_name.then(|| "my_probe".to_string()),
        parts: parts
            .into_iter()
            .map(|(text, quoted)| ApPart { text: text.to_string(), quoted, span: at() })
            .collect(),
        text: text.to_string(),
        span: at(),
    })
}

fn item() -> impl Strategy<Value = Item> {
    let param = prop_oneof![
        name().prop_map(MacroParam::Var),
        name().prop_map(MacroParam::Map),
        name().prop_map(MacroParam::Expr),
    ];
    prop_oneof![
        4 => (vec(attach_point(), 1..3), option::of(expr_of(3, true)), block(3)).prop_map(
            |(attach_points, predicate, body)| Item::Probe(Probe { attach_points, predicate, body, span: at() })
        ),
        1 => (name(), vec(param, 0..3), block(2))
            .prop_map(|(name, params, body)| Item::Macro(Macro { name, params, body, span: at() })),
        1 => (name(), vec((name(), any_type()), 0..3), option::of(any_type()), block(2)).prop_map(
            |(name, params, ret, body)| Item::Func(Func { name, params, ret, body, span: at() })
        ),
        1 => (name(), name(), expr_of(1, false))
            .prop_map(|(map, kind, size)| Item::MapDecl(MapDecl { map, kind, size, span: at() })),
    ]
}

fn c_base() -> BoxedStrategy<CType> {
    let ty = prop_oneof![
        select(vec!["int", "unsigned long", "u32", "some_t"]).prop_map(|n| TypeKind::Named(n.to_string())),
        text().prop_map(TypeKind::Struct),
        text().prop_map(TypeKind::Enum),
    ];
    ty.prop_map(|kind| CType::Base(TypeExpr { kind, span: at() })).boxed()
}

fn c_type(depth: u32) -> BoxedStrategy<CType> {
    let base = if depth == 0 {
        c_base()
    } else {
        prop_oneof![
            4 => c_base(),
            1 => c_struct(depth - 1).prop_map(|s| CType::Inline(Box::new(s))),
            1 => c_enum().prop_map(|e| CType::InlineEnum(Box::new(e))),
        ]
        .boxed()
    };
    let function_pointer = Just(CType::Ptr(Box::new(CType::Function)));
    prop_oneof![4 => base, 1 => function_pointer]
        .prop_recursive(3, 3, 1, |inner| {
            prop_oneof![
                inner.clone().prop_map(|i| CType::Ptr(Box::new(i))),
                (inner, option::of(0..9u64)).prop_map(|(i, n)| {
                    let length = n.map(|value| Box::new(e(ExprKind::Int { value, duration: false })));
                    CType::Array(Box::new(i), length)
                }),
            ]
        })
        .boxed()
}

/// A member of which nothing but its type is said.
fn member(name: Name, ty: CType) -> CMember {
    CMember { name, ty, bits: None, packed: false, align: None }
}

fn c_struct(depth: u32) -> BoxedStrategy<CStruct> {
    let any_member = prop_oneof![
        4 => (name(), c_type(depth), any::<bool>(), option::of(1..64u32))
            .prop_map(|(name, ty, packed, align)| CMember { packed, align, ..member(name, ty) }),
        1 => (option::of(name()), c_base(), 0..9u32).prop_map(|(name, ty, bits)| {
            let name = name.unwrap_or_else(|| named(""));
            CMember { bits: Some(bits), ..member(name, ty) }
        }),
    ];
    let any_member = if depth == 0 {
        any_member.boxed()
    } else {
        let anonymous = c_struct(depth - 1).prop_map(|s| member(named(""), CType::Inline(Box::new(s))));
        prop_oneof![4 => any_member, 1 => anonymous].boxed()
    };
    let tag = prop_oneof![name(), Just(named(""))];
    (tag, any::<bool>(), vec(any_member, 0..4), any::<bool>(), option::of(1..64u32))
        .prop_map(|(name, union, members, packed, align)| CStruct {
            name,
            union,
            members,
            packed,
            align,
            span: at(),
        })
        .boxed()
}

fn c_enum() -> BoxedStrategy<CEnum> {
    (prop_oneof![name(), Just(named(""))], vec((name(), option::of(expr_of(1, false))), 0..3))
        .prop_map(|(name, variants)| CEnum { name, variants, span: at() })
        .boxed()
}

/// A whole script without comments and directives.
pub(crate) fn script() -> impl Strategy<Value = Script> {
    let c_def = prop_oneof![
        c_struct(2).prop_map(CDef::Struct),
        c_enum().prop_map(CDef::Enum),
        (name(), c_type(2)).prop_map(|(name, ty)| CDef::Typedef(member(name, ty))),
    ];
    let value = prop_oneof![
        (0..99u64).prop_map(|value| e(ExprKind::Int { value, duration: false })),
        text().prop_map(|n| e(ExprKind::Ident(n))),
        Just(e(ExprKind::Str(b"GPL v2".to_vec()))),
    ];
    (
        option::of(Just("#!/usr/bin/env bpftrace".to_string())),
        vec(any::<bool>(), 0..2),
        vec(expr_of(2, false), 0..3),
        vec(c_def, 0..3),
        vec((name(), value), 0..3),
        vec(Just("x y.bt".to_string()), 0..2),
        vec(item(), 0..4),
    )
        .prop_map(|(shebang, includes, defines, c_defs, config, imports, items)| Script {
            shebang,
            includes: includes
                .into_iter()
                .map(|system| Include { path: "linux/sched.h".to_string(), system, span: at() })
                .collect(),
            defines: defines
                .into_iter()
                .enumerate()
                .map(|(n, value)| Define { name: named(&format!("D{n}")), value })
                .collect(),
            c_defs,
            config: config.into_iter().map(|(key, value)| ConfigItem { key, value }).collect(),
            imports: imports.into_iter().map(|path| Import { path, span: at() }).collect(),
            items,
            ..Script::default()
        })
}
