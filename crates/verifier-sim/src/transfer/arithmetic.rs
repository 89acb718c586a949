//! Arithmetic on numbers of which something is known.
//!
//! Every function works at 64 and 32 bits at once or, for shifts, at the width asked for; the caller refines the result.

use crate::bounds::Bounds;
use crate::era::{Change, Era};
use crate::tnum::{MulKind, Tnum};
use ebpf_asm::{AluOp, Width};

/// `a op b`, where the result can be known at all; otherwise everything is possible.
pub(crate) fn apply(era: Era, w: Width, op: AluOp, a: &Bounds, b: &Bounds) -> Bounds {
    let mut r = *a;
    if !is_computable(era, w, op, b) {
        return uncomputed(era, w, op, b);
    }
    match op {
        AluOp::Add => {
            add_ranges(era, &mut r, b);
            r.bits = r.bits.add(b.bits);
        }
        AluOp::Sub => {
            sub_ranges(era, &mut r, b);
            r.bits = r.bits.sub(b.bits);
        }
        AluOp::Mul => mul(era, &mut r, b),
        AluOp::And => {
            r.bits = r.bits.and(b.bits);
            and32(era, &mut r, a, b);
            and64(era, &mut r, a, b);
        }
        AluOp::Or => {
            r.bits = r.bits.or(b.bits);
            or32(era, &mut r, a, b);
            or64(era, &mut r, a, b);
        }
        AluOp::Xor => {
            r.bits = r.bits.xor(b.bits);
            xor32(era, &mut r, a, b);
            xor64(era, &mut r, a, b);
        }
        AluOp::Lsh => shift_left(w, &mut r, b),
        AluOp::Rsh => shift_right(w, &mut r, b),
        AluOp::Arsh => shift_right_signed(w, &mut r, b),
        AluOp::Div => divide(w, &mut r, b),
        AluOp::Sdiv => divide_signed(w, &mut r, b),
        AluOp::Mod => modulo(w, &mut r, b),
        AluOp::Smod => modulo_signed(w, &mut r, b),
        AluOp::Mov => r = *b,
    }
    if w == Width::W32 {
        r.zero_extend_32();
    }
    r.sync(era);
    r
}

/// Whether bounds of the result are computed.
fn is_computable(era: Era, w: Width, op: AluOp, b: &Bounds) -> bool {
    let constant = match w {
        Width::W32 => b.as_const32().is_some() && b.smin32 == b.smax32 && b.umin32 == b.umax32,
        Width::W64 => b.as_const().is_some() && b.smin == b.smax && b.umin == b.umax,
    };
    let width = if w == Width::W32 { 32 } else { 64 };
    match op {
        AluOp::Add | AluOp::Sub | AluOp::And | AluOp::Mov => true,
        AluOp::Or | AluOp::Xor | AluOp::Mul => constant || era.has(Change::BitwiseSignedFromUnsigned),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => constant && b.umax < width,
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => {
            let zero = match w {
                Width::W32 => b.umin32 == 0,
                Width::W64 => b.umin == 0,
            };
            era.has(Change::DivRange) && constant && !zero
        }
    }
}

/// What an uncomputed result is: anything, or, in older kernels, anything without a high half.
fn uncomputed(era: Era, w: Width, op: AluOp, b: &Bounds) -> Bounds {
    let mut r = Bounds::UNKNOWN;
    let keeps_width = matches!(
        op,
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh | AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod
    );
    let known = b.as_const32().is_some() && b.smin32 == b.smax32 && b.umin32 == b.umax32;
    if w == Width::W32 && keeps_width && known && !era.has(Change::BitwiseSignedFromUnsigned) {
        r.zero_extend_32();
        r.sync(era);
    }
    r
}

fn both<T>(lo: Option<T>, hi: Option<T>, all: (T, T)) -> (T, T) {
    match (lo, hi) {
        (Some(lo), Some(hi)) => (lo, hi),
        _ => all,
    }
}

const ALL_S64: (i64, i64) = (i64::MIN, i64::MAX);
const ALL_U64: (u64, u64) = (0, u64::MAX);
const ALL_S32: (i32, i32) = (i32::MIN, i32::MAX);
const ALL_U32: (u32, u32) = (0, u32::MAX);

