//! Which values are live where, and how far away their next use is.

use crate::graph::Cfg;
use crate::mir::{Function, Inst, VReg};

/// Added for leaving a loop and for entering a block that rarely runs: such uses count as far away.
const FAR: u32 = 10_000;

/// Live values at the boundaries of blocks.
pub(super) struct Liveness {
    /// Values live at the start of each block (without its parameters) and the distance of the next use in
    /// instructions, in order of the register.
    pub(super) live_in: Vec<Vec<(VReg, u32)>>,
    /// Values live at the end of each block. The arguments of its jump are not, unless used further on.
    pub(super) live_out: Vec<Vec<(VReg, u32)>>,
    /// Whether a value is live across some call.
    pub(super) crosses: Vec<bool>,
}

impl Liveness {
    pub(super) fn of(f: &Function, cfg: &Cfg) -> Self {
        let n = f.blocks.len();
        let mut loops = vec![0u32; n];
        for (_, body) in cfg.loops() {
            for b in body {
                loops[b as usize] += 1;
            }
        }
        let mut live = Self {
            live_in: vec![Vec::new(); n],
            live_out: vec![Vec::new(); n],
            crosses: vec![false; f.n_vregs as usize],
        };
        let mut scratch = Dense::new(f.n_vregs as usize);
        let mut pending = vec![true; n];
        let mut again = true;
        while again {
            again = false;
            for &b in cfg.rpo.iter().rev() {
                let b = b as usize;
                if !std::mem::replace(&mut pending[b], false) {
                    continue;
                }
                scratch.clear();
                for &to in cfg.succs(b) {
                    let leaves = loops[b] > loops[to as usize];
                    let cold = f.blocks[to as usize].cold && !f.blocks[b].cold;
                    let far = if leaves || cold { FAR } else { 0 };
                    for &(v, d) in &live.live_in[to as usize] {
                        scratch.lower(v, d.saturating_add(far));
                    }
                }
                live.live_out[b] = scratch.sorted();
                let new = block_in(f, b, &mut scratch);
                if new != live.live_in[b] {
                    live.live_in[b] = new;
                    for &p in cfg.preds(b) {
                        pending[p as usize] = true;
                        again = true;
                    }
                }
            }
        }
        live.find_crossings(f, &mut scratch);
        live
    }

    fn find_crossings(&mut self, f: &Function, scratch: &mut Dense) {
        for (b, block) in f.blocks.iter().enumerate() {
            scratch.clear();
            for &(v, d) in &self.live_out[b] {
                scratch.lower(v, d);
            }
            block.term.for_each_use(|v| scratch.lower(v, 0));
            for node in block.insts.iter().rev() {
                if let Some(dst) = node.inst.def() {
                    scratch.remove(dst);
                }
                if matches!(node.inst, Inst::Call { .. }) {
                    for &v in &scratch.list {
                        self.crosses[v.index()] = true;
                    }
                }
                node.inst.for_each_use(|v| scratch.lower(v, 0));
            }
        }
    }
}

/// From the values live at the end of a block to those at its start.
fn block_in(f: &Function, b: usize, live: &mut Dense) -> Vec<(VReg, u32)> {
    let block = &f.blocks[b];
    let len = block.insts.len() as u32 + 1;
    for &v in &live.list {
        let d = &mut live.dist[v.index()];
        *d = d.saturating_add(len);
    }
    block.term.for_each_use(|v| live.set(v, len - 1));
    for (i, node) in block.insts.iter().enumerate().rev() {
        if let Some(dst) = node.inst.def() {
            live.remove(dst);
        }
        node.inst.for_each_use(|v| live.set(v, i as u32));
    }
    for &p in &block.params {
        live.remove(p);
    }
    live.sorted()
}

/// A set of values with distances: dense for look-up, a list for walking.
struct Dense {
    dist: Vec<u32>,
    pos: Vec<u32>,
    list: Vec<VReg>,
}

const ABSENT: u32 = u32::MAX;

impl Dense {
    fn new(n: usize) -> Self {
        Self { dist: vec![0; n], pos: vec![ABSENT; n], list: Vec::new() }
    }

    fn clear(&mut self) {
        for v in self.list.drain(..) {
            self.pos[v.index()] = ABSENT;
        }
    }

    fn insert(&mut self, v: VReg) -> bool {
        if self.pos[v.index()] != ABSENT {
            return false;
        }
        self.pos[v.index()] = self.list.len() as u32;
        self.list.push(v);
        true
    }

    fn set(&mut self, v: VReg, d: u32) {
        self.insert(v);
        self.dist[v.index()] = d;
    }

    fn lower(&mut self, v: VReg, d: u32) {
        if self.insert(v) || d < self.dist[v.index()] {
            self.dist[v.index()] = d;
        }
    }

    fn remove(&mut self, v: VReg) {
        let pos = std::mem::replace(&mut self.pos[v.index()], ABSENT);
        if pos != ABSENT {
            self.list.swap_remove(pos as usize);
            if let Some(moved) = self.list.get(pos as usize) {
                self.pos[moved.index()] = pos;
            }
        }
    }

    fn sorted(&self) -> Vec<(VReg, u32)> {
        let mut all: Vec<(VReg, u32)> = self.list.iter().map(|&v| (v, self.dist[v.index()])).collect();
        all.sort_unstable();
        all
    }
}
