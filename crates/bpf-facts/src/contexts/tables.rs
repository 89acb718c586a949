//! The contexts themselves.

use super::CtxAccess::{Any, Narrow, NarrowFromStart, NarrowOrPair, NarrowOrWord, NarrowTo2, Whole};
use super::CtxFieldKind::{
    FlowKeys, Packet, PacketEnd, PacketMeta, Scalar, SockCommonOrNull, Socket, SocketOrNull, TpBuffer,
};
use super::{CtxAccess, CtxField, CtxFieldKind, CtxLayout};
use crate::progs::{AttachType as A, ProgType as P};
use crate::version::V;

/// A number of `len` bytes.
const fn num(name: &'static str, off: u32, len: u32, access: CtxAccess, since: V) -> CtxField {
    CtxField { name, off, len, count: 1, kind: Scalar, access, since, attach: &[] }
}

/// `count` numbers of 4 bytes.
const fn nums(name: &'static str, off: u32, count: u32, access: CtxAccess, since: V) -> CtxField {
    CtxField { name, off, len: 4, count, kind: Scalar, access, since, attach: &[] }
}

const fn ptr(name: &'static str, off: u32, len: u32, kind: CtxFieldKind, since: V) -> CtxField {
    CtxField { name, off, len, count: 1, kind, access: Whole, since, attach: &[] }
}

impl CtxField {
    /// Seen by these attach types only.
    const fn only(self, attach: &'static [A]) -> CtxField {
        CtxField { attach, ..self }
    }
}

const fn layout(prog: P, name: &'static str, size: u32, fields: &'static [CtxField]) -> CtxLayout {
    CtxLayout { prog, name, first: 0, size, fields, hidden: &[], writable: &[], below: false, open: false }
}

impl CtxLayout {
    const fn without(self, hidden: &'static [&'static str]) -> CtxLayout {
        CtxLayout { hidden, ..self }
    }

    const fn writing(self, writable: &'static [(&'static str, &'static [A])]) -> CtxLayout {
        CtxLayout { writable, ..self }
    }
}

/// Size of `struct pt_regs` on x86-64.
const REGS_X86_64: u32 = 168;
/// Size of `struct user_pt_regs` on Arm, which `struct pt_regs` begins with; what follows is the kernel's own.
const REGS_AARCH64: u32 = 272;

const fn perf_event_fields(regs: u32) -> [CtxField; 3] {
    [
        CtxField { count: regs / 8, ..num("regs", 0, 8, Whole, V(4, 9)) },
        num("sample_period", regs, 8, Narrow, V(4, 9)),
        num("addr", regs + 8, 8, Narrow, V(4, 17)),
    ]
}

static PERF_X86_64: [CtxField; 3] = perf_event_fields(REGS_X86_64);
static PERF_AARCH64: [CtxField; 3] = perf_event_fields(REGS_AARCH64);

/// Contexts with registers. Since 6.18 a program at a uprobe may write them.
pub(super) static X86_64: &[CtxLayout] = &[
    layout(P::Kprobe, "pt_regs", REGS_X86_64, &[]),
    layout(P::PerfEvent, "bpf_perf_event_data", REGS_X86_64 + 16, &PERF_X86_64),
];

/// Contexts with registers.
pub(super) static AARCH64: &[CtxLayout] = &[
    layout(P::Kprobe, "pt_regs", REGS_AARCH64, &[]),
    layout(P::PerfEvent, "bpf_perf_event_data", REGS_AARCH64 + 16, &PERF_AARCH64),
];

