//! How an object's section names say what a program is. Source: libbpf's documentation of program types and ELF
//! sections.

use crate::progs::{AttachType as A, ProgType as P};

/// What the text behind the section's name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionTarget {
    /// Nothing that the verifier asks for.
    None,
    /// A kernel function.
    Function,
    /// A tracepoint, by the typedef `btf_trace_NAME`.
    RawTracepoint,
    /// An iterator, by the function `bpf_iter_NAME`.
    Iterator,
    /// A security hook, by the function `bpf_lsm_NAME`.
    Lsm,
    /// A function of another program.
    Program,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct SectionDef {
    /// The section's name, without what follows a slash if `extends`.
    pub name: &'static str,
    /// Whether `/…` may follow.
    pub extends: bool,
    /// Program type.
    pub ty: P,
    /// Expected attach type.
    pub attach: A,
    /// Whether the program may sleep.
    pub sleepable: bool,
    /// What follows the slash.
    pub target: SectionTarget,
}

const fn whole(name: &'static str, ty: P, attach: A) -> SectionDef {
    SectionDef { name, extends: false, ty, attach, sleepable: false, target: SectionTarget::None }
}

const fn open(name: &'static str, ty: P, attach: A) -> SectionDef {
    SectionDef { name, extends: true, ty, attach, sleepable: false, target: SectionTarget::None }
}

const fn typed(name: &'static str, ty: P, attach: A, target: SectionTarget) -> SectionDef {
    SectionDef { name, extends: true, ty, attach, sleepable: false, target }
}

const fn sleeping(def: SectionDef) -> SectionDef {
    SectionDef { sleepable: true, ..def }
}

use SectionTarget as T;

