//! `dce`: removes instructions and block parameters that nothing needs, and unreachable blocks' contents.

use super::rewrite::retain_params;
use super::{Pass, Plan};
use crate::ir::{Block, Function, InstData, Terminator, Value, ValueDef};

pub(super) const PASS: Pass =
    Pass { name: "dce", what: "removes instructions and parameters that nothing needs", run };

/// Whether the instruction does something beside its result.
pub(super) fn has_effect(data: &InstData) -> bool {
    match data {
        InstData::Iconst(_)
        | InstData::Binary(..)
        | InstData::Unary(..)
        | InstData::Icmp(..)
        | InstData::Select(..)
        | InstData::PtrAdd(..)
        | InstData::PtrOff(..)
        | InstData::Load { .. }
        | InstData::LoadPtr { .. }
        | InstData::SlotAddr(..)
        | InstData::MapAddr(_)
        | InstData::MapValueAddr(..)
        | InstData::FuncAddr(_)
        | InstData::BtfVarAddr(_) => false,
        InstData::CallHelper(id, _) => !is_removable(*id),
        InstData::Store { .. }
        | InstData::Atomic { .. }
        | InstData::MemZero { .. }
        | InstData::MemCopy { .. }
        | InstData::CallFunc(..)
        | InstData::CallKfunc { .. } => true,
    }
}

/// Whether a call may be left out if its result is not used.
fn is_removable(id: bpf_facts::HelperId) -> bool {
    bpf_facts::helper(id).is_some_and(|def| def.flags.only_result)
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let mut live = vec![false; f.values.len()];
    let mut work: Vec<Value> = Vec::new();
    for &b in &cfg.rpo {
        let data = &f.blocks[Block::new(b as usize)];
        for &inst in &data.insts {
            if has_effect(&f.insts[inst].data) {
                f.insts[inst].data.for_each_operand(|v| work.push(v));
            }
        }
        // Arguments are needed only if their parameter is.
        match &data.term {
            Terminator::Branch { lhs, rhs, .. } => work.extend([*lhs, *rhs]),
            Terminator::Return(v) => work.push(*v),
            Terminator::Jump(_) | Terminator::None => {}
        }
    }
    while let Some(v) = work.pop() {
        if std::mem::replace(&mut live[v.index()], true) {
            continue;
        }
        match f.values[v].def {
            ValueDef::Inst(inst) => f.insts[inst].data.for_each_operand(|v| work.push(v)),
            ValueDef::Param(block, n) => {
                for &p in cfg.preds(block.index()) {
                    for to in f.blocks[Block::new(p as usize)].term.targets() {
                        if to.block == block
                            && let Some(&arg) = to.args.get(n as usize)
                        {
                            work.push(arg);
                        }
                    }
                }
            }
        }
    }
    let mut changed = false;
    for block in f.blocks.ids().collect::<Vec<_>>() {
        let mut insts = std::mem::take(&mut f.blocks[block].insts);
        let before = insts.len();
        if cfg.reachable(block.index()) {
            insts.retain(|&i| {
                let node = &f.insts[i];
                has_effect(&node.data) || node.result.is_some_and(|r| live[r.index()])
            });
        } else {
            insts.clear();
            f.blocks[block].params.clear();
            f.blocks[block].term = Terminator::None;
        }
        changed |= insts.len() != before;
        f.blocks[block].insts = insts;
    }
    let dead_param = |f: &Function| {
        f.blocks.entries().any(|(b, data)| b != f.entry() && data.params.iter().any(|p| !live[p.index()]))
    };
    if dead_param(f) {
        retain_params(f, &|p| live[p.index()]);
        changed = true;
    }
    changed
}
