//! CO-RE: instructions that depend on the layout of a kernel's types are adapted to the kernel at hand.

use super::btf_ext::CoreRecord;
use super::core_match::{candidates, fields_compatible, types_compatible, types_match};
use super::link::{essential_name, poison};
use ebpf_asm::unlinked::set_imm;
use hark_btf::{Btf, Kind, Type, TypeId};

/// The types of the object and of the kernel.
pub(super) struct Core<'a> {
    pub(super) local: &'a Btf,
    pub(super) kernel: Option<&'a Btf>,
}

/// Kinds of relocations (`enum bpf_core_relo_kind`).
mod kind {
    pub(super) const FIELD_BYTE_OFFSET: u32 = 0;
    pub(super) const FIELD_BYTE_SIZE: u32 = 1;
    pub(super) const FIELD_EXISTS: u32 = 2;
    pub(super) const FIELD_SIGNED: u32 = 3;
    pub(super) const FIELD_LSHIFT_U64: u32 = 4;
    pub(super) const FIELD_RSHIFT_U64: u32 = 5;
    pub(super) const TYPE_ID_LOCAL: u32 = 6;
    pub(super) const TYPE_ID_TARGET: u32 = 7;
    pub(super) const TYPE_EXISTS: u32 = 8;
    pub(super) const TYPE_SIZE: u32 = 9;
    pub(super) const ENUMVAL_EXISTS: u32 = 10;
    pub(super) const ENUMVAL_VALUE: u32 = 11;
    pub(super) const TYPE_MATCHES: u32 = 12;
}

/// Deepest nesting of anonymous members that is searched.
const MAX_DEPTH: u32 = 16;

/// A step of an access: a member by name (none: of an array or the whole), or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String, TypeId),
    Index(u32),
}

/// A field, as a path leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    ty: TypeId,
    bit_offset: u64,
    bitfield: Option<u8>,
}

/// What an instruction is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    /// In the object.
    before: Option<u64>,
    /// For the kernel; `None` if there is no such thing.
    after: Option<u64>,
    /// Bytes of the field, in the object and the kernel, if it is to be loaded.
    sizes: Option<(u64, u64)>,
}

/// Adapts the instruction at `place`.
///
/// # Errors
/// If the record makes no sense, or the instruction is none that can be adapted.
pub(super) fn apply(
    core: &Core<'_>,
    record: &CoreRecord,
    slots: &mut [[u8; 8]],
    place: usize,
) -> Result<(), String> {
    let value = compute(core, record)?;
    let Some(after) = value.after else {
        poison(&mut slots[place]);
        if slots.get(place).is_some() && place + 1 < slots.len() && was_wide(slots, place) {
            poison(&mut slots[place + 1]);
        }
        return Ok(());
    };
    patch(slots, place, after, value.sizes)
}

/// Whether the slot behind `place` is the second half of a load: no other instruction has opcode 0.
fn was_wide(slots: &[[u8; 8]], place: usize) -> bool {
    slots[place + 1][0] == 0
}

fn patch(slots: &mut [[u8; 8]], place: usize, value: u64, sizes: Option<(u64, u64)>) -> Result<(), String> {
    let slot = &mut slots[place];
    match slot[0] & 0x07 {
        // ALU, ALU64
        4 | 7 => set_imm(slot, value as i32),
        // LDX, ST, STX
        1..=3 => {
            let off =
                i16::try_from(value).map_err(|_| format!("a field at offset {value} is out of reach"))?;
            slot[2..4].copy_from_slice(&off.to_le_bytes());
            if let Some((before, after)) = sizes.filter(|(before, after)| before != after) {
                let size = match after {
                    8 => 0x18,
                    4 => 0x00,
                    2 => 0x08,
                    1 => 0x10,
                    _ => return Err(format!("a field of {before} bytes has {after} in the kernel")),
                };
                slot[0] = slot[0] & !0x18 | size;
            }
        }
        0 if slot[0] == 0x18 => {
            set_imm(&mut slots[place], value as i32);
            set_imm(&mut slots[place + 1], (value >> 32) as i32);
        }
        _ => return Err(format!("an instruction with opcode {:#04x} cannot be adapted", slot[0])),
    }
    Ok(())
}

