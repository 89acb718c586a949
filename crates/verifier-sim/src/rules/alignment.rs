//! Alignment of stack and atomic accesses.

use super::{Check, Rule, name};
use crate::state::{Kind, RegState};
use crate::tnum::Tnum;
use ebpf_asm::Reg;

/// `size` bytes at `base + off`. Other memory than the stack is aligned only if `strict`.
pub(crate) fn check(base: &RegState, r: Reg, off: i32, size: u32, strict: bool) -> Check {
    if !(strict || base.kind == Kind::Stack) || size == 1 {
        return Ok(());
    }
    // Packets start 2 bytes after a multiple of 4.
    let start = if base.kind.is_packet() { 2 } else { 0 };
    let fixed = i64::from(base.off) + i64::from(off) + start;
    if base.val.bits.add(Tnum::constant(fixed as u64)).is_aligned(u64::from(size)) {
        return Ok(());
    }
    Err(Rule::Alignment.reject(
        &[r],
        format!("{} holds {base}; {size} bytes at offset {off} from it are not aligned", name(r)),
    ))
}
