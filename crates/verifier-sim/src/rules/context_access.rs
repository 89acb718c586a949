//! Fields of the context.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// The pointer is the one the program was given, moved by nothing but the instruction's own offset.
pub(crate) fn check_pointer(ptr: &RegState, r: Reg) -> Check {
    if ptr.off == 0 && ptr.val.is_zero() {
        return Ok(());
    }
    Err(Rule::ContextAccess
        .reject(&[r], format!("{} holds {ptr}; a moved pointer to the context cannot be used", name(r))))
}

/// No field that may be accessed so.
pub(crate) fn refused(r: Reg, off: i64, size: u32, what: &str) -> Box<crate::Stop> {
    Rule::ContextAccess
        .reject(&[r], format!("{}: {size} bytes at offset {off} of the context {what}", name(r)))
}
