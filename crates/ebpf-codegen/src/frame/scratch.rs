//! Memory beside the stack: who may use which piece of it, and for how long.
//!
//! Programs on one CPU can come in between each other: an interrupt runs one over another, and where the kernel is
//! preemptible a task may hit a uprobe while another task of the same CPU is in the program of one. So each program
//! has values of its own, and one that can meet itself has several, each with a word that says whether it is in use:
//!
//! ```text
//!  home ─▶ look value 0 up ─▶ exchange its word for 1 ─ was 0 ─▶ the program … ─▶ word = 0 ─▶ and on
//!                                      │ was 1                                     on every way out
//!                                      ▼
//!                             the same with value 1 … ─▶ none is free: count it, return
//! ```

use crate::ir::{self, Block, BlockCall, Cond, Function, InstData, SlotId, Terminator, Value};
use bpf_facts::HelperId;
use ebpf_asm::{AtomicOp, MapRef, Size, SrcLoc};

/// Bytes of the word that says whether a value is in use.
const CLAIM: u32 = 8;

/// Per-CPU memory for what does not fit on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// A per-CPU array map.
    pub map: MapRef,
    /// Index of the first value that belongs to the program.
    pub first: u32,
    /// How many values belong to it. One is enough for a program that the kernel never runs over itself.
    pub levels: u32,
    /// A word of a map (its offset in an array of one value) that counts the runs which found no value free.
    pub exhausted: Option<(MapRef, u32)>,
}

impl Scratch {
    /// One value of `map`, for a program that meets no other that uses it.
    pub fn exclusive(map: MapRef) -> Scratch {
        Scratch { map, first: 0, levels: 1, exhausted: None }
    }

    /// Bytes before the slots of a function.
    pub(super) fn claim_bytes(&self) -> u32 {
        if self.levels > 1 { CLAIM } else { 0 }
    }
}

/// Moves slots of a function to scratch memory.
pub(super) struct Mover<'a> {
    pub(super) scratch: &'a Scratch,
    /// Where the function's claim word lies in each value.
    pub(super) claim: u32,
    /// A slot for the key of the look-up.
    pub(super) key: SlotId,
    /// Whether the kernel can exchange a word.
    pub(super) fetch: bool,
    /// Whether it knows that the look-up finds something.
    pub(super) certain: bool,
}

