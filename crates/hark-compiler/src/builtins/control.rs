//! Control of the run: `exit()`, and functions that change the system.

use super::{Builtin, BuiltinCall, CheckError, Doc, call_expr, error_with_help, int_arg};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use hark_diag::{Code, Span};
use hark_object::EventKind;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Exit];

/// Refuses a function that changes the system, unless the user permits it.
pub(super) fn require_unsafe(cx: &Checker<'_>, name: &str, span: Span) -> Result<(), CheckError> {
    if cx.options.allow_unsafe {
        return Ok(());
    }
    let message = format!("{name}() changes the system it looks at");
    Err(error_with_help(Code::UNSAFE_NEEDED, span, message, "run hark with --unsafe to permit it"))
}

/// `exit([code])`
struct Exit;

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
        cx.send(span, &args, |mut fields| EventKind::Exit(fields.pop()));
        let zero = cx.b.iconst(0);
        cx.b.ret(zero);
        Val::None
    }
}
