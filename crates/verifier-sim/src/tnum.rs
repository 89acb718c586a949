//! Tracked numbers: what is known of each bit of a 64-bit value.

/// A set of values: every bit is known (its `mask` bit is 0, its value in `value`) or unknown (`mask` bit 1, `value` bit 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// Known bits that are one.
    pub value: u64,
    /// Unknown bits.
    pub mask: u64,
}

/// How precisely products are tracked; it changed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MulKind {
    /// Two half-multiply-adds over the masks (before 5.14).
    HalfMultiplyAdd,
    /// Product of the values, plus a sum of masks (5.14 to 6.17).
    MaskSum,
    /// Union of the partial sums with and without each unknown bit (since 6.18).
    PartialSums,
}

impl Tnum {
    /// Nothing known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// Exactly `value`.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    const fn new(value: u64, mask: u64) -> Tnum {
        Tnum { value, mask }
    }

    /// Smallest tracked number that holds all of `min..=max`: their common leading bits.
    pub fn range(min: u64, max: u64) -> Tnum {
        let differing = 64 - (min ^ max).leading_zeros();
        if differing == 64 {
            return Tnum::UNKNOWN;
        }
        let delta = (1u64 << differing) - 1;
        Tnum::new(min & !delta, delta)
    }

    /// Whether exactly one value is possible.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether the only possible value is `v`.
    pub const fn is(self, v: u64) -> bool {
        self.mask == 0 && self.value == v
    }

    /// Whether `v` is possible.
    pub const fn contains(self, v: u64) -> bool {
        v & !self.mask == self.value
    }

    /// Whether everything possible in `other` is possible here.
    pub const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// Whether the two have no bit that is known to differ.
    pub const fn overlaps(self, other: Tnum) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// Whether every possible value is a multiple of `size`, a power of two.
    pub const fn is_aligned(self, size: u64) -> bool {
        (self.value | self.mask) & (size - 1) == 0
    }

    /// `self + other`
    #[must_use]
    pub(crate) fn add(self, other: Tnum) -> Tnum {
        let masks = self.mask.wrapping_add(other.mask);
        let values = self.value.wrapping_add(other.value);
        let carries = masks.wrapping_add(values) ^ values;
        let mask = carries | self.mask | other.mask;
        Tnum::new(values & !mask, mask)
    }

    /// `self - other`
    #[must_use]
    pub(crate) fn sub(self, other: Tnum) -> Tnum {
        let diff = self.value.wrapping_sub(other.value);
        let borrows = diff.wrapping_add(self.mask) ^ diff.wrapping_sub(other.mask);
        let mask = borrows | self.mask | other.mask;
        Tnum::new(diff & !mask, mask)
    }

    /// `self & other`
    #[must_use]
    pub const fn and(self, other: Tnum) -> Tnum {
        let maybe = (self.value | self.mask) & (other.value | other.mask);
        let sure = self.value & other.value;
        Tnum::new(sure, maybe & !sure)
    }

    /// `self | other`
    #[must_use]
    pub const fn or(self, other: Tnum) -> Tnum {
        let sure = self.value | other.value;
        Tnum::new(sure, (self.mask | other.mask) & !sure)
    }

    /// `self ^ other`
    #[must_use]
    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum::new((self.value ^ other.value) & !mask, mask)
    }

    /// `self << by`, `by` below 64.
    #[must_use]
    pub const fn shl(self, by: u32) -> Tnum {
        Tnum::new(self.value << by, self.mask << by)
    }

    /// `self >> by`, `by` below 64.
    #[must_use]
    pub const fn shr(self, by: u32) -> Tnum {
        Tnum::new(self.value >> by, self.mask >> by)
    }

    /// Arithmetic shift at 64 bits.
    #[must_use]
    pub const fn sar64(self, by: u32) -> Tnum {
        Tnum::new((self.value as i64 >> by) as u64, (self.mask as i64 >> by) as u64)
    }

    /// Arithmetic shift of the low 32 bits; the high ones become zero.
    #[must_use]
    pub const fn sar32(self, by: u32) -> Tnum {
        Tnum::new((self.value as i32 >> by) as u32 as u64, (self.mask as i32 >> by) as u32 as u64)
    }

    /// `self * other`
    #[must_use]
    pub(crate) fn mul(self, other: Tnum, kind: MulKind) -> Tnum {
        match kind {
            MulKind::HalfMultiplyAdd => {
                let product = Tnum::constant(self.value.wrapping_mul(other.value));
                let acc = half_multiply_add(product, self.mask, other.mask | other.value);
                half_multiply_add(acc, other.mask, self.value)
            }
            MulKind::MaskSum => {
                let (mut a, mut b, mut sum) = (self, other, Tnum::constant(0));
                while a.value | a.mask != 0 {
                    if a.value & 1 != 0 {
                        sum = sum.add(Tnum::new(0, b.mask));
                    } else if a.mask & 1 != 0 {
                        sum = sum.add(Tnum::new(0, b.value | b.mask));
                    }
                    (a, b) = (a.shr(1), b.shl(1));
                }
                Tnum::constant(self.value.wrapping_mul(other.value)).add(sum)
            }
            MulKind::PartialSums => {
                let (mut a, mut b, mut acc) = (self, other, Tnum::constant(0));
                while a.value | a.mask != 0 {
                    if a.value & 1 != 0 {
                        acc = acc.add(b);
                    } else if a.mask & 1 != 0 {
                        acc = acc.union(acc.add(b));
                    }
                    (a, b) = (a.shr(1), b.shl(1));
                }
                acc
            }
        }
    }

    /// Smallest tracked number that holds both.
    #[must_use]
    pub const fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum::new(self.value & other.value & !mask, mask)
    }

    /// What is possible in both. Bits known to differ come out as one: the caller sees the contradiction in the bounds.
    #[must_use]
    pub const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum::new((self.value | other.value) & !mask, mask)
    }

    /// The smallest member above `v`, or the largest member if there is none.
    pub(crate) fn next_after(self, v: u64) -> u64 {
        let max = self.value | self.mask;
        if v >= max {
            return max;
        }
        if v < self.value {
            return self.value;
        }
        // Members are `value + s` for the sub-masks `s` of the mask: count up in the mask's bits only. Bits outside of
        // it are set, so that carries run through them; below the highest such bit in the distance all are.
        let distance = v - self.value;
        let outside = distance & !self.mask;
        let below = u64::MAX.checked_shr(outside.leading_zeros()).unwrap_or(0);
        let filled = distance | below | !self.mask;
        self.value | filled.wrapping_add(1) & self.mask
    }

    /// The low `bytes` bytes; the rest is zero.
    #[must_use]
    pub const fn cast(self, bytes: u32) -> Tnum {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        Tnum::new(self.value & keep, self.mask & keep)
    }

    /// The low 32 bits.
    #[must_use]
    pub const fn low(self) -> Tnum {
        self.cast(4)
    }

    /// The high 32 bits; the low ones are zero.
    #[must_use]
    pub const fn high(self) -> Tnum {
        self.shr(32).shl(32)
    }

    /// The high bits of this with the low 32 of `low`.
    #[must_use]
    pub const fn with_low(self, low: Tnum) -> Tnum {
        self.high().or(low.low())
    }

    /// Byte-swapped low `bits`, the rest zero.
    #[must_use]
    pub const fn swap(self, bits: u8) -> Tnum {
        match bits {
            16 => Tnum::new((self.value as u16).swap_bytes() as u64, (self.mask as u16).swap_bytes() as u64),
            32 => Tnum::new((self.value as u32).swap_bytes() as u64, (self.mask as u32).swap_bytes() as u64),
            _ => Tnum::new(self.value.swap_bytes(), self.mask.swap_bytes()),
        }
    }
}

