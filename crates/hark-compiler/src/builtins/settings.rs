//! `config`: the settings of the run, as constants.

use super::{Builtin, BuiltinCall, CheckError, Doc};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, Expr, ExprKind};
use crate::types::Type;
use hark_object::{CONFIG_KEYS, ConfigKey, ConfigType};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Settings];

/// The order in which the members print; keys that are not named here follow in their own order.
const ORDER: &[&str] = &[
    "cpp_demangle",
    "lazy_symbolication",
    "print_maps_on_exit",
    "use_blazesym",
    "show_debug_info",
    "log_size",
    "max_bpf_progs",
    "max_cat_bytes",
    "max_map_keys",
    "max_probes",
    "max_strlen",
    "on_stack_limit",
    "perf_rb_pages",
    "str_trunc_trailer",
    "unstable_import_statement",
    "unstable_tseries",
    "unstable_typeinfo",
    "unstable_dw_ustack",
    "missing_probes",
    "stack_mode",
    "license",
];

/// `config`
struct Settings;

impl Builtin for Settings {
    fn name(&self) -> &'static str {
        "config"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "config", text: "The settings of the run as a record: config.max_strlen." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let place = |key: &&ConfigKey| ORDER.iter().position(|name| *name == key.name).unwrap_or(ORDER.len());
        let mut keys: Vec<&ConfigKey> = CONFIG_KEYS.iter().collect();
        keys.sort_by_key(place);
        let (names, values): (Vec<String>, Vec<Expr>) = keys
            .into_iter()
            .map(|key| {
                let value = (key.get)(cx.config);
                let value = match key.ty {
                    ConfigType::Bool => Expr::int(i64::from(value == "true"), Type::Bool, call.span),
                    ConfigType::Int { .. } => {
                        let n: u64 = value.parse().unwrap_or(0);
                        Expr::int(n as i64, Type::of_literal(n), call.span)
                    }
                    ConfigType::Text | ConfigType::OneOf(_) => cx.text(value.as_bytes(), call.span),
                };
                (key.name.to_string(), value)
            })
            .unzip();
        let types = values.iter().map(|e| e.ty.clone());
        let ty = Type::Record(names.into_iter().zip(types).collect());
        Ok(Expr { kind: ExprKind::Tuple(values), ty, span: call.span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        // The check leaves constants.
        Val::None
    }
}
