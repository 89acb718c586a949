//! What instructions do to memory, as far as passes need to know.
//!
//! Memory is seen as a few roots that do not overlap: each slot, and everything else by the pointer it is reached
//! through. A slot whose address gets out of sight (into memory, a callback, a block parameter) is *escaped*: passes
//! leave it alone.

use crate::ir::{Function, InstData, SlotId, Type, Value, ValueDef};
use bpf_facts::{Arg, MemAccess};
use ebpf_asm::MapRef;

/// An object in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Root {
    /// A slot.
    Slot(SlotId),
    /// The value of a one-element array map.
    Map(MapRef),
    /// What the only parameter of a function points to: the context of a program, which nothing changes. (Callbacks
    /// have several parameters, and those point to memory that others know, too.)
    Param(Value),
    /// What another pointer points to. Two such pointers may point to the same thing.
    Other(Value),
}

/// Bytes of an object; all of it if the offset is not known, all from there on if the length is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub root: Root,
    pub off: Option<i64>,
    pub len: Option<u32>,
}

impl Range {
    /// Whether both may share a byte.
    pub(super) fn overlaps(&self, other: &Range) -> bool {
        if self.root != other.root {
            return match (self.root, other.root) {
                (Root::Slot(_) | Root::Param(_), _) | (_, Root::Slot(_) | Root::Param(_)) => false,
                (Root::Map(a), Root::Map(b)) => a == b,
                (Root::Map(_) | Root::Other(_), Root::Map(_) | Root::Other(_)) => true,
            };
        }
        let (Some(a), Some(b)) = (self.off, other.off) else { return true };
        let before =
            |off: i64, len: Option<u32>, other: i64| len.is_some_and(|l| off + i64::from(l) <= other);
        !before(a, self.len, b) && !before(b, other.len, a)
    }
}

/// Where a pointer points.
pub(super) fn place(f: &Function, ptr: Value, off: i32, len: Option<u32>) -> Range {
    let mut at = ptr;
    let mut known = Some(i64::from(off));
    // Bounded by the number of values, for the sake of invalid functions.
    for _ in 0..=f.values.len() {
        let root = match f.values[at].def {
            ValueDef::Param(block, _) if block == f.entry() && f.blocks[block].params.len() == 1 => {
                Root::Param(at)
            }
            ValueDef::Param(..) => Root::Other(at),
            ValueDef::Inst(inst) => match &f.insts[inst].data {
                InstData::PtrOff(p, n) => {
                    known = known.map(|k| k + i64::from(*n));
                    at = *p;
                    continue;
                }
                InstData::PtrAdd(p, _) => {
                    known = None;
                    at = *p;
                    continue;
                }
                InstData::SlotAddr(slot, n) => {
                    known = known.map(|k| k + i64::from(*n));
                    Root::Slot(*slot)
                }
                InstData::MapValueAddr(map, n) => {
                    known = known.map(|k| k + i64::from(*n));
                    Root::Map(*map)
                }
                _ => Root::Other(at),
            },
        };
        return Range { root, off: known, len };
    }
    Range { root: Root::Other(ptr), off: None, len: None }
}

/// What an instruction does.
#[derive(Default)]
pub(super) struct Effects {
    /// What it may read, of slots (reads of other memory do not matter to any pass).
    pub reads: Vec<Range>,
    /// What it may write; true if it certainly writes all of it.
    pub writes: Vec<(Range, bool)>,
    /// Whether it may write anything that is no slot and not the context.
    pub clobbers: bool,
    /// Slots whose address gets out of sight.
    pub escapes: Vec<SlotId>,
    /// Whether it may be left out when what it writes and gives is not used.
    pub removable: bool,
}

