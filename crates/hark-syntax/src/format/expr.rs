//! Expressions and types.

use super::Printer;
use super::doc::{Doc, Part};
use crate::ast::{Arg, BinOp, Expr, ExprKind, TypeExpr, TypeKind, UnOp};
use crate::build::literal;
use hark_diag::Span;

/// How much an expression binds: higher needs parentheses less.
type Binding = u8;

/// `if` and blocks: in parentheses wherever they are part of an operation.
const BLOCK: Binding = 0;
const TERNARY: Binding = 1;
const PREFIX: Binding = 12;
const POSTFIX: Binding = 13;
const PRIMARY: Binding = 14;

fn op_binding(op: BinOp) -> Binding {
    match op {
        BinOp::Or => 2,
        BinOp::And => 3,
        BinOp::BitOr => 4,
        BinOp::BitXor => 5,
        BinOp::BitAnd => 6,
        BinOp::Eq | BinOp::Ne => 7,
        BinOp::Lt | BinOp::Gt | BinOp::Le | BinOp::Ge => 8,
        BinOp::Shl | BinOp::Shr => 9,
        BinOp::Add | BinOp::Sub => 10,
        BinOp::Mul | BinOp::Div | BinOp::Mod => 11,
    }
}

fn binding(expr: &Expr) -> Binding {
    match &expr.kind {
        ExprKind::If { .. } | ExprKind::Block(_) => BLOCK,
        ExprKind::Ternary { .. } => TERNARY,
        ExprKind::Binary(op, ..) => op_binding(*op),
        ExprKind::Unary(..) | ExprKind::Cast(..) | ExprKind::Comptime(_) => PREFIX,
        ExprKind::IncDec { postfix: false, .. } => PREFIX,
        ExprKind::IncDec { postfix: true, .. }
        | ExprKind::Field { .. }
        | ExprKind::TupleField { .. }
        | ExprKind::Index(..) => POSTFIX,
        ExprKind::Int { .. }
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Ident(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Var(_)
        | ExprKind::Map { .. }
        | ExprKind::Call { .. }
        | ExprKind::Tuple(_)
        | ExprKind::Record(_)
        | ExprKind::Error => PRIMARY,
    }
}

impl Printer<'_> {
    /// An expression where anything can stand; `indent` is that of the statement it is in.
    pub(super) fn expr(&self, expr: &Expr, indent: usize) -> Doc {
        self.operand(expr, BLOCK, indent)
    }

    /// An expression as an operand of something that binds as much as `least`.
    pub(super) fn operand(&self, expr: &Expr, least: Binding, indent: usize) -> Doc {
        let doc = self.bare(expr, indent);
        if binding(expr) < least || self.written_in_parentheses(expr) {
            Doc::List { open: "(".to_string(), items: vec![doc.into()], close: ")" }
        } else {
            doc
        }
    }

    /// An expression where a block cannot begin: conditions, predicates.
    pub(super) fn before_block(&self, expr: &Expr, indent: usize) -> Doc {
        self.operand(expr, TERNARY, indent)
    }

    /// Whether the author put parentheses around it. (The span of an expression includes them.)
    pub(super) fn written_in_parentheses(&self, expr: &Expr) -> bool {
        let own = matches!(expr.kind, ExprKind::Tuple(_) | ExprKind::Record(_));
        let text = self.source_of(expr.span);
        match inside_parentheses(text) {
            Some(inner) if own => inside_parentheses(inner.trim()).is_some(),
            Some(_) => true,
            None => false,
        }
    }

    /// The literal as the author spelled it, if `value_of` agrees that it is one.
    fn spelled(&self, span: Span, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let mut text = self.source_of(span).trim();
        while let Some(inner) = inside_parentheses(text) {
            text = inner.trim();
        }
        is_it(text).then(|| text.to_string())
    }

    fn bare(&self, expr: &Expr, indent: usize) -> Doc {
        let text = |s: String| Doc::Text(s);
        match &expr.kind {
            ExprKind::Int { value, duration } => {
                let same = |s: &str| literal::int(s) == Ok((*value, *duration));
                let plain = if *duration { format!("{value}ns") } else { value.to_string() };
                text(self.spelled(expr.span, same).unwrap_or(plain))
            }
            ExprKind::Bool(b) => text(b.to_string()),
            ExprKind::Str(bytes) => {
                let same = |s: &str| {
                    s.len() > 1 && s.starts_with('"') && literal::string(s) == (bytes.clone(), Vec::new())
                };
                text(self.spelled(expr.span, same).unwrap_or_else(|| literal::quote(bytes)))
            }
            ExprKind::Ident(name) => text(name.clone()),
            ExprKind::Positional(n) => text(format!("${n}")),
            ExprKind::PositionalCount => Doc::text("$#"),
            ExprKind::Var(name) => text(format!("${name}")),
            ExprKind::Map { name, keys } if keys.is_empty() => text(format!("@{name}")),
            ExprKind::Map { name, keys } => Doc::List {
                open: format!("@{name}["),
                items: self.parts(keys.iter().map(|k| (k.span, self.expr(k, indent)))),
                close: "]",
            },
            ExprKind::Call { func, args } => Doc::List {
                open: format!("{}(", func.text),
                items: self.parts(args.iter().map(|a| (arg_span(a), self.arg(a, indent)))),
                close: ")",
            },
            ExprKind::Unary(op, e) => {
                let op = match op {
                    UnOp::Not => "!",
                    UnOp::BitNot => "~",
                    UnOp::Neg => "-",
                    UnOp::Plus => "+",
                    UnOp::Deref => "*",
                    UnOp::AddrOf => "&",
                };
                let operand = self.operand(e, PREFIX, indent);
                // `- -x` is not `--x`.
                let blank =
                    if operand.flat().starts_with(op) && matches!(op, "-" | "+" | "&") { " " } else { "" };
                Doc::Cat(vec![text(format!("{op}{blank}")), operand])
            }
            ExprKind::IncDec { target, increment, postfix } => {
                let op = Doc::text(if *increment { "++" } else { "--" });
                if *postfix {
                    Doc::Cat(vec![self.operand(target, POSTFIX, indent), op])
                } else {
                    Doc::Cat(vec![op, self.operand(target, PREFIX, indent)])
                }
            }
            ExprKind::Binary(..) => self.binary(expr, indent),
            ExprKind::Ternary { cond, then, els } => {
                let mut rest = Vec::new();
                match then {
                    Some(then) => {
                        rest.push(("?", self.operand(then, TERNARY + 1, indent).into()));
                        rest.push((":", self.operand(els, TERNARY, indent).into()));
                    }
                    None => rest.push(("?:", self.operand(els, TERNARY, indent).into())),
                }
                Doc::Chain { first: Box::new(self.operand(cond, TERNARY + 1, indent)), rest }
            }
            ExprKind::If { .. } => text(self.inline_if(expr, indent)),
            ExprKind::Block(block) => text(self.inline_block(block, indent)),
            ExprKind::Comptime(e) => Doc::Cat(vec![Doc::text("comptime "), self.operand(e, PREFIX, indent)]),
            ExprKind::Cast(ty, e) => {
                let operand = self.operand(e, PREFIX, indent);
                let flat = operand.flat();
                let starts_operand = flat.bytes().next().is_some_and(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'@' | b'"' | b'(' | b'!' | b'~')
                });
                let operand = if is_sure(ty) || starts_operand {
                    operand
                } else {
                    Doc::List { open: "(".to_string(), items: vec![operand.into()], close: ")" }
                };
                Doc::Cat(vec![text(format!("({})", self.ty(ty))), operand])
            }
            ExprKind::Field { base, field, arrow } => {
                let mark = if *arrow { "->" } else { "." };
                Doc::Cat(vec![self.operand(base, POSTFIX, indent), text(format!("{mark}{}", field.text))])
            }
            ExprKind::TupleField { base, index } => {
                Doc::Cat(vec![self.operand(base, POSTFIX, indent), text(format!(".{index}"))])
            }
            ExprKind::Index(base, index) => {
                // Behind a bare map, brackets would be its keys.
                let bare_map = matches!(&base.kind, ExprKind::Map { keys, .. } if keys.is_empty());
                let least = if bare_map { PRIMARY + 1 } else { POSTFIX };
                Doc::Cat(vec![
                    self.operand(base, least, indent),
                    Doc::List {
                        open: "[".to_string(),
                        items: vec![self.expr(index, indent).into()],
                        close: "]",
                    },
                ])
            }
            ExprKind::Tuple(parts) => Doc::List {
                open: "(".to_string(),
                items: self.parts(parts.iter().map(|p| (p.span, self.expr(p, indent)))),
                close: if parts.len() == 1 { ",)" } else { ")" },
            },
            ExprKind::Record(fields) => Doc::List {
                open: "(".to_string(),
                items: self.parts(fields.iter().map(|(name, value)| {
                    let doc = Doc::Cat(vec![text(format!("{} = ", name.text)), self.expr(value, indent)]);
                    (name.span.to(value.span), doc)
                })),
                close: ")",
            },
            // Only texts without errors are formatted.
            ExprKind::Error => Doc::text(""),
        }
    }

    /// A run of operators of one precedence as one chain, so that it breaks evenly.
    fn binary(&self, expr: &Expr, indent: usize) -> Doc {
        let level = binding(expr);
        let mut rest = Vec::new();
        let mut left = expr;
        while let ExprKind::Binary(op, a, b) = &left.kind {
            let whole = std::ptr::eq(left, expr);
            if op_binding(*op) != level || (!whole && self.written_in_parentheses(left)) {
                break;
            }
            let on_new_line = self.line_ends_between(a.span, b.span);
            rest.push((op.symbol(), Part { doc: self.operand(b, level + 1, indent), on_new_line }));
            left = a;
        }
        rest.reverse();
        Doc::Chain { first: Box::new(self.operand(left, level, indent)), rest }
    }

    /// The parts of a list; those on which the author began a line are marked.
    fn parts(&self, docs: impl Iterator<Item = (Span, Doc)>) -> Vec<Part> {
        let mut before: Option<Span> = None;
        docs.map(|(span, doc)| {
            let on_new_line = before.is_some_and(|b| self.line_ends_between(b, span));
            before = Some(span);
            Part { doc, on_new_line }
        })
        .collect()
    }

    fn line_ends_between(&self, a: Span, b: Span) -> bool {
        a.hi <= b.lo && self.source_of(Span { lo: a.hi, hi: b.lo, ..a }).contains('\n')
    }

    fn arg(&self, arg: &Arg, indent: usize) -> Doc {
        match arg {
            Arg::Expr(expr) => self.expr(expr, indent),
            Arg::Type(ty) => Doc::Text(self.ty(ty)),
        }
    }

    /// A type, on one line.
    pub(super) fn ty(&self, ty: &TypeExpr) -> String {
        match &ty.kind {
            TypeKind::Named(name) => name.clone(),
            TypeKind::Struct(name) => format!("struct {name}"),
            TypeKind::Union(name) => format!("union {name}"),
            TypeKind::Enum(name) => format!("enum {name}"),
            TypeKind::Ptr(inner) => format!("{}*", self.ty(inner)),
            TypeKind::Array(inner, None) => format!("{}[]", self.ty(inner)),
            TypeKind::Array(inner, Some(length)) => {
                format!("{}[{}]", self.ty(inner), self.expr(length, 0).flat())
            }
            TypeKind::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(|p| self.ty(p)).collect();
                format!("({})", parts.join(", "))
            }
            TypeKind::Typeof(arg) => format!("typeof({})", self.arg(arg, 0).flat()),
        }
    }
}

fn arg_span(arg: &Arg) -> Span {
    match arg {
        Arg::Expr(expr) => expr.span,
        Arg::Type(ty) => ty.span,
    }
}

/// What stands inside, if the text is one pair of parentheses.
fn inside_parentheses(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0i32;
    let mut bytes = inner.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'"' => {
                while let Some(b) = bytes.next() {
                    match b {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth < 0 {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(inner)
}

/// Whether the grammar takes the type for one wherever an expression could stand.
fn is_sure(ty: &TypeExpr) -> bool {
    match &ty.kind {
        TypeKind::Named(name) => {
            let sized = ["uint", "int", "u", "s"]
                .iter()
                .any(|p| matches!(name.strip_prefix(p), Some("8" | "16" | "32" | "64")));
            let first = name.split(' ').next().unwrap_or_default();
            sized
                || name.ends_with("_t")
                || ["string", "buffer", "bool", "void", "unsigned", "signed", "char", "short", "int", "long"]
                    .contains(&first)
        }
        TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_) | TypeKind::Typeof(_) => true,
        TypeKind::Ptr(_) | TypeKind::Tuple(_) => true,
        TypeKind::Array(inner, _) => is_sure(inner),
    }
}
