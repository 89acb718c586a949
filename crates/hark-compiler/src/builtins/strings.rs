//! Text and bytes: `str`, `buf`, `strncmp`, `kptr`, `uptr`…

use super::{
    Builtin, BuiltinCall, CheckError, Doc, address_arg, arg, call_expr, const_int_arg, error, int_arg,
};
use crate::lower::{Lower, Mem, Place, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Cond, Type as IrType, Value};
use hark_diag::Code;
use hark_object::Loss;
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Str,
    &Buf,
    &Strncmp,
    &Retag { name: "kptr", space: Space::Kernel, text: "The pointer, as one into kernel memory." },
    &Retag {
        name: "uptr",
        space: Space::User,
        text: "The pointer, as one into the memory of the current process.",
    },
];

/// The memory an address expression points into.
fn space_of(cx: &Lower<'_>, e: &Expr) -> Space {
    match &e.ty {
        Type::Ptr(_, space @ (Space::User | Space::Any)) => *space,
        Type::Ptr(_, _) => Space::Kernel,
        _ if cx.unit.context.user => Space::User,
        _ => Space::Any,
    }
}

/// A value as a text: one as it is, what a `char` array or pointer holds as `str()` reads it.
pub(super) fn text_of(cx: &mut Checker<'_>, function: &str, value: Expr) -> Result<Expr, CheckError> {
    let max = u32::try_from(cx.config.max_strlen).unwrap_or(u32::MAX);
    let is_char = |ty: &Type| matches!(ty, Type::Int { bytes: 1, .. });
    let cap = match &value.ty {
        Type::Str { .. } | Type::Unknown => return Ok(value),
        Type::Array(elem, len) if is_char(elem) => (*len).clamp(1, max),
        Type::Ptr(to, _) if is_char(to) => max,
        ty => {
            let message = format!("{function}() takes a text, not {ty}");
            return Err(error(Code::TYPE_MISMATCH, value.span, message));
        }
    };
    let span = value.span;
    Ok(call_expr(&Str, vec![value], CallData::None, Type::Str { cap }, span))
}

/// `str(p[, len])`
struct Str;

