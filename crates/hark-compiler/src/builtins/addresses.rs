//! Values that print as addresses: `ntop`, `macaddr`; and `bswap`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_text_arg, error, int_arg};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::Type;
use ebpf_asm::Size;
use ebpf_codegen::ir::UnOp;
use hark_diag::Code;
use hark_object::Ty;
use std::net::IpAddr;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Ntop, &Pton, &Macaddr, &Bswap];

/// `AF_INET` (include/linux/socket.h).
const AF_INET: i64 = 2;
/// `AF_INET6`.
const AF_INET6: i64 = 10;

/// `ntop([af, ] address)`
struct Ntop;

impl Builtin for Ntop {
    fn name(&self) -> &'static str {
        "ntop"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "ntop([af,] address)",
            text: "An IPv4 or IPv6 address: an integer, or an array of 4 or 16 bytes.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let last = call.args.len() - 1;
        let value = cx.value(arg(call, last)?);
        let fits = match &value.ty {
            ty if ty.is_integral() => true,
            Type::Array(..) | Type::Str { .. } | Type::Struct(_) => {
                matches!(cx.types.size_of(&value.ty), 4 | 16)
            }
            _ => false,
        };
        if !fits {
            let message = format!("ntop() takes an integer or 4 or 16 bytes, not {}", value.ty);
            return Err(error(Code::TYPE_MISMATCH, value.span, message));
        }
        let mut args = vec![value];
        if last == 1 {
            args.push(int_arg(cx, call, 0)?);
        }
        Ok(call_expr(self, args, CallData::None, Type::Opaque(Ty::Inet), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let dst = cx.dst(dst, ty);
        let value = &call.args[0];
        let bytes = if value.ty.is_scalar() { 4 } else { cx.types.size_of(&value.ty) };
        let family = match call.args.get(1) {
            Some(family) => cx.scalar(family),
            None => cx.b.iconst(if bytes == 16 { AF_INET6 } else { AF_INET }),
        };
        cx.zero(dst.plus(4), 16);
        cx.b.store(Size::W, family, dst.ptr, dst.off);
        if value.ty.is_scalar() {
            let word = cx.scalar(value);
            cx.b.store(Size::W, word, dst.ptr, dst.off + 4);
        } else {
            cx.into(value, dst.plus(4));
        }
        Val::Mem(dst)
    }
}

/// `pton("address")`
struct Pton;

impl Builtin for Pton {
    fn name(&self) -> &'static str {
        "pton"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "pton(\"address\")",
            text: "The 4 or 16 bytes of a literal IPv4 or IPv6 address, in network order.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let text = const_text_arg(cx, call, 0)?;
        let bytes: Vec<u8> = match text.parse() {
            Ok(IpAddr::V4(v4)) => v4.octets().to_vec(),
            Ok(IpAddr::V6(v6)) => v6.octets().to_vec(),
            Err(_) => {
                let message = format!("{text:?} is neither an IPv4 nor an IPv6 address");
                return Err(error(Code::WRONG_ARGUMENTS, call.span, message));
            }
        };
        let ty = Type::Array(Box::new(Type::Int { bytes: 1, signed: false }), bytes.len() as u32);
        Ok(Expr { kind: ExprKind::Str(bytes.into()), ty, span: call.span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `macaddr(address)`
struct Macaddr;

impl Builtin for Macaddr {
    fn name(&self) -> &'static str {
        "macaddr"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "macaddr(array)", text: "A hardware address: an array of 6 bytes." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = cx.value(arg(call, 0)?);
        if value.ty.is_scalar() || cx.types.size_of(&value.ty) != 6 {
            let message = format!("macaddr() takes an array of 6 bytes, not {}", value.ty);
            return Err(error(Code::TYPE_MISMATCH, value.span, message));
        }
        Ok(call_expr(self, vec![value], CallData::None, Type::Opaque(Ty::Mac), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let dst = cx.dst(dst, ty);
        cx.into(&call.args[0], dst);
        Val::Mem(dst)
    }
}

/// `bswap(n)`
struct Bswap;

impl Builtin for Bswap {
    fn name(&self) -> &'static str {
        "bswap"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "bswap(n)", text: "The integer with its bytes in reverse order." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = int_arg(cx, call, 0)?;
        let (bytes, _) = value.ty.int_shape().unwrap_or((8, false));
        let ty = Type::Int { bytes, signed: false };
        if let Some(n) = value.as_int() {
            let swapped = (n as u64).swap_bytes() >> (64 - 8 * u32::from(bytes));
            return Ok(Expr::int(swapped as i64, ty, call.span));
        }
        Ok(call_expr(self, vec![value], CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, _: Option<Mem>) -> Val {
        let value = cx.scalar(&call.args[0]);
        let (bytes, _) = ty.int_shape().unwrap_or((8, false));
        let size = Size::from_bytes(u32::from(bytes)).unwrap_or(Size::Dw);
        Val::Scalar(if size == Size::B {
            cx.b.unary(UnOp::Zext(Size::B), value)
        } else {
            cx.b.unary(UnOp::Bswap(size), value)
        })
    }
}
