//! `load-forward`: a load of what was stored or loaded before takes the value instead.
//!
//! Known contents flow forward through the blocks; where paths meet only what all of them agree on remains, and a
//! loop begins with what nothing in it writes. The context of a program never changes; other memory than slots is
//! forgotten at calls that may write it.

use super::memory::{Range, Root, effects, escaped, place};
use super::{Pass, Plan};
use crate::ir::{BinOp, Block, Function, Inst, InstData, Type, UnOp, Value};
use ebpf_asm::Size;

pub(super) const PASS: Pass =
    Pass { name: "load-forward", what: "replaces loads by values known to be in memory", run };

/// At most so many known places; the oldest are forgotten.
const MAX_KNOWN: usize = 64;

/// What some bytes hold.
#[derive(Clone, Copy, PartialEq)]
enum Contents {
    /// Zeros.
    Zero,
    /// The low bytes of a value.
    Value(Value),
    /// The low bytes of a value whose other bits are zero.
    Zext(Value),
    /// The low bytes of a value whose other bits are their sign.
    Sext(Value),
}

#[derive(Clone, Copy, PartialEq)]
struct Known {
    root: Root,
    off: i64,
    len: u32,
    contents: Contents,
}

impl Known {
    fn range(&self) -> Range {
        Range { root: self.root, off: Some(self.off), len: Some(self.len) }
    }
}

#[derive(Clone, Default)]
struct State {
    known: Vec<Known>,
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let escaped = escaped(f);
    let mut loop_of: Vec<Option<Vec<u32>>> = vec![None; f.blocks.len()];
    for (header, body) in cfg.loops() {
        loop_of[header as usize] = Some(body);
    }
    let mut exits: Vec<Option<State>> = vec![None; f.blocks.len()];
    let mut changed = false;
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        let mut state = State::default();
        let mut first = true;
        for &p in cfg.preds(b as usize) {
            match &exits[p as usize] {
                Some(exit) if first => state = exit.clone(),
                Some(exit) => state.known.retain(|k| exit.known.contains(k)),
                None => continue,
            }
            first = false;
        }
        if let Some(body) = &loop_of[b as usize] {
            for &inside in body {
                for &inst in &f.blocks[Block::new(inside as usize)].insts {
                    state.forget(f, &f.insts[inst].data);
                }
            }
        } else if cfg.preds(b as usize).iter().any(|&p| exits[p as usize].is_none()) {
            // Not a natural loop: nothing is known.
            state.known.clear();
        }
        let insts = std::mem::take(&mut f.blocks[block].insts);
        let mut out: Vec<Inst> = Vec::with_capacity(insts.len());
        for inst in insts {
            if let Some((root, off, size, sext)) = load_of(f, inst, &escaped) {
                let ty = f.insts[inst].result.map(|r| f.values[r].ty);
                match state.find(f, root, off, size, sext, ty) {
                    Some(found) => {
                        replace(f, inst, found, size, sext, &mut out);
                        changed = true;
                    }
                    None => {
                        if let Some(result) = f.insts[inst].result {
                            let contents = if sext { Contents::Sext(result) } else { Contents::Zext(result) };
                            state.learn(Known { root, off, len: size.bytes(), contents });
                        }
                    }
                }
                out.push(inst);
                continue;
            }
            let data = f.insts[inst].data.clone();
            let copied = state.copied(f, &data, &escaped);
            state.forget(f, &data);
            state.learn_from(f, &data, &escaped);
            copied.into_iter().for_each(|k| state.learn(k));
            out.push(inst);
        }
        f.blocks[block].insts = out;
        exits[b as usize] = Some(state);
    }
    changed
}

fn tracked(range: &Range, escaped: &[bool]) -> Option<(Root, i64)> {
    match range.root {
        Root::Slot(slot) if escaped[slot.index()] => None,
        root => Some((root, range.off?)),
    }
}

fn load_of(f: &Function, inst: Inst, escaped: &[bool]) -> Option<(Root, i64, Size, bool)> {
    let (size, sext, ptr, off) = match &f.insts[inst].data {
        InstData::Load { size, sext, ptr, off } => (*size, *sext, *ptr, *off),
        InstData::LoadPtr { ptr, off } => (Size::Dw, false, *ptr, *off),
        _ => return None,
    };
    let (root, off) = tracked(&place(f, ptr, off, Some(size.bytes())), escaped)?;
    Some((root, off, size, sext))
}

/// What a load becomes.
#[derive(Clone, Copy)]
enum Found {
    Zero,
    /// This value as it is.
    Whole(Value),
    /// So many bytes into this value, then extended.
    Part(Value, u32),
}

