//! `const-fold`: computes what is constant, and replaces operations by simpler ones that give the same.
//!
//! Constants end up on the right of symmetric operations, offsets inside addresses and accesses.

use super::rewrite::Aliases;
use super::{Pass, Plan, fold};
use crate::ir::{BinOp, Block, Cond, Function, Inst, InstData, UnOp, Value};
use ebpf_asm::Size;

pub(super) const PASS: Pass =
    Pass { name: "const-fold", what: "computes constants and simplifies arithmetic", run };

/// What an instruction becomes.
enum Simpler {
    /// A number.
    Const(i64),
    /// Another value.
    Value(Value),
    /// Another instruction on the same operands.
    Inst(InstData),
    /// Another instruction whose right operand is a new constant.
    WithConst(fn(Value, Value) -> InstData, Value, i64),
}

fn run(f: &mut Function, _: &Plan<'_>) -> bool {
    let cfg = f.cfg();
    let mut aliases = Aliases::new(f);
    let mut changed = false;
    for &b in &cfg.rpo {
        let block = Block::new(b as usize);
        let insts = std::mem::take(&mut f.blocks[block].insts);
        let mut out: Vec<Inst> = Vec::with_capacity(insts.len());
        for inst in insts {
            f.insts[inst].data.map_operands(|v| aliases.resolve(v));
            // A few turns: one simplification may allow the next.
            for _ in 0..4 {
                let data = &f.insts[inst].data;
                let Some(simpler) = simplify(f, data) else { break };
                changed = true;
                match simpler {
                    Simpler::Const(n) => f.insts[inst].data = InstData::Iconst(n),
                    Simpler::Inst(data) => f.insts[inst].data = data,
                    Simpler::WithConst(make, a, n) => {
                        let loc = f.insts[inst].loc;
                        let c = f.make_inst(InstData::Iconst(n), loc);
                        out.push(c);
                        let c = f.insts[c].result.expect("a constant has a result");
                        f.insts[inst].data = make(a, c);
                    }
                    Simpler::Value(v) => {
                        if let Some(result) = f.insts[inst].result {
                            aliases.replace(result, v);
                        }
                        break;
                    }
                }
            }
            out.push(inst);
        }
        f.blocks[block].insts = out;
    }
    aliases.apply(f);
    changed
}

fn simplify(f: &Function, data: &InstData) -> Option<Simpler> {
    match data {
        InstData::Binary(op, a, b) => binary(f, *op, *a, *b),
        InstData::Unary(op, a) => unary(f, *op, *a),
        InstData::Icmp(cond, a, b) => icmp(f, *cond, *a, *b),
        InstData::Select(c, a, b) => select(f, *c, *a, *b),
        InstData::PtrAdd(p, n) => {
            let n = i32::try_from(f.as_const(*n)?).ok()?;
            Some(if n == 0 { Simpler::Value(*p) } else { Simpler::Inst(InstData::PtrOff(*p, n)) })
        }
        InstData::PtrOff(p, 0) => Some(Simpler::Value(*p)),
        InstData::PtrOff(p, n) => pointer(f, *p, *n).map(Simpler::Inst),
        InstData::Load { size, sext, ptr, off } => {
            let (ptr, off) = moved(f, *ptr, *off)?;
            Some(Simpler::Inst(InstData::Load { size: *size, sext: *sext, ptr, off }))
        }
        InstData::LoadPtr { ptr, off } => {
            let (ptr, off) = moved(f, *ptr, *off)?;
            Some(Simpler::Inst(InstData::LoadPtr { ptr, off }))
        }
        InstData::Store { size, value, ptr, off } => {
            if let Some((ptr, off)) = moved(f, *ptr, *off) {
                return Some(Simpler::Inst(InstData::Store { size: *size, value: *value, ptr, off }));
            }
            let value = low_part(f, *value, *size)?;
            Some(Simpler::Inst(InstData::Store { size: *size, value, ptr: *ptr, off: *off }))
        }
        InstData::Atomic { op, size, fetch, value, ptr, off } => {
            let (ptr, off) = moved(f, *ptr, *off)?;
            let (op, size, fetch, value) = (*op, *size, *fetch, *value);
            Some(Simpler::Inst(InstData::Atomic { op, size, fetch, value, ptr, off }))
        }
        InstData::MemZero { ptr, off, len } => {
            let (ptr, off) = moved(f, *ptr, *off)?;
            Some(Simpler::Inst(InstData::MemZero { ptr, off, len: *len }))
        }
        InstData::MemCopy { dst, dst_off, src, src_off, len, align } => {
            let (len, align) = (*len, *align);
            let to = moved(f, *dst, *dst_off);
            let from = moved(f, *src, *src_off);
            if to.is_none() && from.is_none() {
                return None;
            }
            let (dst, dst_off) = to.unwrap_or((*dst, *dst_off));
            let (src, src_off) = from.unwrap_or((*src, *src_off));
            Some(Simpler::Inst(InstData::MemCopy { dst, dst_off, src, src_off, len, align }))
        }
        InstData::Iconst(_)
        | InstData::SlotAddr(..)
        | InstData::MapAddr(_)
        | InstData::MapValueAddr(..)
        | InstData::FuncAddr(_)
        | InstData::BtfVarAddr(_)
        | InstData::CallHelper(..)
        | InstData::CallFunc(..)
        | InstData::CallKfunc { .. } => None,
    }
}

