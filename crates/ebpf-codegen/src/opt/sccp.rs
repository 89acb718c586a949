//! `sccp`: sparse conditional constant propagation.
//!
//! Assumes that no block runs and every value is the same always, until shown otherwise; so it finds constants that
//! go round a loop, and branches that only such constants decide. (Wegman and Zadeck, 1991.)

use super::rewrite::{Aliases, retain_params};
use super::{Pass, Plan, fold};
use crate::ir::{Block, Function, InstData, Terminator, Value};

pub(super) const PASS: Pass =
    Pass { name: "sccp", what: "finds constants along the paths that can be taken", run };

/// What is known of a value so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing that runs defines it.
    Nothing,
    /// This number.
    Const(i64),
    /// More than one number.
    Any,
}

impl Known {
    fn meet(self, other: Known) -> Known {
        match (self, other) {
            (Known::Nothing, k) | (k, Known::Nothing) => k,
            (Known::Const(a), Known::Const(b)) if a == b => self,
            _ => Known::Any,
        }
    }
}

struct Solver<'a> {
    f: &'a Function,
    known: Vec<Known>,
    runs: Vec<bool>,
    /// Blocks whose terminator or arguments have to be looked at (again).
    blocks: Vec<Block>,
    /// Values that changed.
    values: Vec<Value>,
    /// Which edges were taken: per block one bit for each target.
    taken: Vec<u8>,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let known = solve(f);
    let mut changed = false;
    let mut constants = Vec::new();
    for block in f.blocks.ids().collect::<Vec<_>>() {
        // Parameters first: their constants are made at the head.
        for param in f.blocks[block].params.clone() {
            let runs = known.runs[block.index()] && block != f.entry();
            if let (Known::Const(n), true) = (known.values[param.index()], runs) {
                let loc = f.blocks[block].term_loc;
                let inst = f.make_inst(InstData::Iconst(n), loc);
                let result = f.insts[inst].result.expect("a constant has a result");
                f.blocks[block].insts.insert(0, inst);
                constants.push((param, result));
            }
        }
        for i in 0..f.blocks[block].insts.len() {
            let inst = f.blocks[block].insts[i];
            let Some(result) = f.insts[inst].result else { continue };
            if let Some(Known::Const(n)) = known.values.get(result.index()).copied()
                && !matches!(f.insts[inst].data, InstData::Iconst(_))
                && !super::dce::has_effect(&f.insts[inst].data)
            {
                f.insts[inst].data = InstData::Iconst(n);
                changed = true;
            }
        }
        let taken = known.taken[block.index()];
        if let Terminator::Branch { then, els, .. } = &f.blocks[block].term {
            let only = match taken {
                1 => then.clone(),
                2 => els.clone(),
                _ => continue,
            };
            f.blocks[block].term = Terminator::Jump(only);
            changed = true;
        }
    }
    if !constants.is_empty() {
        let mut aliases = Aliases::new(f);
        let gone: Vec<Value> = constants.iter().map(|c| c.0).collect();
        constants.into_iter().for_each(|(param, constant)| aliases.replace(param, constant));
        aliases.apply(f);
        retain_params(f, &|p| !gone.contains(&p));
        changed = true;
    }
    changed
}

struct Solution {
    values: Vec<Known>,
    runs: Vec<bool>,
    taken: Vec<u8>,
}

fn solve(f: &Function) -> Solution {
    let mut users: Vec<Vec<(Block, Option<crate::ir::Inst>)>> = vec![Vec::new(); f.values.len()];
    for (block, data) in f.blocks.entries() {
        for &inst in &data.insts {
            f.insts[inst].data.for_each_operand(|v| users[v.index()].push((block, Some(inst))));
        }
        data.term.for_each_operand(|v| users[v.index()].push((block, None)));
    }
    let mut s = Solver {
        f,
        known: vec![Known::Nothing; f.values.len()],
        runs: vec![false; f.blocks.len()],
        blocks: Vec::new(),
        values: Vec::new(),
        taken: vec![0; f.blocks.len()],
    };
    for &p in &f.blocks[f.entry()].params {
        s.known[p.index()] = Known::Any;
    }
    s.enter(f.entry());
    loop {
        if let Some(block) = s.blocks.pop() {
            s.terminator(block);
        } else if let Some(v) = s.values.pop() {
            for &(block, inst) in &users[v.index()] {
                if !s.runs[block.index()] {
                    continue;
                }
                match inst {
                    Some(inst) => s.inst(inst),
                    None => s.terminator(block),
                }
            }
        } else {
            break;
        }
    }
    Solution { values: s.known, runs: s.runs, taken: s.taken }
}

impl Solver<'_> {
    fn enter(&mut self, block: Block) {
        if std::mem::replace(&mut self.runs[block.index()], true) {
            return;
        }
        for &inst in &self.f.blocks[block].insts {
            self.inst(inst);
        }
        self.blocks.push(block);
    }

    fn lower(&mut self, v: Value, to: Known) {
        let new = self.known[v.index()].meet(to);
        if new != self.known[v.index()] {
            self.known[v.index()] = new;
            self.values.push(v);
        }
    }

    fn get(&self, v: Value) -> Known {
        self.known[v.index()]
    }

    fn inst(&mut self, inst: crate::ir::Inst) {
        let node = &self.f.insts[inst];
        let Some(result) = node.result else { return };
        let two = |a: Value, b: Value, g: &dyn Fn(i64, i64) -> i64| match (self.get(a), self.get(b)) {
            (Known::Nothing, _) | (_, Known::Nothing) => Known::Nothing,
            (Known::Const(a), Known::Const(b)) => Known::Const(g(a, b)),
            _ => Known::Any,
        };
        let new = match &node.data {
            InstData::Iconst(n) => Known::Const(*n),
            InstData::Binary(op, a, b) => two(*a, *b, &|a, b| fold::binary(*op, a, b)),
            InstData::Icmp(cond, a, b) => two(*a, *b, &|a, b| i64::from(fold::compare(*cond, a, b))),
            InstData::Unary(op, a) => match self.get(*a) {
                Known::Const(n) => Known::Const(fold::unary(*op, n)),
                other => other,
            },
            InstData::Select(c, a, b) => match self.get(*c) {
                Known::Nothing => Known::Nothing,
                Known::Const(n) => self.get(if n != 0 { *a } else { *b }),
                Known::Any => self.get(*a).meet(self.get(*b)),
            },
            _ => Known::Any,
        };
        self.lower(result, new);
    }

    fn terminator(&mut self, block: Block) {
        let f = self.f;
        let taken = match &f.blocks[block].term {
            Terminator::Jump(_) => 1,
            Terminator::Branch { cond, lhs, rhs, .. } => match (self.get(*lhs), self.get(*rhs)) {
                (Known::Nothing, _) | (_, Known::Nothing) => 0,
                (Known::Const(a), Known::Const(b)) => {
                    if fold::compare(*cond, a, b) {
                        1
                    } else {
                        2
                    }
                }
                _ => 3,
            },
            Terminator::Return(_) | Terminator::None => 0,
        };
        self.taken[block.index()] |= taken;
        let taken = self.taken[block.index()];
        for (n, to) in f.blocks[block].term.targets().enumerate() {
            if taken & (1 << n) == 0 {
                continue;
            }
            for (&p, &a) in f.blocks[to.block].params.iter().zip(&to.args) {
                let arg = self.get(a);
                self.lower(p, arg);
            }
            self.enter(to.block);
        }
    }
}
