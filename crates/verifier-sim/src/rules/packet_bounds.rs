//! Packet data, as far as comparisons with its end reach.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// `size` bytes at `off` from the pointer, its own fixed offset included.
pub(crate) fn check(base: &RegState, r: Reg, off: i64, size: u32, zero_ok: bool) -> Check {
    if base.val.smin < 0 {
        return Err(
            Rule::PacketBounds.reject(&[r], format!("{} holds {base}; its offset may be negative", name(r)))
        );
    }
    let fits = base.range >= 0
        && off >= 0
        && (size > 0 || zero_ok)
        && off as u64 + u64::from(size) <= base.range as u64;
    if fits {
        return Ok(());
    }
    Err(Rule::PacketBounds.reject(
        &[r],
        format!(
            "{} holds {base}; only {} bytes from there are known to be in the packet, not {size} at {off}",
            name(r),
            base.range.max(0)
        ),
    ))
}
