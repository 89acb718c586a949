//! When the contents of slots matter.
//!
//! An instruction touches a slot if an operand may be an address in it. Between the first touch and the last on a
//! path the slot is live. Where nothing was written yet or nothing is read any more, its memory may serve another.

use crate::graph::Cfg;
use crate::ir::{Block, Function, InstData, SlotId, Value};

/// Sets of slots, 64 to a word.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn new(n: usize) -> Self {
        Self(vec![0; n.div_ceil(64)])
    }

    fn has(&self, i: usize) -> bool {
        self.0[i / 64] & (1 << (i % 64)) != 0
    }

    fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn clear(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }

    /// Adds all of `other`; whether that changed anything.
    fn add(&mut self, other: &Bits) -> bool {
        let mut changed = false;
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            changed |= *b & !*a != 0;
            *a |= b;
        }
        changed
    }

    fn and(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, &word)| {
            let mut word = word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                (word != 0).then(|| {
                    word &= word - 1;
                    w * 64 + bit as usize
                })
            })
        })
    }
}

/// Which slots a pointer may point into.
pub(super) struct Roots {
    sets: Vec<Option<Bits>>,
    /// Slots whose address is in memory or in the hands of something that may keep it.
    escaped: Bits,
}

impl Roots {
    /// The slots that `v` may point into.
    pub(super) fn of(&self, v: Value) -> impl Iterator<Item = SlotId> + '_ {
        self.sets[v.index()].iter().flat_map(|set| set.iter().map(SlotId::new))
    }
}

/// Follows addresses through offsets and block parameters.
pub(super) fn roots(func: &Function) -> Roots {
    let n = func.slots.len();
    let mut sets: Vec<Option<Bits>> = vec![None; func.values.len()];
    let mut users: Vec<Vec<Value>> = vec![Vec::new(); func.values.len()];
    let mut work: Vec<Value> = Vec::new();
    for block in func.blocks.iter() {
        for &inst in &block.insts {
            let node = &func.insts[inst];
            let Some(result) = node.result else { continue };
            match &node.data {
                InstData::SlotAddr(slot, _) => {
                    let mut set = Bits::new(n);
                    set.set(slot.index());
                    sets[result.index()] = Some(set);
                    work.push(result);
                }
                InstData::PtrOff(p, _) | InstData::PtrAdd(p, _) => users[p.index()].push(result),
                _ => {}
            }
        }
        for to in block.term.targets() {
            for (&arg, &param) in to.args.iter().zip(&func.blocks[to.block].params) {
                users[arg.index()].push(param);
            }
        }
    }
    while let Some(v) = work.pop() {
        let Some(set) = sets[v.index()].clone() else { continue };
        for &user in &users[v.index()] {
            let to = sets[user.index()].get_or_insert_with(|| Bits::new(n));
            if to.add(&set) {
                work.push(user);
            }
        }
    }
    let mut escaped = Bits::new(n);
    for block in func.blocks.iter() {
        for &inst in &block.insts {
            if let InstData::Store { value, .. } | InstData::Atomic { value, .. } = &func.insts[inst].data
                && let Some(set) = &sets[value.index()]
            {
                escaped.add(set);
            }
        }
    }
    Roots { sets, escaped }
}

/// Which slots are used at all, and which of them at the same time.
pub(super) struct Liveness {
    used: Bits,
    conflicts: Vec<Bits>,
}

impl Liveness {
    pub(super) fn of(func: &Function) -> Self {
        let n = func.slots.len();
        let roots = roots(func);
        let cfg = func.cfg();
        let mut touching = vec![Bits::new(n); func.blocks.len()];
        let mut used = roots.escaped.clone();
        for &b in &cfg.rpo {
            let block = Block::new(b as usize);
            let set = &mut touching[b as usize];
            each_touch(func, &roots, block, |_, slot| set.set(slot));
            used.add(set);
        }
        let mut conflicts = vec![Bits::new(n); n];
        // An address that escaped may be used anywhere.
        for slot in roots.escaped.iter() {
            conflicts[slot].add(&used);
            for other in used.iter() {
                conflicts[other].set(slot);
            }
        }
        if n > 1 {
            conflicts_of(func, &cfg, &roots, &touching, &mut conflicts);
        }
        Self { used, conflicts }
    }

    pub(super) fn used(&self, slot: SlotId) -> bool {
        self.used.has(slot.index())
    }

    pub(super) fn interfere(&self, a: SlotId, b: SlotId) -> bool {
        self.conflicts[a.index()].has(b.index())
    }
}

/// Calls `f` with the position and slot of every touch in a block; the end of the block comes last.
fn each_touch(func: &Function, roots: &Roots, block: Block, mut f: impl FnMut(usize, usize)) {
    let data = &func.blocks[block];
    for (i, &inst) in data.insts.iter().enumerate() {
        let node = &func.insts[inst];
        // Computing an address does not touch what is there, handing it on as block argument neither.
        if matches!(node.data, InstData::PtrOff(..) | InstData::PtrAdd(..) | InstData::SlotAddr(..)) {
            continue;
        }
        node.data.for_each_operand(|v| {
            if let Some(set) = &roots.sets[v.index()] {
                set.iter().for_each(|slot| f(i, slot));
            }
        });
    }
}

fn conflicts_of(func: &Function, cfg: &Cfg, roots: &Roots, touching: &[Bits], conflicts: &mut [Bits]) {
    let n = func.slots.len();
    let blocks = func.blocks.len();
    // `before[b]`: touched on some path to the start of b. `after[b]`: touched on some path from the end of b.
    let mut before = vec![Bits::new(n); blocks];
    let mut after = vec![Bits::new(n); blocks];
    let mut changed = true;
    while changed {
        changed = false;
        for &b in &cfg.rpo {
            let mut out = before[b as usize].clone();
            out.add(&touching[b as usize]);
            for &to in cfg.succs(b as usize) {
                changed |= before[to as usize].add(&out);
            }
        }
    }
    changed = true;
    while changed {
        changed = false;
        for &b in cfg.rpo.iter().rev() {
            let mut into = after[b as usize].clone();
            into.add(&touching[b as usize]);
            for &from in cfg.preds(b as usize) {
                changed |= after[from as usize].add(&into);
            }
        }
    }
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        let mut touches: Vec<(usize, usize)> = Vec::new();
        each_touch(func, roots, block, |at, slot| touches.push((at, slot)));
        let mut ends: Vec<Option<usize>> = vec![None; n];
        for &(at, slot) in &touches {
            ends[slot] = Some(at);
        }
        // Live at the start: touched before, and touched here or after.
        let mut rest = after[b as usize].clone();
        rest.add(&touching[b as usize]);
        let mut live = before[b as usize].and(&rest);
        let all: Vec<usize> = live.iter().collect();
        for &slot in &all {
            conflicts[slot].add(&live);
        }
        let mut i = 0;
        while i < touches.len() {
            let at = touches[i].0;
            let mut here = i;
            while here < touches.len() && touches[here].0 == at {
                let slot = touches[here].1;
                if !live.has(slot) {
                    live.set(slot);
                    let now: Vec<usize> = live.iter().collect();
                    for other in now {
                        conflicts[other].set(slot);
                        conflicts[slot].set(other);
                    }
                }
                here += 1;
            }
            for &(_, slot) in &touches[i..here] {
                if ends[slot] == Some(at) && !after[b as usize].has(slot) {
                    live.clear(slot);
                }
            }
            i = here;
        }
    }
}
