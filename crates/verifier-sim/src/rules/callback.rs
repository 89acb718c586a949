//! What may be called back.

use super::{Check, Rule, name};
use crate::Stop;
use crate::env::Env;
use crate::explore::Walk;
use crate::state::{RegState, RetRange};
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

/// The kernel finds every function whose address is taken when it compiles what remains of the program.
///
/// What was never walked is dropped, functions too (as the callback of a loop of no turns). The address of a dropped one
/// is not mended: it is of whatever comes to stand there, which another function must begin with. Only a program of
/// which but one function remains is compiled without a look at them.
pub(crate) fn check_dropped(walk: &Walk<'_>) -> Result<(), (InsnIdx, Box<Stop>)> {
    let (p, subprogs) = (walk.env.p, &walk.env.cfg.subprogs);
    let walked = |insn: u32| walk.seen[insn as usize];
    let taken: Vec<(InsnIdx, u32)> = (0..)
        .zip(&p.insns)
        .filter_map(|(i, insn)| match insn {
            Insn::LoadImm64 { imm: Imm64::Func(to), .. } if walked(i) && !walked(to.0) => {
                Some((InsnIdx(i), to.0))
            }
            _ => None,
        })
        .collect();
    if taken.is_empty() || subprogs.iter().filter(|at| walked(**at)).count() < 2 {
        return Ok(());
    }
    // First slot and length of each part that is dropped.
    let mut dropped: Vec<(u32, u32)> = Vec::new();
    let slots = p.slots();
    let slot_of = |insn: u32| slots.slot_of(InsnIdx(insn)).map_or(0, |slot| slot.0);
    for (i, insn) in (0..).zip(&p.insns) {
        if !walked(i) {
            match dropped.last_mut() {
                Some((first, len)) if *first + *len == slot_of(i) => *len += insn.slots(),
                _ => dropped.push((slot_of(i), insn.slots())),
            }
        }
    }
    // Where a slot is found when all parts are gone, one after another.
    let after = |slot: u32| {
        let (mut slot, mut gone) = (slot, 0);
        for (first, len) in &dropped {
            if slot >= first - gone + len {
                slot -= len;
            }
            gone += len;
        }
        slot
    };
    let remaining: Vec<u32> =
        subprogs.iter().filter(|at| walked(**at)).map(|at| after(slot_of(*at))).collect();
    match taken.into_iter().find(|(_, to)| remaining.binary_search(&after(slot_of(*to))).is_err()) {
        Some((at, to)) => {
            let message = format!(
                "the function at {to} is never called, so it is dropped, and its address is that of no function"
            );
            Err((at, Rule::Callback.reject(&[], message)))
        }
        None => Ok(()),
    }
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
