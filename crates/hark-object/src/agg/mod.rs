//! Aggregations: how each is kept in a map value per CPU, how the CPUs' values become one, what there is to print.
//!
//! One file is one aggregation. The generated code writes the layout that the variant of [`Agg`] describes; the
//! runtime [merges](Agg::merge) the values of all CPUs into one of the same layout and [views](Agg::view) that.

mod avg;
mod count;
mod hist;
mod lhist;
mod minmax;
mod stats;
mod sum;
mod tseries;

pub use hist::{hist_buckets, hist_index};
pub use lhist::lhist_buckets;
pub use tseries::{SLOT_EPOCH, SLOT_META, SLOT_SIZE, SLOT_VALUE, SeriesFn};

use byteorder::{ByteOrder, LittleEndian};

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
    /// The last `n` intervals: a ring of slots of [`SLOT_SIZE`] bytes. The slot of interval number `epoch`
    /// (time / `interval_ns`) is `epoch % n` and holds `u64` epoch at [`SLOT_EPOCH`], `i64`/`u64` value at
    /// [`SLOT_VALUE`], `u64` at [`SLOT_META`]: 0 while the slot is empty, else what [`SeriesFn`] says.
    ///
    /// The time is wall-clock time, so that intervals begin at round times.
    Tseries {
        /// Length of an interval in nanoseconds, at least 1.
        interval_ns: u64,
        /// Number of intervals kept, at least 1.
        n: u32,
        /// How the values of one interval become one.
        fun: SeriesFn,
        /// Whether values have a sign.
        signed: bool,
    },
}

/// What one aggregation file provides. Values are slices of at least [`size`](Aggregation::size) bytes; what is
/// missing of a shorter one counts as zero.
trait Aggregation {
    /// The function of the language.
    fn name(&self) -> &'static str;
    /// Bytes of the value of one CPU.
    fn size(&self) -> u32;
    /// Adds the value of another CPU to `into`.
    fn merge(&self, into: &mut [u8], cpu: &[u8]);
    /// What maps are sorted by.
    fn sort_key(&self, value: &[u8]) -> i128;
    /// What there is to print, values divided by `div`.
    fn view(&self, value: &[u8], div: i128) -> View;
}

/// A merged value as there is to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// A number.
    Number(i128),
    /// The average alone: a number in text, a statistic in JSON.
    Average(i128),
    /// Count, average and total.
    Stats {
        /// Events.
        count: i128,
        /// Total by count, rounded towards zero.
        average: i128,
        /// Sum of values.
        total: i128,
    },
    /// Rows of a histogram from the first to the last that is not empty.
    Hist(Vec<Bucket>),
    /// Intervals from the first to the last that is not empty.
    Series(Series),
}

/// A row of a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Smallest value; `None` if it is open below.
    pub low: Option<i128>,
    /// One more than the largest value; `None` if it is open above.
    pub high: Option<i128>,
    /// What people call it: `[4, 8)`, `[512, 1K)`, `(..., 0)`.
    pub label: String,
    /// Events, divided by what the script asked for.
    pub count: u64,
}

/// A time series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Length of an interval in nanoseconds.
    pub interval_ns: u64,
    /// Number of the first interval since the epoch of the clock.
    pub first: u64,
    /// Value of each interval; `None` where nothing happened.
    pub points: Vec<Option<i128>>,
}

impl Agg {
    fn with<R>(self, f: impl FnOnce(&dyn Aggregation) -> R) -> R {
        match self {
            Agg::Count => f(&count::Count),
            Agg::Sum { signed } => f(&sum::Sum { signed }),
            Agg::Min { signed } => f(&minmax::MinMax { signed, max: false }),
            Agg::Max { signed } => f(&minmax::MinMax { signed, max: true }),
            Agg::Avg { signed } => f(&avg::Avg { signed }),
            Agg::Stats { signed } => f(&stats::Stats { signed }),
            Agg::Hist { k } => f(&hist::Hist { k }),
            Agg::Lhist { min, max, step } => f(&lhist::Lhist { min, max, step }),
            Agg::Tseries { interval_ns, n, fun, signed } => {
                f(&tseries::Tseries { interval_ns, n, fun, signed })
            }
        }
    }

