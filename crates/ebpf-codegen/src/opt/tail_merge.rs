//! `tail-merge`: blocks that do the same and go on to the same become one.
//!
//! Mostly these are the many places where a program returns 0, and the cold ends of failed helpers.

use super::{Pass, Plan};
use crate::ir::{Block, Function, InstData, Terminator, Value};
use rustc_hash::FxHashMap;

pub(super) const PASS: Pass = Pass { name: "tail-merge", what: "makes one of blocks that do the same", run };

/// A block as text that does not depend on the names of its own values.
type Key = (Vec<InstData>, Vec<Value>, u8, Vec<(Block, usize)>);

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let mut changed = false;
    // Merging ends makes the blocks before them alike; a few rounds reach most.
    for _ in 0..4 {
        if !round(f) {
            break;
        }
        changed = true;
    }
    changed
}

fn round(f: &mut Function) -> bool {
    let cfg = f.cfg();
    let outside = used_outside(f);
    let mut seen: FxHashMap<Key, Block> = FxHashMap::default();
    let mut to: Vec<Option<Block>> = vec![None; f.blocks.len()];
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        let data = &f.blocks[block];
        if b == 0 || !data.params.is_empty() || outside[b as usize] {
            continue;
        }
        let Some(key) = key(f, block) else { continue };
        match seen.get(&key) {
            Some(&same) => to[b as usize] = Some(same),
            None => {
                seen.insert(key, block);
            }
        }
    }
    if to.iter().all(Option::is_none) {
        return false;
    }
    for (b, same) in to.iter().enumerate() {
        // Warm if any of them is.
        if let Some(same) = same {
            let cold = f.blocks[Block::new(b)].cold;
            f.blocks[*same].cold &= cold;
        }
    }
    for block in f.blocks.ids().collect::<Vec<_>>() {
        for call in f.blocks[block].term.targets_mut() {
            if let Some(same) = to[call.block.index()] {
                call.block = same;
            }
        }
    }
    true
}

/// Whether values of each block are used in others.
fn used_outside(f: &Function) -> Vec<bool> {
    let mut home = vec![None; f.values.len()];
    for (block, data) in f.blocks.entries() {
        for &inst in &data.insts {
            if let Some(r) = f.insts[inst].result {
                home[r.index()] = Some(block);
            }
        }
    }
    let mut outside = vec![false; f.blocks.len()];
    for (block, data) in f.blocks.entries() {
        let mut note = |v: Value| {
            if let Some(from) = home[v.index()]
                && from != block
            {
                outside[from.index()] = true;
            }
        };
        for &inst in &data.insts {
            f.insts[inst].data.for_each_operand(&mut note);
        }
        data.term.for_each_operand(&mut note);
    }
    outside
}

/// Own values are numbered from the top of the number space, so that they meet no others.
fn key(f: &Function, block: Block) -> Option<Key> {
    let data = &f.blocks[block];
    let mut names: FxHashMap<Value, Value> = FxHashMap::default();
    let mut insts = Vec::with_capacity(data.insts.len());
    for &inst in &data.insts {
        let node = &f.insts[inst];
        let mut copy = node.data.clone();
        copy.map_operands(|v| names.get(&v).copied().unwrap_or(v));
        insts.push(copy);
        if let Some(r) = node.result {
            let name = Value::new(u32::MAX as usize - names.len());
            names.insert(r, name);
        }
    }
    let kind = match &data.term {
        Terminator::Jump(_) => 0,
        Terminator::Return(_) => 1,
        Terminator::Branch { cond, .. } => 2 + *cond as u8,
        Terminator::None => return None,
    };
    let mut operands = Vec::new();
    data.term.for_each_operand(|v| operands.push(names.get(&v).copied().unwrap_or(v)));
    let targets = data.term.targets().map(|to| (to.block, to.args.len())).collect();
    Some((insts, operands, kind, targets))
}
