//! Control of the run: `exit()`, and functions that change the system.

use super::{
    Builtin, BuiltinCall, CheckError, Doc, address_arg, arg, call_expr, error, error_with_help, int_arg,
};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::{HelperId, SIGNALS};
use ebpf_codegen::ir::Cond;
use hark_diag::{Code, Span, did_you_mean};
use hark_object::EventKind;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] =
    &[&Exit, &Signal { thread: false }, &Signal { thread: true }, &Override, &WriteUser];

/// Refuses a function that changes the system, unless the user permits it.
pub(super) fn require_unsafe(cx: &Checker<'_>, name: &str, span: Span) -> Result<(), CheckError> {
    if cx.options.allow_unsafe {
        return Ok(());
    }
    let message = format!("{name}() changes the system it looks at");
    Err(error_with_help(Code::UNSAFE_NEEDED, span, message, "run hark with --unsafe to permit it"))
}

/// `exit([code])`
pub(super) struct Exit;

impl Builtin for Exit {
    fn name(&self) -> &'static str {
        "exit"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "exit([code])",
            text: "Ends the probe and the run: end probes and maps follow, then hark exits with the code.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let args = if call.args.is_empty() {
            Vec::new()
        } else {
            let code = int_arg(cx, call, 0)?;
            vec![cx.convert(code, &Type::I64)]
        };
        Ok(call_expr(self, args, CallData::None, Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let span = cx.here();
        let args: Vec<&Expr> = call.args.iter().collect();
        cx.command(span, &args, |mut fields| EventKind::Exit(fields.pop()));
        let zero = cx.b.iconst(0);
        cx.leave(zero);
        Val::None
    }
}

/// `signal(s)`, `signal_thread(s)`
struct Signal {
    thread: bool,
}

/// Largest signal number.
const MAX_SIGNAL: i64 = 64;

impl Builtin for Signal {
    fn name(&self) -> &'static str {
        if self.thread { "signal_thread" } else { "signal" }
    }
    fn doc(&self) -> Doc {
        if self.thread {
            Doc {
                signature: "signal_thread(number or \"NAME\")",
                text: "Sends a signal to the current thread; needs --unsafe.",
            }
        } else {
            Doc {
                signature: "signal(number or \"NAME\")",
                text: "Sends a signal to the current process; needs --unsafe.",
            }
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        require_unsafe(cx, Builtin::name(self), call.span)?;
        let value = cx.value(arg(call, 0)?);
        let number = match value.as_str() {
            Some(text) => {
                let name = String::from_utf8_lossy(text).to_ascii_uppercase();
                let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
                let found = SIGNALS.iter().find(|s| s.name == full);
                let Some(found) = found else {
                    let near = did_you_mean(&full, SIGNALS.iter().map(|s| s.name));
                    let help = near.map_or("signals have names like SIGTERM".into(), |near| {
                        format!("did you mean `{near}`?")
                    });
                    let message = format!("there is no signal {full}");
                    return Err(error_with_help(Code::WRONG_ARGUMENTS, value.span, message, help));
                };
                Expr::int(i64::from(found.number), Type::I64, value.span)
            }
            None if value.ty.is_integral() => cx.convert(value, &Type::I64),
            None => {
                let message = format!("a signal is a number or a name, not {}", value.ty);
                return Err(error(Code::TYPE_MISMATCH, value.span, message));
            }
        };
        if let Some(n) = number.as_int()
            && !(1..=MAX_SIGNAL).contains(&n)
        {
            let message = format!("signals have numbers from 1 to {MAX_SIGNAL}, not {n}");
            return Err(error(Code::WRONG_ARGUMENTS, number.span, message));
        }
        Ok(call_expr(self, vec![number], CallData::None, Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let number = cx.scalar(&call.args[0]);
        let helper = if self.thread { HelperId::SEND_SIGNAL_THREAD } else { HelperId::SEND_SIGNAL };
        cx.b.call(helper, &[number]);
        Val::None
    }
}

/// `override(result)`
struct Override;

impl Builtin for Override {
    fn name(&self) -> &'static str {
        "override"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "override(result)",
            text: "Lets the traced kernel function return at once with this result; only kprobes of functions that the kernel marks for error injection; needs --unsafe.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        require_unsafe(cx, "override", call.span)?;
        if cx.context.probe_type != "kprobe" {
            let message = format!("override() is not available in {} probes", cx.context.probe_type);
            let help = "only kprobes can replace a function's result";
            return Err(error_with_help(Code::NOT_AVAILABLE_HERE, call.span, message, help));
        }
        let result = int_arg(cx, call, 0)?;
        Ok(call_expr(self, vec![result], CallData::None, Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let result = cx.scalar(&call.args[0]);
        let ctx = cx.ctx();
        cx.b.call(HelperId::OVERRIDE_RETURN, &[ctx, result]);
        Val::None
    }
}

/// `write_user(destination, source, length)`
struct WriteUser;

impl Builtin for WriteUser {
    fn name(&self) -> &'static str {
        "write_user"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "write_user(destination, source, length)",
            text: "Writes to memory of the current process; true if it could be done; needs --unsafe.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        require_unsafe(cx, "write_user", call.span)?;
        let to = address_arg(cx, call, 0)?;
        let from = cx.value(arg(call, 1)?);
        let len = int_arg(cx, call, 2)?;
        let Some(n) = len.as_int().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) else {
            let message = "write_user() takes a constant length above 0";
            return Err(error(Code::NOT_CONSTANT, len.span, message));
        };
        // A pointer to a variable or map is what it points to.
        let from = match &from.ty {
            Type::Ptr(to, Space::Own) => {
                let ty = (**to).clone();
                Expr { span: from.span, kind: ExprKind::Deref(Box::new(from)), ty }
            }
            _ => from,
        };
        let have = cx.types.size_of(&from.ty);
        if n > have {
            let message = format!("the source has {have} bytes, not {n}");
            return Err(error(Code::WRONG_ARGUMENTS, len.span, message));
        }
        Ok(call_expr(self, vec![to, from], CallData::Int(i64::from(n)), Type::Bool, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Int(len) = call.data else { return Val::None };
        let to = cx.scalar(&call.args[0]);
        let from = cx.mem(&call.args[1]);
        let (from, len) = (cx.address(from), cx.b.iconst(len));
        let result = cx.b.call(HelperId::PROBE_WRITE_USER, &[to, from, len]);
        let zero = cx.b.iconst(0);
        Val::Scalar(cx.b.icmp(Cond::Eq, result, zero))
    }
}
