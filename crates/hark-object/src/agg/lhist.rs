//! `lhist(n, min, max, step)`: counts by buckets of equal width.

use super::hist::{occupied, total};
use super::{Aggregation, Bucket, View, add_words, word};

pub(super) struct Lhist {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) step: i64,
}

/// Number of buckets of a linear histogram between its ends, without the two outer ones. Buckets have the full width:
/// what does not fit below `max` belongs to the outer bucket.
pub fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    let width = max.saturating_sub(min).max(0) as u64;
    u32::try_from(width / step.max(1) as u64).unwrap_or(u32::MAX / 16)
}

impl Lhist {
    fn n(&self) -> u32 {
        lhist_buckets(self.min, self.max, self.step) + 2
    }

    /// A bound as people write it: in K or M where the step is a multiple of 1024 and the bound is one too.
    fn bound(&self, n: i128) -> String {
        if self.step % 1024 == 0 && n != 0 {
            for (unit, suffix) in [(1 << 20, "M"), (1 << 10, "K")] {
                if n % unit == 0 {
                    return format!("{}{suffix}", n / unit);
                }
            }
        }
        n.to_string()
    }

    fn bucket(&self, index: u32, count: u64) -> Bucket {
        let (min, step) = (i128::from(self.min), i128::from(self.step.max(1)));
        let max = min + i128::from(self.n() - 2) * step;
        if index == 0 {
            return Bucket {
                low: None,
                high: Some(min),
                label: format!("(..., {})", self.bound(min)),
                count,
            };
        }
        if index + 1 == self.n() {
            return Bucket {
                low: Some(max),
                high: None,
                label: format!("[{}, ...)", self.bound(max)),
                count,
            };
        }
        let low = min + i128::from(index - 1) * step;
        let high = low + step;
        let label = if step == 1 {
            format!("[{low}]")
        } else {
            format!("[{}, {})", self.bound(low), self.bound(high))
        };
        Bucket { low: Some(low), high: Some(high), label, count }
    }
}

impl Aggregation for Lhist {
    fn name(&self) -> &'static str {
        "lhist"
    }
    fn size(&self) -> u32 {
        self.n() * 8
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        add_words(into, cpu);
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        total(value, self.n())
    }
    fn view(&self, value: &[u8], _div: i128) -> View {
        View::Hist(occupied(value, self.n()).map(|i| self.bucket(i, word(value, i as usize))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(min: i64, max: i64, step: i64) -> Vec<String> {
        let hist = Lhist { min, max, step };
        (0..hist.n()).map(|i| hist.bucket(i, 0).label).collect()
    }

    #[test]
    fn labels_name_the_ends() {
        assert_eq!(labels(10, 40, 15), ["(..., 10)", "[10, 25)", "[25, 40)", "[40, ...)"]);
        assert_eq!(labels(0, 25, 10), ["(..., 0)", "[0, 10)", "[10, 20)", "[20, ...)"]);
        assert_eq!(labels(0, 2, 1), ["(..., 0)", "[0]", "[1]", "[2, ...)"]);
        assert_eq!(labels(1_047_552, 1_049_600, 1024)[1..], ["[1023K, 1M)", "[1M, 1025K)", "[1025K, ...)"]);
        assert_eq!(labels(500, 1524, 1024)[1], "[500, 1524)");
        assert_eq!(labels(0, 1 << 31, 1 << 30)[3], "[2048M, ...)");
    }
}
