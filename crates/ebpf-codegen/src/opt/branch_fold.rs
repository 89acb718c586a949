//! `branch-fold`: simplifies control flow.
//!
//! - a branch on constants, or with twice the same target, becomes a jump;
//! - a branch on a comparison's result becomes a branch on the comparison;
//! - a jump to a block that only jumps (or branches on a parameter that is a constant here) goes on directly;
//! - a jump to a block that only branches on what the jump passes becomes that branch;
//! - a block with one successor that has it as only predecessor is joined with it.

use super::{Pass, Plan, fold};
use crate::ir::{Block, BlockCall, Cond, Function, InstData, Terminator, Value};

pub(super) const PASS: Pass = Pass { name: "branch-fold", what: "simplifies branches and jumps", run };

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let mut changed = false;
    for block in f.blocks.ids().collect::<Vec<_>>() {
        changed |= simplify(f, block);
    }
    changed |= thread(f);
    changed |= join(f);
    changed
}

/// The terminator of one block by itself.
fn simplify(f: &mut Function, block: Block) -> bool {
    let mut changed = false;
    // Peels comparisons of comparisons, one layer a turn.
    while let Terminator::Branch { cond, lhs, rhs, then, els } = &f.blocks[block].term {
        let new = match (f.as_const(*lhs), f.as_const(*rhs)) {
            _ if then == els => Terminator::Jump(then.clone()),
            (Some(a), Some(b)) => {
                Terminator::Jump(if fold::compare(*cond, a, b) { then } else { els }.clone())
            }
            // A constant belongs on the right.
            (Some(_), None) => Terminator::Branch {
                cond: cond.swapped(),
                lhs: *rhs,
                rhs: *lhs,
                then: then.clone(),
                els: els.clone(),
            },
            (None, n) => match (truth(*cond, n), f.def_inst(*lhs)) {
                (Some(when), Some(InstData::Icmp(inner, a, b))) => {
                    let cond = if when { *inner } else { inner.negated() };
                    Terminator::Branch { cond, lhs: *a, rhs: *b, then: then.clone(), els: els.clone() }
                }
                _ if lhs == rhs => {
                    Terminator::Jump(if fold::compare(*cond, 0, 0) { then } else { els }.clone())
                }
                _ => break,
            },
        };
        f.blocks[block].term = new;
        changed = true;
    }
    changed
}

/// For a comparison of a truth value (0 or 1) with a constant: whether it holds when the value is 1, if it tells
/// the two apart.
fn truth(cond: Cond, n: Option<i64>) -> Option<bool> {
    let n = n?;
    let (when_true, when_false) = (fold::compare(cond, 1, n), fold::compare(cond, 0, n));
    (when_true != when_false).then_some(when_true)
}

/// Where a jump may go instead.
fn beyond(f: &Function, to: &BlockCall) -> Option<BlockCall> {
    let data = &f.blocks[to.block];
    // Only constants may stand in the block, and only for its own terminator.
    let consts_only = data.insts.iter().all(|&i| matches!(f.insts[i].data, InstData::Iconst(_)));
    if !consts_only {
        return None;
    }
    let known = |v: Value| match data.params.iter().position(|p| *p == v) {
        Some(n) => f.as_const(to.args[n]),
        None => f.as_const(v),
    };
    let next = match &data.term {
        Terminator::Jump(next) => next,
        Terminator::Branch { cond, lhs, rhs, then, els } => {
            let truth =
                data.params.iter().position(|p| p == lhs).and_then(|n| match f.def_inst(to.args[n]) {
                    Some(InstData::Icmp(..)) | None => None,
                    Some(_) => known(*lhs),
                });
            let a = truth.or_else(|| known(*lhs))?;
            let b = known(*rhs)?;
            if fold::compare(*cond, a, b) { then } else { els }
        }
        Terminator::Return(_) | Terminator::None => return None,
    };
    if next.block == to.block {
        return None;
    }
    let mut args = Vec::with_capacity(next.args.len());
    for &arg in &next.args {
        match data.params.iter().position(|p| *p == arg) {
            Some(n) => args.push(to.args[n]),
            // Made in the block that is passed over.
            None if data.insts.iter().any(|&i| f.insts[i].result == Some(arg)) => return None,
            None => args.push(arg),
        }
    }
    Some(BlockCall { block: next.block, args })
}

