//! Reading kernel objects through BTF.

use super::{Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// The object cannot be read so.
pub(crate) fn refused(ptr: &RegState, r: Reg, why: &str) -> Box<crate::Stop> {
    Rule::KernelObject.reject(&[r], format!("{} holds {ptr}; {why}", name(r)))
}
