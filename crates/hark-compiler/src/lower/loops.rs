//! Loops that stay in the program: those whose turns the verifier can walk.

use super::uses::Uses;
use super::{Lower, Storage};
use crate::typed::{ArithOp, Block, Expr, ExprKind, Stmt, StmtKind, VarId, wrap};
use bpf_facts::Feature;
use ebpf_codegen::ir::{BinOp, Cond, Type as IrType};

/// Nodes of the tree that the turns of a loop may come to, if the verifier is to walk through all of them.
const MAX_WALKED: i64 = 1000;

impl Lower<'_> {
    pub(super) fn while_loop(&mut self, cond: &Expr, body: &Block) {
        let mut uses = Uses::of_block(body);
        uses.add(cond);
        let known = self.known_turns(cond, body, &uses);
        // The condition is looked at once more than there are turns.
        let short = known.is_some_and(|n| can_be_walked(n + 1, &uses));
        // Only the kernel that calls the body back need not know when it ends.
        if !short && self.target.profile.has(Feature::BpfLoop) && self.can_close_over(&uses) {
            return self.while_called(cond, body, &uses);
        }
        let (head, inside, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        self.condition(cond, inside, done);
        self.b.seal_and_switch(inside);
        self.loops.push((head, done));
        self.block(body);
        self.loops.pop();
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal_and_switch(done);
    }

    pub(super) fn for_range(&mut self, var: VarId, from: &Expr, to: &Expr, body: &Block) {
        let turns = from.as_int().zip(to.as_int()).map(|(from, to)| to.saturating_sub(from).max(0));
        let from = self.scalar(from);
        let to = self.scalar(to);
        let mut uses = Uses::of_block(body);
        uses.add_changed(var);
        let short = turns.is_some_and(|n| can_be_walked(n, &uses));
        if !short && self.target.profile.has(Feature::BpfLoop) && self.can_close_over(&uses) {
            return self.for_range_called(var, from, to, body, &uses);
        }
        if turns.is_none() {
            let span = self.here();
            if !self.require(Feature::BpfLoop, span) {
                return;
            }
        }
        let counter = self.b.declare_var(IrType::I64);
        self.b.def_var(counter, from);
        let (head, inside, step, done) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let n = self.b.use_var(counter);
        self.b.branch(Cond::Slt, n, to, inside, done);
        self.b.seal_and_switch(inside);
        self.write_var(var, n);
        self.loops.push((step, done));
        self.block(body);
        self.loops.pop();
        self.b.jump(step, &[]);
        self.b.seal_and_switch(step);
        let following = self.b.binary_imm(BinOp::Add, n, 1);
        self.b.def_var(counter, following);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal_and_switch(done);
    }

    /// How many turns `while ($i < n)` makes, or a loop of its kind, that steps `$i` once in each turn from a number
    /// known here. `None` if it is another loop, or one of too many turns for the verifier.
    fn known_turns(&mut self, cond: &Expr, body: &Block, uses: &Uses) -> Option<i64> {
        let ExprKind::Compare(op, signed, left, right) = &cond.kind else { return None };
        let (var, limit) = (variable(left)?, right.as_int()?);
        if uses.continues {
            return None;
        }
        let mut step = None;
        let mut others = Uses::default();
        for stmt in &body.stmts {
            match step_of(stmt, var) {
                Some(by) if step.is_none() => step = Some(by),
                _ => others.add_stmt(stmt),
            }
        }
        body.value.iter().for_each(|value| others.add(value));
        others.add(cond);
        if others.changed.contains(&var) {
            return None;
        }
        let Storage::Scalar(at) = self.storage(var) else { return None };
        let now = self.b.use_var(at);
        let (mut now, step) = (self.b.func().as_const(now)?, step?);
        let ty = self.unit.vars[var.0 as usize].ty.int_shape()?;
        for turns in 0..MAX_WALKED {
            if !op.holds(*signed, as_seen(left, now), limit) {
                return Some(turns);
            }
            now = wrap(now.wrapping_add(step), ty.0, ty.1);
        }
        None
    }
}

/// Whether so many turns of a body are few enough for the verifier to walk through.
fn can_be_walked(turns: i64, body: &Uses) -> bool {
    turns.saturating_mul(i64::from(body.nodes) + 2) <= MAX_WALKED
}

/// The variable that an expression is, but for its width.
fn variable(e: &Expr) -> Option<VarId> {
    match &e.kind {
        ExprKind::Var(var) => Some(*var),
        ExprKind::Convert(inner) if e.ty.is_integral() && inner.ty.is_integral() => variable(inner),
        _ => None,
    }
}

/// The value of such an expression if the variable is `now`.
fn as_seen(e: &Expr, now: i64) -> i64 {
    match (&e.kind, e.ty.int_shape()) {
        (ExprKind::Convert(inner), Some((bytes, signed))) => wrap(as_seen(inner, now), bytes, signed),
        _ => now,
    }
}

/// What a statement adds to `var`, if that is all it does: `$i++`, `$i += 2`.
fn step_of(stmt: &Stmt, var: VarId) -> Option<i64> {
    match &stmt.kind {
        StmtKind::Expr(Expr { kind: ExprKind::IncDecVar { var: stepped, step, .. }, .. })
            if *stepped == var =>
        {
            Some(*step)
        }
        StmtKind::AssignVar(assigned, Some(value)) if *assigned == var => sum_with(value, var),
        _ => None,
    }
}

/// The number added to `var` in a sum.
fn sum_with(e: &Expr, var: VarId) -> Option<i64> {
    match &e.kind {
        ExprKind::Convert(inner) if e.ty.is_integral() => sum_with(inner, var),
        ExprKind::Arith(ArithOp::Add, a, b) if variable(a) == Some(var) => b.as_int(),
        ExprKind::Arith(ArithOp::Sub, a, b) if variable(a) == Some(var) => b.as_int().map(i64::wrapping_neg),
        _ => None,
    }
}
