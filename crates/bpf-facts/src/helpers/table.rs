//! Every helper, one a row. The table stands for the newest kernel known; what differs elsewhere is in
//! [`exceptions`](super::exceptions).

use super::Arg::{
    self, AllocMem, Anything, BtfPtr, BtfPtrOrNull, ConstAllocSize, ConstMapPtr, ConstStr, Ctx, CtxOrNull,
    Dynptr, FixedMem, Func, IntPtr, KptrDest, KptrRelease, Len, LenOrZero, MapKey, MapValue, MapValueOrNull,
    Mem, MemOrNull, PercpuBtfPtr, Scalar, SockCommon, SockCommonBtf, SockRelease, SpinLock, StackOrNull,
    Timer, UninitMapValue,
};
use super::MemAccess::{Read, ReadWrite, Write};
use super::{DynptrArg, HelperDef, HelperFlags, HelperId, Ret};
use crate::maps::MapType;
use crate::progs::{ProgSet, ProgType as P};
use crate::version::V;

/// All program types but those that have no helpers of their own (`ext` has those of the program it replaces).
pub(super) const EVERY: ProgSet = ProgSet::ALL.minus(ProgSet::of(&[P::Ext]));
/// Those with the helpers that the kernel gives to nearly all.
pub(super) const BASE: ProgSet = EVERY.minus(ProgSet::of(&[P::LircMode2]));
/// Those of tracing, and what is built on them.
pub(super) const TRACING_LIKE: ProgSet = ProgSet::of(&[
    P::Kprobe,
    P::Tracepoint,
    P::PerfEvent,
    P::RawTracepoint,
    P::RawTracepointWritable,
    P::Tracing,
    P::Lsm,
    P::Syscall,
]);
/// Those whose context is typed by BTF, and `syscall`, which has the helpers of tracing.
pub(super) const BTF_TYPED: ProgSet = ProgSet::of(&[P::Tracing, P::Lsm, P::Syscall]);
const EVENT_OUTPUT: ProgSet =
    BASE.minus(ProgSet::of(&[P::FlowDissector, P::Netfilter, P::SkReuseport, P::StructOps]));
const TC: ProgSet = ProgSet::of(&[P::SchedCls, P::SchedAct]);
const TC_XDP: ProgSet = TC.union(ProgSet::of(&[P::Xdp]));
const TC_LWT_XMIT: ProgSet = TC.union(ProgSet::of(&[P::LwtXmit]));
const TC_CGROUP_SKB: ProgSet = TC.union(ProgSet::of(&[P::CgroupSkb]));
pub(super) const LWT_TC: ProgSet = TC.union(ProgSet::of(&[P::LwtIn, P::LwtOut, P::LwtXmit, P::LwtSeg6local]));
const SOCKET_LOOKUPS: ProgSet = TC_XDP.union(ProgSet::of(&[P::CgroupSkb, P::SkSkb, P::CgroupSockAddr]));
const SOCKET_CASTS: ProgSet = LWT_TC.union(BTF_TYPED).union(ProgSet::of(&[
    P::SocketFilter,
    P::Xdp,
    P::CgroupSkb,
    P::SockOps,
    P::SkSkb,
    P::SkMsg,
    P::CgroupSockAddr,
    P::FlowDissector,
    P::SkLookup,
]));
const CGROUP_HOOKS: ProgSet = ProgSet::of(&[
    P::CgroupSkb,
    P::CgroupSock,
    P::SockOps,
    P::CgroupDevice,
    P::CgroupSockAddr,
    P::CgroupSysctl,
    P::CgroupSockopt,
    P::Lsm,
]);
/// For `skb_load_bytes`.
const SKB_READERS: ProgSet = ProgSet::of(&[
    P::SocketFilter,
    P::SchedCls,
    P::SchedAct,
    P::CgroupSkb,
    P::LwtIn,
    P::LwtOut,
    P::LwtXmit,
    P::SkSkb,
    P::LwtSeg6local,
    P::SkReuseport,
    P::FlowDissector,
]);
/// For `ktime_get_coarse_ns`.
const SOCKET_LEVEL: ProgSet = ProgSet::of(&[
    P::SocketFilter,
    P::SchedCls,
    P::SchedAct,
    P::Xdp,
    P::CgroupSkb,
    P::CgroupSock,
    P::LwtIn,
    P::LwtOut,
    P::LwtXmit,
    P::SockOps,
    P::SkSkb,
    P::SkMsg,
    P::CgroupSockAddr,
    P::LwtSeg6local,
    P::SkReuseport,
    P::FlowDissector,
    P::CgroupSysctl,
    P::StructOps,
    P::SkLookup,
]);
/// For `get_socket_cookie`.
const SOCKET_COOKIE: ProgSet = ProgSet::of(&[
    P::SocketFilter,
    P::SchedCls,
    P::SchedAct,
    P::CgroupSkb,
    P::CgroupSock,
    P::SockOps,
    P::SkSkb,
    P::CgroupSockAddr,
    P::SkReuseport,
    P::Tracing,
    P::Lsm,
    P::Syscall,
]);
/// For `sk_storage_get`.
const SK_STORAGE: ProgSet = ProgSet::of(&[
    P::SchedCls,
    P::SchedAct,
    P::CgroupSkb,
    P::CgroupSock,
    P::SockOps,
    P::SkMsg,
    P::CgroupSockAddr,
    P::CgroupSockopt,
    P::Tracing,
    P::StructOps,
    P::Lsm,
    P::Syscall,
]);
/// For `sk_storage_delete`.
const SK_STORAGE_DELETE: ProgSet = ProgSet::of(&[
    P::SchedCls,
    P::SchedAct,
    P::CgroupSkb,
    P::SockOps,
    P::SkMsg,
    P::CgroupSockAddr,
    P::CgroupSockopt,
    P::Tracing,
    P::StructOps,
    P::Lsm,
    P::Syscall,
]);
/// For `get_netns_cookie`.
const NETNS_COOKIE: ProgSet = ProgSet::of(&[
    P::SocketFilter,
    P::SchedCls,
    P::SchedAct,
    P::CgroupSkb,
    P::CgroupSock,
    P::SockOps,
    P::SkMsg,
    P::CgroupSockAddr,
    P::CgroupSockopt,
]);
/// For `setsockopt`.
const SOCKOPT: ProgSet =
    ProgSet::of(&[P::CgroupSock, P::SockOps, P::CgroupSockAddr, P::CgroupSockopt, P::StructOps, P::Lsm]);
/// For `csum_diff`.
const CHECKSUM: ProgSet =
    ProgSet::of(&[P::SchedCls, P::SchedAct, P::Xdp, P::LwtIn, P::LwtOut, P::LwtXmit, P::LwtSeg6local]);
