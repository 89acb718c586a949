//! Where atomic operations may work.

use super::{Check, Rule, name};
use crate::state::{Kind, RegState};
use ebpf_asm::Reg;

/// The memory that an atomic instruction changes.
pub(crate) fn check(base: &RegState, r: Reg) -> Check {
    let refused =
        base.kind.is_packet() || base.kind.is_sock() || matches!(base.kind, Kind::Ctx | Kind::FlowKeys);
    if refused {
        return Err(Rule::AtomicTarget
            .reject(&[r], format!("{} holds {base}, on which atomic operations are not allowed", name(r))));
    }
    Ok(())
}
