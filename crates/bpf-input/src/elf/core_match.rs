//! CO-RE: which type of the kernel is meant by a type of the object, and whether members fit.

use super::link::essential_name;
use hark_btf::{Btf, Kind, Member, Type, TypeId};

/// Deepest nesting of pointers, arrays and signatures that is compared.
const MAX_DEPTH: u32 = 32;

/// The types of the kernel that `local` may stand for: those of its kind and essential name.
pub(super) fn candidates(local: &Type<'_>, kernel: &Btf) -> Vec<TypeId> {
    let name = essential_name(local.name());
    if name.is_empty() {
        return Vec::new();
    }
    let kinds: &[Kind] = match local.kind() {
        Kind::Enum | Kind::Enum64 => &[Kind::Enum, Kind::Enum64],
        Kind::Fwd => &[Kind::Struct, Kind::Union, Kind::Fwd],
        Kind::Int => &[Kind::Int],
        Kind::Struct => &[Kind::Struct],
        Kind::Union => &[Kind::Union],
        Kind::Typedef => &[Kind::Typedef],
        Kind::Float => &[Kind::Float],
        Kind::Func => &[Kind::Func],
        Kind::Void
        | Kind::Ptr
        | Kind::Array
        | Kind::Volatile
        | Kind::Const
        | Kind::Restrict
        | Kind::FuncProto
        | Kind::Var
        | Kind::Datasec
        | Kind::DeclTag
        | Kind::TypeTag => return Vec::new(),
    };
    kinds
        .iter()
        .flat_map(|kind| kernel.types_of(*kind))
        .filter(|ty| essential_name(ty.name()) == name)
        .map(|ty| ty.id())
        .collect()
}

/// Whether two types of fields may stand for each other.
pub(super) fn fields_compatible(local: &Btf, l: TypeId, kernel: &Btf, k: TypeId) -> bool {
    let (mut l, mut k) = (l, k);
    for _ in 0..MAX_DEPTH {
        let (Some(lt), Some(kt)) = (local.resolve(l), kernel.resolve(k)) else { return false };
        if lt.kind().is_composite() && kt.kind().is_composite() {
            return true;
        }
        let enums = lt.kind().is_enum() && kt.kind().is_enum();
        if lt.kind() != kt.kind() && !enums {
            return false;
        }
        return match lt.kind() {
            Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                let (a, b) = (essential_name(lt.name()), essential_name(kt.name()));
                a.is_empty() || b.is_empty() || a == b
            }
            Kind::Ptr | Kind::Float | Kind::Void => true,
            Kind::Int => true,
            Kind::Array => {
                let (Some(la), Some(ka)) = (lt.array(), kt.array()) else { return false };
                (l, k) = (la.element, ka.element);
                continue;
            }
            _ => false,
        };
    }
    false
}

/// Whether two whole types may stand for each other (`bpf_core_type_exists`).
pub(super) fn types_compatible(local: &Btf, l: TypeId, kernel: &Btf, k: TypeId, depth: u32) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let (Some(lt), Some(kt)) = (local.resolve(l), kernel.resolve(k)) else { return false };
    let enums = lt.kind().is_enum() && kt.kind().is_enum();
    if lt.kind() != kt.kind() && !enums {
        return false;
    }
    let next = |l: Option<TypeId>, k: Option<TypeId>| match (l, k) {
        (Some(l), Some(k)) => types_compatible(local, l, kernel, k, depth + 1),
        _ => false,
    };
    match lt.kind() {
        Kind::Void
        | Kind::Int
        | Kind::Struct
        | Kind::Union
        | Kind::Enum
        | Kind::Enum64
        | Kind::Fwd
        | Kind::Float => true,
        Kind::Ptr => next(lt.target(), kt.target()),
        Kind::Array => next(lt.array().map(|a| a.element), kt.array().map(|a| a.element)),
        Kind::FuncProto => {
            lt.vlen() == kt.vlen()
                && lt.params().zip(kt.params()).all(|(a, b)| next(Some(a.ty), Some(b.ty)))
                && next(lt.target(), kt.target())
        }
        _ => false,
    }
}

/// Whether two types match in names, kinds and members (`bpf_core_type_matches`).
pub(super) fn types_match(
    local: &Btf,
    l: TypeId,
    kernel: &Btf,
    k: TypeId,
    behind_pointer: bool,
    depth: u32,
) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let (Some(lt), Some(kt)) = (local.resolve(l), kernel.resolve(k)) else { return false };
    let named = !lt.name().is_empty() && !kt.name().is_empty();
    if named && essential_name(lt.name()) != essential_name(kt.name()) {
        return false;
    }
    let same = lt.kind() == kt.kind();
    let next = |l: Option<TypeId>, k: Option<TypeId>, behind| match (l, k) {
        (Some(l), Some(k)) => types_match(local, l, kernel, k, behind, depth + 1),
        _ => false,
    };
    match lt.kind() {
        Kind::Void => same,
        Kind::Fwd => same || behind_pointer && kt.kind().is_composite(),
        Kind::Enum | Kind::Enum64 => {
            kt.kind().is_enum()
                && lt.stated_size() == kt.stated_size()
                && lt
                    .enumerators()
                    .all(|a| kt.enumerators().any(|b| essential_name(a.name) == essential_name(b.name)))
        }
        Kind::Struct | Kind::Union => {
            if behind_pointer {
                return same || kt.kind() == Kind::Fwd;
            }
            same && members_match(local, &lt, kernel, &kt, depth)
        }
        Kind::Int => {
            same && lt.stated_size() == kt.stated_size()
                && lt.int().map(|i| i.signed) == kt.int().map(|i| i.signed)
        }
        Kind::Ptr => same && next(lt.target(), kt.target(), true),
        Kind::Array => {
            let (Some(a), Some(b)) = (lt.array(), kt.array()) else { return false };
            a.len == b.len && next(Some(a.element), Some(b.element), behind_pointer)
        }
        Kind::FuncProto => {
            same && lt.vlen() == kt.vlen()
                && lt.params().zip(kt.params()).all(|(a, b)| next(Some(a.ty), Some(b.ty), behind_pointer))
                && next(lt.target(), kt.target(), behind_pointer)
        }
        _ => false,
    }
}

fn members_match(local: &Btf, l: &Type<'_>, kernel: &Btf, k: &Type<'_>, depth: u32) -> bool {
    l.members().all(|a: Member<'_>| {
        k.members().any(|b| {
            essential_name(a.name) == essential_name(b.name)
                && types_match(local, a.ty, kernel, b.ty, false, depth + 1)
        })
    })
}