/// Every section name.
pub static SECTIONS: &[SectionDef] = &[
    whole("socket", P::SocketFilter, A::None),
    whole("sk_reuseport/migrate", P::SkReuseport, A::SkReuseportSelectOrMigrate),
    whole("sk_reuseport", P::SkReuseport, A::SkReuseportSelect),
    open("kprobe", P::Kprobe, A::None),
    open("uprobe", P::Kprobe, A::None),
    sleeping(open("uprobe.s", P::Kprobe, A::None)),
    open("kretprobe", P::Kprobe, A::None),
    open("uretprobe", P::Kprobe, A::None),
    sleeping(open("uretprobe.s", P::Kprobe, A::None)),
    open("kprobe.multi", P::Kprobe, A::TraceKprobeMulti),
    open("kretprobe.multi", P::Kprobe, A::TraceKprobeMulti),
    open("kprobe.session", P::Kprobe, A::TraceKprobeSession),
    open("uprobe.multi", P::Kprobe, A::TraceUprobeMulti),
    open("uretprobe.multi", P::Kprobe, A::TraceUprobeMulti),
    open("uprobe.session", P::Kprobe, A::TraceUprobeSession),
    sleeping(open("uprobe.multi.s", P::Kprobe, A::TraceUprobeMulti)),
    sleeping(open("uretprobe.multi.s", P::Kprobe, A::TraceUprobeMulti)),
    sleeping(open("uprobe.session.s", P::Kprobe, A::TraceUprobeSession)),
    open("ksyscall", P::Kprobe, A::None),
    open("kretsyscall", P::Kprobe, A::None),
    open("usdt", P::Kprobe, A::None),
    sleeping(open("usdt.s", P::Kprobe, A::None)),
    whole("tc/ingress", P::SchedCls, A::TcxIngress),
    whole("tc/egress", P::SchedCls, A::TcxEgress),
    whole("tcx/ingress", P::SchedCls, A::TcxIngress),
    whole("tcx/egress", P::SchedCls, A::TcxEgress),
    whole("tc", P::SchedCls, A::None),
    whole("classifier", P::SchedCls, A::None),
    whole("action", P::SchedAct, A::None),
    whole("netkit/primary", P::SchedCls, A::NetkitPrimary),
    whole("netkit/peer", P::SchedCls, A::NetkitPeer),
    open("tracepoint", P::Tracepoint, A::None),
    open("tp", P::Tracepoint, A::None),
    open("raw_tracepoint", P::RawTracepoint, A::None),
    open("raw_tp", P::RawTracepoint, A::None),
    open("raw_tracepoint.w", P::RawTracepointWritable, A::None),
    open("raw_tp.w", P::RawTracepointWritable, A::None),
    typed("tp_btf", P::Tracing, A::TraceRawTp, T::RawTracepoint),
    typed("fentry", P::Tracing, A::TraceFentry, T::Function),
    typed("fmod_ret", P::Tracing, A::ModifyReturn, T::Function),
    typed("fexit", P::Tracing, A::TraceFexit, T::Function),
    typed("fsession", P::Tracing, A::TraceFsession, T::Function),
    sleeping(typed("fentry.s", P::Tracing, A::TraceFentry, T::Function)),
    sleeping(typed("fmod_ret.s", P::Tracing, A::ModifyReturn, T::Function)),
    sleeping(typed("fexit.s", P::Tracing, A::TraceFexit, T::Function)),
    sleeping(typed("fsession.s", P::Tracing, A::TraceFsession, T::Function)),
    typed("freplace", P::Ext, A::None, T::Program),
    typed("lsm", P::Lsm, A::LsmMac, T::Lsm),
    sleeping(typed("lsm.s", P::Lsm, A::LsmMac, T::Lsm)),
    typed("lsm_cgroup", P::Lsm, A::LsmCgroup, T::Lsm),
    typed("iter", P::Tracing, A::TraceIter, T::Iterator),
    sleeping(typed("iter.s", P::Tracing, A::TraceIter, T::Iterator)),
    sleeping(whole("syscall", P::Syscall, A::None)),
    whole("xdp.frags/devmap", P::Xdp, A::XdpDevmap),
    whole("xdp/devmap", P::Xdp, A::XdpDevmap),
    whole("xdp.frags/cpumap", P::Xdp, A::XdpCpumap),
    whole("xdp/cpumap", P::Xdp, A::XdpCpumap),
    whole("xdp.frags", P::Xdp, A::Xdp),
    whole("xdp", P::Xdp, A::Xdp),
    whole("perf_event", P::PerfEvent, A::None),
    whole("lwt_in", P::LwtIn, A::None),
    whole("lwt_out", P::LwtOut, A::None),
    whole("lwt_xmit", P::LwtXmit, A::None),
    whole("lwt_seg6local", P::LwtSeg6local, A::None),
    whole("sockops", P::SockOps, A::CgroupSockOps),
    whole("sk_skb/stream_parser", P::SkSkb, A::SkSkbStreamParser),
    whole("sk_skb/stream_verdict", P::SkSkb, A::SkSkbStreamVerdict),
    whole("sk_skb/verdict", P::SkSkb, A::SkSkbVerdict),
    whole("sk_skb", P::SkSkb, A::None),
    whole("sk_msg", P::SkMsg, A::SkMsgVerdict),
    whole("lirc_mode2", P::LircMode2, A::LircMode2),
    whole("flow_dissector", P::FlowDissector, A::FlowDissector),
    whole("cgroup_skb/ingress", P::CgroupSkb, A::None),
    whole("cgroup_skb/egress", P::CgroupSkb, A::CgroupInetEgress),
    whole("cgroup/skb", P::CgroupSkb, A::None),
    whole("cgroup/sock_create", P::CgroupSock, A::CgroupInetSockCreate),
    whole("cgroup/sock_release", P::CgroupSock, A::CgroupInetSockRelease),
    whole("cgroup/sock", P::CgroupSock, A::CgroupInetSockCreate),
    whole("cgroup/post_bind4", P::CgroupSock, A::CgroupInet4PostBind),
    whole("cgroup/post_bind6", P::CgroupSock, A::CgroupInet6PostBind),
    whole("cgroup/bind4", P::CgroupSockAddr, A::CgroupInet4Bind),
    whole("cgroup/bind6", P::CgroupSockAddr, A::CgroupInet6Bind),
    whole("cgroup/connect4", P::CgroupSockAddr, A::CgroupInet4Connect),
    whole("cgroup/connect6", P::CgroupSockAddr, A::CgroupInet6Connect),
    whole("cgroup/connect_unix", P::CgroupSockAddr, A::CgroupUnixConnect),
    whole("cgroup/sendmsg4", P::CgroupSockAddr, A::CgroupUdp4Sendmsg),
    whole("cgroup/sendmsg6", P::CgroupSockAddr, A::CgroupUdp6Sendmsg),
    whole("cgroup/sendmsg_unix", P::CgroupSockAddr, A::CgroupUnixSendmsg),
    whole("cgroup/recvmsg4", P::CgroupSockAddr, A::CgroupUdp4Recvmsg),
    whole("cgroup/recvmsg6", P::CgroupSockAddr, A::CgroupUdp6Recvmsg),
    whole("cgroup/recvmsg_unix", P::CgroupSockAddr, A::CgroupUnixRecvmsg),
    whole("cgroup/getpeername4", P::CgroupSockAddr, A::CgroupInet4Getpeername),
    whole("cgroup/getpeername6", P::CgroupSockAddr, A::CgroupInet6Getpeername),
    whole("cgroup/getpeername_unix", P::CgroupSockAddr, A::CgroupUnixGetpeername),
    whole("cgroup/getsockname4", P::CgroupSockAddr, A::CgroupInet4Getsockname),
    whole("cgroup/getsockname6", P::CgroupSockAddr, A::CgroupInet6Getsockname),
    whole("cgroup/getsockname_unix", P::CgroupSockAddr, A::CgroupUnixGetsockname),
    whole("cgroup/sysctl", P::CgroupSysctl, A::CgroupSysctl),
    whole("cgroup/getsockopt", P::CgroupSockopt, A::CgroupGetsockopt),
    whole("cgroup/setsockopt", P::CgroupSockopt, A::CgroupSetsockopt),
    whole("cgroup/dev", P::CgroupDevice, A::CgroupDevice),
    whole("sk_lookup", P::SkLookup, A::SkLookup),
    open("struct_ops", P::StructOps, A::None),
    sleeping(open("struct_ops.s", P::StructOps, A::None)),
    whole("netfilter", P::Netfilter, A::Netfilter),
];

