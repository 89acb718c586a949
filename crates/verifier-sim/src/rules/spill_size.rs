//! Pointers are spilled and filled whole.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// A register is stored to the stack.
pub(crate) fn check_spill(value: &RegState, r: Reg, size: u32) -> Check {
    if size == 8 {
        return Ok(());
    }
    Err(Rule::SpillSize.reject(
        &[r],
        format!("{} holds {value}; only all 8 bytes of a pointer can be stored, not {size}", name(r)),
    ))
}

/// A spilled register is loaded in part, or together with other bytes.
pub(crate) fn check_fill(spilled: &RegState, off: i64, size: u32) -> Check {
    if spilled.is_scalar() {
        return Ok(());
    }
    Err(Rule::SpillSize.reject(
        &[],
        format!(
            "the stack at r10{off:+} holds {spilled}; only all 8 bytes of a pointer can be loaded, not {size}"
        ),
    ))
}

/// A stack address is stored to the frame of a caller.
pub(crate) fn escaping(r: Reg) -> Box<crate::Stop> {
    Rule::SpillSize.reject(
        &[r],
        format!("{} holds a stack address, which cannot be stored in a caller's frame", name(r)),
    )
}