/// The ranges of a sum; the bits are the caller's.
pub(crate) fn add_ranges(era: Era, r: &mut Bounds, b: &Bounds) {
    let wraps = era.has(Change::WholeWraps);
    (r.smin32, r.smax32) = both(r.smin32.checked_add(b.smin32), r.smax32.checked_add(b.smax32), ALL_S32);
    (r.smin, r.smax) = both(r.smin.checked_add(b.smin), r.smax.checked_add(b.smax), ALL_S64);
    let (lo, hi) = (r.umin32.overflowing_add(b.umin32), r.umax32.overflowing_add(b.umax32));
    (r.umin32, r.umax32) = if wrapped_alike(wraps, lo.1, hi.1) { (lo.0, hi.0) } else { ALL_U32 };
    let (lo, hi) = (r.umin.overflowing_add(b.umin), r.umax.overflowing_add(b.umax));
    (r.umin, r.umax) = if wrapped_alike(wraps, lo.1, hi.1) { (lo.0, hi.0) } else { ALL_U64 };
}

fn sub_ranges(era: Era, r: &mut Bounds, b: &Bounds) {
    let wraps = era.has(Change::WholeWraps);
    (r.smin32, r.smax32) = both(r.smin32.checked_sub(b.smax32), r.smax32.checked_sub(b.smin32), ALL_S32);
    (r.smin, r.smax) = both(r.smin.checked_sub(b.smax), r.smax.checked_sub(b.smin), ALL_S64);
    let (lo, hi) = (r.umin32.overflowing_sub(b.umax32), r.umax32.overflowing_sub(b.umin32));
    (r.umin32, r.umax32) = if wrapped_alike(wraps, lo.1, hi.1) { (lo.0, hi.0) } else { ALL_U32 };
    let (lo, hi) = (r.umin.overflowing_sub(b.umax), r.umax.overflowing_sub(b.umin));
    (r.umin, r.umax) = if wrapped_alike(wraps, lo.1, hi.1) { (lo.0, hi.0) } else { ALL_U64 };
}

/// Whether the ends of an unsigned range are still its ends: neither wrapped or, where that is recognised, both did.
fn wrapped_alike(both_may: bool, lo: bool, hi: bool) -> bool {
    !lo && !hi || both_may && lo && hi
}

fn mul(era: Era, r: &mut Bounds, b: &Bounds) {
    let kind = if era.has(Change::MulPartialSums) {
        MulKind::PartialSums
    } else if era.has(Change::MulMaskSum) {
        MulKind::MaskSum
    } else {
        MulKind::HalfMultiplyAdd
    };
    let a = *r;
    r.bits = a.bits.mul(b.bits, kind);
    if era.has(Change::MulSignedRange) {
        (r.umin32, r.umax32) = both(a.umin32.checked_mul(b.umin32), a.umax32.checked_mul(b.umax32), ALL_U32);
        (r.umin, r.umax) = both(a.umin.checked_mul(b.umin), a.umax.checked_mul(b.umax), ALL_U64);
        let corners = [
            a.smin32.checked_mul(b.smin32),
            a.smin32.checked_mul(b.smax32),
            a.smax32.checked_mul(b.smin32),
            a.smax32.checked_mul(b.smax32),
        ];
        (r.smin32, r.smax32) = hull(corners).unwrap_or(ALL_S32);
        let corners = [
            a.smin.checked_mul(b.smin),
            a.smin.checked_mul(b.smax),
            a.smax.checked_mul(b.smin),
            a.smax.checked_mul(b.smax),
        ];
        (r.smin, r.smax) = hull(corners).unwrap_or(ALL_S64);
        return;
    }
    if b.smin32 < 0 || a.smin32 < 0 || b.umax32 > u32::from(u16::MAX) || a.umax32 > u32::from(u16::MAX) {
        r.forget32();
    } else {
        (r.umin32, r.umax32) = (a.umin32 * b.umin32, a.umax32 * b.umax32);
        (r.smin32, r.smax32) =
            if r.umax32 > i32::MAX as u32 { ALL_S32 } else { (r.umin32 as i32, r.umax32 as i32) };
    }
    if b.smin < 0 || a.smin < 0 || b.umax > u64::from(u32::MAX) || a.umax > u64::from(u32::MAX) {
        r.forget64();
    } else {
        (r.umin, r.umax) = (a.umin * b.umin, a.umax * b.umax);
        (r.smin, r.smax) = if r.umax > i64::MAX as u64 { ALL_S64 } else { (r.umin as i64, r.umax as i64) };
    }
}

