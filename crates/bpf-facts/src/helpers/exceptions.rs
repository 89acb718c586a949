//! Where program types or kernels differ from the row of a helper.
//!
//! Versions come from comparing the kernel's own lists of 5.10, 6.1, 6.12 and 7.3 and from its history. Where only a
//! range is known, the later version stands: too strict is an error that names a version, too lax a program that
//! the kernel refuses.

use super::Arg::{
    Anything, BtfPtr, BtfPtrOrNull, ConstMapPtr, Ctx, Len, LenOrZero, MapValueOrNull, Mem, SockCommonBtf,
    SockCommonBtfOrNull, SocketOrNull,
};
use super::MemAccess::{Read, Write};
use super::table::{BASE, BTF_TYPED, EVERY, LWT_TC, TRACING_LIKE, args};
use super::{Arg, HelperId as H};
use crate::progs::{AttachType as A, ProgSet, ProgType as P};
use crate::version::V;

/// Helpers that some program types got later than others.
pub(super) struct SinceRow {
    pub(super) ids: &'static [H],
    pub(super) progs: ProgSet,
    pub(super) since: V,
}

/// Other arguments.
pub(super) struct ArgsRow {
    pub(super) ids: &'static [H],
    pub(super) progs: ProgSet,
    /// Only in kernels before this one.
    pub(super) until: Option<V>,
    pub(super) args: [Arg; 5],
}

/// Helpers that a program type may call with some attach types only.
pub(super) struct AttachRow {
    pub(super) ids: &'static [H],
    pub(super) prog: P,
    /// Only in kernels before this one.
    pub(super) until: Option<V>,
    pub(super) attach: &'static [A],
}

const NON_TRACING: ProgSet = BASE.minus(TRACING_LIKE);
/// The cgroup hooks without a socket.
const CGROUP_PLAIN: ProgSet = ProgSet::of(&[P::CgroupDevice, P::CgroupSockopt, P::CgroupSysctl]);
/// The cgroup hooks that had the helpers about the current task from the start.
const CGROUP_SOCK: ProgSet = ProgSet::of(&[P::CgroupSock, P::CgroupSockAddr]);
const SOCKETLESS: ProgSet = ProgSet::of(&[P::SkMsg]);
/// Network programs that got the helpers about the current task late.
const NETWORK: ProgSet = NON_TRACING.minus(CGROUP_PLAIN).minus(CGROUP_SOCK).minus(SOCKETLESS);

const fn since(ids: &'static [H], progs: ProgSet, since: V) -> SinceRow {
    SinceRow { ids, progs, since }
}