    /// The function of the language that makes it: `count`, `lhist`…
    pub fn name(self) -> &'static str {
        self.with(|a| a.name())
    }

    /// Bytes of the value of one CPU.
    pub fn size(self) -> u32 {
        self.with(|a| a.size())
    }

    /// Adds the value of another CPU to `into`. Associative and commutative, and an all-zero value is neutral.
    pub fn merge(self, into: &mut [u8], cpu: &[u8]) {
        self.with(|a| a.merge(into, cpu));
    }

    /// What the entries of a map are sorted by: the value of a number, the average of `avg` and `stats`, the total
    /// count of histograms.
    pub fn sort_key(self, value: &[u8]) -> i128 {
        self.with(|a| a.sort_key(value))
    }

    /// Whether entries are sorted by value (otherwise by key).
    pub fn sorted_by_value(self) -> bool {
        !matches!(self, Agg::Tseries { .. })
    }

    /// What there is to print of a merged value, divided by `div` (1 for "as it is"; 0 counts as 1).
    ///
    /// Counts of `hist` are divided, those of `lhist` and time series are not, of `stats` only the average is.
    pub fn view(self, value: &[u8], div: i64) -> View {
        let div = if div == 0 { 1 } else { i128::from(div) };
        self.with(|a| a.view(value, div))
    }
}

/// The `i`th 8-byte word; 0 past the end.
fn word(value: &[u8], i: usize) -> u64 {
    value.get(i * 8..i * 8 + 8).map_or(0, LittleEndian::read_u64)
}

fn set_word(value: &mut [u8], i: usize, word: u64) {
    if let Some(bytes) = value.get_mut(i * 8..i * 8 + 8) {
        LittleEndian::write_u64(bytes, word);
    }
}

fn add_words(into: &mut [u8], cpu: &[u8]) {
    for i in 0..into.len() / 8 {
        set_word(into, i, word(into, i).wrapping_add(word(cpu, i)));
    }
}

/// A word as a number.
fn number(word: u64, signed: bool) -> i128 {
    if signed { i128::from(word as i64) } else { i128::from(word) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_agg() -> impl Strategy<Value = Agg> {
        let fun = prop::sample::select(SeriesFn::ALL.to_vec());
        prop_oneof![
            Just(Agg::Count),
            any::<bool>().prop_map(|signed| Agg::Sum { signed }),
            any::<bool>().prop_map(|signed| Agg::Min { signed }),
            any::<bool>().prop_map(|signed| Agg::Max { signed }),
            any::<bool>().prop_map(|signed| Agg::Avg { signed }),
            any::<bool>().prop_map(|signed| Agg::Stats { signed }),
            (0u8..6).prop_map(|k| Agg::Hist { k }),
            (-20i64..20, 1i64..60, 1i64..9).prop_map(|(min, width, step)| Agg::Lhist {
                min,
                max: min + width,
                step
            }),
            (fun, 1u32..5, any::<bool>()).prop_map(|(fun, n, signed)| Agg::Tseries {
                interval_ns: 10,
                n,
                fun,
                signed
            }),
        ]
    }

    /// A value as generated code leaves it: small words, and flags that are 0 or 1 where the layout has flags.
    fn value(agg: Agg, seed: &[u8]) -> Vec<u8> {
        let mut out = vec![0; agg.size() as usize];
        for i in 0..out.len() / 8 {
            let byte = u64::from(seed[i % seed.len()]);
            let word = match (agg, i % 3) {
                (Agg::Min { .. } | Agg::Max { .. }, _) if i == 1 => byte & 1,
                (Agg::Min { .. } | Agg::Max { .. }, _) => byte * (u64::from(seed[1 % seed.len()]) & 1),
                (Agg::Tseries { n, .. }, 0) => (byte % 3) * u64::from(n) + (i / 3) as u64,
                _ => byte,
            };
            set_word(&mut out, i, word);
        }
        out
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_zero_is_neutral(
            agg in any_agg(),
            seeds in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 3),
        ) {
            let [a, b, c] = [0, 1, 2].map(|i| value(agg, &seeds[i]));
            let merged = |order: [&[u8]; 3]| {
                let mut into = vec![0; agg.size() as usize];
                order.iter().for_each(|cpu| agg.merge(&mut into, cpu));
                agg.view(&into, 1)
            };
            prop_assert_eq!(merged([&a, &b, &c]), merged([&c, &a, &b]));
            let mut alone = vec![0; agg.size() as usize];
            agg.merge(&mut alone, &a);
            prop_assert_eq!(agg.view(&alone, 1), agg.view(&a, 1));
        }

        #[test]
        fn no_value_makes_it_panic(agg in any_agg(), bytes in prop::collection::vec(any::<u8>(), 0..99), div: i64) {
            let mut into = bytes.clone();
            agg.merge(&mut into, &bytes);
            agg.view(&bytes, div);
            agg.sort_key(&bytes);
        }
    }
}
