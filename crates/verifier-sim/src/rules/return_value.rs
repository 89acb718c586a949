//! Results of programs.

use super::{Check, Rule, name};
use crate::env::Env;
use crate::state::RegState;
use bpf_facts::{AttachType, ProgType, V};
use ebpf_asm::Reg;

/// The range the program's result must lie in; `None` if any value, pointers included, will do.
pub(crate) fn demanded(env: &Env<'_>) -> Result<Option<(i64, i64)>, String> {
    use AttachType as A;
    let prog = env.prog;
    Ok(match prog.ty {
        ProgType::SocketFilter
        | ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::Tracepoint
        | ProgType::PerfEvent
        | ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtXmit
        | ProgType::LwtSeg6local
        | ProgType::SkSkb
        | ProgType::SkMsg
        | ProgType::SkReuseport
        | ProgType::LircMode2
        | ProgType::FlowDissector
        | ProgType::RawTracepoint
        | ProgType::RawTracepointWritable
        | ProgType::Syscall => None,
        ProgType::Kprobe => (prog.attach_type == A::TraceKprobeSession).then_some((0, 1)),
        ProgType::Tracing => match prog.attach_type {
            A::TraceFentry | A::TraceFexit => Some((0, 0)),
            A::TraceRawTp | A::ModifyReturn => None,
            A::TraceIter => Some((0, 1)),
            other => return Err(format!("tracing programs of attach type {other:?}")),
        },
        ProgType::CgroupSkb => Some((0, if prog.attach_type == A::CgroupInetEgress { 3 } else { 1 })),
        ProgType::CgroupSock
        | ProgType::SockOps
        | ProgType::CgroupDevice
        | ProgType::CgroupSysctl
        | ProgType::CgroupSockopt
        | ProgType::SkLookup
        | ProgType::Netfilter => Some((0, 1)),
        ProgType::CgroupSockAddr => match prog.attach_type {
            A::CgroupUdp4Recvmsg
            | A::CgroupUdp6Recvmsg
            | A::CgroupUnixRecvmsg
            | A::CgroupInet4Getpeername
            | A::CgroupInet6Getpeername
            | A::CgroupUnixGetpeername
            | A::CgroupInet4Getsockname
            | A::CgroupInet6Getsockname
            | A::CgroupUnixGetsockname => Some((1, 1)),
            A::CgroupInet4Bind | A::CgroupInet6Bind if env.profile.version >= V(5, 12) => Some((0, 3)),
            _ => Some((0, 1)),
        },
        other => return Err(format!("results of programs of type {other:?}")),
    })
}

/// The program returns `value`.
pub(crate) fn check(value: &RegState, range: (i64, i64)) -> Check {
    let r0 = Reg::R0;
    if !value.is_scalar() {
        return Err(
            Rule::ReturnValue.reject(&[r0], format!("{} holds {value}, which is no result", name(r0)))
        );
    }
    if range.0 <= value.val.smin && value.val.smax <= range.1 {
        return Ok(());
    }
    Err(Rule::ReturnValue.reject(
        &[r0],
        format!("{} is {value}; the program must return {} to {}", name(r0), range.0, range.1),
    ))
}
