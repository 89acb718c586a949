//! Members of kernel structures, found the way the kernel looks for them.

use crate::state::Flags;
use hark_btf::{Btf, Kind, Type, TypeId};

/// Deepest nesting that is followed.
const MAX_STEPS: u32 = 64;

/// How a kernel reads structures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Beyond the end there may be elements of a last array without a length.
    pub(crate) flexible: bool,
    /// What is in a union is not trusted.
    pub(crate) unions: bool,
    /// Pointers to numbers and the like are more than numbers.
    pub(crate) others: bool,
}

/// What lies at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A number, or a part of one.
    Scalar,
    /// A pointer to a structure.
    Pointer {
        /// Type of the structure.
        to: TypeId,
        /// Tags of the pointer.
        flags: Flags,
        /// The member.
        name: &'a str,
    },
    /// A pointer to something else.
    OtherPointer,
    /// A structure begins here (asked for by [`nested_at`] only).
    Struct(TypeId),
}

/// What a load of `size` bytes at `off` in a `ty` gives.
///
/// # Errors
/// Why there is nothing to load.
pub(crate) fn field_at(btf: &Btf, ty: TypeId, off: u32, size: u32, of: Reading) -> Result<Found<'_>, String> {
    let (mut id, mut off) = (ty, off);
    let mut flags = Flags::NONE;
    for _ in 0..MAX_STEPS {
        match walk(btf, id, off, size, &mut flags, of)? {
            Found::Struct(inner) => (id, off) = (inner, 0),
            Found::Pointer { to, flags: tags, name } => {
                return Ok(Found::Pointer { to, flags: flags.with(tags), name });
            }
            found @ (Found::Scalar | Found::OtherPointer) => return Ok(found),
        }
    }
    Err("its structures nest too deep".to_string())
}

/// Whether a `need` begins `off` bytes into a `ty`, be it as its first member of a first member.
pub(crate) fn nested_at(btf: &Btf, ty: TypeId, off: u32, need: TypeId, strict: bool) -> bool {
    let (mut id, mut off) = (ty, off);
    for _ in 0..MAX_STEPS {
        if off == 0 && same_type(btf, id, need) {
            return true;
        }
        if strict {
            return false;
        }
        let mut flags = Flags::NONE;
        let inside = Reading { flexible: false, unions: true, others: false };
        match walk(btf, id, off, 1, &mut flags, inside) {
            Ok(Found::Struct(inner)) => {
                if same_type(btf, inner, need) {
                    return true;
                }
                (id, off) = (inner, 0);
            }
            _ => return false,
        }
    }
    false
}

fn same_type(btf: &Btf, a: TypeId, b: TypeId) -> bool {
    let _ = btf;
    a == b
}

fn resolved(btf: &Btf, id: TypeId) -> Result<Type<'_>, String> {
    btf.resolve(id).ok_or_else(|| format!("type {} is broken", id.0))
}

