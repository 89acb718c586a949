//! Program types and attach types.

use crate::version::V;

/// `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the kernel's; PROG_TYPES describes each")]
pub enum ProgType {
    SocketFilter = 1,
    Kprobe = 2,
    SchedCls = 3,
    SchedAct = 4,
    Tracepoint = 5,
    Xdp = 6,
    PerfEvent = 7,
    CgroupSkb = 8,
    CgroupSock = 9,
    LwtIn = 10,
    LwtOut = 11,
    LwtXmit = 12,
    SockOps = 13,
    SkSkb = 14,
    CgroupDevice = 15,
    SkMsg = 16,
    RawTracepoint = 17,
    CgroupSockAddr = 18,
    LwtSeg6local = 19,
    LircMode2 = 20,
    SkReuseport = 21,
    FlowDissector = 22,
    CgroupSysctl = 23,
    RawTracepointWritable = 24,
    CgroupSockopt = 25,
    Tracing = 26,
    StructOps = 27,
    Ext = 28,
    Lsm = 29,
    SkLookup = 30,
    Syscall = 31,
    Netfilter = 32,
}

/// `enum bpf_attach_type`, those that tracing and verification need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum AttachType {
    /// `BPF_CGROUP_INET_INGRESS`, 0: also "none given".
    None = 0,
    TraceRawTp = 23,
    TraceFentry = 24,
    TraceFexit = 25,
    ModifyReturn = 26,
    LsmMac = 27,
    TraceIter = 28,
    PerfEvent = 41,
    TraceKprobeMulti = 42,
    TraceUprobeMulti = 48,
    TraceKprobeSession = 56,
    TraceUprobeSession = 58,
}

/// A set of program types, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgSet(u64);

impl ProgSet {
    /// No program type.
    pub const EMPTY: ProgSet = ProgSet(0);
    /// Every program type.
    pub const ALL: ProgSet = ProgSet(u64::MAX);

    /// The set of `types`.
    pub const fn of(types: &[ProgType]) -> ProgSet {
        let mut bits = 0;
        let mut i = 0;
        while i < types.len() {
            bits |= 1 << types[i] as u32;
            i += 1;
        }
        ProgSet(bits)
    }

    /// Both.
    pub const fn union(self, other: ProgSet) -> ProgSet {
        ProgSet(self.0 | other.0)
    }

    /// Whether `ty` is in it.
    pub const fn contains(self, ty: ProgType) -> bool {
        self.0 & (1 << ty as u32) != 0
    }
}

/// What there is to know of a program type.
#[derive(Clone, Copy, Debug)]
pub struct ProgTypeDef {
    /// The type.
    pub ty: ProgType,
    /// Its name as libbpf and bpftool write it: `kprobe`, `raw_tracepoint`.
    pub name: &'static str,
    /// First kernel that has it.
    pub since: V,
    /// Whether `BPF_PROG_TEST_RUN` runs it, and since when.
    pub test_run: Option<V>,
}

use ProgType as P;

/// Every program type that hark loads or judges, in order of its number.
pub static PROG_TYPES: &[ProgTypeDef] = &[
    ProgTypeDef { ty: P::SocketFilter, name: "socket_filter", since: V(3, 19), test_run: Some(V(4, 12)) },
    ProgTypeDef { ty: P::Kprobe, name: "kprobe", since: V(4, 1), test_run: None },
    ProgTypeDef { ty: P::SchedCls, name: "sched_cls", since: V(4, 1), test_run: Some(V(4, 12)) },
    ProgTypeDef { ty: P::Tracepoint, name: "tracepoint", since: V(4, 7), test_run: None },
    ProgTypeDef { ty: P::Xdp, name: "xdp", since: V(4, 8), test_run: Some(V(4, 12)) },
    ProgTypeDef { ty: P::PerfEvent, name: "perf_event", since: V(4, 9), test_run: None },
    ProgTypeDef { ty: P::RawTracepoint, name: "raw_tracepoint", since: V(4, 17), test_run: Some(V(5, 10)) },
    ProgTypeDef { ty: P::Tracing, name: "tracing", since: V(5, 5), test_run: Some(V(5, 7)) },
    ProgTypeDef { ty: P::Syscall, name: "syscall", since: V(5, 14), test_run: Some(V(5, 14)) },
];

/// The row of `ty`, if hark knows it.
pub fn prog_type(ty: ProgType) -> Option<&'static ProgTypeDef> {
    PROG_TYPES.iter().find(|def| def.ty == ty)
}
