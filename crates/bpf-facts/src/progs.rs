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

impl ProgType {
    /// The type with this number in the UAPI.
    pub fn from_number(number: u32) -> Option<ProgType> {
        PROG_TYPES.iter().map(|def| def.ty).find(|ty| *ty as u32 == number)
    }
}

/// `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum AttachType {
    /// `BPF_CGROUP_INET_INGRESS`, 0: also "none given".
    None = 0,
    CgroupInetEgress = 1,
    CgroupInetSockCreate = 2,
    CgroupSockOps = 3,
    SkSkbStreamParser = 4,
    SkSkbStreamVerdict = 5,
    CgroupDevice = 6,
    SkMsgVerdict = 7,
    CgroupInet4Bind = 8,
    CgroupInet6Bind = 9,
    CgroupInet4Connect = 10,
    CgroupInet6Connect = 11,
    CgroupInet4PostBind = 12,
    CgroupInet6PostBind = 13,
    CgroupUdp4Sendmsg = 14,
    CgroupUdp6Sendmsg = 15,
    LircMode2 = 16,
    FlowDissector = 17,
    CgroupSysctl = 18,
    CgroupUdp4Recvmsg = 19,
    CgroupUdp6Recvmsg = 20,
    CgroupGetsockopt = 21,
    CgroupSetsockopt = 22,
    TraceRawTp = 23,
    TraceFentry = 24,
    TraceFexit = 25,
    ModifyReturn = 26,
    LsmMac = 27,
    TraceIter = 28,
    CgroupInet4Getpeername = 29,
    CgroupInet6Getpeername = 30,
    CgroupInet4Getsockname = 31,
    CgroupInet6Getsockname = 32,
    XdpDevmap = 33,
    CgroupInetSockRelease = 34,
    XdpCpumap = 35,
    SkLookup = 36,
    Xdp = 37,
    SkSkbVerdict = 38,
    SkReuseportSelect = 39,
    SkReuseportSelectOrMigrate = 40,
    PerfEvent = 41,
    TraceKprobeMulti = 42,
    LsmCgroup = 43,
    StructOps = 44,
    Netfilter = 45,
    TcxIngress = 46,
    TcxEgress = 47,
    TraceUprobeMulti = 48,
    CgroupUnixConnect = 49,
    CgroupUnixSendmsg = 50,
    CgroupUnixRecvmsg = 51,
    CgroupUnixGetpeername = 52,
    CgroupUnixGetsockname = 53,
    NetkitPrimary = 54,
    NetkitPeer = 55,
    TraceKprobeSession = 56,
    TraceUprobeSession = 57,
    TraceFsession = 58,
    TraceFentryMulti = 59,
    TraceFexitMulti = 60,
    TraceFsessionMulti = 61,
}

use AttachType as A;

/// Every attach type, in order of its number.
static ATTACH_TYPES: &[AttachType] = &[
    A::None,
    A::CgroupInetEgress,
    A::CgroupInetSockCreate,
    A::CgroupSockOps,
    A::SkSkbStreamParser,
    A::SkSkbStreamVerdict,
    A::CgroupDevice,
    A::SkMsgVerdict,
    A::CgroupInet4Bind,
    A::CgroupInet6Bind,
    A::CgroupInet4Connect,
    A::CgroupInet6Connect,
    A::CgroupInet4PostBind,
    A::CgroupInet6PostBind,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp6Sendmsg,
    A::LircMode2,
    A::FlowDissector,
    A::CgroupSysctl,
    A::CgroupUdp4Recvmsg,
    A::CgroupUdp6Recvmsg,
    A::CgroupGetsockopt,
    A::CgroupSetsockopt,
    A::TraceRawTp,
    A::TraceFentry,
    A::TraceFexit,
    A::ModifyReturn,
    A::LsmMac,
    A::TraceIter,
    A::CgroupInet4Getpeername,
    A::CgroupInet6Getpeername,
    A::CgroupInet4Getsockname,
    A::CgroupInet6Getsockname,
    A::XdpDevmap,
    A::CgroupInetSockRelease,
    A::XdpCpumap,
    A::SkLookup,
    A::Xdp,
    A::SkSkbVerdict,
    A::SkReuseportSelect,
    A::SkReuseportSelectOrMigrate,
    A::PerfEvent,
    A::TraceKprobeMulti,
    A::LsmCgroup,
    A::StructOps,
    A::Netfilter,
    A::TcxIngress,
    A::TcxEgress,
    A::TraceUprobeMulti,
    A::CgroupUnixConnect,
    A::CgroupUnixSendmsg,
    A::CgroupUnixRecvmsg,
    A::CgroupUnixGetpeername,
    A::CgroupUnixGetsockname,
    A::NetkitPrimary,
    A::NetkitPeer,
    A::TraceKprobeSession,
    A::TraceUprobeSession,
    A::TraceFsession,
    A::TraceFentryMulti,
    A::TraceFexitMulti,
    A::TraceFsessionMulti,
];

