//! The current process and thread: `pid`, `tid`, `comm`, `ppid`…

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, error, error_with_help, int_arg};
use crate::lower::{Lower, Mem, Place, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::{HelperId, ProgType};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, InstData, UnOp, Value};
use hark_btf::Kind;
use hark_diag::Code;
use hark_object::{RunField, Ty};
use hark_syntax::ast;
use std::ops::RangeInclusive;

/// Bytes of a task's name (`TASK_COMM_LEN`, include/linux/sched.h).
const COMM_LEN: u32 = 16;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Ids { name: "pid", thread: false },
    &Ids { name: "tid", thread: true },
    &Comm,
    &TaskField { name: "ppid", path: &["real_parent", "tgid"], text: "Process id of the parent process." },
    &TaskField { name: "pcomm", path: &["real_parent", "comm"], text: "Name of the parent process." },
    &TaskField {
        name: "leader_comm",
        path: &["group_leader", "comm"],
        text: "Name of the thread group's leader.",
    },
    &TaskField {
        name: "leader_tid",
        path: &["group_leader", "pid"],
        text: "Thread id of the thread group's leader.",
    },
    &Username,
    &Cpid,
    &HasCpid,
];

/// Process and thread id in hark's own PID namespace, as one word: process in the high half.
fn pid_tgid(cx: &mut Lower<'_>) -> Value {
    if !cx.target.pid_namespace {
        return cx.b.call(HelperId::GET_CURRENT_PID_TGID, &[]);
    }
    let info = cx.shared.run_info();
    let info = cx.b.value(InstData::MapValueAddr(info, 0));
    let dev = cx.b.load(Size::Dw, info, RunField::PidNsDev.offset() as i32);
    let ino = cx.b.load(Size::Dw, info, RunField::PidNsIno.offset() as i32);
    // struct bpf_pidns_info { u32 pid; u32 tgid; }; zero if the current task is not in the namespace.
    let buf = cx.new_bytes(8);
    cx.zero(buf, 8);
    let len = cx.b.iconst(8);
    cx.b.call(HelperId::GET_NS_CURRENT_PID_TGID, &[dev, ino, buf.ptr, len]);
    cx.b.load(Size::Dw, buf.ptr, 0)
}

/// The current process id, as `pid` sees it.
pub(crate) fn current_tgid(cx: &mut Lower<'_>) -> Value {
    let both = pid_tgid(cx);
    cx.b.binary_imm(BinOp::Lshr, both, 32)
}

/// Whether a call stands for the address of the current task.
pub(crate) fn is_current_task(call: &Call) -> bool {
    // Of the members of the task, what is left in the expression is a call for the task itself.
    call.args.is_empty()
        && matches!(call.builtin.name(), "curtask" | "ppid" | "pcomm" | "leader_comm" | "leader_tid")
}

/// `pid`, `tid`
struct Ids {
    name: &'static str,
    thread: bool,
}

