//! The walk over the function that gives every value its place at every point.

use super::liveness::Liveness;
use super::moves::{LENT, Loc, ParallelMove, Source, TEMP};
use super::{Allocation, BlockAllocation, Edit, Operands, Point, SpillSlot, Stats};
use crate::graph::Cfg;
use crate::mir::{Arg, Const, Function, Inst, Term, VReg};
use ebpf_asm::Reg;

/// Registers that can be given out: all but the frame pointer.
const N_REGS: u8 = 10;
/// `R0`–`R5`: lost by calls.
const CALLER_SAVED: u16 = 0b00_0011_1111;
/// `R6`–`R9`: kept by calls.
const CALLEE_SAVED: u16 = 0b11_1100_0000;

/// Distance of a value that is not used again.
const DEAD: u32 = u32::MAX;

/// What each register holds.
type File = [Option<VReg>; N_REGS as usize];

fn reg(n: u8) -> Reg {
    Reg::new(n).expect("a register number")
}

fn bit(n: u8) -> u16 {
    1 << n
}

/// Where a value is defined and in which register it is then.
#[derive(Clone, Copy)]
struct Def {
    block: u32,
    at: Point,
    reg: u8,
}

pub(super) struct Assigner<'a> {
    f: &'a Function,
    cfg: &'a Cfg,
    live: Liveness,
    consts: Vec<Option<Const>>,
    /// Whether the value has a spill slot.
    spilled: Vec<bool>,
    /// Register at the definition; none for parameters that begin in memory.
    defs: Vec<Option<Def>>,
    /// Register that a value had better be in.
    hints: Vec<Option<u8>>,
    entry: Vec<File>,
    exit: Vec<File>,
    out: Vec<BlockAllocation>,

    // State of the current block.
    block: usize,
    held: File,
    regs: Vec<Option<u8>>,
    /// Uses that are still to come in the block, last first.
    uses: Vec<Vec<u32>>,
    /// Distance of the next use behind the block.
    after: Vec<u32>,
    /// Position of the next call at or after each instruction.
    next_call: Vec<u32>,
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

    // Blocks

    /// Prepares the look-ahead of a block and decides what its registers hold at the start.
    fn begin(&mut self, loop_calls: Option<bool>) {
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
            let preds = &self.cfg.preds[self.block];
            match preds.as_slice() {
                [only] => self.inherit(*only as usize),
                _ => self.join(loop_calls),
            }
        }
        self.entry[self.block] = self.held;
    }

    /// The only predecessor's registers, less what is dead here. Parameters take their arguments' places.
    fn inherit(&mut self, pred: usize) {
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

    fn is_live_in(&self, v: VReg) -> bool {
        self.live.live_in[self.block].binary_search_by_key(&v, |e| e.0).is_ok()
    }

    /// Chooses the registers at a block of several predecessors, some of which may not be allocated yet.
    fn join(&mut self, loop_calls: Option<bool>) {
        let here = self.cfg.order(self.block);
        let preds = self.cfg.preds[self.block].clone();
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
    fn unclaimed(&self, main: usize) -> u16 {
        let mut free = u16::MAX;
        for (r, v) in self.exit[main].iter().enumerate() {
            if v.is_some_and(|v| self.is_live_in(v)) {
                free &= !bit(r as u8);
            }
        }
        free
    }

    /// Gives the block's parameters registers: that of the argument from `main` if it is free.
    fn place_params(&mut self, main: usize, keep: bool) {
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

    fn define_param(&mut self, p: VReg, r: u8) {
        self.hold(r, p);
        self.hints[p.index()] = Some(r);
        self.defs[p.index()] = Some(Def { block: self.block as u32, at: Point::PARAMS, reg: r });
        // What comes along the other edges had better be there already.
        for &pred in &self.cfg.preds[self.block] {
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
    fn end(&mut self) {
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

    // Registers

    fn hold(&mut self, r: u8, v: VReg) {
        debug_assert!(self.held[r as usize].is_none(), "r{r} is free for {v}");
        self.held[r as usize] = Some(v);
        self.regs[v.index()] = Some(r);
    }

    fn release(&mut self, v: VReg) {
        if let Some(r) = self.regs[v.index()].take() {
            self.held[r as usize] = None;
        }
    }

    /// Takes the value out of its register; it lives on in memory or is made again.
    fn evict(&mut self, r: u8) {
        if let Some(v) = self.held[r as usize].take() {
            self.regs[v.index()] = None;
            if self.consts[v.index()].is_none() {
                self.spilled[v.index()] = true;
            }
        }
    }

    fn free_mask(&self) -> u16 {
        (0..N_REGS).filter(|r| self.held[*r as usize].is_none()).fold(0, |m, r| m | bit(r))
    }

    fn free_of(&self, mask: u16) -> Option<u8> {
        let free = self.free_mask() & mask;
        (free != 0).then(|| free.trailing_zeros() as u8)
    }

    /// Distance of the next use as seen from instruction `i`.
    fn distance(&self, v: VReg, i: usize) -> u32 {
        match self.uses[v.index()].last() {
            Some(&at) => at - (i as u32).min(at),
            None => match self.after[v.index()] {
                DEAD => DEAD,
                d => d.saturating_add((self.next_call.len() - i) as u32),
            },
        }
    }

    /// The held value in `mask` that is cheapest to lose: used last, constants and stored ones first.
    fn victim(&self, mask: u16, i: usize) -> Option<(u8, u32)> {
        (0..N_REGS)
            .filter(|r| mask & bit(*r) != 0)
            .filter_map(|r| self.held[r as usize].map(|v| (r, self.loss(v, i))))
            .max_by_key(|e| e.1)
    }

    fn loss(&self, v: VReg, i: usize) -> u32 {
        let d = self.distance(v, i);
        match (self.consts[v.index()], self.spilled[v.index()]) {
            (Some(_), _) => d.saturating_mul(4),
            (None, true) => d.saturating_mul(2),
            (None, false) => d,
        }
    }

    /// The register where `v`, as known before instruction `i`, is wanted next.
    fn wish(&self, v: VReg, i: usize) -> Option<u8> {
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
    fn best(&self, v: VReg, free: u16, wish: Option<u8>) -> u8 {
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
    fn take(&mut self, v: VReg, i: usize, locked: u16) -> u8 {
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
    fn ensure(&mut self, v: VReg, i: usize, locked: u16) -> u8 {
        if let Some(r) = self.regs[v.index()] {
            return r;
        }
        let r = self.take(v, i, locked);
        self.load(v, r, Point::before(i));
        self.hold(r, v);
        r
    }

    /// Loads a value that is in no register.
    fn load(&mut self, v: VReg, r: u8, at: Point) {
        let edit = match self.consts[v.index()] {
            Some(value) => Edit::Make { to: reg(r), value },
            None => {
                self.spilled[v.index()] = true;
                Edit::Reload { to: reg(r), slot: SpillSlot(v.0) }
            }
        };
        self.edit(at, edit);
    }

    fn edit(&mut self, at: Point, edit: Edit) {
        self.out[self.block].edits.push((at, edit));
    }

    // Instructions

    fn inst(&mut self, i: usize) {
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
    fn consume(&mut self, i: usize, inst: &Inst) {
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
    fn dies(&self, v: VReg, i: usize) -> bool {
        let uses = &self.uses[v.index()];
        let here = usize::from(uses.last() == Some(&(i as u32)));
        uses.len() == here && self.after[v.index()] == DEAD
    }

    fn plain(&mut self, i: usize, inst: &Inst) -> Operands {
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
    fn early(&self, dst: VReg, i: usize, from: u8) -> Option<u8> {
        let succs = &self.cfg.succs[self.block];
        let hot = |s: &&u32| !self.f.blocks[**s as usize].cold;
        let live = |s: &u32| self.live.live_in[*s as usize].binary_search_by_key(&dst, |e| e.0).is_ok();
        let needed = self.live.crosses[dst.index()]
            && bit(from) & CALLER_SAVED != 0
            && self.next_call.get(i + 1) == Some(&DEAD)
            && succs.iter().filter(hot).count() > 1
            && succs.iter().filter(hot).all(live);
        if needed { self.free_of(CALLEE_SAVED) } else { None }
    }

    fn define(&mut self, dst: VReg, r: u8, i: usize) {
        self.defs[dst.index()] = Some(Def { block: self.block as u32, at: Point::after(i), reg: r });
        if self.distance(dst, i + 1) != DEAD {
            self.hold(r, dst);
        }
    }

    /// Where the value of an argument is now.
    fn source(&mut self, arg: Arg) -> Source {
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

    fn call(&mut self, i: usize, args: &[Arg], ret: Option<VReg>) {
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
    fn survivor_reg(&self, v: VReg) -> u8 {
        let free = self.free_mask() & CALLEE_SAVED;
        match self.hints[v.index()] {
            Some(h) if free & bit(h) != 0 => h,
            Some(_) | None => free.trailing_zeros() as u8,
        }
    }

    fn sequence(&mut self, moves: ParallelMove, at: Point, occupied: u16) {
        let mut edits = Vec::new();
        let all = CALLER_SAVED | CALLEE_SAVED;
        moves.sequence(all & !occupied, &mut edits);
        self.out[self.block].edits.extend(edits.into_iter().map(|e| (at, e)));
    }

    // Edges

    /// Moves on the edges out of a block.
    fn edges(&mut self, b: usize) {
        let f = self.f;
        for &to in &self.cfg.succs[b] {
            let to = to as usize;
            let mut moves = ParallelMove::default();
            let mut occupied = 0u16;
            for r in 0..N_REGS {
                if self.exit[b][r as usize].is_some() || self.entry[to][r as usize].is_some() {
                    occupied |= bit(r);
                }
            }
            let params = &f.blocks[to].params;
            let args: &[Arg] = if let Term::Jump { args, .. } = &f.blocks[b].term { args } else { &[] };
            for r in 0..N_REGS {
                let Some(v) = self.entry[to][r as usize] else { continue };
                let arg = match params.iter().position(|p| *p == v) {
                    Some(n) => args[n],
                    None => Arg::Reg(v),
                };
                let from = self.source_at_exit(b, arg);
                moves.add(Loc::Reg(reg(r)), from);
            }
            for (&p, &arg) in params.iter().zip(args) {
                if self.defs[p.index()].is_none() && self.spilled[p.index()] {
                    let from = self.source_at_exit(b, arg);
                    moves.add(Loc::Slot(SpillSlot(p.0)), from);
                }
            }
            // What is in memory there and in a register here has been stored where it was defined.
            for &(v, _) in &self.live.live_in[to] {
                if !self.entry[to].contains(&Some(v)) && self.consts[v.index()].is_none() {
                    self.spilled[v.index()] = true;
                }
            }
            let single = self.cfg.succs[b].len() == 1;
            self.block = if single { b } else { to };
            let at = if single { Point::before(f.blocks[b].insts.len()) } else { Point::HEAD };
            self.sequence(moves, at, occupied);
        }
    }

    fn source_at_exit(&mut self, b: usize, arg: Arg) -> Source {
        let (v, off) = match arg {
            Arg::Const(value) => return Source::Const(value),
            Arg::Reg(v) => (v, 0),
            Arg::Off(v, off) => (v, off),
        };
        let at = self.exit[b].iter().position(|h| *h == Some(v));
        let loc = match (at, self.consts[v.index()]) {
            (Some(r), _) => Loc::Reg(reg(r as u8)),
            (None, Some(value)) => return Source::Const(shifted(value, off).expect("checked before")),
            (None, None) => {
                self.spilled[v.index()] = true;
                Loc::Slot(SpillSlot(v.0))
            }
        };
        if off == 0 { Source::Loc(loc) } else { Source::Off(loc, off) }
    }

    // The end

    /// Stores what has a slot where it is defined, gives slots numbers, and counts.
    fn finish(mut self) -> Allocation {
        for (v, spilled) in self.spilled.iter().enumerate() {
            if *spilled && let Some(def) = self.defs[v] {
                let edit = Edit::Spill { slot: SpillSlot(v as u32), from: reg(def.reg) };
                self.out[def.block as usize].edits.push((def.at, edit));
            }
        }
        let spill_slots = self.number_slots();
        let mut stats =
            Stats { spilled: self.spilled.iter().filter(|s| **s).count() as u32, ..Stats::default() };
        for block in &mut self.out {
            // Stable: what was added at one point stays in order.
            block.edits.sort_by_key(|e| e.0);
            for (_, edit) in &block.edits {
                match edit {
                    Edit::Move { .. } => stats.moves += 1,
                    Edit::Reload { .. } => stats.reloads += 1,
                    Edit::Spill { .. } | Edit::Make { .. } | Edit::SpillImm { .. } | Edit::Add { .. } => {}
                }
            }
        }
        Allocation { blocks: self.out, spill_slots, stats }
    }

    /// Values whose intervals in the order of blocks do not meet share a slot.
    fn number_slots(&mut self) -> u32 {
        let n = self.spilled.len();
        let mut from = vec![u32::MAX; n];
        let mut to = vec![0u32; n];
        let mut widen = |v: VReg, at: u32| {
            if self.spilled[v.index()] {
                from[v.index()] = from[v.index()].min(at);
                to[v.index()] = to[v.index()].max(at);
            }
        };
        for (order, &b) in self.cfg.rpo.iter().enumerate() {
            // Blocks are the unit: three places each, for entry, inside and exit.
            let at = order as u32 * 3;
            let block = &self.f.blocks[b as usize];
            for &(v, _) in &self.live.live_in[b as usize] {
                widen(v, at);
            }
            for &p in &block.params {
                widen(p, at);
                for &pred in &self.cfg.preds[b as usize] {
                    widen(p, self.cfg.order(pred as usize) as u32 * 3 + 2);
                }
            }
            for node in &block.insts {
                node.inst.for_each_use(|v| widen(v, at + 1));
                node.inst.def().into_iter().for_each(|v| widen(v, at + 1));
            }
            block.term.for_each_use(|v| widen(v, at + 2));
            for &(v, _) in &self.live.live_out[b as usize] {
                widen(v, at + 2);
            }
        }
        let mut order: Vec<usize> = (0..n).filter(|v| self.spilled[*v]).collect();
        order.sort_by_key(|v| (from[*v], *v));
        let mut ends: Vec<u32> = Vec::new();
        let mut slot_of = vec![0; n];
        for v in order {
            let slot = match ends.iter().position(|end| *end < from[v]) {
                Some(slot) => slot,
                None => {
                    ends.push(0);
                    ends.len() - 1
                }
            };
            ends[slot] = to[v];
            slot_of[v] = slot as u32;
        }
        let mut n_slots = ends.len() as u32;
        let mut temps = [None; 2];
        for block in &mut self.out {
            for (_, edit) in &mut block.edits {
                let (Edit::Spill { slot, .. } | Edit::Reload { slot, .. } | Edit::SpillImm { slot, .. }) =
                    edit
                else {
                    continue;
                };
                let temp = [TEMP, LENT].iter().position(|t| t == slot);
                *slot = SpillSlot(match temp {
                    None => slot_of[slot.0 as usize],
                    Some(t) => *temps[t].get_or_insert_with(|| {
                        n_slots += 1;
                        n_slots - 1
                    }),
                });
            }
        }
        n_slots
    }
}

/// Where values that live across no call are wanted as argument or result; also what such values are computed from
/// in place.
fn argument_hints(f: &Function, crosses: &[bool]) -> Vec<Option<u8>> {
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

/// A constant moved by an offset, if that is one again.
pub(super) fn shifted(value: Const, off: i32) -> Option<Const> {
    match value {
        _ if off == 0 => Some(value),
        Const::Imm(n) => Some(Const::Imm(n.wrapping_add(i64::from(off)))),
        Const::Frame(at) => at.checked_add(off).map(Const::Frame),
        Const::MapValue(map, at) => at.checked_add_signed(off).map(|at| Const::MapValue(map, at)),
        Const::Map(_) | Const::Func(_) | Const::BtfVar(_) => None,
    }
}