/// For `sk_release`.
const SOCKET_RELEASE: ProgSet =
    ProgSet::of(&[P::SchedCls, P::SchedAct, P::Xdp, P::CgroupSkb, P::SkSkb, P::CgroupSockAddr, P::SkLookup]);

const LOOKUP: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
    MapType::Devmap,
    MapType::Sockmap,
    MapType::Xskmap,
    MapType::Sockhash,
    MapType::DevmapHash,
    MapType::Rhash,
];
/// What the verifier lets programs update and delete in; socket maps only in some program types.
const UPDATE: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::Sockmap,
    MapType::Sockhash,
    MapType::Rhash,
];
/// What `for_each_map_elem` walks: hash tables since 5.13, the new resizable one since it exists.
const ITERABLE: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::Rhash,
];
const PERCPU: &[MapType] = &[MapType::PercpuHash, MapType::PercpuArray, MapType::LruPercpuHash];
const QUEUES: &[MapType] = &[MapType::Queue, MapType::Stack];
const PUSHABLE: &[MapType] = &[MapType::Queue, MapType::Stack, MapType::BloomFilter];
const REDIRECT: &[MapType] = &[MapType::Devmap, MapType::Cpumap, MapType::Xskmap, MapType::DevmapHash];
const REUSEPORT: &[MapType] = &[MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray];
const CGROUP_STORAGE: &[MapType] = &[MapType::CgroupStorage, MapType::PercpuCgroupStorage];
/// Maps whose values may have a timer.
const TIMERS: &[MapType] = &[MapType::Hash, MapType::Array, MapType::LruHash];

const PLAIN: HelperFlags = HelperFlags {
    gpl_only: false,
    may_sleep: false,
    clobbers_packet: false,
    pure_per_run: false,
    packet_mem: false,
    acquires: false,
    by_target: false,
    only_result: false,
    overwrites: false,
    fastcall: false,
    more_args: false,
};
const GPL: HelperFlags = HelperFlags { gpl_only: true, ..PLAIN };
const SLEEPS: HelperFlags = HelperFlags { may_sleep: true, ..PLAIN };
const CLOBBERS: HelperFlags = HelperFlags { clobbers_packet: true, ..PLAIN };
const PURE: HelperFlags = HelperFlags { pure_per_run: true, only_result: true, ..PLAIN };
const PACKET: HelperFlags = HelperFlags { packet_mem: true, ..PLAIN };
const ACQUIRES: HelperFlags = HelperFlags { acquires: true, ..PLAIN };
const TARGET: HelperFlags = HelperFlags { by_target: true, ..PLAIN };
const TELLS: HelperFlags = HelperFlags { only_result: true, ..PLAIN };
const FILLS: HelperFlags = HelperFlags { overwrites: true, ..PLAIN };
const FASTCALL: HelperFlags = HelperFlags { fastcall: true, ..PLAIN };
const FORMATS: HelperFlags = HelperFlags { more_args: true, ..PLAIN };

impl HelperFlags {
    const fn and(self, more: HelperFlags) -> HelperFlags {
        HelperFlags {
            gpl_only: self.gpl_only | more.gpl_only,
            may_sleep: self.may_sleep | more.may_sleep,
            clobbers_packet: self.clobbers_packet | more.clobbers_packet,
            pure_per_run: self.pure_per_run | more.pure_per_run,
            packet_mem: self.packet_mem | more.packet_mem,
            acquires: self.acquires | more.acquires,
            by_target: self.by_target | more.by_target,
            only_result: self.only_result | more.only_result,
            overwrites: self.overwrites | more.overwrites,
            fastcall: self.fastcall | more.fastcall,
            more_args: self.more_args | more.more_args,
        }
    }
}

/// So many arguments, and no further ones.
pub(super) const fn args(list: &[Arg]) -> [Arg; 5] {
    let mut all = [Arg::None; 5];
    let mut i = 0;
    while i < list.len() {
        all[i] = list[i];
        i += 1;
    }
    all
}

/// A row is: number, constant, name, arguments, result; first kernel, program types, map types, flags.
macro_rules! helpers {
    ($($id:literal $konst:ident $name:literal ($($arg:expr),*) -> $ret:expr;
       $since:expr, $progs:expr, $maps:expr, $flags:expr;)*) => {
        #[allow(missing_docs, reason = "HELPERS describes each")]
        impl HelperId {
            $(pub const $konst: HelperId = HelperId($id);)*
        }

        /// Every helper, in order of its number.
        pub static HELPERS: &[HelperDef] = &[
            $(HelperDef {
                id: HelperId($id),
                name: $name,
                args: args(&[$($arg),*]),
                ret: $ret,
                since: $since,
                progs: $progs,
                maps: $maps,
                flags: $flags,
            },)*
        ];
    };
}

