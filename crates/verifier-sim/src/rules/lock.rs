//! Locks of map values, and read-side sections of RCU.

use super::{Check, Rule, name};
use crate::SpecialKind;
use crate::env::Env;
use crate::state::{Kind, RegState, State};
use bpf_facts::{HelperId, V};
use ebpf_asm::{Callee, Reg};

/// First kernel in which static functions are called while a lock is held.
const CALLS_SINCE: V = V(6, 9);
/// First kernel in which kernel pointers are exchanged while a lock is held.
const EXCHANGES_SINCE: V = V(6, 12);

/// First kernel in which callbacks return within the sections of their callers, and tail calls in sections are refused.
pub(crate) const KEPT_IN_CALLBACKS_SINCE: V = V(6, 13);

/// The path ends.
pub(crate) fn check_none_held(st: &State) -> Check {
    if st.lock.is_some() {
        return Err(Rule::Lock.reject(&[], "a lock is still held when the function returns"));
    }
    if st.preempt_locks > 0 {
        return Err(Rule::Lock.reject(&[], "preemption is still disabled when the function returns"));
    }
    if st.rcu_locks > 0 {
        return Err(
            Rule::Lock.reject(&[], "a read-side section of RCU is not left before the function returns")
        );
    }
    Ok(())
}

/// `what` may leave the program.
pub(crate) fn check_leaving(version: V, st: &State, what: &str) -> Check {
    let place = match st {
        _ if version < KEPT_IN_CALLBACKS_SINCE => return Ok(()),
        State { rcu_locks: 1.., .. } => "in a read-side section of RCU",
        State { preempt_locks: 1.., .. } => "while preemption is disabled",
        _ => return Ok(()),
    };
    Err(Rule::Lock.reject(&[], format!("{what} cannot be made {place}")))
}

/// A call while a lock is held.
pub(crate) fn check_call(env: &Env<'_>, st: &State, callee: Callee) -> Check {
    if st.lock.is_none() {
        return Ok(());
    }
    let allowed = match callee {
        Callee::Helper(id) => {
            let id = HelperId(id);
            id == HelperId::SPIN_UNLOCK || id == HelperId::KPTR_XCHG && env.profile.version >= EXCHANGES_SINCE
        }
        Callee::Local(_) => env.profile.version >= CALLS_SINCE,
        Callee::Kfunc { .. } => true,
    };
    if allowed {
        return Ok(());
    }
    Err(Rule::Lock.reject(&[], "this cannot be called while a lock is held"))
}

/// `value` points to the lock of a map value: the map, which of several maps of one shape, and which value.
pub(crate) fn place(env: &Env<'_>, value: &RegState, r: Reg) -> Check<(u32, u32, u32)> {
    let refuse = |why: &str| Err(Rule::Lock.reject(&[r], format!("{} holds {value}; {why}", name(r))));
    let Some(off) = value.val.as_const() else { return refuse("a lock is at a fixed place") };
    if value.kind != Kind::MapValue {
        return refuse("a lock is in a map value");
    }
    let at = i64::from(value.off) + off as i64;
    let special = &env.map(value.aux).special;
    match special.iter().find(|field| field.kind == SpecialKind::SpinLock) {
        Some(field) if i64::from(field.off) == at => Ok((value.aux, value.uid, value.id)),
        Some(field) => refuse(&format!("the lock of this map is at offset {}", field.off)),
        None => refuse("the values of this map have no lock"),
    }
}
