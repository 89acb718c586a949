//! Which register a value gets, and which value loses one.

use super::assign::{Assigner, CALLEE_SAVED, CALLER_SAVED, DEAD, N_REGS, bit, reg};
use super::{Edit, Point, SpillSlot};
use crate::mir::{Function, Inst, Term, VReg};

impl Assigner<'_> {
    pub(super) fn hold(&mut self, r: u8, v: VReg) {
        debug_assert!(self.held[r as usize].is_none(), "r{r} is free for {v}");
        self.held[r as usize] = Some(v);
        self.regs[v.index()] = Some(r);
    }

    pub(super) fn release(&mut self, v: VReg) {
        if let Some(r) = self.regs[v.index()].take() {
            self.held[r as usize] = None;
        }
    }

    /// Takes the value out of its register; it lives on in memory or is made again.
    pub(super) fn evict(&mut self, r: u8) {
        if let Some(v) = self.held[r as usize].take() {
            self.regs[v.index()] = None;
            if self.consts[v.index()].is_none() {
                self.spilled[v.index()] = true;
            }
        }
    }

    pub(super) fn free_mask(&self) -> u16 {
        (0..N_REGS).filter(|r| self.held[*r as usize].is_none()).fold(0, |m, r| m | bit(r))
    }

    pub(super) fn free_of(&self, mask: u16) -> Option<u8> {
        let free = self.free_mask() & mask;
        (free != 0).then(|| free.trailing_zeros() as u8)
    }

    /// Distance of the next use as seen from instruction `i`.
    pub(super) fn distance(&self, v: VReg, i: usize) -> u32 {
        match self.uses[v.index()].last() {
            Some(&at) => at - (i as u32).min(at),
            None => match self.after[v.index()] {
                DEAD => DEAD,
                d => d.saturating_add((self.next_call.len() - i) as u32),
            },
        }
    }

    /// The held value in `mask` that is cheapest to lose: used last, constants and stored ones first.
    pub(super) fn victim(&self, mask: u16, i: usize) -> Option<(u8, u32)> {
        (0..N_REGS)
            .filter(|r| mask & bit(*r) != 0)
            .filter_map(|r| self.held[r as usize].map(|v| (r, self.loss(v, i))))
            .max_by_key(|e| e.1)
    }

    pub(super) fn loss(&self, v: VReg, i: usize) -> u32 {
        let d = self.distance(v, i);
        match (self.consts[v.index()], self.spilled[v.index()]) {
            (Some(_), _) => d.saturating_mul(4),
            (None, true) => d.saturating_mul(2),
            (None, false) => d,
        }
    }

    /// The register where `v`, as known before instruction `i`, is wanted next.
    pub(super) fn wish(&self, v: VReg, i: usize) -> Option<u8> {
        let block = &self.f.blocks[self.block];
        let mut v = v;
        // Follows chains of tied operations for a few steps.
        for _ in 0..4 {
            if let Some(hint) = self.hints[v.index()] {
                return Some(hint);
            }
            let &at = self.uses[v.index()].last()?;
            let at = at as usize;
            if self.next_call[i.min(block.insts.len())] < at as u32 {
                return None;
            }
            let Some(node) = block.insts.get(at) else {
                return match &block.term {
                    Term::Exit(_) => Some(0),
                    Term::Jump { to, args } => {
                        let n = args.iter().position(|a| a.reg() == Some(v))?;
                        self.hints[self.f.blocks[to.index()].params[n].index()]
                    }
                    Term::Branch { .. } => None,
                };
            };
            match &node.inst {
                Inst::Call { args, .. } => {
                    return args.iter().position(|a| a.reg() == Some(v)).map(|n| n as u8 + 1);
                }
                inst if inst.tied() == Some(v) || inst.commutes() == Some(v) => v = inst.def()?,
                _ => return None,
            }
        }
        None
    }

    /// The best of the registers in `free` (not empty) for a value.
    pub(super) fn best(&self, v: VReg, free: u16, wish: Option<u8>) -> u8 {
        let cheap = self.consts[v.index()].is_some_and(|c| c.cost() == 1);
        let class = if self.live.crosses[v.index()] && !cheap { CALLEE_SAVED } else { CALLER_SAVED };
        if let Some(w) = wish
            && free & bit(w) != 0
            && (class & bit(w) != 0 || class & free == 0 || class == CALLER_SAVED)
        {
            return w;
        }
        let good = if free & class != 0 { free & class } else { free };
        if class == CALLER_SAVED && good & CALLER_SAVED != 0 {
            // R0 first, then from R5 down: low ones are arguments of more calls.
            for r in [0, 5, 4, 3, 2, 1] {
                if good & bit(r) != 0 {
                    return r;
                }
            }
        }
        good.trailing_zeros() as u8
    }

    /// A register for `v` outside `locked`, made free if need be.
    pub(super) fn take(&mut self, v: VReg, i: usize, locked: u16) -> u8 {
        let wish = self.wish(v, i);
        let free = self.free_mask() & !locked;
        if free != 0 {
            return self.best(v, free, wish);
        }
        let (r, _) =
            self.victim(!locked, i).expect("an instruction has fewer operands than there are registers");
        self.evict(r);
        r
    }

    /// Brings an operand of instruction `i` into a register.
    pub(super) fn ensure(&mut self, v: VReg, i: usize, locked: u16) -> u8 {
        if let Some(r) = self.regs[v.index()] {
            return r;
        }
        let r = self.take(v, i, locked);
        self.load(v, r, Point::before(i));
        self.hold(r, v);
        r
    }

    /// Loads a value that is in no register.
    pub(super) fn load(&mut self, v: VReg, r: u8, at: Point) {
        let edit = match self.consts[v.index()] {
            Some(value) => Edit::Make { to: reg(r), value },
            None => {
                self.spilled[v.index()] = true;
                Edit::Reload { to: reg(r), slot: SpillSlot(v.0) }
            }
        };
        self.edit(at, edit);
    }

    pub(super) fn edit(&mut self, at: Point, edit: Edit) {
        self.out[self.block].edits.push((at, edit));
    }
}

/// Where values that live across no call are wanted as argument or result; also what such values are computed from
/// in place.
pub(super) fn argument_hints(f: &Function, crosses: &[bool]) -> Vec<Option<u8>> {
    let mut hints = vec![None; f.n_vregs as usize];
    let mut want = |v: VReg, r: u8| {
        if !crosses[v.index()] && hints[v.index()].is_none() {
            hints[v.index()] = Some(r);
        }
    };
    for block in &f.blocks {
        for node in &block.insts {
            if let Inst::Call { args, .. } = &node.inst {
                for (n, arg) in args.iter().enumerate() {
                    if let Some(v) = arg.reg() {
                        want(v, n as u8 + 1);
                    }
                }
            }
        }
        if let Term::Exit(arg) = &block.term
            && let Some(v) = arg.reg()
        {
            want(v, 0);
        }
    }
    for block in f.blocks.iter().rev() {
        for node in block.insts.iter().rev() {
            if let (Some(from), Some(to)) = (node.inst.tied(), node.inst.def())
                && !crosses[from.index()]
                && hints[from.index()].is_none()
            {
                hints[from.index()] = hints[to.index()];
            }
        }
    }
    hints
}