impl Builtin for Ids {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        if self.thread {
            Doc {
                signature: "tid, tid(init)",
                text: "Thread id, in hark's PID namespace; with `init` in the initial one.",
            }
        } else {
            Doc {
                signature: "pid, pid(init)",
                text: "Process id, in hark's PID namespace; with `init` in the initial one.",
            }
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let mut data = CallData::None;
        if !call.args.is_empty() {
            match &arg(call, 0)?.kind {
                ast::ExprKind::Ident(name) if name == "init" => data = CallData::Int(1),
                ast::ExprKind::Ident(name) if name == "curr_ns" => {}
                _ => {
                    let help = "the argument is init or curr_ns";
                    return Err(error_with_help(Code::WRONG_ARGUMENTS, call.span, "not a namespace", help));
                }
            }
        }
        Ok(call_expr(self, Vec::new(), data, Type::U32, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let both = match call.data {
            CallData::Int(_) => cx.b.call(HelperId::GET_CURRENT_PID_TGID, &[]),
            _ => pid_tgid(cx),
        };
        Val::Scalar(if self.thread {
            cx.b.unary(UnOp::Zext(Size::W), both)
        } else {
            cx.b.binary_imm(BinOp::Lshr, both, 32)
        })
    }
}

/// `comm`, `comm(pid)`
struct Comm;

/// The kernel's functions that `comm(pid)` calls: a task by its number in the initial PID namespace, in the caller's
/// (6.14), and what gives it back.
const TASK_BY_PID: &str = "bpf_task_from_pid";
const TASK_BY_OWN_PID: &str = "bpf_task_from_vpid";
const TASK_RELEASE: &str = "bpf_task_release";

impl Builtin for Comm {
    fn name(&self) -> &'static str {
        "comm"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "comm, comm(pid)",
            text: "Name of the current thread, or of another one by its number: N/A if there is none. The latter only in fentry, fexit and iter probes, from Linux 6.2 on.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let ty = Type::Str { cap: COMM_LEN };
        if call.args.is_empty() {
            return Ok(call_expr(self, Vec::new(), CallData::None, ty, call.span));
        }
        let pid = int_arg(cx, call, 0)?;
        if !matches!(cx.context.prog, ProgType::Tracing) {
            let message = format!("comm(pid) is not available in {} probes", cx.context.probe_type);
            let help = "fentry, fexit and iter probes have it; comm is the current thread";
            return Err(error_with_help(Code::NOT_AVAILABLE_HERE, call.span, message, help));
        }
        let function = |name| cx.types.btf().is_some_and(|btf| btf.find(Kind::Func, name).is_some());
        if !function(TASK_BY_PID) || !function(TASK_RELEASE) {
            let message = "this kernel has no function that finds a task by its number";
            return Err(error_with_help(Code::NOT_AVAILABLE_HERE, call.span, message, "Linux 6.2 has it"));
        }
        let task = cx.types.struct_named("task_struct", false);
        let Some(field) = task.and_then(|task| cx.types.field(&task, "comm")) else {
            return Err(error(Code::UNKNOWN_TYPE, call.span, "struct task_struct is not known"));
        };
        let at = CallData::Int(i64::from(field.offset));
        Ok(call_expr(self, vec![pid], at, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        if let CallData::Int(at) = call.data {
            return other_comm(cx, call, at as i32, ty, dst);
        }
        let dst = cx.dst(dst, ty);
        if let Some(name) = cx.current_task_member("comm") {
            cx.copy(dst, name, COMM_LEN);
            return Val::Mem(dst);
        }
        if !dst.loose {
            // Some kernels (6.1) leave what is behind the terminator as it was; as a key it must be zero.
            cx.zero(dst, COMM_LEN);
        }
        let (ptr, len) = (cx.address(dst), cx.b.iconst(i64::from(COMM_LEN)));
        cx.b.call(HelperId::GET_CURRENT_COMM, &[ptr, len]);
        Val::Mem(dst)
    }
}

/// The name of a task by its number; `at` is where the name is in `struct task_struct`.
fn other_comm(cx: &mut Lower<'_>, call: &Call, at: i32, ty: &Type, dst: Option<Mem>) -> Val {
    let find = |name| cx.types.btf().and_then(|btf| btf.find(Kind::Func, name)).map(|id| id.0);
    let own = cx.target.pid_namespace.then(|| find(TASK_BY_OWN_PID)).flatten();
    let (Some(by_pid), Some(release)) = (own.or_else(|| find(TASK_BY_PID)), find(TASK_RELEASE)) else {
        return Val::None;
    };
    let pid = cx.scalar(&call.args[0]);
    let dst = cx.dst(dst, ty);
    cx.zero(dst, COMM_LEN);
    let task = cx.b.value(InstData::CallKfunc { btf_id: by_pid, args: vec![pid], ptr: true });
    let (found, dead, next) = (cx.b.create_block(), cx.b.create_cold_block(), cx.b.create_block());
    cx.b.branch_nonzero(task, found, dead);
    cx.b.seal_and_switch(found);
    let from = cx.b.ptr_off(task, at);
    let (ptr, len) = (cx.address(dst), cx.b.iconst(i64::from(COMM_LEN)));
    cx.b.call(HelperId::PROBE_READ_KERNEL, &[ptr, len, from]);
    cx.b.inst(InstData::CallKfunc { btf_id: release, args: vec![task], ptr: false });
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(dead);
    cx.write_bytes(dst, b"N/A", COMM_LEN);
    let span = cx.here();
    cx.runtime_warning("comm(pid): there is no process with this number", span);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
    Val::Mem(dst)
}

/// A member reached from the current task, or from the one given.
struct TaskField {
    name: &'static str,
    path: &'static [&'static str],
    text: &'static str,
}

impl Builtin for TaskField {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        Doc { signature: self.name, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let Some(task) = cx.types.struct_named("task_struct", false) else {
            let help = "it is found through the kernel's BTF, which is missing";
            return Err(error_with_help(
                Code::UNKNOWN_TYPE,
                call.span,
                "struct task_struct is not known",
                help,
            ));
        };
        let task_ptr = Type::Struct(task).ptr(Space::Kernel);
        let mut e = match call.args.first() {
            Some(_) => {
                let given = cx.value(arg(call, 0)?);
                if !given.ty.is_truthy() {
                    return Err(error(
                        Code::TYPE_MISMATCH,
                        given.span,
                        format!("{} is not a task", given.ty),
                    ));
                }
                Expr { span: given.span, kind: ExprKind::Convert(Box::new(given)), ty: task_ptr }
            }
            None => {
                let call_task = call_expr(self, Vec::new(), CallData::None, Type::U64, call.span);
                Expr { kind: ExprKind::Convert(Box::new(call_task)), ty: task_ptr, span: call.span }
            }
        };
        for name in self.path {
            let Type::Ptr(to, _) = e.ty.clone() else { break };
            let Type::Struct(of) = &*to else { break };
            let Some(field) = cx.types.field(of, name) else {
                return Err(error(Code::UNKNOWN_FIELD, call.span, format!("{of} has no member {name}")));
            };
            let base = Expr { span: call.span, kind: ExprKind::Deref(Box::new(e)), ty: (*to).clone() };
            let kind = ExprKind::Field { base: Box::new(base), offset: field.offset, bits: field.bits };
            e = Expr { kind, ty: field.ty, span: call.span };
        }
        if e.ty == Type::I32 {
            e = Expr { span: call.span, kind: ExprKind::Convert(Box::new(e)), ty: Type::U32 };
        }
        Ok(e)
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        // The call that is left in the expression stands for the current task.
        Val::Scalar(cx.b.call(HelperId::GET_CURRENT_TASK, &[]))
    }
}

/// `username`
struct Username;

impl Builtin for Username {
    fn name(&self) -> &'static str {
        "username"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "username",
            text: "Name of the current user, looked up in /etc/passwd when it is printed.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        Ok(call_expr(self, Vec::new(), CallData::None, Type::Opaque(Ty::Username), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.current_id("uid"))
    }
}

fn child(cx: &mut Lower<'_>) -> Value {
    let info = cx.shared.run_info();
    let info = cx.b.value(InstData::MapValueAddr(info, 0));
    cx.read_scalar(Place::Near(Mem::at(info).plus(RunField::ChildPid.offset()), Space::Own), &Type::U64, None)
}

/// `cpid`
struct Cpid;

impl Builtin for Cpid {
    fn name(&self) -> &'static str {
        "cpid"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "cpid", text: "Process id of the command that -c runs; 0 without one." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        Ok(call_expr(self, Vec::new(), CallData::None, Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(child(cx))
    }
}

/// `has_cpid`
struct HasCpid;

impl Builtin for HasCpid {
    fn name(&self) -> &'static str {
        "has_cpid"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "has_cpid", text: "Whether a command runs under -c." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        Ok(call_expr(self, Vec::new(), CallData::None, Type::Bool, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        let pid = child(cx);
        let zero = cx.b.iconst(0);
        Val::Scalar(cx.b.icmp(ebpf_codegen::ir::Cond::Ne, pid, zero))
    }
}