/// `struct __sk_buff`
#[rustfmt::skip]
static SK_BUFF: &[CtxField] = &[
    num("len", 0, 4, Narrow, V(3, 19)),
    num("pkt_type", 4, 4, Narrow, V(3, 19)),
    num("mark", 8, 4, Narrow, V(3, 19)),
    num("queue_mapping", 12, 4, Narrow, V(3, 19)),
    num("protocol", 16, 4, Narrow, V(4, 1)),
    num("vlan_present", 20, 4, Narrow, V(4, 1)),
    num("vlan_tci", 24, 4, Narrow, V(4, 1)),
    num("vlan_proto", 28, 4, Narrow, V(4, 1)),
    num("priority", 32, 4, Narrow, V(4, 1)),
    num("ingress_ifindex", 36, 4, Narrow, V(4, 2)),
    num("ifindex", 40, 4, Narrow, V(4, 2)),
    num("tc_index", 44, 4, Narrow, V(4, 2)),
    nums("cb", 48, 5, Any, V(4, 2)),
    num("hash", 68, 4, Narrow, V(4, 3)),
    num("tc_classid", 72, 4, Narrow, V(4, 3)),
    ptr("data", 76, 4, Packet, V(4, 7)),
    ptr("data_end", 80, 4, PacketEnd, V(4, 7)),
    num("napi_id", 84, 4, Narrow, V(4, 12)),
    num("family", 88, 4, Narrow, V(4, 14)),
    num("remote_ip4", 92, 4, Whole, V(4, 14)),
    num("local_ip4", 96, 4, Whole, V(4, 14)),
    nums("remote_ip6", 100, 4, Whole, V(4, 14)),
    nums("local_ip6", 116, 4, Whole, V(4, 14)),
    num("remote_port", 132, 4, Narrow, V(4, 14)),
    num("local_port", 136, 4, Narrow, V(4, 14)),
    ptr("data_meta", 140, 4, PacketMeta, V(4, 15)),
    ptr("flow_keys", 144, 8, FlowKeys, V(4, 20)),
    num("tstamp", 152, 8, Whole, V(5, 0)),
    num("wire_len", 160, 4, Narrow, V(5, 0)),
    num("gso_segs", 164, 4, Narrow, V(5, 1)),
    ptr("sk", 168, 8, SockCommonOrNull, V(5, 1)),
    num("gso_size", 176, 4, Narrow, V(5, 7)),
    num("tstamp_type", 180, 1, Whole, V(5, 18)),
    num("hwtstamp", 184, 8, Whole, V(5, 16)),
];

/// The addresses of the socket, which only some program types see in a packet.
macro_rules! without_addresses {
    ($($name:literal),*) => {
        &["family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port", "flow_keys",
          $($name),*]
    };
}

const fn packet(prog: P) -> CtxLayout {
    layout(prog, "__sk_buff", 192, SK_BUFF)
}

const fn classifier(prog: P) -> CtxLayout {
    packet(prog).without(without_addresses!()).writing(&[
        ("mark", &[]),
        ("tc_index", &[]),
        ("priority", &[]),
        ("tc_classid", &[]),
        ("cb", &[]),
        ("tstamp", &[]),
        ("queue_mapping", &[]),
    ])
}

const fn tunnel(prog: P) -> CtxLayout {
    packet(prog)
        .without(without_addresses!(
            "tc_classid",
            "data_meta",
            "tstamp",
            "wire_len",
            "hwtstamp",
            "tstamp_type"
        ))
        .writing(&[("mark", &[]), ("priority", &[]), ("cb", &[])])
}

/// `struct xdp_md`
static XDP_MD: &[CtxField] = &[
    ptr("data", 0, 4, Packet, V(4, 8)),
    ptr("data_end", 4, 4, PacketEnd, V(4, 8)),
    ptr("data_meta", 8, 4, PacketMeta, V(4, 15)),
    num("ingress_ifindex", 12, 4, Whole, V(4, 16)),
    num("rx_queue_index", 16, 4, Whole, V(4, 16)),
    num("egress_ifindex", 20, 4, Whole, V(5, 8)).only(&[A::XdpDevmap]),
];

/// `struct bpf_sock`
#[rustfmt::skip]
pub(super) static SOCK: &[CtxField] = &[
    num("bound_dev_if", 0, 4, Whole, V(4, 10)),
    num("family", 4, 4, NarrowFromStart, V(4, 10)),
    num("type", 8, 4, NarrowFromStart, V(4, 10)),
    num("protocol", 12, 4, NarrowFromStart, V(4, 10)),
    num("mark", 16, 4, Whole, V(4, 14)),
    num("priority", 20, 4, Whole, V(4, 14)),
    num("src_ip4", 24, 4, Narrow, V(4, 17)),
    nums("src_ip6", 28, 4, Narrow, V(4, 17)),
    num("src_port", 44, 4, NarrowFromStart, V(4, 17)),
    num("dst_port", 48, 2, NarrowOrWord, V(5, 1)),
    num("dst_ip4", 52, 4, Narrow, V(5, 1)),
    nums("dst_ip6", 56, 4, Narrow, V(5, 1)),
    num("state", 72, 4, NarrowFromStart, V(5, 1)),
    num("rx_queue_mapping", 76, 4, NarrowFromStart, V(5, 8)),
];

/// As a context, a socket shows its addresses only when bound. See `__sock_filter_check_attach_type`.
const POST_BIND4: &[A] = &[A::CgroupInet4PostBind];
const POST_BIND6: &[A] = &[A::CgroupInet6PostBind];
const POST_BIND: &[A] = &[A::CgroupInet4PostBind, A::CgroupInet6PostBind];
const SOCK_LIFE: &[A] = &[A::None, A::CgroupInetSockCreate, A::CgroupInetSockRelease];

