//! `hist(n, k)`: counts by power of two, each power divided into `2^k`.

use super::{Aggregation, Bucket, View, add_words, word};

pub(super) struct Hist {
    pub(super) k: u8,
}

/// Number of buckets of a log2 histogram: one for negative values, `2^k` for the values below `2^k`, then `2^k` for
/// each further power of two up to `2^63`.
pub fn hist_buckets(k: u8) -> u32 {
    1 + (1 << k) + (64 - u32::from(k)) * (1 << k)
}

/// The bucket of a value: 0 for negative values, `n + 1` for `0 <= n < 2^k`, and so on.
///
/// With `e = floor(log2 n)` and `s` the `k` bits after the leading one: `1 + 2^k + (e - k) * 2^k + s`. The generated
/// code computes the same.
pub fn hist_index(value: i64, k: u8) -> u32 {
    if value < 0 {
        return 0;
    }
    let n = value as u64;
    if n < 1 << k {
        return n as u32 + 1;
    }
    let exponent = n.ilog2();
    let sub = (n >> (exponent - u32::from(k))) as u32 & ((1 << k) - 1);
    1 + (1 << k) + (exponent - u32::from(k)) * (1 << k) + sub
}

/// The smallest value of a bucket from 1 on.
fn lower_end(index: u32, k: u8) -> i128 {
    let below = 1u32 << k;
    let Some(i) = (index - 1).checked_sub(below) else { return i128::from(index - 1) };
    let (power, sub) = (i / below, i % below);
    i128::from(below + sub) << power
}

/// The width of the bucket, from 1 on.
fn width(index: u32, k: u8) -> i128 {
    1 << ((index - 1).saturating_sub(1 << k) / (1 << k))
}

/// A bound as people write it: in the largest unit that is not larger than the bucket that begins there.
fn bound(index: u32, k: u8) -> String {
    let (n, width) = (lower_end(index, k), width(index, k));
    let unit = (width.ilog2() / 10) as usize;
    format!("{}{}", n >> (10 * unit), ["", "K", "M", "G", "T", "P", "E"][unit.min(6)])
}

impl Hist {
    fn bucket(&self, index: u32, count: u64) -> Bucket {
        if index == 0 {
            return Bucket { low: None, high: Some(0), label: "(..., 0)".into(), count };
        }
        let (low, high) = (lower_end(index, self.k), lower_end(index + 1, self.k));
        let label = if high == low + 1 {
            format!("[{low}]")
        } else {
            format!("[{}, {})", bound(index, self.k), bound(index + 1, self.k))
        };
        Bucket { low: Some(low), high: Some(high), label, count }
    }
}

impl Aggregation for Hist {
    fn name(&self) -> &'static str {
        "hist"
    }
    fn size(&self) -> u32 {
        hist_buckets(self.k) * 8
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        add_words(into, cpu);
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        total(value, hist_buckets(self.k))
    }
    fn view(&self, value: &[u8], div: i128) -> View {
        let rows = occupied(value, hist_buckets(self.k));
        View::Hist(rows.map(|i| self.bucket(i, (i128::from(word(value, i as usize)) / div) as u64)).collect())
    }
}

/// All events of a histogram of `n` buckets.
pub(super) fn total(value: &[u8], n: u32) -> i128 {
    (0..n as usize).map(|i| i128::from(word(value, i))).sum()
}

/// From the first to the last bucket that is not empty.
pub(super) fn occupied(value: &[u8], n: u32) -> std::ops::Range<u32> {
    let used = |i: &u32| word(value, *i as usize) != 0;
    match ((0..n).find(used), (0..n).rfind(used)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(value: i64, k: u8) -> String {
        Hist { k }.bucket(hist_index(value, k), 1).label
    }

    #[test]
    fn every_value_has_a_bucket_and_order_is_kept() {
        for k in 0..=5 {
            let values = [-5, 0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 1000, 1 << 40, i64::MAX];
            let indices: Vec<u32> = values.iter().map(|v| hist_index(*v, k)).collect();
            assert!(indices.is_sorted(), "{k}: {indices:?}");
            assert!(indices.iter().all(|i| *i < hist_buckets(k)));
        }
        assert_eq!((hist_index(1, 0), hist_index(2, 0), hist_index(4, 0)), (2, 3, 4));
    }

    #[test]
    fn labels_change_unit_with_the_width_of_the_bucket() {
        for (value, k, expected) in [
            (-7, 0, "(..., 0)"),
            (0, 0, "[0]"),
            (1, 0, "[1]"),
            (3, 0, "[2, 4)"),
            (1000, 0, "[512, 1K)"),
            (1024, 0, "[1K, 2K)"),
            (600_000, 0, "[512K, 1M)"),
            (i64::MAX, 0, "[4E, 8E)"),
            (7, 2, "[7]"),
            (8, 2, "[8, 10)"),
            (1023, 2, "[896, 1024)"),
            (1024, 1, "[1024, 1536)"),
            (2048, 1, "[2K, 3K)"),
            (3600, 2, "[3584, 4K)"),
            (40960, 2, "[40K, 48K)"),
            (i64::MAX, 2, "[7E, 8E)"),
            (33, 5, "[33]"),
            (i64::MAX, 5, "[8064P, 8192P)"),
        ] {
            assert_eq!(label(value, k), expected, "value {value}, k {k}");
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in 0..i64::MAX, shift in 0u32..63, k in 0u8..6) {
            let value = value >> shift;
            let bucket = Hist { k }.bucket(hist_index(value, k), 1);
            prop_assert!(bucket.low <= Some(i128::from(value)) && Some(i128::from(value)) < bucket.high);
        }
    }
}
