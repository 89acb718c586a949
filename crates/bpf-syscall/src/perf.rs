//! Perf events as values: what to count or sample, on whom, how often.

use std::path::PathBuf;

/// What a perf event observes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerfKind {
    /// `PERF_TYPE_SOFTWARE` with its `PERF_COUNT_SW_*` number.
    Software(u64),
    /// `PERF_TYPE_HARDWARE` with its `PERF_COUNT_HW_*` number.
    Hardware(u64),
    /// `PERF_TYPE_TRACEPOINT` with the number in the event's `id` file.
    Tracepoint {
        /// The number.
        id: u64,
    },
    /// The `kprobe` event source (since 4.17).
    Kprobe {
        /// Where.
        at: KprobeAt,
        /// At return instead of entry.
        ret: bool,
    },
    /// The `uprobe` event source (since 4.17).
    Uprobe {
        /// The file.
        path: PathBuf,
        /// Offset into the file, in bytes.
        offset: u64,
        /// Offset in the file of a USDT semaphore that the kernel raises while attached, 0 for none (since 4.20).
        ref_ctr_offset: u32,
        /// At return instead of entry.
        ret: bool,
    },
    /// Nothing happens, but word comes of programs that are started, of code that is mapped, and of forks.
    Code {
        /// Bytes in the ring at which its reader is woken.
        wake_at: u32,
    },
    /// A hardware breakpoint.
    Breakpoint {
        /// Address.
        addr: u64,
        /// Bytes watched: 1, 2, 4 or 8.
        len: u64,
        /// `HW_BREAKPOINT_R` 1, `_W` 2, `_X` 4, combined.
        access: u32,
    },
}

/// Where a kprobe sits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KprobeAt {
    /// A symbol and an offset in bytes. The name may be `module:symbol`.
    Symbol {
        /// Function.
        name: String,
        /// Offset in bytes.
        offset: u64,
    },
    /// An address in the kernel.
    Address(u64),
}

/// Whom a perf event observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerfTarget {
    /// Every task, on one CPU.
    Cpu(u32),
    /// One task, wherever it runs.
    Task(u32),
    /// One task while it runs on one CPU.
    TaskOnCpu(u32, u32),
}

/// When the event overflows, which is when an attached program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every so many occurrences (nanoseconds for clocks). 0 counts without sampling.
    Period(u64),
    /// So many times a second.
    Frequency(u64),
}

/// A perf event to open. It is born disabled; enable it with
/// [`Kernel::perf_enable`](crate::Kernel::perf_enable) once a program is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfEvent {
    /// What.
    pub kind: PerfKind,
    /// Whom.
    pub target: PerfTarget,
    /// When.
    pub sampling: Sampling,
    /// Whether children forked later are observed too.
    pub inherit: bool,
}

impl PerfEvent {
    /// An event that fires at every occurrence, for everybody: probes, tracepoints.
    ///
    /// It is opened on CPU 0, yet programs attached to probes and tracepoints run on every CPU.
    pub fn every(kind: PerfKind) -> PerfEvent {
        PerfEvent { kind, target: PerfTarget::Cpu(0), sampling: Sampling::Period(1), inherit: false }
    }
}
