//! Only pointers lead to memory.

use super::{Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// The register cannot be loaded from or stored to.
pub(crate) fn no_memory(value: &RegState, r: Reg) -> Box<crate::Stop> {
    Rule::PointerKind.reject(&[r], format!("{} holds {value}, which cannot be accessed as memory", name(r)))
}
