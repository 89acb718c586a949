//! What may be called back.

use super::{Check, Rule, name};
use crate::env::Env;
use crate::state::{RegState, RetRange};
use ebpf_asm::Reg;

/// The address of subprogram `subprog` is taken.
pub(crate) fn check_function(env: &Env<'_>, subprog: u32) -> Check {
    if env.prog.funcs.is_empty() {
        return Err(
            Rule::Callback.reject(&[], "callbacks need a program with type information of its functions")
        );
    }
    if env.global[subprog as usize] {
        return Err(Rule::Callback.reject(&[], "a callback must be a static function"));
    }
    Ok(())
}

/// A callback returns `value`.
pub(crate) fn check_result(value: &RegState, range: RetRange) -> Check {
    if !value.is_scalar() {
        return Err(
            Rule::Callback.reject(&[Reg::R0], format!("a callback returns {value} instead of a number"))
        );
    }
    if range.0 <= value.val.smin && value.val.smax <= range.1 {
        return Ok(());
    }
    Err(Rule::Callback.reject(
        &[Reg::R0],
        format!("{} is {value}; a callback must return {} to {}", name(Reg::R0), range.0, range.1),
    ))
}