/// The first row that fits counts.
pub(super) static SINCE: &[SinceRow] = &[
    since(
        &[
            H::GET_CURRENT_TASK,
            H::PROBE_READ_USER,
            H::PROBE_READ_KERNEL,
            H::PROBE_READ_USER_STR,
            H::PROBE_READ_KERNEL_STR,
        ],
        NON_TRACING,
        V(5, 8),
    ),
    since(&[H::GET_CURRENT_PID_TGID, H::GET_CURRENT_COMM, H::GET_CGROUP_CLASSID], CGROUP_PLAIN, V(6, 1)),
    since(&[H::GET_CURRENT_PID_TGID], NETWORK, V(6, 10)),
    since(&[H::GET_NS_CURRENT_PID_TGID], NON_TRACING, V(6, 10)),
    since(&[H::GET_CURRENT_CGROUP_ID, H::GET_CURRENT_ANCESTOR_CGROUP_ID], NETWORK, V(6, 4)),
    since(&[H::GET_CURRENT_ANCESTOR_CGROUP_ID], CGROUP_PLAIN, V(6, 1)),
    since(&[H::GET_CURRENT_ANCESTOR_CGROUP_ID], TRACING_LIKE, V(5, 15)),
    since(&[H::GET_CURRENT_UID_GID], NETWORK, V(6, 16)),
    since(&[H::GET_CURRENT_COMM], NETWORK.union(SOCKETLESS), V(6, 16)),
    since(&[H::GET_CGROUP_CLASSID], NETWORK.minus(LWT_TC).union(TRACING_LIKE), V(6, 16)),
    since(&[H::CURRENT_TASK_UNDER_CGROUP], CGROUP_PLAIN.union(CGROUP_SOCK), V(6, 12)),
    since(&[H::CURRENT_TASK_UNDER_CGROUP], NETWORK.union(SOCKETLESS), V(6, 16)),
    since(
        &[
            H::PERF_EVENT_READ,
            H::PERF_EVENT_READ_VALUE,
            H::SEND_SIGNAL,
            H::SEND_SIGNAL_THREAD,
            H::GET_TASK_STACK,
            H::COPY_FROM_USER,
            H::COPY_FROM_USER_TASK,
            H::TASK_STORAGE_GET,
            H::TASK_STORAGE_DELETE,
            H::GET_BRANCH_SNAPSHOT,
            H::FIND_VMA,
        ],
        NON_TRACING,
        V(6, 16),
    ),
    since(
        &[H::TASK_STORAGE_GET, H::TASK_STORAGE_DELETE],
        TRACING_LIKE.minus(ProgSet::of(&[P::Lsm])),
        V(5, 13),
    ),
    since(&[H::GET_CURRENT_TASK_BTF], NON_TRACING, V(5, 15)),
    since(&[H::GET_SOCKET_COOKIE], BTF_TYPED, V(5, 12)),
    since(&[H::GET_SOCKET_COOKIE], ProgSet::of(&[P::SkReuseport]), V(5, 14)),
    since(&[H::SETSOCKOPT, H::GETSOCKOPT], ProgSet::of(&[P::CgroupSockopt]), V(5, 15)),
    since(&[H::SETSOCKOPT, H::GETSOCKOPT], ProgSet::of(&[P::Lsm]), V(6, 0)),
    since(&[H::SETSOCKOPT, H::GETSOCKOPT], ProgSet::of(&[P::CgroupSock]), V(6, 19)),
    since(&[H::GET_LOCAL_STORAGE, H::GET_RETVAL, H::SET_RETVAL], ProgSet::of(&[P::Lsm]), V(6, 0)),
    since(
        &[H::GET_RETVAL, H::SET_RETVAL],
        CGROUP_SOCK.union(ProgSet::of(&[P::CgroupSkb, P::SockOps])),
        V(6, 1),
    ),
    since(&[H::SPIN_LOCK, H::SPIN_UNLOCK], TRACING_LIKE, V(5, 15)),
    since(&[H::STRTOL, H::STRTOUL], BASE.minus(ProgSet::of(&[P::CgroupSysctl])), V(6, 1)),
    since(&[H::SK_STORAGE_GET, H::SK_STORAGE_DELETE], ProgSet::of(&[P::Tracing]), V(5, 11)),
    since(&[H::GET_NETNS_COOKIE], ProgSet::of(&[P::CgroupSockopt, P::SkMsg, P::SockOps]), V(5, 15)),
    since(
        &[H::GET_NETNS_COOKIE],
        ProgSet::of(&[P::CgroupSkb, P::SchedCls, P::SchedAct, P::SocketFilter]),
        V(6, 15),
    ),
    since(&[H::GET_ATTACH_COOKIE], ProgSet::of(&[P::Tracing, P::Lsm, P::Syscall]), V(5, 19)),
    since(&[H::GET_ATTACH_COOKIE], ProgSet::of(&[P::RawTracepoint, P::RawTracepointWritable]), V(6, 10)),
];

const fn other(ids: &'static [H], progs: ProgSet, list: &[Arg]) -> ArgsRow {
    ArgsRow { ids, progs, until: None, args: args(list) }
}

const fn until(version: V, ids: &'static [H], progs: ProgSet, list: &[Arg]) -> ArgsRow {
    ArgsRow { ids, progs, until: Some(version), args: args(list) }
}

/// A socket by BTF instead of the context.
const BY_SOCKET: ProgSet = ProgSet::of(&[P::CgroupSockopt, P::Lsm, P::StructOps]);
const BY_BTF: ProgSet = ProgSet::of(&[P::Tracing, P::Syscall]);

