//! Which variables a piece of the typed tree uses and changes, and whether it may leave the program.

use crate::typed::{Block, CallData, Expr, ExprKind, Stmt, StmtKind, VarId};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// What a piece of code does to variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// How often each variable occurs.
    pub counts: FxHashMap<VarId, u32>,
    /// Variables that are assigned.
    pub changed: BTreeSet<VarId>,
    /// Whether it holds a `return` or `exit()`.
    pub leaves: bool,
    /// Nodes: a rough measure of its size.
    pub nodes: u32,
}

impl Uses {
    /// Of a block.
    pub(super) fn of_block(block: &Block) -> Self {
        let mut uses = Self::default();
        uses.block(block);
        uses
    }

    /// Adds an expression.
    pub(super) fn add(&mut self, e: &Expr) {
        self.expr(e);
    }

    /// Adds a variable that is assigned.
    pub(super) fn add_changed(&mut self, var: VarId) {
        self.change(var);
    }

    fn used(&mut self, var: VarId) {
        *self.counts.entry(var).or_default() += 1;
    }

    fn change(&mut self, var: VarId) {
        self.used(var);
        self.changed.insert(var);
    }

    fn block(&mut self, block: &Block) {
        block.stmts.iter().for_each(|s| self.stmt(s));
        block.value.iter().for_each(|e| self.expr(e));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        self.nodes += 1;
        match &stmt.kind {
            StmtKind::Expr(e) => self.expr(e),
            StmtKind::AssignVar(var, value) => {
                self.change(*var);
                value.iter().for_each(|e| self.expr(e));
            }
            StmtKind::AssignMap { key, value, .. } => {
                key.iter().for_each(|e| self.expr(e));
                self.expr(value);
            }
            StmtKind::Aggregate { key, value, extra, .. } => {
                key.iter().chain(value).chain(extra).for_each(|e| self.expr(e));
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.block(body);
            }
            StmtKind::ForRange { var, from, to, body } => {
                self.change(*var);
                self.expr(from);
                self.expr(to);
                self.block(body);
            }
            StmtKind::ForMap { var, body, .. } => {
                self.change(*var);
                self.block(body);
            }
            StmtKind::Unroll { body, count } => {
                let before = self.nodes;
                self.block(body);
                self.nodes += (self.nodes - before).saturating_mul(count.saturating_sub(1));
            }
            StmtKind::Return(value) => {
                self.leaves = true;
                value.iter().for_each(|e| self.expr(e));
            }
            StmtKind::Break | StmtKind::Continue => {}
        }
    }

    fn expr(&mut self, e: &Expr) {
        self.nodes += 1;
        match &e.kind {
            ExprKind::Int(_) | ExprKind::Str(_) | ExprKind::Arg(_) | ExprKind::Args | ExprKind::Error => {}
            ExprKind::Var(var) => self.used(*var),
            ExprKind::MapGet(_, key) | ExprKind::MapReadAgg(_, key, _) | ExprKind::IncDecMap { key, .. } => {
                key.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Call(call) => {
                self.leaves |= call.builtin.name() == "exit";
                if let CallData::Find(_, var) = call.data {
                    self.change(var);
                }
                call.args.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Neg(a)
            | ExprKind::BitNot(a)
            | ExprKind::Not(a)
            | ExprKind::Convert(a)
            | ExprKind::Deref(a)
            | ExprKind::AddrOf(a)
            | ExprKind::Member(a, _)
            | ExprKind::Field { base: a, .. } => self.expr(a),
            ExprKind::Arith(_, a, b)
            | ExprKind::PtrAdd(a, b, _)
            | ExprKind::PtrDiff(a, b, _)
            | ExprKind::Compare(_, _, a, b)
            | ExprKind::StrEq(_, a, b)
            | ExprKind::MemEq(_, a, b)
            | ExprKind::And(a, b)
            | ExprKind::Or(a, b)
            | ExprKind::Elvis(a, b)
            | ExprKind::Index { base: a, index: b, .. } => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Select(a, b, c) => [a, b, c].into_iter().for_each(|e| self.expr(e)),
            ExprKind::If(cond, then, els) => {
                self.expr(cond);
                self.block(then);
                els.iter().for_each(|b| self.block(b));
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Tuple(members) => members.iter().for_each(|e| self.expr(e)),
            ExprKind::IncDecVar { var, .. } => self.change(*var),
        }
    }
}
