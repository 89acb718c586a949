//! Visits every expression of a syntax tree.

use hark_syntax::ast::{Arg, Block, Expr, ExprKind, Stmt, StmtKind, TypeExpr, TypeKind};

/// Calls `f` on every expression under `block`, outer before inner.
pub(super) fn walk_block(block: &Block, f: &mut dyn FnMut(&Expr)) {
    of_block(block, &mut |e| walk_expr(e, f));
}

/// Calls `f` on `e` and every expression under it, outer before inner.
pub(super) fn walk_expr(e: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(e);
    children(e, &mut |child| walk_expr(child, f));
}

fn of_block(block: &Block, f: &mut dyn FnMut(&Expr)) {
    for stmt in &block.stmts {
        of_stmt(stmt, f);
    }
    if let Some(value) = &block.value {
        f(value);
    }
}

fn of_stmt(stmt: &Stmt, f: &mut dyn FnMut(&Expr)) {
    match &stmt.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => f(e),
        StmtKind::Assign { target, value, .. } => {
            f(target);
            f(value);
        }
        StmtKind::Let { ty, value, .. } => {
            if let Some(ty) = ty {
                of_type(ty, f);
            }
            if let Some(value) = value {
                f(value);
            }
        }
        StmtKind::While { cond: e, body } | StmtKind::ForMap { map: e, body, .. } => {
            f(e);
            of_block(body, f);
        }
        StmtKind::ForRange { from, to, body, .. } => {
            f(from);
            f(to);
            of_block(body, f);
        }
        StmtKind::Unroll { count, body } => {
            f(count);
            of_block(body, f);
        }
        StmtKind::Return(value) => {
            if let Some(value) = value {
                f(value);
            }
        }
        StmtKind::Break | StmtKind::Continue => {}
    }
}

fn of_type(ty: &TypeExpr, f: &mut dyn FnMut(&Expr)) {
    match &ty.kind {
        TypeKind::Named(_) | TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_) => {}
        TypeKind::Ptr(to) => of_type(to, f),
        TypeKind::Array(elem, len) => {
            of_type(elem, f);
            if let Some(len) = len {
                f(len);
            }
        }
        TypeKind::Tuple(members) => members.iter().for_each(|m| of_type(m, f)),
        TypeKind::Typeof(what) => of_arg(what, f),
    }
}

fn of_arg(arg: &Arg, f: &mut dyn FnMut(&Expr)) {
    match arg {
        Arg::Expr(e) => f(e),
        Arg::Type(ty) => of_type(ty, f),
    }
}

/// Calls `f` on the expressions right under `e`; through the statements of blocks, as these are no expressions.
pub(super) fn children(e: &Expr, f: &mut dyn FnMut(&Expr)) {
    match &e.kind {
        ExprKind::Int { .. }
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Ident(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Var(_)
        | ExprKind::Error => {}
        ExprKind::Map { keys: list, .. } | ExprKind::Tuple(list) => list.iter().for_each(f),
        ExprKind::Call { args, .. } => args.iter().for_each(|a| of_arg(a, f)),
        ExprKind::Unary(_, e) | ExprKind::Comptime(e) => f(e),
        ExprKind::Cast(ty, e) => {
            of_type(ty, f);
            f(e);
        }
        ExprKind::IncDec { target, .. } => f(target),
        ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => f(base),
        ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => {
            f(a);
            f(b);
        }
        ExprKind::Ternary { cond, then, els } => {
            f(cond);
            if let Some(then) = then {
                f(then);
            }
            f(els);
        }
        ExprKind::If { cond, then, els } => {
            f(cond);
            of_block(then, f);
            if let Some(els) = els {
                f(els);
            }
        }
        ExprKind::Block(block) => of_block(block, f),
        ExprKind::Record(fields) => fields.iter().for_each(|(_, e)| f(e)),
    }
}
