//! What is known of a number: bits, and signed and unsigned ranges at 64 and 32 bits, each refining the others.

use crate::era::{Change, Era};
use crate::tnum::Tnum;
use std::fmt;

/// Known bits and ranges of a 64-bit value and of its low 32 bits. All ranges are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Known bits.
    pub bits: Tnum,
    /// Smallest value, unsigned.
    pub umin: u64,
    /// Largest value, unsigned.
    pub umax: u64,
    /// Smallest value, signed.
    pub smin: i64,
    /// Largest value, signed.
    pub smax: i64,
    /// Smallest low half, unsigned.
    pub umin32: u32,
    /// Largest low half, unsigned.
    pub umax32: u32,
    /// Smallest low half, signed.
    pub smin32: i32,
    /// Largest low half, signed.
    pub smax32: i32,
}

impl Bounds {
    /// Nothing known.
    pub const UNKNOWN: Bounds = Bounds {
        bits: Tnum::UNKNOWN,
        umin: 0,
        umax: u64::MAX,
        smin: i64::MIN,
        smax: i64::MAX,
        umin32: 0,
        umax32: u32::MAX,
        smin32: i32::MIN,
        smax32: i32::MAX,
    };

    /// Exactly `v`.
    pub const fn constant(v: u64) -> Bounds {
        Bounds {
            bits: Tnum::constant(v),
            umin: v,
            umax: v,
            smin: v as i64,
            smax: v as i64,
            umin32: v as u32,
            umax32: v as u32,
            smin32: v as i32,
            smax32: v as i32,
        }
    }

    /// The value, if only one is possible.
    pub const fn as_const(&self) -> Option<u64> {
        if self.bits.is_const() { Some(self.bits.value) } else { None }
    }

    /// The low half, if only one is possible.
    pub const fn as_const32(&self) -> Option<u32> {
        if self.bits.low().is_const() { Some(self.bits.value as u32) } else { None }
    }

    /// Whether only zero is possible.
    pub const fn is_zero(&self) -> bool {
        self.bits.is(0)
    }

    /// Whether everything possible in `other` is possible here.
    pub fn includes(&self, other: &Bounds) -> bool {
        self.range_includes(other) && self.bits.includes(other.bits)
    }

    /// Whether the value `v` is possible.
    pub fn contains(&self, v: u64) -> bool {
        self.includes(&Bounds::constant(v))
    }

    fn range_includes(&self, other: &Bounds) -> bool {
        self.umin <= other.umin
            && self.umax >= other.umax
            && self.smin <= other.smin
            && self.smax >= other.smax
            && self.umin32 <= other.umin32
            && self.umax32 >= other.umax32
            && self.smin32 <= other.smin32
            && self.smax32 >= other.smax32
    }

    /// Whether the value fits in this many bits, unsigned.
    pub(crate) fn fits(&self, bits: u32) -> bool {
        64 - self.umax.leading_zeros() <= bits
    }

    pub(crate) fn forget64(&mut self) {
        (self.umin, self.umax, self.smin, self.smax) = (0, u64::MAX, i64::MIN, i64::MAX);
    }

    pub(crate) fn forget32(&mut self) {
        (self.umin32, self.umax32, self.smin32, self.smax32) = (0, u32::MAX, i32::MIN, i32::MAX);
    }

    /// Makes the low half exactly `v`; the high half stays as it is.
    pub(crate) fn set_low(&mut self, v: u32) {
        self.bits = self.bits.with_low(Tnum::constant(u64::from(v)));
        (self.umin32, self.umax32, self.smin32, self.smax32) = (v, v, v as i32, v as i32);
    }

    /// Lets the known bits narrow the 32-bit ranges.
    pub(crate) fn narrow32_by_bits(&mut self) {
        let low = self.bits.low();
        let (value, mask) = (low.value as u32, low.mask as u32);
        self.smin32 = self.smin32.max((value | mask & 1 << 31) as i32);
        self.smax32 = self.smax32.min((value | mask & !(1 << 31)) as i32);
        self.umin32 = self.umin32.max(value);
        self.umax32 = self.umax32.min(value | mask);
    }