/// The first row that fits counts.
pub(super) static ARGS: &[ArgsRow] = &[
    other(&[H::GET_CGROUP_CLASSID], LWT_TC, &[Ctx]),
    until(V(6, 12), &[H::GET_SOCKET_COOKIE], BTF_TYPED, &[SockCommonBtf]),
    until(V(6, 12), &[H::GET_SOCKET_COOKIE], ProgSet::of(&[P::SkReuseport]), &[SockCommonBtf]),
    other(&[H::GET_SOCKET_COOKIE], BTF_TYPED, &[SockCommonBtfOrNull]),
    other(&[H::GET_SOCKET_COOKIE], ProgSet::of(&[P::SkReuseport]), &[SockCommonBtfOrNull]),
    other(&[H::SETSOCKOPT], BY_SOCKET, &[SockCommonBtf, Anything, Anything, Mem(Read), Len]),
    other(&[H::GETSOCKOPT], BY_SOCKET, &[SockCommonBtf, Anything, Anything, Mem(Write), Len]),
    // The stack had to be initialised where the registers come from no context of their own.
    until(
        V(6, 18),
        &[H::GET_STACK],
        ProgSet::of(&[P::RawTracepoint, P::RawTracepointWritable, P::Tracing, P::Lsm, P::Syscall]),
        &[Ctx, Mem(Read), LenOrZero, Anything],
    ),
    until(
        V(6, 12),
        &[H::SK_LOOKUP_TCP, H::SK_LOOKUP_UDP, H::SKC_LOOKUP_TCP],
        EVERY,
        &[Ctx, Mem(Read), Len, Anything, Anything],
    ),
    other(&[H::SK_STORAGE_GET], ProgSet::of(&[P::CgroupSock]), &[ConstMapPtr, Ctx, MapValueOrNull, Anything]),
    until(
        V(6, 12),
        &[H::SK_STORAGE_GET],
        BY_BTF,
        &[ConstMapPtr, BtfPtr("sock_common"), MapValueOrNull, Anything],
    ),
    other(
        &[H::SK_STORAGE_GET],
        BY_BTF,
        &[ConstMapPtr, BtfPtrOrNull("sock_common"), MapValueOrNull, Anything],
    ),
    until(V(6, 12), &[H::SK_STORAGE_DELETE], BY_BTF, &[ConstMapPtr, BtfPtr("sock_common")]),
    other(&[H::SK_STORAGE_DELETE], BY_BTF, &[ConstMapPtr, BtfPtrOrNull("sock_common")]),
    until(
        V(6, 12),
        &[H::INODE_STORAGE_GET],
        EVERY,
        &[ConstMapPtr, BtfPtr("inode"), MapValueOrNull, Anything],
    ),
    until(V(6, 12), &[H::INODE_STORAGE_DELETE], EVERY, &[ConstMapPtr, BtfPtr("inode")]),
    until(
        V(6, 12),
        &[H::TASK_STORAGE_GET],
        EVERY,
        &[ConstMapPtr, BtfPtr("task_struct"), MapValueOrNull, Anything],
    ),
    until(V(6, 12), &[H::TASK_STORAGE_DELETE], EVERY, &[ConstMapPtr, BtfPtr("task_struct")]),
    other(&[H::SK_ASSIGN], ProgSet::of(&[P::SkLookup]), &[Ctx, SocketOrNull, Anything]),
    other(&[H::XDP_GET_BUFF_LEN], BTF_TYPED, &[BtfPtr("xdp_buff")]),
];

/// Programs reached through a trampoline.
const TRAMPOLINE: &[A] = &[
    A::TraceFentry,
    A::TraceFexit,
    A::ModifyReturn,
    A::TraceFsession,
    A::TraceFentryMulti,
    A::TraceFexitMulti,
    A::TraceFsessionMulti,
];
const TRAMPOLINE_OR_RAW_TP: &[A] = &[
    A::TraceRawTp,
    A::TraceFentry,
    A::TraceFexit,
    A::ModifyReturn,
    A::TraceFsession,
    A::TraceFentryMulti,
    A::TraceFexitMulti,
    A::TraceFsessionMulti,
];
/// Hooks of `cgroup_sock_addr` with a socket whose options can be had.
const WITH_SOCKET: &[A] = &[
    A::CgroupInet4Bind,
    A::CgroupInet6Bind,
    A::CgroupInet4Connect,
    A::CgroupInet6Connect,
    A::CgroupUnixConnect,
    A::CgroupUdp4Recvmsg,
    A::CgroupUdp6Recvmsg,
    A::CgroupUnixRecvmsg,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp6Sendmsg,
    A::CgroupUnixSendmsg,
    A::CgroupInet4Getpeername,
    A::CgroupInet6Getpeername,
    A::CgroupInet4Getsockname,
    A::CgroupInet6Getsockname,
];
/// Hooks of `cgroup_sock_addr` whose return value matters.
const WITH_RETVAL: &[A] = &[
    A::CgroupInet4Bind,
    A::CgroupInet6Bind,
    A::CgroupInet4Connect,
    A::CgroupInet6Connect,
    A::CgroupUnixConnect,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp6Sendmsg,
    A::CgroupUnixSendmsg,
];