/// Address and offset without the constant part of the address.
fn moved(f: &Function, ptr: Value, off: i32) -> Option<(Value, i32)> {
    match f.def_inst(ptr)? {
        InstData::PtrOff(p, n) => Some((*p, off.checked_add(*n)?)),
        _ => None,
    }
}

/// `ptr_off p, n` as one address.
fn pointer(f: &Function, p: Value, n: i32) -> Option<InstData> {
    match f.def_inst(p)? {
        InstData::PtrOff(q, m) => Some(InstData::PtrOff(*q, m.checked_add(n)?)),
        InstData::SlotAddr(slot, m) => {
            let off = m.checked_add_signed(n)?;
            (off <= f.slots.get(*slot)?.size).then_some(InstData::SlotAddr(*slot, off))
        }
        InstData::MapValueAddr(map, m) => Some(InstData::MapValueAddr(*map, m.checked_add_signed(n)?)),
        _ => None,
    }
}

/// A value with the same low bits that costs less: a store needs no extension before it.
fn low_part(f: &Function, v: Value, size: Size) -> Option<Value> {
    match f.def_inst(v)? {
        InstData::Unary(UnOp::Zext(from) | UnOp::Sext(from), x) if from.bytes() >= size.bytes() => Some(*x),
        InstData::Binary(BinOp::And, x, m) if f.as_const(*m)? & fold::mask(size) == fold::mask(size) => {
            Some(*x)
        }
        _ => None,
    }
}

fn binary(f: &Function, op: BinOp, a: Value, b: Value) -> Option<Simpler> {
    use Simpler::{Const, Inst, Value as Same, WithConst};
    let (ca, cb) = (f.as_const(a), f.as_const(b));
    if let (Some(x), Some(y)) = (ca, cb) {
        return Some(Const(fold::binary(op, x, y)));
    }
    let symmetric = matches!(op, BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor);
    if ca.is_some() && symmetric {
        return Some(Inst(InstData::Binary(op, b, a)));
    }
    if a == b {
        match op {
            BinOp::Sub | BinOp::Xor => return Some(Const(0)),
            BinOp::And | BinOp::Or => return Some(Same(a)),
            _ => {}
        }
    }
    if let Some(0) = ca
        && matches!(
            op,
            BinOp::Shl | BinOp::Lshr | BinOp::Ashr | BinOp::Udiv | BinOp::Sdiv | BinOp::Umod | BinOp::Smod
        )
    {
        return Some(Const(0));
    }
    let n = cb?;
    match (op, n) {
        (BinOp::Sub, n) => {
            return Some(WithConst(|a, b| InstData::Binary(BinOp::Add, a, b), a, n.wrapping_neg()));
        }
        (BinOp::Add | BinOp::Or | BinOp::Xor, 0) => return Some(Same(a)),
        (BinOp::Shl | BinOp::Lshr | BinOp::Ashr, n) if n & 63 == 0 => return Some(Same(a)),
        (BinOp::Mul | BinOp::And, 0) => return Some(Const(0)),
        (BinOp::Mul | BinOp::Udiv | BinOp::Sdiv, 1) | (BinOp::And, -1) => return Some(Same(a)),
        (BinOp::Or, -1) => return Some(Const(-1)),
        (BinOp::Xor, -1) => return Some(Inst(InstData::Unary(UnOp::Not, a))),
        (BinOp::Mul | BinOp::Sdiv, -1) => return Some(Inst(InstData::Unary(UnOp::Neg, a))),
        (BinOp::Umod | BinOp::Smod, 1) | (BinOp::Smod, -1) => return Some(Const(0)),
        (BinOp::Udiv | BinOp::Sdiv, 0) => return Some(Const(0)),
        (BinOp::Umod | BinOp::Smod, 0) => return Some(Same(a)),
        (BinOp::And, 0xff) => return Some(Inst(InstData::Unary(UnOp::Zext(Size::B), a))),
        (BinOp::And, 0xffff) => return Some(Inst(InstData::Unary(UnOp::Zext(Size::H), a))),
        (BinOp::And, 0xffff_ffff) => return Some(Inst(InstData::Unary(UnOp::Zext(Size::W), a))),
        (BinOp::Mul, n) if n.cast_unsigned().is_power_of_two() => {
            let by = i64::from(n.trailing_zeros());
            return Some(WithConst(|a, b| InstData::Binary(BinOp::Shl, a, b), a, by));
        }
        (BinOp::Udiv, n) if n.cast_unsigned().is_power_of_two() => {
            let by = i64::from(n.trailing_zeros());
            return Some(WithConst(|a, b| InstData::Binary(BinOp::Lshr, a, b), a, by));
        }
        (BinOp::Umod, n) if n.cast_unsigned().is_power_of_two() => {
            return Some(WithConst(|a, b| InstData::Binary(BinOp::And, a, b), a, n.wrapping_sub(1)));
        }
        _ => {}
    }
    chain(f, op, a, n)
}

