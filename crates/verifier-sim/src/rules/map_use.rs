//! Which maps a program may use at all.

use super::{Check, Rule};
use crate::{MapShape, ProgEnv, SpecialKind as K};
use bpf_facts::{MapType, ProgType, V};

/// Most maps of one program.
pub(crate) const MAX_MAPS: usize = 64;

/// Map `index` is used by the program.
pub(crate) fn check(prog: &ProgEnv<'_>, version: V, index: u32, map: &MapShape) -> Check {
    let refuse = |why: &str| Err(Rule::MapUse.reject(&[], format!("map[{index}]: {why}")));
    let probe = matches!(
        prog.ty,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
    );
    if !map.special.is_empty() && (probe || prog.ty == ProgType::SocketFilter) {
        for special in &map.special {
            let locks = matches!(special.kind, K::SpinLock | K::ResSpinLock);
            let timers = matches!(special.kind, K::Timer | K::Workqueue | K::Collection);
            if locks || probe && timers {
                return refuse(
                    "programs of this type cannot use maps whose values hold locks, timers or lists",
                );
            }
        }
    }
    if map.ty == MapType::StructOps {
        return refuse("struct_ops maps cannot be used by programs");
    }
    if prog.sleepable && version >= V(5, 10) {
        let storage = matches!(
            map.ty,
            MapType::Ringbuf
                | MapType::UserRingbuf
                | MapType::InodeStorage
                | MapType::SkStorage
                | MapType::TaskStorage
                | MapType::CgrpStorage
                | MapType::Queue
                | MapType::Stack
                | MapType::Arena
        );
        let tables = matches!(
            map.ty,
            MapType::Hash
                | MapType::LruHash
                | MapType::Array
                | MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::LruPercpuHash
                | MapType::ArrayOfMaps
                | MapType::HashOfMaps
        );
        if !storage && !tables {
            return refuse("sleepable programs cannot use maps of this type");
        }
    }
    Ok(())
}
