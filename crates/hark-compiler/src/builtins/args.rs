//! What the probe's event brings: `args`, `arg0`…, `retval`, `func`, `probe`, `ctx`, `reg()`.

use super::{Builtin, BuiltinCall, CheckError, Doc, call_expr, const_text_arg, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::probes::{FuncSource, arg_register};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::{Space, Type};
use bpf_facts::{Feature, HelperId, pt_regs};
use ebpf_asm::Size;
use ebpf_codegen::ir::Value;
use hark_diag::{Code, Diagnostic, Span};
use hark_object::{ProbeSpec, Ty, UsdtArgument, is_pattern};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] =
    &[&Args, &ArgN, &Retval, &Func, &Probe, &ProbeType, &Ctx, &Reg, &Usermode];

fn not_here(cx: &Checker<'_>, name: &str, span: Span, help: &str) -> CheckError {
    let message = format!("{name} is not available in {} probes", cx.context.probe_type);
    error_with_help(Code::NOT_AVAILABLE_HERE, span, message, help)
}

/// `args`
struct Args;

impl Builtin for Args {
    fn name(&self) -> &'static str {
        "args"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "args",
            text: "The typed arguments of a tracepoint, raw tracepoint, fentry or fexit probe: args.name.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        match &cx.context.args {
            Some(args) => Ok(Expr { kind: ExprKind::Args, ty: Type::Args(args.clone()), span: call.span }),
            None => Err(not_here(cx, "args", call.span, "use arg0, arg1… or a probe with typed arguments")),
        }
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.b.iconst(0))
    }
}

/// `arg0`, `arg1`…
pub(super) struct ArgN;

impl Builtin for ArgN {
    fn name(&self) -> &'static str {
        "argN"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "arg0, arg1, …",
            text: "Arguments of the traced function as the calling convention passes them in registers, unsigned.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let n = call.index;
        if let Some(args) = cx.context.usdt_args.clone() {
            return usdt_arg(self, &args, call);
        }
        let offset = match (&cx.context.word_args, &cx.context.regs) {
            (Some(first), _) => {
                let count = cx.context.args.as_ref().map_or(12, |a| a.fields.len() as u32);
                if n >= count {
                    let message = format!("arg{n} does not exist: the probe has {count} arguments");
                    return Err(error(Code::NOT_AVAILABLE_HERE, call.span, message));
                }
                first + 8 * n
            }
            (None, Some(base)) if matches!(cx.context.probe_type, "kprobe" | "uprobe") => {
                let Some(register) = arg_register(cx.target.profile.arch, n) else {
                    let help = "arguments beyond those lie on the stack: *(uint64 *)(reg(\"sp\") + 8)";
                    let message = format!("arg{n} is not passed in a register");
                    return Err(error_with_help(Code::NOT_AVAILABLE_HERE, call.span, message, help));
                };
                base + register
            }
            _ => {
                return Err(not_here(
                    cx,
                    &format!("arg{n}"),
                    call.span,
                    "kprobes and uprobes have arguments",
                ));
            }
        };
        Ok(call_expr(self, Vec::new(), CallData::Int(i64::from(offset)), Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Int(offset) = call.data else { return Val::None };
        if let Some(args) = cx.unit.context.usdt_args.clone() {
            let arg = args.get(offset as usize).and_then(|arg| arg.as_ref().ok());
            return arg.map_or(Val::None, |arg| Val::Scalar(super::usdt::read(cx, arg)));
        }
        let ctx = cx.ctx();
        Val::Scalar(cx.b.load(Size::Dw, ctx, offset as i32))
    }
}

/// An argument of a static probe: its number stands in the call.
fn usdt_arg(
    builtin: &'static dyn Builtin,
    args: &[Result<UsdtArgument, String>],
    call: &BuiltinCall<'_>,
) -> Result<Expr, CheckError> {
    let n = call.index;
    let signed = match args.get(n as usize) {
        Some(Ok(arg)) => arg.signed,
        Some(Err(why)) => {
            let message = format!("arg{n} cannot be read: {why}");
            return Err(error(Code::NOT_AVAILABLE_HERE, call.span, message));
        }
        None => {
            let message = match args.len() {
                0 => format!("arg{n} does not exist: the probe has no arguments"),
                1 => format!("arg{n} does not exist: the probe has only arg0"),
                count => format!("arg{n} does not exist: the probe has arg0 to arg{}", count - 1),
            };
            return Err(error(Code::NOT_AVAILABLE_HERE, call.span, message));
        }
    };
    let ty = if signed { Type::I64 } else { Type::U64 };
    Ok(call_expr(builtin, Vec::new(), CallData::Int(i64::from(n)), ty, call.span))
}

/// `retval`
struct Retval;

impl Builtin for Retval {
    fn name(&self) -> &'static str {
        "retval"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "retval",
            text: "What the traced function returned: unsigned in kretprobes and uretprobes, typed in fexit.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        match &cx.context.retval {
            Some(retval) => {
                Ok(Expr { kind: ExprKind::Arg(retval.place.clone()), ty: retval.ty.clone(), span: call.span })
            }
            None => {
                Err(not_here(cx, "retval", call.span, "return probes have it: kretprobe, uretprobe, fexit"))
            }
        }
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.b.iconst(0))
    }
}

