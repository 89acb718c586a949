//! Names and addresses: `ksym`, `usym`, `kaddr`.

use super::{Builtin, BuiltinCall, CheckError, Doc, address_arg, call_expr, const_text_arg, error};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::HelperId;
use ebpf_codegen::ir::BinOp;
use hark_diag::Code;
use hark_object::Ty;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Ksym, &Usym, &Kaddr, &CgroupId];

/// Writes the process id, as the initial namespace has it, for user space to find the process's symbols.
pub(super) fn store_pid(cx: &mut Lower<'_>, at: Mem) {
    let both = cx.b.call(HelperId::GET_CURRENT_PID_TGID, &[]);
    let pid = cx.b.binary_imm(BinOp::Lshr, both, 32);
    cx.store_word(pid, at);
}

/// `ksym(address)`
struct Ksym;

impl Builtin for Ksym {
    fn name(&self) -> &'static str {
        "ksym"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "ksym(address)", text: "Name of the kernel function at an address." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = cx.value(super::arg(call, 0)?);
        if !value.ty.is_truthy() && value.ty != Type::Opaque(Ty::Ksym) {
            return Err(error(
                Code::TYPE_MISMATCH,
                value.span,
                format!("ksym() takes an address, not {}", value.ty),
            ));
        }
        Ok(call_expr(self, vec![value], CallData::None, Type::Opaque(Ty::Ksym), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.scalar(&call.args[0]))
    }
}

/// `usym(address)`
struct Usym;

impl Builtin for Usym {
    fn name(&self) -> &'static str {
        "usym"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "usym(address)", text: "Name of the function at an address of the current process." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = address_arg(cx, call, 0)?;
        Ok(call_expr(self, vec![value], CallData::None, Type::Opaque(Ty::Usym), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let dst = cx.dst(dst, ty);
        let address = cx.scalar(&call.args[0]);
        cx.store_word(address, dst);
        store_pid(cx, dst.plus(8));
        Val::Mem(dst)
    }
}

/// `kaddr("symbol")`
struct Kaddr;

impl Builtin for Kaddr {
    fn name(&self) -> &'static str {
        "kaddr"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "kaddr(\"symbol\")",
            text: "Address of a kernel symbol, found when the script is compiled.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = const_text_arg(cx, call, 0)?;
        match cx.target.catalog.kernel_symbol(&name) {
            Ok(Some(addr)) => {
                // Kernel addresses look like negative numbers: not a literal that takes another's sign.
                let value = Expr::int(addr as i64, Type::U64, call.span);
                let ty = Type::U64.ptr(Space::Kernel);
                let ptr = Expr { kind: ExprKind::Convert(Box::new(value)), ty, span: call.span };
                Ok(Expr { kind: ExprKind::Convert(Box::new(ptr)), ty: Type::U64, span: call.span })
            }
            Ok(None) => {
                Err(error(Code::UNKNOWN_BUILTIN, call.span, format!("the kernel has no symbol {name}")))
            }
            Err(e) => {
                let diag = error(Code::UNKNOWN_BUILTIN, call.span, e.message);
                Err(match e.help {
                    Some(help) => Box::new(diag.with_help(help)),
                    None => diag,
                })
            }
        }
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `cgroupid("path")`
struct CgroupId;

impl Builtin for CgroupId {
    fn name(&self) -> &'static str {
        "cgroupid"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "cgroupid(\"path\")",
            text: "Id of a cgroup (version 2), found when the script is compiled.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let path = const_text_arg(cx, call, 0)?;
        match cx.target.catalog.cgroup_id(&path) {
            Ok(id) => Ok(Expr::int(id as i64, Type::U64, call.span)),
            Err(e) => {
                let diag = error(Code::UNKNOWN_BUILTIN, call.span, e.message);
                Err(match e.help {
                    Some(help) => Box::new(diag.with_help(help)),
                    None => diag,
                })
            }
        }
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}
