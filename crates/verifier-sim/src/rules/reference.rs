//! Records and other things that must be given back.

use super::{Check, Rule, name};
use crate::state::{RegState, State};
use ebpf_asm::Reg;

/// The path ends, or leaves for `what`. In a callback only what it acquired itself counts.
pub(crate) fn check_none_left(st: &State, what: &str) -> Check {
    let in_callback = st.cur().callback.is_some();
    if st.top > 0 && !in_callback {
        return Ok(());
    }
    match st.refs.iter().find(|r| !in_callback || r.frame == st.top) {
        None => Ok(()),
        Some(r) => Err(Rule::Reference.reject(
            &[],
            format!("what instruction {} acquired is not released before {what}", r.acquired_at),
        )),
    }
}

/// A register given to a releasing helper.
pub(crate) fn check_releasable(value: &RegState, r: Reg) -> Check {
    if value.ref_id == 0 && !value.is_null() {
        return Err(Rule::Reference.reject(
            &[r],
            format!("{} holds {value}, which was not acquired, or was released before", name(r)),
        ));
    }
    if value.off != 0 || !value.val.is_zero() {
        return Err(Rule::Reference.reject(
            &[r],
            format!("{} holds {value}; it must point to the beginning to be released", name(r)),
        ));
    }
    Ok(())
}
