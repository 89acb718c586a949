//! Selection of arithmetic.

use super::Selector;
use crate::ir::{BinOp, InstData, UnOp, Value};
use crate::mir::{Const, Inst, Opnd, VReg};
use bpf_facts::{Feature, V};
use ebpf_asm::{AluOp, Size, Width};

/// First kernel whose signed division of `i64::MIN` by −1 gives `i64::MIN` instead of a processor exception.
const SAFE_SDIV: V = V(6, 12);

impl Selector<'_> {
    fn alu(&mut self, w: Width, op: AluOp, dst: VReg, lhs: VReg, rhs: Opnd) {
        self.push(Inst::Alu { w, op, dst, lhs, rhs });
    }

    /// `lhs op rhs` on 64 bits into a new register.
    fn step(&mut self, op: AluOp, lhs: VReg, rhs: Opnd) -> VReg {
        let dst = self.fresh();
        self.alu(Width::W64, op, dst, lhs, rhs);
        dst
    }

    pub(super) fn binary(&mut self, dst: VReg, op: BinOp, a: Value, b: Value) {
        self.binary_at(Width::W64, dst, op, a, b);
    }

    fn binary_at(&mut self, w: Width, dst: VReg, op: BinOp, a: Value, b: Value) {
        let (a, b) = match op {
            BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor
                if self.imm(a).is_some() && self.imm(b).is_none() =>
            {
                (b, a)
            }
            _ => (a, b),
        };
        let machine = match op {
            BinOp::Add => AluOp::Add,
            BinOp::Sub => return self.sub(w, dst, a, b),
            BinOp::Mul => AluOp::Mul,
            BinOp::And => AluOp::And,
            BinOp::Or => AluOp::Or,
            BinOp::Xor => AluOp::Xor,
            BinOp::Shl => return self.shift(w, AluOp::Lsh, dst, a, b),
            BinOp::Lshr => return self.shift(w, AluOp::Rsh, dst, a, b),
            BinOp::Ashr => return self.shift(w, AluOp::Arsh, dst, a, b),
            BinOp::Udiv => return self.divide(AluOp::Div, dst, a, b),
            BinOp::Umod => return self.divide(AluOp::Mod, dst, a, b),
            BinOp::Sdiv | BinOp::Smod => return self.signed_divide(op, dst, a, b),
        };
        // The verifier and JITs have no immediate of more than 32 bits; on 32 bits only the low half matters.
        let rhs = match (w, self.imm(b)) {
            (Width::W32, Some(n)) => Opnd::Imm(n as i32),
            _ => self.opnd(b),
        };
        let lhs = self.reg(a);
        self.alu(w, machine, dst, lhs, rhs);
    }

    fn sub(&mut self, w: Width, dst: VReg, a: Value, b: Value) {
        if let Some(n) = self.imm(b).and_then(|n| i32::try_from(n.wrapping_neg()).ok()) {
            let lhs = self.reg(a);
            return self.alu(w, AluOp::Add, dst, lhs, Opnd::Imm(n));
        }
        if self.imm(a) == Some(0) {
            let src = self.reg(b);
            return self.push(Inst::Neg { w, dst, src });
        }
        let lhs = self.reg(a);
        let rhs = Opnd::Reg(self.reg(b));
        self.alu(w, AluOp::Sub, dst, lhs, rhs);
    }

    fn shift(&mut self, w: Width, op: AluOp, dst: VReg, a: Value, b: Value) {
        let lhs = self.reg(a);
        // The verifier refuses immediate counts of the width or more.
        let rhs = match self.imm(b) {
            Some(n) => Opnd::Imm((n & 63) as i32),
            None => Opnd::Reg(self.reg(b)),
        };
        self.alu(w, op, dst, lhs, rhs);
    }

    /// Unsigned division. The verifier refuses an immediate 0, the machine defines it.
    fn divide(&mut self, op: AluOp, dst: VReg, a: Value, b: Value) {
        let lhs = self.reg(a);
        let rhs = match self.imm32(b) {
            Some(n) if n != 0 => Opnd::Imm(n),
            Some(_) | None => Opnd::Reg(self.reg(b)),
        };
        self.alu(Width::W64, op, dst, lhs, rhs);
    }

    /// Signed division. Without an instruction for it: of absolute values, with the signs put right after. With
    /// `s = x >> 63` (arithmetic), `(x ^ s) - s` is `|x|`, and negates for `s` −1.
    fn signed_divide(&mut self, op: BinOp, dst: VReg, a: Value, b: Value) {
        let modulo = op == BinOp::Smod;
        let safe = match self.imm(b) {
            Some(n) => n != 0 && n != -1,
            None => self.target.profile.version >= SAFE_SDIV,
        };
        let lhs = self.reg(a);
        if safe && self.target.profile.has(Feature::IsaV4) {
            let op = if modulo { AluOp::Smod } else { AluOp::Sdiv };
            let rhs = self.opnd(b);
            return self.alu(Width::W64, op, dst, lhs, rhs);
        }
        let sign = self.step(AluOp::Arsh, lhs, Opnd::Imm(63));
        let flipped = self.step(AluOp::Xor, lhs, Opnd::Reg(sign));
        let absolute = self.step(AluOp::Sub, flipped, Opnd::Reg(sign));
        let divide = if modulo { AluOp::Mod } else { AluOp::Div };
        let (quotient, sign) = match self.imm(b) {
            Some(n) => {
                let m = n.unsigned_abs().cast_signed();
                let rhs = match i32::try_from(m) {
                    Ok(m) if m != 0 => Opnd::Imm(m),
                    Ok(_) | Err(_) => Opnd::Reg(self.const_reg(Const::Imm(m))),
                };
                let quotient = self.step(divide, absolute, rhs);
                let sign = if n < 0 && !modulo { self.step(AluOp::Xor, sign, Opnd::Imm(-1)) } else { sign };
                (quotient, sign)
            }
            None => {
                let b = self.reg(b);
                let sign_b = self.step(AluOp::Arsh, b, Opnd::Imm(63));
                let flipped = self.step(AluOp::Xor, b, Opnd::Reg(sign_b));
                let absolute_b = self.step(AluOp::Sub, flipped, Opnd::Reg(sign_b));
                let quotient = self.step(divide, absolute, Opnd::Reg(absolute_b));
                let sign = if modulo { sign } else { self.step(AluOp::Xor, sign_b, Opnd::Reg(sign)) };
                (quotient, sign)
            }
        };
        let flipped = self.step(AluOp::Xor, quotient, Opnd::Reg(sign));
        self.alu(Width::W64, AluOp::Sub, dst, flipped, Opnd::Reg(sign));
    }

    pub(super) fn unary(&mut self, dst: VReg, op: UnOp, a: Value) {
        match op {
            UnOp::Neg => {
                let src = self.reg(a);
                self.push(Inst::Neg { w: Width::W64, dst, src });
            }
            UnOp::Not => {
                let lhs = self.reg(a);
                self.alu(Width::W64, AluOp::Xor, dst, lhs, Opnd::Imm(-1));
            }
            UnOp::Zext(Size::W) => self.zext32(dst, a),
            UnOp::Zext(size) => {
                let lhs = self.reg(a);
                let mask = if size == Size::B { 0xff } else { 0xffff };
                self.alu(Width::W64, AluOp::And, dst, lhs, Opnd::Imm(mask));
            }
            UnOp::Sext(size) => {
                let src = self.reg(a);
                self.sign_extend(dst, size, src);
            }
            UnOp::Bswap(size) => {
                let src = self.reg(a);
                self.push(Inst::Swap { bits: (size.bytes() * 8) as u8, dst, src });
            }
        }
    }

    pub(super) fn sign_extend(&mut self, dst: VReg, size: Size, src: VReg) {
        if self.target.profile.has(Feature::IsaV4) {
            return self.push(Inst::MovSx { from: size, dst, src });
        }
        let by = Opnd::Imm(64 - (size.bytes() * 8) as i32);
        let up = self.step(AluOp::Lsh, src, by);
        self.alu(Width::W64, AluOp::Arsh, dst, up, by);
    }

    /// Zero extension of 32 bits: for free where the operation can be done on 32 bits.
    fn zext32(&mut self, dst: VReg, a: Value) {
        if self.uses[a.index()] == 1 && self.regs[a.index()].is_none() {
            match self.func.def_inst(a) {
                // The low half of the result depends on the low halves of the operands only.
                Some(InstData::Binary(
                    op @ (BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor),
                    x,
                    y,
                )) => return self.binary_at(Width::W32, dst, *op, *x, *y),
                Some(InstData::Binary(BinOp::Shl, x, y))
                    if self.imm(*y).is_some_and(|n| (0..32).contains(&n)) =>
                {
                    return self.binary_at(Width::W32, dst, BinOp::Shl, *x, *y);
                }
                Some(InstData::Unary(UnOp::Neg, x)) => {
                    let src = self.reg(*x);
                    return self.push(Inst::Neg { w: Width::W32, dst, src });
                }
                Some(InstData::Unary(UnOp::Not, x)) => {
                    let lhs = self.reg(*x);
                    return self.alu(Width::W32, AluOp::Xor, dst, lhs, Opnd::Imm(-1));
                }
                Some(_) | None => {}
            }
        }
        let src = self.reg(a);
        self.push(Inst::Zext32 { dst, src });
    }
}