#[rustfmt::skip]
static CGROUP_SOCK: &[CtxField] = &[
    num("bound_dev_if", 0, 4, Whole, V(4, 10)).only(SOCK_LIFE),
    num("family", 4, 4, NarrowFromStart, V(4, 10)),
    num("type", 8, 4, NarrowFromStart, V(4, 10)),
    num("protocol", 12, 4, NarrowFromStart, V(4, 10)),
    num("mark", 16, 4, Whole, V(4, 14)).only(SOCK_LIFE),
    num("priority", 20, 4, Whole, V(4, 14)).only(SOCK_LIFE),
    num("src_ip4", 24, 4, Narrow, V(4, 17)).only(POST_BIND4),
    nums("src_ip6", 28, 4, Narrow, V(4, 17)).only(POST_BIND6),
    num("src_port", 44, 4, NarrowFromStart, V(4, 17)).only(POST_BIND),
    num("dst_port", 48, 2, NarrowOrWord, V(5, 1)),
    num("dst_ip4", 52, 4, Narrow, V(5, 1)),
    nums("dst_ip6", 56, 4, Narrow, V(5, 1)),
    num("state", 72, 4, NarrowFromStart, V(5, 1)),
    num("rx_queue_mapping", 76, 4, NarrowFromStart, V(5, 8)),
];

/// `struct sk_msg_md`
#[rustfmt::skip]
static SK_MSG: &[CtxField] = &[
    ptr("data", 0, 8, Packet, V(4, 17)),
    ptr("data_end", 8, 8, PacketEnd, V(4, 17)),
    num("family", 16, 4, Whole, V(4, 18)),
    num("remote_ip4", 20, 4, Whole, V(4, 18)),
    num("local_ip4", 24, 4, Whole, V(4, 18)),
    nums("remote_ip6", 28, 4, Whole, V(4, 18)),
    nums("local_ip6", 44, 4, Whole, V(4, 18)),
    num("remote_port", 60, 4, Whole, V(4, 18)),
    num("local_port", 64, 4, Whole, V(4, 18)),
    num("size", 68, 4, Whole, V(5, 0)),
    ptr("sk", 72, 8, Socket, V(5, 8)),
];

const ADDR4: &[A] = &[
    A::CgroupInet4Bind,
    A::CgroupInet4Connect,
    A::CgroupInet4Getpeername,
    A::CgroupInet4Getsockname,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp4Recvmsg,
];
const ADDR6: &[A] = &[
    A::CgroupInet6Bind,
    A::CgroupInet6Connect,
    A::CgroupInet6Getpeername,
    A::CgroupInet6Getsockname,
    A::CgroupUdp6Sendmsg,
    A::CgroupUdp6Recvmsg,
];

/// `struct bpf_sock_addr`
#[rustfmt::skip]
static SOCK_ADDR: &[CtxField] = &[
    num("user_family", 0, 4, Whole, V(4, 17)),
    num("user_ip4", 4, 4, Narrow, V(4, 17)).only(ADDR4),
    nums("user_ip6", 8, 4, NarrowOrPair, V(4, 17)).only(ADDR6),
    num("user_port", 24, 4, Narrow, V(4, 17)),
    num("family", 28, 4, Whole, V(4, 17)),
    num("type", 32, 4, Whole, V(4, 17)),
    num("protocol", 36, 4, Whole, V(4, 17)),
    num("msg_src_ip4", 40, 4, Narrow, V(4, 18)).only(&[A::CgroupUdp4Sendmsg]),
    nums("msg_src_ip6", 44, 4, NarrowOrPair, V(4, 18)).only(&[A::CgroupUdp6Sendmsg]),
    ptr("sk", 64, 8, Socket, V(5, 3)),
];

