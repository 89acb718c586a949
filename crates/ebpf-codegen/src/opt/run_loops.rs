//! `run-loops`: a loop that needs nothing but numbers which are known runs at compile time.
//!
//! Such a loop touches no memory and calls nothing, and every branch in it is decided; what it leaves behind are
//! constants. Nothing grows: either the whole loop goes, or it stays as it is.

use super::rewrite::Aliases;
use super::{Pass, Plan, fold};
use crate::graph::Cfg;
use crate::ir::{Block, BlockCall, Function, InstData, Terminator, Value};
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) const PASS: Pass =
    Pass { name: "run-loops", what: "runs loops that work on constants alone", run };

/// Instructions that all turns of a loop may come to: far more than those of scripts, and still no time at all.
const MAX_STEPS: usize = 20_000;

/// What is known of a value.
#[derive(Clone, Copy)]
enum Known {
    Const(i64),
    /// It is this value from before the loop.
    Same(Value),
}

/// A loop that has been run.
struct Outcome {
    /// The block before it.
    from: Block,
    header: Block,
    /// Where it ends, and what it passes there.
    to: Block,
    args: Vec<Known>,
    /// Values of the loop that are used after it.
    used: Vec<(Value, Known)>,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let mut changed = false;
    while let Some(outcome) = find(f) {
        apply(f, outcome);
        changed = true;
    }
    changed
}

fn find(f: &Function) -> Option<Outcome> {
    let cfg = f.cfg();
    cfg.loops().into_iter().find_map(|(header, body)| run_one(f, &cfg, header, &body))
}

fn run_one(f: &Function, cfg: &Cfg, header: u32, body: &[u32]) -> Option<Outcome> {
    let mut inside = vec![false; f.blocks.len()];
    body.iter().for_each(|&b| inside[b as usize] = true);
    // Only if it begins in one way is what it leaves behind the same for all that follows.
    let mut before = cfg.preds(header as usize).iter().filter(|&&p| !inside[p as usize]);
    let (from, None) = (Block::new(*before.next()? as usize), before.next()) else { return None };
    let header = Block::new(header as usize);
    let entry = f.blocks[from].term.targets().find(|to| to.block == header)?;
    let mut turns = Turns { f, own: FxHashSet::default(), known: FxHashMap::default(), steps: 0 };
    for &b in body {
        let data = &f.blocks[Block::new(b as usize)];
        turns
            .own
            .extend(data.params.iter().copied().chain(data.insts.iter().filter_map(|&i| f.insts[i].result)));
    }
    let (to, args) = turns.until_outside(entry, &inside)?;
    let mut used = FxHashSet::default();
    for &b in cfg.rpo.iter().filter(|&&b| !inside[b as usize]) {
        let data = &f.blocks[Block::new(b as usize)];
        let mut note = |v: Value| {
            if turns.own.contains(&v) {
                used.insert(v);
            }
        };
        data.insts.iter().for_each(|&inst| f.insts[inst].data.for_each_operand(&mut note));
        data.term.for_each_operand(&mut note);
    }
    let mut used: Vec<Value> = used.into_iter().collect();
    used.sort_unstable_by_key(|v| v.index());
    let used = used.into_iter().map(|v| Some((v, turns.get(v)?))).collect::<Option<Vec<_>>>()?;
    Some(Outcome { from, header, to, args, used })
}

/// A run of a loop.
struct Turns<'a> {
    f: &'a Function,
    /// Values that the loop defines.
    own: FxHashSet<Value>,
    /// Those of them that are known, as of the last time they were defined.
    known: FxHashMap<Value, Known>,
    steps: usize,
}

impl Turns<'_> {
    fn get(&self, v: Value) -> Option<Known> {
        if self.own.contains(&v) {
            return self.known.get(&v).copied();
        }
        Some(self.f.as_const(v).map_or(Known::Same(v), Known::Const))
    }

    fn number(&self, v: Value) -> Option<i64> {
        match self.get(v)? {
            Known::Const(n) => Some(n),
            Known::Same(_) => None,
        }
    }

    fn set(&mut self, v: Value, to: Option<Known>) {
        match to {
            Some(known) => self.known.insert(v, known),
            None => self.known.remove(&v),
        };
    }

    /// Goes from block to block: where the loop ends, and what is passed there. `None` if that cannot be known.
    fn until_outside(&mut self, entry: &BlockCall, inside: &[bool]) -> Option<(Block, Vec<Known>)> {
        let f = self.f;
        let mut call = entry;
        loop {
            let args: Vec<Option<Known>> = call.args.iter().map(|&v| self.get(v)).collect();
            if !inside[call.block.index()] {
                return Some((call.block, args.into_iter().collect::<Option<_>>()?));
            }
            let data = &f.blocks[call.block];
            self.steps += data.insts.len() + 1;
            if self.steps > MAX_STEPS {
                return None;
            }
            for (&param, arg) in data.params.iter().zip(args) {
                self.set(param, arg);
            }
            for &inst in &data.insts {
                let node = &f.insts[inst];
                let result = node.result?;
                let known = self.compute(&node.data)?;
                self.set(result, known);
            }
            call = match &data.term {
                Terminator::Jump(to) => to,
                Terminator::Branch { cond, lhs, rhs, then, els } => {
                    if fold::compare(*cond, self.number(*lhs)?, self.number(*rhs)?) { then } else { els }
                }
                Terminator::Return(_) | Terminator::None => return None,
            };
        }
    }

    /// What an instruction results in; `None` if it is none for a compiler to run.
    fn compute(&self, data: &InstData) -> Option<Option<Known>> {
        let two = |a: Value, b: Value| self.number(a).zip(self.number(b));
        Some(match data {
            InstData::Iconst(n) => Some(Known::Const(*n)),
            InstData::Unary(op, a) => self.number(*a).map(|a| Known::Const(fold::unary(*op, a))),
            InstData::Binary(op, a, b) => two(*a, *b).map(|(a, b)| Known::Const(fold::binary(*op, a, b))),
            InstData::Icmp(cond, a, b) => {
                two(*a, *b).map(|(a, b)| Known::Const(i64::from(fold::compare(*cond, a, b))))
            }
            InstData::Select(c, a, b) => match self.number(*c) {
                Some(c) => self.get(if c != 0 { *a } else { *b }),
                None => None,
            },
            _ => return None,
        })
    }
}

/// Goes past the loop.
fn apply(f: &mut Function, outcome: Outcome) {
    let Outcome { from, header, to, args, used } = outcome;
    let place = |f: &mut Function, known: Known| match known {
        Known::Same(v) => v,
        Known::Const(n) => {
            let loc = f.blocks[from].term_loc;
            let inst = f.push_inst(from, InstData::Iconst(n), loc);
            f.insts[inst].result.expect("a constant has a result")
        }
    };
    let args: Vec<Value> = args.into_iter().map(|known| place(f, known)).collect();
    let used: Vec<(Value, Value)> = used.into_iter().map(|(v, known)| (v, place(f, known))).collect();
    for call in f.blocks[from].term.targets_mut().filter(|call| call.block == header) {
        *call = BlockCall { block: to, args: args.clone() };
    }
    let mut aliases = Aliases::new(f);
    used.into_iter().for_each(|(v, by)| aliases.replace(v, by));
    aliases.apply(f);
}
