//! Builtin values and functions: one file each (or one row, for those that are only a helper call), one line in
//! [`ALL`].

mod addresses;
mod aggregations;
mod args;
mod asserts;
mod compare;
mod control;
mod decoded;
mod dw_stack;
mod helpers;
mod kernel_format;
mod mapops;
mod memory;
mod options;
mod output;
mod pointers;
mod settings;
mod stacks;
mod strings;
mod symbols;
mod task;
mod time;
mod trusted;
mod usdt;

pub(crate) use task::{current_tgid, is_current_task};

use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind};
use crate::types::Type;
use hark_diag::{Code, Diagnostic, Span};
use hark_syntax::ast;
use std::ops::RangeInclusive;

/// What the reference says of a builtin.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// How it is called: `str(pointer [, length])`.
    pub signature: &'static str,
    /// What it means.
    pub text: &'static str,
}

/// A call as written.
pub struct BuiltinCall<'a> {
    /// The name used.
    pub name: &'a str,
    /// Arguments.
    pub args: &'a [ast::Arg],
    /// Where.
    pub span: Span,
    /// The number in names like `arg3`.
    pub index: u32,
}

/// Why a call is wrong. Boxed, as it is rare and large.
pub type CheckError = Box<Diagnostic>;

/// A builtin value or function.
pub trait Builtin: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// For the reference.
    fn doc(&self) -> Doc;
    /// How many arguments it takes. What takes none may be written without parentheses.
    fn arity(&self) -> RangeInclusive<usize>;
    /// The call's meaning and type.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError>;
    /// Whether its code has the kernel call a function of the program: with a record that is not sent yet it may not.
    fn calls_back(&self) -> bool {
        false
    }
    /// Code. A value that is no scalar is written to `dst` if given, which has room for one byte more than its type.
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, ty: &Type, dst: Option<Mem>) -> Val;
}

/// Every builtin with a file of its own; those of [`helpers::ROWS`] besides.
static ALL: &[&[&dyn Builtin]] = &[
    addresses::ALL,
    aggregations::ALL,
    args::ALL,
    asserts::ALL,
    compare::ALL,
    control::ALL,
    decoded::ALL,
    dw_stack::ALL,
    helpers::ALL,
    mapops::ALL,
    memory::ALL,
    options::ALL,
    output::ALL,
    stacks::ALL,
    pointers::ALL,
    settings::ALL,
    strings::ALL,
    symbols::ALL,
    task::ALL,
    time::ALL,
    trusted::ALL,
];

/// Every builtin.
pub fn all() -> impl Iterator<Item = &'static dyn Builtin> {
    ALL.iter().flat_map(|list| list.iter().copied())
}

/// Names of all builtins.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|b| b.name())
}

/// The builtin that `name` means without parentheses, and the number in names like `arg3`.
pub fn value_named(name: &str) -> Option<(&'static dyn Builtin, u32)> {
    function_named(name).filter(|(b, _)| b.arity().contains(&0))
}

/// The builtin called `name`, and the number in names like `arg3`.
pub fn function_named(name: &str) -> Option<(&'static dyn Builtin, u32)> {
    if let Some(digits) = name.strip_prefix("arg")
        && !digits.is_empty()
        && let Ok(n) = digits.parse()
    {
        return Some((&args::ArgN, n));
    }
    all().find(|b| b.name() == name).map(|b| (b, 0))
}

// What checks share.

/// The call as a typed expression.
fn call_expr(builtin: &'static dyn Builtin, args: Vec<Expr>, data: CallData, ty: Type, span: Span) -> Expr {
    let call = Call { builtin, args, data, discarded: false };
    Expr { kind: ExprKind::Call(Box::new(call)), ty, span }
}

fn error(code: Code, span: Span, message: impl Into<String>) -> CheckError {
    Box::new(Diagnostic::error(code, span, message))
}

fn error_with_help(
    code: Code,
    span: Span,
    message: impl Into<String>,
    help: impl Into<String>,
) -> CheckError {
    Box::new(Diagnostic::error(code, span, message).with_help(help))
}

/// Argument `i` as an expression of the syntax tree.
fn arg<'a>(call: &BuiltinCall<'a>, i: usize) -> Result<&'a ast::Expr, CheckError> {
    match call.args.get(i) {
        Some(ast::Arg::Expr(e)) => Ok(e),
        Some(ast::Arg::Type(ty)) => {
            Err(error(Code::TYPE_MISMATCH, ty.span, "a value is expected here, not a type"))
        }
        None => Err(error(Code::WRONG_ARGUMENTS, call.span, format!("argument {} is missing", i + 1))),
    }
}

/// Argument `i` as an integer.
fn int_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<Expr, CheckError> {
    let value = cx.value(arg(call, i)?);
    if value.ty.is_integral() {
        return Ok(value);
    }
    let message = format!("argument {} of {} is an integer, not {}", i + 1, call.name, value.ty);
    Err(error(Code::TYPE_MISMATCH, value.span, message))
}

/// Argument `i` as an address: a pointer, or an integer taken as one.
fn address_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<Expr, CheckError> {
    let value = cx.value(arg(call, i)?);
    if value.ty.is_truthy() {
        return Ok(value);
    }
    let message = format!("argument {} of {} is an address, not {}", i + 1, call.name, value.ty);
    Err(error(Code::TYPE_MISMATCH, value.span, message))
}

/// Argument `i` as a constant integer.
fn const_int_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<i64, CheckError> {
    let value = int_arg(cx, call, i)?;
    value.as_int().ok_or_else(|| {
        let message = format!("argument {} of {} must be a constant", i + 1, call.name);
        error(Code::NOT_CONSTANT, value.span, message)
    })
}

/// Argument `i` as a constant text. A positional parameter counts as text even if it looks like a number.
fn const_text_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<String, CheckError> {
    let e = arg(call, i)?;
    if let ast::ExprKind::Positional(n) = e.kind {
        return Ok(cx.positional_text(n).to_string());
    }
    let value = cx.value(e);
    match value.as_str() {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None => {
            let message = format!("argument {} of {} must be a literal text", i + 1, call.name);
            Err(error(Code::NOT_CONSTANT, value.span, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut all: Vec<&str> = names().collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[0] != w[1]), "{all:?}");
    }

    #[test]
    fn numbered_arguments() {
        assert!(matches!(value_named("arg12"), Some((_, 12))));
        assert!(value_named("argx").is_none());
        assert!(value_named("printf").is_none());
    }
}