fn hull<T: Copy + Ord>(corners: [Option<T>; 4]) -> Option<(T, T)> {
    let [Some(a), Some(b), Some(c), Some(d)] = corners else { return None };
    Some((a.min(b).min(c).min(d), a.max(b).max(c).max(d)))
}

/// Signed bounds of a bitwise result from its unsigned ones.
fn signed32(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    let plain = if era.has(Change::BitwiseSignedFromUnsigned) {
        r.umin32 as i32 <= r.umax32 as i32
    } else {
        a.smin32 >= 0 && b.smin32 >= 0
    };
    (r.smin32, r.smax32) = if plain { (r.umin32 as i32, r.umax32 as i32) } else { ALL_S32 };
}

fn signed64(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    let plain = if era.has(Change::BitwiseSignedFromUnsigned) {
        r.umin as i64 <= r.umax as i64
    } else {
        a.smin >= 0 && b.smin >= 0
    };
    (r.smin, r.smax) = if plain { (r.umin as i64, r.umax as i64) } else { ALL_S64 };
}

/// Whether the right and the resulting low half are constants; then the result is what its bits say.
fn low_known(r: &mut Bounds, b: &Bounds) -> bool {
    let known = r.as_const32().is_some() && b.as_const32().is_some();
    if known {
        r.set_low(r.bits.value as u32);
    }
    known
}

fn known(r: &mut Bounds, b: &Bounds) -> bool {
    let known = r.as_const().is_some() && b.as_const().is_some();
    if known {
        *r = Bounds::constant(r.bits.value);
    }
    known
}

fn and32(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !low_known(r, b) {
        r.umin32 = r.bits.low().value as u32;
        r.umax32 = a.umax32.min(b.umax32);
        signed32(era, r, a, b);
    }
}

fn and64(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !known(r, b) {
        r.umin = r.bits.value;
        r.umax = a.umax.min(b.umax);
        signed64(era, r, a, b);
        r.narrow_by_bits();
    }
}

fn or32(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !low_known(r, b) {
        let low = r.bits.low();
        r.umin32 = a.umin32.max(b.umin32);
        r.umax32 = (low.value | low.mask) as u32;
        signed32(era, r, a, b);
    }
}

fn or64(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !known(r, b) {
        r.umin = a.umin.max(b.umin);
        r.umax = r.bits.value | r.bits.mask;
        signed64(era, r, a, b);
        r.narrow_by_bits();
    }
}

fn xor32(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !low_known(r, b) {
        let low = r.bits.low();
        r.umin32 = low.value as u32;
        r.umax32 = (low.value | low.mask) as u32;
        signed32(era, r, a, b);
    }
}

fn xor64(era: Era, r: &mut Bounds, a: &Bounds, b: &Bounds) {
    if !known(r, b) {
        r.umin = r.bits.value;
        r.umax = r.bits.value | r.bits.mask;
        signed64(era, r, a, b);
        r.narrow_by_bits();
    }
}

fn lsh_ranges32(r: &mut Bounds, by: u32) {
    (r.smin32, r.smax32) = ALL_S32;
    (r.umin32, r.umax32) = if by > 31 || u64::from(r.umax32) > 1u64 << (31 - by) {
        ALL_U32
    } else {
        (r.umin32 << by, r.umax32 << by)
    };
}

fn shift_left(w: Width, r: &mut Bounds, b: &Bounds) {
    let by = b.umin as u32;
    if w == Width::W32 {
        let low = r.bits.low();
        lsh_ranges32(r, by);
        r.bits = low.shl(by).low();
        r.forget64();
        r.narrow32_by_bits();
        return;
    }
    (r.smin, r.smax) =
        if by == 32 { (i64::from(r.smin32) << 32, i64::from(r.smax32) << 32) } else { ALL_S64 };
    (r.umin, r.umax) = if r.umax > 1 << (63 - by) { ALL_U64 } else { (r.umin << by, r.umax << by) };
    lsh_ranges32(r, by);
    r.bits = r.bits.shl(by);
    r.narrow_by_bits();
}

fn shift_right(w: Width, r: &mut Bounds, b: &Bounds) {
    let by = b.umin as u32;
    if w == Width::W32 {
        (r.smin32, r.smax32) = ALL_S32;
        r.bits = r.bits.low().shr(by);
        r.umin32 >>= by;
        r.umax32 >>= by;
        r.forget64();
        r.narrow32_by_bits();
        return;
    }
    (r.smin, r.smax) = ALL_S64;
    r.bits = r.bits.shr(by);
    r.umin >>= by;
    r.umax >>= by;
    r.forget32();
    r.narrow_by_bits();
}

