//! `reuse-lookups`: a map element that was looked up is not looked up again.
//!
//! A second look-up of the same map with the same key, in the same unchanged slot, gives the first one's result as
//! long as nothing in between may have changed the map: a helper that is handed it, or code that is not seen. (Other
//! CPUs may; which of two orders they run in was never certain.)

use super::memory::{Range, Root, effects, escaped, place};
use super::rewrite::Aliases;
use super::{Pass, Plan};
use crate::ir::{Block, Function, InstData, Value};
use bpf_facts::{Arg, HelperId};
use ebpf_asm::MapRef;

pub(super) const PASS: Pass = Pass { name: "reuse-lookups", what: "looks map elements up once", run };

/// At most so many results are remembered.
const MAX_KNOWN: usize = 16;

#[derive(Clone, Copy, PartialEq)]
struct Known {
    map: MapRef,
    key: Range,
    result: Value,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let escaped = escaped(f);
    let mut aliases = Aliases::new(f);
    let mut exits: Vec<Option<Vec<Known>>> = vec![None; f.blocks.len()];
    for &b in &cfg.rpo {
        let mut known: Option<Vec<Known>> = None;
        for &p in cfg.preds(b as usize) {
            known = match (known, &exits[p as usize]) {
                // A loop may change anything.
                (_, None) => Some(Vec::new()),
                (None, Some(exit)) => Some(exit.clone()),
                (Some(known), Some(exit)) => Some(known.into_iter().filter(|k| exit.contains(k)).collect()),
            };
        }
        let mut known = known.unwrap_or_default();
        for &inst in &f.blocks[Block::new(b as usize)].insts {
            let node = &f.insts[inst];
            if let Some((map, key)) = lookup(f, &node.data, &escaped)
                && let Some(result) = node.result
            {
                match known.iter().find(|k| k.map == map && k.key == key) {
                    Some(k) => aliases.replace(result, k.result),
                    None => {
                        if known.len() == MAX_KNOWN {
                            known.remove(0);
                        }
                        known.push(Known { map, key, result });
                    }
                }
                continue;
            }
            forget(f, &node.data, &mut known);
        }
        exits[b as usize] = Some(known);
    }
    aliases.apply(f)
}

/// Map and key of a look-up whose key is in a slot that nobody else knows.
fn lookup(f: &Function, data: &InstData, escaped: &[bool]) -> Option<(MapRef, Range)> {
    let InstData::CallHelper(HelperId::MAP_LOOKUP_ELEM, args) = data else { return None };
    let Some(InstData::MapAddr(map)) = f.def_inst(*args.first()?) else { return None };
    let key = place(f, *args.get(1)?, 0, None);
    match key.root {
        Root::Slot(slot) if !escaped[slot.index()] && key.off.is_some() => Some((*map, key)),
        _ => None,
    }
}

fn forget(f: &Function, data: &InstData, known: &mut Vec<Known>) {
    if known.is_empty() {
        return;
    }
    for (range, _) in effects(f, data).writes {
        known.retain(|k| !k.key.overlaps(&range));
    }
    match data {
        InstData::CallFunc(..) | InstData::CallKfunc { .. } => known.clear(),
        InstData::CallHelper(id, args) => {
            let Some(def) = bpf_facts::helper(*id) else { return known.clear() };
            if def.flags.only_result {
                return;
            }
            for (arg, want) in args.iter().zip(&def.args) {
                match (want, f.def_inst(*arg)) {
                    (Arg::Func, _) => known.clear(),
                    (Arg::ConstMapPtr, Some(InstData::MapAddr(map))) => known.retain(|k| k.map != *map),
                    (Arg::ConstMapPtr, _) => known.clear(),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