impl State {
    fn find(
        &self,
        f: &Function,
        root: Root,
        off: i64,
        size: Size,
        sext: bool,
        ty: Option<Type>,
    ) -> Option<Found> {
        let len = i64::from(size.bytes());
        let k = self
            .known
            .iter()
            .rev()
            .find(|k| k.root == root && k.off <= off && off + len <= k.off + i64::from(k.len))?;
        let v = match k.contents {
            Contents::Zero => return (ty == Some(Type::I64)).then_some(Found::Zero),
            Contents::Value(v) | Contents::Zext(v) | Contents::Sext(v) => v,
        };
        let delta = u32::try_from(off - k.off).ok()?;
        if Some(f.values[v].ty) != ty {
            return None;
        }
        if size == Size::Dw {
            return Some(Found::Whole(v));
        }
        let exact = delta == 0 && k.len == size.bytes();
        match k.contents {
            Contents::Zext(_) if exact && !sext => Some(Found::Whole(v)),
            Contents::Sext(_) if exact && sext => Some(Found::Whole(v)),
            _ => Some(Found::Part(v, delta)),
        }
    }

    fn learn(&mut self, k: Known) {
        if self.known.len() == MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push(k);
    }

    /// Forgets what the instruction may change.
    fn forget(&mut self, f: &Function, data: &InstData) {
        let e = effects(f, data);
        if e.clobbers {
            self.known.retain(|k| matches!(k.root, Root::Slot(_) | Root::Param(_)));
        }
        for (range, _) in &e.writes {
            self.cut(range);
        }
    }

    /// Forgets the bytes of a range; of known zeros the rest remains.
    fn cut(&mut self, range: &Range) {
        let mut rest = Vec::new();
        self.known.retain(|k| {
            if !k.range().overlaps(range) {
                return true;
            }
            if let (Contents::Zero, true, Some(off), Some(len)) =
                (k.contents, k.root == range.root, range.off, range.len)
            {
                let (end, cut_end) = (k.off + i64::from(k.len), off + i64::from(len));
                if k.off < off {
                    rest.push(Known { len: (off - k.off) as u32, ..*k });
                }
                if cut_end < end {
                    rest.push(Known { off: cut_end, len: (end - cut_end) as u32, ..*k });
                }
            }
            false
        });
        rest.into_iter().for_each(|k| self.learn(k));
    }

    fn learn_from(&mut self, f: &Function, data: &InstData, escaped: &[bool]) {
        let (range, contents) = match data {
            InstData::Store { size, value, ptr, off } => {
                (place(f, *ptr, *off, Some(size.bytes())), Contents::Value(*value))
            }
            InstData::MemZero { ptr, off, len } => (place(f, *ptr, *off, Some(*len)), Contents::Zero),
            _ => return,
        };
        if let (Some((root, off)), Some(len)) = (tracked(&range, escaped), range.len) {
            self.learn(Known { root, off, len, contents });
        }
    }

    /// What is known of the destination of a copy, from what is known of its source.
    fn copied(&self, f: &Function, data: &InstData, escaped: &[bool]) -> Vec<Known> {
        let InstData::MemCopy { dst, dst_off, src, src_off, len, .. } = data else { return Vec::new() };
        let to = tracked(&place(f, *dst, *dst_off, Some(*len)), escaped);
        let from = tracked(&place(f, *src, *src_off, Some(*len)), escaped);
        let (Some((to, to_off)), Some((from, from_off))) = (to, from) else { return Vec::new() };
        self.known
            .iter()
            .filter(|k| k.root == from && from_off <= k.off)
            .filter(|k| k.off + i64::from(k.len) <= from_off + i64::from(*len))
            .map(|k| Known { root: to, off: k.off - from_off + to_off, ..*k })
            .collect()
    }
}

/// Turns a load into the computation of what was found.
fn replace(f: &mut Function, inst: Inst, found: Found, size: Size, sext: bool, out: &mut Vec<Inst>) {
    let loc = f.insts[inst].loc;
    let data = match found {
        Found::Zero => InstData::Iconst(0),
        // An identity that `const-fold` and `gvn` see through: an offset or sum of 0.
        Found::Whole(v) if f.values[v].ty == Type::Ptr => InstData::PtrOff(v, 0),
        Found::Whole(v) => {
            let zero = f.make_inst(InstData::Iconst(0), loc);
            out.push(zero);
            let zero = f.insts[zero].result.expect("a constant has a result");
            InstData::Binary(BinOp::Add, v, zero)
        }
        Found::Part(v, delta) => {
            let mut v = v;
            if delta > 0 {
                let by = f.make_inst(InstData::Iconst(i64::from(delta) * 8), loc);
                out.push(by);
                let by = f.insts[by].result.expect("a constant has a result");
                let shift = f.make_inst(InstData::Binary(BinOp::Lshr, v, by), loc);
                out.push(shift);
                v = f.insts[shift].result.expect("a shift has a result");
            }
            InstData::Unary(if sext { UnOp::Sext(size) } else { UnOp::Zext(size) }, v)
        }
    };
    f.insts[inst].data = data;
}
