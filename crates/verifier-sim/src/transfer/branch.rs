//! Comparisons: whether the outcome is known, and what each outcome tells of both sides.

use crate::bounds::Bounds;
use crate::era::{Change, Era};
use crate::tnum::Tnum;
use ebpf_asm::{Cond, Width};

/// The condition with its sides swapped.
pub(crate) fn flip(c: Cond) -> Cond {
    match c {
        Cond::Eq | Cond::Ne | Cond::Set => c,
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
    }
}

/// The outcome of `a c b`, if all possible values agree.
pub(crate) fn outcome(era: Era, w: Width, c: Cond, a: &Bounds, b: &Bounds) -> Option<bool> {
    let constant = if w == Width::W64 { b.as_const().is_some() } else { b.as_const32().is_some() };
    if !constant && !era.has(Change::RegRegRefine) {
        return None;
    }
    let w32 = w == Width::W32;
    let (ta, tb) = if w32 { (a.bits.low(), b.bits.low()) } else { (a.bits, b.bits) };
    let u = |x: &Bounds| if w32 { (u64::from(x.umin32), u64::from(x.umax32)) } else { (x.umin, x.umax) };
    let s = |x: &Bounds| if w32 { (i64::from(x.smin32), i64::from(x.smax32)) } else { (x.smin, x.smax) };
    let ((ua, ub), (sa, sb)) = ((u(a), u(b)), (s(a), s(b)));
    match c {
        Cond::Eq => equal(era, w32, a, b, ta, tb),
        Cond::Ne => equal(era, w32, a, b, ta, tb).map(|eq| !eq),
        Cond::Set => {
            let (t, mask) = if tb.is_const() {
                (ta, tb.value)
            } else if ta.is_const() && era.has(Change::RegRegRefine) {
                (tb, ta.value)
            } else {
                return None;
            };
            if t.value & mask != 0 {
                Some(true)
            } else if (t.value | t.mask) & mask == 0 {
                Some(false)
            } else {
                None
            }
        }
        Cond::Gt => less(ub, ua),
        Cond::Lt => less(ua, ub),
        Cond::Ge => less(ua, ub).map(|lt| !lt),
        Cond::Le => less(ub, ua).map(|lt| !lt),
        Cond::Sgt => less(sb, sa),
        Cond::Slt => less(sa, sb),
        Cond::Sge => less(sa, sb).map(|lt| !lt),
        Cond::Sle => less(sb, sa).map(|lt| !lt),
    }
}

fn less<T: Ord>(a: (T, T), b: (T, T)) -> Option<bool> {
    if a.1 < b.0 {
        Some(true)
    } else if a.0 >= b.1 {
        Some(false)
    } else {
        None
    }
}

fn equal(era: Era, w32: bool, a: &Bounds, b: &Bounds, ta: Tnum, tb: Tnum) -> Option<bool> {
    if ta.is_const() && tb.is_const() {
        return Some(ta.value == tb.value);
    }
    if !era.has(Change::EqualByRange) {
        return None;
    }
    let apart64 = a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin;
    let apart32 = a.umin32 > b.umax32 || a.umax32 < b.umin32 || a.smin32 > b.smax32 || a.smax32 < b.smin32;
    let newer = era.has(Change::RegRegRefine);
    let bits_apart = era.has(Change::CrossSignBounds) && !ta.overlaps(tb);
    let apart = bits_apart || if w32 { apart32 } else { apart64 || newer && apart32 };
    apart.then_some(false)
}

/// `a c b` holds: narrows both.
pub(crate) fn assume(era: Era, w: Width, c: Cond, holds: bool, a: &mut Bounds, b: &mut Bounds) {
    if !era.has(Change::RegRegRefine) {
        return assume_constant(era, w, c, holds, a, b);
    }
    let (cond, clear) = match (c, holds) {
        (Cond::Set, holds) => (Cond::Set, !holds),
        (c, true) => (c, false),
        (c, false) => (negate(c), false),
    };
    match cond {
        Cond::Ge | Cond::Gt | Cond::Sge | Cond::Sgt => narrow(w, flip(cond), clear, b, a),
        Cond::Eq | Cond::Ne | Cond::Lt | Cond::Le | Cond::Slt | Cond::Sle | Cond::Set => {
            narrow(w, cond, clear, a, b);
        }
    }
    a.sync(era);
    b.sync(era);
}

