//! Functions on texts and bytes in the program's own memory: `strlen`, `strcap`, `strstr`, `strcontains`, `memcmp`,
//! `str_concat`.

use super::strings::text_of;
use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_int_arg, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Block, Cond, Type as IrType, UnOp, Value};
use hark_diag::Code;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] =
    &[&Strlen, &Strcap, &Find { contains: false }, &Find { contains: true }, &Memcmp, &Concat];

/// Most bytes that `str_concat` makes.
const MAX_CONCAT: u32 = 8192;
/// Most pairs of bytes that `strstr` may have to compare: the kernel's verifier walks through all of them.
const MAX_PAIRS: u64 = 48_000;

fn cap_of(e: &Expr) -> u32 {
    if let Type::Str { cap } = e.ty { cap } else { 0 }
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|c| *c == 0).next().unwrap_or(&[])
}

/// Argument `i` as a text.
fn text_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<Expr, CheckError> {
    let value = cx.value(arg(call, i)?);
    text_of(cx, call.name, value)
}

/// Copies the text at `from`, at most `cap` bytes with the terminator, to `to`. Returns its length without.
fn copy_text(cx: &mut Lower<'_>, to: Value, from: Mem, cap: u32) -> Value {
    let (from, size) = (cx.address(from), cx.b.iconst(i64::from(cap)));
    // Faster to verify than a loop, and the kernel reads words.
    let read = cx.b.call(HelperId::PROBE_READ_KERNEL_STR, &[to, size, from]);
    let len = cx.b.declare_var(IrType::I64);
    let (some, none, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    let before = cx.b.binary_imm(BinOp::Sub, read, 1);
    // Negative errors are large as unsigned numbers.
    let bound = cx.b.iconst(i64::from(cap));
    cx.b.branch(Cond::Ult, before, bound, some, none);
    cx.b.seal_and_switch(some);
    cx.b.def_var(len, before);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(none);
    let zero = cx.b.iconst(0);
    cx.b.def_var(len, zero);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
    cx.b.use_var(len)
}

/// `strlen(text)`
struct Strlen;

impl Builtin for Strlen {
    fn name(&self) -> &'static str {
        "strlen"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "strlen(text)",
            text: "Bytes of a text before its end; of a text, an array of char or a char *.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let text = text_arg(cx, call, 0)?;
        if let Some(known) = text.as_str() {
            return Ok(Expr::int(until_nul(known).len() as i64, Type::U64, call.span));
        }
        Ok(call_expr(self, vec![text], CallData::None, Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let cap = cap_of(&call.args[0]);
        let text = cx.mem(&call.args[0]);
        let room = cx.new_bytes(cap);
        Val::Scalar(copy_text(cx, room.ptr, text, cap))
    }
}

/// `strcap(text)`
struct Strcap;

impl Builtin for Strcap {
    fn name(&self) -> &'static str {
        "strcap"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "strcap(text)", text: "Bytes that a text has room for, its end included." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let text = text_arg(cx, call, 0)?;
        Ok(Expr::int(i64::from(cap_of(&text)), Type::U64, call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `strstr(text, part)`, `strcontains(text, part)`
struct Find {
    contains: bool,
}

impl Builtin for Find {
    fn name(&self) -> &'static str {
        if self.contains { "strcontains" } else { "strstr" }
    }
    fn doc(&self) -> Doc {
        if self.contains {
            Doc { signature: "strcontains(text, part)", text: "Whether the part occurs in the text." }
        } else {
            Doc {
                signature: "strstr(text, part)",
                text: "Where the part first occurs in the text, counted from 0; -1 if it does not.",
            }
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (text, part) = (text_arg(cx, call, 0)?, text_arg(cx, call, 1)?);
        let (ty, contains) = if self.contains { (Type::Bool, true) } else { (Type::I64, false) };
        if let (Some(text), Some(part)) = (text.as_str(), part.as_str()) {
            let (text, part) = (until_nul(text), until_nul(part));
            let at = if part.is_empty() { Some(0) } else { text.windows(part.len()).position(|w| w == part) };
            let n = if contains { i64::from(at.is_some()) } else { at.map_or(-1, |n| n as i64) };
            return Ok(Expr::int(n, ty, call.span));
        }
        let pairs = match part.as_str() {
            Some(known) => u64::from(cap_of(&text)) * (known.len() as u64 / 3 + 1),
            None => u64::from(cap_of(&text)) * u64::from(cap_of(&part)),
        };
        if pairs > MAX_PAIRS {
            let message = format!(
                "searching {} bytes for a text of up to {} is too much for one program",
                cap_of(&text),
                cap_of(&part)
            );
            let help = "give the texts a length, as in str(p, 64), or search for a literal";
            return Err(error_with_help(Code::TOO_LARGE, call.span, message, help));
        }
        Ok(call_expr(self, vec![text, part], CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let (text, part) = (&call.args[0], &call.args[1]);
        let cap = cap_of(text);
        let mem = cx.aligned_text(text);
        let result = cx.b.declare_var(IrType::I64);
        let (found, missing, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
        let i = cx.b.declare_var(IrType::I64);
        let zero = cx.b.iconst(0);
        cx.b.def_var(i, zero);
        match part.as_str().map(|p| until_nul(p).to_vec()) {
            Some(part) if part.is_empty() => cx.b.jump(found, &[]),
            Some(part) if part.len() as u32 >= cap => cx.b.jump(missing, &[]),
            Some(part) => search_literal(cx, (mem, cap), &part, i, (found, missing)),
            None => {
                let part_cap = cap_of(part);
                let part = cx.mem(part);
                let room = cx.new_bytes(cap + part_cap);
                cx.zero(room, cap + part_cap);
                copy_text(cx, room.ptr, mem, cap);
                search(cx, (room, cap), (part, part_cap), i, (found, missing));
            }
        }
        cx.b.seal_and_switch(found);
        let at = if self.contains { cx.b.iconst(1) } else { cx.b.use_var(i) };
        cx.b.def_var(result, at);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(missing);
        let none = cx.b.iconst(if self.contains { 0 } else { -1 });
        cx.b.def_var(result, none);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(next);
        Val::Scalar(cx.b.use_var(result))
    }
}

/// Goes to `found` with `i` at the place of the literal, or to `missing`. The text lies at a multiple of 8.
fn search_literal(
    cx: &mut Lower<'_>,
    (text, cap): (Mem, u32),
    part: &[u8],
    i: ebpf_codegen::ir::Variable,
    (found, missing): (Block, Block),
) {
    let (head, body, step) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    cx.b.jump(head, &[]);
    cx.b.switch_to(head);
    let at = cx.b.use_var(i);
    let limit = cx.b.iconst(i64::from(cap - part.len() as u32));
    cx.b.branch(Cond::Ult, at, limit, body, missing);
    cx.b.seal_and_switch(body);
    let here = cx.b.ptr_add(text.ptr, at);
    // Without a branch for each byte: the verifier keeps every branch that it did not take, and not too many.
    let mut differing = cx.b.iconst(0);
    for (k, byte) in part.iter().enumerate() {
        let have = cx.b.load(Size::B, here, text.off + k as i32);
        let bits = cx.b.binary_imm(BinOp::Xor, have, i64::from(*byte));
        differing = cx.b.binary(BinOp::Or, differing, bits);
    }
    cx.b.branch_nonzero(differing, step, found);
    cx.b.seal_and_switch(step);
    // For the same reason the end of the text is looked for once in eight turns.
    let (look, advance) = (cx.b.create_block(), cx.b.create_block());
    let (low, last) = (cx.b.binary_imm(BinOp::And, at, 7), cx.b.iconst(7));
    cx.b.branch(Cond::Eq, low, last, look, advance);
    cx.b.seal_and_switch(look);
    let word = cx.b.load(Size::Dw, here, text.off - 7);
    let ended = cx.has_zero_byte(word);
    cx.b.branch_nonzero(ended, missing, advance);
    cx.b.seal_and_switch(advance);
    let following = cx.b.binary_imm(BinOp::Add, at, 1);
    cx.b.def_var(i, following);
    cx.b.jump(head, &[]);
    cx.b.seal(head);
}

/// As [`search_literal`], for a part that is known at run time only. Behind the text there are as many zeroes as the
/// part has room.
fn search(
    cx: &mut Lower<'_>,
    (text, cap): (Mem, u32),
    (part, part_cap): (Mem, u32),
    i: ebpf_codegen::ir::Variable,
    (found, missing): (Block, Block),
) {
    let (j, alive, differing) =
        (cx.b.declare_var(IrType::I64), cx.b.declare_var(IrType::I64), cx.b.declare_var(IrType::I64));
    let (head, start, inner, compare) =
        (cx.b.create_block(), cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    let (judge, step, advance) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    cx.b.jump(head, &[]);
    cx.b.switch_to(head);
    let at = cx.b.use_var(i);
    let limit = cx.b.iconst(i64::from(cap));
    cx.b.branch(Cond::Ult, at, limit, start, missing);
    cx.b.seal_and_switch(start);
    let (zero, all, none) = (cx.b.iconst(0), cx.b.iconst(-1), cx.b.iconst(0));
    cx.b.def_var(j, zero);
    cx.b.def_var(alive, all);
    cx.b.def_var(differing, none);
    cx.b.jump(inner, &[]);
    cx.b.switch_to(inner);
    let k = cx.b.use_var(j);
    let part_limit = cx.b.iconst(i64::from(part_cap));
    cx.b.branch(Cond::Ult, k, part_limit, compare, judge);
    cx.b.seal_and_switch(compare);
    let p = cx.b.ptr_add(part.ptr, k);
    let want = cx.b.load(Size::B, p, part.off);
    let sum = cx.b.binary(BinOp::Add, at, k);
    let t = cx.b.ptr_add(text.ptr, sum);
    let have = cx.b.load(Size::B, t, text.off);
    // All ones while the part has not ended, and no branch to find out.
    let carry = cx.b.binary_imm(BinOp::Add, want, 0xff);
    let some = cx.b.binary_imm(BinOp::Lshr, carry, 8);
    let mask = cx.b.unary(UnOp::Neg, some);
    let before = cx.b.use_var(alive);
    let now = cx.b.binary(BinOp::And, before, mask);
    cx.b.def_var(alive, now);
    let bits = cx.b.binary(BinOp::Xor, want, have);
    let bits = cx.b.binary(BinOp::And, bits, now);
    let seen = cx.b.use_var(differing);
    let seen = cx.b.binary(BinOp::Or, seen, bits);
    cx.b.def_var(differing, seen);
    let following = cx.b.binary_imm(BinOp::Add, k, 1);
    cx.b.def_var(j, following);
    cx.b.jump(inner, &[]);
    cx.b.seal(inner);
    cx.b.seal_and_switch(judge);
    let seen = cx.b.use_var(differing);
    cx.b.branch_nonzero(seen, step, found);
    cx.b.seal_and_switch(step);
    let here = cx.b.ptr_add(text.ptr, at);
    let byte = cx.b.load(Size::B, here, text.off);
    cx.b.branch_nonzero(byte, advance, missing);
    cx.b.seal_and_switch(advance);
    let following = cx.b.binary_imm(BinOp::Add, at, 1);
    cx.b.def_var(i, following);
    cx.b.jump(head, &[]);
    cx.b.seal(head);
}

/// `memcmp(a, b, n)`
struct Memcmp;

impl Builtin for Memcmp {
    fn name(&self) -> &'static str {
        "memcmp"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "memcmp(a, b, n)",
            text: "Compares the first n bytes: 0 if they are equal, -1 or 1 by the first that differs.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let n = const_int_arg(cx, call, 2)?;
        let mut args = Vec::new();
        for i in 0..2 {
            let value = cx.value(arg(call, i)?);
            let size = i64::from(cx.types.size_of(&value.ty));
            if value.ty.is_scalar() || matches!(value.ty, Type::Void | Type::Agg(_)) {
                let message = format!("memcmp() compares texts, arrays and structs, not {}", value.ty);
                return Err(error(Code::TYPE_MISMATCH, value.span, message));
            }
            if n < 0 || n > size {
                let message = format!("{} has {size} bytes; {n} cannot be compared", value.ty);
                return Err(error(Code::WRONG_ARGUMENTS, value.span, message));
            }
            args.push(value);
        }
        Ok(call_expr(self, args, CallData::Int(n), Type::I64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Int(n) = call.data else { return Val::None };
        let (a, b) = (cx.mem(&call.args[0]), cx.mem(&call.args[1]));
        let (i, result) = (cx.b.declare_var(IrType::I64), cx.b.declare_var(IrType::I64));
        let zero = cx.b.iconst(0);
        cx.b.def_var(i, zero);
        let (head, body, more) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
        let (same, differs, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
        let (less, greater) = (cx.b.create_block(), cx.b.create_block());
        cx.b.jump(head, &[]);
        cx.b.switch_to(head);
        let at = cx.b.use_var(i);
        let limit = cx.b.iconst(n);
        cx.b.branch(Cond::Ult, at, limit, body, same);
        cx.b.seal_and_switch(body);
        let (pa, pb) = (cx.b.ptr_add(a.ptr, at), cx.b.ptr_add(b.ptr, at));
        let (x, y) = (cx.b.load(Size::B, pa, a.off), cx.b.load(Size::B, pb, b.off));
        cx.b.branch(Cond::Eq, x, y, more, differs);
        cx.b.seal_and_switch(more);
        let following = cx.b.binary_imm(BinOp::Add, at, 1);
        cx.b.def_var(i, following);
        cx.b.jump(head, &[]);
        cx.b.seal(head);
        cx.b.seal_and_switch(differs);
        cx.b.branch(Cond::Ult, x, y, less, greater);
        for (block, value) in [(same, 0), (less, -1), (greater, 1)] {
            cx.b.seal_and_switch(block);
            let value = cx.b.iconst(value);
            cx.b.def_var(result, value);
            cx.b.jump(next, &[]);
        }
        cx.b.seal_and_switch(next);
        Val::Scalar(cx.b.use_var(result))
    }
}

/// `str_concat(a, b)`
struct Concat;

impl Builtin for Concat {
    fn name(&self) -> &'static str {
        "str_concat"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "str_concat(a, b)", text: "Both texts, one behind the other." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (a, b) = (text_arg(cx, call, 0)?, text_arg(cx, call, 1)?);
        if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
            let text = [until_nul(x), until_nul(y)].concat();
            return Ok(cx.text(&text, call.span));
        }
        let cap = (cap_of(&a) + cap_of(&b)).saturating_sub(1).clamp(1, MAX_CONCAT);
        Ok(call_expr(self, vec![a, b], CallData::None, Type::Str { cap }, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Str { cap } = *ty else { return Val::None };
        let (a, b) = (&call.args[0], &call.args[1]);
        let first = cap_of(a).min(cap);
        let second = cap_of(b).min(cap - first + 1);
        let (a, b) = (cx.mem(a), cx.mem(b));
        let dst = cx.dst(dst, ty);
        if !dst.loose {
            cx.zero(dst, cap);
        }
        let start = cx.address(dst);
        let len = copy_text(cx, start, a, first);
        let end = cx.b.ptr_add(start, len);
        let (b, size) = (cx.address(b), cx.b.iconst(i64::from(second)));
        cx.b.call(HelperId::PROBE_READ_KERNEL_STR, &[end, size, b]);
        Val::Mem(dst)
    }
}