impl Mover<'_> {
    /// Looks the scratch memory up where it dominates all uses of the slots that have an offset there (outside loops
    /// if it can be), and makes their addresses relative to what was found.
    pub(super) fn run(&self, func: &mut Function, offsets: &[Option<u32>]) {
        let cfg = func.cfg();
        let depth = cfg.loop_depths();
        let offset = |slot: SlotId| offsets.get(slot.index()).copied().flatten();
        let moved: Vec<bool> = func
            .values
            .ids()
            .map(|v| matches!(func.def_inst(v), Some(InstData::SlotAddr(slot, _)) if offset(*slot).is_some()))
            .collect();
        let inst_uses = |func: &Function, i: ir::Inst| {
            let mut found = false;
            func.insts[i].data.for_each_operand(|v| found |= moved[v.index()]);
            found
        };
        let mut home: Option<usize> = None;
        for &b in &cfg.rpo {
            let data = &func.blocks[Block::new(b as usize)];
            let mut found = data.insts.iter().any(|&i| inst_uses(func, i));
            data.term.for_each_operand(|v| found |= moved[v.index()]);
            if found {
                home = Some(home.map_or(b as usize, |h| cfg.common_dominator(h, b as usize)));
            }
        }
        let Some(mut home) = home else { return };
        while depth[home] > 0
            && let Some(up) = cfg.idom(home)
        {
            home = up;
        }
        let home = Block::new(home);
        let insts = &func.blocks[home].insts;
        let split = insts.iter().position(|&i| inst_uses(func, i)).unwrap_or(insts.len());
        let loc = insts.get(split).map_or(func.blocks[home].term_loc, |&i| func.insts[i].loc);
        let (tail, base) = self.insert(func, home, split, loc);

        // What runs with the memory: nothing gets there but through the look-up.
        let inside: Vec<Block> = func
            .blocks
            .ids()
            .filter(|block| {
                let old = block.index() < depth.len() && cfg.reachable(block.index());
                *block == tail || (old && *block != home && cfg.dominates(home.index(), block.index()))
            })
            .collect();
        if self.scratch.levels > 1 {
            self.release(func, &inside, base);
        }

        // Addresses made above the look-up are made behind it instead: nothing there uses them.
        let mut above = Vec::new();
        for block in func.blocks.ids().collect::<Vec<_>>() {
            let below = block == tail
                || block.index() >= depth.len()
                || !cfg.reachable(block.index())
                || (block != home && cfg.dominates(home.index(), block.index()));
            let insts = std::mem::take(&mut func.blocks[block].insts);
            let mut kept = Vec::with_capacity(insts.len());
            for inst in insts {
                if let InstData::SlotAddr(slot, off) = func.insts[inst].data
                    && let Some(to) = offset(slot)
                {
                    func.insts[inst].data = InstData::PtrOff(base, (to + off) as i32);
                    if !below {
                        above.push(inst);
                        continue;
                    }
                }
                kept.push(inst);
            }
            func.blocks[block].insts = kept;
        }
        above.append(&mut func.blocks[tail].insts);
        func.blocks[tail].insts = above;
    }

    /// Splits `home` before its instruction `split` and puts the look-up there, which returns from the function if
    /// there is no memory to be had. Gives the second half and the address.
    fn insert(&self, func: &mut Function, home: Block, split: usize, loc: SrcLoc) -> (Block, Value) {
        let tail = func.add_block();
        let data = &mut func.blocks[home];
        let (insts, term_loc, cold) = (data.insts.split_off(split), data.term_loc, data.cold);
        let term = std::mem::replace(&mut data.term, Terminator::None);
        let data = &mut func.blocks[tail];
        (data.insts, data.term, data.term_loc, data.cold) = (insts, term, term_loc, cold);

        let mut at = Emit { func, block: home, loc };
        let zero = at.value(InstData::Iconst(0));
        if self.scratch.levels <= 1 {
            let base = self.look_up(&mut at, self.scratch.first);
            self.found(&mut at, base, zero, tail);
            return (tail, base);
        }
        let base = at.func.add_param(tail, ir::Type::Ptr);
        for level in 0..self.scratch.levels {
            let found = self.look_up(&mut at, self.scratch.first + level);
            let claim = at.func.add_block();
            self.found(&mut at, found, zero, claim);
            at.block = claim;
            let next = at.func.add_block();
            at.func.blocks[next].cold = true;
            let free = if self.fetch { tail } else { at.func.add_block() };
            let used = self.exchange(&mut at, found);
            let call = |block, args| BlockCall { block, args };
            let to_tail = if self.fetch { vec![found] } else { Vec::new() };
            let (then, els) = (call(free, to_tail), call(next, Vec::new()));
            at.end(Terminator::Branch { cond: Cond::Eq, lhs: used, rhs: zero, then, els });
            if !self.fetch {
                at.block = free;
                let one = at.value(InstData::Iconst(1));
                at.store(one, found, self.claim);
                at.end(Terminator::Jump(call(tail, vec![found])));
            }
            at.block = next;
        }
        if let Some((map, offset)) = self.scratch.exhausted {
            let ptr = at.value(InstData::MapValueAddr(map, offset));
            let value = at.value(InstData::Iconst(1));
            let (op, size) = (AtomicOp::Add, Size::Dw);
            at.inst(InstData::Atomic { op, size, fetch: false, value, ptr, off: 0 });
        }
        at.end(Terminator::Return(zero));
        (tail, base)
    }

    /// Goes on at `next`, or returns if nothing was found.
    fn found(&self, at: &mut Emit<'_>, found: Value, zero: Value, next: Block) {
        if self.certain {
            return at.end(Terminator::Jump(BlockCall { block: next, args: Vec::new() }));
        }
        let fail = at.func.add_block();
        at.branch(found, zero, fail, next);
        at.finish(fail, Terminator::Return(zero));
    }

    /// The address of a value, or NULL, which never comes: the map is an array.
    fn look_up(&self, at: &mut Emit<'_>, index: u32) -> Value {
        let index = at.value(InstData::Iconst(index.into()));
        let key = at.value(InstData::SlotAddr(self.key, 0));
        at.inst(InstData::Store { size: Size::W, value: index, ptr: key, off: 0 });
        let map = at.value(InstData::MapAddr(self.scratch.map));
        at.value(InstData::CallHelper(HelperId::MAP_LOOKUP_ELEM, vec![map, key]))
    }

    /// Marks the value as in use, where the kernel can do that in one step; gives what the word was.
    ///
    /// Elsewhere (before 5.12) an interrupt may come between look and mark; it is done with the value when we go on.
    fn exchange(&self, at: &mut Emit<'_>, base: Value) -> Value {
        let off = self.claim as i32;
        if !self.fetch {
            return at.value(InstData::Load { size: Size::Dw, sext: false, ptr: base, off });
        }
        let value = at.value(InstData::Iconst(1));
        let (op, size) = (AtomicOp::Xchg, Size::Dw);
        at.value(InstData::Atomic { op, size, fetch: true, value, ptr: base, off })
    }

    /// Gives the value back on every way out of the blocks that use it.
    fn release(&self, func: &mut Function, inside: &[Block], base: Value) {
        for &block in inside {
            let loc = func.blocks[block].term_loc;
            let mut at = Emit { func, block, loc };
            if matches!(at.func.blocks[block].term, Terminator::Return(_)) {
                let zero = at.value(InstData::Iconst(0));
                at.store(zero, base, self.claim);
                continue;
            }
            let mut term = std::mem::replace(&mut at.func.blocks[block].term, Terminator::None);
            for call in term.targets_mut() {
                if inside.contains(&call.block) {
                    continue;
                }
                at.block = at.func.add_block();
                let zero = at.value(InstData::Iconst(0));
                at.store(zero, base, self.claim);
                let way = BlockCall { block: at.block, args: Vec::new() };
                at.end(Terminator::Jump(std::mem::replace(call, way)));
            }
            at.func.blocks[block].term = term;
        }
    }
}

/// Appends to a block.
struct Emit<'a> {
    func: &'a mut Function,
    block: Block,
    loc: SrcLoc,
}

impl Emit<'_> {
    fn inst(&mut self, data: InstData) -> Option<Value> {
        let inst = self.func.push_inst(self.block, data, self.loc);
        self.func.insts[inst].result
    }

    fn value(&mut self, data: InstData) -> Value {
        self.inst(data).expect("the instruction has a result")
    }

    fn store(&mut self, value: Value, ptr: Value, offset: u32) {
        self.inst(InstData::Store { size: Size::Dw, value, ptr, off: offset as i32 });
    }

    fn end(&mut self, term: Terminator) {
        let data = &mut self.func.blocks[self.block];
        (data.term, data.term_loc) = (term, self.loc);
    }

    fn finish(&mut self, block: Block, term: Terminator) {
        self.block = block;
        self.func.blocks[block].cold = true;
        self.end(term);
    }

    fn branch(&mut self, lhs: Value, rhs: Value, then: Block, els: Block) {
        let call = |block| BlockCall { block, args: Vec::new() };
        let (then, els) = (call(then), call(els));
        self.end(Terminator::Branch { cond: Cond::Eq, lhs, rhs, then, els });
    }
}
