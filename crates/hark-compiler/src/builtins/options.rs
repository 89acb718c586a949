//! `getopt`: options given to the script itself, known when it is compiled.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, const_text_arg, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::{Checker, parse_integer};
use crate::typed::{Call, Expr};
use crate::types::Type;
use hark_diag::{Code, Diagnostic, did_you_mean};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Getopt];

/// `getopt(name[, default[, help]])`
struct Getopt;

impl Builtin for Getopt {
    fn name(&self) -> &'static str {
        "getopt"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "getopt(\"name\" [, default [, \"help\"]])",
            text: "The value of the script's own option --name, given after --; it has the type of the default, a bool, integer or text. Without a default it is a flag.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let name = const_text_arg(cx, call, 0)?;
        let default = match call.args.len() {
            1 => Expr::int(0, Type::Bool, call.span),
            _ => cx.value(arg(call, 1)?),
        };
        let help = if call.args.len() > 2 { const_text_arg(cx, call, 2)? } else { String::new() };
        let shown = if help.is_empty() { format!("--{name}") } else { format!("--{name}: {help}") };
        cx.named_options.insert(name.clone(), shown);
        let given = cx.options.named.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        let refuse = |wants: &str, value: &str| {
            let message = format!("the option --{name} takes {wants}, not `{value}`");
            error_with_help(Code::BAD_USAGE, call.span, message, format!("write --{name}=VALUE"))
        };
        match (&default.ty, given) {
            (Type::Bool, Some(value)) => {
                let value = value.unwrap_or_else(|| "true".into());
                match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "on" | "yes" => Ok(Expr::int(1, Type::Bool, call.span)),
                    "false" | "0" | "off" | "no" => Ok(Expr::int(0, Type::Bool, call.span)),
                    _ => Err(refuse("true or false", &value)),
                }
            }
            (Type::Str { .. }, Some(Some(value))) => Ok(cx.text(value.as_bytes(), call.span)),
            (Type::Str { .. }, Some(None)) => Err(refuse("a text", "")),
            (ty, given) if ty.is_integral() && default.as_int().is_some() => {
                let Some(value) = given else { return Ok(default) };
                let text = value.unwrap_or_default();
                match parse_integer(&text) {
                    Some(n) if n < 0 => Ok(Expr::int(n, Type::I64, call.span)),
                    Some(n) => Ok(Expr::int(n, Type::of_literal(n as u64), call.span)),
                    None => Err(refuse("a number", &text)),
                }
            }
            (Type::Str { .. }, None) if default.as_str().is_some() => Ok(default),
            (ty, _) => {
                let message = format!("the default of an option is a literal bool, number or text, not {ty}");
                Err(error(Code::NOT_CONSTANT, default.span, message))
            }
        }
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        // The check leaves a constant.
        Val::None
    }
}

impl Checker<'_> {
    /// Refuses options that the script does not ask for; `--help` lists those that it does.
    pub(crate) fn check_named_options(&mut self) {
        let known = std::mem::take(&mut self.named_options);
        let list = |diag: Diagnostic| match known.len() {
            0 => diag.with_help("this script has no options"),
            _ => known.values().fold(diag.with_help("the script has these options:"), |d, o| d.with_help(o)),
        };
        let mut said = Vec::new();
        for (name, _) in &self.options.named {
            if known.contains_key(name) {
                continue;
            }
            if name == "help" {
                said = vec![list(Diagnostic::error_without_span(Code::BAD_USAGE, "options of this script"))];
                break;
            }
            let message = format!("the script has no option --{name}");
            let diag = Diagnostic::error_without_span(Code::BAD_USAGE, message);
            said.push(match did_you_mean(name, known.keys().map(String::as_str)) {
                Some(near) => diag.with_help(format!("did you mean `--{near}`?")),
                None => list(diag),
            });
        }
        said.into_iter().for_each(|diag| self.report(diag));
        self.named_options = known;
    }
}