fn compute(core: &Core<'_>, record: &CoreRecord) -> Result<Value, String> {
    let local = core.local;
    let id = TypeId(record.type_id);
    let access = local.string(record.access);
    let ty = local.resolve(id).ok_or("a CO-RE record names no type")?;
    // Named types keep their typedef's name.
    let named = local.type_by_id(id).filter(|ty| !ty.name().is_empty()).unwrap_or(ty);
    if record.kind == kind::TYPE_ID_LOCAL {
        return Ok(Value { before: None, after: Some(u64::from(id.0)), sizes: None });
    }
    let Some(kernel) = core.kernel else { return Err("CO-RE needs the types of a kernel".into()) };
    match record.kind {
        kind::TYPE_EXISTS | kind::TYPE_MATCHES | kind::TYPE_SIZE | kind::TYPE_ID_TARGET => {
            let fits = |k: &TypeId| match record.kind {
                kind::TYPE_MATCHES => types_match(local, id, kernel, *k, false, 0),
                _ => types_compatible(local, id, kernel, *k, 0),
            };
            let found = candidates(&named, kernel).into_iter().find(fits);
            let after = match record.kind {
                kind::TYPE_EXISTS | kind::TYPE_MATCHES => Some(u64::from(found.is_some())),
                kind::TYPE_SIZE => {
                    found.and_then(|id| kernel.size_of(id)).or(Some(0).filter(|_| found.is_none()))
                }
                _ => found.map(|id| u64::from(id.0)).or(Some(0)),
            };
            // What does not exist has neither size nor id; only asking whether it exists is safe.
            let missing = found.is_none() && matches!(record.kind, kind::TYPE_SIZE | kind::TYPE_ID_TARGET);
            Ok(Value { before: None, after: if missing { None } else { after }, sizes: None })
        }
        kind::ENUMVAL_EXISTS | kind::ENUMVAL_VALUE => {
            let index: usize = access.parse().map_err(|_| "a CO-RE record names no enumerator")?;
            let name = ty.enumerators().nth(index).ok_or("a CO-RE record names no enumerator")?.name;
            let name = essential_name(name);
            let found = candidates(&named, kernel).into_iter().find_map(|id| {
                let ty = kernel.resolve(id)?;
                ty.enumerators().find(|e| essential_name(e.name) == name).map(|e| e.value as u64)
            });
            let after =
                if record.kind == kind::ENUMVAL_EXISTS { Some(u64::from(found.is_some())) } else { found };
            Ok(Value { before: None, after, sizes: None })
        }
        kind::FIELD_BYTE_OFFSET
        | kind::FIELD_BYTE_SIZE
        | kind::FIELD_EXISTS
        | kind::FIELD_SIGNED
        | kind::FIELD_LSHIFT_U64
        | kind::FIELD_RSHIFT_U64 => {
            let (steps, here) = local_path(local, id, access).ok_or("a CO-RE record names no field")?;
            let found = candidates(&named, kernel)
                .into_iter()
                .find_map(|id| Some((id, kernel_path(local, kernel, id, &steps, &here)?)));
            if record.kind == kind::FIELD_EXISTS {
                return Ok(Value { before: None, after: Some(u64::from(found.is_some())), sizes: None });
            }
            let Some((_, there)) = found else { return Ok(Value { before: None, after: None, sizes: None }) };
            let before = field_value(local, &here, record.kind);
            let after = field_value(kernel, &there, record.kind);
            let sizes = match (local.size_of(here.ty), kernel.size_of(there.ty)) {
                (Some(a), Some(b)) if record.kind == kind::FIELD_BYTE_OFFSET && here.bitfield.is_none() => {
                    Some((a, b))
                }
                _ => None,
            };
            Ok(Value { before, after, sizes: sizes.filter(|_| loadable(local, here.ty)) })
        }
        other => Err(format!("CO-RE relocations of kind {other} are not known")),
    }
}

fn loadable(btf: &Btf, id: TypeId) -> bool {
    btf.resolve(id).is_some_and(|ty| matches!(ty.kind(), Kind::Int | Kind::Ptr | Kind::Enum | Kind::Enum64))
}

