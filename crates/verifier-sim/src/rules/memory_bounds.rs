//! Map values, keys, records, buffers.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// Largest variable offset that is computed with.
const MAX_VAR_OFF: u64 = 1 << 29;

/// `size` bytes at `base + off` in memory of `len` bytes.
pub(crate) fn check(base: &RegState, r: Reg, off: i64, size: u32, len: u32, zero_ok: bool) -> Check {
    let fail =
        |what: String| Err(Rule::MemoryBounds.reject(&[r], format!("{} holds {base}; {what}", name(r))));
    let fits = |at: i64| at >= 0 && (size > 0 || zero_ok) && at as u64 + u64::from(size) <= u64::from(len);
    let min = base.val.smin.checked_add(off);
    if base.val.smin < 0 && min.is_none_or(|m| m < 0 || i64::from(m as i32) != m) {
        return fail(format!("its offset may be negative, as low as {}", base.val.smin.saturating_add(off)));
    }
    if !min.is_some_and(fits) {
        return fail(format!(
            "{size} bytes at {} are outside of its {len} bytes",
            base.val.smin.saturating_add(off)
        ));
    }
    if base.val.umax >= MAX_VAR_OFF {
        return fail("its offset has no upper bound: compare it with a constant before".to_string());
    }
    let max = base.val.umax as i64 + off;
    if !fits(max) {
        return fail(format!("{size} bytes at up to {max} are outside of its {len} bytes"));
    }
    Ok(())
}

/// A fixed offset into a buffer whose size is not known here.
pub(crate) fn check_buffer(base: &RegState, r: Reg, off: i64) -> Check {
    if off >= 0 && base.val.is_zero() {
        return Ok(());
    }
    Err(Rule::MemoryBounds
        .reject(&[r], format!("{} holds {base}; its offset must be fixed and not negative", name(r))))
}