/// `(x op m) op n`
fn chain(f: &Function, op: BinOp, a: Value, n: i64) -> Option<Simpler> {
    use Simpler::WithConst;
    // Shifts that cut off the upper half and bring the rest back.
    if let (BinOp::Lshr | BinOp::Ashr, Some(InstData::Binary(BinOp::Shl, x, m))) = (op, f.def_inst(a))
        && f.as_const(*m)? == n
        && let Some(size) = match n {
            56 => Some(Size::B),
            48 => Some(Size::H),
            32 => Some(Size::W),
            _ => None,
        }
    {
        let ext = if op == BinOp::Lshr { UnOp::Zext(size) } else { UnOp::Sext(size) };
        return Some(Simpler::Inst(InstData::Unary(ext, *x)));
    }
    let InstData::Binary(inner, x, m) = f.def_inst(a)? else { return None };
    let m = f.as_const(*m)?;
    let x = *x;
    match (op, *inner) {
        (BinOp::Add, BinOp::Add) => {
            Some(WithConst(|a, b| InstData::Binary(BinOp::Add, a, b), x, m.wrapping_add(n)))
        }
        (BinOp::Mul, BinOp::Mul) => {
            Some(WithConst(|a, b| InstData::Binary(BinOp::Mul, a, b), x, m.wrapping_mul(n)))
        }
        (BinOp::And, BinOp::And) => Some(WithConst(|a, b| InstData::Binary(BinOp::And, a, b), x, m & n)),
        (BinOp::Or, BinOp::Or) => Some(WithConst(|a, b| InstData::Binary(BinOp::Or, a, b), x, m | n)),
        (BinOp::Xor, BinOp::Xor) => Some(WithConst(|a, b| InstData::Binary(BinOp::Xor, a, b), x, m ^ n)),
        (BinOp::Shl, BinOp::Shl) if (m & 63) + (n & 63) < 64 => {
            Some(WithConst(|a, b| InstData::Binary(BinOp::Shl, a, b), x, (m & 63) + (n & 63)))
        }
        (BinOp::Lshr, BinOp::Lshr) if (m & 63) + (n & 63) < 64 => {
            Some(WithConst(|a, b| InstData::Binary(BinOp::Lshr, a, b), x, (m & 63) + (n & 63)))
        }
        (BinOp::Ashr, BinOp::Ashr) => {
            let by = ((m & 63) + (n & 63)).min(63);
            Some(WithConst(|a, b| InstData::Binary(BinOp::Ashr, a, b), x, by))
        }
        _ => None,
    }
}

