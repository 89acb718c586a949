//! Where the memory of a module lies: on the stack while it fits, else in per-CPU scratch.
//!
//! The kernel gives 512 bytes of stack to all frames of a call chain together. Small slots go there, as many as fit
//! beside the room kept for spills; slots that are never in use at the same time share their place. The others lie
//! in the value of a per-CPU array map, which is looked up once, where it dominates all uses. So nobody who writes
//! IR ever sees the limit.

mod liveness;

use crate::ir::{self, Block, BlockCall, Cond, Function, InstData, Module, SlotId, Terminator, Value};
use bpf_facts::{Arg, HelperId, KernelProfile, V};
use ebpf_asm::{MapRef, Size, SrcLoc};
use liveness::Liveness;

/// Kernels before this one refuse stores to the stack at a variable offset.
const VARIABLE_STACK_OFFSET: V = V(5, 12);

/// Largest value of a per-CPU array (`PCPU_MIN_UNIT_SIZE`).
pub const MAX_SCRATCH: u32 = 32 << 10;

/// The frame of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offset of each slot from the frame pointer; 0 for one that lies elsewhere or is not used.
    offsets: Vec<i32>,
    /// Bytes of stack used by slots, a multiple of 8.
    pub stack_bytes: u32,
}

impl Layout {
    /// Offset of a slot from the frame pointer.
    pub fn offset(&self, slot: SlotId) -> i32 {
        self.offsets[slot.index()]
    }
}

/// Memory does not fit: pinned slots over the stack, or slots over the scratch memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Bytes needed.
    pub need: u32,
    /// Bytes there are.
    pub have: u32,
    /// Name of the function.
    pub by: String,
}