/// The row of a section, and what follows its slash (empty if nothing does).
///
/// A leading `?` (not loaded unless asked for) is skipped. Where no row fits to the letter, the longest that `name`
/// begins with is taken: so older objects name several programs of one type (`xdp_drop`, `socket1`).
pub fn section_of(name: &str) -> Option<(&'static SectionDef, &str)> {
    let name = name.strip_prefix('?').unwrap_or(name);
    let fits =
        |def: &&SectionDef| name == def.name || def.extends && name.split('/').next() == Some(def.name);
    let rest = |def: &SectionDef| name[def.name.len()..].trim_start_matches('/');
    if let Some(def) = SECTIONS.iter().find(fits) {
        return Some((def, rest(def)));
    }
    let def = SECTIONS.iter().filter(|def| name.starts_with(def.name)).max_by_key(|def| def.name.len())?;
    Some((def, rest(def)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, def) in SECTIONS.iter().enumerate() {
            assert!(SECTIONS[..i].iter().all(|other| other.name != def.name), "{}", def.name);
        }
    }

    #[test]
    fn sections_say_what_a_program_is() {
        let of = |name| section_of(name).map(|(def, rest)| (def.ty, def.sleepable, rest));
        assert_eq!(of("kprobe/vfs_read"), Some((P::Kprobe, false, "vfs_read")));
        assert_eq!(of("tp/sched/sched_switch"), Some((P::Tracepoint, false, "sched/sched_switch")));
        assert_eq!(of("?fentry.s/x"), Some((P::Tracing, true, "x")));
        assert_eq!(of("uprobe//bin/sh:main"), Some((P::Kprobe, false, "bin/sh:main")));
        assert_eq!(of("xdp_drop"), Some((P::Xdp, false, "_drop")));
        assert_eq!(of("xdp.frags"), Some((P::Xdp, false, "")));
        assert_eq!(of("kprobe.multi/a*"), Some((P::Kprobe, false, "a*")));
        assert_eq!(of("nonsense"), None);
    }
}
