//! Atomic read-modify-write instructions.

use crate::explore::{Flow, Walk};
use crate::rules::{Check, atomic_target};
use crate::state::RegState;
use ebpf_asm::{AtomicOp, Reg, Size};

impl Walk<'_> {
    pub(crate) fn atomic(
        &mut self,
        size: Size,
        op: AtomicOp,
        fetch: bool,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Check<Flow> {
        self.read(src)?;
        let ptr = self.read(base)?;
        if op == AtomicOp::Cmpxchg {
            self.read(Reg::R0)?;
        }
        atomic_target::check(&ptr, base)?;
        let loaded = match (op, fetch) {
            (AtomicOp::Cmpxchg, _) => Some(Reg::R0),
            (_, true) => Some(src),
            (_, false) => None,
        };
        if let Some(r) = loaded {
            self.write(r, RegState::UNKNOWN)?;
        }
        let mut old = self.load_value(size.bytes(), false, base, i32::from(off), true)?;
        if let Some(r) = loaded {
            if old.is_scalar() {
                old.val.truncate(size.bytes(), self.env.era);
            }
            self.write(r, old)?;
        }
        self.store_value(size.bytes(), base, i32::from(off), None, true)?;
        Ok(Flow::Next)
    }
}
