//! Numbers that print as names, looked up by user space: `strerror`, `signal_name`, `syscall_name`, `cgroup_path`.

use super::{Builtin, BuiltinCall, CheckError, Doc, call_expr, const_text_arg, int_arg};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use hark_object::Ty;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Decoded {
        name: "strerror",
        ty: |_| Ty::Strerror,
        signature: "strerror(number)",
        text: "The text of an error number; prints as such.",
    },
    &Decoded {
        name: "signal_name",
        ty: |_| Ty::SignalName,
        signature: "signal_name(number)",
        text: "The name of a signal: SIGKILL; N/A if there is none.",
    },
    &Decoded {
        name: "syscall_name",
        ty: |_| Ty::SyscallName,
        signature: "syscall_name(number)",
        text: "The name of a system call.",
    },
    &Decoded {
        name: "cgroup_path",
        ty: |filter| Ty::CgroupPath { filter: filter.into() },
        signature: "cgroup_path(id [, \"hierarchy\"])",
        text: "The paths of a cgroup as hierarchy:/path, of all hierarchies or of those that match the pattern.",
    },
];

/// A number with a meaning.
struct Decoded {
    name: &'static str,
    ty: fn(&str) -> Ty,
    signature: &'static str,
    text: &'static str,
}

impl Builtin for Decoded {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        Doc { signature: self.signature, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        if self.name == "cgroup_path" { 1..=2 } else { 1..=1 }
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let number = int_arg(cx, call, 0)?;
        let filter = if call.args.len() > 1 { const_text_arg(cx, call, 1)? } else { String::new() };
        let ty = Type::Opaque((self.ty)(&filter));
        Ok(call_expr(self, vec![number], CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.scalar(&call.args[0]))
    }
}