/// `struct bpf_sock_ops`
#[rustfmt::skip]
static SOCK_OPS: &[CtxField] = &[
    num("op", 0, 4, Whole, V(4, 13)),
    num("reply", 4, 4, Whole, V(4, 13)),
    nums("args", 8, 3, Whole, V(4, 13)),
    num("family", 20, 4, Whole, V(4, 13)),
    num("remote_ip4", 24, 4, Whole, V(4, 13)),
    num("local_ip4", 28, 4, Whole, V(4, 13)),
    nums("remote_ip6", 32, 4, Whole, V(4, 13)),
    nums("local_ip6", 48, 4, Whole, V(4, 13)),
    num("remote_port", 64, 4, Whole, V(4, 13)),
    num("local_port", 68, 4, Whole, V(4, 13)),
    num("is_fullsock", 72, 4, Whole, V(4, 16)),
    num("snd_cwnd", 76, 4, Whole, V(4, 16)),
    num("srtt_us", 80, 4, Whole, V(4, 16)),
    num("bpf_sock_ops_cb_flags", 84, 4, Whole, V(4, 16)),
    num("state", 88, 4, Whole, V(4, 16)),
    num("rtt_min", 92, 4, Whole, V(4, 16)),
    num("snd_ssthresh", 96, 4, Whole, V(4, 16)),
    num("rcv_nxt", 100, 4, Whole, V(4, 16)),
    num("snd_nxt", 104, 4, Whole, V(4, 16)),
    num("snd_una", 108, 4, Whole, V(4, 16)),
    num("mss_cache", 112, 4, Whole, V(4, 16)),
    num("ecn_flags", 116, 4, Whole, V(4, 16)),
    num("rate_delivered", 120, 4, Whole, V(4, 16)),
    num("rate_interval_us", 124, 4, Whole, V(4, 16)),
    num("packets_out", 128, 4, Whole, V(4, 16)),
    num("retrans_out", 132, 4, Whole, V(4, 16)),
    num("total_retrans", 136, 4, Whole, V(4, 16)),
    num("segs_in", 140, 4, Whole, V(4, 16)),
    num("data_segs_in", 144, 4, Whole, V(4, 16)),
    num("segs_out", 148, 4, Whole, V(4, 16)),
    num("data_segs_out", 152, 4, Whole, V(4, 16)),
    num("lost_out", 156, 4, Whole, V(4, 16)),
    num("sacked_out", 160, 4, Whole, V(4, 16)),
    num("sk_txhash", 164, 4, Whole, V(4, 16)),
    num("bytes_received", 168, 8, Whole, V(4, 16)),
    num("bytes_acked", 176, 8, Whole, V(4, 16)),
    ptr("sk", 184, 8, SocketOrNull, V(5, 3)),
    ptr("skb_data", 192, 8, Packet, V(5, 10)),
    ptr("skb_data_end", 200, 8, PacketEnd, V(5, 10)),
    num("skb_len", 208, 4, Whole, V(5, 10)),
    num("skb_tcp_flags", 212, 4, NarrowFromStart, V(5, 10)),
    num("skb_hwtstamp", 216, 8, Whole, V(6, 2)),
];

/// `struct sk_reuseport_md`
#[rustfmt::skip]
static SK_REUSEPORT: &[CtxField] = &[
    ptr("data", 0, 8, Packet, V(4, 19)),
    ptr("data_end", 8, 8, PacketEnd, V(4, 19)),
    num("len", 16, 4, Narrow, V(4, 19)),
    num("eth_protocol", 20, 4, NarrowTo2, V(4, 19)),
    num("ip_protocol", 24, 4, Narrow, V(4, 19)),
    num("bind_inany", 28, 4, Narrow, V(4, 19)),
    num("hash", 32, 4, Whole, V(4, 19)),
    ptr("sk", 40, 8, Socket, V(5, 14)),
    ptr("migrating_sk", 48, 8, SockCommonOrNull, V(5, 14)),
];

/// `struct bpf_sk_lookup`
#[rustfmt::skip]
static SK_LOOKUP: &[CtxField] = &[
    ptr("sk", 0, 8, SocketOrNull, V(5, 9)),
    num("family", 8, 4, Narrow, V(5, 9)),
    num("protocol", 12, 4, Narrow, V(5, 9)),
    num("remote_ip4", 16, 4, Narrow, V(5, 9)),
    nums("remote_ip6", 20, 4, Narrow, V(5, 9)),
    num("remote_port", 36, 4, Narrow, V(5, 9)),
    num("local_ip4", 40, 4, Narrow, V(5, 9)),
    nums("local_ip6", 44, 4, Narrow, V(5, 9)),
    num("local_port", 60, 4, Narrow, V(5, 9)),
    num("ingress_ifindex", 64, 4, Narrow, V(5, 17)),
];

/// `struct bpf_sockopt`
#[rustfmt::skip]
static SOCKOPT: &[CtxField] = &[
    ptr("sk", 0, 8, Socket, V(5, 3)),
    ptr("optval", 8, 8, Packet, V(5, 3)),
    ptr("optval_end", 16, 8, PacketEnd, V(5, 3)),
    num("level", 24, 4, Whole, V(5, 3)),
    num("optname", 28, 4, Whole, V(5, 3)),
    num("optlen", 32, 4, Whole, V(5, 3)),
    num("retval", 36, 4, Whole, V(5, 3)).only(&[A::CgroupGetsockopt]),
];

