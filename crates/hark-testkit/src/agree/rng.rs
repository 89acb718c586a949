//! A small random generator: programs are named by their seed, so the sequence must never change.

/// SplitMix64, after the bytes that it was given, if any: a fuzzer that changes one of them changes one choice.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    /// The choices that are made first, the next one last.
    bytes: Vec<u8>,
}

impl Rng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0, bytes: Vec::new() }
    }

    /// The choices that `bytes` make, one for each number below 257 and eight for a larger one; then always the same
    /// sequence.
    pub fn from_bytes(bytes: &[u8]) -> Rng {
        Rng { bytes: bytes.iter().rev().copied().collect(), ..Rng::new(0) }
    }

    /// Whether all bytes have been used.
    pub fn is_spent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        if !self.bytes.is_empty() {
            let from = self.bytes.len().saturating_sub(8);
            return self.bytes.drain(from..).fold(0, |n, byte| n << 8 | u64::from(byte));
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        match n {
            0 => 0,
            1..=256 => self.bytes.pop().map_or_else(|| self.any(), u64::from) % n,
            _ => self.any() % n,
        }
    }

    /// A number from `lo` to `hi`, both included.
    pub fn range(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo + 1) as u64) as i64
    }

    /// True `percent` times of 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
