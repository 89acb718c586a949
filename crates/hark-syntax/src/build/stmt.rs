//! Blocks and statements.

use super::{Builder, Rule, Tall, inner};
use crate::ast::{BinOp, Block, Expr, ExprKind, Stmt, StmtKind};
use crate::{MAX_DEPTH, message};
use hark_diag::{Code, Diagnostic, Span};
use pest::iterators::{Pair, Pairs};
use std::ops::Range;

/// A statement of which it is not yet known whether a `;` follows.
struct Pending {
    stmt: Stmt,
    /// It ends with a block and needs no `;`.
    braced: bool,
}

impl Builder<'_> {
    /// The block whose content, without braces, stands in `range`; `span` is the block's.
    pub(crate) fn body_in(&self, range: Range<usize>, span: Span) -> Block {
        let built = self.with_repairs(Rule::body_entry, range, |pairs| {
            let Tall((stmts, value), _) = self.statements(inner(pairs)?, 0);
            Some(Block { stmts, value, span })
        });
        built.unwrap_or_else(|| {
            let stmt = Stmt { kind: StmtKind::Expr(Expr { kind: ExprKind::Error, span }), span };
            Block { stmts: vec![stmt], value: None, span }
        })
    }

    pub(super) fn block(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Block> {
        let span = self.span(&pair);
        if depth >= MAX_DEPTH {
            self.report_deep_once(span);
            return Tall(Block { stmts: Vec::new(), value: None, span }, 1);
        }
        let Tall((stmts, value), height) = self.statements(pair.into_inner(), depth);
        Tall(Block { stmts, value, span }, height + 1)
    }

    fn statements(&self, pairs: Pairs<'_, Rule>, depth: u32) -> Tall<(Vec<Stmt>, Option<Box<Expr>>)> {
        let mut stmts = Vec::new();
        let mut height = 0;
        let mut pending: Option<Pending> = None;
        let mut missing = false;
        for pair in pairs {
            match pair.as_rule() {
                Rule::semi => {
                    stmts.extend(pending.take().map(|p| p.stmt));
                    missing = false;
                }
                Rule::lbrace | Rule::rbrace | Rule::EOI => {}
                rule => {
                    if let Some(before) = pending.take() {
                        // Of several in a row, the first is the one to mend.
                        if !before.braced && !missing {
                            self.missing_semicolon(&before.stmt, &pair);
                        }
                        missing = !before.braced;
                        stmts.push(before.stmt);
                    }
                    let Tall(stmt, h) = self.stmt(pair, depth);
                    height = height.max(h);
                    let braced = matches!(
                        rule,
                        Rule::if_expr | Rule::block | Rule::for_stmt | Rule::while_stmt | Rule::unroll_stmt
                    ) || matches!(
                        &stmt.kind,
                        StmtKind::Expr(Expr { kind: ExprKind::Error, .. })
                    );
                    pending = Some(Pending { stmt, braced });
                }
            }
        }
        let mut value = None;
        match pending {
            Some(Pending { stmt: Stmt { kind: StmtKind::Expr(expr), .. }, braced })
                if !braced || yields(&expr) =>
            {
                value = Some(Box::new(expr));
            }
            Some(last) => stmts.push(last.stmt),
            None => {}
        }
        Tall((stmts, value), height)
    }

    fn missing_semicolon(&self, before: &Stmt, next: &Pair<'_, Rule>) {
        let end = Span { lo: before.span.hi.saturating_sub(1), ..before.span };
        let found = message::describe(next.as_str());
        let mut diag =
            Diagnostic::error(Code::SYNTAX, end, format!("expected `;` after this, found {found}"));
        diag.helps.extend(message::hint_after_statement(before, next.as_str()));
        self.report(diag);
    }

    fn stmt(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Stmt> {
        let span = self.span(&pair);
        let depth = depth + 1;
        let mut height = 0;
        // Height is that of the tallest part; parts are visited from left to right.
        let mut expr = |p: Pair<'_, Rule>| {
            let Tall(expr, h) = self.expr(p, depth);
            height = height.max(h);
            expr
        };
        let rule = pair.as_rule();
        let kind = match rule {
            Rule::if_expr => {
                let Tall(e, h) = self.if_expr(pair, depth);
                height = h;
                StmtKind::Expr(e)
            }
            Rule::block => {
                let Tall(block, h) = self.block(pair, depth);
                height = h + 1;
                StmtKind::Expr(Expr { kind: ExprKind::Block(block), span })
            }
            Rule::break_stmt => StmtKind::Break,
            Rule::continue_stmt => StmtKind::Continue,
            Rule::return_stmt => {
                StmtKind::Return(pair.into_inner().find(|p| p.as_rule() == Rule::expr).map(expr))
            }
            Rule::simple_stmt => {
                let mut parts = pair.into_inner();
                let target = match parts.next() {
                    Some(p) => expr(p),
                    None => Expr { kind: ExprKind::Error, span },
                };
                match (parts.next(), parts.next()) {
                    (Some(op), Some(value)) => {
                        let value = expr(value);
                        self.assignment(target, &op, value)
                    }
                    _ => {
                        let span = target.span;
                        return Tall(Stmt { kind: StmtKind::Expr(target), span }, height + 1);
                    }
                }
            }
            Rule::let_stmt => {
                let mut var = None;
                let mut ty = None;
                let mut value = None;
                let mut type_height = 0;
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::var => var = Some(self.name(&part, 1)),
                        Rule::ty => {
                            let Tall(t, h) = self.ty(part, depth);
                            type_height = h;
                            ty = Some(t);
                        }
                        Rule::expr => value = Some(expr(part)),
                        _ => {}
                    }
                }
                height = height.max(type_height);
                match var {
                    Some(var) => StmtKind::Let { var, ty, value },
                    None => StmtKind::Expr(Expr { kind: ExprKind::Error, span }),
                }
            }
            _ => {
                let mut var = None;
                let mut exprs = Vec::new();
                let mut body = None;
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::var => var = Some(self.name(&part, 1)),
                        Rule::expr => exprs.push(expr(part)),
                        Rule::block => body = Some(part),
                        _ => {}
                    }
                }
                let body = body.map(|b| self.block(b, depth));
                height = height.max(body.as_ref().map_or(0, |b| b.1));
                let body = body.map_or_else(|| Block { stmts: Vec::new(), value: None, span }, |b| b.0);
                let second = if exprs.len() > 1 { exprs.pop() } else { None };
                match (rule, var, exprs.pop(), second) {
                    (Rule::for_stmt, Some(var), Some(from), Some(to)) => {
                        StmtKind::ForRange { var, from, to, body }
                    }
                    (Rule::for_stmt, Some(var), Some(map), None) => {
                        self.check_for_map(&map);
                        StmtKind::ForMap { var, map, body }
                    }
                    (Rule::while_stmt, _, Some(cond), _) => StmtKind::While { cond, body },
                    (Rule::unroll_stmt, _, Some(count), _) => StmtKind::Unroll { count, body },
                    _ => StmtKind::Expr(Expr { kind: ExprKind::Error, span }),
                }
            }
        };
        Tall(Stmt { kind, span }, height + 1)
    }

    fn assignment(&self, target: Expr, op: &Pair<'_, Rule>, value: Expr) -> StmtKind {
        let op = match op.as_str() {
            "<<=" => Some(BinOp::Shl),
            ">>=" => Some(BinOp::Shr),
            "+=" => Some(BinOp::Add),
            "-=" => Some(BinOp::Sub),
            "*=" => Some(BinOp::Mul),
            "/=" => Some(BinOp::Div),
            "%=" => Some(BinOp::Mod),
            "&=" => Some(BinOp::BitAnd),
            "|=" => Some(BinOp::BitOr),
            "^=" => Some(BinOp::BitXor),
            _ => None,
        };
        match &target.kind {
            ExprKind::Ident(name) if name == "_" && op.is_none() => StmtKind::Discard(value),
            _ => StmtKind::Assign { target, op, value },
        }
    }

    fn check_for_map(&self, map: &Expr) {
        match &map.kind {
            ExprKind::Map { keys, .. } if keys.is_empty() => {}
            ExprKind::Error => {}
            _ => {
                let diag = Diagnostic::error(Code::SYNTAX, map.span, "a loop goes over a range or a map")
                    .with_help("write `for ($i : 0..10) { … }` or `for ($kv : @map) { … }`");
                self.report(diag);
            }
        }
    }

    pub(super) fn if_expr(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        if depth >= MAX_DEPTH {
            return self.deep(span);
        }
        let mut cond = None;
        let mut then = None;
        let mut els = None;
        let mut height = 0;
        for part in pair.into_inner() {
            let part_span = self.span(&part);
            let h = match part.as_rule() {
                Rule::expr => {
                    let Tall(e, h) = self.expr(part, depth + 1);
                    cond = Some(e);
                    h
                }
                Rule::block => {
                    let Tall(block, h) = self.block(part, depth + 1);
                    if then.is_none() {
                        then = Some(block);
                        h
                    } else {
                        els = Some(Expr { kind: ExprKind::Block(block), span: part_span });
                        h + 1
                    }
                }
                Rule::if_expr => {
                    let Tall(e, h) = self.if_expr(part, depth + 1);
                    els = Some(e);
                    h
                }
                _ => 0,
            };
            height = height.max(h);
        }
        let kind = match (cond, then) {
            (Some(cond), Some(then)) => ExprKind::If { cond: Box::new(cond), then, els: els.map(Box::new) },
            _ => ExprKind::Error,
        };
        Tall(Expr { kind, span }, height + 1)
    }
}

/// Whether an `if` or block at the end of a block can be its value: every way through it ends with one.
pub(crate) fn yields(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Block(block) => block.value.is_some(),
        ExprKind::If { then, els, .. } => then.value.is_some() && els.as_ref().is_some_and(|e| yields(e)),
        _ => false,
    }
}
