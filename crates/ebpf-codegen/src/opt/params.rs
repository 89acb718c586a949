//! `simplify-params`: removes block parameters that receive the same value on every edge.
//!
//! SSA construction leaves many of them behind. Constants that are equal but made in different places count as the
//! same; the parameter then becomes a constant of its own.

use super::rewrite::{Aliases, retain_params};
use super::{Pass, Plan};
use crate::ir::{Function, InstData, Value, ValueDef};
use rustc_hash::FxHashMap;

pub(super) const PASS: Pass = Pass {
    name: "simplify-params",
    what: "removes block parameters that always receive the same value",
    run,
};

/// What the parameter receives.
#[derive(Clone, Copy, PartialEq)]
enum Incoming {
    None,
    Value(Value),
    Const(i64),
    Many,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let mut aliases = Aliases::new(f);
    let mut consts: FxHashMap<Value, i64> = FxHashMap::default();
    let mut gone = vec![false; f.values.len()];
    // Edges by target, so that each round is linear; rounds are few because aliases resolve chains at once.
    let mut changed = true;
    while changed {
        changed = false;
        let mut incoming = vec![Incoming::None; f.values.len()];
        for &b in &cfg.rpo {
            let block = crate::ir::Block::new(b as usize);
            for to in f.blocks[block].term.targets() {
                for (&p, &a) in f.blocks[to.block].params.iter().zip(&to.args) {
                    let a = aliases.resolve(a);
                    if a == p || gone[p.index()] {
                        continue;
                    }
                    let known = consts.get(&a).copied().or_else(|| f.as_const(a));
                    let new = known.map_or(Incoming::Value(a), Incoming::Const);
                    let at = &mut incoming[p.index()];
                    *at = match *at {
                        Incoming::None => new,
                        same if same == new => same,
                        _ => Incoming::Many,
                    };
                }
            }
        }
        for v in f.values.ids() {
            if gone[v.index()] || !matches!(f.values[v].def, ValueDef::Param(..)) {
                continue;
            }
            match incoming[v.index()] {
                Incoming::Value(by) => aliases.replace(v, by),
                Incoming::Const(n) => {
                    consts.insert(v, n);
                }
                Incoming::None | Incoming::Many => continue,
            }
            gone[v.index()] = true;
            changed = true;
        }
    }
    if !gone.contains(&true) {
        return false;
    }
    let mut consts: Vec<(Value, i64)> = consts.into_iter().collect();
    consts.sort_unstable();
    for (v, n) in consts {
        let ValueDef::Param(block, _) = f.values[v].def else { continue };
        let loc = f.blocks[block].insts.first().map_or(f.blocks[block].term_loc, |&i| f.insts[i].loc);
        let inst = f.make_inst(InstData::Iconst(n), loc);
        f.blocks[block].insts.insert(0, inst);
        aliases_push(&mut aliases, f, v, inst);
    }
    aliases.apply(f);
    retain_params(f, &|p| !gone[p.index()]);
    true
}

fn aliases_push(aliases: &mut Aliases, f: &Function, v: Value, inst: crate::ir::Inst) {
    if let Some(result) = f.insts[inst].result {
        aliases.replace(v, result);
    }
}
