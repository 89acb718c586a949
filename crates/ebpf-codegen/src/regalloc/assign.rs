//! The walk over the function that gives every value its place at every point.

use super::choose::argument_hints;
use super::edges::shifted;
use super::liveness::Liveness;
use super::moves::{Loc, ParallelMove, Source};
use super::{Allocation, BlockAllocation, Edit, Operands, Point, SpillSlot};
use crate::graph::Cfg;
use crate::mir::{Arg, Const, Function, Inst, VReg};
use ebpf_asm::Reg;

/// Registers that can be given out: all but the frame pointer.
pub(super) const N_REGS: u8 = 10;
/// `R0`–`R5`: lost by calls.
pub(super) const CALLER_SAVED: u16 = 0b00_0011_1111;
/// `R6`–`R9`: kept by calls.
pub(super) const CALLEE_SAVED: u16 = 0b11_1100_0000;

/// Distance of a value that is not used again.
pub(super) const DEAD: u32 = u32::MAX;

/// What each register holds.
pub(super) type File = [Option<VReg>; N_REGS as usize];

pub(super) fn reg(n: u8) -> Reg {
    Reg::new(n).expect("a register number")
}

pub(super) fn bit(n: u8) -> u16 {
    1 << n
}

/// Where a value is defined and in which register it is then.
#[derive(Clone, Copy)]
pub(super) struct Def {
    pub(super) block: u32,
    pub(super) at: Point,
    pub(super) reg: u8,
}

pub(super) struct Assigner<'a> {
    pub(super) f: &'a Function,
    pub(super) cfg: &'a Cfg,
    pub(super) live: Liveness,
    pub(super) consts: Vec<Option<Const>>,
    /// Whether the value has a spill slot.
    pub(super) spilled: Vec<bool>,
    /// Register at the definition; none for parameters that begin in memory.
    pub(super) defs: Vec<Option<Def>>,
    /// Register that a value had better be in.
    pub(super) hints: Vec<Option<u8>>,
    pub(super) entry: Vec<File>,
    pub(super) exit: Vec<File>,
    pub(super) out: Vec<BlockAllocation>,

    // State of the current block.
    pub(super) block: usize,
    pub(super) held: File,
    pub(super) regs: Vec<Option<u8>>,
    /// Uses that are still to come in the block, last first.
    pub(super) uses: Vec<Vec<u32>>,
    /// Distance of the next use behind the block.
    pub(super) after: Vec<u32>,
    /// Position of the next call at or after each instruction.
    pub(super) next_call: Vec<u32>,
}

