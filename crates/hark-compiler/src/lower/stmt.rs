//! Statements.

use super::{Lower, Mem, Storage};
use crate::typed::{Block, Expr, ExprKind, Stmt, StmtKind, VarId};
use crate::types::Type;

impl Lower<'_> {
    /// The statements of a block, and its value for its effect.
    pub(super) fn block(&mut self, block: &Block) {
        self.statements(block);
        if let Some(value) = &block.value {
            self.eval(value, None);
        }
    }

    pub(super) fn statements(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.set_span(stmt.span);
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => {
                // An `if` or a block is no value: nothing is left over.
                self.eval(e, None);
            }
            StmtKind::AssignVar(var, value) => self.assign_var(*var, value.as_ref()),
            StmtKind::AssignMap { map, key, value } => self.map_set(*map, key.as_ref(), value),
            StmtKind::Aggregate { map, key, agg, value, extra } => {
                self.aggregate(*map, key.as_ref(), *agg, value.as_ref(), extra);
            }
            StmtKind::While { cond, body } => self.while_loop(cond, body),
            StmtKind::ForRange { var, from, to, body } => self.for_range(*var, from, to, body),
            StmtKind::ForMap { var, map, body } => self.for_map(*var, *map, body),
            StmtKind::Unroll { count, body } => {
                let done = self.b.create_block();
                for _ in 0..*count {
                    let next = self.b.create_block();
                    self.loops.push((next, done));
                    self.block(body);
                    self.loops.pop();
                    self.b.jump(next, &[]);
                    self.b.seal_and_switch(next);
                }
                self.b.jump(done, &[]);
                self.b.seal_and_switch(done);
            }
            StmtKind::Break => {
                if let Some((_, done)) = self.loops.last() {
                    let done = *done;
                    self.b.jump(done, &[]);
                }
            }
            StmtKind::Continue => {
                if let Some((head, _)) = self.loops.last() {
                    let head = *head;
                    self.b.jump(head, &[]);
                }
            }
            StmtKind::Return(value) => {
                let value = match value {
                    Some(value) => self.scalar(value),
                    None => self.b.iconst(0),
                };
                self.leave(value);
            }
        }
    }

    fn assign_var(&mut self, var: VarId, value: Option<&Expr>) {
        let ty = self.unit.vars[var.0 as usize].ty.clone();
        if ty.is_scalar() {
            let word = match value {
                Some(value) => self.scalar(value),
                None => self.b.iconst(0),
            };
            return self.write_var(var, word);
        }
        match (self.storage(var), value) {
            (Storage::Scalar(_), _) => {}
            (Storage::Memory(_) | Storage::Far(_), None) => {
                let Some(at) = self.variable_memory(var) else { return };
                let len = ty.ty(self.types).layout().size;
                self.zero(at, len);
            }
            (Storage::Memory(_) | Storage::Far(_), Some(value)) => {
                // `$t = ($t.1, $t.0)` reads what it writes: through other memory then.
                if mentions(value, var) && !matches!(value.kind, ExprKind::Var(_)) {
                    let src = self.mem_copy_of(value, &ty);
                    let Some(at) = self.variable_memory(var) else { return };
                    let len = ty.ty(self.types).layout().size;
                    self.copy(at, src, len);
                } else {
                    let Some(at) = self.variable_memory(var) else { return };
                    self.into(value, at);
                }
            }
        }
    }

    /// Assigns a value of type `from` that lies in memory.
    pub(crate) fn assign_from_memory(&mut self, var: VarId, mem: Mem, from: &Type) {
        let ty = self.unit.vars[var.0 as usize].ty.clone();
        if ty.is_scalar() {
            let word = self.load(mem, from);
            let word = self.resize(word, from, &ty);
            return self.write_var(var, word);
        }
        let Some(at) = self.variable_memory(var) else { return };
        self.convert_memory(mem, from, at, &ty);
    }

    fn mem_copy_of(&mut self, value: &Expr, ty: &Type) -> Mem {
        let dst = self.dst(None, ty);
        self.into(value, dst);
        dst
    }

    pub(super) fn if_else(&mut self, cond: &Expr, then: &Block, els: Option<&Block>) {
        if let Some(known) = cond.as_int() {
            // What cannot run is not generated: scripts test for features this way.
            match (known != 0, els) {
                (true, _) => self.block(then),
                (false, Some(els)) => self.block(els),
                (false, None) => {}
            }
            return;
        }
        let (yes, next) = (self.b.create_block(), self.b.create_block());
        let no = if els.is_some() { self.b.create_block() } else { next };
        self.condition(cond, yes, no);
        self.b.seal_and_switch(yes);
        self.block(then);
        self.b.jump(next, &[]);
        if let Some(els) = els {
            self.b.seal_and_switch(no);
            self.block(els);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
    }
}

/// Whether a variable occurs in an expression that builds its value in parts.
fn mentions(e: &Expr, var: VarId) -> bool {
    match &e.kind {
        ExprKind::Var(v) => *v == var,
        ExprKind::Tuple(members) => members.iter().any(|m| mentions(m, var)),
        ExprKind::Member(base, _) | ExprKind::Convert(base) | ExprKind::Field { base, .. } => {
            mentions(base, var)
        }
        ExprKind::Select(_, a, b) => mentions(a, var) || mentions(b, var),
        ExprKind::Call(call) => call.args.iter().any(|a| mentions(a, var)),
        ExprKind::Block(_) => true,
        _ => false,
    }
}
