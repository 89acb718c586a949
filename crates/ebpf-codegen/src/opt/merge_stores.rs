//! `merge-stores`: neighbouring stores of constants become fewer, wider ones.
//!
//! Within a block, zeroing and constant stores to one object collect until something reads or writes memory in
//! another way; what they leave behind is then written with the widest aligned stores. Only slots and what calls
//! returned are treated: both begin at a multiple of 8.

use super::memory::{Range, Root, effects, escaped, place};
use super::{Pass, Plan};
use crate::ir::{Function, Inst, InstData, Value, ValueDef};
use ebpf_asm::{Size, SrcLoc};
use std::collections::BTreeMap;

pub(super) const PASS: Pass =
    Pass { name: "merge-stores", what: "makes wide stores of neighbouring constant ones", run };

/// Larger zeroing stays one instruction.
const MAX_ZERO: u32 = 64;

/// Constant bytes waiting to be written to one object.
struct Pending {
    root: Root,
    /// An address of the object, and its offset there.
    base: (Value, i64),
    bytes: BTreeMap<i64, u8>,
    /// How many instructions they come from.
    merged: usize,
    /// The instructions themselves, in case nothing is gained.
    insts: Vec<Inst>,
    loc: SrcLoc,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let escaped = escaped(f);
    let mut changed = false;
    for block in f.blocks.ids().collect::<Vec<_>>() {
        let insts = std::mem::take(&mut f.blocks[block].insts);
        let mut out = Vec::with_capacity(insts.len());
        let mut pending: Vec<Pending> = Vec::new();
        for inst in insts {
            if let Some((range, ptr, off, bytes)) = constant(f, inst)
                && aligned(f, &range, &escaped)
            {
                let start = range.off.unwrap_or(0);
                collect(f, &mut pending, inst, range.root, (ptr, start - i64::from(off)), start, &bytes);
                continue;
            }
            let data = f.insts[inst].data.clone();
            if touches_memory(f, &data, &mut pending, &mut changed, &mut out) {
                for p in pending.drain(..) {
                    changed |= flush(f, p, &mut out);
                }
            }
            out.push(inst);
        }
        for p in pending.drain(..) {
            changed |= flush(f, p, &mut out);
        }
        f.blocks[block].insts = out;
    }
    changed
}

/// A write of constant bytes: where, the address and offset of the instruction, the bytes.
fn constant(f: &Function, inst: Inst) -> Option<(Range, Value, i32, Vec<u8>)> {
    match &f.insts[inst].data {
        InstData::Store { size, value, ptr, off } => {
            let n = f.as_const(*value)?;
            let bytes = n.to_le_bytes()[..size.bytes() as usize].to_vec();
            Some((place(f, *ptr, *off, Some(size.bytes())), *ptr, *off, bytes))
        }
        InstData::MemZero { ptr, off, len } if *len <= MAX_ZERO => {
            Some((place(f, *ptr, *off, Some(*len)), *ptr, *off, vec![0; *len as usize]))
        }
        _ => None,
    }
}

/// Whether the object's start is known to be aligned and nobody else looks at it.
fn aligned(f: &Function, range: &Range, escaped: &[bool]) -> bool {
    range.off.is_some_and(|o| (0..1 << 15).contains(&o))
        && match range.root {
            Root::Slot(slot) => !escaped[slot.index()],
            Root::Other(v) => match f.values[v].def {
                ValueDef::Inst(i) => is_record(&f.insts[i].data),
                ValueDef::Param(..) => false,
            },
            Root::Map(_) | Root::Param(_) => false,
        }
}

/// A new ring-buffer record: nobody else sees it before it is submitted.
fn is_record(data: &InstData) -> bool {
    let InstData::CallHelper(id, _) = data else { return false };
    bpf_facts::helper(*id).is_some_and(|def| def.ret == bpf_facts::Ret::AllocMemOrNull)
}

fn collect(
    f: &Function,
    pending: &mut Vec<Pending>,
    inst: Inst,
    root: Root,
    base: (Value, i64),
    start: i64,
    bytes: &[u8],
) {
    let at = match pending.iter().position(|p| p.root == root) {
        Some(at) => at,
        None => {
            let loc = f.insts[inst].loc;
            pending.push(Pending { root, base, bytes: BTreeMap::new(), merged: 0, insts: Vec::new(), loc });
            pending.len() - 1
        }
    };
    let p = &mut pending[at];
    for (i, &byte) in bytes.iter().enumerate() {
        p.bytes.insert(start + i as i64, byte);
    }
    p.merged += 1;
    p.insts.push(inst);
}

