//! `sum(n)`: the total, wrapping at 64 bits.

use super::{Aggregation, View, add_words, number, word};

pub(super) struct Sum {
    pub(super) signed: bool,
}

impl Aggregation for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }
    fn size(&self) -> u32 {
        8
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        add_words(into, cpu);
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        number(word(value, 0), self.signed)
    }
    fn view(&self, value: &[u8], div: i128) -> View {
        View::Number(self.sort_key(value) / div)
    }
}
