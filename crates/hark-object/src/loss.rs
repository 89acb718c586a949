//! What can get lost, and where programs count it.
//!
//! The map of role [`crate::MapRole::Losses`] is an array of `u64` counters, per CPU or shared: either an entry for
//! each or several in one value, in order. It has one row per cause and program: row
//! `program * Loss::ALL.len() + cause`, with `program` the index in [`crate::Object::programs`]. An object may also
//! have rows for program 0 only, where all programs count together.

/// Why something is missing from what a run shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Loss {
    /// An event found the ring buffer full.
    RingFull = 0,
    /// A map update failed, mostly because the map was full.
    MapFull = 1,
    /// Memory could not be read; the value counted as zero.
    FailedRead = 2,
    /// A text was longer than its room and was cut.
    Truncated = 3,
    /// A program interrupted another one on the same CPU whose memory it would have needed.
    Nested = 4,
}

impl Loss {
    /// Every cause, by its number.
    pub const ALL: [Loss; 5] =
        [Loss::RingFull, Loss::MapFull, Loss::FailedRead, Loss::Truncated, Loss::Nested];

    /// The row of this cause for a program.
    pub const fn row(self, program: u32) -> u32 {
        program * Loss::ALL.len() as u32 + self as u32
    }

    /// Program and cause of a row.
    pub fn of_row(row: u32) -> (u32, Loss) {
        let n = Loss::ALL.len() as u32;
        (row / n, Loss::ALL[(row % n) as usize])
    }

    /// A short name, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::RingFull => "ring_full",
            Loss::MapFull => "map_full",
            Loss::FailedRead => "failed_read",
            Loss::Truncated => "truncated",
            Loss::Nested => "nested",
        }
    }

    /// What it means and what helps, after "N ".
    pub const fn explain(self) -> &'static str {
        match self {
            Loss::RingFull => "events lost: the ring buffer was full (raise perf_rb_pages, or print less)",
            Loss::MapFull => "map updates failed: the map was full (raise max_map_keys)",
            Loss::FailedRead => "reads of memory failed and counted as zero",
            Loss::Truncated => "texts were longer than max_strlen and were cut",
            Loss::Nested => "events lost: a program interrupted another one on the same CPU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_causes_correspond() {
        for (number, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(loss as usize, number);
            assert_eq!(Loss::of_row(loss.row(3)), (3, loss));
        }
    }
}
