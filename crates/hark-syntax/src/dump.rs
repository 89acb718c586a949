//! The tree as text, one node a line: what `hark dump --stage ast` prints and golden tests compare.
//!
//! Two scripts have the same text if and only if they are equal but for spans, comments and directives.

use crate::ast::{
    Arg, Block, CDef, CEnum, CMember, CStruct, CType, Expr, ExprKind, Item, MacroParam, Name, Script, Stmt,
    StmtKind, TypeExpr, TypeKind, UnOp,
};
use crate::build::literal;
use hark_diag::Span;
use std::fmt::Write;

/// The script as text.
pub fn dump(script: &Script) -> String {
    Dumper { out: String::new(), indent: 0, spans: false }.script(script)
}

/// The same with the range of bytes of every node that has one, as `[lo..hi]`.
pub fn dump_with_spans(script: &Script) -> String {
    Dumper { out: String::new(), indent: 0, spans: true }.script(script)
}

/// An expression as text, as in [`dump`].
pub fn dump_expr(expr: &Expr) -> String {
    let mut dumper = Dumper { out: String::new(), indent: 0, spans: false };
    dumper.expr(expr);
    dumper.out
}

/// A type on one line, as the language writes it, without the lengths of arrays that are not literals.
pub(crate) fn type_words(ty: &TypeExpr) -> Option<String> {
    Some(match &ty.kind {
        TypeKind::Named(name) => name.clone(),
        TypeKind::Struct(name) => format!("struct {name}"),
        TypeKind::Union(name) => format!("union {name}"),
        TypeKind::Enum(name) => format!("enum {name}"),
        TypeKind::Ptr(inner) => format!("{}*", type_words(inner)?),
        TypeKind::Array(inner, None) => format!("{}[]", type_words(inner)?),
        TypeKind::Array(inner, Some(length)) => match &length.kind {
            ExprKind::Int { value, duration: false } => format!("{}[{value}]", type_words(inner)?),
            _ => return None,
        },
        TypeKind::Tuple(_) | TypeKind::Typeof(_) => return None,
    })
}

struct Dumper {
    out: String,
    indent: usize,
    spans: bool,
}

