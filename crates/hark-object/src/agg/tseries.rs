//! `tseries(n, interval, num, agg)`: one value for each of the last intervals.

use super::{Aggregation, Series, View, number, set_word, word};

/// Bytes of a slot of the ring.
pub const SLOT_SIZE: u32 = 24;
/// Offset in a slot of the number of its interval.
pub const SLOT_EPOCH: u32 = 0;
/// Offset in a slot of its value.
pub const SLOT_VALUE: u32 = 8;
/// Offset in a slot of the word that [`SeriesFn`] describes.
pub const SLOT_META: u32 = 16;

/// How the values of one interval become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesFn {
    /// The latest; the meta word is its time in nanoseconds.
    Last,
    /// The average; the value is the total, the meta word the count.
    Avg,
    /// The largest; the meta word is 1.
    Max,
    /// The smallest; the meta word is 1.
    Min,
    /// The total; the meta word is the count.
    Sum,
}

impl SeriesFn {
    /// All of them.
    pub const ALL: [SeriesFn; 5] =
        [SeriesFn::Last, SeriesFn::Avg, SeriesFn::Max, SeriesFn::Min, SeriesFn::Sum];

    /// What the fourth argument calls it; `None` for [`SeriesFn::Last`], which has no name.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            SeriesFn::Last => None,
            SeriesFn::Avg => Some("avg"),
            SeriesFn::Max => Some("max"),
            SeriesFn::Min => Some("min"),
            SeriesFn::Sum => Some("sum"),
        }
    }

    /// The one called `name`.
    pub fn named(name: &str) -> Option<SeriesFn> {
        SeriesFn::ALL.into_iter().find(|fun| fun.name() == Some(name))
    }
}

pub(super) struct Tseries {
    pub(super) interval_ns: u64,
    pub(super) n: u32,
    pub(super) fun: SeriesFn,
    pub(super) signed: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    epoch: u64,
    value: u64,
    meta: u64,
}

impl Tseries {
    fn slot(&self, value: &[u8], i: usize) -> Slot {
        Slot { epoch: word(value, 3 * i), value: word(value, 3 * i + 1), meta: word(value, 3 * i + 2) }
    }

    fn set(&self, value: &mut [u8], i: usize, slot: Slot) {
        set_word(value, 3 * i, slot.epoch);
        set_word(value, 3 * i + 1, slot.value);
        set_word(value, 3 * i + 2, slot.meta);
    }

    /// Two values of the same interval as one.
    fn combine(&self, a: Slot, b: Slot) -> Slot {
        let first = |pick_a: bool| if pick_a { a } else { b };
        let (x, y) = (number(a.value, self.signed), number(b.value, self.signed));
        match self.fun {
            SeriesFn::Last => first((a.meta, a.value) >= (b.meta, b.value)),
            SeriesFn::Max => Slot { meta: 1, ..first(x >= y) },
            SeriesFn::Min => Slot { meta: 1, ..first(x <= y) },
            SeriesFn::Avg | SeriesFn::Sum => Slot {
                epoch: a.epoch,
                value: a.value.wrapping_add(b.value),
                meta: a.meta.wrapping_add(b.meta),
            },
        }
    }

    fn result(&self, slot: Slot) -> i128 {
        let value = number(slot.value, self.signed);
        match self.fun {
            SeriesFn::Avg => value.checked_div(i128::from(slot.meta)).unwrap_or(0),
            SeriesFn::Last | SeriesFn::Max | SeriesFn::Min | SeriesFn::Sum => value,
        }
    }
}

impl Aggregation for Tseries {
    fn name(&self) -> &'static str {
        "tseries"
    }
    fn size(&self) -> u32 {
        self.n.max(1).saturating_mul(SLOT_SIZE)
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        for i in 0..self.n as usize {
            let (old, new) = (self.slot(into, i), self.slot(cpu, i));
            if new.meta == 0 {
                continue;
            }
            let merged = if old.meta == 0 || new.epoch > old.epoch {
                new
            } else if new.epoch == old.epoch {
                self.combine(old, new)
            } else {
                old
            };
            self.set(into, i, merged);
        }
    }
    fn sort_key(&self, _value: &[u8]) -> i128 {
        0
    }
    fn view(&self, value: &[u8], _div: i128) -> View {
        let slots = || (0..self.n as usize).map(|i| self.slot(value, i)).filter(|slot| slot.meta != 0);
        let mut series = Series { interval_ns: self.interval_ns, first: 0, points: Vec::new() };
        let Some(last) = slots().map(|slot| slot.epoch).max() else { return View::Series(series) };
        // Slots that were not written for a whole turn of the ring are older than the series goes back.
        let oldest = last.saturating_sub(u64::from(self.n.saturating_sub(1)));
        series.first = slots().map(|slot| slot.epoch).filter(|epoch| *epoch >= oldest).min().unwrap_or(last);
        series.points = vec![None; (last - series.first + 1) as usize];
        for slot in slots().filter(|slot| slot.epoch >= series.first) {
            series.points[(slot.epoch - series.first) as usize] = Some(self.result(slot));
        }
        View::Series(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_newest_turn_of_the_ring_and_leaves_gaps() {
        let agg = Tseries { interval_ns: 5, n: 4, fun: SeriesFn::Avg, signed: true };
        let mut a = vec![0; agg.size() as usize];
        let mut b = a.clone();
        agg.set(&mut a, 0, Slot { epoch: 8, value: 10, meta: 2 });
        agg.set(&mut a, 1, Slot { epoch: 5, value: 99, meta: 1 });
        agg.set(&mut a, 2, Slot { epoch: 6, value: -7i64 as u64, meta: 1 });
        agg.set(&mut b, 0, Slot { epoch: 8, value: 4, meta: 5 });
        agg.set(&mut b, 1, Slot { epoch: 1, value: 1, meta: 1 });
        agg.merge(&mut a, &b);
        let expected = Series { interval_ns: 5, first: 5, points: vec![Some(99), Some(-7), None, Some(2)] };
        assert_eq!(agg.view(&a, 1), View::Series(expected));
    }
}
