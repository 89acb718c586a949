//! Which variables a piece of the typed tree uses and changes, and whether it may leave the program.

use crate::typed::{Block, CallData, Expr, ExprKind, MapId, Stmt, StmtKind, VarId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// What a piece of code does to variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    /// How often each variable occurs.
    pub counts: FxHashMap<VarId, u32>,
    /// Variables that are assigned.
    pub changed: BTreeSet<VarId>,
    /// Variables whose address is taken.
    pub addressed: BTreeSet<VarId>,
    /// Whether it holds a `return` or `exit()`.
    pub leaves: bool,
    /// Whether it holds a `break` or `continue`.
    pub jumps: bool,
    /// Whether it holds a `continue`.
    pub continues: bool,
    /// Maps that it reads or changes while it runs, or asks user space to change.
    pub maps: FxHashSet<MapId>,
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

    /// Of a statement.
    pub(crate) fn of_stmt(stmt: &Stmt) -> Self {
        let mut uses = Self::default();
        uses.stmt(stmt);
        uses
    }

    /// Adds an expression.
    pub(super) fn add(&mut self, e: &Expr) {
        self.expr(e);
    }

    /// Adds a statement.
    pub(super) fn add_stmt(&mut self, stmt: &Stmt) {
        self.stmt(stmt);
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
            StmtKind::AssignMap { map, key, value } => {
                self.maps.insert(*map);
                key.iter().for_each(|e| self.expr(e));
                self.expr(value);
            }
            StmtKind::Aggregate { map, key, value, extra, .. } => {
                self.maps.insert(*map);
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
            StmtKind::ForMap { var, map, body } => {
                self.maps.insert(*map);
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
            StmtKind::Break => self.jumps = true,
            StmtKind::Continue => {
                self.jumps = true;
                self.continues = true;
            }
        }
    }

    fn expr(&mut self, e: &Expr) {
        self.nodes += 1;
        match &e.kind {
            ExprKind::Int(_) | ExprKind::Str(_) | ExprKind::Arg(_) | ExprKind::Args | ExprKind::Error => {}
            ExprKind::Var(var) => self.used(*var),
            ExprKind::MapGet(map, key)
            | ExprKind::MapReadAgg(map, key, _)
            | ExprKind::IncDecMap { map, key, .. } => {
                self.maps.insert(*map);
                key.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Call(call) => {
                self.leaves |= call.builtin.name() == "exit";
                match call.data {
                    CallData::Find(map, var) => {
                        self.maps.insert(map);
                        self.change(var);
                    }
                    CallData::Map(map) | CallData::MapKey(map) | CallData::Take(map, _) => {
                        self.maps.insert(map);
                    }
                    CallData::None
                    | CallData::Int(_)
                    | CallData::Text(_)
                    | CallData::Format(_)
                    | CallData::Message(..) => {}
                }
                call.args.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Neg(a)
            | ExprKind::BitNot(a)
            | ExprKind::Not(a)
            | ExprKind::Convert(a)
            | ExprKind::Deref(a)
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
            ExprKind::AddrOf(a) => {
                if let ExprKind::Var(var) = a.kind {
                    self.addressed.insert(var);
                }
                self.expr(a);
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Tuple(members) => members.iter().for_each(|e| self.expr(e)),
            ExprKind::IncDecVar { var, .. } => self.change(*var),
        }
    }
}