fn half_multiply_add(mut acc: Tnum, mut value: u64, mut mask: u64) -> Tnum {
    while mask != 0 {
        if mask & 1 != 0 {
            acc = acc.add(Tnum::new(0, value));
        }
        mask >>= 1;
        value = value.wrapping_shl(1);
    }
    acc
}

impl std::fmt::Display for Tnum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_const() {
            write!(f, "{:#x}", self.value)
        } else {
            write!(f, "({:#x}; {:#x})", self.value, self.mask)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tracked number and one of its members.
    fn member() -> impl Strategy<Value = (Tnum, u64)> {
        let mask = prop_oneof![any::<u64>(), any::<u8>().prop_map(u64::from), Just(0), Just(u64::MAX)];
        (any::<u64>(), mask, any::<u64>()).prop_map(|(v, mask, pick)| {
            let value = v & !mask;
            (Tnum { value, mask }, value | pick & mask)
        })
    }

    proptest! {
        #[test]
        fn operations_hold_the_concrete_result((a, x) in member(), (b, y) in member(), by in 0u32..64) {
            prop_assert!(a.add(b).contains(x.wrapping_add(y)));
            prop_assert!(a.sub(b).contains(x.wrapping_sub(y)));
            prop_assert!(a.and(b).contains(x & y));
            prop_assert!(a.or(b).contains(x | y));
            prop_assert!(a.xor(b).contains(x ^ y));
            prop_assert!(a.shl(by).contains(x << by));
            prop_assert!(a.shr(by).contains(x >> by));
            prop_assert!(a.sar64(by).contains((x as i64 >> by) as u64));
            prop_assert!(a.sar32(by % 32).contains(u64::from((x as i32 >> (by % 32)) as u32)));
            for kind in [MulKind::HalfMultiplyAdd, MulKind::MaskSum, MulKind::PartialSums] {
                prop_assert!(a.mul(b, kind).contains(x.wrapping_mul(y)), "{kind:?}");
            }
            for bits in [16, 32, 64] {
                let swapped = match bits { 16 => u64::from((x as u16).swap_bytes()), 32 => u64::from((x as u32).swap_bytes()), _ => x.swap_bytes() };
                prop_assert!(a.swap(bits).contains(swapped));
            }
        }

        #[test]
        fn union_and_order_agree((a, x) in member(), (b, y) in member()) {
            let joined = a.union(b);
            prop_assert!(joined.includes(a) && joined.includes(b));
            prop_assert!(joined.contains(x) && joined.contains(y));
            prop_assert!(a.includes(a));
            if b.contains(x) {
                prop_assert!(a.intersect(b).contains(x) && a.overlaps(b));
            }
        }

        #[test]
        fn the_next_member_is_the_next((a, x) in member(), v in any::<u64>()) {
            let max = a.value | a.mask;
            for v in [v, x, a.value, x.wrapping_sub(1)] {
                let next = a.next_after(v);
                prop_assert!(a.contains(next));
                if v < max {
                    prop_assert!(next > v);
                    prop_assert!(x <= v || x >= next, "{x:#x} lies between {v:#x} and {next:#x}");
                }
            }
        }

        #[test]
        fn a_range_holds_what_lies_in_it(a in any::<u64>(), b in any::<u64>(), c in any::<u64>()) {
            let mut v = [a, b, c];
            v.sort_unstable();
            prop_assert!(Tnum::range(v[0], v[2]).contains(v[1]));
        }
    }
}
