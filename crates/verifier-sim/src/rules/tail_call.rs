//! Tail calls in subprograms.

use super::{Check, Rule};
use crate::env::Env;
use hark_btf::{Kind, TypeId};

/// Stack of the callers from which on a subprogram cannot make tail calls.
pub(crate) const CALLERS_STACK: u32 = 256;

/// A subprogram with a tail call is known by type information, and returns an integer.
pub(crate) fn check_subprogram(env: &Env<'_>, subprog: u32) -> Check {
    let at = env.cfg.subprogs[subprog as usize];
    let Some(func) = env.prog.funcs.iter().find(|func| func.at.0 == at) else {
        return Err(Rule::HelperAllowed
            .reject(&[], "tail calls of a function need a program with type information of its functions"));
    };
    let Some(btf) = env.prog.prog_btf else { return Ok(()) };
    let proto = btf.type_by_id(TypeId(func.type_id)).and_then(|ty| ty.target());
    let result = proto.and_then(|id| btf.type_by_id(id)).and_then(|ty| ty.target());
    let result = result.and_then(|id| btf.resolve(id)).map(|ty| ty.kind());
    if matches!(result, Some(Kind::Int | Kind::Enum | Kind::Enum64)) {
        return Ok(());
    }
    Err(Rule::HelperAllowed.reject(&[], "tail calls are only for functions that return a number"))
}
