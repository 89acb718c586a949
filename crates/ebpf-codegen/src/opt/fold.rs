//! Arithmetic on constants, as the IR defines it.

use crate::ir::{BinOp, Cond, UnOp};
use ebpf_asm::Size;

/// The result of a two-operand operation.
pub(super) fn binary(op: BinOp, a: i64, b: i64) -> i64 {
    let (ua, ub) = (a.cast_unsigned(), b.cast_unsigned());
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Udiv => ua.checked_div(ub).unwrap_or(0).cast_signed(),
        BinOp::Sdiv if b == 0 => 0,
        BinOp::Sdiv => a.wrapping_div(b),
        BinOp::Umod => ua.checked_rem(ub).unwrap_or(ua).cast_signed(),
        BinOp::Smod if b == 0 => a,
        BinOp::Smod => a.wrapping_rem(b),
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b as u32),
        BinOp::Lshr => ua.wrapping_shr(b as u32).cast_signed(),
        BinOp::Ashr => a.wrapping_shr(b as u32),
    }
}

/// The result of a one-operand operation.
pub(super) fn unary(op: UnOp, a: i64) -> i64 {
    match op {
        UnOp::Neg => a.wrapping_neg(),
        UnOp::Not => !a,
        UnOp::Zext(size) => a & mask(size),
        UnOp::Sext(Size::B) => i64::from(a as i8),
        UnOp::Sext(Size::H) => i64::from(a as i16),
        UnOp::Sext(Size::W) => i64::from(a as i32),
        UnOp::Sext(Size::Dw) => a,
        UnOp::Bswap(Size::B) => a & 0xff,
        UnOp::Bswap(Size::H) => i64::from((a as u16).swap_bytes()),
        UnOp::Bswap(Size::W) => i64::from((a as u32).swap_bytes()),
        UnOp::Bswap(Size::Dw) => a.swap_bytes(),
    }
}

/// Whether the comparison holds.
pub(super) fn compare(cond: Cond, a: i64, b: i64) -> bool {
    let (ua, ub) = (a.cast_unsigned(), b.cast_unsigned());
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Ult => ua < ub,
        Cond::Ule => ua <= ub,
        Cond::Ugt => ua > ub,
        Cond::Uge => ua >= ub,
        Cond::Slt => a < b,
        Cond::Sle => a <= b,
        Cond::Sgt => a > b,
        Cond::Sge => a >= b,
    }
}

/// All ones in the low bits of this size.
pub(super) fn mask(size: Size) -> i64 {
    match size {
        Size::B => 0xff,
        Size::H => 0xffff,
        Size::W => 0xffff_ffff,
        Size::Dw => -1,
    }
}
