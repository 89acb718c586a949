//! `r10` is read-only.

use super::{Check, Rule};
use ebpf_asm::Reg;

/// The destination of an instruction.
pub(crate) fn check(dst: Reg) -> Check {
    if dst == Reg::R10 {
        return Err(Rule::FramePointer.reject(&[dst], "r10, the frame pointer, cannot be written"));
    }
    Ok(())
}
