//! What programs learn about the run they belong to: known only when the object is loaded.
//!
//! The map of role [`crate::MapRole::RunInfo`] is an array of one value with these fields. The runtime fills it
//! and freezes it before it loads programs, so that their verifier knows the values.

/// Bytes of the value.
pub const RUN_INFO_SIZE: u32 = 64;

/// A field: its offset in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RunField {
    /// `u64` nanoseconds of the boot clock when the run began: `elapsed` counts from there.
    StartBootNs = 0,
    /// `i64` nanoseconds to add to the boot clock to get wall-clock time.
    WallMinusBootNs = 8,
    /// `i64` nanoseconds to add to the boot clock to get international atomic time.
    TaiMinusBootNs = 16,
    /// `u64` device number of hark's PID namespace, as `bpf_get_ns_current_pid_tgid` takes it.
    PidNsDev = 24,
    /// `u64` inode number of hark's PID namespace.
    PidNsIno = 32,
    /// `u64` process id of hark itself, in the initial namespace.
    OwnPid = 40,
    /// `u64` process id of the child that was started with the run, 0 without one.
    ChildPid = 48,
    /// `u64` bytes of the ring buffer.
    RingBytes = 56,
}

impl RunField {
    /// Offset in the value.
    pub const fn offset(self) -> u32 {
        self as u32
    }
}
