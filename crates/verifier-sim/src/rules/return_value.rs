//! Results of programs.

use super::{Check, Rule, name};
use crate::ProgEnv;
use crate::state::RegState;
use bpf_facts::{AttachType, ProgType};
use ebpf_asm::Reg;

/// The range the program's result must lie in; `None` if any value, pointers included, will do.
pub(crate) fn demanded(prog: &ProgEnv<'_>) -> Result<Option<(i64, i64)>, String> {
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
        ProgType::Kprobe => (prog.attach_type == AttachType::TraceKprobeSession).then_some((0, 1)),
        ProgType::Tracing => match prog.attach_type {
            AttachType::TraceFentry | AttachType::TraceFexit => Some((0, 0)),
            AttachType::TraceRawTp | AttachType::ModifyReturn => None,
            AttachType::TraceIter => Some((0, 1)),
            other => return Err(format!("tracing programs of attach type {other:?}")),
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
