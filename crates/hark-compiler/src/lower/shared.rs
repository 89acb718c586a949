//! What the programs of a script share: maps, events, source positions.

use crate::ctypes::CTypes;
use crate::typed::{MapId, MapInfo, MapKind, TypedScript};
use crate::types::Type;
use bpf_facts::{MapFlags, MapType};
use ebpf_asm::{MapRef, SrcLoc};
use hark_diag::Span;
use hark_object::{EventDef, EventKind, FailureSite, Loss, MapDef, MapRole, RUN_INFO_SIZE, UserMap, unwind};
use rustc_hash::FxHashMap;

/// What the programs of a script share.
pub(crate) struct Shared {
    /// Maps, by [`MapRef`]; those of the script come first, in order.
    pub maps: Vec<MapDef>,
    /// Events.
    pub events: Vec<EventDef>,
    /// Source positions.
    pub locs: Vec<Span>,
    by_span: FxHashMap<Span, SrcLoc>,
}

impl Shared {
    pub(super) fn new(script: &TypedScript, types: &CTypes) -> Self {
        let max_keys = u32::try_from(script.config.max_map_keys).unwrap_or(u32::MAX);
        let maps = script.maps.iter().map(|(name, info)| user_map(name, info, types, max_keys)).collect();
        let first = script.units.first().and_then(|u| u.probes.first()).map_or(Span::default(), |p| p.2);
        Self { maps, events: Vec::new(), locs: vec![first], by_span: FxHashMap::default() }
    }

    /// The position of a span.
    pub(super) fn loc(&mut self, span: Span) -> SrcLoc {
        let locs = &mut self.locs;
        *self.by_span.entry(span).or_insert_with(|| {
            locs.push(span);
            SrcLoc(locs.len() as u32 - 1)
        })
    }

    /// A map of the script.
    pub(crate) fn map_ref(&self, map: MapId) -> MapRef {
        MapRef(map.0)
    }

    /// The one map of a role; made on first use.
    fn map_of(&mut self, def: MapDef) -> MapRef {
        let same = |m: &MapDef| std::mem::discriminant(&m.role) == std::mem::discriminant(&def.role);
        let at = self.maps.iter().position(same).unwrap_or(self.maps.len());
        if at == self.maps.len() {
            self.maps.push(def);
        }
        MapRef(at as u32)
    }

    /// The ring buffer for events.
    pub(super) fn ring(&mut self) -> MapRef {
        self.map_of(internal("events", MapType::Ringbuf, (0, 0), 0, 0, MapRole::Events))
    }

    /// The ring buffer for control events.
    pub(super) fn control_ring(&mut self) -> MapRef {
        self.map_of(internal("control", MapType::Ringbuf, (0, 0), 0, 0, MapRole::Control))
    }

    /// The words of control events that found their ring full.
    pub(super) fn pending(&mut self) -> MapRef {
        self.map_of(internal("pending", MapType::Array, (4, 8), 1, 0, MapRole::Pending))
    }

    /// The generations of the script's maps.
    pub(super) fn generations(&mut self) -> MapRef {
        let n = self.maps.iter().filter(|map| matches!(map.role, MapRole::User(_))).count();
        let size = n as u32 * 8;
        self.map_of(internal("generations", MapType::Array, (4, size), 1, 0, MapRole::Generations))
    }

    /// Sizes that only show when everything is lowered.
    pub(super) fn settle(&mut self) {
        let size = self.events.len() as u32 * 8;
        if let Some(map) = self.maps.iter_mut().find(|map| map.role == MapRole::Pending) {
            map.value_size = size;
        }
    }

    /// The counters of losses of `programs` programs.
    pub(super) fn losses(&mut self, programs: u32) -> MapRef {
        let size = programs * Loss::COUNTED * 8;
        self.map_of(internal("losses", MapType::Array, (4, size), 1, 0, MapRole::Losses))
    }

    /// Where programs note failures, and at which offset those of a site.
    pub(super) fn failure(&mut self, site: FailureSite) -> (MapRef, u32) {
        let role = MapRole::Failures(Vec::new());
        let map = self.map_of(internal("failures", MapType::Array, (4, 0), 1, 0, role));
        let def = &mut self.maps[map.0 as usize];
        let MapRole::Failures(sites) = &mut def.role else { return (map, 0) };
        let at = sites.iter().position(|known| *known == site).unwrap_or(sites.len());
        if at == sites.len() {
            sites.push(site);
            def.value_size = sites.len() as u32 * FailureSite::SIZE;
        }
        (map, at as u32 * FailureSite::SIZE)
    }

