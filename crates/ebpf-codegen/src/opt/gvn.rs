//! `gvn`: an expression that has been computed on every path to here is not computed again.
//!
//! Calls of helpers that give the same result for the whole run (`pure_per_run` in bpf-facts) count as expressions.
//! Loads do not: memory changes. Constants and addresses of slots and maps are gathered at the head of the entry: the
//! machine makes them where they are used, so their place costs nothing, and blocks that held nothing else are empty.

use super::rewrite::Aliases;
use super::{Pass, Plan};
use crate::graph::Cfg;
use crate::ir::{BinOp, Block, Cond, Function, InstData, Value};
use rustc_hash::FxHashMap;

pub(super) const PASS: Pass = Pass { name: "gvn", what: "computes equal expressions once", run };

/// Whether two instructions that look the same have the same result wherever both may stand.
fn is_expression(data: &InstData) -> bool {
    match data {
        InstData::Iconst(_)
        | InstData::Binary(..)
        | InstData::Unary(..)
        | InstData::Icmp(..)
        | InstData::Select(..)
        | InstData::PtrAdd(..)
        | InstData::PtrOff(..)
        | InstData::SlotAddr(..)
        | InstData::MapAddr(_)
        | InstData::MapValueAddr(..)
        | InstData::FuncAddr(_)
        | InstData::BtfVarAddr(_) => true,
        InstData::CallHelper(id, _) => bpf_facts::helper(*id).is_some_and(|def| def.flags.pure_per_run),
        InstData::Load { .. }
        | InstData::LoadPtr { .. }
        | InstData::Store { .. }
        | InstData::Atomic { .. }
        | InstData::MemZero { .. }
        | InstData::MemCopy { .. }
        | InstData::CallFunc(..)
        | InstData::CallKfunc { .. } => false,
    }
}

/// Operands of symmetric operations in one order.
fn normal(data: InstData) -> InstData {
    match data {
        InstData::Binary(op @ (BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor), a, b)
            if b < a =>
        {
            InstData::Binary(op, b, a)
        }
        InstData::Icmp(cond @ (Cond::Eq | Cond::Ne), a, b) if b < a => InstData::Icmp(cond, b, a),
        other => other,
    }
}

/// Whether the instruction needs nothing.
fn is_leaf(data: &InstData) -> bool {
    matches!(
        data,
        InstData::Iconst(_)
            | InstData::SlotAddr(..)
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_)
    )
}

/// Gathers what needs nothing in the entry block, once each.
fn gather(f: &mut Function, cfg: &Cfg, aliases: &mut Aliases) -> bool {
    let mut known: FxHashMap<InstData, Value> = FxHashMap::default();
    let mut moved = Vec::new();
    let mut changed = false;
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        let mut insts = std::mem::take(&mut f.blocks[block].insts);
        insts.retain(|&inst| {
            let node = &f.insts[inst];
            let Some(result) = node.result.filter(|_| is_leaf(&node.data)) else { return true };
            match known.get(&node.data) {
                Some(&same) => aliases.replace(result, same),
                None => {
                    known.insert(node.data.clone(), result);
                    if block == f.entry() {
                        return true;
                    }
                    moved.push(inst);
                }
            }
            changed = true;
            false
        });
        f.blocks[block].insts = insts;
    }
    let entry = f.entry();
    moved.append(&mut f.blocks[entry].insts);
    f.blocks[entry].insts = moved;
    changed
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let mut aliases = Aliases::new(f);
    let gathered = gather(f, &cfg, &mut aliases);
    let mut seen: FxHashMap<InstData, Vec<(Value, Block)>> = FxHashMap::default();
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        for i in 0..f.blocks[block].insts.len() {
            let inst = f.blocks[block].insts[i];
            let node = &f.insts[inst];
            let Some(result) = node.result.filter(|_| is_expression(&node.data)) else { continue };
            let mut key = node.data.clone();
            key.map_operands(|v| aliases.resolve(v));
            let known = seen.entry(normal(key)).or_default();
            match known.iter().rev().find(|(_, at)| cfg.dominates(at.index(), b as usize)) {
                Some((value, _)) => aliases.replace(result, *value),
                None => known.push((result, block)),
            }
        }
    }
    aliases.apply(f) || gathered
}
