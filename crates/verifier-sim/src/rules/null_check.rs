//! Pointers that may be NULL.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// A pointer is used for `what`.
pub(crate) fn check(value: &RegState, r: Reg, what: &str) -> Check {
    if value.may_be_null() {
        return Err(Rule::NullCheck
            .reject(&[r], format!("{} holds {value}; compare it with 0 before {what}", name(r))));
    }
    Ok(())
}
