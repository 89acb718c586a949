//! Where the memory of a module lies: on the stack while it fits, else in per-CPU scratch.
//!
//! The kernel gives 512 bytes of stack to all frames of a call chain together. Small slots go there, as many as fit
//! beside the room kept for spills; slots that are never in use at the same time share their place. The others lie
//! in [a value of a per-CPU array map](Scratch), which is looked up once, where it dominates all uses. So nobody who
//! writes IR ever sees the limit.

mod liveness;
mod scratch;

pub use scratch::Scratch;

use crate::ir::{self, Function, InstData, Module, SlotId, Terminator, Value};
use bpf_facts::{Arg, HelperId, KernelProfile, V};
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
    scratch: &Scratch,
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
    let first = scratch_from + scratch.claim_bytes();
    let end = first + bytes;
    if end > MAX_SCRATCH {
        return Err(TooLarge { need: end, have: MAX_SCRATCH, by: func.name.clone() });
    }
    let mut offsets = vec![None; func.slots.len()];
    for &slot in &leave {
        offsets[slot.index()] = Some(first + places[slot.index()]);
    }
    let key = func.add_slot(8);
    let fetch = profile.has(bpf_facts::Feature::AtomicFetch);
    let certain = profile.has(bpf_facts::Feature::ConstantKeys);
    scratch::Mover { scratch, claim: scratch_from, key, fetch, certain }.run(func, &offsets);
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
    /// On the stack: holds pointers, is handed to a callback, or is a key that the verifier has to know.
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
    let compared = compared(func);
    for block in func.blocks.iter() {
        for &inst in &block.insts {
            match &func.insts[inst].data {
                InstData::CallHelper(HelperId::MAP_LOOKUP_ELEM, args)
                    if func.insts[inst].result.is_some_and(|found| !compared[found.index()]) =>
                {
                    pin(args[1], Kind::Stack);
                }
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

/// Which values are compared where a branch is: what is looked up and never compared with NULL is known to be there.
fn compared(func: &Function) -> Vec<bool> {
    let mut compared = vec![false; func.values.len()];
    for block in func.blocks.iter() {
        if let Terminator::Branch { lhs, .. } = block.term {
            compared[lhs.index()] = true;
        }
    }
    compared
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