    /// Lets the known bits narrow the ranges.
    pub(crate) fn narrow_by_bits(&mut self) {
        self.narrow32_by_bits();
        let Tnum { value, mask } = self.bits;
        self.smin = self.smin.max((value | mask & 1 << 63) as i64);
        self.smax = self.smax.min((value | mask & !(1 << 63)) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
    }

    /// Refines each part by the others, as often as the kernel does.
    pub(crate) fn sync(&mut self, era: Era) {
        self.narrow_by_bits();
        self.meet_in_one(era);
        if era.has(Change::MixedBounds) {
            for _ in 0..3 {
                self.deduce32();
                self.deduce64(era);
                self.deduce_mixed();
            }
        } else {
            self.deduce_by_sign();
        }
        let wide = self.bits.intersect(Tnum::range(self.umin, self.umax));
        let low = if era.has(Change::MulMaskSum) { wide.low() } else { self.bits.low() };
        let low = low.intersect(Tnum::range(u64::from(self.umin32), u64::from(self.umax32)));
        self.bits = wide.high().or(low);
        self.narrow_by_bits();
        self.meet_in_one(era);
    }

    /// Where bits and unsigned range have one value in common, it is that.
    fn meet_in_one(&mut self, era: Era) {
        if !era.has(Change::SingleMember) {
            return;
        }
        let next = self.bits.next_after(self.umin);
        let max = self.bits.value | self.bits.mask;
        if self.bits.contains(self.umin) {
            if next > self.umax {
                *self = Bounds::constant(self.umin);
            }
        } else if next == max || next <= self.umax && self.bits.next_after(next) > self.umax {
            *self = Bounds::constant(next);
        }
    }

    /// 32-bit ranges from 64-bit ones, and signed from unsigned ones and back.
    fn deduce32(&mut self) {
        let (lo, hi) = (self.umin, self.umax);
        if lo >> 32 == hi >> 32 {
            self.umin32 = self.umin32.max(lo as u32);
            self.umax32 = self.umax32.min(hi as u32);
            if lo as i32 <= hi as i32 {
                self.clamp_s32(lo as i32, hi as i32);
            }
        }
        let (lo, hi) = (self.smin, self.smax);
        if lo >> 32 == hi >> 32 {
            if lo as u32 <= hi as u32 {
                self.umin32 = self.umin32.max(lo as u32);
                self.umax32 = self.umax32.min(hi as u32);
            }
            if lo as i32 <= hi as i32 {
                self.clamp_s32(lo as i32, hi as i32);
            }
        }
        // A 64-bit range that crosses one multiple of 2^32 has low halves around zero, as signed numbers.
        for (lo, hi) in [(self.umin, self.umax), (self.smin as u64, self.smax as u64)] {
            if ((lo >> 32) as u32).wrapping_add(1) == (hi >> 32) as u32 && (lo as i32) < 0 && hi as i32 >= 0 {
                self.clamp_s32(lo as i32, hi as i32);
            }
        }
        if self.umin32 as i32 <= self.umax32 as i32 {
            self.clamp_s32(self.umin32 as i32, self.umax32 as i32);
        }
        if self.smin32 as u32 <= self.smax32 as u32 {
            self.umin32 = self.umin32.max(self.smin32 as u32);
            self.umax32 = self.umax32.min(self.smax32 as u32);
        } else if self.umax32 < self.smin32 as u32 {
            self.smin32 = self.umin32 as i32;
            self.umax32 = self.umax32.min(self.smax32 as u32);
        } else if (self.smax32 as u32) < self.umin32 {
            self.smax32 = self.umax32 as i32;
            self.umin32 = self.umin32.max(self.smin32 as u32);
        }
    }

    fn clamp_s32(&mut self, lo: i32, hi: i32) {
        self.smin32 = self.smin32.max(lo);
        self.smax32 = self.smax32.min(hi);
    }

    /// Signed from unsigned 64-bit ranges and back.
    fn deduce64(&mut self, era: Era) {
        if self.umin as i64 <= self.umax as i64 {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        } else if era.has(Change::CrossSignBounds) {
            // The signed range is, unsigned, one piece at either end; if only one of them meets the unsigned range,
            // both ranges are that piece.
            if self.umax < self.smin as u64 {
                self.smin = self.umin as i64;
                self.umax = self.umax.min(self.smax as u64);
            } else if (self.smax as u64) < self.umin {
                self.smax = self.umax as i64;
                self.umin = self.umin.max(self.smin as u64);
            }
        }
    }

    /// 64-bit ranges from 32-bit ones.
    fn deduce_mixed(&mut self) {
        self.replace_low(self.umin32, self.umax32);
        if self.smin32 as u32 <= self.smax32 as u32 {
            self.replace_low(self.smin32 as u32, self.smax32 as u32);
        }
        if self.smin32 >= 0 && self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX) {
            self.smin = i64::from(self.smin32);
            self.smax = i64::from(self.smax32);
            self.umin = self.smin as u64;
            self.umax = self.smax as u64;
            self.bits = self.bits.intersect(Tnum::range(self.umin, self.umax));
        }
    }