const fn attach(ids: &'static [H], prog: P, attach: &'static [A]) -> AttachRow {
    AttachRow { ids, prog, until: None, attach }
}

const fn attach_until(version: V, ids: &'static [H], prog: P, attach: &'static [A]) -> AttachRow {
    AttachRow { ids, prog, until: Some(version), attach }
}

/// The first row that fits counts.
pub(super) static ATTACH: &[AttachRow] = &[
    attach(&[H::SEQ_PRINTF, H::SEQ_WRITE, H::SEQ_PRINTF_BTF], P::Tracing, &[A::TraceIter]),
    attach(&[H::SEQ_PRINTF, H::SEQ_WRITE, H::SEQ_PRINTF_BTF], P::Lsm, &[]),
    attach(&[H::SEQ_PRINTF, H::SEQ_WRITE, H::SEQ_PRINTF_BTF], P::Syscall, &[]),
    attach(&[H::GET_FUNC_RET, H::GET_FUNC_IP], P::Tracing, TRAMPOLINE),
    attach_until(V(7, 3), &[H::GET_FUNC_ARG, H::GET_FUNC_ARG_CNT], P::Tracing, TRAMPOLINE),
    attach(&[H::GET_FUNC_ARG, H::GET_FUNC_ARG_CNT], P::Tracing, TRAMPOLINE_OR_RAW_TP),
    attach_until(V(6, 10), &[H::GET_ATTACH_COOKIE], P::Tracing, TRAMPOLINE),
    attach(&[H::GET_ATTACH_COOKIE], P::Tracing, TRAMPOLINE_OR_RAW_TP),
    attach(
        &[H::GET_FUNC_ARG, H::GET_FUNC_ARG_CNT, H::GET_FUNC_RET, H::GET_ATTACH_COOKIE],
        P::Lsm,
        &[A::LsmMac],
    ),
    attach(&[H::GET_FUNC_ARG, H::GET_FUNC_ARG_CNT, H::GET_FUNC_RET, H::GET_ATTACH_COOKIE], P::Syscall, &[]),
    attach(
        &[H::SETSOCKOPT, H::GETSOCKOPT, H::GET_LOCAL_STORAGE, H::GET_RETVAL, H::SET_RETVAL],
        P::Lsm,
        &[A::LsmCgroup],
    ),
    attach(&[H::SETSOCKOPT, H::GETSOCKOPT], P::CgroupSockopt, &[A::CgroupSetsockopt]),
    attach(&[H::SETSOCKOPT, H::GETSOCKOPT], P::CgroupSock, &[A::CgroupInetSockCreate]),
    attach(&[H::SETSOCKOPT, H::GETSOCKOPT], P::CgroupSockAddr, WITH_SOCKET),
    attach(&[H::BIND], P::CgroupSockAddr, &[A::CgroupInet4Connect, A::CgroupInet6Connect]),
    attach(&[H::GET_RETVAL, H::SET_RETVAL], P::CgroupSockAddr, WITH_RETVAL),
    // Number 0 is a hook without a value: these must say what they are for.
    attach(&[H::GET_RETVAL, H::SET_RETVAL], P::CgroupDevice, &[A::CgroupDevice]),
    attach(&[H::GET_RETVAL, H::SET_RETVAL], P::CgroupSysctl, &[A::CgroupSysctl]),
    attach(&[H::GET_RETVAL, H::SET_RETVAL], P::CgroupSkb, &[]),
    attach(&[H::GET_RETVAL, H::SET_RETVAL], P::SockOps, &[]),
];

/// Helpers for GPL programs only, but not in this program type.
pub(super) static NOT_GPL: &[(H, P)] = &[(H::GET_STACKID, P::PerfEvent)];
