//! Pointers plus and minus numbers.

use super::{Check, Rule, name};
use crate::era::{Change, Era};
use crate::state::{Kind, RegState};
use ebpf_asm::{AluOp, Reg};

/// Bound of every offset.
const MAX_VAR_OFF: i64 = 1 << 29;

/// The pointer may be added to at all.
pub(crate) fn check_kind(ptr: &RegState, r: Reg, op: AluOp, constant: Option<i64>) -> Check {
    super::null_check::check(ptr, r, "computing with it")?;
    let movable = match ptr.kind {
        Kind::Ctx
        | Kind::MapValue
        | Kind::MapKey
        | Kind::Stack
        | Kind::Packet
        | Kind::PacketMeta
        | Kind::TpBuffer
        | Kind::Btf
        | Kind::Mem
        | Kind::Buf
        | Kind::Func => true,
        Kind::FlowKeys => constant.is_some(),
        Kind::Map => constant == Some(0) && op == AluOp::Add,
        Kind::NotInit
        | Kind::Scalar
        | Kind::PacketEnd
        | Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::Dynptr
        | Kind::XdpSock => false,
    };
    if movable {
        return Ok(());
    }
    Err(refused(ptr, r, "its address cannot be computed with"))
}

/// `value` as an offset to a pointer, or as a pointer, lies in the range that is computed with.
pub(crate) fn check_offset(era: Era, value: &RegState, r: Reg) -> Check {
    let out = |v: i64| v <= -MAX_VAR_OFF || v >= MAX_VAR_OFF;
    let known = value.val.as_const().is_some_and(|v| out(v as i64));
    // Kernels that follow all linked sums keep a number's distance elsewhere than a pointer's offset.
    let counts = value.is_pointer() || !era.has(Change::LinkedSums);
    if known || counts && out(i64::from(value.off)) || out(value.val.smin) {
        let why = if value.val.smin == i64::MIN {
            "an offset without a lower bound cannot be added to a pointer: compare it with a constant before"
        } else {
            "the offset is too large to be added to a pointer"
        };
        return Err(refused(value, r, why));
    }
    Ok(())
}

/// Not with this pointer.
pub(crate) fn refused(value: &RegState, r: Reg, why: &str) -> Box<crate::Stop> {
    Rule::PointerArithmetic.reject(&[r], format!("{} holds {value}; {why}", name(r)))
}