/// `a c a` holds: the kernel narrows the register by itself, one end after the other.
pub(crate) fn assume_same(era: Era, w: Width, c: Cond, holds: bool, a: &mut Bounds) {
    if !era.has(Change::RegRegRefine) || c == Cond::Set {
        return;
    }
    let c = if holds { c } else { negate(c) };
    let (mut x, mut y) = (*a, *a);
    narrow(w, c, false, &mut x, &mut y);
    (a.umin, a.umax) = (x.umin.max(y.umin), x.umax.min(y.umax));
    (a.smin, a.smax) = (x.smin.max(y.smin), x.smax.min(y.smax));
    (a.umin32, a.umax32) = (x.umin32.max(y.umin32), x.umax32.min(y.umax32));
    (a.smin32, a.smax32) = (x.smin32.max(y.smin32), x.smax32.min(y.smax32));
    a.sync(era);
}

fn negate(c: Cond) -> Cond {
    match c {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::Le => Cond::Gt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Set => Cond::Set,
    }
}

fn narrow(w: Width, c: Cond, clear: bool, a: &mut Bounds, b: &mut Bounds) {
    let w32 = w == Width::W32;
    match c {
        Cond::Eq if w32 => {
            a.umin32 = a.umin32.max(b.umin32);
            a.umax32 = a.umax32.min(b.umax32);
            a.smin32 = a.smin32.max(b.smin32);
            a.smax32 = a.smax32.min(b.smax32);
            (b.umin32, b.umax32, b.smin32, b.smax32) = (a.umin32, a.umax32, a.smin32, a.smax32);
            let low = a.bits.low().intersect(b.bits.low());
            a.bits = a.bits.with_low(low);
            b.bits = b.bits.with_low(low);
        }
        Cond::Eq => {
            a.umin = a.umin.max(b.umin);
            a.umax = a.umax.min(b.umax);
            a.smin = a.smin.max(b.smin);
            a.smax = a.smax.min(b.smax);
            (b.umin, b.umax, b.smin, b.smax) = (a.umin, a.umax, a.smin, a.smax);
            a.bits = a.bits.intersect(b.bits);
            b.bits = a.bits;
        }
        Cond::Ne => {
            let is_const = |x: &Bounds| if w32 { x.bits.low().is_const() } else { x.bits.is_const() };
            let (x, v) = if is_const(b) {
                (a, b.bits.value)
            } else if is_const(a) {
                (b, a.bits.value)
            } else {
                return;
            };
            exclude(w32, x, v);
        }
        Cond::Set => {
            let is_const = |x: &Bounds| if w32 { x.bits.low().is_const() } else { x.bits.is_const() };
            let (x, v) = if is_const(b) {
                (a, b.bits.value)
            } else if is_const(a) {
                (b, a.bits.value)
            } else {
                return;
            };
            let v = if w32 { v & 0xffff_ffff } else { v };
            if clear {
                x.forget64();
                x.forget32();
                let keep = if w32 { !v & 0xffff_ffff | !0xffff_ffff } else { !v };
                x.bits = x.bits.and(Tnum::constant(keep));
            } else if v.is_power_of_two() {
                x.bits = x.bits.or(Tnum::constant(v));
            }
        }
        Cond::Le if w32 => {
            a.umax32 = a.umax32.min(b.umax32);
            b.umin32 = b.umin32.max(a.umin32);
        }
        Cond::Le => {
            a.umax = a.umax.min(b.umax);
            b.umin = b.umin.max(a.umin);
        }
        Cond::Lt if w32 => {
            a.umax32 = a.umax32.min(b.umax32.wrapping_sub(1));
            b.umin32 = b.umin32.max(a.umin32.wrapping_add(1));
        }
        Cond::Lt => {
            a.umax = a.umax.min(b.umax.wrapping_sub(1));
            b.umin = b.umin.max(a.umin.wrapping_add(1));
        }
        Cond::Sle if w32 => {
            a.smax32 = a.smax32.min(b.smax32);
            b.smin32 = b.smin32.max(a.smin32);
        }
        Cond::Sle => {
            a.smax = a.smax.min(b.smax);
            b.smin = b.smin.max(a.smin);
        }
        Cond::Slt if w32 => {
            a.smax32 = a.smax32.min(b.smax32.wrapping_sub(1));
            b.smin32 = b.smin32.max(a.smin32.wrapping_add(1));
        }
        Cond::Slt => {
            a.smax = a.smax.min(b.smax.wrapping_sub(1));
            b.smin = b.smin.max(a.smin.wrapping_add(1));
        }
        Cond::Ge | Cond::Gt | Cond::Sge | Cond::Sgt => narrow(w, flip(c), clear, b, a),
    }
}

