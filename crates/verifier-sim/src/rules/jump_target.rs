//! Where control may go.

use super::{Check, Rule};
use crate::cfg::successors;
use ebpf_asm::Insn;

/// Instruction `at` of the function that occupies `first..end`.
pub(crate) fn check(insn: &Insn, at: u32, first: u32, end: u32) -> Check {
    let falls_off = at + 1 == end && !matches!(insn, Insn::Exit | Insn::Jump { .. });
    if falls_off {
        return Err(
            Rule::JumpTarget.reject(&[], "the last instruction of a function must be an exit or a jump")
        );
    }
    for to in successors(insn, at).into_iter().flatten() {
        if !(first..end).contains(&to) {
            return Err(Rule::JumpTarget.reject(&[], "the jump leaves the function"));
        }
    }
    Ok(())
}
