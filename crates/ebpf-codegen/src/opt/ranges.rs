//! `ranges`: what is known of the size of values makes operations and branches superfluous.
//!
//! Every value has a range of unsigned numbers, from its definition and from the branches that dominate a place
//! (so a pointer that was compared with NULL is not compared again). Nothing is iterated: a loop's parameters are
//! unknown. Masks and extensions whose result is a length or moves a pointer stay: the verifier has to see them.

use super::rewrite::Aliases;
use super::{Pass, Plan, fold};
use crate::graph::Cfg;
use crate::ir::{BinOp, Block, Cond, Function, InstData, Terminator, UnOp, Value};

pub(super) const PASS: Pass =
    Pass { name: "ranges", what: "drops masks, extensions and branches that ranges decide", run };

/// Unsigned numbers from `lo` to `hi`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    lo: u64,
    hi: u64,
}

const FULL: Range = Range { lo: 0, hi: u64::MAX };

impl Range {
    fn up_to(hi: u64) -> Range {
        Range { lo: 0, hi }
    }

    fn exactly(n: i64) -> Range {
        Range { lo: n.cast_unsigned(), hi: n.cast_unsigned() }
    }

    fn union(self, other: Range) -> Range {
        Range { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// What both allow; an empty result (contradictory branches: the place is not reached) keeps the first.
    fn intersect(self, other: Range) -> Range {
        let both = Range { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) };
        if both.lo <= both.hi { both } else { self }
    }

    /// Whether no number is negative when seen as signed.
    fn positive(self) -> bool {
        self.hi <= i64::MAX.cast_unsigned()
    }

    fn single(self) -> Option<i64> {
        (self.lo == self.hi).then_some(self.lo.cast_signed())
    }
}

/// All ones up to the highest bit of `n`.
fn ones(n: u64) -> u64 {
    if n == 0 { 0 } else { u64::MAX >> n.leading_zeros() }
}

struct Ranges {
    of: Vec<Range>,
    /// Per value: ranges that hold in the blocks that a block dominates.
    facts: Vec<Vec<(Block, Range)>>,
}

impl Ranges {
    fn at(&self, cfg: &Cfg, v: Value, block: Block) -> Range {
        let mut range = self.of[v.index()];
        for (home, fact) in &self.facts[v.index()] {
            if cfg.dominates(home.index(), block.index()) {
                range = range.intersect(*fact);
            }
        }
        range
    }
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let kept = guards(f);
    let mut ranges = Ranges { of: vec![FULL; f.values.len()], facts: vec![Vec::new(); f.values.len()] };
    let mut done = vec![false; f.blocks.len()];
    let mut aliases = Aliases::new(f);
    let mut changed = false;
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        learn_from_branch(f, &cfg, &mut ranges, block);
        params(f, &cfg, &mut ranges, &done, block);
        for i in 0..f.blocks[block].insts.len() {
            let inst = f.blocks[block].insts[i];
            let Some(result) = f.insts[inst].result else { continue };
            let get = |v: Value| ranges.at(&cfg, v, block);
            let range = range_of(&f.insts[inst].data, &get);
            let simpler = simplify(&f.insts[inst].data, &get, range, kept[result.index()]);
            ranges.of[result.index()] = range;
            match simpler {
                Some(Simpler::Value(v)) => aliases.replace(result, v),
                Some(Simpler::Inst(data)) => f.insts[inst].data = data,
                None => continue,
            }
            changed = true;
        }
        if let Terminator::Branch { cond, lhs, rhs, then, els } = &f.blocks[block].term {
            let get = |v: Value| ranges.at(&cfg, v, block);
            if let Some(holds) = decide(*cond, get(*lhs), get(*rhs)) {
                let to = if holds { then.clone() } else { els.clone() };
                f.blocks[block].term = Terminator::Jump(to);
                changed = true;
            }
        }
        done[b as usize] = true;
    }
    aliases.apply(f);
    changed
}

/// Values that move pointers or are lengths: the verifier wants to see their bounds close by.
fn guards(f: &Function) -> Vec<bool> {
    let mut kept = vec![false; f.values.len()];
    for block in f.blocks.iter() {
        for &inst in &block.insts {
            match &f.insts[inst].data {
                InstData::PtrAdd(_, n) => kept[n.index()] = true,
                InstData::CallHelper(id, args) => {
                    let Some(def) = bpf_facts::helper(*id) else { continue };
                    for (arg, want) in args.iter().zip(&def.args) {
                        kept[arg.index()] |= want.is_len();
                    }
                }
                _ => {}
            }
        }
    }
    // One operation further: an offset is often a masked value that is scaled.
    for block in f.blocks.iter() {
        for &inst in block.insts.iter().rev() {
            let node = &f.insts[inst];
            if node.result.is_some_and(|r| kept[r.index()]) && matches!(node.data, InstData::Binary(..)) {
                node.data.for_each_operand(|v| kept[v.index()] = true);
            }
        }
    }
    kept
}