/// `x` is not `v`: matters where a range ends in it.
fn exclude(w32: bool, x: &mut Bounds, v: u64) {
    if w32 {
        let v = v as u32;
        x.umin32 = x.umin32.wrapping_add(u32::from(x.umin32 == v));
        x.umax32 = x.umax32.wrapping_sub(u32::from(x.umax32 == v));
        x.smin32 = x.smin32.wrapping_add(i32::from(x.smin32 == v as i32));
        x.smax32 = x.smax32.wrapping_sub(i32::from(x.smax32 == v as i32));
    } else {
        x.umin = x.umin.wrapping_add(u64::from(x.umin == v));
        x.umax = x.umax.wrapping_sub(u64::from(x.umax == v));
        x.smin = x.smin.wrapping_add(i64::from(x.smin == v as i64));
        x.smax = x.smax.wrapping_sub(i64::from(x.smax == v as i64));
    }
}

/// The narrowing of kernels before 6.8: of a register by a constant, or of two by each other where they are equal.
fn assume_constant(era: Era, w: Width, c: Cond, holds: bool, a: &mut Bounds, b: &mut Bounds) {
    let w32 = w == Width::W32;
    let is_const = |x: &Bounds| if w32 { x.bits.low().is_const() } else { x.bits.is_const() };
    let (x, v, c) = if is_const(b) {
        (a, b.bits.value, c)
    } else if is_const(a) {
        (b, a.bits.value, flip(c))
    } else {
        if !w32 && matches!((c, holds), (Cond::Eq, true) | (Cond::Ne, false)) {
            narrow(w, Cond::Eq, false, a, b);
            a.sync(era);
            b.sync(era);
        }
        return;
    };
    let v = if w32 { v & 0xffff_ffff } else { v };
    let mut constant = Bounds::constant(if w32 { i64::from(v as u32 as i32) as u64 } else { v });
    match (c, holds) {
        (Cond::Eq, true) | (Cond::Ne, false) => {
            if w32 {
                x.set_low(v as u32);
            } else {
                *x = Bounds::constant(v);
            }
        }
        (Cond::Eq, false) | (Cond::Ne, true) => {}
        (Cond::Set, true) => {
            if v.is_power_of_two() {
                x.bits = x.bits.or(Tnum::constant(v));
            }
        }
        (Cond::Set, false) => {
            x.forget64();
            x.forget32();
            x.bits = x.bits.and(Tnum::constant(!v));
        }
        (c, holds) => {
            let c = if holds { c } else { negate(c) };
            narrow(w, c, false, x, &mut constant);
        }
    }
    if w32 {
        if x.bits.high().is(0) {
            x.assign_32_into_64();
        } else {
            x.forget64();
        }
    } else {
        x.take_32_from_64();
    }
    x.sync(era);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::tests::bounded;
    use bpf_facts::V;
    use proptest::prelude::*;

    fn holds(w: Width, c: Cond, x: u64, y: u64) -> bool {
        let (x, y) = if w == Width::W32 { (x & 0xffff_ffff, y & 0xffff_ffff) } else { (x, y) };
        let (sx, sy) =
            if w == Width::W32 { (i64::from(x as i32), i64::from(y as i32)) } else { (x as i64, y as i64) };
        match c {
            Cond::Eq => x == y,
            Cond::Ne => x != y,
            Cond::Gt => x > y,
            Cond::Ge => x >= y,
            Cond::Lt => x < y,
            Cond::Le => x <= y,
            Cond::Sgt => sx > sy,
            Cond::Sge => sx >= sy,
            Cond::Slt => sx < sy,
            Cond::Sle => sx <= sy,
            Cond::Set => x & y != 0,
        }
    }

    proptest! {
        #[test]
        fn known_outcomes_and_assumptions_agree_with_the_machine((a, x) in bounded(), (b, y) in bounded(), constant in any::<bool>()) {
            let b = if constant { Bounds::constant(y) } else { b };
            for version in [V(5, 10), V(6, 1), V(6, 12), V(6, 18)] {
                let era = Era::of(version);
                for w in [Width::W32, Width::W64] {
                    for c in Cond::ALL {
                        let truth = holds(w, c, x, y);
                        if let Some(known) = outcome(era, w, c, &a, &b) {
                            prop_assert_eq!(known, truth, "{} {:?} {:?} {:#x} {:#x}", version, w, c, x, y);
                        }
                        let (mut na, mut nb) = (a, b);
                        assume(era, w, c, truth, &mut na, &mut nb);
                        prop_assert!(na.contains(x), "{version} {w:?} {c:?} {truth}: {x:#x} left {na:?}");
                        prop_assert!(nb.contains(y), "{version} {w:?} {c:?} {truth}: {y:#x} left {nb:?}");
                    }
                }
            }
        }
    }
}
