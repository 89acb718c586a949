//! Moves between blocks, and what is known when all of them are done: stores at definitions, slot numbers.

use super::assign::{Assigner, N_REGS, bit, reg};
use super::moves::{LENT, Loc, ParallelMove, Source, TEMP};
use super::{Allocation, Edit, Point, SpillSlot, Stats};
use crate::mir::{Arg, Const, Term, VReg};

impl Assigner<'_> {
    /// Moves on the edges out of a block.
    pub(super) fn edges(&mut self, b: usize) {
        let f = self.f;
        for &to in self.cfg.succs(b) {
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
            let single = self.cfg.succs(b).len() == 1;
            self.block = if single { b } else { to };
            let at = if single { Point::before(f.blocks[b].insts.len()) } else { Point::HEAD };
            self.sequence(moves, at, occupied);
        }
    }

    pub(super) fn source_at_exit(&mut self, b: usize, arg: Arg) -> Source {
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

    /// Stores what has a slot where it is defined, gives slots numbers, and counts.
    pub(super) fn finish(mut self) -> Allocation {
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
    pub(super) fn number_slots(&mut self) -> u32 {
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
                for &pred in self.cfg.preds(b as usize) {
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