/// What the branch into a block of one predecessor tells.
fn learn_from_branch(f: &Function, cfg: &Cfg, ranges: &mut Ranges, block: Block) {
    let [pred] = cfg.preds(block.index()) else { return };
    let pred = Block::new(*pred as usize);
    let Terminator::Branch { cond, lhs, rhs, then, els } = &f.blocks[pred].term else { return };
    if then.block == els.block {
        return;
    }
    let cond = if then.block == block { *cond } else { cond.negated() };
    let (a, b) = (ranges.at(cfg, *lhs, block), ranges.at(cfg, *rhs, block));
    for (v, cond, a, b) in [(*lhs, cond, a, b), (*rhs, cond.swapped(), b, a)] {
        if let Some(fact) = implied(cond, a, b) {
            ranges.facts[v.index()].push((block, fact));
        }
    }
}

/// The range of `a` if `a cond b` holds.
fn implied(cond: Cond, a: Range, b: Range) -> Option<Range> {
    let both_positive = a.positive() && b.positive();
    match cond {
        Cond::Eq => Some(b),
        Cond::Ne if b.single()? == a.lo.cast_signed() && a.lo < a.hi => {
            Some(Range { lo: a.lo + 1, hi: a.hi })
        }
        Cond::Ne if b.single()? == a.hi.cast_signed() && a.lo < a.hi => {
            Some(Range { lo: a.lo, hi: a.hi - 1 })
        }
        Cond::Ne => None,
        Cond::Ult => Some(Range::up_to(b.hi.checked_sub(1)?)),
        Cond::Ule => Some(Range::up_to(b.hi)),
        Cond::Ugt => Some(Range { lo: b.lo.checked_add(1)?, hi: u64::MAX }),
        Cond::Uge => Some(Range { lo: b.lo, hi: u64::MAX }),
        // A signed comparison with numbers that are not negative bounds from below; from above only if `a` is
        // known not to be negative.
        Cond::Sgt if b.positive() => Some(Range { lo: b.lo + 1, hi: i64::MAX.cast_unsigned() }),
        Cond::Sge if b.positive() => Some(Range { lo: b.lo, hi: i64::MAX.cast_unsigned() }),
        Cond::Slt if both_positive => Some(Range::up_to(b.hi.checked_sub(1)?)),
        Cond::Sle if both_positive => Some(Range::up_to(b.hi)),
        Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge => None,
    }
}

/// Parameters: what all arguments together may be.
fn params(f: &Function, cfg: &Cfg, ranges: &mut Ranges, done: &[bool], block: Block) {
    let preds = cfg.preds(block.index());
    if f.blocks[block].params.is_empty() || preds.is_empty() || preds.iter().any(|&p| !done[p as usize]) {
        return;
    }
    for (n, &param) in f.blocks[block].params.iter().enumerate() {
        let mut range: Option<Range> = None;
        for &p in preds {
            let pred = Block::new(p as usize);
            for to in f.blocks[pred].term.targets().filter(|to| to.block == block) {
                let arg = ranges.at(cfg, to.args[n], pred);
                range = Some(range.map_or(arg, |r| r.union(arg)));
            }
        }
        ranges.of[param.index()] = range.unwrap_or(FULL);
    }
}

fn range_of(data: &InstData, get: &dyn Fn(Value) -> Range) -> Range {
    let mask = |size| fold::mask(size).cast_unsigned();
    match data {
        InstData::Iconst(n) => Range::exactly(*n),
        InstData::SlotAddr(..)
        | InstData::MapAddr(_)
        | InstData::MapValueAddr(..)
        | InstData::FuncAddr(_) => Range { lo: 1, hi: u64::MAX },
        InstData::Icmp(..) => Range::up_to(1),
        InstData::Select(_, a, b) => get(*a).union(get(*b)),
        InstData::Load { size, sext: false, .. } => Range::up_to(mask(*size)),
        InstData::Unary(UnOp::Zext(size), a) => {
            let a = get(*a);
            if a.hi <= mask(*size) { a } else { Range::up_to(mask(*size)) }
        }
        InstData::Unary(UnOp::Sext(size), a) if get(*a).hi <= mask(*size) >> 1 => get(*a),
        InstData::Unary(UnOp::Bswap(size), _) => Range::up_to(mask(*size)),
        InstData::Binary(op, a, b) => binary(*op, get(*a), get(*b)),
        _ => FULL,
    }
}

