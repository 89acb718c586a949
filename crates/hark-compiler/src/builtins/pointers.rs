//! Pointers and what the kernel offers: `is_err`, `container_of`, `percpu_kaddr`, `kfunc_exist`, `ncpus`.

use super::{
    Builtin, BuiltinCall, CheckError, Doc, address_arg, call_expr, const_text_arg, error, error_with_help,
    int_arg, memory,
};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, CompareOp, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::{HelperId, ProgType};
use ebpf_codegen::ir::InstData;
use hark_btf::Kind;
use hark_diag::{Code, did_you_mean};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] =
    &[&IsErr, &ContainerOf, &PercpuKaddr, &Kfunc { allowed: false }, &Kfunc { allowed: true }, &Ncpus];

/// Largest error number that a pointer may hold (`MAX_ERRNO`, include/linux/err.h).
const MAX_ERRNO: i64 = 4095;

/// `is_err(pointer)`
struct IsErr;

impl Builtin for IsErr {
    fn name(&self) -> &'static str {
        "is_err"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "is_err(pointer)",
            text: "Whether a kernel pointer holds an error number instead of an address.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let pointer = address_arg(cx, call, 0)?;
        let word = Expr { span: pointer.span, kind: ExprKind::Convert(Box::new(pointer)), ty: Type::U64 };
        let first = Expr::int(-MAX_ERRNO, Type::U64, call.span);
        let kind = ExprKind::Compare(CompareOp::Ge, false, Box::new(word), Box::new(first));
        Ok(Expr { kind, ty: Type::Bool, span: call.span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `container_of(pointer, type, member)`
struct ContainerOf;

impl Builtin for ContainerOf {
    fn name(&self) -> &'static str {
        "container_of"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "container_of(pointer, struct, member.member…)",
            text: "A pointer to the struct whose member the pointer points to.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let pointer = address_arg(cx, call, 0)?;
        let (of, offset) = memory::member_of(cx, call, 1)?;
        let space = match &pointer.ty {
            Type::Ptr(_, Space::Trusted) => Space::Kernel,
            Type::Ptr(_, space) => *space,
            _ => cx.space_of_number(&pointer),
        };
        let span = call.span;
        let bytes = Type::Int { bytes: 1, signed: false }.ptr(space);
        let pointer = Expr { kind: ExprKind::Convert(Box::new(pointer)), ty: bytes.clone(), span };
        let back = Expr::int(-i64::from(offset), Type::I64, span);
        let kind = ExprKind::PtrAdd(Box::new(pointer), Box::new(back), 1);
        let moved = Expr { kind, ty: bytes, span };
        Ok(Expr { kind: ExprKind::Convert(Box::new(moved)), ty: of.ptr(space), span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `percpu_kaddr("symbol"[, cpu])`
struct PercpuKaddr;

impl Builtin for PercpuKaddr {
    fn name(&self) -> &'static str {
        "percpu_kaddr"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "percpu_kaddr(\"symbol\" [, cpu])",
            text: "Address of this CPU's copy of a per-CPU variable of the kernel; of another CPU's copy it may be 0 and must be tested.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = const_text_arg(cx, call, 0)?;
        let found = cx.types.btf().and_then(|btf| {
            let id = btf.find(Kind::Var, &name)?;
            Some((id, btf.type_by_id(id)?.target()?))
        });
        let Some((id, ty)) = found else {
            let message = format!("the kernel has no per-CPU variable {name}");
            let names: Vec<&str> =
                cx.types.btf().map(|b| b.types_of(Kind::Var).map(|t| t.name()).collect()).unwrap_or_default();
            let help = did_you_mean(&name, names)
                .map_or("variables are found through BTF".to_string(), |near| {
                    format!("did you mean `{near}`?")
                });
            return Err(error_with_help(Code::UNKNOWN_BUILTIN, call.span, message, help));
        };
        let mut args = Vec::new();
        if call.args.len() > 1 {
            args.push(int_arg(cx, call, 1)?);
        }
        let ty = cx.types.btf_type(ty).ptr(Space::Trusted);
        Ok(call_expr(self, args, CallData::Int(i64::from(id.0)), ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Int(id) = call.data else { return Val::None };
        let cpu = call.args.first().map(|cpu| cx.scalar(cpu));
        let var = cx.b.value(InstData::BtfVarAddr(id as u32));
        Val::Scalar(match cpu {
            Some(cpu) => cx.b.call(HelperId::PER_CPU_PTR, &[var, cpu]),
            None => cx.b.call(HelperId::THIS_CPU_PTR, &[var]),
        })
    }
}

/// `kfunc_exist("f")`, `kfunc_allowed("f")`
struct Kfunc {
    allowed: bool,
}

impl Builtin for Kfunc {
    fn name(&self) -> &'static str {
        if self.allowed { "kfunc_allowed" } else { "kfunc_exist" }
    }
    fn doc(&self) -> Doc {
        if self.allowed {
            Doc {
                signature: "kfunc_allowed(\"function\")",
                text: "Whether this kind of probe may call a kernel function that is made for programs; known at compile time.",
            }
        } else {
            Doc {
                signature: "kfunc_exist(\"function\")",
                text: "Whether the kernel has a function that is made for programs to call; known at compile time.",
            }
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = const_text_arg(cx, call, 0)?;
        let exists = is_kfunc(cx, &name);
        // BTF programs may call what the kernel offers to tracing; others what it offers to all.
        let typed = matches!(cx.context.prog, ProgType::Tracing | ProgType::Lsm);
        let yes = exists && (!self.allowed || typed);
        Ok(Expr::int(i64::from(yes), Type::Bool, call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// Whether a kernel function is marked as one for programs. Kernels before 6.10 do not mark them in BTF: then any
/// function of the name counts.
fn is_kfunc(cx: &Checker<'_>, name: &str) -> bool {
    let Some(btf) = cx.types.btf() else { return false };
    let Some(id) = btf.find(Kind::Func, name) else { return false };
    let mut marks = btf.types_of(Kind::DeclTag).filter(|t| t.name() == "bpf_kfunc").peekable();
    marks.peek().is_none() || marks.any(|t| t.target() == Some(id))
}

/// `ncpus`
struct Ncpus;

impl Builtin for Ncpus {
    fn name(&self) -> &'static str {
        "ncpus"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "ncpus", text: "Number of CPUs that the machine may have." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        if cx.target.n_cpus == 0 {
            return Err(error(Code::NOT_CONSTANT, call.span, "the number of CPUs is not known"));
        }
        Ok(Expr::int(i64::from(cx.target.n_cpus), Type::U64, call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}
