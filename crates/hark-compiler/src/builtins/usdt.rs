//! Reading the arguments of static probes from where the compiler of the traced program left them.

use crate::lower::{Lower, Place};
use crate::types::{Space, Type};
use bpf_facts::pt_regs;
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, UnOp, Value};
use hark_object::{UsdtArgument, UsdtPlace, UsdtRegister};

/// The argument, extended to 64 bits by its sign.
pub(super) fn read(cx: &mut Lower<'_>, arg: &UsdtArgument) -> Value {
    let size = Size::from_bytes(u32::from(arg.bytes)).unwrap_or(Size::Dw);
    let address = match &arg.at {
        UsdtPlace::Const(number) => return cx.b.iconst(*number),
        UsdtPlace::Register(reg) => {
            let word = register(cx, *reg);
            if size == Size::Dw {
                return word;
            }
            return cx.b.unary(if arg.signed { UnOp::Sext(size) } else { UnOp::Zext(size) }, word);
        }
        UsdtPlace::Memory { base, index, disp } => {
            let mut address = register(cx, *base);
            if let Some((index, scale)) = index {
                let index = register(cx, *index);
                let index = cx.b.binary_imm(BinOp::Mul, index, i64::from(*scale));
                address = cx.b.binary(BinOp::Add, address, index);
            }
            cx.b.binary_imm(BinOp::Add, address, *disp)
        }
        UsdtPlace::FromHere(distance) => {
            let here = register(cx, UsdtRegister { name: "ip", shift: 0, bits: 64 });
            cx.b.binary_imm(BinOp::Add, here, *distance)
        }
    };
    let ty = Type::Int { bytes: arg.bytes, signed: arg.signed };
    cx.read_scalar(Place::Remote(address, 0, Space::User), &ty, None)
}

/// The part of a register of the traced process.
fn register(cx: &mut Lower<'_>, reg: UsdtRegister) -> Value {
    let offset = cx.unit.context.regs.unwrap_or(0) + pt_regs(cx.target.profile.arch, reg.name).unwrap_or(0);
    let ctx = cx.ctx();
    let word = cx.b.load(Size::Dw, ctx, offset as i32);
    if reg.shift == 0 && reg.bits == 64 {
        return word;
    }
    // Up to the top, then down again without what was beside it.
    let up = cx.b.binary_imm(BinOp::Shl, word, 64 - i64::from(reg.shift) - i64::from(reg.bits));
    cx.b.binary_imm(BinOp::Lshr, up, 64 - i64::from(reg.bits))
}
