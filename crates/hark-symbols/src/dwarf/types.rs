//! What a function takes and returns.

use std::collections::{BTreeMap, HashMap};

use gimli::{AttributeValue, DebugInfoOffset, DwAt, UnitOffset};

use super::{DebugInfo, Dwarf, Entry, Slice, Unit, text};

/// Most types that one function brings with it; those beyond are unknown.
const MAX_TYPES: usize = 4096;
/// Longest way from a function to the declaration that has its name.
const MAX_HOPS: usize = 8;

/// A function as its source declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugFunction {
    /// Parameters in order. On entry they are in the registers of the calling convention.
    pub params: Vec<DebugParam>,
    /// Type of the result, as an index of `types`.
    pub ret: usize,
    /// All types that can be reached from these. Type 0 is unknown, type 1 `void`.
    pub types: Vec<DebugType>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugParam {
    /// Name; empty if it has none.
    pub name: String,
    /// Type, as an index of [`DebugFunction::types`].
    pub ty: usize,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugMember {
    /// Name; empty when anonymous, also for a C++ base class.
    pub name: String,
    /// Type, as an index of [`DebugFunction::types`].
    pub ty: usize,
    /// Offset in bits.
    pub bit_offset: u64,
    /// Width of a bitfield in bits.
    pub bits: Option<u64>,
}

/// A type; numbers are indexes of [`DebugFunction::types`], sizes are in bytes, names may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebugType {
    /// Not described, or in a way that is not known here.
    Unknown,
    /// `void`.
    Void,
    /// Integer, character or truth value.
    Int {
        /// Name.
        name: String,
        /// Size.
        size: u64,
        /// Has a sign.
        signed: bool,
        /// Is a truth value.
        is_bool: bool,
    },
    /// Floating point number.
    Float {
        /// Name.
        name: String,
        /// Size.
        size: u64,
    },
    /// Pointer or reference.
    Pointer(usize),
    /// Array of a type and a number of them; 0 when not stated.
    Array(usize, u64),
    /// Struct or class.
    Struct {
        /// Name.
        name: String,
        /// Size.
        size: u64,
        /// Members.
        members: Vec<DebugMember>,
    },
    /// Union.
    Union {
        /// Name.
        name: String,
        /// Size.
        size: u64,
        /// Members.
        members: Vec<DebugMember>,
    },
    /// Struct, class or union that is only declared.
    Declared {
        /// Name.
        name: String,
        /// Is a union.
        is_union: bool,
    },
    /// Enumeration.
    Enum {
        /// Name.
        name: String,
        /// Size.
        size: u64,
        /// Constants.
        values: Vec<(String, i128)>,
    },
    /// Another name for a type.
    Typedef(String, usize),
    /// `const`.
    Const(usize),
    /// `volatile`.
    Volatile(usize),
    /// A function, behind a pointer.
    Function,
}

impl DebugInfo {
    /// The function that starts at this symbol, or else has its name (its linkage name in C++ and Rust); `None` if it
    /// is not described. Aliases (`getaddrinfo` of `__GI_getaddrinfo`) are why the address comes first.
    pub fn function(&self, symbol: &str) -> Option<DebugFunction> {
        let dwarf = self.dwarf();
        let units: BTreeMap<usize, Unit<'_>> =
            self.units(&dwarf).filter_map(|unit| Some((unit.header.debug_info_offset()?.0, unit))).collect();
        let mut graph = Graph { dwarf: &dwarf, units: &units, ids: HashMap::new(), queue: Vec::new() };
        let addr = self.binary.symbol(symbol).map(|s| s.addr);
        let (unit, at) = addr.and_then(|addr| graph.starting_at(addr)).or_else(|| graph.named(symbol))?;
        Some(graph.function(unit, at))
    }
}

