//! Renumbers a function: what nothing reaches is gone, ids follow the order of the text.

use super::entity::{Block, IndexVec, SlotId, Value};
use super::function::{Function, SlotData, ValueData, ValueDef};
use super::inst::InstData;
use crate::graph::Cfg;

impl Function {
    /// The control-flow graph.
    pub fn cfg(&self) -> Cfg {
        Cfg::new(self.blocks.iter().map(|b| b.term.targets().map(|to| to.block.index() as u32)))
    }

    /// A copy without unreachable blocks, unplaced instructions and unused slots, with dense ids in order of
    /// appearance. Blocks keep their order.
    pub fn compacted(&self) -> Function {
        let cfg = self.cfg();
        let mut out = Function {
            name: self.name.clone(),
            blocks: IndexVec::new(),
            insts: IndexVec::new(),
            values: IndexVec::new(),
            slots: IndexVec::new(),
        };
        let mut blocks: IndexVec<Block, Option<Block>> = IndexVec::filled(None, self.blocks.len());
        let mut values: IndexVec<Value, Option<Value>> = IndexVec::filled(None, self.values.len());
        let mut slots: IndexVec<SlotId, Option<SlotId>> = IndexVec::filled(None, self.slots.len());
        let kept: Vec<Block> = self.blocks.ids().filter(|b| cfg.reachable(b.index())).collect();
        for &block in &kept {
            let new = out.add_block();
            blocks[block] = Some(new);
            out.blocks[new].cold = self.blocks[block].cold;
            for &param in &self.blocks[block].params {
                values[param] = Some(out.add_param(new, self.values[param].ty));
            }
            for &inst in &self.blocks[block].insts {
                let node = &self.insts[inst];
                if let InstData::SlotAddr(slot, _) = node.data
                    && slots[slot].is_none()
                {
                    slots[slot] = Some(out.slots.push(SlotData { size: self.slots[slot].size }));
                }
                let mut node = node.clone();
                let at = out.insts.len();
                if let Some(result) = node.result {
                    let def = ValueDef::Inst(super::Inst::new(at));
                    let new = out.values.push(ValueData { ty: self.values[result].ty, def });
                    values[result] = Some(new);
                    node.result = Some(new);
                }
                let id = out.insts.push(node);
                out.blocks[new].insts.push(id);
            }
        }
        // A value that is used but defined nowhere is a fault for the validator to report; it keeps an id that
        // does not exist.
        let missing = Value::new(u32::MAX as usize);
        let value = |v: Value| values.get(v).copied().flatten().unwrap_or(missing);
        for node in out.insts.iter_mut() {
            node.data.map_operands(value);
            if let InstData::SlotAddr(slot, _) = &mut node.data {
                *slot = slots[*slot].expect("the slot was seen above");
            }
        }
        for &block in &kept {
            let data = &self.blocks[block];
            let mut term = data.term.clone();
            term.map_operands(value);
            for to in term.targets_mut() {
                to.block = blocks[to.block].expect("a target of a reachable block is reachable");
            }
            let new = blocks[block].expect("kept");
            out.blocks[new].term = term;
            out.blocks[new].term_loc = data.term_loc;
        }
        out
    }
}