impl Builtin for Str {
    fn name(&self) -> &'static str {
        "str"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "str(pointer [, length])",
            text: "The text at an address, up to its terminator, `length` bytes or max_strlen.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let first = arg(call, 0)?;
        let max = u32::try_from(cx.config.max_strlen).unwrap_or(u32::MAX);
        // A positional parameter is its own text, even if it looks like a number.
        if let ast::ExprKind::Positional(n) = first.kind {
            let text = cx.positional_text(n).as_bytes().to_vec();
            if text.len() as u64 >= u64::from(max) {
                let message = format!("the parameter is longer than max_strlen ({max})");
                return Err(error(Code::TOO_LARGE, call.span, message));
            }
            let text = cx.text(&text, call.span);
            return if call.args.len() > 1 { cut_text(cx, call, text) } else { Ok(text) };
        }
        let value = cx.value(first);
        match &value.ty {
            Type::Str { .. } if call.args.len() > 1 => return cut_text(cx, call, value),
            Type::Str { .. } => return Ok(value),
            Type::Array(elem, len)
                if **elem == (Type::Int { bytes: 1, signed: true })
                    || **elem == (Type::Int { bytes: 1, signed: false }) =>
            {
                let cap = (*len).clamp(1, max);
                return Ok(call_expr(self, vec![value], CallData::None, Type::Str { cap }, call.span));
            }
            ty if ty.is_truthy() => {}
            ty => {
                return Err(error(
                    Code::TYPE_MISMATCH,
                    value.span,
                    format!("str() takes an address, not {ty}"),
                ));
            }
        }
        let mut args = vec![value];
        // All of max_strlen may be text; a given length counts the terminator, and what it cuts is meant to be cut.
        let mut cap = max.saturating_add(1);
        let mut data = CallData::None;
        if call.args.len() > 1 {
            let len = int_arg(cx, call, 1)?;
            match len.as_int() {
                Some(n) if n < 0 => {
                    return Err(error(Code::WRONG_ARGUMENTS, len.span, "a text has no negative length"));
                }
                Some(n) if n <= i64::from(max) => {
                    cap = n as u32;
                    data = CallData::Int(n);
                }
                Some(_) => {}
                None => args.push(cx.convert(len, &Type::U64)),
            }
        }
        Ok(call_expr(self, args, data, Type::Str { cap: cap.max(1) }, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Str { cap } = *ty else { return Val::None };
        let from = &call.args[0];
        let dst = cx.dst(dst, ty);
        if let Type::Str { .. } = from.ty {
            let text = cx.mem(from);
            cx.copy(dst, text, cap);
            match call.args.get(1) {
                Some(len) => {
                    let wanted = cx.scalar(len);
                    cut_at(cx, dst, cap, wanted);
                }
                None => {
                    let zero = cx.b.iconst(0);
                    cx.b.store(Size::B, zero, dst.ptr, dst.off + (cap - 1) as i32);
                }
            }
            return Val::Mem(dst);
        }
        if matches!(from.ty, Type::Array(..)) {
            match cx.place(from) {
                Place::Remote(addr, off, space) => {
                    cx.read_text(dst, cap, addr, off, space);
                }
                Place::Near(mem, _) => cx.copy(dst, mem, cap),
            }
            return Val::Mem(dst);
        }
        if let CallData::Int(_) = call.data {
            let space = space_of(cx, from);
            let address = cx.scalar(from);
            cx.read_text_within(dst, cap, address, 0, space);
            return Val::Mem(dst);
        }
        let space = space_of(cx, from);
        let address = cx.scalar(from);
        let Some(len) = call.args.get(1) else {
            let read = cx.read_text(dst, cap, address, 0, space);
            count_truncation(cx, read, cap);
            return Val::Mem(dst);
        };
        // The length is known at run time only: read as much, then cut.
        let wanted = cx.scalar(len);
        let read = cx.read_text(dst, cap, address, 0, space);
        count_truncation(cx, read, cap);
        cut_at(cx, dst, cap, wanted);
        Val::Mem(dst)
    }
}

/// `str(text, len)`: of a literal so many characters, of another text one less, as the terminator counts.
fn cut_text(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, text: Expr) -> Result<Expr, CheckError> {
    let Type::Str { cap } = text.ty else { return Ok(text) };
    let len = int_arg(cx, call, 1)?;
    match (len.as_int(), text.as_str()) {
        (Some(n), _) if n < 0 => Err(error(Code::WRONG_ARGUMENTS, len.span, "a text has no negative length")),
        (Some(n), Some(literal)) => {
            let shown = usize::try_from(n).unwrap_or(usize::MAX).min(literal.len());
            let shown = literal[..shown].to_vec();
            Ok(cx.text(&shown, call.span))
        }
        (Some(n), None) => match u32::try_from(n) {
            Ok(n) if n < cap => {
                Ok(call_expr(&Str, vec![text], CallData::None, Type::Str { cap: n.max(1) }, call.span))
            }
            _ => Ok(text),
        },
        (None, _) => {
            let len = cx.convert(len, &Type::U64);
            Ok(call_expr(&Str, vec![text, len], CallData::None, Type::Str { cap }, call.span))
        }
    }
}

/// Ends the text in `dst` so that it has `wanted` bytes with its terminator, if it has more; 0 is as 1.
fn cut_at(cx: &mut Lower<'_>, dst: Mem, cap: u32, wanted: Value) {
    let (cut, next) = (cx.b.create_block(), cx.b.create_block());
    let last = cx.b.binary_imm(BinOp::Sub, wanted, 1);
    let limit = cx.b.iconst(i64::from(cap));
    cx.b.branch(Cond::Ult, last, limit, cut, next);
    cx.b.seal_and_switch(cut);
    let end = cx.b.ptr_add(dst.ptr, last);
    let zero = cx.b.iconst(0);
    cx.b.store(Size::B, zero, end, dst.off);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
}

/// Counts a text that did not fit: the helper read a byte more than there is room for.
fn count_truncation(cx: &mut Lower<'_>, read: Value, cap: u32) {
    let (cut, next) = (cx.b.create_cold_block(), cx.b.create_block());
    let all = cx.b.iconst(i64::from(cap));
    cx.b.branch(Cond::Sgt, read, all, cut, next);
    cx.b.seal_and_switch(cut);
    cx.count_loss(Loss::Truncated);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
}

/// `buf(p[, len])`
struct Buf;

impl Builtin for Buf {
    fn name(&self) -> &'static str {
        "buf"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "buf(pointer, length), buf(array)", text: "Bytes at an address; prints escaped." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let max = u32::try_from(cx.config.max_strlen).unwrap_or(u32::MAX).saturating_sub(4).max(1);
        let value = cx.value(arg(call, 0)?);
        let known = match &value.ty {
            Type::Array(..) | Type::Str { .. } => Some(cx.types.size_of(&value.ty)),
            ty if ty.is_truthy() => None,
            ty => {
                return Err(error(
                    Code::TYPE_MISMATCH,
                    value.span,
                    format!("buf() takes an address or array, not {ty}"),
                ));
            }
        };
        let mut args = vec![value];
        let cap = match (call.args.len(), known) {
            (1, Some(size)) => size.min(max),
            (1, None) => {
                let message = "buf() takes a length unless it is given an array";
                return Err(error(Code::WRONG_ARGUMENTS, call.span, message));
            }
            _ => {
                let len = int_arg(cx, call, 1)?;
                match len.as_int() {
                    Some(n) => u32::try_from(n).unwrap_or(max).min(max),
                    None => {
                        args.push(cx.convert(len, &Type::U64));
                        max
                    }
                }
            }
        };
        Ok(call_expr(self, args, CallData::None, Type::Buf { cap }, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Buf { cap } = *ty else { return Val::None };
        let dst = cx.dst(dst, ty);
        let from = &call.args[0];
        let place = if from.ty.is_scalar() {
            let space = space_of(cx, from);
            Place::Remote(cx.scalar(from), 0, space)
        } else {
            cx.place(from)
        };
        let Some(len) = call.args.get(1) else {
            let n = cx.b.iconst(i64::from(cap));
            cx.b.store(Size::W, n, dst.ptr, dst.off);
            if !dst.loose && cap % 4 != 0 {
                // What fills the last word is part of a key.
                let zero = cx.b.iconst(0);
                cx.b.store(Size::W, zero, dst.ptr, dst.off + (4 + cap - cap % 4) as i32);
            }
            match place {
                Place::Remote(addr, off, space) => cx.read_remote(dst.plus(4), cap, addr, off, space),
                Place::Near(mem, _) => cx.copy(dst.plus(4), mem, cap),
            }
            return Val::Mem(dst);
        };
        let wanted = cx.scalar(len);
        let n = at_most(cx, wanted, cap);
        if !dst.loose {
            cx.zero(dst, ty.ty(cx.types).layout().size);
        }
        cx.b.store(Size::W, n, dst.ptr, dst.off);
        let (addr, off, space) = match place {
            Place::Remote(addr, off, space) => (addr, off, space),
            Place::Near(mem, _) => (cx.address(mem), 0, Space::Kernel),
        };
        cx.read_remote_len(dst.plus(4), n, addr, off, space);
        Val::Mem(dst)
    }
}

/// `n`, or `limit` if that is less; both unsigned.
fn at_most(cx: &mut Lower<'_>, n: Value, limit: u32) -> Value {
    let var = cx.b.declare_var(IrType::I64);
    let (small, large, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    let bound = cx.b.iconst(i64::from(limit));
    cx.b.branch(Cond::Ule, n, bound, small, large);
    cx.b.seal_and_switch(small);
    cx.b.def_var(var, n);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(large);
    let bound = cx.b.iconst(i64::from(limit));
    cx.b.def_var(var, bound);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
    cx.b.use_var(var)
}

/// `strncmp(a, b, n)`
struct Strncmp;

impl Builtin for Strncmp {
    fn name(&self) -> &'static str {
        "strncmp"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "strncmp(a, b, n)", text: "0 if the first n bytes of both texts are equal, else 1." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let mut args = Vec::new();
        for i in 0..2 {
            let text = cx.value(arg(call, i)?);
            if !matches!(text.ty, Type::Str { .. }) {
                return Err(error(
                    Code::TYPE_MISMATCH,
                    text.span,
                    format!("strncmp() compares texts, not {}", text.ty),
                ));
            }
            args.push(text);
        }
        let n = const_int_arg(cx, call, 2)?;
        if n < 0 {
            return Err(error(Code::WRONG_ARGUMENTS, call.span, "strncmp() takes a length of 0 or more"));
        }
        Ok(call_expr(self, args, CallData::Int(n), Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Int(n) = call.data else { return Val::None };
        let cap = |e: &Expr| if let Type::Str { cap } = e.ty { cap } else { 0 };
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(cap(&call.args[0])).min(cap(&call.args[1]));
        let (a, b) = (cx.padded_text(&call.args[0]), cx.padded_text(&call.args[1]));
        Val::Scalar(cx.text_differs(a, b, n))
    }
}

/// `kptr(p)`, `uptr(p)`
struct Retag {
    name: &'static str,
    space: Space,
    text: &'static str,
}

impl Builtin for Retag {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        let signature = if self.space == Space::User { "uptr(pointer)" } else { "kptr(pointer)" };
        Doc { signature, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = address_arg(cx, call, 0)?;
        let to = match &value.ty {
            Type::Ptr(to, _) => (**to).clone(),
            _ => Type::Void,
        };
        Ok(Expr { kind: ExprKind::Convert(Box::new(value)), ty: to.ptr(self.space), span: call.span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}