helpers! {
    1 MAP_LOOKUP_ELEM "map_lookup_elem" (ConstMapPtr, MapKey) -> Ret::MapValueOrNull; V(3, 19), EVERY, LOOKUP, PACKET.and(TELLS);
    2 MAP_UPDATE_ELEM "map_update_elem" (ConstMapPtr, MapKey, MapValue, Anything) -> Ret::Scalar; V(3, 19), EVERY, UPDATE, PACKET;
    3 MAP_DELETE_ELEM "map_delete_elem" (ConstMapPtr, MapKey) -> Ret::Scalar; V(3, 19), EVERY, UPDATE, PACKET;
    4 PROBE_READ "probe_read" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(4, 1), TRACING_LIKE, &[], GPL.and(FILLS);
    5 KTIME_GET_NS "ktime_get_ns" () -> Ret::Scalar; V(4, 1), EVERY, &[], TELLS;
    6 TRACE_PRINTK "trace_printk" (Mem(Read), Len) -> Ret::Scalar; V(4, 1), EVERY, &[], GPL.and(FORMATS);
    7 GET_PRANDOM_U32 "get_prandom_u32" () -> Ret::Scalar; V(4, 1), EVERY, &[], TELLS;
    8 GET_SMP_PROCESSOR_ID "get_smp_processor_id" () -> Ret::Scalar; V(4, 1), BASE, &[], PURE.and(FASTCALL);
    9 SKB_STORE_BYTES "skb_store_bytes" (Ctx, Anything, Mem(Read), Len, Anything) -> Ret::Scalar; V(4, 1), ProgSet::of(&[P::SchedCls, P::SchedAct, P::LwtXmit, P::SkSkb]), &[], CLOBBERS;
    10 L3_CSUM_REPLACE "l3_csum_replace" (Ctx, Anything, Anything, Anything, Anything) -> Ret::Scalar; V(4, 1), TC_LWT_XMIT, &[], CLOBBERS;
    11 L4_CSUM_REPLACE "l4_csum_replace" (Ctx, Anything, Anything, Anything, Anything) -> Ret::Scalar; V(4, 1), TC_LWT_XMIT, &[], CLOBBERS;
    12 TAIL_CALL "tail_call" (Ctx, ConstMapPtr, Anything) -> Ret::Void; V(4, 2), EVERY, &[MapType::ProgArray], CLOBBERS;
    13 CLONE_REDIRECT "clone_redirect" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 2), TC_LWT_XMIT, &[], CLOBBERS;
    14 GET_CURRENT_PID_TGID "get_current_pid_tgid" () -> Ret::Scalar; V(4, 2), BASE, &[], PURE;
    15 GET_CURRENT_UID_GID "get_current_uid_gid" () -> Ret::Scalar; V(4, 2), BASE, &[], PURE;
    16 GET_CURRENT_COMM "get_current_comm" (Mem(Write), Len) -> Ret::Scalar; V(4, 2), BASE, &[], PLAIN;
    17 GET_CGROUP_CLASSID "get_cgroup_classid" () -> Ret::Scalar; V(4, 3), BASE, &[], PLAIN;
    18 SKB_VLAN_PUSH "skb_vlan_push" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 3), TC, &[], CLOBBERS;
    19 SKB_VLAN_POP "skb_vlan_pop" (Ctx) -> Ret::Scalar; V(4, 3), TC, &[], CLOBBERS;
    20 SKB_GET_TUNNEL_KEY "skb_get_tunnel_key" (Ctx, Mem(Write), Len, Anything) -> Ret::Scalar; V(4, 3), TC_LWT_XMIT, &[], PLAIN;
    21 SKB_SET_TUNNEL_KEY "skb_set_tunnel_key" (Ctx, Mem(Read), Len, Anything) -> Ret::Scalar; V(4, 3), TC_LWT_XMIT, &[], PLAIN;
    22 PERF_EVENT_READ "perf_event_read" (ConstMapPtr, Anything) -> Ret::Scalar; V(4, 3), BASE, &[MapType::PerfEventArray], GPL;
    23 REDIRECT "redirect" (Anything, Anything) -> Ret::Scalar; V(4, 4), ProgSet::of(&[P::SchedCls, P::SchedAct, P::Xdp, P::LwtXmit]), &[], PLAIN;
    24 GET_ROUTE_REALM "get_route_realm" (Ctx) -> Ret::Scalar; V(4, 4), LWT_TC, &[], PLAIN;
    25 PERF_EVENT_OUTPUT "perf_event_output" (Ctx, ConstMapPtr, Anything, Mem(Read), LenOrZero) -> Ret::Scalar; V(4, 4), EVENT_OUTPUT, &[MapType::PerfEventArray], GPL;
    26 SKB_LOAD_BYTES "skb_load_bytes" (Ctx, Anything, Mem(Write), Len) -> Ret::Scalar; V(4, 5), SKB_READERS, &[], PLAIN;
    27 GET_STACKID "get_stackid" (Ctx, ConstMapPtr, Anything) -> Ret::Scalar; V(4, 6), TRACING_LIKE, &[MapType::StackTrace], GPL;
    28 CSUM_DIFF "csum_diff" (MemOrNull(Read), LenOrZero, MemOrNull(Read), LenOrZero, Anything) -> Ret::Scalar; V(4, 6), CHECKSUM, &[], PACKET;
    29 SKB_GET_TUNNEL_OPT "skb_get_tunnel_opt" (Ctx, Mem(Write), Len) -> Ret::Scalar; V(4, 6), TC_LWT_XMIT, &[], PLAIN;
    30 SKB_SET_TUNNEL_OPT "skb_set_tunnel_opt" (Ctx, Mem(Read), Len) -> Ret::Scalar; V(4, 6), TC_LWT_XMIT, &[], PLAIN;
    31 SKB_CHANGE_PROTO "skb_change_proto" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 8), TC, &[], CLOBBERS;
    32 SKB_CHANGE_TYPE "skb_change_type" (Ctx, Anything) -> Ret::Scalar; V(4, 8), TC, &[], PLAIN;
    33 SKB_UNDER_CGROUP "skb_under_cgroup" (Ctx, ConstMapPtr, Anything) -> Ret::Scalar; V(4, 8), LWT_TC, &[MapType::CgroupArray], PLAIN;
    34 GET_HASH_RECALC "get_hash_recalc" (Ctx) -> Ret::Scalar; V(4, 8), LWT_TC, &[], PLAIN;
    35 GET_CURRENT_TASK "get_current_task" () -> Ret::Scalar; V(4, 8), BASE, &[], GPL.and(PURE);
    36 PROBE_WRITE_USER "probe_write_user" (Anything, Mem(Read), Len) -> Ret::Scalar; V(4, 8), TRACING_LIKE, &[], GPL;
    37 CURRENT_TASK_UNDER_CGROUP "current_task_under_cgroup" (ConstMapPtr, Anything) -> Ret::Scalar; V(4, 9), BASE, &[MapType::CgroupArray], PLAIN;
    38 SKB_CHANGE_TAIL "skb_change_tail" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 9), ProgSet::of(&[P::SchedCls, P::SchedAct, P::LwtXmit, P::SkSkb]), &[], CLOBBERS;
    39 SKB_PULL_DATA "skb_pull_data" (Ctx, Anything) -> Ret::Scalar; V(4, 9), ProgSet::of(&[P::SchedCls, P::SchedAct, P::LwtIn, P::LwtOut, P::LwtXmit, P::SkSkb]), &[], CLOBBERS;
    40 CSUM_UPDATE "csum_update" (Ctx, Anything) -> Ret::Scalar; V(4, 9), TC_LWT_XMIT, &[], PLAIN;
    41 SET_HASH_INVALID "set_hash_invalid" (Ctx) -> Ret::Scalar; V(4, 9), TC_LWT_XMIT, &[], PLAIN;
    42 GET_NUMA_NODE_ID "get_numa_node_id" () -> Ret::Scalar; V(4, 10), BASE, &[], PURE;
    43 SKB_CHANGE_HEAD "skb_change_head" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 10), ProgSet::of(&[P::SchedCls, P::SchedAct, P::LwtXmit, P::SkSkb]), &[], CLOBBERS;
    44 XDP_ADJUST_HEAD "xdp_adjust_head" (Ctx, Anything) -> Ret::Scalar; V(4, 10), ProgSet::of(&[P::Xdp]), &[], CLOBBERS;
    45 PROBE_READ_STR "probe_read_str" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(4, 11), TRACING_LIKE, &[], GPL;
    46 GET_SOCKET_COOKIE "get_socket_cookie" (Ctx) -> Ret::Scalar; V(4, 12), SOCKET_COOKIE, &[], PLAIN;
    47 GET_SOCKET_UID "get_socket_uid" (Ctx) -> Ret::Scalar; V(4, 12), ProgSet::of(&[P::SocketFilter, P::SchedCls, P::SchedAct, P::CgroupSkb, P::SkSkb]), &[], PLAIN;
    48 SET_HASH "set_hash" (Ctx, Anything) -> Ret::Scalar; V(4, 13), TC, &[], PLAIN;
    49 SETSOCKOPT "setsockopt" (Ctx, Anything, Anything, Mem(Read), Len) -> Ret::Scalar; V(4, 13), SOCKOPT, &[], PLAIN;
    50 SKB_ADJUST_ROOM "skb_adjust_room" (Ctx, Anything, Anything, Anything) -> Ret::Scalar; V(4, 13), ProgSet::of(&[P::SchedCls, P::SchedAct, P::SkSkb]), &[], CLOBBERS;
    51 REDIRECT_MAP "redirect_map" (ConstMapPtr, Anything, Anything) -> Ret::Scalar; V(4, 14), ProgSet::of(&[P::Xdp]), REDIRECT, PLAIN;
    52 SK_REDIRECT_MAP "sk_redirect_map" (Ctx, ConstMapPtr, Anything, Anything) -> Ret::Scalar; V(4, 14), ProgSet::of(&[P::SkSkb]), &[MapType::Sockmap], PLAIN;
    53 SOCK_MAP_UPDATE "sock_map_update" (Ctx, ConstMapPtr, MapKey, Anything) -> Ret::Scalar; V(4, 14), ProgSet::of(&[P::SockOps]), &[MapType::Sockmap], PACKET;
    54 XDP_ADJUST_META "xdp_adjust_meta" (Ctx, Anything) -> Ret::Scalar; V(4, 15), ProgSet::of(&[P::Xdp]), &[], CLOBBERS;
    55 PERF_EVENT_READ_VALUE "perf_event_read_value" (ConstMapPtr, Anything, Mem(Write), Len) -> Ret::Scalar; V(4, 15), BASE, &[MapType::PerfEventArray], GPL;
    56 PERF_PROG_READ_VALUE "perf_prog_read_value" (Ctx, Mem(Write), Len) -> Ret::Scalar; V(4, 15), ProgSet::of(&[P::PerfEvent]), &[], GPL;
    57 GETSOCKOPT "getsockopt" (Ctx, Anything, Anything, Mem(Write), Len) -> Ret::Scalar; V(4, 15), SOCKOPT, &[], PLAIN;
    58 OVERRIDE_RETURN "override_return" (Ctx, Anything) -> Ret::Scalar; V(4, 16), ProgSet::of(&[P::Kprobe]), &[], GPL;
    59 SOCK_OPS_CB_FLAGS_SET "sock_ops_cb_flags_set" (Ctx, Anything) -> Ret::Scalar; V(4, 16), ProgSet::of(&[P::SockOps]), &[], PLAIN;
    60 MSG_REDIRECT_MAP "msg_redirect_map" (Ctx, ConstMapPtr, Anything, Anything) -> Ret::Scalar; V(4, 17), ProgSet::of(&[P::SkMsg]), &[MapType::Sockmap], PLAIN;
    61 MSG_APPLY_BYTES "msg_apply_bytes" (Ctx, Anything) -> Ret::Scalar; V(4, 17), ProgSet::of(&[P::SkMsg]), &[], PLAIN;
    62 MSG_CORK_BYTES "msg_cork_bytes" (Ctx, Anything) -> Ret::Scalar; V(4, 17), ProgSet::of(&[P::SkMsg]), &[], PLAIN;
    63 MSG_PULL_DATA "msg_pull_data" (Ctx, Anything, Anything, Anything) -> Ret::Scalar; V(4, 17), ProgSet::of(&[P::SkMsg]), &[], CLOBBERS;
    64 BIND "bind" (Ctx, Mem(Read), Len) -> Ret::Scalar; V(4, 17), ProgSet::of(&[P::CgroupSockAddr]), &[], PLAIN;
    65 XDP_ADJUST_TAIL "xdp_adjust_tail" (Ctx, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::Xdp]), &[], CLOBBERS;
    66 SKB_GET_XFRM_STATE "skb_get_xfrm_state" (Ctx, Anything, Mem(Write), Len, Anything) -> Ret::Scalar; V(4, 18), TC, &[], PLAIN;
    67 GET_STACK "get_stack" (Ctx, Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(4, 18), TRACING_LIKE, &[], GPL.and(FILLS);
    68 SKB_LOAD_BYTES_RELATIVE "skb_load_bytes_relative" (Ctx, Anything, Mem(Write), Len, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::SocketFilter, P::SchedCls, P::SchedAct, P::CgroupSkb, P::SkReuseport]), &[], PLAIN;
    69 FIB_LOOKUP "fib_lookup" (Ctx, Mem(ReadWrite), Len, Anything) -> Ret::Scalar; V(4, 18), TC_XDP, &[], GPL;
    70 SOCK_HASH_UPDATE "sock_hash_update" (Ctx, ConstMapPtr, MapKey, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::SockOps]), &[MapType::Sockhash], PACKET;
    71 MSG_REDIRECT_HASH "msg_redirect_hash" (Ctx, ConstMapPtr, MapKey, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::SkMsg]), &[MapType::Sockhash], PLAIN;
    72 SK_REDIRECT_HASH "sk_redirect_hash" (Ctx, ConstMapPtr, MapKey, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::SkSkb]), &[MapType::Sockhash], PLAIN;
    73 LWT_PUSH_ENCAP "lwt_push_encap" (Ctx, Anything, Mem(Read), Len) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LwtIn, P::LwtXmit]), &[], CLOBBERS;
    74 LWT_SEG6_STORE_BYTES "lwt_seg6_store_bytes" (Ctx, Anything, Mem(Read), Len) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LwtSeg6local]), &[], CLOBBERS;
    75 LWT_SEG6_ADJUST_SRH "lwt_seg6_adjust_srh" (Ctx, Anything, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LwtSeg6local]), &[], CLOBBERS;
    76 LWT_SEG6_ACTION "lwt_seg6_action" (Ctx, Anything, Mem(Read), Len) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LwtSeg6local]), &[], CLOBBERS;
    77 RC_REPEAT "rc_repeat" (Ctx) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LircMode2]), &[], GPL;
    78 RC_KEYDOWN "rc_keydown" (Ctx, Anything, Anything, Anything) -> Ret::Scalar; V(4, 18), ProgSet::of(&[P::LircMode2]), &[], GPL;
    79 SKB_CGROUP_ID "skb_cgroup_id" (Ctx) -> Ret::Scalar; V(4, 18), TC_CGROUP_SKB, &[], PLAIN;
    80 GET_CURRENT_CGROUP_ID "get_current_cgroup_id" () -> Ret::Scalar; V(4, 18), BASE, &[], PURE;
    81 GET_LOCAL_STORAGE "get_local_storage" (ConstMapPtr, Anything) -> Ret::MapValue; V(4, 19), CGROUP_HOOKS, CGROUP_STORAGE, PLAIN;
    82 SK_SELECT_REUSEPORT "sk_select_reuseport" (Ctx, ConstMapPtr, MapKey, Anything) -> Ret::Scalar; V(4, 19), ProgSet::of(&[P::SkReuseport]), REUSEPORT, PLAIN;
    83 SKB_ANCESTOR_CGROUP_ID "skb_ancestor_cgroup_id" (Ctx, Anything) -> Ret::Scalar; V(4, 19), TC_CGROUP_SKB, &[], PLAIN;
    84 SK_LOOKUP_TCP "sk_lookup_tcp" (Ctx, Mem(Read), LenOrZero, Anything, Anything) -> Ret::SocketOrNull; V(4, 20), SOCKET_LOOKUPS, &[], PACKET.and(ACQUIRES);
    85 SK_LOOKUP_UDP "sk_lookup_udp" (Ctx, Mem(Read), LenOrZero, Anything, Anything) -> Ret::SocketOrNull; V(4, 20), SOCKET_LOOKUPS, &[], PACKET.and(ACQUIRES);
    86 SK_RELEASE "sk_release" (SockRelease) -> Ret::Scalar; V(4, 20), SOCKET_RELEASE, &[], PLAIN;
    87 MAP_PUSH_ELEM "map_push_elem" (ConstMapPtr, MapValue, Anything) -> Ret::Scalar; V(4, 20), EVERY, PUSHABLE, PACKET;
    88 MAP_POP_ELEM "map_pop_elem" (ConstMapPtr, UninitMapValue) -> Ret::Scalar; V(4, 20), EVERY, QUEUES, PLAIN;
    89 MAP_PEEK_ELEM "map_peek_elem" (ConstMapPtr, UninitMapValue) -> Ret::Scalar; V(4, 20), EVERY, PUSHABLE, PLAIN;
    90 MSG_PUSH_DATA "msg_push_data" (Ctx, Anything, Anything, Anything) -> Ret::Scalar; V(4, 20), ProgSet::of(&[P::SkMsg]), &[], CLOBBERS;
    91 MSG_POP_DATA "msg_pop_data" (Ctx, Anything, Anything, Anything) -> Ret::Scalar; V(5, 0), ProgSet::of(&[P::SkMsg]), &[], CLOBBERS;
    92 RC_POINTER_REL "rc_pointer_rel" (Ctx, Anything, Anything) -> Ret::Scalar; V(5, 0), ProgSet::of(&[P::LircMode2]), &[], GPL;
    93 SPIN_LOCK "spin_lock" (SpinLock) -> Ret::Void; V(5, 1), BASE, &[], PLAIN;
    94 SPIN_UNLOCK "spin_unlock" (SpinLock) -> Ret::Void; V(5, 1), BASE, &[], PLAIN;
    95 SK_FULLSOCK "sk_fullsock" (SockCommon) -> Ret::SocketOrNull; V(5, 1), TC_CGROUP_SKB, &[], PLAIN;
    96 TCP_SOCK "tcp_sock" (SockCommon) -> Ret::TcpSockOrNull; V(5, 1), ProgSet::of(&[P::SchedCls, P::SchedAct, P::CgroupSkb, P::SockOps, P::CgroupSockopt]), &[], PLAIN;
    97 SKB_ECN_SET_CE "skb_ecn_set_ce" (Ctx) -> Ret::Scalar; V(5, 1), TC_CGROUP_SKB, &[], PLAIN;
    98 GET_LISTENER_SOCK "get_listener_sock" (SockCommon) -> Ret::SocketOrNull; V(5, 1), TC_CGROUP_SKB, &[], PLAIN;
    99 SKC_LOOKUP_TCP "skc_lookup_tcp" (Ctx, Mem(Read), LenOrZero, Anything, Anything) -> Ret::SockCommonOrNull; V(5, 2), SOCKET_LOOKUPS, &[], PACKET.and(ACQUIRES);
    100 TCP_CHECK_SYNCOOKIE "tcp_check_syncookie" (SockCommonBtf, Mem(Read), Len, Mem(Read), Len) -> Ret::Scalar; V(5, 2), TC_XDP, &[], GPL.and(PACKET);
    101 SYSCTL_GET_NAME "sysctl_get_name" (Ctx, Mem(ReadWrite), Len, Anything) -> Ret::Scalar; V(5, 2), ProgSet::of(&[P::CgroupSysctl]), &[], PLAIN;
    102 SYSCTL_GET_CURRENT_VALUE "sysctl_get_current_value" (Ctx, Mem(Write), Len) -> Ret::Scalar; V(5, 2), ProgSet::of(&[P::CgroupSysctl]), &[], PLAIN;
    103 SYSCTL_GET_NEW_VALUE "sysctl_get_new_value" (Ctx, Mem(Write), Len) -> Ret::Scalar; V(5, 2), ProgSet::of(&[P::CgroupSysctl]), &[], PLAIN;
    104 SYSCTL_SET_NEW_VALUE "sysctl_set_new_value" (Ctx, Mem(Read), Len) -> Ret::Scalar; V(5, 2), ProgSet::of(&[P::CgroupSysctl]), &[], PLAIN;
    105 STRTOL "strtol" (Mem(Read), Len, Anything, IntPtr(8)) -> Ret::Scalar; V(5, 2), BASE, &[], PLAIN;
    106 STRTOUL "strtoul" (Mem(Read), Len, Anything, IntPtr(8)) -> Ret::Scalar; V(5, 2), BASE, &[], PLAIN;
    107 SK_STORAGE_GET "sk_storage_get" (ConstMapPtr, SockCommonBtf, MapValueOrNull, Anything) -> Ret::MapValueOrNull; V(5, 2), SK_STORAGE, &[MapType::SkStorage], PLAIN;
    108 SK_STORAGE_DELETE "sk_storage_delete" (ConstMapPtr, SockCommonBtf) -> Ret::Scalar; V(5, 2), SK_STORAGE_DELETE, &[MapType::SkStorage], PLAIN;
    109 SEND_SIGNAL "send_signal" (Anything) -> Ret::Scalar; V(5, 3), BASE, &[], PLAIN;
    110 TCP_GEN_SYNCOOKIE "tcp_gen_syncookie" (SockCommonBtf, Mem(Read), Len, Mem(Read), Len) -> Ret::Scalar; V(5, 4), TC_XDP, &[], GPL.and(PACKET);
    111 SKB_OUTPUT "skb_output" (BtfPtr("sk_buff"), ConstMapPtr, Anything, Mem(Read), LenOrZero) -> Ret::Scalar; V(5, 5), BTF_TYPED, &[MapType::PerfEventArray], GPL;
    112 PROBE_READ_USER "probe_read_user" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 5), BASE, &[], GPL.and(FILLS);
    113 PROBE_READ_KERNEL "probe_read_kernel" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 5), BASE, &[], GPL.and(FILLS);
    114 PROBE_READ_USER_STR "probe_read_user_str" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 5), BASE, &[], GPL;
    115 PROBE_READ_KERNEL_STR "probe_read_kernel_str" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 5), BASE, &[], GPL;
    116 TCP_SEND_ACK "tcp_send_ack" (BtfPtr("tcp_sock"), Anything) -> Ret::Scalar; V(5, 6), ProgSet::of(&[P::StructOps]), &[], PLAIN;
    117 SEND_SIGNAL_THREAD "send_signal_thread" (Anything) -> Ret::Scalar; V(5, 6), BASE, &[], PLAIN;
    118 JIFFIES64 "jiffies64" () -> Ret::Scalar; V(5, 6), BASE, &[], TELLS;
    119 READ_BRANCH_RECORDS "read_branch_records" (Ctx, MemOrNull(ReadWrite), LenOrZero, Anything) -> Ret::Scalar; V(5, 7), ProgSet::of(&[P::PerfEvent]), &[], GPL;
    120 GET_NS_CURRENT_PID_TGID "get_ns_current_pid_tgid" (Anything, Anything, Mem(Write), Len) -> Ret::Scalar; V(5, 7), BASE, &[], PLAIN;
    121 XDP_OUTPUT "xdp_output" (BtfPtr("xdp_buff"), ConstMapPtr, Anything, Mem(Read), LenOrZero) -> Ret::Scalar; V(5, 7), BTF_TYPED, &[MapType::PerfEventArray], GPL;
    122 GET_NETNS_COOKIE "get_netns_cookie" (CtxOrNull) -> Ret::Scalar; V(5, 7), NETNS_COOKIE, &[], PLAIN;
    123 GET_CURRENT_ANCESTOR_CGROUP_ID "get_current_ancestor_cgroup_id" (Anything) -> Ret::Scalar; V(5, 7), BASE, &[], PURE;
    124 SK_ASSIGN "sk_assign" (Ctx, SockCommonBtf, Anything) -> Ret::Scalar; V(5, 7), ProgSet::of(&[P::SchedCls, P::SchedAct, P::SkLookup]), &[], PLAIN;
    125 KTIME_GET_BOOT_NS "ktime_get_boot_ns" () -> Ret::Scalar; V(5, 8), EVERY, &[], TELLS;
    126 SEQ_PRINTF "seq_printf" (BtfPtr("seq_file"), Mem(Read), Len, MemOrNull(Read), LenOrZero) -> Ret::Scalar; V(5, 8), BTF_TYPED, &[], GPL;
    127 SEQ_WRITE "seq_write" (BtfPtr("seq_file"), Mem(Read), LenOrZero) -> Ret::Scalar; V(5, 8), BTF_TYPED, &[], GPL;
    128 SK_CGROUP_ID "sk_cgroup_id" (SockCommonBtf) -> Ret::Scalar; V(5, 8), ProgSet::of(&[P::CgroupSkb]), &[], PLAIN;
    129 SK_ANCESTOR_CGROUP_ID "sk_ancestor_cgroup_id" (SockCommonBtf, Anything) -> Ret::Scalar; V(5, 8), ProgSet::of(&[P::CgroupSkb]), &[], PLAIN;
    130 RINGBUF_OUTPUT "ringbuf_output" (ConstMapPtr, Mem(Read), LenOrZero, Anything) -> Ret::Scalar; V(5, 8), BASE, &[MapType::Ringbuf], PLAIN;
    131 RINGBUF_RESERVE "ringbuf_reserve" (ConstMapPtr, ConstAllocSize, Anything) -> Ret::AllocMemOrNull; V(5, 8), BASE, &[MapType::Ringbuf], ACQUIRES;
    132 RINGBUF_SUBMIT "ringbuf_submit" (AllocMem, Anything) -> Ret::Void; V(5, 8), BASE, &[], PLAIN;
    133 RINGBUF_DISCARD "ringbuf_discard" (AllocMem, Anything) -> Ret::Void; V(5, 8), BASE, &[], PLAIN;
    134 RINGBUF_QUERY "ringbuf_query" (ConstMapPtr, Anything) -> Ret::Scalar; V(5, 8), BASE, &[MapType::Ringbuf], TELLS;
    135 CSUM_LEVEL "csum_level" (Ctx, Anything) -> Ret::Scalar; V(5, 8), TC_LWT_XMIT, &[], PLAIN;
    136 SKC_TO_TCP6_SOCK "skc_to_tcp6_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("tcp6_sock"); V(5, 9), SOCKET_CASTS, &[], PLAIN;
    137 SKC_TO_TCP_SOCK "skc_to_tcp_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("tcp_sock"); V(5, 9), SOCKET_CASTS, &[], PLAIN;
    138 SKC_TO_TCP_TIMEWAIT_SOCK "skc_to_tcp_timewait_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("tcp_timewait_sock"); V(5, 9), SOCKET_CASTS, &[], PLAIN;
    139 SKC_TO_TCP_REQUEST_SOCK "skc_to_tcp_request_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("tcp_request_sock"); V(5, 9), SOCKET_CASTS, &[], PLAIN;
    140 SKC_TO_UDP6_SOCK "skc_to_udp6_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("udp6_sock"); V(5, 9), SOCKET_CASTS, &[], PLAIN;
    141 GET_TASK_STACK "get_task_stack" (BtfPtr("task_struct"), Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 9), BASE, &[], PLAIN;
    142 LOAD_HDR_OPT "load_hdr_opt" (Ctx, Mem(ReadWrite), Len, Anything) -> Ret::Scalar; V(5, 10), ProgSet::of(&[P::SockOps]), &[], PLAIN;
    143 STORE_HDR_OPT "store_hdr_opt" (Ctx, Mem(Read), Len, Anything) -> Ret::Scalar; V(5, 10), ProgSet::of(&[P::SockOps]), &[], CLOBBERS;
    144 RESERVE_HDR_OPT "reserve_hdr_opt" (Ctx, Anything, Anything) -> Ret::Scalar; V(5, 10), ProgSet::of(&[P::SockOps]), &[], PLAIN;
    145 INODE_STORAGE_GET "inode_storage_get" (ConstMapPtr, BtfPtrOrNull("inode"), MapValueOrNull, Anything) -> Ret::MapValueOrNull; V(5, 10), ProgSet::of(&[P::Lsm]), &[MapType::InodeStorage], PLAIN;
    146 INODE_STORAGE_DELETE "inode_storage_delete" (ConstMapPtr, BtfPtrOrNull("inode")) -> Ret::Scalar; V(5, 10), ProgSet::of(&[P::Lsm]), &[MapType::InodeStorage], PLAIN;
    147 D_PATH "d_path" (BtfPtr("path"), Mem(ReadWrite), LenOrZero) -> Ret::Scalar; V(5, 10), BTF_TYPED, &[], TARGET;
    148 COPY_FROM_USER "copy_from_user" (Mem(Write), LenOrZero, Anything) -> Ret::Scalar; V(5, 10), BASE, &[], SLEEPS;
    149 SNPRINTF_BTF "snprintf_btf" (Mem(ReadWrite), Len, Mem(Read), Len, Anything) -> Ret::Scalar; V(5, 10), BASE, &[], PLAIN;
    150 SEQ_PRINTF_BTF "seq_printf_btf" (BtfPtr("seq_file"), Mem(Read), LenOrZero, Anything) -> Ret::Scalar; V(5, 10), BTF_TYPED, &[], GPL;
    151 SKB_CGROUP_CLASSID "skb_cgroup_classid" (Ctx) -> Ret::Scalar; V(5, 10), TC, &[], PLAIN;
    152 REDIRECT_NEIGH "redirect_neigh" (Anything, MemOrNull(Read), LenOrZero, Anything) -> Ret::Scalar; V(5, 10), TC, &[], PLAIN;
    153 PER_CPU_PTR "per_cpu_ptr" (PercpuBtfPtr, Anything) -> Ret::PercpuMemOrNull; V(5, 10), BASE, &[], TELLS;
    154 THIS_CPU_PTR "this_cpu_ptr" (PercpuBtfPtr) -> Ret::PercpuMem; V(5, 10), BASE, &[], TELLS;
    155 REDIRECT_PEER "redirect_peer" (Anything, Anything) -> Ret::Scalar; V(5, 10), TC, &[], PLAIN;
    156 TASK_STORAGE_GET "task_storage_get" (ConstMapPtr, BtfPtrOrNull("task_struct"), MapValueOrNull, Anything) -> Ret::MapValueOrNull; V(5, 11), BASE, &[MapType::TaskStorage], PLAIN;
    157 TASK_STORAGE_DELETE "task_storage_delete" (ConstMapPtr, BtfPtrOrNull("task_struct")) -> Ret::Scalar; V(5, 11), BASE, &[MapType::TaskStorage], PLAIN;
    158 GET_CURRENT_TASK_BTF "get_current_task_btf" () -> Ret::TrustedBtfPtr("task_struct"); V(5, 11), BASE, &[], GPL.and(PURE);
    159 BPRM_OPTS_SET "bprm_opts_set" (BtfPtr("linux_binprm"), Anything) -> Ret::Scalar; V(5, 11), ProgSet::of(&[P::Lsm]), &[], PLAIN;
    160 KTIME_GET_COARSE_NS "ktime_get_coarse_ns" () -> Ret::Scalar; V(5, 11), SOCKET_LEVEL, &[], TELLS;
    161 IMA_INODE_HASH "ima_inode_hash" (BtfPtr("inode"), Mem(Write), Len) -> Ret::Scalar; V(5, 11), ProgSet::of(&[P::Lsm]), &[], SLEEPS.and(TARGET);
    162 SOCK_FROM_FILE "sock_from_file" (BtfPtr("file")) -> Ret::BtfPtrOrNull("socket"); V(5, 11), BTF_TYPED, &[], PLAIN;
    163 CHECK_MTU "check_mtu" (Ctx, Anything, FixedMem(ReadWrite, 4), Anything, Anything) -> Ret::Scalar; V(5, 12), TC_XDP, &[], GPL;
    164 FOR_EACH_MAP_ELEM "for_each_map_elem" (ConstMapPtr, Func, StackOrNull, Anything) -> Ret::Scalar; V(5, 13), BASE, ITERABLE, PLAIN;
    165 SNPRINTF "snprintf" (MemOrNull(ReadWrite), LenOrZero, ConstStr, MemOrNull(Read), LenOrZero) -> Ret::Scalar; V(5, 13), BASE, &[], GPL;
    166 SYS_BPF "sys_bpf" (Anything, Mem(Read), Len) -> Ret::Scalar; V(5, 14), ProgSet::of(&[P::Syscall]), &[], SLEEPS;
    167 BTF_FIND_BY_NAME_KIND "btf_find_by_name_kind" (Mem(Read), Len, Anything, Anything) -> Ret::Scalar; V(5, 14), ProgSet::of(&[P::Syscall]), &[], SLEEPS;
    168 SYS_CLOSE "sys_close" (Anything) -> Ret::Scalar; V(5, 14), ProgSet::of(&[P::Syscall]), &[], SLEEPS;
    169 TIMER_INIT "timer_init" (Timer, ConstMapPtr, Anything) -> Ret::Scalar; V(5, 15), BASE, TIMERS, GPL;
    170 TIMER_SET_CALLBACK "timer_set_callback" (Timer, Func) -> Ret::Scalar; V(5, 15), BASE, &[], GPL;
    171 TIMER_START "timer_start" (Timer, Anything, Anything) -> Ret::Scalar; V(5, 15), BASE, &[], GPL;
    172 TIMER_CANCEL "timer_cancel" (Timer) -> Ret::Scalar; V(5, 15), BASE, &[], GPL;
    173 GET_FUNC_IP "get_func_ip" (Ctx) -> Ret::Scalar; V(5, 15), ProgSet::of(&[P::Kprobe, P::Tracing]), &[], GPL.and(PURE);
    174 GET_ATTACH_COOKIE "get_attach_cookie" (Ctx) -> Ret::Scalar; V(5, 15), TRACING_LIKE, &[], PURE;
    175 TASK_PT_REGS "task_pt_regs" (BtfPtr("task_struct")) -> Ret::BtfPtr("pt_regs"); V(5, 15), BASE, &[], GPL;
    176 GET_BRANCH_SNAPSHOT "get_branch_snapshot" (Mem(Write), LenOrZero) -> Ret::Scalar; V(5, 16), BASE, &[], GPL;
    177 TRACE_VPRINTK "trace_vprintk" (Mem(Read), Len, MemOrNull(Read), LenOrZero) -> Ret::Scalar; V(5, 16), BASE, &[], GPL;
    178 SKC_TO_UNIX_SOCK "skc_to_unix_sock" (SockCommonBtf) -> Ret::BtfPtrOrNull("unix_sock"); V(5, 16), SOCKET_CASTS, &[], PLAIN;
    179 KALLSYMS_LOOKUP_NAME "kallsyms_lookup_name" (Mem(Read), LenOrZero, Anything, IntPtr(8)) -> Ret::Scalar; V(5, 16), ProgSet::of(&[P::Syscall]), &[], PLAIN;
    180 FIND_VMA "find_vma" (BtfPtr("task_struct"), Anything, Func, StackOrNull, Anything) -> Ret::Scalar; V(5, 17), BASE, &[], PLAIN;
    181 LOOP "loop" (Scalar, Func, StackOrNull, Anything) -> Ret::Scalar; V(5, 17), BASE, &[], PLAIN;
    182 STRNCMP "strncmp" (Mem(Read), Len, ConstStr) -> Ret::Scalar; V(5, 17), BASE, &[], TELLS;
    183 GET_FUNC_ARG "get_func_arg" (Ctx, Anything, IntPtr(8)) -> Ret::Scalar; V(5, 17), BTF_TYPED, &[], PLAIN;
    184 GET_FUNC_RET "get_func_ret" (Ctx, IntPtr(8)) -> Ret::Scalar; V(5, 17), BTF_TYPED, &[], PLAIN;
    185 GET_FUNC_ARG_CNT "get_func_arg_cnt" (Ctx) -> Ret::Scalar; V(5, 17), BTF_TYPED, &[], PURE;
    186 GET_RETVAL "get_retval" () -> Ret::Scalar; V(5, 18), CGROUP_HOOKS, &[], PLAIN;
    187 SET_RETVAL "set_retval" (Anything) -> Ret::Scalar; V(5, 18), CGROUP_HOOKS, &[], PLAIN;
    188 XDP_GET_BUFF_LEN "xdp_get_buff_len" (Ctx) -> Ret::Scalar; V(5, 18), ProgSet::of(&[P::Xdp, P::Tracing, P::Lsm, P::Syscall]), &[], PLAIN;
    189 XDP_LOAD_BYTES "xdp_load_bytes" (Ctx, Anything, Mem(Write), Len) -> Ret::Scalar; V(5, 18), ProgSet::of(&[P::Xdp]), &[], PLAIN;
    190 XDP_STORE_BYTES "xdp_store_bytes" (Ctx, Anything, Mem(Read), Len) -> Ret::Scalar; V(5, 18), ProgSet::of(&[P::Xdp]), &[], PLAIN;
    191 COPY_FROM_USER_TASK "copy_from_user_task" (Mem(Write), LenOrZero, Anything, BtfPtr("task_struct"), Anything) -> Ret::Scalar; V(5, 18), BASE, &[], GPL.and(SLEEPS);
    192 SKB_SET_TSTAMP "skb_set_tstamp" (Ctx, Anything, Anything) -> Ret::Scalar; V(5, 18), TC, &[], PLAIN;
    193 IMA_FILE_HASH "ima_file_hash" (BtfPtr("file"), Mem(Write), Len) -> Ret::Scalar; V(5, 18), ProgSet::of(&[P::Lsm]), &[], SLEEPS.and(TARGET);
    194 KPTR_XCHG "kptr_xchg" (KptrDest, KptrRelease) -> Ret::KptrOrNull; V(5, 19), BASE, &[], ACQUIRES;
    195 MAP_LOOKUP_PERCPU_ELEM "map_lookup_percpu_elem" (ConstMapPtr, MapKey, Anything) -> Ret::MapValueOrNull; V(5, 19), BASE, PERCPU, PACKET.and(TELLS);
    196 SKC_TO_MPTCP_SOCK "skc_to_mptcp_sock" (SockCommon) -> Ret::BtfPtrOrNull("mptcp_sock"); V(5, 19), SOCKET_CASTS, &[], PLAIN;
    197 DYNPTR_FROM_MEM "dynptr_from_mem" (Mem(Write), LenOrZero, Anything, Dynptr(DynptrArg::NewLocal)) -> Ret::Scalar; V(5, 19), BASE, &[], PLAIN;
    198 RINGBUF_RESERVE_DYNPTR "ringbuf_reserve_dynptr" (ConstMapPtr, Anything, Anything, Dynptr(DynptrArg::NewRingbuf)) -> Ret::Scalar; V(5, 19), BASE, &[MapType::Ringbuf], PLAIN;
    199 RINGBUF_SUBMIT_DYNPTR "ringbuf_submit_dynptr" (Dynptr(DynptrArg::ReleaseRingbuf), Anything) -> Ret::Void; V(5, 19), BASE, &[], PLAIN;
    200 RINGBUF_DISCARD_DYNPTR "ringbuf_discard_dynptr" (Dynptr(DynptrArg::ReleaseRingbuf), Anything) -> Ret::Void; V(5, 19), BASE, &[], PLAIN;
    201 DYNPTR_READ "dynptr_read" (Mem(Write), LenOrZero, Dynptr(DynptrArg::Any), Anything, Anything) -> Ret::Scalar; V(5, 19), BASE, &[], PLAIN;
    202 DYNPTR_WRITE "dynptr_write" (Dynptr(DynptrArg::Any), Anything, Mem(Read), LenOrZero, Anything) -> Ret::Scalar; V(5, 19), BASE, &[], PLAIN;
    203 DYNPTR_DATA "dynptr_data" (Dynptr(DynptrArg::Any), Anything, ConstAllocSize) -> Ret::DynptrMemOrNull; V(5, 19), BASE, &[], PLAIN;
    204 TCP_RAW_GEN_SYNCOOKIE_IPV4 "tcp_raw_gen_syncookie_ipv4" (FixedMem(Read, 20), Mem(Read), LenOrZero) -> Ret::Scalar; V(6, 0), TC_XDP, &[], GPL.and(PACKET);
    205 TCP_RAW_GEN_SYNCOOKIE_IPV6 "tcp_raw_gen_syncookie_ipv6" (FixedMem(Read, 40), Mem(Read), LenOrZero) -> Ret::Scalar; V(6, 0), TC_XDP, &[], GPL.and(PACKET);
    206 TCP_RAW_CHECK_SYNCOOKIE_IPV4 "tcp_raw_check_syncookie_ipv4" (FixedMem(Read, 20), FixedMem(Read, 20)) -> Ret::Scalar; V(6, 0), TC_XDP, &[], GPL.and(PACKET);
    207 TCP_RAW_CHECK_SYNCOOKIE_IPV6 "tcp_raw_check_syncookie_ipv6" (FixedMem(Read, 40), FixedMem(Read, 20)) -> Ret::Scalar; V(6, 0), TC_XDP, &[], GPL.and(PACKET);
    208 KTIME_GET_TAI_NS "ktime_get_tai_ns" () -> Ret::Scalar; V(6, 1), BASE, &[], TELLS;
    209 USER_RINGBUF_DRAIN "user_ringbuf_drain" (ConstMapPtr, Func, StackOrNull, Anything) -> Ret::Scalar; V(6, 1), BASE, &[MapType::UserRingbuf], PLAIN;
    210 CGRP_STORAGE_GET "cgrp_storage_get" (ConstMapPtr, BtfPtrOrNull("cgroup"), MapValueOrNull, Anything) -> Ret::MapValueOrNull; V(6, 2), BASE, &[MapType::CgrpStorage], PLAIN;
    211 CGRP_STORAGE_DELETE "cgrp_storage_delete" (ConstMapPtr, BtfPtrOrNull("cgroup")) -> Ret::Scalar; V(6, 2), BASE, &[MapType::CgrpStorage], PLAIN;
}