    /// The ends of the 64-bit ranges cannot have low halves outside of `lo..=hi`.
    fn replace_low(&mut self, lo: u32, hi: u32) {
        const HIGH: u64 = !0xffff_ffff;
        let (lo, hi) = (u64::from(lo), u64::from(hi));
        self.umin = self.umin.max(self.umin & HIGH | lo);
        self.umax = self.umax.min(self.umax & HIGH | hi);
        self.smin = self.smin.max((self.smin as u64 & HIGH | lo) as i64);
        self.smax = self.smax.min((self.smax as u64 & HIGH | hi) as i64);
    }

    /// The deduction of kernels before 6.8: only where the sign is known.
    fn deduce_by_sign(&mut self) {
        if self.smin32 >= 0 || self.smax32 < 0 {
            self.umin32 = self.umin32.max(self.smin32 as u32);
            self.umax32 = self.umax32.min(self.smax32 as u32);
            (self.smin32, self.smax32) = (self.umin32 as i32, self.umax32 as i32);
        } else if self.umax32 as i32 >= 0 {
            self.smin32 = self.umin32 as i32;
            self.umax32 = self.umax32.min(self.smax32 as u32);
            self.smax32 = self.umax32 as i32;
        } else if (self.umin32 as i32) < 0 {
            self.umin32 = self.umin32.max(self.smin32 as u32);
            self.smin32 = self.umin32 as i32;
            self.smax32 = self.umax32 as i32;
        }
        if self.smin >= 0 || self.smax < 0 {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
            (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        } else if self.umax as i64 >= 0 {
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
            self.smax = self.umax as i64;
        } else if (self.umin as i64) < 0 {
            self.umin = self.umin.max(self.smin as u64);
            self.smin = self.umin as i64;
            self.smax = self.umax as i64;
        }
    }

    /// Gives up the ranges if they contradict each other: such a path cannot run, but is verified all the same.
    pub(crate) fn heal(&mut self) {
        let empty = self.umin > self.umax
            || self.smin > self.smax
            || self.umin32 > self.umax32
            || self.smin32 > self.smax32;
        let v = self.bits.value;
        let wrong64 = self.bits.is_const()
            && (self.umin, self.umax, self.smin, self.smax) != (v, v, v as i64, v as i64);
        let wrong32 = self.bits.low().is_const()
            && (self.umin32, self.umax32, self.smin32, self.smax32)
                != (v as u32, v as u32, v as i32, v as i32);
        if empty || wrong64 || wrong32 {
            self.forget64();
            self.forget32();
        }
    }

    /// Takes the 64-bit ranges from the 32-bit ones, where the high half is zero.
    pub(crate) fn assign_32_into_64(&mut self) {
        self.umin = u64::from(self.umin32);
        self.umax = u64::from(self.umax32);
        if self.smin32 >= 0 && self.smax32 >= 0 {
            (self.smin, self.smax) = (i64::from(self.smin32), i64::from(self.smax32));
        } else {
            (self.smin, self.smax) = (0, i64::from(u32::MAX));
        }
    }

    /// Drops the high half.
    pub(crate) fn zero_extend_32(&mut self) {
        self.bits = self.bits.low();
        self.assign_32_into_64();
    }

    /// Keeps the low `bytes` bytes, zero-extended.
    pub(crate) fn truncate(&mut self, bytes: u32, era: Era) {
        if bytes >= 8 {
            return;
        }
        self.bits = self.bits.cast(bytes);
        let mask = (1u64 << (bytes * 8)) - 1;
        if self.umin & !mask == self.umax & !mask {
            self.umin &= mask;
            self.umax &= mask;
        } else {
            (self.umin, self.umax) = (0, mask);
        }
        (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        if bytes < 4 {
            self.take_32_from_64();
        }
        self.sync(era);
    }

    /// Takes the 32-bit ranges from the 64-bit ones, where these have no high half.
    pub(crate) fn take_32_from_64(&mut self) {
        self.forget32();
        if let (Ok(lo), Ok(hi)) = (i32::try_from(self.smin), i32::try_from(self.smax)) {
            (self.smin32, self.smax32) = (lo, hi);
        }
        if let (Ok(lo), Ok(hi)) = (u32::try_from(self.umin), u32::try_from(self.umax)) {
            (self.umin32, self.umax32) = (lo, hi);
        }
    }

    /// Keeps the low `bytes` (1, 2 or 4) bytes, sign-extended to 64 bits.
    pub(crate) fn sign_extend(&mut self, bytes: u32, era: Era) {
        let shift = 64 - bytes * 8;
        let extend = |v: u64| (v << shift) as i64 >> shift;
        if let Some(v) = self.as_const() {
            *self = Bounds::constant(extend(v) as u64);
            return;
        }
        let bits = bytes * 8;
        if self.smin as u64 >> bits == self.smax as u64 >> bits {
            let (a, b) = (extend(self.smin as u64), extend(self.smax as u64));
            let (lo, hi) = (a.min(b), a.max(b));
            if (lo >= 0) == (hi >= 0) {
                (self.smin, self.smax, self.umin, self.umax) = (lo, hi, lo as u64, hi as u64);
                (self.smin32, self.smax32) = (lo as i32, hi as i32);
                (self.umin32, self.umax32) = (lo as u32, hi as u32);
                self.bits = Tnum::range(lo as u64, hi as u64);
                return;
            }
        }
        let (mut lo, mut hi) = (extend(1 << (bits - 1)), extend((1 << (bits - 1)) - 1));
        let (low, high) = (i64::from(self.smin32), i64::from(self.smax32));
        *self = Bounds::UNKNOWN;
        if era.has(Change::SextOfLowHalf) && lo <= low && high <= hi {
            (lo, hi) = (low, high);
            if (lo >= 0) == (hi >= 0) {
                (self.umin, self.umax, self.umin32, self.umax32) =
                    (lo as u64, hi as u64, lo as u32, hi as u32);
                self.bits = Tnum::range(lo as u64, hi as u64);
            }
        }
        (self.smin, self.smax, self.smin32, self.smax32) = (lo, hi, lo as i32, hi as i32);
    }

    /// As [`sign_extend`](Self::sign_extend) to 32 bits (`bytes` 1 or 2): touches only the low half.
    pub(crate) fn sign_extend32(&mut self, bytes: u32) {
        let shift = 32 - bytes * 8;
        let extend = |v: u32| (v << shift) as i32 >> shift;
        if let Some(v) = self.as_const() {
            let v = extend(v as u32);
            self.bits = Tnum::constant(i64::from(v) as u64);
            (self.smin32, self.smax32, self.umin32, self.umax32) = (v, v, v as u32, v as u32);
            return;
        }
        let bits = bytes * 8;
        if self.smin32 as u32 >> bits == self.smax32 as u32 >> bits {
            let (a, b) = (extend(self.smin32 as u32), extend(self.smax32 as u32));
            let (lo, hi) = (a.min(b), a.max(b));
            if (lo >= 0) == (hi >= 0) {
                (self.smin32, self.smax32, self.umin32, self.umax32) = (lo, hi, lo as u32, hi as u32);
                self.bits = Tnum::range(i64::from(lo) as u64, i64::from(hi) as u64).low();
                return;
            }
        }
        (self.smin32, self.smax32) = (extend(1 << (bits - 1)), extend((1 << (bits - 1)) - 1));
        (self.umin32, self.umax32) = (0, u32::MAX);
        self.bits = Tnum::UNKNOWN.low();
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(v) = self.as_const() {
            return if (v as i64).unsigned_abs() < 1 << 20 {
                write!(f, "{}", v as i64)
            } else {
                write!(f, "{v:#x}")
            };
        }
        let mut parts = Vec::new();
        if self.smin == self.umin as i64 && self.smax == self.umax as i64 && self.smin >= 0 {
            if (self.umin, self.umax) != (0, u64::MAX) {
                parts.push(format!("{}..{}", self.umin, short(self.umax)));
            }
        } else {
            if self.smin != i64::MIN || self.smax != i64::MAX {
                parts.push(format!("signed {}..{}", self.smin, self.smax));
            }
            if self.umin != 0 || self.umax != u64::MAX {
                parts.push(format!("unsigned {}..{}", self.umin, short(self.umax)));
            }
        }
        let low_tells =
            (self.smin32, self.smax32) != (i32::MIN, i32::MAX) || (self.umin32, self.umax32) != (0, u32::MAX);
        if low_tells && !self.fits(32) {
            parts.push(format!(
                "low half {}..{} or {}..{}",
                self.smin32, self.smax32, self.umin32, self.umax32
            ));
        }
        if self.bits != Tnum::UNKNOWN && self.bits != Tnum::range(self.umin, self.umax) {
            parts.push(format!("bits {}", self.bits));
        }
        if parts.is_empty() { write!(f, "unknown") } else { write!(f, "{}", parts.join(", ")) }
    }
}

fn short(v: u64) -> String {
    if v < 1 << 32 { v.to_string() } else { format!("{v:#x}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bpf_facts::V;
    use proptest::prelude::*;

    /// A number near the ends of ranges, where mistakes live.
    pub(crate) fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            any::<u8>().prop_map(u64::from),
            any::<i8>().prop_map(|v| v as u64),
            any::<u32>().prop_map(u64::from),
            any::<i32>().prop_map(|v| v as u64),
            (0u32..64, -2i64..3).prop_map(|(s, d)| (1u64 << s).wrapping_add(d as u64)),
        ]
    }

    /// Bounds that hold a few numbers, and one of these.
    pub(crate) fn bounded() -> impl Strategy<Value = (Bounds, u64)> {
        (proptest::collection::vec(number(), 1..4), any::<u8>(), any::<bool>()).prop_map(
            |(vs, forget, sync)| {
                let fold = |f: &dyn Fn(u64) -> i128, max: bool| {
                    let it = vs.iter().map(|&v| f(v));
                    if max { it.max().unwrap_or(0) } else { it.min().unwrap_or(0) }
                };
                let mut b = Bounds {
                    bits: vs.iter().fold(Tnum::constant(vs[0]), |t, &v| t.union(Tnum::constant(v))),
                    umin: fold(&|v| v.into(), false) as u64,
                    umax: fold(&|v| v.into(), true) as u64,
                    smin: fold(&|v| (v as i64).into(), false) as i64,
                    smax: fold(&|v| (v as i64).into(), true) as i64,
                    umin32: fold(&|v| (v as u32).into(), false) as u32,
                    umax32: fold(&|v| (v as u32).into(), true) as u32,
                    smin32: fold(&|v| (v as i32).into(), false) as i32,
                    smax32: fold(&|v| (v as i32).into(), true) as i32,
                };
                if forget & 1 != 0 {
                    b.bits = Tnum::UNKNOWN;
                }
                if forget & 2 != 0 {
                    (b.umin, b.umax) = (0, u64::MAX);
                }
                if forget & 4 != 0 {
                    (b.smin, b.smax) = (i64::MIN, i64::MAX);
                }
                if forget & 8 != 0 {
                    b.forget32();
                }
                if sync {
                    b.sync(Era::of(V(6, 18)));
                }
                (b, vs[0])
            },
        )
    }

    proptest! {
        #[test]
        fn refinement_keeps_members((b, v) in bounded()) {
            for version in [V(5, 10), V(6, 1), V(6, 18)] {
                let mut refined = b;
                refined.sync(Era::of(version));
                prop_assert!(refined.contains(v), "{version}: {v:#x} left {refined:?}");
            }
        }

        #[test]
        fn truncation_and_extension_hold_the_concrete_result((b, v) in bounded()) {
            let era = Era::of(V(6, 18));
            for bytes in [1u32, 2, 4] {
                let mut z = b;
                z.truncate(bytes, era);
                prop_assert!(z.contains(v & ((1 << (bytes * 8)) - 1)), "{bytes}: {z:?}");
                let shift = 64 - bytes * 8;
                let mut s = b;
                s.sign_extend(bytes, era);
                prop_assert!(s.contains(((v << shift) as i64 >> shift) as u64), "{bytes}: {s:?}");
                if bytes < 4 {
                    let mut h = b;
                    h.sign_extend32(bytes);
                    h.zero_extend_32();
                    h.sync(era);
                    let shift = 32 - bytes * 8;
                    let narrow = (((v as u32) << shift) as i32 >> shift) as u32;
                    prop_assert!(h.contains(u64::from(narrow)), "{bytes}: {h:?}");
                }
            }
        }
    }
}
