//! `merge-slots`: two slots that hold the same from some place on become one.
//!
//! Lowering builds the key of a map anew for every access. A slot that is written once, as a whole, in one block,
//! and then only read, serves for every other such slot with the same contents that is written below it.

use super::memory::{Root, effects, escaped};
use super::{Pass, Plan};
use crate::graph::Cfg;
use crate::ir::{Block, Function, Inst, InstData, SlotId, Value};
use rustc_hash::FxHashMap;

pub(super) const PASS: Pass =
    Pass { name: "merge-slots", what: "makes one of slots that hold the same", run };

/// How a slot gets its contents.
struct Writes {
    block: Option<Block>,
    /// Position of the last write in the block.
    last: usize,
    /// Offset, length and value (none for zeros), in the order of writing.
    parts: Vec<(i64, u32, Option<Value>)>,
    insts: Vec<Inst>,
    /// Written in a way that cannot be followed, or read before it is written.
    bad: bool,
}

/// Size of a slot and what is written to it.
type Contents = (u32, Vec<(i64, u32, Option<Value>)>);

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    if f.slots.len() < 2 {
        return false;
    }
    let cfg = f.cfg();
    let slots = summary(f, &cfg);
    let mut known: FxHashMap<Contents, Vec<SlotId>> = FxHashMap::default();
    let mut to: Vec<Option<SlotId>> = vec![None; f.slots.len()];
    let mut order: Vec<SlotId> = f.slots.ids().filter(|s| !slots[s.index()].bad).collect();
    order.retain(|s| slots[s.index()].block.is_some());
    order.sort_by_key(|s| {
        let w = &slots[s.index()];
        (w.block.map(|b| cfg.order(b.index())), w.last)
    });
    for slot in order {
        let w = &slots[slot.index()];
        let same = known.entry((f.slots[slot].size, w.parts.clone())).or_default();
        let found = same.iter().copied().find(|a| {
            let a = &slots[a.index()];
            match (a.block, w.block) {
                (Some(x), Some(y)) if x == y => a.last < w.last,
                (Some(x), Some(y)) => cfg.dominates(x.index(), y.index()),
                _ => false,
            }
        });
        match found {
            Some(a) => to[slot.index()] = Some(a),
            None => same.push(slot),
        }
    }
    if to.iter().all(Option::is_none) {
        return false;
    }
    let mut gone = vec![false; f.insts.len()];
    for (w, _) in slots.iter().zip(&to).filter(|(_, to)| to.is_some()) {
        w.insts.iter().for_each(|i| gone[i.index()] = true);
    }
    for block in f.blocks.ids().collect::<Vec<_>>() {
        let mut insts = std::mem::take(&mut f.blocks[block].insts);
        insts.retain(|i| !gone[i.index()]);
        for &i in &insts {
            if let InstData::SlotAddr(slot, _) = &mut f.insts[i].data
                && let Some(a) = to[slot.index()]
            {
                *slot = a;
            }
        }
        f.blocks[block].insts = insts;
    }
    true
}

fn summary(f: &Function, cfg: &Cfg) -> Vec<Writes> {
    let escaped = escaped(f);
    let mut all: Vec<Writes> = f
        .slots
        .ids()
        .map(|s| Writes {
            block: None,
            last: 0,
            parts: Vec::new(),
            insts: Vec::new(),
            bad: escaped[s.index()],
        })
        .collect();
    // Reads as (slot, block, position), judged when all writes are known.
    let mut reads: Vec<(SlotId, Block, usize)> = Vec::new();
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        for (i, &inst) in f.blocks[block].insts.iter().enumerate() {
            let data = &f.insts[inst].data;
            let e = effects(f, data);
            for range in &e.reads {
                if let Root::Slot(slot) = range.root {
                    reads.push((slot, block, i));
                }
            }
            for (range, _) in &e.writes {
                let Root::Slot(slot) = range.root else { continue };
                let w = &mut all[slot.index()];
                let value = match data {
                    InstData::Store { value, .. } => Some(*value),
                    InstData::MemZero { .. } => None,
                    _ => {
                        w.bad = true;
                        continue;
                    }
                };
                match (range.off, range.len) {
                    (Some(off), Some(len)) if w.block.is_none_or(|home| home == block) => {
                        w.block = Some(block);
                        w.last = i;
                        w.parts.push((off, len, value));
                        w.insts.push(inst);
                    }
                    _ => w.bad = true,
                }
            }
        }
    }
    for (slot, block, i) in reads {
        let w = &mut all[slot.index()];
        let after = match w.block {
            Some(home) if home == block => i > w.last,
            Some(home) => cfg.dominates(home.index(), block.index()),
            None => false,
        };
        w.bad |= !after;
    }
    all
}
