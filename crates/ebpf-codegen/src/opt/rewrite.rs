//! Replacing values by others.

use crate::ir::{Function, IndexVec, Value};

/// Which values stand for others. Nothing changes in the function until [`Aliases::apply`].
pub(super) struct Aliases {
    to: IndexVec<Value, Value>,
    any: bool,
}

impl Aliases {
    pub(super) fn new(f: &Function) -> Self {
        let mut to = IndexVec::new();
        for v in f.values.ids() {
            to.push(v);
        }
        Self { to, any: false }
    }

    /// What `v` stands for.
    pub(super) fn resolve(&self, v: Value) -> Value {
        let mut at = v;
        while let Some(&next) = self.to.get(at)
            && next != at
        {
            at = next;
        }
        at
    }

    /// Uses of `v` become uses of `by`.
    pub(super) fn replace(&mut self, v: Value, by: Value) {
        let by = self.resolve(by);
        if by != v {
            self.to[v] = by;
            self.any = true;
        }
    }

    /// Rewrites all operands; whether there was anything to rewrite.
    pub(super) fn apply(mut self, f: &mut Function) -> bool {
        if !self.any {
            return false;
        }
        for v in self.to.ids() {
            let root = self.resolve(v);
            self.to[v] = root;
        }
        let to = |v: Value| self.to.get(v).copied().unwrap_or(v);
        for block in f.blocks.ids().collect::<Vec<_>>() {
            for i in 0..f.blocks[block].insts.len() {
                let inst = f.blocks[block].insts[i];
                f.insts[inst].data.map_operands(to);
            }
            f.blocks[block].term.map_operands(to);
        }
        true
    }
}

/// Removes the parameters of `block` for which `keep` is false, and what jumps pass for them.
pub(super) fn retain_params(f: &mut Function, keep: &dyn Fn(Value) -> bool) {
    let masks: Vec<Option<Vec<bool>>> = f
        .blocks
        .entries()
        .map(|(b, data)| {
            let mask: Vec<bool> = data.params.iter().map(|&p| b == f.entry() || keep(p)).collect();
            mask.contains(&false).then_some(mask)
        })
        .collect();
    if masks.iter().all(Option::is_none) {
        return;
    }
    for block in f.blocks.ids().collect::<Vec<_>>() {
        for to in f.blocks[block].term.targets_mut() {
            if let Some(mask) = &masks[to.block.index()] {
                let mut it = mask.iter();
                to.args.retain(|_| *it.next().unwrap_or(&true));
            }
        }
        if let Some(mask) = &masks[block.index()] {
            let mut it = mask.iter();
            f.blocks[block].params.retain(|_| *it.next().unwrap_or(&true));
            for (n, &p) in f.blocks[block].params.clone().iter().enumerate() {
                f.values[p].def = crate::ir::ValueDef::Param(block, n as u32);
            }
        }
    }
}
