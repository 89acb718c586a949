//! Expressions.

use super::checker::Checker;
use super::stmt::agg_number;
use crate::builtins::{self, BuiltinCall};
use crate::typed::{Block, Expr, ExprKind, wrap};
use crate::types::{Space, Type, agg_name};
use hark_diag::{Code, Diagnostic, Span, did_you_mean};
use hark_syntax::ast;

/// Nested `#define`s that are followed.
const MAX_DEFINES: u32 = 32;
/// Uses of `#define`s that are followed in one go through a script.
const MAX_DEFINE_USES: u32 = 100_000;
/// Longest literal text, in bytes: each use stores it with instructions.
const MAX_TEXT: usize = 16 << 10;

impl Checker<'_> {
    /// An expression that has a value to compute with: aggregations are read as numbers.
    pub(crate) fn value(&mut self, e: &ast::Expr) -> Expr {
        let e = self.expr(e);
        self.use_value(e)
    }

    /// As [`Checker::value`], to be stored in a map, tuple or record.
    pub(crate) fn parked(&mut self, e: &ast::Expr) -> Expr {
        let e = self.value(e);
        let ty = e.ty.parked();
        self.convert(e, &ty)
    }

    /// Turns the access of an aggregation into its number, and refuses what has no value.
    pub(crate) fn use_value(&mut self, e: Expr) -> Expr {
        match (&e.ty, &e.kind) {
            (Type::Agg(agg), ExprKind::MapGet(map, key)) => match agg_number(*agg) {
                Some(ty) => Expr { kind: ExprKind::MapReadAgg(*map, key.clone(), *agg), ty, span: e.span },
                None => {
                    let message = format!("{}() has no single value to use", agg_name(*agg));
                    self.fail(Diagnostic::error(Code::TYPE_MISMATCH, e.span, message))
                }
            },
            (Type::Agg(agg), _) => {
                let message = format!("{}() can only be assigned to a map", agg_name(*agg));
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, e.span, message))
            }
            (Type::Void, kind) if !matches!(kind, ExprKind::Error) => {
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, e.span, "this has no value"))
            }
            _ => e,
        }
    }

    /// An integer.
    pub(crate) fn integer(&mut self, e: &ast::Expr) -> Expr {
        let value = self.value(e);
        if value.ty.is_integral() {
            return value;
        }
        let message = format!("an integer is expected here, not {}", value.ty);
        self.fail(Diagnostic::error(Code::TYPE_MISMATCH, value.span, message))
    }

    /// Something that is true or false.
    pub(crate) fn condition(&mut self, e: &ast::Expr) -> Expr {
        let value = self.value(e);
        if value.ty.is_truthy() {
            return value;
        }
        let diag = Diagnostic::error(
            Code::TYPE_MISMATCH,
            value.span,
            format!("{} is neither true nor false", value.ty),
        );
        self.fail(diag)
    }

    /// Any expression.
    pub(crate) fn expr(&mut self, e: &ast::Expr) -> Expr {
        let span = e.span;
        let of = |kind, ty| Expr { kind, ty, span };
        match &e.kind {
            ast::ExprKind::Error => Expr::error(span),
            ast::ExprKind::Int { value, duration } => {
                let ty = if *duration { Type::U64 } else { Type::of_literal(*value) };
                of(ExprKind::Int(*value as i64), ty)
            }
            ast::ExprKind::Bool(b) => of(ExprKind::Int(i64::from(*b)), Type::Bool),
            ast::ExprKind::Str(text) => self.text(text, span),
            ast::ExprKind::Positional(n) => self.positional(*n, span),
            ast::ExprKind::PositionalCount => {
                let n = self.options.positional.len() as u64;
                of(ExprKind::Int(n as i64), Type::of_literal(n))
            }
            ast::ExprKind::Ident(name) => self.name(name, e),
            ast::ExprKind::Var(name) => match self.find_var(name) {
                Some(id) => {
                    self.use_var(id, span);
                    of(ExprKind::Var(id), self.var_type(id))
                }
                None => {
                    let mut diag = Diagnostic::error(
                        Code::UNDEFINED_VARIABLE,
                        span,
                        format!("undefined variable: ${}", super::expand::spelled(name)),
                    );
                    if let Some(near) = did_you_mean(name, self.var_names()) {
                        diag = diag.with_help(format!("did you mean `${near}`?"));
                    }
                    self.fail(diag)
                }
            },
            ast::ExprKind::Map { name, keys } => {
                let id = self.map_id(name, span);
                let key = self.map_access(id, keys, span);
                self.read_map(id, span);
                of(ExprKind::MapGet(id, key.map(Box::new)), self.map_value(id))
            }
            ast::ExprKind::Call { func, args } => self.call(func, args, span),
            ast::ExprKind::Unary(op, inner) => self.unary(*op, inner, span),
            ast::ExprKind::IncDec { target, increment, postfix } => {
                self.inc_dec(target, *increment, *postfix, span)
            }
            ast::ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                self.binary(*op, a, b, span)
            }
            ast::ExprKind::Ternary { cond, then: Some(then), els } => {
                let cond = self.condition(cond);
                if let Some(value) = cond.as_int() {
                    return self.expr(if value != 0 { then } else { els });
                }
                let (then, els) = (self.expr(then), self.expr(els));
                self.select(cond, then, els, span)
            }
            ast::ExprKind::Ternary { cond, then: None, els } => {
                let cond = self.condition(cond);
                let els = self.value(els);
                let Some(ty) = self.common_type(&cond, &els, span) else { return Expr::error(span) };
                let (cond, els) = (self.convert(cond, &ty), self.convert(els, &ty));
                of(ExprKind::Elvis(Box::new(cond), Box::new(els)), ty)
            }
            ast::ExprKind::If { cond, then, els } => {
                let cond = self.condition(cond);
                match (cond.as_int(), els) {
                    (Some(0), Some(els)) => return self.expr(els),
                    (Some(n), Some(_)) if n != 0 => return self.block_expr(then),
                    _ => {}
                }
                let then = self.block_expr(then);
                let Some(els) = els else {
                    let diag = Diagnostic::error(
                        Code::TYPE_MISMATCH,
                        span,
                        "an `if` that gives a value needs an `else`",
                    );
                    return self.fail(diag);
                };
                let els = self.expr(els);
                self.select(cond, then, els, span)
            }
            ast::ExprKind::Block(block) => self.block_expr(block),
            ast::ExprKind::Comptime(inner) => {
                let value = self.value(inner);
                if value.as_int().is_none() && value.as_str().is_none() {
                    let diag =
                        Diagnostic::error(Code::NOT_CONSTANT, span, "this is not known at compile time");
                    return self.fail(diag);
                }
                value
            }
            ast::ExprKind::Cast(ty, inner) => {
                let Some(ty) = self.type_expr(ty) else { return Expr::error(span) };
                let value = self.value(inner);
                // A macro casts what it is given, which may be of that type; aggregations are cast to read them.
                let plain =
                    self.expanded_from().is_empty() && !matches!(inner.kind, ast::ExprKind::Map { .. });
                if plain && value.ty == ty && value.as_int().is_none() && value.ty != Type::Unknown {
                    let message = format!("this is {ty} already: the cast changes nothing");
                    self.report(Diagnostic::warning(Code::NEEDLESS_CAST, span, message));
                }
                self.cast(value, ty, span)
            }
            ast::ExprKind::Field { base, field, .. } => self.field(base, field, span),
            ast::ExprKind::TupleField { base, index } => {
                let base = self.value(base);
                self.tuple_member(base, *index, span)
            }
            ast::ExprKind::Index(base, index) => self.index(base, index, span),
            ast::ExprKind::Tuple(members) => {
                let members: Vec<Expr> = members.iter().map(|m| self.parked(m)).collect();
                let ty = Type::Tuple(members.iter().map(|m| m.ty.clone()).collect());
                of(ExprKind::Tuple(members), ty)
            }
            ast::ExprKind::Record(fields) => {
                let values: Vec<Expr> = fields.iter().map(|(_, e)| self.parked(e)).collect();
                let ty = Type::Record(
                    fields.iter().zip(&values).map(|((n, _), v)| (n.text.clone(), v.ty.clone())).collect(),
                );
                of(ExprKind::Tuple(values), ty)
            }
        }
    }

    pub(crate) fn text(&mut self, text: &[u8], span: Span) -> Expr {
        if text.len() > MAX_TEXT {
            let message = format!("a text of {} bytes is too long: at most {MAX_TEXT}", text.len());
            return self.fail(Diagnostic::error(Code::TOO_LARGE, span, message));
        }
        let cap = text.len() as u32 + 1;
        Expr { kind: ExprKind::Str(text.into()), ty: Type::Str { cap }, span }
    }

    /// `$n` as text; empty if it was not given.
    pub(crate) fn positional_text(&self, n: u32) -> &str {
        (n as usize).checked_sub(1).and_then(|i| self.options.positional.get(i)).map_or("", String::as_str)
    }

    fn positional(&mut self, n: u32, span: Span) -> Expr {
        let text = self.positional_text(n).to_string();
        if text.is_empty() {
            return Expr::int(0, Type::of_literal(0), span);
        }
        match parse_integer(&text) {
            Some(value) if value < 0 => Expr::int(value, Type::I64, span),
            Some(value) => Expr::int(value, Type::of_literal(value as u64), span),
            None => self.text(text.as_bytes(), span),
        }
    }

    fn name(&mut self, name: &str, e: &ast::Expr) -> Expr {
        if let Some(value) = self.defines.get(name).copied() {
            if self.define_depth >= MAX_DEFINES {
                let diag =
                    Diagnostic::error(Code::PREPROCESSOR, e.span, format!("#define {name} refers to itself"));
                return self.fail(diag);
            }
            self.define_uses += 1;
            if self.define_uses > MAX_DEFINE_USES + 1 {
                return Expr::error(e.span);
            }
            if self.define_uses > MAX_DEFINE_USES {
                let message = "the script is too large once its #defines are expanded";
                return self.fail(Diagnostic::error(Code::TOO_DEEP, e.span, message));
            }
            self.define_depth += 1;
            let mut value = self.expr(value);
            self.define_depth -= 1;
            value.span = e.span;
            return value;
        }
        if let Some((builtin, n)) = builtins::value_named(name) {
            return self.builtin(builtin, &BuiltinCall { name, args: &[], span: e.span, index: n });
        }
        if let Some((value, ty)) = self.types.enumerator(name) {
            return Expr::int(value, ty, e.span);
        }
        let mut diag = Diagnostic::error(Code::UNKNOWN_BUILTIN, e.span, format!("unknown name: {name}"));
        if let Some(near) = super::expand::near_macro(self.script, name) {
            diag = diag.with_help(format!("did you mean the macro `{near}`?"));
        } else if let Some(near) = did_you_mean(name, builtins::names()) {
            diag = diag.with_help(format!("did you mean `{near}`?"));
        } else if self.find_var(name).is_some() {
            diag = diag.with_help(format!("variables are written with a dollar: ${name}"));
        } else if let Some(near) = self.types.near_enumerator(name) {
            diag = diag.with_help(format!("did you mean `{near}`?"));
        }
        self.fail(diag)
    }

    fn call(&mut self, func: &ast::Name, args: &[ast::Arg], span: Span) -> Expr {
        if let Some((builtin, n)) = builtins::function_named(&func.text) {
            return self.builtin(builtin, &BuiltinCall { name: &func.text, args, span, index: n });
        }
        let message = format!("unknown function: {}", func.text);
        let mut diag = Diagnostic::error(Code::UNKNOWN_FUNCTION, func.span, message);
        if let Some(near) = super::expand::near_macro(self.script, &func.text) {
            diag = diag.with_help(format!("did you mean the macro `{near}`?"));
        } else if let Some(near) = did_you_mean(&func.text, builtins::names()) {
            diag = diag.with_help(format!("did you mean `{near}`?"));
        }
        // What stands in the arguments is checked all the same, for what else is wrong there.
        for arg in args {
            if let ast::Arg::Expr(e) = arg {
                self.expr(e);
            }
        }
        self.fail(diag)
    }

    fn builtin(&mut self, builtin: &'static dyn builtins::Builtin, call: &BuiltinCall<'_>) -> Expr {
        let n = call.args.len();
        if !builtin.arity().contains(&n) {
            let message = format!("{} takes {}, not {n}", call.name, arity_text(&builtin.arity()));
            let diag = Diagnostic::error(Code::WRONG_ARGUMENTS, call.span, message)
                .with_help(format!("it is called as {}", builtin.doc().signature));
            return self.fail(diag);
        }
        match builtin.check(self, call) {
            Ok(e) => e,
            Err(diag) => self.fail(*diag),
        }
    }

    fn block_expr(&mut self, block: &ast::Block) -> Expr {
        let mut typed = self.in_expansion(block.span, |cx| cx.block(block));
        if typed.stmts.is_empty()
            && let Some(value) = typed.value.take()
        {
            return *value;
        }
        match &typed.value {
            Some(value) => {
                let ty = value.ty.clone();
                Expr { kind: ExprKind::Block(typed), ty, span: block.span }
            }
            None => Expr { kind: ExprKind::Block(typed), ty: Type::Void, span: block.span },
        }
    }

    fn select(&mut self, cond: Expr, then: Expr, els: Expr, span: Span) -> Expr {
        // `c ? f() : g()` for the effect alone.
        if then.ty == Type::Void && els.ty == Type::Void {
            let block = |e: Expr| {
                let span = e.span;
                Block {
                    stmts: vec![crate::typed::Stmt { kind: crate::typed::StmtKind::Expr(e), span }],
                    value: None,
                }
            };
            let kind = ExprKind::If(Box::new(cond), block(then), Some(block(els)));
            return Expr { kind, ty: Type::Void, span };
        }
        let (then, els) = (self.use_value(then), self.use_value(els));
        let Some(ty) = self.common_type(&then, &els, span) else { return Expr::error(span) };
        let (then, els) = (self.convert(then, &ty), self.convert(els, &ty));
        Expr { kind: ExprKind::Select(Box::new(cond), Box::new(then), Box::new(els)), ty, span }
    }

    /// The type that both have in common.
    pub(super) fn common_type(&mut self, a: &Expr, b: &Expr, span: Span) -> Option<Type> {
        match super::join(&a.inferred(), &b.inferred()) {
            Some(ty) => Some(ty.settled()),
            None => {
                let message = format!("{} and {} have no type in common", a.ty, b.ty);
                self.report(Diagnostic::error(Code::TYPE_MISMATCH, span, message));
                None
            }
        }
    }

    /// An explicit cast.
    fn cast(&mut self, value: Expr, to: Type, span: Span) -> Expr {
        let refuse = |cx: &mut Self, value: &Expr| {
            let message = format!("{} cannot be cast to {to}", value.ty);
            cx.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
        };
        match (&value.ty, &to) {
            (Type::Unknown, _) => Expr { kind: value.kind, ty: to, span },
            (_, Type::Enum(e))
                if let Some(n) = value.as_int()
                    && !e.variants.is_empty()
                    && e.variants.iter().all(|(v, _)| *v != n) =>
            {
                let message = format!("enum {} has no enumerator of value {n}", e.name);
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
            }
            (from, to) if from.is_integral() && to.is_integral() => {
                if from == to && !value.is_flexible() {
                    return value;
                }
                Expr { kind: ExprKind::Convert(Box::new(value)), ty: to.clone(), span }
            }
            (from, Type::Ptr(pointee, _)) if from.is_integral() => {
                let ty = Type::Ptr(pointee.clone(), self.space_of_number(&value));
                Expr { kind: ExprKind::Convert(Box::new(value)), ty, span }
            }
            (Type::Ptr(_, space), Type::Ptr(pointee, _)) => {
                // What BTF vouches for ends where the author names another type.
                let space = if *space == Space::Trusted { Space::Kernel } else { *space };
                let ty = Type::Ptr(pointee.clone(), space);
                Expr { kind: ExprKind::Convert(Box::new(value)), ty, span }
            }
            (Type::Ptr(..), to) if to.is_integral() => {
                Expr { kind: ExprKind::Convert(Box::new(value)), ty: to.clone(), span }
            }
            (Type::Opaque(hark_object::Ty::Ksym), to) if to.is_integral() => {
                Expr { kind: ExprKind::Convert(Box::new(value)), ty: to.clone(), span }
            }
            (from, to) if from == to => value,
            (Type::Str { .. }, Type::Str { .. }) | (Type::Tuple(_), Type::Tuple(_)) => {
                if super::join(&value.ty, &to).is_none() {
                    return refuse(self, &value);
                }
                self.convert(value, &to)
            }
            // Arrays of bytes and integers of the same size.
            (Type::Array(..), to) if to.is_integral() && self.types.size_of(&value.ty) <= 8 => {
                let bytes = self.types.size_of(&value.ty);
                if bytes != self.types.size_of(to) {
                    return refuse(self, &value);
                }
                Expr { kind: ExprKind::Convert(Box::new(value)), ty: to.clone(), span }
            }
            (from, Type::Array(elem, len)) if from.is_integral() && elem.is_integral() => {
                let have = self.types.size_of(from);
                let size = self.types.size_of(elem).max(1);
                let want = if *len == 0 { have / size } else { *len };
                // A literal is as wide as the array wants it, if it fits.
                let (bytes, value) = match value.kind {
                    ExprKind::Int(n) if want * size != have && want * size <= 8 => {
                        let bytes = (want * size) as u8;
                        let wide = Type::Int { bytes, signed: true };
                        let fits = wrap(n, bytes, true) == n || wrap(n, bytes, false) == n;
                        let ty = if fits && bytes.is_power_of_two() { wide } else { value.ty.clone() };
                        (self.types.size_of(&ty), Expr { ty, ..value })
                    }
                    _ => (have, value),
                };
                if want * size != bytes {
                    return refuse(self, &value);
                }
                let ty = Type::Array(elem.clone(), want);
                Expr { kind: ExprKind::Convert(Box::new(value)), ty, span }
            }
            // A struct value is what an address points to: `(struct s)x` has no meaning, a pointer cast has.
            _ => refuse(self, &value),
        }
    }

    /// An implicit conversion to a type that [`super::join`] found: always possible.
    pub(crate) fn convert(&mut self, e: Expr, to: &Type) -> Expr {
        if e.ty == *to || *to == Type::Unknown || matches!(e.kind, ExprKind::Error) {
            return e;
        }
        match (&e.kind, &e.ty, to) {
            (ExprKind::Int(value), _, Type::Int { bytes, signed }) => {
                Expr::int(wrap(*value, *bytes, *signed), to.clone(), e.span)
            }
            (ExprKind::Tuple(_), Type::Tuple(_), Type::Tuple(types)) => {
                let ExprKind::Tuple(members) = e.kind else { return Expr::error(e.span) };
                let members = members.into_iter().zip(types).map(|(m, ty)| self.convert(m, ty)).collect();
                Expr { kind: ExprKind::Tuple(members), ty: to.clone(), span: e.span }
            }
            (ExprKind::Tuple(_), Type::Record(have), Type::Record(want))
                if have.iter().map(|(n, _)| n).eq(want.iter().map(|(n, _)| n)) =>
            {
                let ExprKind::Tuple(members) = e.kind else { return Expr::error(e.span) };
                let members = members.into_iter().zip(want).map(|(m, (_, ty))| self.convert(m, ty)).collect();
                Expr { kind: ExprKind::Tuple(members), ty: to.clone(), span: e.span }
            }
            _ => {
                let span = e.span;
                Expr { kind: ExprKind::Convert(Box::new(e)), ty: to.clone(), span }
            }
        }
    }

    fn inc_dec(&mut self, target: &ast::Expr, increment: bool, postfix: bool, span: Span) -> Expr {
        let sign = if increment { 1 } else { -1 };
        // The new value is the result of 64-bit arithmetic: `--` can go below zero.
        let widened = |ty: &Type| match ty {
            Type::Int { signed: false, .. } if increment => Type::U64,
            Type::Ptr(..) => ty.clone(),
            _ => Type::I64,
        };
        match &target.kind {
            ast::ExprKind::Var(name) => {
                let value = self.expr(target);
                let Some(var) = self.find_var(name) else { return value };
                let step = match &value.ty {
                    Type::Ptr(to, _) => sign * i64::from(self.types.size_of(to).max(1)),
                    ty if ty.is_integral() => sign,
                    ty => {
                        let message = format!("{ty} cannot be counted up or down");
                        return self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message));
                    }
                };
                self.mark_assigned(var);
                if !self.is_fixed(var) {
                    self.assign_var(var, &widened(&value.ty), span);
                }
                let ty = self.var_type(var);
                Expr { kind: ExprKind::IncDecVar { var, step, postfix }, ty, span }
            }
            ast::ExprKind::Map { name, keys } => {
                let map = self.map_id(name, target.span);
                let key = self.map_access(map, keys, target.span);
                let have = self.map_value(map);
                let step = match &have {
                    Type::Ptr(to, _) => sign * i64::from(self.types.size_of(to).max(1)),
                    ty if ty.is_integral() => sign,
                    ty => {
                        let message = format!("@{name} holds {ty}, which cannot be counted up or down");
                        return self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message));
                    }
                };
                self.assign_map(map, &widened(&have), span);
                self.read_map(map, span);
                let ty = self.map_value(map);
                let key = key.map(Box::new);
                Expr { kind: ExprKind::IncDecMap { map, key, step, postfix, used: true }, ty, span }
            }
            _ => {
                let diag = Diagnostic::error(
                    Code::NOT_ASSIGNABLE,
                    span,
                    "only variables and maps can be counted up or down",
                );
                self.fail(diag)
            }
        }
    }
}

/// A whole number as positional parameters hold it: decimal, `0x`, leading 0 for octal, with a sign.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let magnitude = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { Some(magnitude as i64) }
}

fn arity_text(range: &std::ops::RangeInclusive<usize>) -> String {
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    match (*range.start(), *range.end()) {
        (0, 0) => "no arguments".into(),
        (a, b) if a == b => format!("{a} {}", plural(a)),
        (a, usize::MAX) => format!("at least {a} {}", plural(a)),
        (a, b) => format!("{a} to {b} arguments"),
    }
}
