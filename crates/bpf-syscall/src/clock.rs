//! The kernel's clocks, as programs read them too.

use nix::time::{ClockId, clock_gettime};

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Since 1970, adjusted to be right (`CLOCK_REALTIME`).
    Real,
    /// Since boot, without suspended time (`bpf_ktime_get_ns`).
    Monotonic,
    /// Since boot (`bpf_ktime_get_boot_ns`).
    Boot,
    /// Since 1970, without leap seconds (`bpf_ktime_get_tai_ns`).
    Tai,
}

/// What `clock` shows now, in nanoseconds.
pub fn now_ns(clock: Clock) -> u64 {
    let id = match clock {
        Clock::Real => ClockId::CLOCK_REALTIME,
        Clock::Monotonic => ClockId::CLOCK_MONOTONIC,
        Clock::Boot => ClockId::CLOCK_BOOTTIME,
        Clock::Tai => ClockId::CLOCK_TAI,
    };
    // All four exist since 3.10; none can fail on a kernel that has BPF.
    clock_gettime(id).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Nanoseconds to add to a reading of `from` to get one of `to`, at this moment.
///
/// Both are read a few times, and the pair counts between whose readings least time passed.
pub fn offset_ns(from: Clock, to: Clock) -> i64 {
    const TRIES: usize = 5;
    let sample = |_| {
        let before = now_ns(from);
        let other = now_ns(to);
        let after = now_ns(from);
        let middle = before + after.saturating_sub(before) / 2;
        (after.wrapping_sub(before), other.wrapping_sub(middle) as i64)
    };
    (0..TRIES).map(sample).min_by_key(|(spread, _)| *spread).map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_up_to_their_offset() {
        let offset = offset_ns(Clock::Boot, Clock::Real);
        let real = now_ns(Clock::Boot).wrapping_add_signed(offset);
        assert!(real.abs_diff(now_ns(Clock::Real)) < 1_000_000_000);
        let monotonic = now_ns(Clock::Monotonic);
        assert!(now_ns(Clock::Boot) >= monotonic, "boot time includes suspended time");
    }
}
