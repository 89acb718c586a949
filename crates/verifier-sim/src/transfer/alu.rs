//! Arithmetic instructions.

use super::arithmetic;
use crate::bounds::Bounds;
use crate::era::{Change, Era};
use crate::explore::{Flow, Walk};
use crate::rules::{Check, constant_operand, frame_pointer, pointer_arithmetic, readable_register};
use crate::state::{ADD_CONST, ADD_CONST32, ADD_CONST64, RegState};
use ebpf_asm::{AluOp, Operand, Reg, Size, SwapOp, Width};

impl Walk<'_> {
    /// A register is read.
    pub(crate) fn read(&self, r: Reg) -> Check<RegState> {
        let value = *self.st.reg(r);
        readable_register::check(&value, r)?;
        Ok(value)
    }

    /// A register is overwritten.
    pub(crate) fn write(&mut self, r: Reg, value: RegState) -> Check {
        frame_pointer::check(r)?;
        *self.st.reg_mut(r) = value;
        Ok(())
    }

    pub(crate) fn alu(&mut self, w: Width, op: AluOp, dst: Reg, src: Operand) -> Check<Flow> {
        if op == AluOp::Mov {
            return self.mov(w, dst, src);
        }
        let right = match src {
            Operand::Reg(r) => self.read(r)?,
            Operand::Imm(imm) => RegState::constant(imm as i64 as u64),
        };
        let left = self.read(dst)?;
        constant_operand::check(w, op, src)?;
        frame_pointer::check(dst)?;
        if let Operand::Reg(r) = src {
            match (left.is_pointer(), right.is_pointer()) {
                (true, true) => {
                    if op == AluOp::Sub {
                        self.write(dst, RegState::UNKNOWN)?;
                        return Ok(Flow::Next);
                    }
                    return Err(pointer_arithmetic::refused(
                        &left,
                        dst,
                        &format!(
                            "and r{} {right}; of two pointers only the difference can be computed",
                            r.index()
                        ),
                    ));
                }
                (false, true) => {
                    self.mark_precise(dst);
                    return self.move_pointer(w, op, dst, r, &right, &left, false);
                }
                (true, false) => {
                    self.mark_precise(r);
                    return self.move_pointer(w, op, dst, dst, &left, &right, true);
                }
                (false, false) => {
                    if left.precise {
                        self.mark_precise(r);
                    }
                }
            }
        } else if left.is_pointer() {
            return self.move_pointer(w, op, dst, dst, &left, &right, true);
        }
        self.compute(w, op, dst, src, left, &right)?;
        Ok(Flow::Next)
    }

    fn compute(
        &mut self,
        w: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
        mut left: RegState,
        right: &RegState,
    ) -> Check {
        let era = self.env.era;
        if matches!(op, AluOp::And | AluOp::Or)
            && era.has(Change::ForkScalars)
            && right.val.as_const().is_some()
            && let Some((zero, ones)) = split(&left.val)
        {
            // Verified for 0 and for -1 apart: each is exact. The other path repeats this instruction.
            let at = self.pc;
            let other = self.fork(at)?;
            other.reg_mut(dst).val = zero;
            left.val = ones;
        }
        let mut result = left;
        result.val = arithmetic::apply(era, w, op, &left.val, &right.val);
        let same = src == Operand::Reg(dst);
        match link_of_sum(era, w, op, &left, right).filter(|_| left.id != 0 && !same) {
            Some((mark, off)) => {
                result.id |= mark;
                result.off = off;
            }
            None => result.unlink(),
        }
        result.val.heal();
        self.write(dst, result)
    }

    fn mov(&mut self, w: Width, dst: Reg, src: Operand) -> Check<Flow> {
        let value = match (src, w) {
            (Operand::Imm(imm), Width::W64) => RegState::constant(imm as i64 as u64),
            (Operand::Imm(imm), Width::W32) => RegState::constant(u64::from(imm as u32)),
            (Operand::Reg(r), Width::W64) => {
                self.read(r)?;
                frame_pointer::check(dst)?;
                self.link_before_copy(r);
                *self.st.reg(r)
            }
            (Operand::Reg(r), Width::W32) => {
                let from = self.read(r)?;
                frame_pointer::check(dst)?;
                let mut value = RegState::UNKNOWN;
                if from.is_scalar() {
                    let fits = from.val.fits(32) && self.env.era.has(Change::LinkNarrowMoves);
                    if fits {
                        self.link_before_copy(r);
                    }
                    value = *self.st.reg(r);
                    if !fits {
                        value.unlink();
                    }
                }
                value.val.zero_extend_32();
                value.val.sync(self.env.era);
                value.val.heal();
                value
            }
        };
        self.write(dst, value)?;
        Ok(Flow::Next)
    }

    pub(crate) fn move_extended(&mut self, w: Width, from: Size, dst: Reg, src: Reg) -> Check<Flow> {
        let value = self.read(src)?;
        frame_pointer::check(dst)?;
        if !value.is_scalar() {
            let mut unknown = RegState::UNKNOWN;
            if w == Width::W32 {
                unknown.val.zero_extend_32();
                unknown.val.sync(self.env.era);
            }
            self.write(dst, unknown)?;
            return Ok(Flow::Next);
        }
        let unchanged = value.val.umax < 1 << (from.bytes() * 8 - 1);
        if unchanged {
            self.link_before_copy(src);
        }
        let mut result = *self.st.reg(src);
        if !unchanged {
            result.unlink();
        }
        match w {
            Width::W64 => result.val.sign_extend(from.bytes(), self.env.era),
            Width::W32 => {
                result.val.sign_extend32(from.bytes());
                result.val.zero_extend_32();
                result.val.sync(self.env.era);
            }
        }
        result.val.heal();
        self.write(dst, result)?;
        Ok(Flow::Next)
    }

    pub(crate) fn negate(&mut self, w: Width, dst: Reg) -> Check<Flow> {
        let value = self.read(dst)?;
        let val =
            if value.is_scalar() { arithmetic::negate(self.env.era, w, &value.val) } else { Bounds::UNKNOWN };
        self.write(dst, RegState { val, precise: value.precise && value.is_scalar(), ..RegState::UNKNOWN })?;
        Ok(Flow::Next)
    }

    pub(crate) fn swap(&mut self, op: SwapOp, bits: u8, dst: Reg) -> Check<Flow> {
        let value = self.read(dst)?;
        let swaps = op != SwapOp::ToLe;
        if !value.is_scalar() {
            self.write(dst, RegState::UNKNOWN)?;
            return Ok(Flow::Next);
        }
        let mut result = value;
        // The machines modelled are little-endian: of 64 bits nothing changes.
        if swaps || bits != 64 || !self.env.era.has(Change::SwapBits) {
            result = RegState { precise: value.precise, ..RegState::UNKNOWN };
        }
        result.val = arithmetic::swap(self.env.era, swaps, bits, &value.val);
        result.val.heal();
        self.write(dst, result)?;
        Ok(Flow::Next)
    }

    /// A copy of this scalar is about to be made: both will be narrowed together.
    pub(crate) fn link_before_copy(&mut self, r: Reg) {
        let value = self.st.reg(r);
        if !value.is_scalar() {
            return;
        }
        if value.id & ADD_CONST != 0 {
            self.st.reg_mut(r).unlink();
        }
        let value = self.st.reg(r);
        if value.id == 0 && value.val.as_const().is_none() {
            let id = self.new_id();
            self.st.reg_mut(r).id = id;
        }
    }
}