impl<'a> Assigner<'a> {
    pub(super) fn new(f: &'a Function, cfg: &'a Cfg) -> Self {
        let n = f.n_vregs as usize;
        let blocks = f.blocks.len();
        let live = Liveness::of(f, cfg);
        let hints = argument_hints(f, &live.crosses);
        Self {
            f,
            cfg,
            live,
            consts: f.consts(),
            spilled: vec![false; n],
            defs: vec![None; n],
            hints,
            entry: vec![[None; N_REGS as usize]; blocks],
            exit: vec![[None; N_REGS as usize]; blocks],
            out: vec![BlockAllocation::default(); blocks],
            block: 0,
            held: [None; N_REGS as usize],
            regs: vec![None; n],
            uses: vec![Vec::new(); n],
            after: vec![DEAD; n],
            next_call: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Allocation {
        let mut loop_calls = vec![None; self.f.blocks.len()];
        for (header, body) in self.cfg.loops() {
            let calls = body.iter().any(|&b| {
                self.f.blocks[b as usize].insts.iter().any(|n| matches!(n.inst, Inst::Call { .. }))
            });
            loop_calls[header as usize] = Some(calls);
        }
        for &b in &self.cfg.rpo.clone() {
            self.block = b as usize;
            self.begin(loop_calls[b as usize]);
            for i in 0..self.f.blocks[self.block].insts.len() {
                self.inst(i);
            }
            self.end();
        }
        for &b in &self.cfg.rpo.clone() {
            self.edges(b as usize);
        }
        self.finish()
    }

    pub(super) fn inst(&mut self, i: usize) {
        let f = self.f;
        let inst = &f.blocks[self.block].insts[i].inst;
        let mut operands = Operands::default();
        match inst {
            // Made when it is used.
            Inst::Const { .. } => {}
            Inst::Call { args, ret, .. } => self.call(i, args, *ret),
            _ => operands = self.plain(i, inst),
        }
        self.out[self.block].operands.push(operands);
    }

    /// Forgets the uses at `i`, and gives up the registers of values that have no other.
    pub(super) fn consume(&mut self, i: usize, inst: &Inst) {
        inst.for_each_use(|v| {
            let uses = &mut self.uses[v.index()];
            if uses.last() == Some(&(i as u32)) {
                uses.pop();
            }
            if self.distance(v, i) == DEAD {
                self.release(v);
            }
        });
    }

    /// Whether instruction `i` is the last use of `v`.
    pub(super) fn dies(&self, v: VReg, i: usize) -> bool {
        let uses = &self.uses[v.index()];
        let here = usize::from(uses.last() == Some(&(i as u32)));
        uses.len() == here && self.after[v.index()] == DEAD
    }

    pub(super) fn plain(&mut self, i: usize, inst: &Inst) -> Operands {
        let mut operands = Operands::default();
        let tied = inst.tied();
        let dst = inst.def();
        let swap = inst
            .commutes()
            .filter(|v| tied.is_some_and(|t| !self.dies(t, i)) && self.dies(*v, i) && Some(*v) != tied);
        // A tied operand that lives on is copied; one that is in no register is loaded right there.
        let copied = tied.filter(|t| swap.is_none() && !self.dies(*t, i));
        let mut locked = 0;
        let mut uses = Vec::with_capacity(4);
        inst.for_each_use(|v| uses.push(v));
        for (n, &v) in uses.iter().enumerate() {
            if n == 0 && copied == Some(v) && self.regs[v.index()].is_none() && !uses[1..].contains(&v) {
                continue;
            }
            // Values already in registers are locked before others are loaded.
            for &other in &uses {
                if let Some(r) = self.regs[other.index()] {
                    locked |= bit(r);
                }
            }
            let r = self.ensure(v, i, locked);
            locked |= bit(r);
            operands.uses[n] = Some(reg(r));
        }
        let Some(dst) = dst else {
            self.consume(i, inst);
            return operands;
        };
        let r = if let Some(t) = copied {
            let from = self.regs[t.index()];
            // Chosen while all operands still hold their registers.
            let r = self.take(dst, i, locked);
            match from {
                Some(from) => self.edit(Point::before(i), Edit::Move { to: reg(r), from: reg(from) }),
                None => self.load(t, r, Point::before(i)),
            }
            operands.uses[0] = Some(reg(r));
            self.consume(i, inst);
            r
        } else if let Some(t) = swap.or(tied) {
            let from = self.regs[t.index()].expect("an operand is in a register");
            match self.early(dst, i, from) {
                Some(r) if swap.is_none() => {
                    self.edit(Point::before(i), Edit::Move { to: reg(r), from: reg(from) });
                    operands.uses[0] = Some(reg(r));
                    self.consume(i, inst);
                    r
                }
                Some(_) | None => {
                    self.consume(i, inst);
                    from
                }
            }
        } else if matches!(inst, Inst::Select { .. }) {
            let r = self.take(dst, i, locked);
            self.consume(i, inst);
            r
        } else {
            self.consume(i, inst);
            self.take(dst, i + 1, 0)
        };
        self.define(dst, r, i);
        operands.def = Some(reg(r));
        operands
    }

    /// A callee-saved register for a result that would be in `from` but had better be moved at once: it lives
    /// across calls on every way out of the block, and each of them would have to move it.
    pub(super) fn early(&self, dst: VReg, i: usize, from: u8) -> Option<u8> {
        let succs = self.cfg.succs(self.block);
        let hot = |s: &&u32| !self.f.blocks[**s as usize].cold;
        let live = |s: &u32| self.live.live_in[*s as usize].binary_search_by_key(&dst, |e| e.0).is_ok();
        let needed = self.live.crosses[dst.index()]
            && bit(from) & CALLER_SAVED != 0
            && self.next_call.get(i + 1) == Some(&DEAD)
            && succs.iter().filter(hot).count() > 1
            && succs.iter().filter(hot).all(live);
        if needed { self.free_of(CALLEE_SAVED) } else { None }
    }

    pub(super) fn define(&mut self, dst: VReg, r: u8, i: usize) {
        self.defs[dst.index()] = Some(Def { block: self.block as u32, at: Point::after(i), reg: r });
        if self.distance(dst, i + 1) != DEAD {
            self.hold(r, dst);
        }
    }

    /// Where the value of an argument is now.
    pub(super) fn source(&mut self, arg: Arg) -> Source {
        let (v, off) = match arg {
            Arg::Const(value) => return Source::Const(value),
            Arg::Reg(v) => (v, 0),
            Arg::Off(v, off) => (v, off),
        };
        let loc = match (self.regs[v.index()], self.consts[v.index()]) {
            (Some(r), _) => Loc::Reg(reg(r)),
            (None, Some(value)) => return Source::Const(shifted(value, off).expect("checked before")),
            (None, None) => {
                self.spilled[v.index()] = true;
                Loc::Slot(SpillSlot(v.0))
            }
        };
        if off == 0 { Source::Loc(loc) } else { Source::Off(loc, off) }
    }

    pub(super) fn call(&mut self, i: usize, args: &[Arg], ret: Option<VReg>) {
        let mut moves = ParallelMove::default();
        for (n, arg) in args.iter().enumerate() {
            let from = self.source(*arg);
            moves.add(Loc::Reg(reg(n as u8 + 1)), from);
        }
        let inst = &self.f.blocks[self.block].insts[i].inst;
        let before = self.held;
        self.consume(i, inst);
        // What lives on must be in R6–R9. Those used soonest stay.
        let mut keep: Vec<(u32, u8)> = (0..N_REGS)
            .filter_map(|r| self.held[r as usize].map(|v| (r, v)))
            .filter(|&(r, v)| self.consts[v.index()].is_none() || bit(r) & CALLEE_SAVED != 0)
            .map(|(r, v)| (self.loss(v, i), r))
            .collect();
        keep.sort_unstable();
        keep.truncate(CALLEE_SAVED.count_ones() as usize);
        let kept = keep.iter().fold(0, |m, (_, r)| m | bit(*r));
        for r in 0..N_REGS {
            if kept & bit(r) == 0 {
                self.evict(r);
            }
        }
        let mut occupied = 0u16;
        for r in 0..6 {
            if let Some(v) = self.held[r as usize] {
                let to = self.survivor_reg(v);
                moves.add(Loc::Reg(reg(to)), Source::Loc(Loc::Reg(reg(r))));
                self.release(v);
                self.hold(to, v);
            }
        }
        for r in 0..N_REGS {
            if self.held[r as usize].is_some() || before[r as usize].is_some() {
                occupied |= bit(r);
            }
        }
        for n in 1..=args.len() {
            occupied |= bit(n as u8);
        }
        self.sequence(moves, Point::before(i), occupied);
        if let Some(ret) = ret {
            self.define(ret, 0, i);
            if let Some(r) = self.early(ret, i, 0).filter(|_| self.regs[ret.index()] == Some(0)) {
                self.edit(Point::after(i), Edit::Move { to: reg(r), from: Reg::R0 });
                self.release(ret);
                self.hold(r, ret);
            }
        }
    }

    /// A free callee-saved register for a value that has to leave its own.
    pub(super) fn survivor_reg(&self, v: VReg) -> u8 {
        let free = self.free_mask() & CALLEE_SAVED;
        match self.hints[v.index()] {
            Some(h) if free & bit(h) != 0 => h,
            Some(_) | None => free.trailing_zeros() as u8,
        }
    }

    pub(super) fn sequence(&mut self, moves: ParallelMove, at: Point, occupied: u16) {
        let mut edits = Vec::new();
        let all = CALLER_SAVED | CALLEE_SAVED;
        moves.sequence(all & !occupied, &mut edits);
        self.out[self.block].edits.extend(edits.into_iter().map(|e| (at, e)));
    }
}