/// The effects of one instruction.
pub(super) fn effects(f: &Function, data: &InstData) -> Effects {
    let mut e = Effects { removable: !super::dce::has_effect(data), ..Effects::default() };
    match data {
        InstData::Load { size, ptr, off, .. } => e.reads.push(place(f, *ptr, *off, Some(size.bytes()))),
        InstData::LoadPtr { ptr, off } => e.reads.push(place(f, *ptr, *off, Some(8))),
        InstData::Store { size, value, ptr, off } => {
            let range = place(f, *ptr, *off, Some(size.bytes()));
            e.writes.push((range, range.off.is_some()));
            e.escape(f, *value);
            e.removable = true;
        }
        InstData::Atomic { size, value, ptr, off, .. } => {
            let range = place(f, *ptr, *off, Some(size.bytes()));
            e.reads.push(range);
            e.writes.push((range, range.off.is_some()));
            e.escape(f, *value);
        }
        InstData::MemZero { ptr, off, len } => {
            let range = place(f, *ptr, *off, Some(*len));
            e.writes.push((range, range.off.is_some()));
            e.removable = true;
        }
        InstData::MemCopy { dst, dst_off, src, src_off, len, .. } => {
            e.reads.push(place(f, *src, *src_off, Some(*len)));
            let range = place(f, *dst, *dst_off, Some(*len));
            e.writes.push((range, range.off.is_some()));
            e.removable = true;
        }
        InstData::CallHelper(id, args) => helper(f, *id, args, &mut e),
        InstData::CallFunc(_, args) | InstData::CallKfunc { args, .. } => {
            args.iter().for_each(|a| e.escape(f, *a));
            e.clobbers = true;
        }
        InstData::Select(_, a, b) => {
            e.escape(f, *a);
            e.escape(f, *b);
        }
        InstData::Iconst(_)
        | InstData::Binary(..)
        | InstData::Unary(..)
        | InstData::Icmp(..)
        | InstData::PtrAdd(..)
        | InstData::PtrOff(..)
        | InstData::SlotAddr(..)
        | InstData::MapAddr(_)
        | InstData::MapValueAddr(..)
        | InstData::FuncAddr(_)
        | InstData::BtfVarAddr(_) => {}
    }
    e
}

impl Effects {
    fn escape(&mut self, f: &Function, v: Value) {
        if f.values[v].ty == Type::Ptr
            && let Root::Slot(slot) = place(f, v, 0, None).root
        {
            self.escapes.push(slot);
        }
    }
}

fn helper(f: &Function, id: bpf_facts::HelperId, args: &[Value], e: &mut Effects) {
    let Some(def) = bpf_facts::helper(id) else {
        args.iter().for_each(|a| e.escape(f, *a));
        e.clobbers = true;
        return;
    };
    e.removable = def.flags.only_result || def.flags.overwrites;
    e.clobbers = !e.removable;
    for (i, (&arg, want)) in args.iter().zip(&def.args).enumerate() {
        if f.values[arg].ty != Type::Ptr {
            continue;
        }
        let len = args.get(i + 1).and_then(|n| f.as_const(*n)).and_then(|n| u32::try_from(n).ok());
        match want {
            Arg::Mem(access) | Arg::MemOrNull(access) => {
                memory(f, arg, *access, len, def.flags.overwrites, e)
            }
            Arg::FixedMem(access, len) => memory(f, arg, *access, Some(*len), false, e),
            Arg::MapKey | Arg::MapValue | Arg::MapValueOrNull => e.reads.push(place(f, arg, 0, None)),
            // A source address: reading from a slot is possible if unusual.
            Arg::Anything | Arg::Scalar | Arg::ConstStr => e.reads.push(place(f, arg, 0, None)),
            Arg::UninitMapValue => e.writes.push((place(f, arg, 0, None), false)),
            Arg::IntPtr(len) => e.writes.push((place(f, arg, 0, Some(*len)), false)),
            Arg::None if def.flags.more_args => e.reads.push(place(f, arg, 0, None)),
            Arg::None | Arg::Ctx | Arg::CtxOrNull | Arg::ConstMapPtr => {}
            _ => e.escape(f, arg),
        }
    }
}

fn memory(f: &Function, arg: Value, access: MemAccess, len: Option<u32>, whole: bool, e: &mut Effects) {
    let range = place(f, arg, 0, len);
    match access {
        MemAccess::Read => e.reads.push(range),
        MemAccess::Write => e.writes.push((range, whole && range.off.is_some() && len.is_some())),
        MemAccess::ReadWrite => {
            e.reads.push(range);
            e.writes.push((range, false));
        }
    }
}

/// Which slots are escaped, as a vector by slot.
pub(super) fn escaped(f: &Function) -> Vec<bool> {
    let mut escaped = vec![false; f.slots.len()];
    let mut mark = |v: Value| {
        if f.values[v].ty == Type::Ptr
            && let Root::Slot(slot) = place(f, v, 0, None).root
        {
            escaped[slot.index()] = true;
        }
    };
    for block in f.blocks.iter() {
        for to in block.term.targets() {
            to.args.iter().for_each(|a| mark(*a));
        }
    }
    for block in f.blocks.iter() {
        for &inst in &block.insts {
            for slot in effects(f, &f.insts[inst].data).escapes {
                escaped[slot.index()] = true;
            }
        }
    }
    escaped
}
