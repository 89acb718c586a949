//! What a helper's argument may be.

use super::{Rule, name};
use crate::state::RegState;
use bpf_facts::HelperDef;
use ebpf_asm::Reg;

/// The register does not hold what the helper wants.
pub(crate) fn wrong(def: &HelperDef, value: &RegState, r: Reg, wants: &str) -> Box<crate::Stop> {
    Rule::Argument.reject(&[r], format!("{} holds {value}; helper {} wants {wants} there", name(r), def.name))
}
