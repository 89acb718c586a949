//! Clocks: `nsecs`, `elapsed`, `time()`, `strftime()`.

use super::{
    Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_text_arg, error_with_help, int_arg,
};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::Type;
use bpf_facts::{Feature, HelperId};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, InstData};
use hark_diag::Code;
use hark_object::{Clock, EventKind, RunField, Ty};
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Nsecs, &Elapsed, &Time, &Strftime];

/// Clocks by the numbers that [`CallData::Int`] carries.
const CLOCKS: &[&str] = &["boot", "monotonic", "tai", "sw_tai"];

/// `nsecs`
struct Nsecs;

impl Builtin for Nsecs {
    fn name(&self) -> &'static str {
        "nsecs"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "nsecs, nsecs(boot|monotonic|tai|sw_tai)",
            text: "Nanoseconds since boot; `monotonic` does not count suspended time, `tai` and `sw_tai` are international atomic time.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let mut clock = 0;
        if !call.args.is_empty() {
            let name = match &arg(call, 0)?.kind {
                ast::ExprKind::Ident(name) => name.as_str(),
                _ => "",
            };
            clock = CLOCKS.iter().position(|c| *c == name).ok_or_else(|| {
                let help = format!("clocks are {}", CLOCKS.join(", "));
                error_with_help(Code::WRONG_ARGUMENTS, call.span, "not a clock", help)
            })?;
        }
        Ok(call_expr(self, Vec::new(), CallData::Int(clock as i64), Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let clock = if let CallData::Int(n) = call.data { n as usize } else { 0 };
        Val::Scalar(match CLOCKS[clock] {
            "monotonic" => cx.b.call(HelperId::KTIME_GET_NS, &[]),
            "tai" if cx.target.profile.has(Feature::KtimeTai) => cx.b.call(HelperId::KTIME_GET_TAI_NS, &[]),
            "tai" | "sw_tai" => {
                let boot = cx.b.call(HelperId::KTIME_GET_BOOT_NS, &[]);
                let offset = run_field(cx, RunField::TaiMinusBootNs);
                cx.b.binary(BinOp::Add, boot, offset)
            }
            _ => cx.b.call(HelperId::KTIME_GET_BOOT_NS, &[]),
        })
    }
}

fn run_field(cx: &mut Lower<'_>, field: RunField) -> ebpf_codegen::ir::Value {
    let info = cx.shared.run_info();
    let info = cx.b.value(InstData::MapValueAddr(info, 0));
    cx.b.load(Size::Dw, info, field.offset() as i32)
}

/// `elapsed`
struct Elapsed;

impl Builtin for Elapsed {
    fn name(&self) -> &'static str {
        "elapsed"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "elapsed", text: "Nanoseconds since tracing began." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, _: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        Ok(call_expr(self, Vec::new(), CallData::None, Type::U64, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        let now = cx.b.call(HelperId::KTIME_GET_BOOT_NS, &[]);
        let start = run_field(cx, RunField::StartBootNs);
        Val::Scalar(cx.b.binary(BinOp::Sub, now, start))
    }
}

/// `time(format)`
struct Time;

impl Builtin for Time {
    fn name(&self) -> &'static str {
        "time"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "time([format])",
            text: "Prints the time of day, as strftime(3) formats it; by default \"%H:%M:%S\\n\".",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let format =
            if call.args.is_empty() { "%H:%M:%S\n".to_string() } else { const_text_arg(cx, call, 0)? };
        Ok(call_expr(self, Vec::new(), CallData::Text(format.into()), Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        if let CallData::Text(format) = &call.data {
            cx.async_map(EventKind::Time(format.clone()));
        }
        Val::None
    }
}

/// `strftime(format, ns)`
struct Strftime;

impl Builtin for Strftime {
    fn name(&self) -> &'static str {
        "strftime"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "strftime(format, nsecs)",
            text: "A time stamp that prints as strftime(3) formats it; %f is microseconds, %k nanoseconds, %l milliseconds.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let format = const_text_arg(cx, call, 0)?;
        let ns = int_arg(cx, call, 1)?;
        let clock = match &ns.kind {
            ExprKind::Call(inner) if inner.builtin.name() == "nsecs" => match inner.data {
                CallData::Int(1) => Clock::Monotonic,
                CallData::Int(2 | 3) => Clock::Tai,
                _ => Clock::Boot,
            },
            _ => Clock::Boot,
        };
        let ty = Type::Opaque(Ty::Timestamp { format: format.into(), clock });
        Ok(call_expr(self, vec![ns], CallData::None, ty, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::Scalar(cx.scalar(&call.args[0]))
    }
}
