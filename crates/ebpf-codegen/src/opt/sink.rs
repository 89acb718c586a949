//! `sink`: computes a value where it is used, not before the branches that may make it superfluous.
//!
//! So a predicate that filters most events out costs only what it looks at itself. Only what has no effect and is
//! the same at any time moves: arithmetic, addresses, reads of the context, helpers that are pure for a run. Nothing
//! moves into a loop. Within a block, what is only used behind a call is computed behind it, so that it needs no
//! register that calls keep.

use super::memory::{Root, place};
use super::{Pass, Plan};
use crate::ir::{Block, Function, Inst, InstData, Value};

pub(super) const PASS: Pass =
    Pass { name: "sink", what: "moves computations below the branches before their uses", run };

fn movable(f: &Function, data: &InstData) -> bool {
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
        InstData::Load { ptr, off, size, .. } => {
            matches!(place(f, *ptr, *off, Some(size.bytes())).root, Root::Param(_))
        }
        InstData::CallHelper(id, _) => bpf_facts::helper(*id).is_some_and(|def| def.flags.pure_per_run),
        InstData::LoadPtr { .. }
        | InstData::Store { .. }
        | InstData::Atomic { .. }
        | InstData::MemZero { .. }
        | InstData::MemCopy { .. }
        | InstData::CallFunc(..)
        | InstData::CallKfunc { .. } => false,
    }
}

/// Where a value is used, as the nearest block that dominates all uses.
#[derive(Clone, Copy)]
enum Uses {
    None,
    Below(u32),
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let depth = cfg.loop_depths();
    let mut uses = vec![Uses::None; f.values.len()];
    let mut arrivals: Vec<Vec<Inst>> = vec![Vec::new(); f.blocks.len()];
    let mut changed = false;
    // Backwards, so that where the users of a value end up is known before it is looked at itself.
    for &b in cfg.rpo.iter().rev() {
        let block = Block::new(b as usize);
        let note = |uses: &mut Vec<Uses>, v: Value, at: u32| {
            let seen = &mut uses[v.index()];
            *seen = match *seen {
                Uses::None => Uses::Below(at),
                Uses::Below(other) => Uses::Below(cfg.common_dominator(other as usize, at as usize) as u32),
            };
        };
        f.blocks[block].term.for_each_operand(|v| note(&mut uses, v, b));
        let insts = std::mem::take(&mut f.blocks[block].insts);
        let mut kept = Vec::with_capacity(insts.len());
        for inst in insts.into_iter().rev() {
            let node = &f.insts[inst];
            let mut home = b;
            if let (Some(result), true) = (node.result, movable(f, &node.data))
                && let Uses::Below(to) = uses[result.index()]
            {
                // Out of every loop that the definition is not in.
                let mut to = to as usize;
                while depth[to] > depth[b as usize]
                    && let Some(up) = cfg.idom(to)
                {
                    to = up;
                }
                if cfg.dominates(b as usize, to) {
                    home = to as u32;
                }
            }
            node.data.for_each_operand(|v| note(&mut uses, v, home));
            if home == b {
                kept.push(inst);
            } else {
                arrivals[home as usize].push(inst);
                changed = true;
            }
        }
        kept.reverse();
        f.blocks[block].insts = kept;
    }
    for &b in &cfg.rpo {
        changed |= delay(f, Block::new(b as usize), &uses);
    }
    // What arrives stands before the first use in its new block: at the head, in the order of definition. Blocks
    // below were visited before, so arrivals are in reverse order.
    for (b, moved) in arrivals.into_iter().enumerate() {
        if moved.is_empty() {
            continue;
        }
        let block = Block::new(b);
        let old = std::mem::take(&mut f.blocks[block].insts);
        f.blocks[block].insts = place_before_uses(f, moved.into_iter().rev().collect(), old);
    }
    changed
}

