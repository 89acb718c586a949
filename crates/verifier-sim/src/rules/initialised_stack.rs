//! Stack that was never written.

use super::Rule;
use ebpf_asm::Reg;

/// A byte at `off` from the top of the frame was not written.
pub(crate) fn missing(r: Option<Reg>, off: i64, size: i64) -> Box<crate::Stop> {
    let regs: Vec<Reg> = r.into_iter().collect();
    Rule::InitialisedStack.reject(
        &regs,
        format!("the byte at r10{off:+} was not written before {size} bytes of stack are read"),
    )
}

/// An object of the kernel's is read or written as if it were plain stack.
pub(crate) fn object(r: Option<Reg>, off: i64, what: &str) -> Box<crate::Stop> {
    let regs: Vec<Reg> = r.into_iter().collect();
    Rule::InitialisedStack.reject(&regs, format!("{what} is at r10{off:+}; only its functions access it"))
}
