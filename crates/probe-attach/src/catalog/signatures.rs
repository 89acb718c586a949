//! Functions of binaries as debug information describes them, in the words of the compiler.

use hark_object::{UserMember, UserSignature, UserType};
use hark_symbols::dwarf::{DebugFunction, DebugMember, DebugType};

/// The same function.
pub(super) fn convert(function: DebugFunction) -> UserSignature {
    UserSignature {
        params: function.params.into_iter().map(|param| (param.name, param.ty)).collect(),
        ret: function.ret,
        types: function.types.into_iter().map(user_type).collect(),
    }
}

fn user_type(ty: DebugType) -> UserType {
    let of_struct = |name, bytes, union, members: Vec<DebugMember>| UserType::Struct {
        name,
        bytes,
        union,
        members: Some(members.into_iter().map(member).collect()),
    };
    match ty {
        DebugType::Unknown => UserType::Unknown,
        DebugType::Void | DebugType::Function => UserType::Void,
        DebugType::Int { size: 1, is_bool: true, .. } => UserType::Bool,
        DebugType::Int { name, size, signed, .. } => UserType::Int { name, bytes: size, signed },
        DebugType::Float { name, size } => UserType::Float { name, bytes: size },
        DebugType::Pointer(to) => UserType::Pointer(to),
        DebugType::Array(of, len) => UserType::Array(of, len),
        DebugType::Struct { name, size, members } => of_struct(name, size, false, members),
        DebugType::Union { name, size, members } => of_struct(name, size, true, members),
        DebugType::Declared { name, is_union } => {
            UserType::Struct { name, bytes: 0, union: is_union, members: None }
        }
        DebugType::Enum { name, size, values } => UserType::Enum {
            name,
            bytes: size,
            values: values.into_iter().map(|(name, value)| (name, value as i64)).collect(),
        },
        DebugType::Typedef(name, ty) => UserType::Typedef(name, ty),
        DebugType::Const(ty) | DebugType::Volatile(ty) => UserType::Same(ty),
    }
}

fn member(member: DebugMember) -> UserMember {
    let DebugMember { name, ty, bit_offset, bits } = member;
    UserMember { name, ty, bit_offset, bits }
}