/// The branch at the end of an otherwise empty block, as it is when one comes there by `to`: if what is branched on
/// is a comparison that was passed, so that the branch can be made on its operands.
fn branch_here(f: &Function, to: &BlockCall) -> Option<Terminator> {
    let data = &f.blocks[to.block];
    let Terminator::Branch { lhs, .. } = &data.term else { return None };
    let n = data.params.iter().position(|p| p == lhs)?;
    if !data.insts.iter().all(|&i| matches!(f.insts[i].data, InstData::Iconst(_)))
        || !matches!(f.def_inst(to.args[n]), Some(InstData::Icmp(..)))
    {
        return None;
    }
    let mut term = data.term.clone();
    let mut known = true;
    term.map_operands(|v| match data.params.iter().position(|p| *p == v) {
        Some(n) => to.args[n],
        None => {
            known &= !data.insts.iter().any(|&i| f.insts[i].result == Some(v));
            v
        }
    });
    known.then_some(term)
}

/// Redirects jumps. A block whose parameters or constants are used further on must stay on the path.
fn thread(f: &mut Function) -> bool {
    let escapes = escaping(f);
    let mut changed = false;
    for block in f.blocks.ids().collect::<Vec<_>>() {
        let mut term = f.blocks[block].term.clone();
        let mut any = false;
        for to in term.targets_mut() {
            // Chains are followed for a few steps; the next round does the rest, and circles end.
            for _ in 0..8 {
                if escapes[to.block.index()] || to.block == block {
                    break;
                }
                let Some(next) = beyond(f, to) else { break };
                *to = next;
                any = true;
            }
        }
        if let Terminator::Jump(to) = &term
            && !escapes[to.block.index()]
            && to.block != block
            && let Some(branch) = branch_here(f, to)
        {
            term = branch;
            any = true;
        }
        if any {
            f.blocks[block].term = term;
            changed = true;
        }
    }
    changed
}

/// Whether values of each block are used in other blocks.
fn escaping(f: &Function) -> Vec<bool> {
    let mut home = vec![None; f.values.len()];
    for (block, data) in f.blocks.entries() {
        for &p in &data.params {
            home[p.index()] = Some(block);
        }
        for &i in &data.insts {
            if let Some(r) = f.insts[i].result {
                home[r.index()] = Some(block);
            }
        }
    }
    let mut escapes = vec![false; f.blocks.len()];
    for (block, data) in f.blocks.entries() {
        let mut note = |v: Value| {
            if let Some(from) = home[v.index()]
                && from != block
            {
                escapes[from.index()] = true;
            }
        };
        for &i in &data.insts {
            f.insts[i].data.for_each_operand(&mut note);
        }
        data.term.for_each_operand(&mut note);
    }
    escapes
}

/// Joins blocks that always follow one another.
fn join(f: &mut Function) -> bool {
    let cfg = f.cfg();
    let mut aliases = super::rewrite::Aliases::new(f);
    let mut changed = false;
    let mut merged = vec![false; f.blocks.len()];
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        if merged[b as usize] {
            continue;
        }
        while let Terminator::Jump(to) = &f.blocks[block].term {
            let next = to.block;
            if cfg.preds(next.index()).len() != 1 || next == block || next == f.entry() {
                break;
            }
            let args = to.args.clone();
            let data = &mut f.blocks[next];
            let params = std::mem::take(&mut data.params);
            let mut insts = std::mem::take(&mut data.insts);
            let term = std::mem::replace(&mut data.term, Terminator::None);
            let (loc, cold) = (data.term_loc, data.cold);
            for (p, a) in params.into_iter().zip(args) {
                aliases.replace(p, a);
            }
            let data = &mut f.blocks[block];
            data.insts.append(&mut insts);
            data.term = term;
            data.term_loc = loc;
            data.cold |= cold && block.index() != 0;
            merged[next.index()] = true;
            changed = true;
        }
    }
    aliases.apply(f);
    changed
}