impl AttachType {
    /// The type with this number in the UAPI.
    pub fn from_number(number: u32) -> Option<AttachType> {
        ATTACH_TYPES.get(usize::try_from(number).ok()?).copied()
    }
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

    /// This one without those of `other`.
    pub const fn minus(self, other: ProgSet) -> ProgSet {
        ProgSet(self.0 & !other.0)
    }

    /// Whether `ty` is in it.
    pub const fn contains(self, ty: ProgType) -> bool {
        self.0 & (1 << ty as u32) != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
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
    /// The attach types it may be loaded for; empty if the kernel ignores the field.
    pub attach: &'static [AttachType],
}

use ProgType as P;

const fn row(
    ty: ProgType,
    name: &'static str,
    since: V,
    test_run: Option<V>,
    attach: &'static [AttachType],
) -> ProgTypeDef {
    ProgTypeDef { ty, name, since, test_run, attach }
}

/// Every program type, in order of its number. Of tracing programs only fentry, fexit and fmod_ret are test-run.
#[rustfmt::skip]
pub static PROG_TYPES: &[ProgTypeDef] = &[
    row(P::SocketFilter, "socket_filter", V(3, 19), Some(V(4, 12)), &[]),
    row(P::Kprobe, "kprobe", V(4, 1), None, &[A::None, A::TraceKprobeMulti, A::TraceUprobeMulti, A::TraceKprobeSession, A::TraceUprobeSession]),
    row(P::SchedCls, "sched_cls", V(4, 1), Some(V(4, 12)), &[A::None, A::TcxIngress, A::TcxEgress, A::NetkitPrimary, A::NetkitPeer]),
    row(P::SchedAct, "sched_act", V(4, 1), Some(V(4, 12)), &[]),
    row(P::Tracepoint, "tracepoint", V(4, 7), None, &[]),
    row(P::Xdp, "xdp", V(4, 8), Some(V(4, 12)), &[A::None, A::Xdp, A::XdpDevmap, A::XdpCpumap]),
    row(P::PerfEvent, "perf_event", V(4, 9), None, &[]),
    row(P::CgroupSkb, "cgroup_skb", V(4, 10), Some(V(4, 12)), &[A::None, A::CgroupInetEgress]),
    row(P::CgroupSock, "cgroup_sock", V(4, 10), None, &[A::None, A::CgroupInetSockCreate, A::CgroupInetSockRelease, A::CgroupInet4PostBind, A::CgroupInet6PostBind]),
    row(P::LwtIn, "lwt_in", V(4, 10), Some(V(4, 12)), &[]),
    row(P::LwtOut, "lwt_out", V(4, 10), Some(V(4, 12)), &[]),
    row(P::LwtXmit, "lwt_xmit", V(4, 10), Some(V(4, 12)), &[]),
    row(P::SockOps, "sock_ops", V(4, 13), None, &[]),
    row(P::SkSkb, "sk_skb", V(4, 14), None, &[]),
    row(P::CgroupDevice, "cgroup_device", V(4, 15), None, &[]),
    row(P::SkMsg, "sk_msg", V(4, 17), None, &[]),
    row(P::RawTracepoint, "raw_tracepoint", V(4, 17), Some(V(5, 10)), &[]),
    row(P::CgroupSockAddr, "cgroup_sock_addr", V(4, 17), None, &[
        A::CgroupInet4Bind, A::CgroupInet6Bind, A::CgroupInet4Connect, A::CgroupInet6Connect, A::CgroupUnixConnect,
        A::CgroupInet4Getpeername, A::CgroupInet6Getpeername, A::CgroupUnixGetpeername,
        A::CgroupInet4Getsockname, A::CgroupInet6Getsockname, A::CgroupUnixGetsockname,
        A::CgroupUdp4Sendmsg, A::CgroupUdp6Sendmsg, A::CgroupUnixSendmsg,
        A::CgroupUdp4Recvmsg, A::CgroupUdp6Recvmsg, A::CgroupUnixRecvmsg,
    ]),
    row(P::LwtSeg6local, "lwt_seg6local", V(4, 18), None, &[]),
    row(P::LircMode2, "lirc_mode2", V(4, 18), None, &[]),
    row(P::SkReuseport, "sk_reuseport", V(4, 19), None, &[A::None, A::SkReuseportSelect, A::SkReuseportSelectOrMigrate]),
    row(P::FlowDissector, "flow_dissector", V(4, 20), Some(V(5, 1)), &[]),
    row(P::CgroupSysctl, "cgroup_sysctl", V(5, 2), None, &[]),
    row(P::RawTracepointWritable, "raw_tracepoint_writable", V(5, 2), None, &[]),
    row(P::CgroupSockopt, "cgroup_sockopt", V(5, 3), None, &[A::CgroupSetsockopt, A::CgroupGetsockopt]),
    row(P::Tracing, "tracing", V(5, 5), Some(V(5, 7)), &[
        A::TraceRawTp, A::TraceFentry, A::TraceFexit, A::ModifyReturn, A::TraceIter,
        A::TraceFsession, A::TraceFentryMulti, A::TraceFexitMulti, A::TraceFsessionMulti,
    ]),
    row(P::StructOps, "struct_ops", V(5, 6), Some(V(5, 16)), &[]),
    row(P::Ext, "ext", V(5, 6), None, &[A::None]),
    row(P::Lsm, "lsm", V(5, 7), None, &[A::LsmMac, A::LsmCgroup]),
    row(P::SkLookup, "sk_lookup", V(5, 9), Some(V(5, 13)), &[A::SkLookup]),
    row(P::Syscall, "syscall", V(5, 14), Some(V(5, 14)), &[A::None]),
    row(P::Netfilter, "netfilter", V(6, 4), Some(V(6, 4)), &[A::Netfilter]),
];

/// The row of `ty`, if hark knows it.
pub fn prog_type(ty: ProgType) -> Option<&'static ProgTypeDef> {
    PROG_TYPES.iter().find(|def| def.ty == ty)
}