/// `func`
struct Func;

impl Builtin for Func {
    fn name(&self) -> &'static str {
        "func"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "func", text: "The traced function; prints as its name." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        if cx.context.func.is_none() {
            return Err(not_here(
                cx,
                "func",
                call.span,
                "it names the function of a kprobe, uprobe or fentry",
            ));
        }
        let ty = if cx.context.user { Ty::Usym } else { Ty::Ksym };
        Ok(call_expr(self, Vec::new(), CallData::None, Type::Opaque(ty), call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let ctx = cx.ctx();
        let ip = match cx.unit.context.func {
            Some(FuncSource::FuncIp) => returned_from(cx),
            _ => {
                let offset = pt_regs(cx.target.profile.arch, "ip").unwrap_or(0);
                cx.b.load(Size::Dw, ctx, offset as i32)
            }
        };
        if !cx.unit.context.user {
            return Val::Scalar(ip);
        }
        let dst = cx.dst(dst, ty);
        cx.store_word(ip, dst);
        super::symbols::store_pid(cx, dst.plus(8));
        Val::Mem(dst)
    }
}

/// The function that a return probe or a typed one is in.
fn returned_from(cx: &mut Lower<'_>) -> Value {
    let span = cx.unit.probes[0].2;
    if !cx.target.profile.has(Feature::GetFuncIp)
        && let Some(addr) = only_function(cx)
    {
        return cx.b.iconst(addr as i64);
    }
    if !cx.require(Feature::GetFuncIp, span) {
        return cx.b.iconst(0);
    }
    if cx.unit.context.user
        && let Err(what) = cx.target.profile.require(Feature::UprobeFuncIp)
    {
        let message =
            format!("func is 0 in uretprobes here: {what}; this one is {}", cx.target.profile.version);
        cx.report(Diagnostic::warning(Code::NEEDS_KERNEL, span, message));
    }
    let ctx = cx.ctx();
    cx.b.call(HelperId::GET_FUNC_IP, &[ctx])
}

/// The address of the kernel function that all probes of the program are in, if it is one and the host tells.
fn only_function(cx: &Lower<'_>) -> Option<u64> {
    let mut names = cx.unit.probes.iter().map(|(spec, ..)| match spec {
        ProbeSpec::Kprobe { func, .. } | ProbeSpec::Fentry { func, .. } => Some(func),
        _ => None,
    });
    let first = names.next()??;
    let same = names.all(|name| name == Some(first)) && !is_pattern(first);
    if same { cx.target.catalog.kernel_symbol(first).ok()? } else { None }
}

/// `probe`
struct Probe;

impl Builtin for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "probe", text: "Full name of the probe that fired." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = cx.context.probe.clone();
        Ok(cx.text(name.as_bytes(), call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `probetype`
struct ProbeType;

impl Builtin for ProbeType {
    fn name(&self) -> &'static str {
        "probetype"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "probetype", text: "Type of the probe that fired: kprobe, tracepoint…" }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = cx.context.probe_type;
        Ok(cx.text(name.as_bytes(), call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `ctx`
struct Ctx;

impl Builtin for Ctx {
    fn name(&self) -> &'static str {
        "ctx"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "ctx",
            text: "The raw context of the probe; in iter probes the object at hand, with its type.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let ty = cx.context.ctx.clone().unwrap_or_else(|| Type::Void.ptr(Space::Own));
        Ok(call_expr(self, Vec::new(), CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.ctx())
    }
}

/// `reg("ax")`
struct Reg;

impl Builtin for Reg {
    fn name(&self) -> &'static str {
        "reg"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "reg(\"name\")", text: "A register of the traced code: ax, di, sp, ip…" }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = const_text_arg(cx, call, 0)?;
        let Some(base) = cx.context.regs else {
            return Err(not_here(cx, "reg()", call.span, "kprobes, uprobes and perf events have registers"));
        };
        let Some(offset) = pt_regs(cx.target.profile.arch, &name) else {
            return Err(error(Code::WRONG_ARGUMENTS, call.span, format!("there is no register {name}")));
        };
        Ok(call_expr(self, Vec::new(), CallData::Int(i64::from(base + offset)), Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        ArgN.lower(cx, call, ty, dst)
    }
}

/// `usermode`
struct Usermode;

impl Builtin for Usermode {
    fn name(&self) -> &'static str {
        "usermode"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "usermode",
            text: "1 if the CPU was running a process rather than the kernel (x86-64).",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let Some((base, offset)) = cx.context.regs.zip(pt_regs(cx.target.profile.arch, "cs")) else {
            return Err(not_here(cx, "usermode", call.span, "profile and the other perf events have it"));
        };
        Ok(call_expr(
            self,
            Vec::new(),
            CallData::Int(i64::from(base + offset)),
            Type::Int { bytes: 1, signed: false },
            call.span,
        ))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        // The two low bits of the code segment are the privilege level: 3 in user mode.
        let cs = ArgN.lower(cx, call, ty, dst).scalar();
        let level = cx.b.binary_imm(ebpf_codegen::ir::BinOp::And, cs, 3);
        let user = cx.b.iconst(3);
        Val::Scalar(cx.b.icmp(ebpf_codegen::ir::Cond::Eq, level, user))
    }
}
