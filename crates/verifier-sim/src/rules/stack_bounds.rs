//! The 512 bytes of a frame.

use super::{Check, Rule, name};
use crate::state::RegState;
use ebpf_asm::Reg;

/// Largest offset that is computed with.
const MAX_VAR_OFF: i64 = 1 << 29;

/// `size` bytes at `base + off`; `depth` is how far down may be accessed. Returns the lowest and the highest offset
/// of the first byte.
pub(crate) fn check(base: &RegState, r: Reg, off: i64, size: i64, depth: i64) -> Check<(i64, i64)> {
    let (min, max) = match base.val.as_const() {
        Some(v) => (v as i64 + off, v as i64 + off),
        None => {
            if base.val.smax >= MAX_VAR_OFF || base.val.smin <= -MAX_VAR_OFF {
                return Err(Rule::StackBounds
                    .reject(&[r], format!("{} holds {base}, an offset without bounds", name(r))));
            }
            (base.val.smin + off, base.val.smax + off)
        }
    };
    if min < -depth || min > -1 || max + size > 0 {
        return Err(Rule::StackBounds.reject(
            &[r],
            format!("{} holds {base}; {size} bytes at r10{min:+} are outside of the stack", name(r)),
        ));
    }
    Ok((min, max))
}
