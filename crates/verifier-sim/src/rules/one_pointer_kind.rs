//! One instruction, one kind of memory.

use super::{Check, Rule, name};
use crate::explore::PtrUse;
use crate::state::{Flags, Kind, RegState};
use crate::transfer::UNTRUSTED_SINCE;
use bpf_facts::V;
use ebpf_asm::Reg;

fn is_special(kind: Kind) -> bool {
    kind.is_sock() || matches!(kind, Kind::Ctx | Kind::Btf)
}

/// The instruction stores through `base`; `seen` is what it did on other paths.
pub(crate) fn check(seen: &mut PtrUse, base: &RegState, r: Reg) -> Check {
    let now = (base.kind, base.flags);
    let Some(before) = *seen else {
        *seen = Some(now);
        return Ok(());
    };
    if before == now || !is_special(before.0) && !is_special(now.0) {
        return Ok(());
    }
    Err(Rule::OnePointerKind.reject(
        &[r],
        format!("{} holds {} here, but {} on another path", name(r), now.0.name(), before.0.name()),
    ))
}

/// The same for a load. Where kernel objects are trusted on one path only, it is made as if they never were; in
/// newer kernels other memory may take the place of an object.
pub(crate) fn check_load(
    seen: &mut PtrUse,
    base: &RegState,
    r: Reg,
    trust_may_differ: bool,
    version: V,
) -> Check {
    let readable = |kind| kind == Kind::Btf || kind == Kind::Mem && version >= UNTRUSTED_SINCE;
    if let Some((before, flags)) = *seen
        && (before, flags) != (base.kind, base.flags)
        && (is_special(before) || is_special(base.kind))
        && trust_may_differ
        && readable(before)
        && readable(base.kind)
    {
        let kind = if before == Kind::Mem { before } else { base.kind };
        *seen = Some((kind, Flags::UNTRUSTED));
        return Ok(());
    }
    check(seen, base, r)
}