fn shift_right_signed(w: Width, r: &mut Bounds, b: &Bounds) {
    let by = b.umin as u32;
    if w == Width::W32 {
        r.smin32 >>= by;
        r.smax32 >>= by;
        r.bits = r.bits.low().sar32(by);
        (r.umin32, r.umax32) = ALL_U32;
        r.forget64();
        r.narrow32_by_bits();
        return;
    }
    r.smin >>= by;
    r.smax >>= by;
    r.bits = r.bits.sar64(by);
    (r.umin, r.umax) = ALL_U64;
    r.forget32();
    r.narrow_by_bits();
}

/// Only this 32-bit range is known.
fn only32(r: &mut Bounds, unsigned: (u32, u32), signed: (i32, i32)) {
    *r = Bounds {
        umin32: unsigned.0,
        umax32: unsigned.1,
        smin32: signed.0,
        smax32: signed.1,
        ..Bounds::UNKNOWN
    };
}

/// Only this 64-bit range is known.
fn only64(r: &mut Bounds, unsigned: (u64, u64), signed: (i64, i64)) {
    *r = Bounds { umin: unsigned.0, umax: unsigned.1, smin: signed.0, smax: signed.1, ..Bounds::UNKNOWN };
}

fn divide(w: Width, r: &mut Bounds, b: &Bounds) {
    match w {
        Width::W32 => only32(r, (r.umin32 / b.umin32, r.umax32 / b.umin32), ALL_S32),
        Width::W64 => only64(r, (r.umin / b.umin, r.umax / b.umin), ALL_S64),
    }
}

fn divide_signed(w: Width, r: &mut Bounds, b: &Bounds) {
    match w {
        Width::W32 => {
            let ends = (r.smin32.checked_div(b.smin32), r.smax32.checked_div(b.smin32));
            let range = match ends {
                (Some(x), Some(y)) => (x.min(y), x.max(y)),
                _ => ALL_S32,
            };
            only32(r, ALL_U32, range);
        }
        Width::W64 => {
            let ends = (r.smin.checked_div(b.smin), r.smax.checked_div(b.smin));
            let range = match ends {
                (Some(x), Some(y)) => (x.min(y), x.max(y)),
                _ => ALL_S64,
            };
            only64(r, ALL_U64, range);
        }
    }
}

fn modulo(w: Width, r: &mut Bounds, b: &Bounds) {
    match w {
        Width::W32 if r.umax32 >= b.umin32 => only32(r, (0, b.umin32 - 1), ALL_S32),
        Width::W64 if r.umax >= b.umin => only64(r, (0, b.umin - 1), ALL_S64),
        Width::W32 | Width::W64 => {}
    }
}

fn modulo_signed(w: Width, r: &mut Bounds, b: &Bounds) {
    match w {
        Width::W32 => {
            let max = (b.smin32.unsigned_abs() - 1) as i32;
            if r.smin32 >= -max && r.smax32 <= max {
                return;
            }
            let range = if r.smin32 >= 0 {
                (0, r.smax32.min(max))
            } else if r.smax32 <= 0 {
                (r.smin32.max(-max), 0)
            } else {
                (-max, max)
            };
            only32(r, ALL_U32, range);
        }
        Width::W64 => {
            let max = (b.smin.unsigned_abs() - 1) as i64;
            if r.smin >= -max && r.smax <= max {
                return;
            }
            let range = if r.smin >= 0 {
                (0, r.smax.min(max))
            } else if r.smax <= 0 {
                (r.smin.max(-max), 0)
            } else {
                (-max, max)
            };
            only64(r, ALL_U64, range);
        }
    }
}

/// `-a`
pub(crate) fn negate(era: Era, w: Width, a: &Bounds) -> Bounds {
    if !era.has(Change::NegRange) {
        let mut r = Bounds::UNKNOWN;
        if w == Width::W32 {
            r.zero_extend_32();
            r.sync(era);
        }
        return r;
    }
    apply(era, w, AluOp::Sub, &Bounds::constant(0), a)
}

