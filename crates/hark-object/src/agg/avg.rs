//! `avg(n)`: total and count; prints the one by the other.

use super::{Aggregation, View, add_words, number, word};

pub(super) struct Avg {
    pub(super) signed: bool,
}

/// Total by count, rounded towards zero; 0 without events.
pub(super) fn average(value: &[u8], signed: bool) -> i128 {
    number(word(value, 0), signed).checked_div(i128::from(word(value, 1))).unwrap_or(0)
}

impl Aggregation for Avg {
    fn name(&self) -> &'static str {
        "avg"
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
        View::Average(average(value, self.signed) / div)
    }
}