/// Follows types from one to the next, each once.
struct Graph<'a, 'u> {
    dwarf: &'u Dwarf<'a>,
    units: &'u BTreeMap<usize, Unit<'a>>,
    ids: HashMap<usize, usize>,
    /// Types that have an index and are still to be described, by index − 2.
    queue: Vec<usize>,
}

const UNKNOWN: usize = 0;
const VOID: usize = 1;

impl<'a, 'u> Graph<'a, 'u> {
    /// An attribute of an entry, or of the declaration or abstract function that it stands for.
    fn attr(
        &self,
        unit: &'u Unit<'a>,
        entry: &Entry<'a>,
        name: DwAt,
    ) -> Option<(&'u Unit<'a>, AttributeValue<Slice<'a>>)> {
        let mut at = (unit, entry.clone());
        for _ in 0..MAX_HOPS {
            if let Some(value) = at.1.attr_value(name) {
                return Some((at.0, value));
            }
            let origin = at.1.attr_value(gimli::DW_AT_abstract_origin);
            let next = origin.or_else(|| at.1.attr_value(gimli::DW_AT_specification))?;
            at = self.entry(self.target(at.0, next)?)?;
        }
        None
    }

    /// The function whose code starts at an address.
    fn starting_at(&self, addr: u64) -> Option<(&'u Unit<'a>, UnitOffset)> {
        for unit in self.units.values().filter(|unit| self.has_code_at(unit, addr)) {
            let mut entries = unit.entries();
            while let Ok(Some(entry)) = entries.next_dfs() {
                let low = || self.dwarf.attr_address(unit, entry.attr_value(gimli::DW_AT_low_pc)?).ok()?;
                if entry.tag() == gimli::DW_TAG_subprogram && low() == Some(addr) {
                    return Some((unit, entry.offset()));
                }
            }
        }
        None
    }

    fn has_code_at(&self, unit: &Unit<'a>, addr: u64) -> bool {
        let Ok(mut ranges) = self.dwarf.unit_ranges(unit) else { return false };
        std::iter::from_fn(|| ranges.next().ok().flatten()).any(|r| r.begin <= addr && addr < r.end)
    }

    /// The function of a name; one that is only declared if there is no other.
    fn named(&self, symbol: &str) -> Option<(&'u Unit<'a>, UnitOffset)> {
        let mut declared = None;
        for unit in self.units.values() {
            let mut entries = unit.entries();
            while let Ok(Some(entry)) = entries.next_dfs() {
                if entry.tag() != gimli::DW_TAG_subprogram || !self.is_named(unit, entry, symbol) {
                    continue;
                }
                if entry.has_attr(gimli::DW_AT_low_pc) || entry.has_attr(gimli::DW_AT_ranges) {
                    return Some((unit, entry.offset()));
                }
                declared = declared.or(Some((unit, entry.offset())));
            }
        }
        declared
    }

