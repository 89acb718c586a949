//! `dead-stores`: removes writes to slots that nothing reads, byte for byte.
//!
//! Also narrows zeroing and copying to the bytes that are read, and removes calls that only fill memory (reads of
//! kernel or user memory) when neither memory nor result is used.

use super::memory::{Range, Root, effects, escaped};
use super::{Pass, Plan};
use crate::ir::{Block, Function, Inst, InstData, SlotId};

pub(super) const PASS: Pass =
    Pass { name: "dead-stores", what: "removes writes to slots that nothing reads", run };

/// Slots are followed up to so many bytes together, smallest first.
const MAX_BYTES: u32 = 1 << 14;

/// More pieces than this are zeroed with one instruction: it may become a call.
const MAX_PIECES: usize = 8;

/// Which bytes of the followed slots are read later.
#[derive(Clone, PartialEq, Eq)]
struct Bytes(Vec<u64>);

impl Bytes {
    fn get(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 != 0
    }

    fn set(&mut self, from: usize, to: usize, value: bool) {
        let mut i = from;
        while i < to {
            let end = to.min((i / 64 + 1) * 64);
            let bits = end - i;
            let mask = if bits == 64 { u64::MAX } else { ((1 << bits) - 1) << (i % 64) };
            if value {
                self.0[i / 64] |= mask;
            } else {
                self.0[i / 64] &= !mask;
            }
            i = end;
        }
    }
}

/// Where each followed slot's bytes are in the set.
struct Map {
    base: Vec<Option<usize>>,
    size: Vec<usize>,
    total: usize,
}

impl Map {
    fn new(f: &Function) -> Self {
        let escaped = escaped(f);
        let mut order: Vec<SlotId> = f.slots.ids().filter(|s| !escaped[s.index()]).collect();
        order.sort_by_key(|s| (f.slots[*s].size, *s));
        let mut map = Map { base: vec![None; f.slots.len()], size: vec![0; f.slots.len()], total: 0 };
        for slot in order {
            let size = f.slots[slot].size;
            if map.total as u32 + size > MAX_BYTES {
                break;
            }
            map.base[slot.index()] = Some(map.total);
            map.size[slot.index()] = size as usize;
            map.total += size as usize;
        }
        map
    }

    /// The bytes of a range that is in a followed slot.
    fn span(&self, range: &Range) -> Option<(usize, usize)> {
        let Root::Slot(slot) = range.root else { return None };
        let base = self.base[slot.index()]?;
        let size = self.size[slot.index()];
        let from = range.off.map_or(0, |o| usize::try_from(o).unwrap_or(0).min(size));
        let to = match (range.off, range.len) {
            (Some(_), Some(len)) => (from + len as usize).min(size),
            _ => size,
        };
        Some((base + from, base + to))
    }
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let map = Map::new(f);
    if map.total == 0 {
        return false;
    }
    let cfg = f.cfg();
    let words = map.total.div_ceil(64);
    // Per block: what is read before it is written, and what is certainly written.
    let mut read = vec![Bytes(vec![0; words]); f.blocks.len()];
    let mut written = vec![Bytes(vec![0; words]); f.blocks.len()];
    for &b in &cfg.rpo {
        let (read, written) = (&mut read[b as usize], &mut written[b as usize]);
        for &inst in f.blocks[Block::new(b as usize)].insts.iter().rev() {
            let e = effects(f, &f.insts[inst].data);
            for (range, whole) in &e.writes {
                if let (Some((from, to)), true) = (map.span(range), *whole) {
                    read.set(from, to, false);
                    written.set(from, to, true);
                }
            }
            for range in &e.reads {
                if let Some((from, to)) = map.span(range) {
                    read.set(from, to, true);
                }
            }
        }
    }
    let mut live_out = vec![Bytes(vec![0; words]); f.blocks.len()];
    let mut pending = vec![true; f.blocks.len()];
    let mut again = true;
    while again {
        again = false;
        for &b in cfg.rpo.iter().rev() {
            if !std::mem::replace(&mut pending[b as usize], false) {
                continue;
            }
            let (out, read, written) = (&live_out[b as usize], &read[b as usize], &written[b as usize]);
            let live_in: Vec<u64> = (0..words).map(|w| out.0[w] & !written.0[w] | read.0[w]).collect();
            for &p in cfg.preds(b as usize) {
                let mut grew = false;
                for (to, from) in live_out[p as usize].0.iter_mut().zip(&live_in) {
                    grew |= from & !*to != 0;
                    *to |= from;
                }
                if grew {
                    pending[p as usize] = true;
                    again = true;
                }
            }
        }
    }
    let mut used = vec![false; f.values.len()];
    let mut changed = false;
    for block in f.blocks.iter() {
        for &inst in &block.insts {
            f.insts[inst].data.for_each_operand(|v| used[v.index()] = true);
        }
        block.term.for_each_operand(|v| used[v.index()] = true);
    }
    for &b in &cfg.rpo {
        let live = live_out[b as usize].clone();
        changed |= sweep(f, &map, Block::new(b as usize), live, &used);
    }
    changed
}

