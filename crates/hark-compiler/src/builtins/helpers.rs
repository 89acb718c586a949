//! Builtins that are only a helper call: one row each.

use super::{Builtin, BuiltinCall, CheckError, Doc, call_expr};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::{Space, Type};
use bpf_facts::HelperId;
use std::ops::RangeInclusive;

/// What is done with the helper's result.
enum Part {
    /// Taken whole.
    Whole,
    /// A number of the current credentials, which the helper is not needed for where the task itself can be read.
    Credential,
}

/// A builtin that is a helper call.
struct Row {
    name: &'static str,
    helper: HelperId,
    part: Part,
    ty: Type,
    text: &'static str,
}

macro_rules! rows {
    ($($konst:ident = $name:literal $helper:ident $part:ident $ty:expr, $text:literal;)*) => {
        $(static $konst: Row = Row { name: $name, helper: HelperId::$helper, part: Part::$part, ty: $ty, text: $text };)*
        pub(super) static ALL: &[&dyn Builtin] = &[$(&$konst,)* &Curtask];
    };
}

rows! {
    UID = "uid" GET_CURRENT_UID_GID Credential Type::U64, "User id of the current thread, as the initial namespace numbers it.";
    GID = "gid" GET_CURRENT_UID_GID Credential Type::U64, "Group id of the current thread, as the initial namespace numbers it.";
    CPU = "cpu" GET_SMP_PROCESSOR_ID Whole Type::U32, "Number of the CPU that the probe runs on.";
    RAND = "rand" GET_PRANDOM_U32 Whole Type::U32, "A random number.";
    CGROUP = "cgroup" GET_CURRENT_CGROUP_ID Whole Type::U64, "Id of the current process's cgroup (version 2).";
    NUMAID = "numaid" GET_NUMA_NODE_ID Whole Type::U32, "Number of the NUMA node that the probe runs on.";
    JIFFIES = "jiffies" JIFFIES64 Whole Type::U64, "The kernel's tick count.";
}

impl Builtin for Row {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        Doc { signature: self.name, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        Ok(call_expr(self, Vec::new(), CallData::None, self.ty.clone(), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(match self.part {
            Part::Whole => cx.b.call(self.helper, &[]),
            Part::Credential => cx.current_id(self.name),
        })
    }
}

/// `curtask`
struct Curtask;

impl Builtin for Curtask {
    fn name(&self) -> &'static str {
        "curtask"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "curtask", text: "The current thread's struct task_struct." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let ty = match cx.types.struct_named("task_struct", false) {
            Some(task) => Type::Struct(task).ptr(Space::Kernel),
            None => Type::U64,
        };
        Ok(call_expr(self, Vec::new(), CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.b.call(HelperId::GET_CURRENT_TASK, &[]))
    }
}
