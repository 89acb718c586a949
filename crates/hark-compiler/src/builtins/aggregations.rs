//! Aggregations, which are assigned to maps: what their arguments may be. How each is kept stands in
//! `hark_object::agg`.

use super::{
    Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_int_arg, const_text_arg, error, int_arg,
};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use hark_diag::{Code, Diagnostic};
use hark_object::agg::{Agg, SeriesFn, lhist_buckets};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Aggregation {
        name: "count",
        arity: (0, 0),
        signature: "@ = count()",
        text: "Counts events.",
        make: |_, _, _| Ok(Agg::Count),
    },
    &Aggregation {
        name: "sum",
        arity: (1, 1),
        signature: "@ = sum(n)",
        text: "Adds up values.",
        make: |_, _, signed| Ok(Agg::Sum { signed }),
    },
    &Aggregation {
        name: "min",
        arity: (1, 1),
        signature: "@ = min(n)",
        text: "Keeps the smallest value.",
        make: |_, _, signed| Ok(Agg::Min { signed }),
    },
    &Aggregation {
        name: "max",
        arity: (1, 1),
        signature: "@ = max(n)",
        text: "Keeps the largest value.",
        make: |_, _, signed| Ok(Agg::Max { signed }),
    },
    &Aggregation {
        name: "avg",
        arity: (1, 1),
        signature: "@ = avg(n)",
        text: "Averages values; the result is cut towards zero.",
        make: |_, _, signed| Ok(Agg::Avg { signed }),
    },
    &Aggregation {
        name: "stats",
        arity: (1, 1),
        signature: "@ = stats(n)",
        text: "Keeps count, average and total of values.",
        make: |_, _, signed| Ok(Agg::Stats { signed }),
    },
    &Aggregation {
        name: "hist",
        arity: (1, 2),
        signature: "@ = hist(n [, k])",
        text: "Counts values by powers of two, each divided into 2^k steps (k from 0 to 5).",
        make: hist,
    },
    &Aggregation {
        name: "lhist",
        arity: (4, 4),
        signature: "@ = lhist(n, min, max, step)",
        text: "Counts values by equal steps between min and max.",
        make: lhist,
    },
    &Aggregation {
        name: "tseries",
        arity: (3, 4),
        signature: "@ = tseries(n, interval, count [, \"avg\"|\"max\"|\"min\"|\"sum\"])",
        text: "Keeps one value for each of the last intervals.",
        make: tseries,
    },
];

/// Most buckets of a linear histogram.
const MAX_LHIST_BUCKETS: u32 = 1000;
/// Bytes of a per-CPU value that the kernel allocates at most (`PCPU_MIN_UNIT_SIZE`).
const MAX_PERCPU_VALUE: u32 = 32 << 10;

/// An aggregation.
struct Aggregation {
    name: &'static str,
    arity: (usize, usize),
    signature: &'static str,
    text: &'static str,
    make: fn(&mut Checker<'_>, &BuiltinCall<'_>, bool) -> Result<Agg, CheckError>,
}

fn hist(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, _: bool) -> Result<Agg, CheckError> {
    let k = if call.args.len() > 1 { const_int_arg(cx, call, 1)? } else { 0 };
    match u8::try_from(k) {
        Ok(k @ 0..=5) => Ok(Agg::Hist { k }),
        _ => Err(error(
            Code::WRONG_ARGUMENTS,
            arg(call, 1)?.span,
            format!("hist() takes k from 0 to 5, not {k}"),
        )),
    }
}

fn lhist(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, _: bool) -> Result<Agg, CheckError> {
    let (min, max, step) =
        (const_int_arg(cx, call, 1)?, const_int_arg(cx, call, 2)?, const_int_arg(cx, call, 3)?);
    let refuse = |message: String| Err(error(Code::WRONG_ARGUMENTS, call.span, message));
    if step <= 0 {
        return refuse(format!("the step of lhist() must be above 0, not {step}"));
    }
    if min > max {
        return refuse(format!("lhist() takes the smaller end first: {min} is above {max}"));
    }
    let buckets = lhist_buckets(min, max, step);
    if buckets > MAX_LHIST_BUCKETS {
        return refuse(format!("lhist() has at most {MAX_LHIST_BUCKETS} buckets; these would be {buckets}"));
    }
    Ok(Agg::Lhist { min, max, step })
}

fn tseries(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, signed: bool) -> Result<Agg, CheckError> {
    match cx.config.unstable_tseries.as_str() {
        "error" => {
            return Err(error(Code::BAD_CONFIG, call.span, "tseries() is switched off by unstable_tseries"));
        }
        "warn" => {
            let message = "tseries() is not stable yet: its form may change";
            let diag = Diagnostic::warning(Code::UNSTABLE, call.span, message)
                .with_help("set unstable_tseries to \"enable\" to silence this");
            cx.report(diag);
        }
        _ => {}
    }
    let (interval, n) = (const_int_arg(cx, call, 1)?, const_int_arg(cx, call, 2)?);
    let fun = match call.args.len() {
        4 => {
            let name = const_text_arg(cx, call, 3)?;
            SeriesFn::named(&name).ok_or_else(|| {
                error(Code::WRONG_ARGUMENTS, call.span, format!("tseries() has no aggregation {name:?}"))
            })?
        }
        _ => SeriesFn::Last,
    };
    let n = u32::try_from(n).ok().filter(|n| *n > 0 && *n <= 1_000_000);
    let (Some(n), true) = (n, interval > 0) else {
        let message = "tseries() takes an interval above 0 and 1 to 1000000 of them";
        return Err(error(Code::WRONG_ARGUMENTS, call.span, message));
    };
    Ok(Agg::Tseries { interval_ns: interval as u64, n, fun, signed })
}

impl Builtin for Aggregation {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        Doc { signature: self.signature, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        self.arity.0..=self.arity.1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let value = if call.args.is_empty() { None } else { Some(int_arg(cx, call, 0)?) };
        let signed = value.as_ref().and_then(|v| v.ty.int_shape()).is_none_or(|(_, signed)| signed);
        let agg = (self.make)(cx, call, signed)?;
        if agg.size() > MAX_PERCPU_VALUE {
            let message = format!(
                "{}() would need {} bytes per CPU and key; the kernel gives {MAX_PERCPU_VALUE}",
                self.name,
                agg.size()
            );
            return Err(error(Code::TOO_LARGE, call.span, message));
        }
        Ok(call_expr(self, value.into_iter().collect(), CallData::None, Type::Agg(agg), call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        // Assignments are lowered as a whole; the checker lets the call stand nowhere else.
        Val::None
    }
}
