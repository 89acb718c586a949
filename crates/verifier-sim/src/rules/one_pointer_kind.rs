//! One instruction, one kind of memory.

use super::{Check, Rule, name};
use crate::explore::PtrUse;
use crate::state::{Flags, Kind, RegState};
use ebpf_asm::Reg;

fn is_special(kind: Kind) -> bool {
    kind.is_sock() || matches!(kind, Kind::Ctx | Kind::Btf)
}

/// The instruction accesses memory through `base`; `seen` is what it did on other paths.
pub(crate) fn check(seen: &mut PtrUse, base: &RegState, r: Reg, trust_may_differ: bool) -> Check {
    let now = (base.kind, base.flags);
    let Some(before) = *seen else {
        *seen = Some(now);
        return Ok(());
    };
    if before == now || !is_special(before.0) && !is_special(now.0) {
        return Ok(());
    }
    if trust_may_differ && before.0 == Kind::Btf && now.0 == Kind::Btf {
        *seen = Some((Kind::Btf, Flags::UNTRUSTED));
        return Ok(());
    }
    Err(Rule::OnePointerKind.reject(
        &[r],
        format!("{} holds {} here, but {} on another path", name(r), now.0.name(), before.0.name()),
    ))
}