/// Whether everything must be written before this instruction. What concerns one object only writes that one.
fn touches_memory(
    f: &mut Function,
    data: &InstData,
    pending: &mut Vec<Pending>,
    changed: &mut bool,
    out: &mut Vec<Inst>,
) -> bool {
    if pending.is_empty() {
        return false;
    }
    let e = effects(f, data);
    let mut pointers = false;
    if matches!(data, InstData::CallHelper(..) | InstData::CallFunc(..) | InstData::CallKfunc { .. }) {
        // A call sees what is handed to it; a record may be submitted by it.
        data.for_each_operand(|v| pointers |= f.values[v].ty == crate::ir::Type::Ptr);
        pointers |= matches!(data, InstData::CallFunc(..) | InstData::CallKfunc { .. });
    }
    if pointers || !e.escapes.is_empty() {
        return true;
    }
    let ranges: Vec<Range> = e.reads.iter().copied().chain(e.writes.iter().map(|w| w.0)).collect();
    let mut i = 0;
    while i < pending.len() {
        let all = Range { root: pending[i].root, off: None, len: None };
        if ranges.iter().any(|r| touches(r, &pending[i], &all)) {
            let p = pending.remove(i);
            *changed |= flush(f, p, out);
        } else {
            i += 1;
        }
    }
    false
}

/// Whether a range meets bytes that wait. Another object's address may be the same only if its root may alias.
fn touches(r: &Range, p: &Pending, all: &Range) -> bool {
    if r.root != p.root {
        return r.overlaps(all);
    }
    match (r.off, r.len) {
        (Some(off), Some(len)) => p.bytes.range(off..off + i64::from(len)).next().is_some(),
        _ => true,
    }
}

/// Writes what waits, with the widest stores if they are fewer than what there was.
fn flush(f: &mut Function, p: Pending, out: &mut Vec<Inst>) -> bool {
    let stores = cut(&p.bytes);
    let before: usize = p.insts.iter().map(|&i| cost(&f.insts[i].data)).sum();
    let after: usize = stores.iter().map(|(_, size, n)| store_cost(*size, *n)).sum();
    if p.merged < 2 || after >= before {
        out.extend(p.insts);
        return false;
    }
    for (at, size, n) in stores {
        let c = f.make_inst(InstData::Iconst(n), p.loc);
        out.push(c);
        let value = f.insts[c].result.expect("a constant has a result");
        let off = i32::try_from(at - p.base.1).expect("offsets are small");
        let store = f.make_inst(InstData::Store { size, value, ptr: p.base.0, off }, p.loc);
        out.push(store);
    }
    true
}

/// Machine instructions that an instruction becomes.
fn cost(data: &InstData) -> usize {
    match data {
        InstData::MemZero { off, len, .. } => {
            cut(&(0..*len).map(|i| (i64::from(off + i as i32), 0)).collect()).len()
        }
        _ => 1,
    }
}

/// A 64-bit store of what is no sign-extended 32-bit number needs a register loaded before, in two slots.
fn store_cost(size: Size, n: i64) -> usize {
    if size == Size::Dw && i32::try_from(n).is_err() { 3 } else { 1 }
}

/// Aligned stores for the bytes, widest first where all bytes are there. Eight bytes whose constant would need a
/// register become two halves.
fn cut(bytes: &BTreeMap<i64, u8>) -> Vec<(i64, Size, i64)> {
    let mut stores = Vec::new();
    let mut next = i64::MIN;
    for &at in bytes.keys() {
        if at < next {
            continue;
        }
        for size in [Size::Dw, Size::W, Size::H, Size::B] {
            let len = i64::from(size.bytes());
            if at % len != 0 || bytes.range(at..at + len).count() as i64 != len {
                continue;
            }
            let mut raw = [0u8; 8];
            for (i, (_, byte)) in bytes.range(at..at + len).enumerate() {
                raw[i] = *byte;
            }
            let n = i64::from_le_bytes(raw);
            if store_cost(size, n) > 1 {
                continue;
            }
            stores.push((at, size, n));
            next = at + len;
            break;
        }
    }
    stores
}
