//! Memory that is read-only.

use super::{Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// The register cannot be written through.
pub(crate) fn read_only(value: &RegState, r: Reg) -> Box<crate::Stop> {
    Rule::WritableMemory.reject(&[r], format!("{} holds {value}, which cannot be written to", name(r)))
}
