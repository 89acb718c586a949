//! Pointers plus and minus numbers.

use super::arithmetic::pointer_bits;
use crate::explore::{Flow, Walk};
use crate::rules::{Check, Rule, name, null_check, pointer_arithmetic};
use crate::state::{Kind, RegState};
use ebpf_asm::{AluOp, Reg, Width};

impl Walk<'_> {
    /// `dst = dst op …`, where `ptr`, in `ptr_reg`, is the pointer and `by` the number; `dst` is the pointer if `dst_is_ptr`.
    #[expect(clippy::too_many_arguments, reason = "an instruction and what its operands hold")]
    pub(crate) fn move_pointer(
        &mut self,
        w: Width,
        op: AluOp,
        dst: Reg,
        ptr_reg: Reg,
        ptr: &RegState,
        by: &RegState,
        dst_is_ptr: bool,
    ) -> Check<Flow> {
        let known = by.val.as_const().map(|v| v as i64);
        let contradicting = by.val.smin > by.val.smax
            || by.val.umin > by.val.umax
            || known.is_some() && (by.val.smin != by.val.smax || by.val.umin != by.val.umax);
        if contradicting {
            // Such a path cannot run.
            self.write(dst, RegState::UNKNOWN)?;
            return Ok(Flow::Next);
        }
        if w == Width::W32 {
            if op == AluOp::Sub {
                self.write(dst, RegState::UNKNOWN)?;
                return Ok(Flow::Next);
            }
            return Err(pointer_arithmetic::refused(ptr, ptr_reg, "32-bit arithmetic would cut the pointer"));
        }
        if ptr.is_untrusted_mem() {
            // It is read anywhere: what is added does not matter, and the sum is what `dst` was.
            null_check::check(ptr, ptr_reg, "computing with it")?;
            return Ok(Flow::Next);
        }
        pointer_arithmetic::check_kind(ptr, ptr_reg, op, known)?;
        pointer_arithmetic::check_offset(self.env.era, by, dst)?;
        pointer_arithmetic::check_offset(self.env.era, ptr, ptr_reg)?;
        let mut r = *ptr;
        r.val.forget32();
        match op {
            AluOp::Add => self.add_to_pointer(&mut r, ptr, by, known),
            AluOp::Sub => {
                if !dst_is_ptr {
                    return Err(pointer_arithmetic::refused(
                        ptr,
                        ptr_reg,
                        "it cannot be subtracted from a number",
                    ));
                }
                if ptr.kind == Kind::Stack {
                    return Err(pointer_arithmetic::refused(
                        ptr,
                        ptr_reg,
                        "nothing can be subtracted from it",
                    ));
                }
                self.subtract_from_pointer(&mut r, ptr, by, known);
            }
            AluOp::And | AluOp::Or | AluOp::Xor => {
                return Err(Rule::PointerArithmetic.reject(
                    &[ptr_reg],
                    format!("{} holds {ptr}; bits of a pointer cannot be changed", name(ptr_reg)),
                ));
            }
            AluOp::Mul
            | AluOp::Div
            | AluOp::Sdiv
            | AluOp::Mod
            | AluOp::Smod
            | AluOp::Lsh
            | AluOp::Rsh
            | AluOp::Arsh
            | AluOp::Mov => {
                return Err(pointer_arithmetic::refused(
                    ptr,
                    ptr_reg,
                    "numbers can only be added to and subtracted from it",
                ));
            }
        }
        pointer_arithmetic::check_offset(self.env.era, &r, dst)?;
        r.val.sync(self.env.era);
        r.val.heal();
        self.write(dst, r)?;
        Ok(Flow::Next)
    }

    fn add_to_pointer(&mut self, r: &mut RegState, ptr: &RegState, by: &RegState, known: Option<i64>) {
        if let Some(off) = known.and_then(|k| i32::try_from(i64::from(ptr.off) + k).ok()) {
            r.off = off;
            return;
        }
        match (ptr.val.smin.checked_add(by.val.smin), ptr.val.smax.checked_add(by.val.smax)) {
            (Some(lo), Some(hi)) => (r.val.smin, r.val.smax) = (lo, hi),
            _ => (r.val.smin, r.val.smax) = (i64::MIN, i64::MAX),
        }
        match (ptr.val.umin.checked_add(by.val.umin), ptr.val.umax.checked_add(by.val.umax)) {
            (Some(lo), Some(hi)) => (r.val.umin, r.val.umax) = (lo, hi),
            _ => (r.val.umin, r.val.umax) = (0, u64::MAX),
        }
        r.val.bits = pointer_bits(AluOp::Add, ptr.val.bits, by.val.bits);
        if ptr.kind.is_packet() {
            r.id = self.new_id();
            r.range = 0;
        }
    }

    fn subtract_from_pointer(&mut self, r: &mut RegState, ptr: &RegState, by: &RegState, known: Option<i64>) {
        if let Some(off) =
            known.and_then(|k| i64::from(ptr.off).checked_sub(k)).and_then(|v| i32::try_from(v).ok())
        {
            r.off = off;
            return;
        }
        match (ptr.val.smin.checked_sub(by.val.smax), ptr.val.smax.checked_sub(by.val.smin)) {
            (Some(lo), Some(hi)) => (r.val.smin, r.val.smax) = (lo, hi),
            _ => (r.val.smin, r.val.smax) = (i64::MIN, i64::MAX),
        }
        if ptr.val.umin < by.val.umax {
            (r.val.umin, r.val.umax) = (0, u64::MAX);
        } else {
            (r.val.umin, r.val.umax) = (ptr.val.umin - by.val.umax, ptr.val.umax - by.val.umin);
        }
        r.val.bits = pointer_bits(AluOp::Sub, ptr.val.bits, by.val.bits);
        if ptr.kind.is_packet() {
            r.id = self.new_id();
            if by.val.smin < 0 {
                r.range = 0;
            }
        }
    }
}