fn binary(op: BinOp, a: Range, b: Range) -> Range {
    let known = (|| {
        Some(match op {
            BinOp::Add => Range { lo: a.lo.checked_add(b.lo)?, hi: a.hi.checked_add(b.hi)? },
            BinOp::Sub => Range { lo: a.lo.checked_sub(b.hi)?, hi: a.hi.checked_sub(b.lo)? },
            BinOp::Mul => Range { lo: a.lo.checked_mul(b.lo)?, hi: a.hi.checked_mul(b.hi)? },
            BinOp::And => Range::up_to(a.hi.min(b.hi)),
            BinOp::Or => Range { lo: a.lo.max(b.lo), hi: ones(a.hi | b.hi) },
            BinOp::Xor => Range::up_to(ones(a.hi | b.hi)),
            BinOp::Lshr => {
                let by = u32::try_from(b.single()? & 63).ok()?;
                Range { lo: a.lo >> by, hi: a.hi >> by }
            }
            BinOp::Ashr if a.positive() => {
                let by = u32::try_from(b.single()? & 63).ok()?;
                Range { lo: a.lo >> by, hi: a.hi >> by }
            }
            BinOp::Shl => {
                let by = u32::try_from(b.single()? & 63).ok()?;
                if a.hi.leading_zeros() < by {
                    return None;
                }
                Range { lo: a.lo << by, hi: a.hi << by }
            }
            // The verifier knows nothing of a quotient or remainder: a bound that follows from one must stay a
            // branch where it guards an offset.
            BinOp::Udiv | BinOp::Umod => return None,
            BinOp::Ashr | BinOp::Sdiv | BinOp::Smod => return None,
        })
    })();
    known.unwrap_or(FULL)
}

/// Whether `a cond b` certainly holds, or certainly not.
fn decide(cond: Cond, a: Range, b: Range) -> Option<bool> {
    let less = |strict: bool| {
        if strict && a.hi < b.lo || !strict && a.hi <= b.lo {
            Some(true)
        } else if strict && a.lo >= b.hi || !strict && a.lo > b.hi {
            Some(false)
        } else {
            None
        }
    };
    let apart = a.hi < b.lo || b.hi < a.lo;
    let same = a.single().is_some() && a.single() == b.single();
    match cond {
        Cond::Eq if apart => Some(false),
        Cond::Eq if same => Some(true),
        Cond::Ne if apart => Some(true),
        Cond::Ne if same => Some(false),
        Cond::Eq | Cond::Ne => None,
        Cond::Ult => less(true),
        Cond::Ule => less(false),
        Cond::Uge => less(true).map(|l| !l),
        Cond::Ugt => less(false).map(|l| !l),
        Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge if !a.positive() || !b.positive() => None,
        Cond::Slt => less(true),
        Cond::Sle => less(false),
        Cond::Sge => less(true).map(|l| !l),
        Cond::Sgt => less(false).map(|l| !l),
    }
}

enum Simpler {
    Value(Value),
    Inst(InstData),
}

fn simplify(data: &InstData, get: &dyn Fn(Value) -> Range, range: Range, kept: bool) -> Option<Simpler> {
    use Simpler::{Inst, Value as Same};
    let is_const = matches!(data, InstData::Iconst(_));
    let mask = |size| fold::mask(size).cast_unsigned();
    match data {
        InstData::Icmp(cond, a, b) => {
            decide(*cond, get(*a), get(*b)).map(|holds| Inst(InstData::Iconst(i64::from(holds))))
        }
        InstData::Binary(..) | InstData::Unary(..) if !is_const && !kept && range.single().is_some() => {
            Some(Inst(InstData::Iconst(range.single()?)))
        }
        _ if kept => None,
        InstData::Unary(UnOp::Zext(size), a) if get(*a).hi <= mask(*size) => Some(Same(*a)),
        InstData::Unary(UnOp::Sext(size), a) if get(*a).hi <= mask(*size) >> 1 => Some(Same(*a)),
        InstData::Binary(op, a, b) => {
            let (ra, rb) = (get(*a), get(*b));
            let both = ra.positive() && rb.positive();
            match op {
                // The mask has all the bits that the value may have.
                BinOp::And if rb.single().is_some_and(|m| ones(ra.hi) & !m.cast_unsigned() == 0) => {
                    Some(Same(*a))
                }
                BinOp::Udiv if ra.hi < rb.lo => Some(Inst(InstData::Iconst(0))),
                BinOp::Umod if ra.hi < rb.lo => Some(Same(*a)),
                BinOp::Sdiv if both => Some(Inst(InstData::Binary(BinOp::Udiv, *a, *b))),
                BinOp::Smod if both => Some(Inst(InstData::Binary(BinOp::Umod, *a, *b))),
                BinOp::Ashr if ra.positive() => Some(Inst(InstData::Binary(BinOp::Lshr, *a, *b))),
                _ => None,
            }
        }
        InstData::Select(c, a, b) => {
            let c = get(*c);
            if c.lo > 0 {
                Some(Same(*a))
            } else if c.hi == 0 {
                Some(Same(*b))
            } else {
                None
            }
        }
        _ => None,
    }
}
