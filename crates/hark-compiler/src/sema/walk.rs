//! Visits every expression of a syntax tree.

use hark_syntax::ast::{Arg, Block, Expr, ExprKind, Stmt, StmtKind};

/// Calls `f` on every expression under `block`, outer before inner.
pub(super) fn walk_block(block: &Block, f: &mut dyn FnMut(&Expr)) {
    for stmt in &block.stmts {
        walk_stmt(stmt, f);
    }
    if let Some(value) = &block.value {
        walk_expr(value, f);
    }
}

fn walk_stmt(stmt: &Stmt, f: &mut dyn FnMut(&Expr)) {
    match &stmt.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => walk_expr(e, f),
        StmtKind::Assign { target, value, .. } => {
            walk_expr(target, f);
            walk_expr(value, f);
        }
        StmtKind::Let { value, .. } => {
            if let Some(value) = value {
                walk_expr(value, f);
            }
        }
        StmtKind::While { cond, body } => {
            walk_expr(cond, f);
            walk_block(body, f);
        }
        StmtKind::ForRange { from, to, body, .. } => {
            walk_expr(from, f);
            walk_expr(to, f);
            walk_block(body, f);
        }
        StmtKind::ForMap { map, body, .. } => {
            walk_expr(map, f);
            walk_block(body, f);
        }
        StmtKind::Unroll { count, body } => {
            walk_expr(count, f);
            walk_block(body, f);
        }
        StmtKind::Return(value) => {
            if let Some(value) = value {
                walk_expr(value, f);
            }
        }
        StmtKind::Break | StmtKind::Continue => {}
    }
}

/// Calls `f` on `e` and every expression under it, outer before inner.
pub(super) fn walk_expr(e: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(e);
    match &e.kind {
        ExprKind::Int { .. }
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Ident(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Var(_)
        | ExprKind::Error => {}
        ExprKind::Map { keys: list, .. } | ExprKind::Tuple(list) => {
            for e in list {
                walk_expr(e, f);
            }
        }
        ExprKind::Call { args, .. } => {
            for arg in args {
                if let Arg::Expr(e) = arg {
                    walk_expr(e, f);
                }
            }
        }
        ExprKind::Unary(_, e) | ExprKind::Comptime(e) | ExprKind::Cast(_, e) => walk_expr(e, f),
        ExprKind::IncDec { target, .. } => walk_expr(target, f),
        ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => walk_expr(base, f),
        ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => {
            walk_expr(a, f);
            walk_expr(b, f);
        }
        ExprKind::Ternary { cond, then, els } => {
            walk_expr(cond, f);
            if let Some(then) = then {
                walk_expr(then, f);
            }
            walk_expr(els, f);
        }
        ExprKind::If { cond, then, els } => {
            walk_expr(cond, f);
            walk_block(then, f);
            if let Some(els) = els {
                walk_expr(els, f);
            }
        }
        ExprKind::Block(block) => walk_block(block, f),
        ExprKind::Record(fields) => {
            for (_, e) in fields {
                walk_expr(e, f);
            }
        }
    }
}
