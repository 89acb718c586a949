//! Registers must be written before they are read.

use super::{Check, Rule, name};
use crate::state::{Kind, RegState};
use ebpf_asm::Reg;

/// A register is read.
pub(crate) fn check(value: &RegState, r: Reg) -> Check {
    if value.kind == Kind::NotInit {
        return Err(Rule::ReadableRegister.reject(&[r], format!("{} is read before it is written", name(r))));
    }
    Ok(())
}
