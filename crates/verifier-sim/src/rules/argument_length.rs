//! Lengths given to helpers.

use super::{Check, Rule, name};
use crate::state::RegState;
use bpf_facts::HelperDef;
use ebpf_asm::Reg;

/// Largest length.
const MAX_LEN: u64 = 1 << 29;

/// `value` is the length of the memory in the argument before. Returns the largest it can be.
pub(crate) fn check(def: &HelperDef, value: &RegState, r: Reg, zero_ok: bool) -> Check<u32> {
    let fail = |why: &str| {
        Err(Rule::ArgumentLength
            .reject(&[r], format!("{} is {value}; as a length for helper {} {why}", name(r), def.name)))
    };
    if value.val.smin < 0 {
        return fail("it must not be negative: compare it with 0, or mask it");
    }
    if value.val.umin == 0 && !zero_ok {
        return fail("it must not be 0");
    }
    if value.val.umax >= MAX_LEN {
        return fail("it must be bounded: compare it with a constant, or mask it");
    }
    Ok(value.val.umax as u32)
}
