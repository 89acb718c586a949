//! Statements.

use super::checker::Checker;
use crate::typed::{Block, CallData, Expr, ExprKind, Stmt, StmtKind};
use crate::types::{Type, agg_name};
use hark_diag::{Code, Diagnostic, Span};
use hark_syntax::ast;

/// Most copies that `unroll` makes.
const MAX_UNROLL: i64 = 100;
/// Most copies that nested ones make.
const MAX_COPIES: u64 = 10_000;

impl Checker<'_> {
    /// A block in its own scope, with its value if it has one.
    pub(super) fn block(&mut self, block: &ast::Block) -> Block {
        self.push_scope();
        let mut stmts: Vec<Stmt> = block.stmts.iter().filter_map(|s| self.stmt(s)).collect();
        let mut value = block.value.as_ref().map(|e| Box::new(self.expr(e)));
        if let Some(void) = value.take_if(|v| v.ty == Type::Void) {
            stmts.push(Stmt { span: void.span, kind: StmtKind::Expr(discard(*void)) });
        }
        let value = value.map(|v| Box::new(self.use_value(*v)));
        self.pop_scope();
        Block { stmts, value }
    }

    /// A block of statements: a last expression without `;` is one too.
    pub(super) fn statements(&mut self, block: &ast::Block) -> Block {
        self.push_scope();
        let mut stmts: Vec<Stmt> = block.stmts.iter().filter_map(|s| self.stmt(s)).collect();
        if let Some(value) = &block.value {
            stmts.extend(self.expr_stmt(value).map(|kind| Stmt { kind, span: value.span }));
        }
        self.pop_scope();
        Block { stmts, value: None }
    }

    fn stmt(&mut self, stmt: &ast::Stmt) -> Option<Stmt> {
        let span = stmt.span;
        let kind = match &stmt.kind {
            ast::StmtKind::Expr(e) => self.expr_stmt(e)?,
            ast::StmtKind::Discard(e) => StmtKind::Expr(discard(self.value(e))),
            ast::StmtKind::Assign { target, op, value } => self.assign(target, *op, value, span)?,
            ast::StmtKind::Let { var, ty, value } => {
                if self.find_var(&var.text).is_some() {
                    let message = format!("${} is already declared in this scope", var.text);
                    self.report(Diagnostic::error(Code::REDEFINED, var.span, message));
                    return None;
                }
                // The value is checked before the variable exists: `let $x = $x` is an error.
                let value = value.as_ref().map(|e| self.value(e));
                let id = self.declare_var(&var.text, var.span);
                if let Some(ty) = ty {
                    // `string` without a size is as long as what is assigned.
                    if matches!(&ty.kind, ast::TypeKind::Named(name) if name == "string") {
                        self.assign_var(id, &Type::Str { cap: 1 }, span);
                    } else {
                        let ty = self.type_expr(ty)?;
                        self.fix_var(id, ty.parked());
                    }
                }
                let value = match value {
                    Some(value) => {
                        self.assign_value(id, &value, span);
                        let want = self.var_type(id);
                        Some(self.convert(value, &want))
                    }
                    None => {
                        self.begin_as_zero(id, var.span);
                        None
                    }
                };
                StmtKind::AssignVar(id, value)
            }
            ast::StmtKind::While { cond, body } => {
                let cond = self.condition(cond);
                let body = self.loop_body(body);
                StmtKind::While { cond, body }
            }
            ast::StmtKind::ForRange { var, from, to, body } => {
                let from = self.integer(from);
                let to = self.integer(to);
                let ty = self.common_type(&from, &to, span).unwrap_or(Type::I64);
                let (from, to) = (self.convert(from, &Type::I64), self.convert(to, &Type::I64));
                self.push_scope();
                let id = self.loop_var(var);
                self.assign_var(id, &ty, var.span);
                let body = self.loop_body(body);
                self.pop_scope();
                StmtKind::ForRange { var: id, from, to, body }
            }
            ast::StmtKind::ForMap { var, map, body } => {
                let ast::ExprKind::Map { name, keys } = &map.kind else {
                    self.report(Diagnostic::error(
                        Code::TYPE_MISMATCH,
                        map.span,
                        "for goes over a range or a map",
                    ));
                    return None;
                };
                if !keys.is_empty() {
                    self.report(Diagnostic::error(
                        Code::TYPE_MISMATCH,
                        map.span,
                        "for goes over a whole map",
                    ));
                    return None;
                }
                let id = self.map_id(name, map.span);
                self.read_map(id, map.span);
                if self.is_scalar_map(id) {
                    let message = format!("@{name} has no keys to go over");
                    self.report(Diagnostic::error(Code::TYPE_MISMATCH, map.span, message));
                    return None;
                }
                let key = self.map_key(id).unwrap_or(Type::Unknown);
                let value = match self.map_value(id) {
                    Type::Agg(agg) => match agg_number(agg) {
                        Some(number) => number,
                        None => {
                            let message = format!("a map of {}() has no values to go over", agg_name(agg));
                            self.report(Diagnostic::error(Code::TYPE_MISMATCH, map.span, message));
                            return None;
                        }
                    },
                    other => other,
                };
                self.push_scope();
                let var_id = self.loop_var(var);
                self.assign_var(var_id, &Type::Tuple(vec![key, value]), var.span);
                let body = self.loop_body(body);
                self.pop_scope();
                StmtKind::ForMap { var: var_id, map: id, body }
            }
            ast::StmtKind::Unroll { count, body } => {
                let n = self.integer(count);
                let Some(n) = n.as_int() else {
                    self.report(Diagnostic::error(Code::NOT_CONSTANT, count.span, "unroll needs a constant"));
                    return None;
                };
                if !(1..=MAX_UNROLL).contains(&n) {
                    let message = format!("unroll repeats 1 to {MAX_UNROLL} times, not {n}");
                    self.report(Diagnostic::error(Code::TOO_LARGE, count.span, message));
                    return None;
                }
                let outside = self.copies;
                self.copies = outside.saturating_mul(n as u64);
                if self.copies > MAX_COPIES {
                    let message = format!("nested, these make {} copies of the body", self.copies);
                    let help = format!("at most {MAX_COPIES} are made: use `for ($i : 0..{n})` instead");
                    self.report(Diagnostic::error(Code::TOO_LARGE, span, message).with_help(help));
                    self.copies = outside;
                    return None;
                }
                let body = self.loop_body(body);
                self.copies = outside;
                StmtKind::Unroll { count: n as u32, body }
            }
            ast::StmtKind::Break => self.in_loop("break", StmtKind::Break, span)?,
            ast::StmtKind::Continue => self.in_loop("continue", StmtKind::Continue, span)?,
            ast::StmtKind::Return(value) => StmtKind::Return(value.as_ref().map(|e| {
                let value = self.integer(e);
                self.convert(value, &Type::I64)
            })),
        };
        Some(Stmt { kind, span })
    }

    fn loop_body(&mut self, body: &ast::Block) -> Block {
        self.loops += 1;
        let body = self.statements(body);
        self.loops -= 1;
        body
    }

    fn loop_var(&mut self, var: &ast::Name) -> crate::typed::VarId {
        if self.find_var(&var.text).is_some() {
            let message = format!("${} is already declared in this scope", var.text);
            self.report(Diagnostic::error(Code::REDEFINED, var.span, message));
        }
        self.declare_var(&var.text, var.span)
    }

    fn in_loop(&mut self, word: &str, kind: StmtKind, span: Span) -> Option<StmtKind> {
        if self.loops == 0 {
            self.report(Diagnostic::error(Code::NOT_AVAILABLE_HERE, span, format!("{word} outside a loop")));
            return None;
        }
        Some(kind)
    }

    fn expr_stmt(&mut self, e: &ast::Expr) -> Option<StmtKind> {
        match &e.kind {
            ast::ExprKind::If { cond, then, els } => {
                Some(StmtKind::Expr(self.if_stmt(e, cond, then, els.as_deref())))
            }
            ast::ExprKind::Block(block) => {
                let block = self.in_expansion(block.span, |cx| cx.statements(block));
                let kind = ExprKind::Block(block);
                Some(StmtKind::Expr(Expr { kind, ty: Type::Void, span: e.span }))
            }
            _ => {
                let value = self.expr(e);
                let has_effect = matches!(
                    value.kind,
                    ExprKind::Call(_)
                        | ExprKind::IncDecVar { .. }
                        | ExprKind::IncDecMap { .. }
                        | ExprKind::Error
                ) || value.ty == Type::Void;
                if let Type::Agg(agg) = value.ty
                    && matches!(value.kind, ExprKind::Call(_))
                {
                    let name = agg_name(agg);
                    let diag = Diagnostic::error(
                        Code::TYPE_MISMATCH,
                        e.span,
                        format!("{name}() must be assigned to a map"),
                    )
                    .with_help(format!("write @ = {name}(…)"));
                    self.report(diag);
                    return None;
                }
                if !has_effect {
                    let diag =
                        Diagnostic::warning(Code::DISCARDED, e.span, "the value is computed and dropped")
                            .with_help("assign it, or write `_ = …` if that is meant");
                    self.report(diag);
                }
                Some(StmtKind::Expr(discard(value)))
            }
        }
    }

    fn if_stmt(
        &mut self,
        e: &ast::Expr,
        cond: &ast::Expr,
        then: &ast::Block,
        els: Option<&ast::Expr>,
    ) -> Expr {
        let cond = self.condition(cond);
        // What cannot run has no meaning: scripts test for features this way.
        let known = cond.as_int().map(|n| n != 0);
        let then = if known == Some(false) { Block::EMPTY } else { self.statements(then) };
        let els = els.filter(|_| known != Some(true)).map(|els| match &els.kind {
            ast::ExprKind::Block(block) => self.in_expansion(block.span, |cx| cx.statements(block)),
            ast::ExprKind::If { cond, then, els: more } => {
                let inner = self.if_stmt(els, cond, then, more.as_deref());
                Block { stmts: vec![Stmt { span: inner.span, kind: StmtKind::Expr(inner) }], value: None }
            }
            _ => {
                let value = self.value(els);
                Block { stmts: vec![Stmt { span: value.span, kind: StmtKind::Expr(value) }], value: None }
            }
        });
        Expr { kind: ExprKind::If(Box::new(cond), then, els), ty: Type::Void, span: e.span }
    }

    fn assign(
        &mut self,
        target: &ast::Expr,
        op: Option<ast::BinOp>,
        value: &ast::Expr,
        span: Span,
    ) -> Option<StmtKind> {
        // `x op= e` is `x = x op e`.
        let value = match op {
            None => self.expr(value),
            Some(op) => {
                let left = self.value(target);
                let right = self.value(value);
                self.binary(op, left, right, span)
            }
        };
        match &target.kind {
            ast::ExprKind::Var(name) => {
                let value = self.use_value(value);
                let id = match self.find_var(name) {
                    Some(id) => id,
                    None => self.declare_var(name, target.span),
                };
                if matches!(value.ty, Type::Void | Type::Agg(_)) {
                    let message = format!("a variable cannot hold {}", value.ty);
                    self.report(Diagnostic::error(Code::NOT_ASSIGNABLE, value.span, message));
                    return None;
                }
                self.assign_value(id, &value, value.span);
                let want = self.var_type(id);
                let value = self.convert(value, &want);
                Some(StmtKind::AssignVar(id, Some(value)))
            }
            ast::ExprKind::Map { name, keys } => {
                let id = self.map_id(name, target.span);
                let key = self.map_access(id, keys, target.span);
                if let (Type::Agg(agg), ExprKind::Call(_)) = (&value.ty, &value.kind) {
                    let agg = *agg;
                    let ExprKind::Call(call) = value.kind else { return None };
                    self.assign_map(id, &Type::Agg(agg), span);
                    let CallData::None = call.data else { return None };
                    let mut args = call.args.into_iter();
                    let value = args.next();
                    return Some(StmtKind::Aggregate { map: id, key, agg, value, extra: args.collect() });
                }
                if let Type::Agg(agg) = value.ty {
                    let name = agg_name(agg);
                    let diag = Diagnostic::error(
                        Code::NOT_ASSIGNABLE,
                        value.span,
                        format!("the {name}() of one map cannot be assigned to another"),
                    )
                    .with_help("cast it to an integer to take its value at this moment: (int64)@…");
                    self.report(diag);
                    return None;
                }
                if value.ty == Type::Void {
                    self.report(Diagnostic::error(
                        Code::NOT_ASSIGNABLE,
                        value.span,
                        "this has no value to assign",
                    ));
                    return None;
                }
                if let Type::Agg(agg) = self.map_value(id) {
                    let message = format!("@{name} is assigned by {}() elsewhere", agg_name(agg));
                    self.report(Diagnostic::error(Code::NOT_ASSIGNABLE, span, message));
                    return None;
                }
                let ty = value.ty.parked();
                let value = self.convert(value, &ty);
                self.assign_map(id, &value.inferred(), value.span);
                let want = self.map_value(id);
                let value = self.convert(value, &want);
                Some(StmtKind::AssignMap { map: id, key, value })
            }
            _ => {
                let diag = Diagnostic::error(
                    Code::NOT_ASSIGNABLE,
                    target.span,
                    "only variables and maps can be assigned to",
                );
                self.report(diag);
                None
            }
        }
    }
}

/// The integer type that an aggregation reads as; `None` for histograms.
pub(crate) fn agg_number(agg: hark_object::agg::Agg) -> Option<Type> {
    use hark_object::agg::Agg;
    match agg {
        Agg::Count => Some(Type::U64),
        Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } | Agg::Avg { signed } => {
            Some(Type::Int { bytes: 8, signed })
        }
        _ => None,
    }
}

/// Marks that the value is not used.
fn discard(mut e: Expr) -> Expr {
    match &mut e.kind {
        ExprKind::IncDecMap { used, .. } => *used = false,
        ExprKind::Call(call) => call.discarded = true,
        _ => {}
    }
    e
}