/// How `left op right` stays linked to the group of `left`: the mark of its id, and the distance.
fn link_of_sum(era: Era, w: Width, op: AluOp, left: &RegState, right: &RegState) -> Option<(u32, i32)> {
    if !era.has(Change::LinkedOffsets) || left.id & ADD_CONST != 0 {
        return None;
    }
    if !era.has(Change::LinkedSums) {
        let off = i32::try_from(right.val.as_const()?).ok()?;
        return (op == AluOp::Add && w == Width::W64).then_some((ADD_CONST64, off));
    }
    let (mark, delta) = match w {
        Width::W64 => (ADD_CONST64, i32::try_from(right.val.as_const()?.cast_signed()).ok()?),
        Width::W32 if left.val.umax > u64::from(u32::MAX) => return None,
        Width::W32 => (ADD_CONST32, right.val.as_const32()?.cast_signed()),
    };
    match op {
        AluOp::Add => Some((mark, delta)),
        AluOp::Sub => Some((mark, delta.checked_neg()?)),
        _ => None,
    }
}

/// A value that is 0 or -1, at 64 or 32 bits, as two constants.
fn split(val: &Bounds) -> Option<(Bounds, Bounds)> {
    if (val.smin, val.smax) == (-1, 0) {
        return Some((Bounds::constant(0), Bounds::constant(u64::MAX)));
    }
    if (val.smin32, val.smax32) == (-1, 0) {
        let (mut zero, mut ones) = (*val, *val);
        zero.set_low(0);
        ones.set_low(u32::MAX);
        return Some((zero, ones));
    }
    None
}
