//! Aggregations: how each is kept in a map value per CPU.

/// An aggregation and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agg {
    /// `u64` number of events.
    Count,
    /// `i64`/`u64` total.
    Sum {
        /// Whether the total has a sign.
        signed: bool,
    },
    /// `i64`/`u64` smallest value, `u64` 1 once there is one.
    Min {
        /// Whether values have a sign.
        signed: bool,
    },
    /// `i64`/`u64` largest value, `u64` 1 once there is one.
    Max {
        /// Whether values have a sign.
        signed: bool,
    },
    /// `i64`/`u64` total, `u64` count; prints total / count.
    Avg {
        /// Whether values have a sign.
        signed: bool,
    },
    /// As `Avg`; prints count, average and total.
    Stats {
        /// Whether values have a sign.
        signed: bool,
    },
    /// Counts by power of two, each power divided into `2^k`: [`hist_buckets`] of `u64`. See [`hist_index`].
    Hist {
        /// 0 to 5.
        k: u8,
    },
    /// Counts by linear buckets: `u64` below `min`, then one per step, then `u64` at or above `max`.
    Lhist {
        /// Lower end.
        min: i64,
        /// Upper end.
        max: i64,
        /// Width of a bucket, at least 1.
        step: i64,
    },
}

impl Agg {
    /// Bytes of the value of one CPU.
    pub fn size(self) -> u32 {
        match self {
            Agg::Count | Agg::Sum { .. } => 8,
            Agg::Min { .. } | Agg::Max { .. } | Agg::Avg { .. } | Agg::Stats { .. } => 16,
            Agg::Hist { k } => hist_buckets(k) * 8,
            Agg::Lhist { min, max, step } => (lhist_buckets(min, max, step) + 2) * 8,
        }
    }
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

/// Number of buckets of a linear histogram between its ends, without the two outer ones.
pub fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    let width = max.saturating_sub(min).max(0) as u64;
    u32::try_from(width.div_ceil(step.max(1) as u64)).unwrap_or(u32::MAX / 16)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