    fn name(&self, unit: &'u Unit<'a>, entry: &Entry<'a>, name: DwAt) -> Option<&'a str> {
        let (unit, value) = self.attr(unit, entry, name)?;
        text(self.dwarf, unit, value)
    }

    fn is_named(&self, unit: &'u Unit<'a>, entry: &Entry<'a>, symbol: &str) -> bool {
        match self.name(unit, entry, gimli::DW_AT_linkage_name) {
            Some(name) => name == symbol,
            None => self.name(unit, entry, gimli::DW_AT_name) == Some(symbol),
        }
    }

    /// Offset in `.debug_info` that an attribute refers to. Those in other files are not followed.
    fn target(&self, unit: &Unit<'a>, value: AttributeValue<Slice<'a>>) -> Option<usize> {
        match value {
            AttributeValue::UnitRef(at) => Some(at.to_debug_info_offset(&unit.header)?.0),
            AttributeValue::DebugInfoRef(at) => Some(at.0),
            _ => None,
        }
    }

    fn unit_of(&self, at: usize) -> Option<(&'u Unit<'a>, UnitOffset)> {
        let (_, unit) = self.units.range(..=at).next_back()?;
        Some((unit, DebugInfoOffset(at).to_unit_offset(&unit.header)?))
    }

    fn entry(&self, at: usize) -> Option<(&'u Unit<'a>, Entry<'a>)> {
        let (unit, offset) = self.unit_of(at)?;
        Some((unit, unit.entry(offset).ok()?))
    }

    /// The index of the type that an entry has.
    fn type_of(&mut self, unit: &'u Unit<'a>, entry: &Entry<'a>) -> usize {
        let Some((unit, value)) = self.attr(unit, entry, gimli::DW_AT_type) else { return VOID };
        let Some(at) = self.target(unit, value) else { return UNKNOWN };
        if let Some(id) = self.ids.get(&at) {
            return *id;
        }
        if self.queue.len() >= MAX_TYPES {
            return UNKNOWN;
        }
        self.queue.push(at);
        let id = self.queue.len() + 1;
        self.ids.insert(at, id);
        id
    }

    fn children(&self, unit: &'u Unit<'a>, at: UnitOffset) -> Vec<Entry<'a>> {
        let mut found = Vec::new();
        let Ok(mut entries) = unit.entries_at_offset(at) else { return found };
        if !entries.next_dfs().ok().flatten().is_some_and(gimli::DebuggingInformationEntry::has_children) {
            return found;
        }
        let mut next = entries.next_dfs().ok().flatten().filter(|e| e.depth() == 1).cloned();
        while let Some(entry) = next {
            found.push(entry);
            next = entries.next_sibling().ok().flatten().cloned();
        }
        found
    }

    fn function(&mut self, unit: &'u Unit<'a>, at: UnitOffset) -> DebugFunction {
        let mut params = Vec::new();
        for child in self.children(unit, at) {
            if child.tag() == gimli::DW_TAG_formal_parameter {
                let name = self.name(unit, &child, gimli::DW_AT_name).unwrap_or("").to_owned();
                params.push(DebugParam { name, ty: self.type_of(unit, &child) });
            }
        }
        let ret = unit.entry(at).map_or(UNKNOWN, |entry| self.type_of(unit, &entry));
        let mut types = vec![DebugType::Unknown, DebugType::Void];
        while let Some(at) = self.queue.get(types.len() - 2) {
            let described = self.entry(*at).map(|(unit, entry)| self.describe(unit, &entry));
            types.push(described.unwrap_or(DebugType::Unknown));
        }
        DebugFunction { params, ret, types }
    }

