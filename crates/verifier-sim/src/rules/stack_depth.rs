//! Stack of all frames together.

use super::tail_call::CALLERS_STACK;
use super::{Check, Rule};
use crate::era::Change;
use crate::explore::Walk;
use crate::state::MAX_FRAMES;
use bpf_facts::{Arch, AttachType, HelperId, ProgType, V};
use ebpf_asm::{Callee, Imm64, Insn};

/// From this size on, a function gets stack of its own where the kernel can do that.
const PRIVATE_STACK_MIN: u32 = 64;

/// First kernel that refuses tail calls of callbacks, be they made or not.
const CALLBACKS_SINCE: V = V(6, 18);

/// How a function's stack is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unknown,
    Shared,
    Private,
}

/// A call nests too deep.
pub(crate) fn too_many_frames(n: usize) -> Box<crate::Stop> {
    Rule::StackDepth.reject(&[], format!("calls nest more than {n} deep"))
}

/// Follows every chain of calls and adds up what each function was seen to use.
pub(crate) fn check(walk: &Walk<'_>) -> Check {
    let env = walk.env;
    let tail_calls = env.p.insns.contains(&Insn::Call(Callee::Helper(HelperId::TAIL_CALL.0)));
    let private = !tail_calls && has_private_stack(walk);
    let mut modes = vec![Mode::Unknown; walk.depths.len()];
    let unit = if env.era.has(Change::SmallFrames) { 16 } else { 32 };
    let size =
        |subprog: usize| walk.depths[subprog].max(if unit == 32 { 1 } else { 0 }).next_multiple_of(unit);
    let mut depth = 0;
    // (subprogram, instruction to go on at)
    let mut chain: Vec<(usize, u32)> = Vec::new();
    let (mut subprog, mut at) = (0usize, 0u32);
    let mut entered = true;
    loop {
        if std::mem::take(&mut entered) {
            let within_callback =
                || chain.iter().map(|(caller, _)| *caller).chain([subprog]).any(|f| walk.is_callback[f]);
            if env.profile.version >= CALLBACKS_SINCE && makes_tail_calls(walk, subprog) && within_callback()
            {
                return Err(Rule::Callback.reject(&[], "callbacks cannot make tail calls"));
            }
            if subprog > 0 && depth >= CALLERS_STACK && makes_tail_calls(walk, subprog) {
                return Err(Rule::StackDepth.reject(
                    &[],
                    format!("a function with a tail call is called from frames of {depth} bytes; they may have less than {CALLERS_STACK}"),
                ));
            }
            if !private {
                modes[subprog] = Mode::Shared;
            } else if modes[subprog] == Mode::Unknown {
                modes[subprog] =
                    if size(subprog) >= PRIVATE_STACK_MIN { Mode::Private } else { Mode::Unknown };
            }
            if modes[subprog] != Mode::Private {
                depth += size(subprog);
            }
            let limit = env.profile.limits.stack;
            if depth > limit || size(subprog) > limit {
                return Err(Rule::StackDepth.reject(
                    &[],
                    format!(
                        "{} nested functions use {depth} bytes of stack, more than {limit}",
                        chain.len() + 1
                    ),
                ));
            }
        }
        let (_, end) = env.cfg.range_of(subprog as u32);
        let call = (at..end).find_map(|i| match env.p.insns[i as usize] {
            Insn::Call(Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => Some((i, to.0)),
            _ => None,
        });
        if let Some((i, to)) = call {
            chain.push((subprog, i + 1));
            if chain.len() >= MAX_FRAMES {
                return Err(too_many_frames(MAX_FRAMES));
            }
            let callee = env.cfg.subprog_at(to).expect("calls lead to subprograms") as usize;
            (subprog, at, entered) = (callee, to, true);
            continue;
        }
        let Some((caller, next)) = chain.pop() else { return Ok(()) };
        if modes[subprog] != Mode::Private {
            depth -= size(subprog);
        }
        (subprog, at) = (caller, next);
    }
}

fn makes_tail_calls(walk: &Walk<'_>, subprog: usize) -> bool {
    let (first, end) = walk.env.cfg.range_of(subprog as u32);
    let call = Insn::Call(Callee::Helper(HelperId::TAIL_CALL.0));
    walk.env.p.insns[first as usize..end as usize].contains(&call)
}

/// Whether large frames of this program type do not count.
fn has_private_stack(walk: &Walk<'_>) -> bool {
    let profile = walk.env.profile;
    let of_its_own = match walk.env.prog.ty {
        ProgType::Kprobe | ProgType::Tracepoint | ProgType::PerfEvent | ProgType::RawTracepoint => true,
        // Those that the kernel keeps from running within themselves.
        ProgType::Tracing => walk.env.prog.attach_type != AttachType::TraceIter,
        _ => false,
    };
    of_its_own && profile.version >= V(6, 13) && profile.arch == Arch::X86_64
}