/// The row of the type called `name`, as libbpf and bpftool write it.
pub fn prog_type_by_name(name: &str) -> Option<&'static ProgTypeDef> {
    PROG_TYPES.iter().find(|def| def.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_type_has_one_row_in_order() {
        for (def, number) in PROG_TYPES.iter().zip(1..) {
            assert_eq!(def.ty as u32, number, "{}", def.name);
            assert_eq!(ProgType::from_number(number), Some(def.ty));
        }
        assert_eq!(PROG_TYPES.len(), 32);
        let names: HashSet<_> = PROG_TYPES.iter().map(|def| def.name).collect();
        assert_eq!(names.len(), PROG_TYPES.len());
    }

    #[test]
    fn attach_types_stand_at_their_number() {
        for (ty, number) in ATTACH_TYPES.iter().zip(0..) {
            assert_eq!(*ty as u32, number, "{ty:?}");
        }
        assert_eq!(AttachType::from_number(28), Some(AttachType::TraceIter));
        assert_eq!(AttachType::from_number(1000), None);
    }

    #[test]
    fn test_runs_come_not_before_their_type() {
        for def in PROG_TYPES {
            assert!(def.test_run.is_none_or(|since| since >= def.since), "{}", def.name);
        }
    }

    #[test]
    fn sets() {
        let set = ProgSet::of(&[P::Kprobe, P::Xdp]);
        assert!(set.contains(P::Xdp) && !set.contains(P::SchedCls));
        assert!(set.minus(ProgSet::of(&[P::Xdp])).contains(P::Kprobe));
        assert!(set.minus(set).is_empty());
    }
}