    /// What is known of the run.
    pub(crate) fn run_info(&mut self) -> MapRef {
        let flags = MapFlags::RDONLY_PROG;
        self.map_of(internal("run_info", MapType::Array, (4, RUN_INFO_SIZE), 1, flags, MapRole::RunInfo))
    }

    /// Code of the process whose stacks are walked.
    pub(crate) fn unwind_mappings(&mut self) -> MapRef {
        let shape = (4, unwind::MAPPING_SIZE);
        let role = MapRole::UnwindMappings;
        self.map_of(internal("unwind_mappings", MapType::Array, shape, unwind::MAPPINGS, 0, role))
    }

    /// How frames of that code are left.
    pub(crate) fn unwind_rows(&mut self) -> MapRef {
        let shape = (4, unwind::BLOCK_ROWS * unwind::ROW_SIZE);
        self.map_of(internal("unwind_rows", MapType::Array, shape, unwind::BLOCKS, 0, MapRole::UnwindRows))
    }

    /// A word that is 0, and unknown to the verifier.
    pub(super) fn zero(&mut self) -> MapRef {
        self.map_of(internal("zero", MapType::Array, (4, 8), 1, 0, MapRole::Zero))
    }

    /// At least so many bytes that are 0: a value to put into maps.
    pub(super) fn zeroes(&mut self, size: u32) -> MapRef {
        let map = self.zero();
        let def = &mut self.maps[map.0 as usize];
        def.value_size = def.value_size.max(size);
        map
    }

    /// The per-CPU memory that the code generator asks for; added when its size is known.
    pub(crate) fn add_scratch(&mut self, size: u32, values: u32) -> MapRef {
        self.map_of(internal("scratch", MapType::PercpuArray, (4, size), values, 0, MapRole::Scratch))
    }

    /// An event: one row per place in the script and kind.
    pub(super) fn event(&mut self, kind: EventKind, size: u32, span: Span) -> u32 {
        let def = EventDef { kind, size, span };
        if let Some(at) = self.events.iter().position(|e| *e == def) {
            return at as u32;
        }
        self.events.push(def);
        self.events.len() as u32 - 1
    }
}

fn internal(
    name: &str,
    ty: MapType,
    (key_size, value_size): (u32, u32),
    max_entries: u32,
    flags: u32,
    role: MapRole,
) -> MapDef {
    MapDef { name: name.into(), ty, key_size, value_size, max_entries, flags, role }
}

fn user_map(name: &str, info: &MapInfo, types: &CTypes, max_keys: u32) -> MapDef {
    let generations = info.generations;
    let (key, value) = (info.key.as_ref().map(|k| k.ty(types)), info.value.ty(types));
    let user = UserMap { key, value, generations };
    let value_size = user.value.layout().size.next_multiple_of(8).max(8);
    let per_cpu = matches!(info.value, Type::Agg(_));
    let name = format!("@{name}");
    let Some(key) = &user.key else {
        let ty = if per_cpu { MapType::PercpuArray } else { MapType::Array };
        let value_size = user.presence_offset().max(8) + 8;
        let entries = if generations { 2 } else { 1 };
        return internal(&name, ty, (4, value_size), entries, 0, MapRole::User(user));
    };
    let key_size = if generations { user.generation_offset() + 8 } else { key.layout().size.max(1) };
    let (ty, max_entries) = match info.declared {
        Some((kind, size)) => {
            let lru = matches!(kind, MapKind::LruHash | MapKind::PercpuLruHash);
            let ty = match (lru, per_cpu || matches!(kind, MapKind::PercpuHash | MapKind::PercpuLruHash)) {
                (false, false) => MapType::Hash,
                (false, true) => MapType::PercpuHash,
                (true, false) => MapType::LruHash,
                (true, true) => MapType::LruPercpuHash,
            };
            (ty, size)
        }
        None => (if per_cpu { MapType::PercpuHash } else { MapType::Hash }, max_keys),
    };
    // For a moment there are the entries of two generations.
    let max_entries = if generations { max_entries.saturating_mul(2) } else { max_entries };
    internal(&name, ty, (key_size, value_size), max_entries, 0, MapRole::User(user))
}
