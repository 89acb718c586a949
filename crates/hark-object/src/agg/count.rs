//! `count()`: how many events.

use super::{Aggregation, View, add_words, word};

pub(super) struct Count;

impl Aggregation for Count {
    fn name(&self) -> &'static str {
        "count"
    }
    fn size(&self) -> u32 {
        8
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        add_words(into, cpu);
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        i128::from(word(value, 0))
    }
    fn view(&self, value: &[u8], div: i128) -> View {
        View::Number(self.sort_key(value) / div)
    }
}