/// Removes and narrows the writes of one block.
fn sweep(f: &mut Function, map: &Map, block: Block, mut live: Bytes, used: &[bool]) -> bool {
    let insts = std::mem::take(&mut f.blocks[block].insts);
    let mut out: Vec<Inst> = Vec::with_capacity(insts.len());
    let mut changed = false;
    for inst in insts.into_iter().rev() {
        let e = effects(f, &f.insts[inst].data);
        let wanted = f.insts[inst].result.is_some_and(|r| used[r.index()]);
        let spans: Vec<Option<(usize, usize)>> = e.writes.iter().map(|(range, _)| map.span(range)).collect();
        let dead =
            |span: &Option<(usize, usize)>| span.is_some_and(|(from, to)| (from..to).all(|i| !live.get(i)));
        if e.removable && !wanted && !spans.is_empty() && spans.iter().all(dead) {
            changed = true;
            continue;
        }
        let narrowed = match spans.as_slice() {
            [Some((from, to))] if e.writes[0].1 => narrow(f, inst, *from, *to, &live),
            _ => None,
        };
        for ((_, whole), span) in e.writes.iter().zip(&spans) {
            if let (Some((from, to)), true) = (span, whole) {
                live.set(*from, *to, false);
            }
        }
        // A narrowed copy reads less, too; the next round sees that.
        for range in &e.reads {
            if let Some((from, to)) = map.span(range) {
                live.set(from, to, true);
            }
        }
        match narrowed {
            Some(pieces) => {
                changed = true;
                out.extend(pieces.into_iter().rev());
            }
            None => out.push(inst),
        }
    }
    out.reverse();
    f.blocks[block].insts = out;
    changed
}

/// The parts of a zeroing or copying that are read, in steps of 8 bytes, if that is less than all.
fn narrow(f: &mut Function, inst: Inst, from: usize, to: usize, live: &Bytes) -> Option<Vec<Inst>> {
    let node = f.insts[inst].clone();
    let (off, can_split) = match node.data {
        InstData::MemZero { off, .. } => (off, true),
        InstData::MemCopy { dst_off, .. } => (dst_off, false),
        _ => return None,
    };
    let steps = (to - from).div_ceil(8);
    let step_live = |s: usize| (from + s * 8..(from + s * 8 + 8).min(to)).any(|i| live.get(i));
    // The offset in the slot decides about alignment; only whole steps of it are cut off.
    if !from.is_multiple_of(8) {
        return None;
    }
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for s in (0..steps).filter(|s| step_live(*s)) {
        match runs.last_mut() {
            Some(run) if run.1 == s => run.1 = s + 1,
            _ => runs.push((s, s + 1)),
        }
    }
    let (&first, &last) = (runs.first()?, runs.last()?);
    if runs.len() == 1 && first == (0, steps) {
        return None;
    }
    if !can_split || runs.iter().map(|r| r.1 - r.0).sum::<usize>() > MAX_PIECES {
        if (first.0, last.1) == (0, steps) {
            return None;
        }
        runs = vec![(first.0, last.1)];
    }
    let total = to - from;
    let pieces = runs
        .into_iter()
        .map(|(a, b)| {
            let (start, end) = (a * 8, (b * 8).min(total));
            let mut data = node.data.clone();
            match &mut data {
                InstData::MemZero { off: o, len, .. } => {
                    *o = off + start as i32;
                    *len = (end - start) as u32;
                }
                InstData::MemCopy { dst_off, src_off, len, .. } => {
                    *dst_off += start as i32;
                    *src_off += start as i32;
                    *len = (end - start) as u32;
                }
                _ => {}
            }
            f.make_inst(data, node.loc)
        })
        .collect();
    Some(pieces)
}
