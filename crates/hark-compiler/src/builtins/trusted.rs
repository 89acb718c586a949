//! What only programs get that the kernel gives typed objects to: `path`, `socket_cookie`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_int_arg, error, error_with_help};
use crate::lower::{Lower, Mem, Place, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::{HelperId, ProgType};
use ebpf_asm::Size;
use ebpf_codegen::ir::Cond;
use hark_diag::{Code, Span};
use hark_object::Loss;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Path, &SocketCookie];

/// Refuses the function in probes whose arguments the kernel does not vouch for.
fn require_typed(cx: &Checker<'_>, name: &str, span: Span) -> Result<(), CheckError> {
    if cx.context.prog == ProgType::Tracing {
        return Ok(());
    }
    let message = format!("{name}() is not available in {} probes", cx.context.probe_type);
    let help = "fentry, fexit and iter probes have it";
    Err(error_with_help(Code::NOT_AVAILABLE_HERE, span, message, help))
}

/// `path(p[, n])`
struct Path;

impl Builtin for Path {
    fn name(&self) -> &'static str {
        "path"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "path(path [, length])",
            text: "The full name of a struct path that comes from the probe's typed arguments: path(args.file.f_path). In fentry and fexit probes the kernel permits it for some functions only.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        require_typed(cx, "path", call.span)?;
        let value = cx.value(arg(call, 0)?);
        let path = cx.types.struct_named("path", false).map(Type::Struct);
        let value = match &value.ty {
            Type::Ptr(to, _) if Some(&**to) == path.as_ref() => {
                let ty = (**to).clone();
                Expr { span: value.span, kind: ExprKind::Deref(Box::new(value)), ty }
            }
            ty if Some(ty) == path.as_ref() => value,
            ty => {
                let message = format!("path() takes a struct path, not {ty}");
                return Err(error(Code::TYPE_MISMATCH, value.span, message));
            }
        };
        let max = u32::try_from(cx.config.max_strlen).unwrap_or(u32::MAX);
        let cap = if call.args.len() > 1 {
            let n = const_int_arg(cx, call, 1)?;
            u32::try_from(n).ok().filter(|n| (1..=max).contains(n)).ok_or_else(|| {
                let message = format!("a path has 1 to {max} bytes (max_strlen), not {n}");
                error(Code::WRONG_ARGUMENTS, call.span, message)
            })?
        } else {
            max
        };
        Ok(call_expr(self, vec![value], CallData::None, Type::Str { cap }, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Str { cap } = *ty else { return Val::None };
        let place = cx.place(&call.args[0]);
        let dst = cx.dst(dst, ty);
        if dst.loose {
            let zero = cx.b.iconst(0);
            cx.b.store(Size::B, zero, dst.ptr, dst.off);
        } else {
            cx.zero(dst, cap);
        }
        let Place::Near(from, Space::Trusted) = place else {
            let message =
                "path() takes a struct path that is reached from the probe's arguments by members alone";
            cx.report(hark_diag::Diagnostic::error(Code::NOT_AVAILABLE_HERE, cx.here(), message));
            return Val::Mem(dst);
        };
        let (from, to, len) = (cx.address(from), cx.address(dst), cx.b.iconst(i64::from(cap)));
        let result = cx.b.call(HelperId::D_PATH, &[from, to, len]);
        let (failed, next) = (cx.b.create_cold_block(), cx.b.create_block());
        let zero = cx.b.iconst(0);
        cx.b.branch(Cond::Slt, result, zero, failed, next);
        cx.b.seal_and_switch(failed);
        // Too long for its room: nothing was written.
        cx.count_loss(Loss::Truncated);
        let zero = cx.b.iconst(0);
        cx.b.store(Size::B, zero, dst.ptr, dst.off);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(next);
        Val::Mem(dst)
    }
}

/// `socket_cookie(sk)`
struct SocketCookie;

impl Builtin for SocketCookie {
    fn name(&self) -> &'static str {
        "socket_cookie"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "socket_cookie(socket)",
            text: "The number by which the kernel knows a socket as long as it lives; the socket comes from the probe's typed arguments.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        require_typed(cx, "socket_cookie", call.span)?;
        let socket = cx.value(arg(call, 0)?);
        if !matches!(&socket.ty, Type::Ptr(_, Space::Trusted)) {
            let message =
                format!("socket_cookie() takes a socket of the probe's arguments, not {}", socket.ty);
            return Err(error(Code::TYPE_MISMATCH, socket.span, message));
        }
        Ok(call_expr(self, vec![socket], CallData::None, Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let socket = cx.scalar(&call.args[0]);
        Val::Scalar(cx.b.call(HelperId::GET_SOCKET_COOKIE, &[socket]))
    }
}