/// Moves computations of one block behind the calls before their first use, if what they need lives on anyway.
fn delay(f: &mut Function, block: Block, uses: &[Uses]) -> bool {
    let insts = std::mem::take(&mut f.blocks[block].insts);
    // Positions of uses in this block; the terminator counts as the last instruction.
    let end = insts.len();
    let mut first: rustc_hash::FxHashMap<Value, usize> = rustc_hash::FxHashMap::default();
    let mut last: rustc_hash::FxHashMap<Value, usize> = rustc_hash::FxHashMap::default();
    let mut note = |v: Value, i: usize| {
        first.entry(v).or_insert(i);
        last.insert(v, i);
    };
    for (i, &inst) in insts.iter().enumerate() {
        f.insts[inst].data.for_each_operand(|v| note(v, i));
    }
    f.blocks[block].term.for_each_operand(|v| note(v, end));
    let is_call = |i: usize| {
        matches!(
            f.insts[insts[i]].data,
            InstData::CallHelper(..) | InstData::CallFunc(..) | InstData::CallKfunc { .. }
        )
    };
    let mut calls_before = vec![0u32; end + 1];
    for i in 0..end {
        calls_before[i + 1] = calls_before[i] + u32::from(is_call(i));
    }
    let mut moved = vec![false; end];
    let here: rustc_hash::FxHashSet<Inst> = insts.iter().copied().collect();
    // Backwards, so that what is moved makes room for what it uses.
    for i in (0..end).rev() {
        let node = &f.insts[insts[i]];
        let Some(result) = node.result.filter(|_| movable(f, &node.data)) else { continue };
        let only_here = matches!(uses[result.index()], Uses::Below(to) if to as usize == block.index());
        let Some(&at) = first.get(&result) else { continue };
        if !only_here || at == end || calls_before[at] == calls_before[i + 1] {
            continue;
        }
        // Operands that end here would have to live on in its place.
        let mut free = true;
        node.data.for_each_operand(|v| {
            let lives = f.as_const(v).is_some()
                || matches!(uses[v.index()], Uses::Below(to) if to as usize != block.index())
                || last.get(&v).is_some_and(|l| *l > at)
                || matches!(f.values[v].def, crate::ir::ValueDef::Inst(d)
                    if here.contains(&d) && movable(f, &f.insts[d].data) && last.get(&v) == Some(&i));
            free &= lives;
        });
        if free {
            moved[i] = true;
            node.data.for_each_operand(|v| {
                // Its operands are used where it goes, now.
                if first.get(&v) == Some(&i) {
                    first.insert(v, at);
                }
                last.entry(v).and_modify(|l| *l = (*l).max(at));
            });
        }
    }
    if !moved.contains(&true) {
        f.blocks[block].insts = insts;
        return false;
    }
    let (down, stay): (Vec<_>, Vec<_>) = insts.into_iter().zip(moved).partition(|(_, m)| *m);
    let strip = |list: Vec<(Inst, bool)>| list.into_iter().map(|(i, _)| i).collect();
    f.blocks[block].insts = place_before_uses(f, strip(down), strip(stay));
    true
}

/// Puts each of `moved` directly before its first user among `old` (or at the end).
fn place_before_uses(f: &Function, moved: Vec<Inst>, old: Vec<Inst>) -> Vec<Inst> {
    let mut pending: rustc_hash::FxHashMap<Value, Inst> = rustc_hash::FxHashMap::default();
    let mut order = Vec::with_capacity(moved.len());
    for inst in moved {
        if let Some(result) = f.insts[inst].result {
            pending.insert(result, inst);
            order.push(result);
        }
    }
    let mut out = Vec::with_capacity(old.len() + order.len());
    for inst in old {
        emit_operands(f, inst, &mut pending, &mut out);
        out.push(inst);
    }
    for v in order {
        if let Some(inst) = pending.remove(&v) {
            emit_operands(f, inst, &mut pending, &mut out);
            out.push(inst);
        }
    }
    out
}

/// Emits what `inst` needs of the pending ones, operands of operands first, without recursion.
fn emit_operands(
    f: &Function,
    inst: Inst,
    pending: &mut rustc_hash::FxHashMap<Value, Inst>,
    out: &mut Vec<Inst>,
) {
    if pending.is_empty() {
        return;
    }
    // Each entry waits until its own operands are out.
    let mut stack = Vec::new();
    f.insts[inst].data.for_each_operand(|v| stack.push((v, false)));
    stack.reverse();
    while let Some((v, ready)) = stack.pop() {
        let Some(&at) = pending.get(&v) else { continue };
        if ready {
            pending.remove(&v);
            out.push(at);
            continue;
        }
        stack.push((v, true));
        f.insts[at].data.for_each_operand(|o| stack.push((o, false)));
    }
}
