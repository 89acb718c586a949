//! `min(n)`, `max(n)`: the extreme value, with a word that says whether there is one.

use super::{Aggregation, View, number, set_word, word};

pub(super) struct MinMax {
    pub(super) signed: bool,
    pub(super) max: bool,
}

impl Aggregation for MinMax {
    fn name(&self) -> &'static str {
        if self.max { "max" } else { "min" }
    }
    fn size(&self) -> u32 {
        16
    }
    fn merge(&self, into: &mut [u8], cpu: &[u8]) {
        if word(cpu, 1) == 0 {
            return;
        }
        let (old, new) = (self.sort_key(into), self.sort_key(cpu));
        let better = if self.max { new > old } else { new < old };
        if word(into, 1) == 0 || better {
            set_word(into, 0, word(cpu, 0));
            set_word(into, 1, 1);
        }
    }
    fn sort_key(&self, value: &[u8]) -> i128 {
        if word(value, 1) == 0 { 0 } else { number(word(value, 0), self.signed) }
    }
    fn view(&self, value: &[u8], div: i128) -> View {
        View::Number(self.sort_key(value) / div)
    }
}