/// What the relocation of this kind asks of a field.
fn field_value(btf: &Btf, field: &Found, which: u32) -> Option<u64> {
    let size = btf.size_of(field.ty)?;
    let (mut bytes, mut off) = (size, field.bit_offset / 8);
    let (mut bits, mut bit_off) = (size * 8, 0);
    if let Some(width) = field.bitfield {
        // The smallest aligned number that holds all of its bits.
        bits = u64::from(width);
        off = field.bit_offset / 8 / bytes * bytes;
        while field.bit_offset + bits - off * 8 > bytes * 8 {
            if bytes >= 8 {
                return None;
            }
            bytes *= 2;
            off = field.bit_offset / 8 / bytes * bytes;
        }
        bit_off = field.bit_offset - off * 8;
    }
    Some(match which {
        kind::FIELD_BYTE_OFFSET => off,
        kind::FIELD_BYTE_SIZE => bytes,
        kind::FIELD_SIGNED => {
            let ty = btf.resolve(field.ty)?;
            u64::from(ty.int().is_some_and(|int| int.signed) || ty.kind().is_enum() && ty.is_signed_enum())
        }
        kind::FIELD_LSHIFT_U64 => 64 - (bit_off + bits),
        kind::FIELD_RSHIFT_U64 => 64 - bits,
        _ => return None,
    })
}

/// The steps of an access string such as `0:2:1`, and the field it leads to.
fn local_path(btf: &Btf, root: TypeId, access: &str) -> Option<(Vec<Step>, Found)> {
    let mut numbers = access.split(':').map(|n| n.parse::<u32>().ok());
    let first = numbers.next()??;
    let mut at = Found { ty: root, bit_offset: u64::from(first) * btf.size_of(root)? * 8, bitfield: None };
    let mut steps = vec![Step::Index(first)];
    for number in numbers {
        let number = number?;
        let ty = btf.resolve(at.ty)?;
        match ty.kind() {
            Kind::Struct | Kind::Union => {
                let member = ty.members().nth(number as usize)?;
                at.bit_offset += u64::from(member.bit_offset);
                (at.ty, at.bitfield) = (member.ty, member.bitfield);
                if !member.name.is_empty() {
                    steps.push(Step::Member(member.name.to_string(), member.ty));
                }
            }
            Kind::Array => {
                let element = ty.array()?.element;
                at.bit_offset += u64::from(number) * btf.size_of(element)? * 8;
                (at.ty, at.bitfield) = (element, None);
                steps.push(Step::Index(number));
            }
            _ => return None,
        }
    }
    Some((steps, at))
}

/// The same field in a type of the kernel.
fn kernel_path(local: &Btf, kernel: &Btf, root: TypeId, steps: &[Step], here: &Found) -> Option<Found> {
    let mut at = Found { ty: root, bit_offset: 0, bitfield: None };
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Index(n) if i == 0 => {
                at.bit_offset = if *n == 0 { 0 } else { u64::from(*n) * kernel.size_of(root)? * 8 };
            }
            Step::Index(n) => {
                let array = kernel.resolve(at.ty)?.array()?;
                if array.len != 0 && *n >= array.len {
                    return None;
                }
                at.bit_offset += u64::from(*n) * kernel.size_of(array.element)? * 8;
                (at.ty, at.bitfield) = (array.element, None);
            }
            Step::Member(name, ty) => {
                let container = kernel.resolve(at.ty)?;
                let (off, found) = member(local, kernel, &container, name, *ty, 0)?;
                at = Found { bit_offset: at.bit_offset + off, ..found };
            }
        }
    }
    let _ = here;
    Some(at)
}

/// A member by name, also in anonymous ones: its offset in bits, and the field.
fn member(
    local: &Btf,
    kernel: &Btf,
    ty: &Type<'_>,
    name: &str,
    local_ty: TypeId,
    depth: u32,
) -> Option<(u64, Found)> {
    if depth > MAX_DEPTH {
        return None;
    }
    for m in ty.members() {
        let off = u64::from(m.bit_offset);
        if m.name.is_empty() {
            let inner = kernel.resolve(m.ty)?;
            if let Some((inside, found)) = member(local, kernel, &inner, name, local_ty, depth + 1) {
                return Some((off + inside, found));
            }
        } else if m.name == name {
            if !fields_compatible(local, local_ty, kernel, m.ty) {
                return None;
            }
            return Some((off, Found { ty: m.ty, bit_offset: 0, bitfield: m.bitfield }));
        }
    }
    None
}