impl Dumper {
    fn script(mut self, script: &Script) -> String {
        if let Some(shebang) = &script.shebang {
            self.line(None, format_args!("shebang {}", literal::quote(shebang.as_bytes())));
        }
        for include in &script.includes {
            let (open, close) = if include.system { ('<', '>') } else { ('"', '"') };
            self.line(Some(include.span), format_args!("include {open}{}{close}", include.path));
        }
        for define in &script.defines {
            self.line(Some(define.name.span), format_args!("define {}", define.name.text));
            self.nested(|d| d.expr(&define.value));
        }
        for def in &script.c_defs {
            match def {
                CDef::Struct(s) => self.c_struct(s),
                CDef::Enum(e) => self.c_enum(e),
                CDef::Typedef(member) => {
                    self.line(Some(member.name.span), format_args!("typedef {}", member.name.text));
                    self.nested(|d| d.c_type(&member.ty));
                }
            }
        }
        for item in &script.config {
            self.line(Some(item.key.span), format_args!("config {}", item.key.text));
            self.nested(|d| d.expr(&item.value));
        }
        for import in &script.imports {
            self.line(Some(import.span), format_args!("import {}", literal::quote(import.path.as_bytes())));
        }
        for item in &script.items {
            self.item(item);
        }
        self.out
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(probe) => {
                self.line(Some(probe.span), format_args!("probe"));
                self.nested(|d| {
                    for point in &probe.attach_points {
                        let name = point.name.as_ref().map(|n| format!("{n}=")).unwrap_or_default();
                        d.line(Some(point.span), format_args!("attach {name}{}", point.text));
                        d.nested(|d| {
                            for part in &point.parts {
                                let word = if part.quoted { "quoted" } else { "part" };
                                let text = literal::quote(part.text.as_bytes());
                                d.line(Some(part.span), format_args!("{word} {text}"));
                            }
                        });
                    }
                    if let Some(predicate) = &probe.predicate {
                        d.line(None, format_args!("predicate"));
                        d.nested(|d| d.expr(predicate));
                    }
                    d.block("body", &probe.body);
                });
            }
            Item::Macro(m) => {
                let params: Vec<String> = m
                    .params
                    .iter()
                    .map(|p| match p {
                        MacroParam::Var(name) => format!("${}", name.text),
                        MacroParam::Map(name) => format!("@{}", name.text),
                        MacroParam::Expr(name) => name.text.clone(),
                    })
                    .collect();
                self.line(Some(m.span), format_args!("macro {}({})", m.name.text, params.join(", ")));
                self.nested(|d| d.block("body", &m.body));
            }
            Item::Func(f) => {
                self.line(Some(f.span), format_args!("fn {}", f.name.text));
                self.nested(|d| {
                    for (name, ty) in &f.params {
                        d.line(Some(name.span), format_args!("param ${}", name.text));
                        d.nested(|d| d.ty(ty));
                    }
                    if let Some(ret) = &f.ret {
                        d.line(None, format_args!("returns"));
                        d.nested(|d| d.ty(ret));
                    }
                    d.block("body", &f.body);
                });
            }
            Item::MapDecl(decl) => {
                self.line(Some(decl.span), format_args!("map @{} {}", decl.map.text, decl.kind.text));
                self.nested(|d| d.expr(&decl.size));
            }
        }
    }

    fn block(&mut self, title: &str, block: &Block) {
        self.line(Some(block.span), format_args!("{title}"));
        self.nested(|d| {
            for stmt in &block.stmts {
                d.stmt(stmt);
            }
            if let Some(value) = &block.value {
                d.line(None, format_args!("value"));
                d.nested(|d| d.expr(value));
            }
        });
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let span = Some(stmt.span);
        match &stmt.kind {
            StmtKind::Expr(expr) => {
                self.line(span, format_args!("do"));
                self.nested(|d| d.expr(expr));
            }
            StmtKind::Assign { target, op, value } => {
                let op = op.map_or("", |o| o.symbol());
                self.line(span, format_args!("assign {op}="));
                self.nested(|d| {
                    d.expr(target);
                    d.expr(value);
                });
            }
            StmtKind::Discard(value) => {
                self.line(span, format_args!("discard"));
                self.nested(|d| d.expr(value));
            }
            StmtKind::Let { var, ty, value } => {
                self.line(span, format_args!("let ${}", var.text));
                self.nested(|d| {
                    if let Some(ty) = ty {
                        d.ty(ty);
                    }
                    if let Some(value) = value {
                        d.line(None, format_args!("is"));
                        d.nested(|d| d.expr(value));
                    }
                });
            }
            StmtKind::While { cond, body } => {
                self.line(span, format_args!("while"));
                self.nested(|d| {
                    d.expr(cond);
                    d.block("body", body);
                });
            }
            StmtKind::ForRange { var, from, to, body } => {
                self.line(span, format_args!("for ${} in range", var.text));
                self.nested(|d| {
                    d.expr(from);
                    d.expr(to);
                    d.block("body", body);
                });
            }
            StmtKind::ForMap { var, map, body } => {
                self.line(span, format_args!("for ${} in map", var.text));
                self.nested(|d| {
                    d.expr(map);
                    d.block("body", body);
                });
            }
            StmtKind::Unroll { count, body } => {
                self.line(span, format_args!("unroll"));
                self.nested(|d| {
                    d.expr(count);
                    d.block("body", body);
                });
            }
            StmtKind::Break => self.line(span, format_args!("break")),
            StmtKind::Continue => self.line(span, format_args!("continue")),
            StmtKind::Return(value) => {
                self.line(span, format_args!("return"));
                self.nested(|d| value.iter().for_each(|v| d.expr(v)));
            }
        }
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        self.nested(|d| exprs.iter().for_each(|e| d.expr(e)));
    }

    fn expr(&mut self, expr: &Expr) {
        let span = Some(expr.span);
        match &expr.kind {
            ExprKind::Int { value, duration: false } => self.line(span, format_args!("int {value}")),
            ExprKind::Int { value, duration: true } => self.line(span, format_args!("duration {value}ns")),
            ExprKind::Bool(b) => self.line(span, format_args!("bool {b}")),
            ExprKind::Str(bytes) => self.line(span, format_args!("str {}", literal::quote(bytes))),
            ExprKind::Ident(name) => self.line(span, format_args!("name {name}")),
            ExprKind::Positional(n) => self.line(span, format_args!("positional ${n}")),
            ExprKind::PositionalCount => self.line(span, format_args!("positional $#")),
            ExprKind::Var(name) => self.line(span, format_args!("var ${name}")),
            ExprKind::Map { name, keys } => {
                self.line(span, format_args!("map @{name}"));
                self.exprs(keys);
            }
            ExprKind::Call { func, args } => {
                self.line(span, format_args!("call {}", func.text));
                self.nested(|d| args.iter().for_each(|a| d.arg(a)));
            }
            ExprKind::Unary(op, e) => {
                let word = match op {
                    UnOp::Not => "not",
                    UnOp::BitNot => "bit-not",
                    UnOp::Neg => "negate",
                    UnOp::Plus => "plus",
                    UnOp::Deref => "deref",
                    UnOp::AddrOf => "address-of",
                };
                self.line(span, format_args!("{word}"));
                self.nested(|d| d.expr(e));
            }
            ExprKind::IncDec { target, increment, postfix } => {
                let when = if *postfix { "post" } else { "pre" };
                let what = if *increment { "increment" } else { "decrement" };
                self.line(span, format_args!("{when}-{what}"));
                self.nested(|d| d.expr(target));
            }
            ExprKind::Binary(op, a, b) => {
                self.line(span, format_args!("binary {}", op.symbol()));
                self.nested(|d| {
                    d.expr(a);
                    d.expr(b);
                });
            }
            ExprKind::Ternary { cond, then, els } => {
                let word = if then.is_some() { "ternary" } else { "elvis" };
                self.line(span, format_args!("{word}"));
                self.nested(|d| {
                    d.expr(cond);
                    then.iter().for_each(|t| d.expr(t));
                    d.expr(els);
                });
            }
            ExprKind::If { cond, then, els } => {
                self.line(span, format_args!("if"));
                self.nested(|d| {
                    d.expr(cond);
                    d.block("then", then);
                    if let Some(els) = els {
                        d.line(None, format_args!("else"));
                        d.nested(|d| d.expr(els));
                    }
                });
            }
            ExprKind::Block(block) => self.block("block", block),
            ExprKind::Comptime(e) => {
                self.line(span, format_args!("comptime"));
                self.nested(|d| d.expr(e));
            }
            ExprKind::Cast(ty, e) => {
                self.line(span, format_args!("cast"));
                self.nested(|d| {
                    d.ty(ty);
                    d.expr(e);
                });
            }
            ExprKind::Field { base, field, arrow } => {
                let mark = if *arrow { "->" } else { "." };
                self.line(span, format_args!("field {mark}{}", field.text));
                self.nested(|d| d.expr(base));
            }
            ExprKind::TupleField { base, index } => {
                self.line(span, format_args!("field .{index}"));
                self.nested(|d| d.expr(base));
            }
            ExprKind::Index(base, index) => {
                self.line(span, format_args!("index"));
                self.nested(|d| {
                    d.expr(base);
                    d.expr(index);
                });
            }
            ExprKind::Tuple(parts) => {
                self.line(span, format_args!("tuple"));
                self.exprs(parts);
            }
            ExprKind::Record(fields) => {
                self.line(span, format_args!("record"));
                self.nested(|d| {
                    for (name, value) in fields {
                        d.line(Some(name.span), format_args!("{} =", name.text));
                        d.nested(|d| d.expr(value));
                    }
                });
            }
            ExprKind::Error => self.line(span, format_args!("error")),
        }
    }

    fn arg(&mut self, arg: &Arg) {
        match arg {
            Arg::Expr(expr) => self.expr(expr),
            Arg::Type(ty) => self.ty(ty),
        }
    }

    fn ty(&mut self, ty: &TypeExpr) {
        let span = Some(ty.span);
        if let Some(words) = type_words(ty) {
            return self.line(span, format_args!("type {words}"));
        }
        match &ty.kind {
            TypeKind::Ptr(inner) => {
                self.line(span, format_args!("type pointer"));
                self.nested(|d| d.ty(inner));
            }
            TypeKind::Array(inner, length) => {
                self.line(span, format_args!("type array"));
                self.nested(|d| {
                    d.ty(inner);
                    length.iter().for_each(|l| d.expr(l));
                });
            }
            TypeKind::Tuple(parts) => {
                self.line(span, format_args!("type tuple"));
                self.nested(|d| parts.iter().for_each(|p| d.ty(p)));
            }
            TypeKind::Typeof(arg) => {
                self.line(span, format_args!("type typeof"));
                self.nested(|d| d.arg(arg));
            }
            // The rest has words.
            TypeKind::Named(_) | TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_) => {}
        }
    }

    fn c_struct(&mut self, s: &CStruct) {
        let word = if s.union { "union" } else { "struct" };
        let packed = if s.packed { " packed" } else { "" };
        let align = s.align.map(|n| format!(" aligned({n})")).unwrap_or_default();
        self.line(Some(s.span), format_args!("{word} {}{packed}{align}", shown(&s.name)));
        self.nested(|d| {
            for member in &s.members {
                d.c_member(member);
            }
        });
    }

    fn c_member(&mut self, member: &CMember) {
        let bits = member.bits.map(|n| format!(" : {n}")).unwrap_or_default();
        self.line(Some(member.name.span), format_args!("member {}{bits}", shown(&member.name)));
        self.nested(|d| d.c_type(&member.ty));
    }

    fn c_type(&mut self, ty: &CType) {
        match ty {
            CType::Base(ty) => self.ty(ty),
            CType::Inline(s) => self.c_struct(s),
            CType::InlineEnum(e) => self.c_enum(e),
            CType::Ptr(inner) => {
                self.line(None, format_args!("pointer"));
                self.nested(|d| d.c_type(inner));
            }
            CType::Array(inner, length) => {
                self.line(None, format_args!("array"));
                self.nested(|d| {
                    d.c_type(inner);
                    length.iter().for_each(|l| d.expr(l));
                });
            }
            CType::Function => self.line(None, format_args!("function")),
        }
    }

    fn c_enum(&mut self, e: &CEnum) {
        self.line(Some(e.span), format_args!("enum {}", shown(&e.name)));
        self.nested(|d| {
            for (name, value) in &e.variants {
                d.line(Some(name.span), format_args!("enumerator {}", name.text));
                d.nested(|d| value.iter().for_each(|v| d.expr(v)));
            }
        });
    }

    fn nested(&mut self, f: impl FnOnce(&mut Self)) {
        self.indent += 1;
        f(self);
        self.indent -= 1;
    }

    fn line(&mut self, span: Option<Span>, text: std::fmt::Arguments<'_>) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
        if let Some(span) = span.filter(|_| self.spans) {
            let _ = write!(self.out, " [{}..{}]", span.lo, span.hi);
        }
        self.out.push('\n');
    }
}

/// A name, or what stands for none.
fn shown(name: &Name) -> &str {
    if name.text.is_empty() { "(anonymous)" } else { &name.text }
}