/// Bytes of stack for each function of a module: an even share for every function of the longest call chain. The
/// kernel rounds frames up to 32 bytes.
pub fn stack_share(module: &Module, limit: u32) -> u32 {
    let n = module.functions.len();
    let mut depth = vec![0u32; n];
    // Functions call in a chain without recursion, so `n` rounds are enough; two nearly always are.
    for _ in 0..n {
        let mut changed = false;
        for (i, f) in module.functions.iter().enumerate() {
            let below = callees(f).filter_map(|c| depth.get(c).map(|d| d + 1)).max().unwrap_or(0);
            if below > depth[i] && below < n as u32 {
                depth[i] = below;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let chain = 1 + depth.first().copied().unwrap_or(0);
    if chain == 1 { limit } else { (limit / chain) & !31 }
}

fn callees(f: &Function) -> impl Iterator<Item = usize> {
    f.blocks.iter().flat_map(|b| &b.insts).filter_map(|&i| match f.insts[i].data {
        InstData::FuncAddr(func) | InstData::CallFunc(func, _) => Some(func.index()),
        _ => None,
    })
}

/// Lays out the frame of `func` within `budget` bytes of stack. Slots that do not fit are rewritten to addresses in
/// the scratch map, from byte `scratch_from` on; the second result is the end of what is used there.
///
/// # Errors
/// If slots that must be on the stack exceed the budget, or the rest exceeds the scratch memory.
pub fn place(
    func: &mut Function,
    profile: &KernelProfile,
    budget: u32,
    scratch: MapRef,
    scratch_from: u32,
) -> Result<(Layout, u32), TooLarge> {
    let live = Liveness::of(func);
    let kinds = kinds(func, profile);
    let all: Vec<SlotId> = func.slots.ids().filter(|s| live.used(*s)).collect();
    let whole = pack(func, &live, &all);
    if whole.1 <= budget && all.iter().all(|s| kinds[s.index()] != Kind::Scratch) {
        return Ok((Layout { offsets: from_top(func, &whole.0), stack_bytes: whole.1 }, scratch_from));
    }
    // Keep the small ones, and 8 bytes for the key of the look-up.
    let mut order = all;
    order.sort_by_key(|s| (kinds[s.index()] != Kind::Stack, func.slots[*s].size, *s));
    let mut stay: Vec<SlotId> = Vec::new();
    let mut leave: Vec<SlotId> = Vec::new();
    let pinned = order.iter().filter(|s| kinds[s.index()] == Kind::Stack).count();
    let fits = |n: usize| {
        let stay: Vec<SlotId> =
            order[..n].iter().copied().filter(|s| kinds[s.index()] != Kind::Scratch).collect();
        pack(func, &live, &stay).1 + 8 <= budget
    };
    let (mut low, mut high) = (pinned, order.len());
    if !fits(low) {
        let need = pack(func, &live, &order[..pinned]).1 + 8;
        return Err(TooLarge { need, have: budget, by: func.name.clone() });
    }
    while low < high {
        let mid = (low + high).div_ceil(2);
        if fits(mid) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    for (i, &slot) in order.iter().enumerate() {
        if i < low && kinds[slot.index()] != Kind::Scratch { &mut stay } else { &mut leave }.push(slot);
    }
    leave.sort();
    let (places, bytes) = pack(func, &live, &leave);
    let end = scratch_from + bytes;
    if end > MAX_SCRATCH {
        return Err(TooLarge { need: end, have: MAX_SCRATCH, by: func.name.clone() });
    }
    let mut offsets = vec![None; func.slots.len()];
    for &slot in &leave {
        offsets[slot.index()] = Some(scratch_from + places[slot.index()]);
    }
    let key = func.add_slot(8);
    move_to_scratch(func, &offsets, key, scratch);
    stay.push(key);
    let live = Liveness::of(func);
    let (places, bytes) = pack(func, &live, &stay);
    Ok((Layout { offsets: from_top(func, &places), stack_bytes: bytes }, end))
}

/// What limits the place of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anywhere.
    Any,
    /// On the stack: holds pointers, or is handed to a callback.
    Stack,
    /// Not on the stack: is accessed at variable offsets, which this kernel does not allow there.
    Scratch,
}

fn kinds(func: &Function, profile: &KernelProfile) -> Vec<Kind> {
    let mut kinds = vec![Kind::Any; func.slots.len()];
    let roots = liveness::roots(func);
    let mut pin = |v: Value, kind: Kind| {
        for slot in roots.of(v) {
            if kinds[slot.index()] != Kind::Stack {
                kinds[slot.index()] = kind;
            }
        }
    };
    for block in func.blocks.iter() {
        for &inst in &block.insts {
            match &func.insts[inst].data {
                InstData::Store { value, ptr, .. } if func.values[*value].ty == ir::Type::Ptr => {
                    pin(*ptr, Kind::Stack);
                }
                InstData::CallHelper(id, args) => {
                    let Some(def) = bpf_facts::helper(*id) else { continue };
                    for (arg, want) in args.iter().zip(&def.args) {
                        if *want == Arg::StackOrNull {
                            pin(*arg, Kind::Stack);
                        }
                    }
                }
                InstData::PtrAdd(ptr, _) if profile.version < VARIABLE_STACK_OFFSET => {
                    pin(*ptr, Kind::Scratch);
                }
                _ => {}
            }
        }
    }
    kinds
}

/// Gives each of `slots` the lowest place where it meets none that is live at the same time; largest first, so
/// that small ones fill what is left. Also gives the size of the whole.
fn pack(func: &Function, live: &Liveness, slots: &[SlotId]) -> (Vec<u32>, u32) {
    let mut places = vec![0; func.slots.len()];
    let mut order = slots.to_vec();
    order.sort_by_key(|s| (std::cmp::Reverse(func.slots[*s].size), *s));
    let mut done: Vec<SlotId> = Vec::new();
    let mut end = 0;
    for slot in order {
        let size = func.slots[slot].size;
        let mut taken: Vec<(u32, u32)> = done
            .iter()
            .filter(|other| live.interfere(slot, **other))
            .map(|other| (places[other.index()], places[other.index()] + func.slots[*other].size))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + size <= from {
                break;
            }
            at = at.max(to);
        }
        places[slot.index()] = at;
        end = end.max(at + size);
        done.push(slot);
    }
    (places, end)
}

/// Places counted from the frame pointer downwards.
fn from_top(func: &Function, places: &[u32]) -> Vec<i32> {
    let size = |i: usize| func.slots[SlotId::new(i)].size;
    places.iter().enumerate().map(|(i, &at)| -((at + size(i)) as i32)).collect()
}

/// Looks the scratch memory up where it dominates all uses of the slots that have an offset there (outside loops if
/// it can be), and makes their addresses relative to what was found.
fn move_to_scratch(func: &mut Function, offsets: &[Option<u32>], key: SlotId, map: MapRef) {
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
    let (tail, base) = insert_lookup(func, home, split, key, map, loc);

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

/// Splits `home` before its instruction `split` and puts a look-up of key 0 there, which returns from the function
/// if it finds nothing (which never happens: the map is an array). Gives the second half and the address.
fn insert_lookup(
    func: &mut Function,
    home: Block,
    split: usize,
    key: SlotId,
    map: MapRef,
    loc: SrcLoc,
) -> (Block, Value) {
    let tail = func.add_block();
    let fail = func.add_block();
    let data = &mut func.blocks[home];
    let (insts, term_loc, cold) = (data.insts.split_off(split), data.term_loc, data.cold);
    let term = std::mem::replace(&mut data.term, Terminator::None);
    let data = &mut func.blocks[tail];
    (data.insts, data.term, data.term_loc, data.cold) = (insts, term, term_loc, cold);

    let push = |func: &mut Function, data| {
        let inst = func.push_inst(home, data, loc);
        func.insts[inst].result
    };
    let zero = push(func, InstData::Iconst(0)).expect("a constant has a result");
    let key = push(func, InstData::SlotAddr(key, 0)).expect("an address has a result");
    push(func, InstData::Store { size: Size::W, value: zero, ptr: key, off: 0 });
    let map = push(func, InstData::MapAddr(map)).expect("a map has a result");
    let lookup = InstData::CallHelper(HelperId::MAP_LOOKUP_ELEM, vec![map, key]);
    let base = push(func, lookup).expect("a look-up has a result");
    let call = |block| BlockCall { block, args: Vec::new() };
    let data = &mut func.blocks[home];
    data.term =
        Terminator::Branch { cond: Cond::Eq, lhs: base, rhs: zero, then: call(fail), els: call(tail) };
    data.term_loc = loc;
    let data = &mut func.blocks[fail];
    (data.term, data.term_loc, data.cold) = (Terminator::Return(zero), loc, true);
    (tail, base)
}
