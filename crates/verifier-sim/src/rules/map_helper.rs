//! Which maps a helper takes.

use super::{Check, Rule};
use crate::env::Env;
use bpf_facts::{AttachType, HelperDef, HelperId, MapFlags, MapType, ProgType};
use ebpf_asm::Reg;

/// Helper `def` is given map `index`.
pub(crate) fn check(env: &Env<'_>, def: &HelperDef, index: u32) -> Check {
    let map = env.map(index);
    let refuse = |why: String| Err(Rule::MapHelper.reject(&[Reg::R1], why));
    if !def.maps.contains(&map.ty) && !is_lenient(def.id, map.ty) {
        return refuse(format!("helper {} does not take a map of type {:?}", def.name, map.ty));
    }
    let updates = matches!(def.id, HelperId::MAP_UPDATE_ELEM | HelperId::MAP_DELETE_ELEM);
    if updates && matches!(map.ty, MapType::Sockmap | MapType::Sockhash) && !updates_sockets(env, def.id) {
        return refuse(format!("helper {} cannot change socket maps in programs of this type", def.name));
    }
    let changes = updates || matches!(def.id, HelperId::MAP_PUSH_ELEM | HelperId::MAP_POP_ELEM);
    if changes && map.flags & MapFlags::RDONLY_PROG != 0 {
        return refuse("the map is read-only for programs".to_string());
    }
    Ok(())
}

/// The verifier knows what a few map types are *not* for; what it lets through fails, or does nothing, when run.
fn is_lenient(id: HelperId, ty: MapType) -> bool {
    let plain = matches!(
        ty,
        MapType::Hash
            | MapType::Array
            | MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
    );
    plain && matches!(id, HelperId::MAP_LOOKUP_ELEM | HelperId::MAP_UPDATE_ELEM | HelperId::MAP_DELETE_ELEM)
}

fn updates_sockets(env: &Env<'_>, id: HelperId) -> bool {
    match env.prog.ty {
        ProgType::Tracing => env.prog.attach_type == AttachType::TraceIter,
        ProgType::SockOps => id == HelperId::MAP_DELETE_ELEM,
        ProgType::SocketFilter
        | ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::SkReuseport
        | ProgType::FlowDissector
        | ProgType::SkLookup => true,
        _ => false,
    }
}
