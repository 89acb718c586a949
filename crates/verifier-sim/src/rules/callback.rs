//! What may be called back.

use super::{Check, Rule, name};
use crate::Stop;
use crate::env::Env;
use crate::explore::Walk;
use crate::state::{RegState, RetRange};
use bpf_facts::V;
use ebpf_asm::{Imm64, Insn, InsnIdx, Reg};

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

/// Every function whose address is taken was walked. Others are dropped as dead code, and some kernels (6.18 is one)
/// then miss some of them when they compile what remains.
pub(crate) fn check_all_walked(walk: &Walk<'_>) -> Result<(), (InsnIdx, Box<Stop>)> {
    let version = walk.env.profile.version;
    let remaining = walk.env.cfg.subprogs.iter().filter(|at| walk.seen[**at as usize]).count();
    if version <= V(6, 12) || version >= V(7, 3) || remaining < 2 {
        return Ok(());
    }
    for (i, insn) in walk.env.p.insns.iter().enumerate() {
        if let Insn::LoadImm64 { imm: Imm64::Func(to), .. } = insn
            && walk.seen[i]
            && !walk.seen[to.0 as usize]
        {
            let what = "the function whose address is taken is never called";
            return Err((InsnIdx(i as u32), Box::new(Stop::Unsure(what.to_string()))));
        }
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
