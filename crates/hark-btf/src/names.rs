//! From names to types.
//!
//! A script asks for a handful of names, and a scan over the kernel's type headers takes half a millisecond at most:
//! less than the index that would save it. The index is built only when somebody keeps asking.

use std::sync::atomic::Ordering;

use crate::btf::Btf;
use crate::kind::{Kind, TypeId};
use crate::raw;
use crate::types::{Enumerator, Param, Type};

/// Scans before the index is built: about the time it takes to build.
const SCANS_BEFORE_INDEX: u32 = 12;

/// Open-addressed hash table of ids by (kind, name), at most half full; 0 is an empty slot.
#[derive(Debug)]
pub(crate) struct NameIndex {
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
        let own = match self.index.get() {
            Some(index) => self.look_up(index, kind, name),
            None if self.n_finds.fetch_add(1, Ordering::Relaxed) < SCANS_BEFORE_INDEX => {
                self.scan(kind, name)
            }
            None => self.look_up(self.index.get_or_init(|| self.build_index()), kind, name),
        };
        own.or_else(|| self.base().and_then(|base| base.find(kind, name)))
    }

    fn scan(&self, kind: Kind, name: &str) -> Option<TypeId> {
        let (types, endian) = (self.type_bytes(), self.endian());
        let at = self.offsets().iter().position(|start| {
            let start = *start as usize;
            raw::kind_number(endian.u32(types, start + 4)) == kind as u32
                && self.is_named(endian.u32(types, start), name)
        })?;
        Some(TypeId(self.first_id() + at as u32))
    }

    fn is_named(&self, name_off: u32, name: &str) -> bool {
        self.string_tail(name_off).strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn build_index(&self) -> NameIndex {
        let size = (self.offsets().len() * 2).next_power_of_two();
        let mut slots = vec![0; size];
        for ty in self.own_types() {
            let name = ty.name();
            if name.is_empty() {
                continue;
            }
            let mut slot = hash(ty.kind(), name.as_bytes()) & (size - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = ty.id().0;
        }
        NameIndex { slots }
    }

    fn look_up(&self, index: &NameIndex, kind: Kind, name: &str) -> Option<TypeId> {
        let mask = index.slots.len() - 1;
        let mut slot = hash(kind, name.as_bytes()) & mask;
        loop {
            let id = TypeId(index.slots[slot]);
            if id == TypeId::VOID {
                return None;
            }
            // Ids were entered in rising order, so the first that fits is the lowest.
            let ty = self.type_by_id(id)?;
            if ty.kind() == kind && self.is_named(ty.name_off, name) {
                return Some(id);
            }
            slot = (slot + 1) & mask;
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
        let (types, endian, first) = (self.type_bytes(), self.endian(), self.first_id());
        self.offsets()
            .iter()
            .enumerate()
            .filter(move |(_, start)| {
                raw::kind_number(endian.u32(types, **start as usize + 4)) == kind as u32
            })
            .filter_map(move |(i, _)| self.type_by_id(TypeId(first + i as u32)))
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

fn hash(kind: Kind, name: &[u8]) -> usize {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut h = kind as u64 + 1;
    for chunk in name.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = (h.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(K);
    }
    (h >> 20) as usize
}