/// A byte swap of the low `bits`; without `swaps`, only the truncation to them.
pub(crate) fn swap(era: Era, swaps: bool, bits: u8, a: &Bounds) -> Bounds {
    if !era.has(Change::SwapBits) {
        return Bounds::UNKNOWN;
    }
    let mut r = *a;
    if swaps {
        r = Bounds { bits: a.bits.swap(bits), ..Bounds::UNKNOWN };
    }
    r.truncate(u32::from(bits) / 8, era);
    r.sync(era);
    r
}

/// `reg + delta` for a register linked to another by a constant; `narrow`: cut to 32 bits.
pub(crate) fn offset_by(era: Era, a: &Bounds, delta: i64, narrow: bool) -> Bounds {
    let delta = Bounds::constant(delta as u64);
    let mut r = *a;
    add_ranges(era, &mut r, &delta);
    r.bits = r.bits.add(delta.bits);
    if narrow {
        r.zero_extend_32();
    }
    if era.has(Change::LinkedSums) {
        r.sync(era);
    }
    r
}

/// Bits of a pointer's variable offset after adding or subtracting.
pub(crate) fn pointer_bits(op: AluOp, a: Tnum, b: Tnum) -> Tnum {
    if op == AluOp::Add { a.add(b) } else { a.sub(b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::tests::bounded;
    use bpf_facts::V;
    use proptest::prelude::*;

    /// What the machine computes; `None` for division by zero, which yields what is not asked for here.
    fn concrete(w: Width, op: AluOp, x: u64, y: u64) -> Option<u64> {
        let w32 = w == Width::W32;
        let (x, y) = if w32 { (x & 0xffff_ffff, y & 0xffff_ffff) } else { (x, y) };
        let by = (y & if w32 { 31 } else { 63 }) as u32;
        let signed = |v: u64| if w32 { i64::from(v as i32) } else { v as i64 };
        let r = match op {
            AluOp::Add => x.wrapping_add(y),
            AluOp::Sub => x.wrapping_sub(y),
            AluOp::Mul => x.wrapping_mul(y),
            AluOp::And => x & y,
            AluOp::Or => x | y,
            AluOp::Xor => x ^ y,
            AluOp::Lsh => x << by,
            AluOp::Rsh => x >> by,
            AluOp::Arsh => (signed(x) >> by) as u64,
            AluOp::Div => x.checked_div(y)?,
            AluOp::Mod => x.checked_rem(y)?,
            AluOp::Sdiv if y != 0 => signed(x).wrapping_div(signed(y)) as u64,
            AluOp::Smod if y != 0 => signed(x).wrapping_rem(signed(y)) as u64,
            AluOp::Sdiv | AluOp::Smod => return None,
            AluOp::Mov => y,
        };
        Some(if w32 { r & 0xffff_ffff } else { r })
    }

    const OPS: [AluOp; 13] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::And,
        AluOp::Or,
        AluOp::Xor,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Arsh,
        AluOp::Div,
        AluOp::Mod,
        AluOp::Sdiv,
        AluOp::Smod,
    ];

    proptest! {
        #[test]
        fn results_hold_the_concrete_one((a, x) in bounded(), (b, y) in bounded(), by in 0u64..64, constant in any::<bool>()) {
            for version in [V(5, 10), V(6, 1), V(6, 18), V(7, 3)] {
                let era = Era::of(version);
                // The machine's registers are always refined; the older rules rely on it.
                let (mut a, mut b) = (a, b);
                a.sync(era);
                b.sync(era);
                for w in [Width::W32, Width::W64] {
                    for op in OPS {
                        let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
                        let (b, y) = if shift { (Bounds::constant(by), by) } else if constant { (Bounds::constant(y), y) } else { (b, y) };
                        let Some(expected) = concrete(w, op, x, y) else { continue };
                        let r = apply(era, w, op, &a, &b);
                        prop_assert!(r.contains(expected), "{version} {w:?} {op:?} {x:#x} {y:#x} = {expected:#x}, not in {r:?}");
                    }
                    let expected = if w == Width::W32 { u64::from((x as u32).wrapping_neg()) } else { x.wrapping_neg() };
                    prop_assert!(negate(era, w, &a).contains(expected));
                }
                for (always, bits, expected) in [
                    (true, 16, u64::from((x as u16).swap_bytes())), (true, 32, u64::from((x as u32).swap_bytes())), (true, 64, x.swap_bytes()),
                    (false, 16, x & 0xffff), (false, 32, x & 0xffff_ffff), (false, 64, x),
                ] {
                    prop_assert!(swap(era, always, bits, &a).contains(expected));
                }
            }
        }
    }
}
