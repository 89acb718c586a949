//! What registers hold where blocks begin and end.

use super::assign::{Assigner, CALLEE_SAVED, CALLER_SAVED, DEAD, Def, N_REGS, bit, reg};
use super::moves::{Loc, ParallelMove};
use super::{Operands, Point};
use crate::mir::{Inst, Term, VReg};
use ebpf_asm::Reg;

impl Assigner<'_> {
    /// Prepares the look-ahead of a block and decides what its registers hold at the start.
    pub(super) fn begin(&mut self, loop_calls: Option<bool>) {
        let f = self.f;
        let block = &f.blocks[self.block];
        let n = block.insts.len();
        for &(v, d) in &self.live.live_out[self.block] {
            self.after[v.index()] = d;
        }
        block.term.for_each_use(|v| {
            let uses = &mut self.uses[v.index()];
            if uses.is_empty() {
                uses.push(n as u32);
            }
        });
        self.next_call.clear();
        self.next_call.resize(n + 1, DEAD);
        for (i, node) in block.insts.iter().enumerate().rev() {
            self.next_call[i] =
                if matches!(node.inst, Inst::Call { .. }) { i as u32 } else { self.next_call[i + 1] };
            node.inst.for_each_use(|v| {
                let uses = &mut self.uses[v.index()];
                if uses.last() != Some(&(i as u32)) {
                    uses.push(i as u32);
                }
            });
        }
        self.held = [None; N_REGS as usize];
        if self.block == 0 {
            for (i, &p) in block.params.iter().enumerate() {
                let at = i as u8 + 1;
                self.defs[p.index()] = Some(Def { block: 0, at: Point::PARAMS, reg: at });
                if self.distance(p, 0) != DEAD {
                    self.hold(at, p);
                }
            }
        } else {
            let preds = self.cfg.preds(self.block);
            match preds {
                [only] => self.inherit(*only as usize),
                _ => self.join(loop_calls),
            }
        }
        self.entry[self.block] = self.held;
    }

    /// The only predecessor's registers, less what is dead here. Parameters take their arguments' places.
    pub(super) fn inherit(&mut self, pred: usize) {
        let file = self.exit[pred];
        for (r, v) in file.iter().enumerate() {
            if let Some(v) = *v
                && self.is_live_in(v)
            {
                self.hold(r as u8, v);
            }
        }
        self.place_params(pred, false);
    }

    pub(super) fn is_live_in(&self, v: VReg) -> bool {
        self.live.live_in[self.block].binary_search_by_key(&v, |e| e.0).is_ok()
    }

    /// Chooses the registers at a block of several predecessors, some of which may not be allocated yet.
    pub(super) fn join(&mut self, loop_calls: Option<bool>) {
        let here = self.cfg.order(self.block);
        let preds = self.cfg.preds(self.block);
        let (done, todo): (Vec<usize>, Vec<usize>) =
            preds.iter().map(|&p| p as usize).partition(|&p| self.cfg.order(p) < here);
        let main = done
            .iter()
            .copied()
            .max_by_key(|&p| (!self.f.blocks[p].cold, self.cfg.order(p)))
            .expect("reverse postorder visits a predecessor first");
        for (v, _) in self.live.live_in[self.block].clone() {
            let at = |p: usize| self.exit[p].iter().position(|h| *h == Some(v));
            let Some(r) = at(main) else { continue };
            let r = r as u8;
            if self.consts[v.index()].is_some() {
                // Making it again on an edge would cost what it saves.
                if todo.is_empty() && done.iter().all(|&p| at(p) == Some(r as usize)) {
                    self.hold(r, v);
                }
                continue;
            }
            if loop_calls == Some(true) && self.live.crosses[v.index()] && bit(r) & CALLER_SAVED != 0 {
                // It would have to come back here on every turn.
                if let Some(r) = self.free_of(self.unclaimed(main) & CALLEE_SAVED) {
                    self.hold(r, v);
                }
                continue;
            }
            let everywhere = done.iter().all(|&p| self.f.blocks[p].cold || at(p).is_some());
            // Loading it on an edge pays only if it is used before a call takes the register away again.
            let soon = self.uses[v.index()].last().is_some_and(|&at| at <= self.next_call[0]);
            if everywhere || soon {
                self.hold(r, v);
            }
        }
        self.place_params(main, loop_calls == Some(true));
    }

    /// Registers that no value live at the start of the block has at the end of `main`.
    pub(super) fn unclaimed(&self, main: usize) -> u16 {
        let mut free = u16::MAX;
        for (r, v) in self.exit[main].iter().enumerate() {
            if v.is_some_and(|v| self.is_live_in(v)) {
                free &= !bit(r as u8);
            }
        }
        free
    }

    /// Gives the block's parameters registers: that of the argument from `main` if it is free.
    pub(super) fn place_params(&mut self, main: usize, keep: bool) {
        let f = self.f;
        let params = &f.blocks[self.block].params;
        let Term::Jump { args, .. } = &f.blocks[main].term else { return };
        let mut late = Vec::new();
        for (&p, arg) in params.iter().zip(args) {
            if self.distance(p, 0) == DEAD {
                continue;
            }
            let crosses = self.live.crosses[p.index()];
            let from = arg.reg().and_then(|a| self.exit[main].iter().position(|h| *h == Some(a)));
            let from = from.map(|r| r as u8).or(self.hints[p.index()]);
            match from {
                Some(r)
                    if self.held[r as usize].is_none()
                        && !(keep && crosses && bit(r) & CALLER_SAVED != 0) =>
                {
                    self.define_param(p, r);
                }
                Some(_) | None => late.push(p),
            }
        }
        for p in late {
            let hint = self.wish(p, 0);
            let all = self.free_mask();
            if all == 0 {
                // In memory from the start, unless something else is needed later.
                let victim = self.victim(!0, 0);
                match victim {
                    Some((r, distance)) if distance > self.distance(p, 0) => {
                        if let Some(v) = self.held[r as usize].filter(|v| params.contains(v)) {
                            // Another parameter: it begins in memory instead.
                            self.defs[v.index()] = None;
                        }
                        self.evict(r);
                        self.define_param(p, r);
                    }
                    Some(_) | None => self.spilled[p.index()] = true,
                }
                continue;
            }
            let r = self.best(p, all, hint);
            self.define_param(p, r);
        }
    }

    pub(super) fn define_param(&mut self, p: VReg, r: u8) {
        self.hold(r, p);
        self.hints[p.index()] = Some(r);
        self.defs[p.index()] = Some(Def { block: self.block as u32, at: Point::PARAMS, reg: r });
        // What comes along the other edges had better be there already.
        for &pred in self.cfg.preds(self.block) {
            if let Term::Jump { args, .. } = &self.f.blocks[pred as usize].term {
                let params = &self.f.blocks[self.block].params;
                if let Some(i) = params.iter().position(|q| *q == p)
                    && let Some(a) = args[i].reg()
                    && self.hints[a.index()].is_none()
                {
                    self.hints[a.index()] = Some(r);
                }
            }
        }
    }

    /// The terminator, and what the successors find.
    pub(super) fn end(&mut self) {
        let f = self.f;
        let block = &f.blocks[self.block];
        let n = block.insts.len();
        let mut operands = Operands::default();
        match &block.term {
            Term::Branch { lhs, rhs, .. } => {
                let l = self.ensure(*lhs, n, 0);
                operands.uses[0] = Some(reg(l));
                if let Some(v) = rhs.reg() {
                    let r = self.ensure(v, n, bit(l));
                    operands.uses[1] = Some(reg(r));
                }
            }
            Term::Jump { to, args } => {
                // The first argument that reaches a parameter tells the others where to go.
                for (arg, &p) in args.iter().zip(&f.blocks[to.index()].params) {
                    if let Some(v) = arg.reg()
                        && self.hints[p.index()].is_none()
                    {
                        self.hints[p.index()] = self.regs[v.index()];
                    }
                }
            }
            Term::Exit(arg) => {
                let mut moves = ParallelMove::default();
                let from = self.source(*arg);
                moves.add(Loc::Reg(Reg::R0), from);
                self.sequence(moves, Point::before(n), 0);
            }
        }
        self.out[self.block].operands.push(operands);
        self.exit[self.block] = self.held;
        // Leave nothing behind for the next block.
        for r in 0..N_REGS {
            if let Some(v) = self.held[r as usize].take() {
                self.regs[v.index()] = None;
            }
        }
        for &(v, _) in &self.live.live_out[self.block] {
            self.after[v.index()] = DEAD;
        }
        block.term.for_each_use(|v| self.uses[v.index()].clear());
        for node in &block.insts {
            node.inst.for_each_use(|v| self.uses[v.index()].clear());
        }
    }
}
