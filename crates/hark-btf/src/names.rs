//! From names to types.
//!
//! A script asks for a handful of names of a few kinds. The types are sorted by kind when the first is asked for; a scan
//! over those of a kind is quicker than the index that would save it, so that is built only when somebody keeps asking.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::btf::Btf;
use crate::kind::{Kind, TypeId};
use crate::raw;
use crate::types::{Enumerator, Param, Type};

/// Scans before the index is built: about the time it takes to build.
const SCANS_BEFORE_INDEX: u32 = 12;

/// What is known of the types of one kind.
#[derive(Debug, Default)]
pub(crate) struct OfKind {
    /// Their ids, rising.
    ids: Vec<u32>,
    index: OnceLock<NameIndex>,
    n_finds: AtomicU32,
}

/// Open-addressed hash table of ids by name, at most half full; 0 is an empty slot.
#[derive(Debug)]
struct NameIndex {
    slots: Vec<u32>,
}

/// A function and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncProto<'a> {
    /// The `Func`: what fentry programs are attached to.
    pub func: TypeId,
    /// The `FuncProto`.
    pub proto: TypeId,
    /// Parameters with names and types, without the `...`.
    pub params: Vec<Param<'a>>,
    /// Return type; [`TypeId::VOID`] for none.
    pub ret: TypeId,
    /// Whether it takes any further arguments (`...`).
    pub variadic: bool,
}

impl Btf {
    /// The type of this kind and name; of several, the one with the lowest id. A module's own types come before its
    /// base's. Anonymous types are not found.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        if name.is_empty() {
            return None;
        }
        let of_kind = self.of_kind(kind);
        let own = match of_kind.index.get() {
            Some(index) => self.look_up(index, name),
            None if of_kind.n_finds.fetch_add(1, Ordering::Relaxed) < SCANS_BEFORE_INDEX => {
                of_kind.ids.iter().copied().find(|id| self.is_named(self.name_off(*id), name))
            }
            None => self.look_up(of_kind.index.get_or_init(|| self.build_index(&of_kind.ids)), name),
        };
        own.map(TypeId).or_else(|| self.base().and_then(|base| base.find(kind, name)))
    }

    /// What is known of the types of this BTF itself that are of a kind.
    fn of_kind(&self, kind: Kind) -> &OfKind {
        let by_kind = self.by_kind.get_or_init(|| {
            let mut by_kind: [OfKind; Kind::ALL.len()] = std::array::from_fn(|_| OfKind::default());
            let (types, endian) = (self.type_bytes(), self.endian());
            for (id, start) in (self.first_id()..).zip(self.offsets()) {
                let number = raw::kind_number(endian.u32(types, *start as usize + 4));
                by_kind[number as usize].ids.push(id);
            }
            by_kind
        });
        &by_kind[kind as usize]
    }

    /// Where the name of one of this BTF's own types lies in the strings.
    fn name_off(&self, id: u32) -> u32 {
        let start = self.offsets()[(id - self.first_id()) as usize];
        self.endian().u32(self.type_bytes(), start as usize)
    }

    fn is_named(&self, name_off: u32, name: &str) -> bool {
        self.string_tail(name_off).strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn build_index(&self, ids: &[u32]) -> NameIndex {
        let size = (ids.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![0; size];
        for &id in ids {
            let name = self.string_tail(self.name_off(id));
            if name.first().is_none_or(|first| *first == 0) {
                continue;
            }
            let mut slot = hash(name) & (size - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = id;
        }
        NameIndex { slots }
    }

    fn look_up(&self, index: &NameIndex, name: &str) -> Option<u32> {
        let mask = index.slots.len() - 1;
        let mut slot = hash(name.as_bytes()) & mask;
        loop {
            // Ids were entered in rising order, so the first that fits is the lowest.
            match index.slots[slot] {
                0 => return None,
                id if self.is_named(self.name_off(id), name) => return Some(id),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// All types of a kind, the base's first, by rising id: for wildcards, listings and "did you mean".
    pub fn types_of(&self, kind: Kind) -> Box<dyn Iterator<Item = Type<'_>> + '_> {
        let own = self.own_of(kind);
        match self.base() {
            Some(base) => Box::new(base.types_of(kind).chain(own)),
            None => Box::new(own),
        }
    }

    fn own_of(&self, kind: Kind) -> impl Iterator<Item = Type<'_>> {
        self.of_kind(kind).ids.iter().filter_map(|id| self.type_by_id(TypeId(*id)))
    }

    /// The signature of a function; `None` when there is no such function in the BTF.
    pub fn func_proto(&self, name: &str) -> Option<FuncProto<'_>> {
        self.func_proto_of(self.find(Kind::Func, name)?)
    }

    /// The signature of a `Func`, of a `FuncProto`, or of a pointer to one, typedefs removed; `None` for others.
    pub fn func_proto_of(&self, id: TypeId) -> Option<FuncProto<'_>> {
        let mut ty = self.resolve(id)?;
        for _ in 0..2 {
            if matches!(ty.kind(), Kind::Func | Kind::Ptr) {
                ty = self.resolve(ty.target()?)?;
            }
        }
        if ty.kind() != Kind::FuncProto {
            return None;
        }
        let mut params: Vec<_> = ty.params().collect();
        let variadic = params.last().is_some_and(|p| p.ty == TypeId::VOID && p.name.is_empty());
        if variadic {
            params.pop();
        }
        // `f(void)` is written as one parameter of type void by some compilers.
        let variadic = variadic && !params.is_empty();
        Some(FuncProto { func: id, proto: ty.id(), params, ret: ty.target()?, variadic })
    }

    /// The enumeration constant of this name and the enumeration it belongs to; of several, the one whose
    /// enumeration has the lowest id. A module's own come before its base's.
    pub fn enumerator(&self, name: &str) -> Option<(TypeId, Enumerator<'_>)> {
        let own = self.own_of(Kind::Enum).chain(self.own_of(Kind::Enum64)).find_map(|ty| {
            let i = (0..ty.vlen()).find(|i| self.is_named(ty.enumerator_name_off(*i), name))?;
            Some((ty.id(), ty.enumerators().nth(i as usize)?))
        });
        own.or_else(|| self.base().and_then(|base| base.enumerator(name)))
    }
}

/// Of the bytes up to the first zero: FNV-1a, its better mixed bits.
fn hash(name: &[u8]) -> usize {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.iter().take_while(|byte| **byte != 0) {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (h >> 20) as usize
}