/// One step: to a scalar, a pointer, or the structure that begins there.
fn walk<'a>(
    btf: &'a Btf,
    ty: TypeId,
    off: u32,
    size: u32,
    flags: &mut Flags,
    of: Reading,
) -> Result<Found<'a>, String> {
    let (mut t, mut off) = (resolved(btf, ty)?, off);
    'again: for _ in 0..MAX_STEPS {
        let name = t.name();
        if !t.kind().is_composite() {
            return Err(format!("{name} is no structure"));
        }
        if of.unions && t.kind() == Kind::Union && t.vlen() != 1 {
            *flags = flags.with(Flags::UNTRUSTED);
        }
        let whole = t.stated_size().unwrap_or(0);
        if u64::from(off) + u64::from(size) > u64::from(whole) {
            let beyond = || format!("{size} bytes at offset {off} are beyond struct {name} of {whole} bytes");
            let last = t.members().last().filter(|_| of.flexible).ok_or_else(beyond)?;
            let array = resolved(btf, last.ty)?.array().filter(|array| array.len == 0).ok_or_else(beyond)?;
            let start = last.bit_offset / 8;
            if off < start {
                return Err(beyond());
            }
            let element = resolved(btf, array.element)?;
            if element.kind() == Kind::Int {
                return Ok(Found::Scalar);
            }
            let each = element.stated_size().filter(|n| *n > 0 && element.kind().is_composite());
            off = (off - start) % each.ok_or_else(beyond)?;
            t = element;
            continue 'again;
        }
        for member in t.members() {
            let mut start = member.bit_offset / 8;
            if off + size <= start {
                break;
            }
            if let Some(bits) = member.bitfield {
                let end = (member.bit_offset + u32::from(bits)).div_ceil(8);
                if off <= start && end <= off + size {
                    return Ok(Found::Scalar);
                }
                continue;
            }
            if off < start {
                break;
            }
            let unsized_ = || format!("member {} of struct {name} has no size", member.name);
            let total = btf.size_of(member.ty).and_then(|n| u32::try_from(n).ok()).ok_or_else(unsized_)?;
            let end = start + total;
            if off >= end {
                continue;
            }
            let mut id = member.ty;
            let mut inner = resolved(btf, id)?;
            let mut len = total;
            while let Some(array) = inner.array() {
                if start == end {
                    break;
                }
                let each = btf.size_of(array.element).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
                len = each.ok_or_else(unsized_)?;
                start += (off - start) / len * len;
                id = array.element;
                inner = resolved(btf, id)?;
            }
            if inner.kind().is_composite() {
                if off == start {
                    return Ok(Found::Struct(inner.id()));
                }
                off -= start;
                t = inner;
                continue 'again;
            }
            if inner.kind() == Kind::Ptr {
                if len != size || off != start {
                    return Err(format!(
                        "pointer {} of struct {name} at offset {start} can only be read as a whole, not {size} bytes at {off}",
                        member.name
                    ));
                }
                let target = inner.target().unwrap_or(TypeId::VOID);
                let tags = tags_of(btf, target);
                let to = resolved(btf, target)?;
                if to.kind().is_composite() {
                    return Ok(Found::Pointer { to: to.id(), flags: tags, name: member.name });
                }
                if of.others {
                    return Ok(Found::OtherPointer);
                }
            }
            if off + size > end && !flags.has(Flags::UNTRUSTED) {
                return Err(format!(
                    "{size} bytes at offset {off} go beyond member {} of struct {name}, which ends at {end}",
                    member.name
                ));
            }
            return Ok(Found::Scalar);
        }
        return Err(format!("struct {name} has no field at offset {off}"));
    }
    Err("its structures nest too deep".to_string())
}

/// What the tag of a pointer's target says.
pub(crate) fn tags_of(btf: &Btf, target: TypeId) -> Flags {
    let tag = btf.type_by_id(target).filter(|ty| ty.kind() == Kind::TypeTag);
    match tag.map(|ty| ty.name()) {
        Some("user") => Flags::USER,
        Some("percpu") => Flags::PERCPU,
        Some("rcu") => Flags::RCU,
        _ => Flags::NONE,
    }
}

/// Whether the kernel says of member `name`, which points to a `to`, of `ty` that it shares its structure's trust.
/// The kernel's own BTF has a structure for it, called as the type with `suffix`.
pub(crate) fn shares_trust(btf: &Btf, ty: TypeId, name: &str, to: TypeId, suffix: &str) -> bool {
    let Some(of) = btf.type_by_id(ty) else { return false };
    let Some(safe) = btf.find(of.kind(), &format!("{}{suffix}", of.name())) else { return false };
    let Some(safe) = btf.type_by_id(safe) else { return false };
    safe.members().any(|member| {
        let target = btf.type_by_id(member.ty).filter(|ty| ty.kind() == Kind::Ptr).and_then(|ty| ty.target());
        member.name == name && target.and_then(|id| btf.resolve(id)).is_some_and(|ty| ty.id() == to)
    })
}

/// What the argument of a function is to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number of any kind, or a pointer to one.
    Scalar,
    /// A pointer to a structure.
    Pointer(TypeId, Flags),
    /// A pointer to something else.
    OtherPointer,
    /// Neither.
    Other,
}

/// How a program sees a value of type `id`.
pub(crate) fn value_of(btf: &Btf, id: TypeId) -> Value {
    let Some(ty) = btf.resolve(id) else { return Value::Other };
    match ty.kind() {
        Kind::Int | Kind::Enum | Kind::Enum64 if ty.stated_size().is_some_and(|n| n <= 8) => Value::Scalar,
        Kind::Struct => Value::Scalar,
        Kind::Ptr => {
            let target = ty.target().unwrap_or(TypeId::VOID);
            let Some(to) = btf.resolve(target) else { return Value::Other };
            match to.kind() {
                Kind::Void => Value::Scalar,
                Kind::Int => Value::Scalar,
                Kind::Struct | Kind::Union => Value::Pointer(to.id(), tags_of(btf, target)),
                _ => Value::OtherPointer,
            }
        }
        _ => Value::Other,
    }
}
