//! Where a program is attached, with nothing left to look up.

use bpf_syscall::Sampling;
use std::path::PathBuf;

/// One place, and what the probe there is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    /// Full name without wildcards, as `probe` shows it.
    pub name: String,
    /// The place.
    pub place: Place,
    /// What `bpf_get_attach_cookie` returns there (since 5.15); 0 unless one program serves several probes and must
    /// know which.
    pub cookie: u64,
}

impl AttachPoint {
    /// A point without a cookie.
    pub fn new(name: impl ToString, place: Place) -> AttachPoint {
        AttachPoint { name: name.to_string(), place, cookie: 0 }
    }
}

/// A place to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the program is run by us ([`run_once`](crate::run_once)).
    OnDemand,
    /// A timer on one CPU.
    Interval {
        /// Nanoseconds.
        period_ns: u64,
    },
    /// A timer on every CPU, or on the traced process.
    Profile(Sampling),
    /// A software event of perf, everywhere or in the traced process.
    Software {
        /// `PERF_COUNT_SW_*`.
        config: u64,
        /// Occurrences from one run to the next.
        period: u64,
    },
    /// A hardware event of perf, everywhere or in the traced process.
    Hardware {
        /// `PERF_COUNT_HW_*`.
        config: u64,
        /// Occurrences from one run to the next.
        period: u64,
    },
    /// A memory access.
    Watchpoint {
        /// Address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// `HW_BREAKPOINT_*` bits.
        access: u32,
    },
    /// A tracepoint.
    Tracepoint {
        /// Its number in tracefs.
        id: u64,
    },
    /// A raw tracepoint.
    RawTracepoint {
        /// Its name, without a category.
        event: String,
    },
    /// A function of the kernel, or an instruction in it.
    Kprobe {
        /// Module, if it must be in a certain one.
        module: Option<String>,
        /// Function.
        func: String,
        /// Offset in bytes.
        offset: u64,
        /// At return.
        ret: bool,
    },
    /// An instruction of the kernel.
    KprobeAddr {
        /// Its address.
        addr: u64,
    },
    /// What the program was loaded for: fentry, fexit.
    Fentry,
    /// A function of a file, or an instruction in it.
    Uprobe {
        /// The file.
        path: PathBuf,
        /// Offset in the file.
        offset: u64,
        /// Offset in the file of a semaphore to raise while attached; 0 for none.
        ref_ctr_offset: u32,
        /// At return.
        ret: bool,
    },
    /// What the program was loaded for: an iterator.
    Iter,
}

impl Place {
    /// Whether probes on one event fire in the reverse of the order in which they are attached: kprobes, uprobes and
    /// programs of trampolines are put at the head of their list (`register_aggr_kprobe`, `consumer_add`,
    /// `bpf_trampoline_link_prog`).
    pub fn fires_in_reverse(&self) -> bool {
        match self {
            Place::Kprobe { ret, .. } => !ret,
            Place::KprobeAddr { .. } | Place::Uprobe { .. } | Place::Fentry => true,
            Place::OnDemand
            | Place::Interval { .. }
            | Place::Profile(_)
            | Place::Software { .. }
            | Place::Hardware { .. }
            | Place::Watchpoint { .. }
            | Place::Tracepoint { .. }
            | Place::RawTracepoint { .. }
            | Place::Iter => false,
        }
    }
}

/// The order in which to attach `points`, given in source order, so that those on the same event fire in source
/// order.
pub fn attach_order(points: &[&AttachPoint]) -> Vec<usize> {
    let (reversed, straight): (Vec<usize>, Vec<usize>) =
        (0..points.len()).partition(|&i| points[i].place.fires_in_reverse());
    straight.into_iter().chain(reversed.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fires_in_reverse_is_attached_in_reverse() {
        let tracepoint = |id| AttachPoint::new("t", Place::Tracepoint { id });
        let kprobe =
            |ret| AttachPoint::new("k", Place::Kprobe { module: None, func: "f".into(), offset: 0, ret });
        let points = [kprobe(false), tracepoint(1), kprobe(false), tracepoint(2), kprobe(true)];
        assert_eq!(attach_order(&points.iter().collect::<Vec<_>>()), [1, 3, 4, 2, 0]);
    }
}