fn unary(f: &Function, op: UnOp, a: Value) -> Option<Simpler> {
    use Simpler::{Const, Inst, Value as Same};
    if let Some(n) = f.as_const(a) {
        return Some(Const(fold::unary(op, n)));
    }
    match (op, f.def_inst(a)?) {
        (UnOp::Neg, InstData::Unary(UnOp::Neg, x)) | (UnOp::Not, InstData::Unary(UnOp::Not, x)) => {
            Some(Same(*x))
        }
        (UnOp::Bswap(Size::Dw), InstData::Unary(UnOp::Bswap(Size::Dw), x)) => Some(Same(*x)),
        // The outer extension sees only bits that the inner one left as they were.
        (UnOp::Zext(to) | UnOp::Sext(to), InstData::Unary(UnOp::Zext(from) | UnOp::Sext(from), x))
            if to.bytes() < from.bytes() =>
        {
            Some(Inst(InstData::Unary(op, *x)))
        }
        (UnOp::Zext(to), InstData::Unary(UnOp::Zext(from), _)) if from.bytes() <= to.bytes() => Some(Same(a)),
        (UnOp::Sext(to), InstData::Unary(UnOp::Sext(from), _)) if from.bytes() <= to.bytes() => Some(Same(a)),
        (UnOp::Sext(to), InstData::Unary(UnOp::Zext(from), _)) if from.bytes() < to.bytes() => Some(Same(a)),
        (UnOp::Zext(to), InstData::Unary(UnOp::Sext(from), x)) if from == &to => {
            Some(Inst(InstData::Unary(UnOp::Zext(to), *x)))
        }
        (UnOp::Sext(to), InstData::Unary(UnOp::Zext(from), x)) if from == &to => {
            Some(Inst(InstData::Unary(UnOp::Sext(to), *x)))
        }
        (UnOp::Zext(to), InstData::Load { size, sext: false, .. }) if size.bytes() <= to.bytes() => {
            Some(Same(a))
        }
        (UnOp::Sext(to), InstData::Load { size, sext: true, .. }) if size.bytes() <= to.bytes() => {
            Some(Same(a))
        }
        (UnOp::Sext(to), InstData::Load { size, sext: false, .. }) if size.bytes() < to.bytes() => {
            Some(Same(a))
        }
        (UnOp::Zext(_) | UnOp::Sext(Size::H | Size::W), InstData::Icmp(..)) => Some(Same(a)),
        (UnOp::Zext(to), InstData::Unary(UnOp::Bswap(size), _)) if size.bytes() <= to.bytes() => {
            Some(Same(a))
        }
        _ => None,
    }
}

fn icmp(f: &Function, cond: Cond, a: Value, b: Value) -> Option<Simpler> {
    use Simpler::{Const, Inst, Value as Same};
    if let (Some(x), Some(y)) = (f.as_const(a), f.as_const(b)) {
        return Some(Const(i64::from(fold::compare(cond, x, y))));
    }
    if a == b {
        return Some(Const(i64::from(fold::compare(cond, 0, 0))));
    }
    if f.as_const(a).is_some() {
        return Some(Inst(InstData::Icmp(cond.swapped(), b, a)));
    }
    let n = f.as_const(b)?;
    match (cond, n) {
        (Cond::Ult, 0) => return Some(Const(0)),
        (Cond::Uge, 0) => return Some(Const(1)),
        _ => {}
    }
    if let Some(InstData::Icmp(inner, x, y)) = f.def_inst(a) {
        let (when_true, when_false) = (fold::compare(cond, 1, n), fold::compare(cond, 0, n));
        return Some(match (when_true, when_false) {
            (true, true) => Const(1),
            (false, false) => Const(0),
            (true, false) => Same(a),
            (false, true) => Inst(InstData::Icmp(inner.negated(), *x, *y)),
        });
    }
    None
}

fn select(f: &Function, c: Value, a: Value, b: Value) -> Option<Simpler> {
    use Simpler::{Inst, Value as Same};
    if a == b {
        return Some(Same(a));
    }
    if let Some(n) = f.as_const(c) {
        return Some(Same(if n != 0 { a } else { b }));
    }
    let InstData::Icmp(cond, x, y) = f.def_inst(c)? else { return None };
    match (f.as_const(a), f.as_const(b)) {
        (Some(1), Some(0)) => Some(Same(c)),
        (Some(0), Some(1)) => Some(Inst(InstData::Icmp(cond.negated(), *x, *y))),
        _ => None,
    }
}