static CGROUP_DEVICE: &[CtxField] = &[
    num("access_type", 0, 4, Narrow, V(4, 15)),
    num("major", 4, 4, Whole, V(4, 15)),
    num("minor", 8, 4, Whole, V(4, 15)),
];

static LIRC: &[CtxField] = &[num("sample", 0, 4, Whole, V(4, 18))];

static SYSCTL: &[CtxField] = &[num("write", 0, 4, Narrow, V(5, 2)), num("file_pos", 4, 4, Narrow, V(5, 2))];

/// Twelve words, the first of which is the buffer.
static RAW_WRITABLE: &[CtxField] =
    &[ptr("buffer", 0, 8, TpBuffer, V(5, 2)), CtxField { count: 11, ..num("args", 8, 8, Narrow, V(5, 2)) }];

/// Contexts that are the same on every architecture.
#[rustfmt::skip]
pub(super) static EVERYWHERE: &[CtxLayout] = &[
    // The record is the tracepoint's own; its first 8 bytes are a pointer of the kernel's. Attaching compares the
    // last byte read with the size of the record. Was 2048 until 5.13.
    CtxLayout { first: 8, below: true, ..layout(P::Tracepoint, "trace_event_raw", 8192, &[]) },
    layout(P::RawTracepoint, "bpf_raw_tracepoint_args", 96, &[]),
    layout(P::RawTracepointWritable, "bpf_raw_tracepoint_args", 96, RAW_WRITABLE),
    CtxLayout { open: true, ..layout(P::Syscall, "syscall_args", 0xffff, &[]) },
    packet(P::SocketFilter)
        .without(without_addresses!("tc_classid", "data", "data_meta", "data_end", "tstamp", "wire_len", "hwtstamp", "tstamp_type"))
        .writing(&[("cb", &[])]),
    classifier(P::SchedCls),
    classifier(P::SchedAct),
    packet(P::CgroupSkb)
        .without(&["tc_classid", "data_meta", "wire_len", "flow_keys", "tstamp_type"])
        .writing(&[("mark", &[]), ("priority", &[]), ("cb", &[]), ("tstamp", &[])]),
    tunnel(P::LwtIn),
    tunnel(P::LwtOut),
    tunnel(P::LwtXmit),
    tunnel(P::LwtSeg6local),
    packet(P::SkSkb)
        .without(&["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "mark", "flow_keys", "tstamp_type"])
        .writing(&[("tc_index", &[]), ("priority", &[])]),
    layout(P::FlowDissector, "__sk_buff", 192, SK_BUFF).without(&[
        "len", "pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "vlan_tci", "vlan_proto", "priority",
        "ingress_ifindex", "ifindex", "tc_index", "cb", "hash", "tc_classid", "napi_id", "family", "remote_ip4",
        "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port", "data_meta", "tstamp", "wire_len",
        "gso_segs", "sk", "gso_size", "tstamp_type", "hwtstamp",
    ]),
    layout(P::Xdp, "xdp_md", 24, XDP_MD),
    layout(P::CgroupSock, "bpf_sock", 80, CGROUP_SOCK)
        .writing(&[("bound_dev_if", SOCK_LIFE), ("mark", SOCK_LIFE), ("priority", SOCK_LIFE)]),
    layout(P::SkMsg, "sk_msg_md", 80, SK_MSG),
    layout(P::CgroupSockAddr, "bpf_sock_addr", 72, SOCK_ADDR)
        .writing(&[("user_ip4", &[]), ("user_ip6", &[]), ("user_port", &[]), ("msg_src_ip4", &[]), ("msg_src_ip6", &[])]),
    layout(P::SockOps, "bpf_sock_ops", 224, SOCK_OPS).writing(&[("reply", &[]), ("sk_txhash", &[])]),
    layout(P::SkReuseport, "sk_reuseport_md", 56, SK_REUSEPORT),
    layout(P::SkLookup, "bpf_sk_lookup", 72, SK_LOOKUP),
    layout(P::CgroupSockopt, "bpf_sockopt", 40, SOCKOPT).writing(&[
        ("retval", &[A::CgroupGetsockopt]),
        ("optname", &[A::CgroupSetsockopt]),
        ("level", &[A::CgroupSetsockopt]),
        ("optlen", &[]),
    ]),
    layout(P::CgroupDevice, "bpf_cgroup_dev_ctx", 12, CGROUP_DEVICE),
    layout(P::CgroupSysctl, "bpf_sysctl", 8, SYSCTL).writing(&[("file_pos", &[])]),
    layout(P::LircMode2, "lirc_sample", 4, LIRC),
];
