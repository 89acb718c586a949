//! `stats(n)`: count, average and total.

use super::avg::average;
use super::{Aggregation, View, add_words, number, word};

pub(super) struct Stats {
    pub(super) signed: bool,
}

impl Aggregation for Stats {
    fn name(&self) -> &'static str {
        "stats"
    }
    fn size(&self) -> u32 {
        16
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        add_words(into, cpu);
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        average(value, self.signed)
    }
    fn view(&self, value: &[u8], div: i128) -> View {
        View::Stats {
            count: i128::from(word(value, 1)),
            average: average(value, self.signed) / div,
            total: number(word(value, 0), self.signed),
        }
    }
}
