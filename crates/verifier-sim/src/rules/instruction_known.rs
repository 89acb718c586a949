//! Instructions the kernel is too old for.

use super::{Check, Rule};
use crate::env::Env;
use bpf_facts::V;
use ebpf_asm::{Insn, InsnIdx};

/// The instruction, whatever its operands.
pub(crate) fn check(env: &Env<'_>, insn: &Insn) -> Check {
    let (major, minor) = ebpf_asm::since(insn);
    let since = V(major, minor);
    if since <= env.profile.version {
        return Ok(());
    }
    Err(Rule::InstructionKnown
        .reject(&[], format!("the instruction needs Linux {since}, and this is for {}", env.profile.version)))
}

/// Fields that the instruction does not use are zero. The kernel looks at them only where it comes by.
pub(crate) fn check_fields(env: &Env<'_>, at: InsnIdx) -> Check {
    if env.prog.suspects.contains(&at) {
        return Err(Rule::InstructionKnown.reject(&[], "the instruction uses fields that are reserved"));
    }
    Ok(())
}