    fn describe(&mut self, unit: &'u Unit<'a>, entry: &Entry<'a>) -> DebugType {
        let name = self.name(unit, entry, gimli::DW_AT_name).unwrap_or("").to_owned();
        let size = number(entry, gimli::DW_AT_byte_size).unwrap_or(0);
        match entry.tag() {
            gimli::DW_TAG_base_type => base_type(entry, name, size),
            gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_rvalue_reference_type => DebugType::Pointer(self.type_of(unit, entry)),
            gimli::DW_TAG_typedef => DebugType::Typedef(name, self.type_of(unit, entry)),
            gimli::DW_TAG_const_type => DebugType::Const(self.type_of(unit, entry)),
            gimli::DW_TAG_volatile_type => DebugType::Volatile(self.type_of(unit, entry)),
            gimli::DW_TAG_subroutine_type => DebugType::Function,
            gimli::DW_TAG_array_type => self.array(unit, entry),
            gimli::DW_TAG_enumeration_type => {
                let constants = self.children(unit, entry.offset());
                let value = |e: &Entry<'a>| {
                    let name = self.name(unit, e, gimli::DW_AT_name)?.to_owned();
                    Some((name, constant(e.attr_value(gimli::DW_AT_const_value)?)?))
                };
                DebugType::Enum { name, size, values: constants.iter().filter_map(value).collect() }
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                let is_union = entry.tag() == gimli::DW_TAG_union_type;
                if entry.has_attr(gimli::DW_AT_declaration) {
                    return DebugType::Declared { name, is_union };
                }
                let members = self.members(unit, entry.offset());
                if is_union {
                    DebugType::Union { name, size, members }
                } else {
                    DebugType::Struct { name, size, members }
                }
            }
            _ => DebugType::Unknown,
        }
    }

    /// `int a[2][3]` is one entry with two ranges. An array of arrays is given as one of all their elements' number:
    /// what can be indexed by hand, and has the right size.
    fn array(&mut self, unit: &'u Unit<'a>, entry: &Entry<'a>) -> DebugType {
        let mut len = 1u64;
        for range in self.children(unit, entry.offset()) {
            if range.tag() == gimli::DW_TAG_subrange_type {
                let upper = || Some(number(&range, gimli::DW_AT_upper_bound)?.wrapping_add(1));
                let count = number(&range, gimli::DW_AT_count).or_else(upper).unwrap_or(0);
                len = len.saturating_mul(count);
            }
        }
        DebugType::Array(self.type_of(unit, entry), len)
    }

    fn members(&mut self, unit: &'u Unit<'a>, at: UnitOffset) -> Vec<DebugMember> {
        let mut members = Vec::new();
        for child in self.children(unit, at) {
            let is_base = child.tag() == gimli::DW_TAG_inheritance;
            // A static member of C++ is a declaration of a variable elsewhere.
            if !(is_base || child.tag() == gimli::DW_TAG_member) || child.has_attr(gimli::DW_AT_external) {
                continue;
            }
            let name = if is_base { None } else { self.name(unit, &child, gimli::DW_AT_name) };
            let bits = number(&child, gimli::DW_AT_bit_size);
            let Some(bit_offset) = bit_offset(&child, bits) else { continue };
            let ty = self.type_of(unit, &child);
            members.push(DebugMember { name: name.unwrap_or("").to_owned(), ty, bit_offset, bits });
        }
        members
    }
}

fn base_type(entry: &Entry<'_>, name: String, size: u64) -> DebugType {
    let encoding = match entry.attr_value(gimli::DW_AT_encoding) {
        Some(AttributeValue::Encoding(encoding)) => encoding,
        _ => return DebugType::Unknown,
    };
    let int = |name, signed, is_bool| DebugType::Int { name, size, signed, is_bool };
    match encoding {
        gimli::DW_ATE_boolean => int(name, false, true),
        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => int(name, true, false),
        gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF | gimli::DW_ATE_address => {
            int(name, false, false)
        }
        gimli::DW_ATE_float => DebugType::Float { name, size },
        _ => DebugType::Unknown,
    }
}

fn number(entry: &Entry<'_>, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn constant(value: AttributeValue<Slice<'_>>) -> Option<i128> {
    match value {
        AttributeValue::Sdata(n) => Some(i128::from(n)),
        other => other.udata_value().map(i128::from),
    }
}

/// Offset in bits of a member; 0 where a union's member states none. `None` for places that are computed (virtual
/// base classes).
fn bit_offset(member: &Entry<'_>, bits: Option<u64>) -> Option<u64> {
    if let Some(bit) = number(member, gimli::DW_AT_data_bit_offset) {
        return Some(bit);
    }
    let start = match member.attr_value(gimli::DW_AT_data_member_location) {
        None => 0,
        Some(value) => value.udata_value()?.checked_mul(8)?,
    };
    // Before DWARF 4, a bitfield was counted from the most significant bit of its storage.
    match (number(member, gimli::DW_AT_bit_offset), number(member, gimli::DW_AT_byte_size), bits) {
        (Some(from_top), Some(storage), Some(bits)) => {
            storage.checked_mul(8)?.checked_add(start)?.checked_sub(from_top.checked_add(bits)?)
        }
        _ => Some(start),
    }
}
