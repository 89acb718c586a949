//! Immediate operands that make no sense.

use super::{Check, Rule};
use ebpf_asm::{AluOp, Operand, Width};

/// The right operand of an arithmetic instruction.
pub(crate) fn check(w: Width, op: AluOp, src: Operand) -> Check {
    let Operand::Imm(imm) = src else { return Ok(()) };
    match op {
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if imm == 0 => {
            Err(Rule::ConstantOperand.reject(&[], "division by zero"))
        }
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let bits = if w == Width::W64 { 64 } else { 32 };
            if (0..bits).contains(&imm) {
                return Ok(());
            }
            Err(Rule::ConstantOperand.reject(&[], format!("a shift by {imm} of a {bits}-bit value")))
        }
        _ => Ok(()),
    }
}
