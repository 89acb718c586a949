//! What can get lost, and where programs count it.
//!
//! The map of role [`crate::MapRole::Losses`] is an array of `u64` counters, per CPU or shared: either an entry for
//! each or several in one value, in order. It has one row per cause and program: row
//! `program * Loss::ALL.len() + cause`, with `program` the index in [`crate::Object::programs`]. An object may also
//! have rows for program 0 only, where all programs count together.

use hark_diag::Span;
use std::sync::Arc;

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
    /// The kernel did not run a program: it was running on that CPU already, or another one was whose kind excludes it.
    Skipped = 5,
    /// A call or return went unseen: too many were under way, or another probe was running.
    MissedCall = 6,
    /// A request to print, clear or zero a map came again before it was done, and was done once for all.
    Folded = 7,
}

impl Loss {
    /// Every cause, by its number.
    pub const ALL: [Loss; 8] = [
        Loss::RingFull,
        Loss::MapFull,
        Loss::FailedRead,
        Loss::Truncated,
        Loss::Nested,
        Loss::Skipped,
        Loss::MissedCall,
        Loss::Folded,
    ];
    /// Causes that programs count, the first of [`ALL`](Self::ALL): the others the kernel or the runtime knows.
    pub const COUNTED: u32 = 5;

    /// The row of this cause for a program.
    pub const fn row(self, program: u32) -> u32 {
        program * Loss::COUNTED + self as u32
    }

    /// Program and cause of a row.
    pub fn of_row(row: u32) -> (u32, Loss) {
        (row / Loss::COUNTED, Loss::ALL[(row % Loss::COUNTED) as usize])
    }

    /// A short name, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::RingFull => "ring_full",
            Loss::MapFull => "map_full",
            Loss::FailedRead => "failed_read",
            Loss::Truncated => "truncated",
            Loss::Nested => "nested",
            Loss::Skipped => "skipped",
            Loss::MissedCall => "missed_call",
            Loss::Folded => "folded",
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
            Loss::Skipped => "events lost: the kernel skipped the program, as one was running on that CPU",
            Loss::MissedCall => "calls missed: too many were under way, or another probe was running",
            Loss::Folded => {
                "requests to print, clear or zero a map came faster than they could be done and were folded"
            }
        }
    }
}

/// A place in a script where a helper may fail. Programs count there and keep what was returned last; the runtime looks
/// now and then, and tells of what is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureSite {
    /// Name of the helper, without `bpf_`.
    pub helper: Arc<str>,
    /// What a failure means, if anything was lost by it.
    pub loss: Option<Loss>,
    /// Index in [`crate::Object::programs`].
    pub program: u32,
    /// The place.
    pub span: Span,
}

impl FailureSite {
    /// Bytes of a site: a `u64` count, the `s32` that was returned last, and 4 unused.
    pub const SIZE: u32 = 16;
    /// Where the result lies within them.
    pub const RESULT: u32 = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_causes_correspond() {
        for (number, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(loss as usize, number);
            if number < Loss::COUNTED as usize {
                assert_eq!(Loss::of_row(loss.row(3)), (3, loss));
            }
        }
    }
}
