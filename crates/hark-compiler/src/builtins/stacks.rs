//! `kstack`, `ustack`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_int_arg, error};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Cond};
use hark_diag::Code;
use hark_object::{StackMode, Ty};
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Stack { user: false }, &Stack { user: true }];

/// Addresses of a stack unless the script says otherwise, and at most (`PERF_MAX_STACK_DEPTH`).
const MAX_DEPTH: u32 = 127;
/// `BPF_F_USER_STACK`
const USER_STACK: i64 = 1 << 8;

/// `[mode,] [depth]`
pub(super) fn mode_and_depth(
    cx: &mut Checker<'_>,
    call: &BuiltinCall<'_>,
) -> Result<(StackMode, u32), CheckError> {
    let (mut mode, mut depth) = (cx.config.stack_mode, MAX_DEPTH);
    for i in 0..call.args.len() {
        if let ast::ExprKind::Ident(name) = &arg(call, i)?.kind
            && let Some(named) = StackMode::named(name)
        {
            mode = named;
            continue;
        }
        let n = const_int_arg(cx, call, i)?;
        depth = u32::try_from(n).ok().filter(|&n| n <= MAX_DEPTH).ok_or_else(|| {
            let message = format!("a stack has at most {MAX_DEPTH} frames, not {n}");
            error(Code::WRONG_ARGUMENTS, call.span, message)
        })?;
    }
    Ok((mode, depth))
}

/// `kstack`, `ustack`
struct Stack {
    user: bool,
}

impl Builtin for Stack {
    fn name(&self) -> &'static str {
        if self.user { "ustack" } else { "kstack" }
    }
    fn doc(&self) -> Doc {
        if self.user {
            Doc { signature: "ustack, ustack([mode,] [depth])", text: "Stack of the current process." }
        } else {
            Doc { signature: "kstack, kstack([mode,] [depth])", text: "Stack of the kernel." }
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (mode, depth) = mode_and_depth(cx, call)?;
        let ty = if self.user { Ty::UStack { depth, mode } } else { Ty::KStack { depth, mode } };
        Ok(call_expr(self, Vec::new(), CallData::None, Type::Opaque(ty), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Opaque(Ty::KStack { depth, .. } | Ty::UStack { depth, .. }) = *ty else { return Val::None };
        let dst = cx.dst(dst, ty);
        let first = if self.user { 16 } else { 8 };
        if depth == 0 {
            // There is no memory that the kernel could be given, and nothing to ask it.
            cx.zero(dst, first);
            return Val::Mem(dst);
        }
        if !dst.loose {
            // What is beyond the last frame must be equal for equal stacks: the value may be a key.
            cx.zero(dst, first + 8 * depth);
        }
        if self.user {
            super::symbols::store_pid(cx, dst.plus(8));
        }
        let frames = cx.address(dst.plus(first));
        let ctx = cx.ctx();
        let (size, flags) =
            (cx.b.iconst(i64::from(8 * depth)), cx.b.iconst(if self.user { USER_STACK } else { 0 }));
        let bytes = cx.b.call(HelperId::GET_STACK, &[ctx, frames, size, flags]);
        let var = cx.b.declare_var(ebpf_codegen::ir::Type::I64);
        let (fine, failed, next) = (cx.b.create_block(), cx.b.create_cold_block(), cx.b.create_block());
        let zero = cx.b.iconst(0);
        cx.b.branch(Cond::Slt, bytes, zero, failed, fine);
        cx.b.seal_and_switch(failed);
        let none = cx.b.iconst(0);
        cx.b.def_var(var, none);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(fine);
        let n = cx.b.binary_imm(BinOp::Lshr, bytes, 3);
        cx.b.def_var(var, n);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(next);
        let n = cx.b.use_var(var);
        cx.b.store(Size::Dw, n, dst.ptr, dst.off);
        Val::Mem(dst)
    }
}
