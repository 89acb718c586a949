//! Parameters of functions of binaries, with the types that debug information gives them.

use crate::ctypes::{Bits, CTypes, FieldInfo, StructRef, UserStruct};
use crate::target::Target;
use crate::types::{Space, Type};
use hark_object::{CatalogError, EnumTy, ProbeSpec, Ty, UserLocation, UserMember, UserSignature, UserType};
use std::sync::Arc;

/// Deepest nesting of a type that is followed; beyond it is untyped.
const MAX_DEPTH: u32 = 32;
/// Deepest nesting of anonymous members.
const MAX_LIFTED: u32 = 8;

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct UserParam {
    /// Name.
    pub name: String,
    /// Type; `None` for what programs cannot see (floating point numbers, structs passed by value).
    pub ty: Option<Type>,
    /// How many registers for integers it takes: more than one for structs, none where others are used.
    pub registers: u32,
}

/// The parameters of the function that a uprobe is at, if it is at the entry of a named one. Its structs become known
/// to `types`.
pub(crate) fn parameters(
    spec: &ProbeSpec,
    types: &mut CTypes,
    target: &Target,
) -> Option<Result<Vec<UserParam>, CatalogError>> {
    let ProbeSpec::Uprobe { binary, at: UserLocation::Symbol { name, offset: 0, cpp }, ret: false } = spec
    else {
        return None;
    };
    Some(
        signature(binary, name, *cpp, target)
            .map(|(path, signature)| Converter::new(&signature, &path, types).params()),
    )
}

/// Parameters as C declares them, for people.
pub(crate) fn declarations(spec: &ProbeSpec, target: &Target) -> Vec<String> {
    let ProbeSpec::Uprobe { binary, at: UserLocation::Symbol { name, cpp, .. }, ret: false } = spec else {
        return Vec::new();
    };
    let Ok((_, signature)) = signature(binary, name, *cpp, target) else { return Vec::new() };
    let line = |(name, ty): &(String, usize)| format!("{} {name}", signature.type_name(*ty));
    signature.params.iter().map(line).collect()
}

/// The file that a function is in, and what its debug information says of it.
fn signature(
    binary: &str,
    name: &str,
    cpp: bool,
    target: &Target,
) -> Result<(String, Arc<UserSignature>), CatalogError> {
    let failed = |message: String| CatalogError { message, help: None };
    let paths = target.catalog.binaries(binary)?;
    let path = paths.first().ok_or_else(|| failed(format!("no such file: {binary}")))?;
    let symbol = if cpp {
        let symbol = linkage_name(path, name, target)?;
        symbol.ok_or_else(|| failed(format!("{path} has no function {name}")))?
    } else {
        name.to_string()
    };
    let unknown = || failed(format!("the debug information of {path} does not describe {name}"));
    let signature = target.catalog.user_signature(path, &symbol)?.ok_or_else(unknown)?;
    Ok((path.clone(), signature))
}

/// The symbol of a demangled name.
fn linkage_name(path: &str, name: &str, target: &Target) -> Result<Option<String>, CatalogError> {
    let found = target.catalog.demangled_functions(path, name)?;
    let Some(addr) = found.first().map(|function| function.addr) else { return Ok(None) };
    let symbols = target.catalog.user_functions(path)?;
    Ok(symbols.iter().find(|symbol| symbol.addr == addr).map(|symbol| symbol.name.clone()))
}

struct Converter<'a, 't> {
    signature: &'a UserSignature,
    /// Names of structs by type, where they have one here.
    tags: Vec<Option<String>>,
    types: &'t mut CTypes,
}

impl<'a, 't> Converter<'a, 't> {
    /// Makes the structs known.
    fn new(signature: &'a UserSignature, path: &str, types: &'t mut CTypes) -> Self {
        let tags = signature.types.iter().enumerate().map(|(i, ty)| match ty {
            UserType::Struct { name, members: Some(_), .. } => Some(tag(name, i, path, types)),
            _ => None,
        });
        let tags = tags.collect();
        let this = Converter { signature, tags, types };
        for i in 0..signature.types.len() {
            let UserType::Struct { bytes, members: Some(members), .. } = &signature.types[i] else {
                continue;
            };
            let mut fields = Vec::new();
            this.fields(members, 0, &mut fields, 0);
            let Some(tag) = this.tags[i].clone() else { continue };
            let size = u32::try_from(*bytes).unwrap_or(u32::MAX);
            this.types.define_of_binary(&tag, path, UserStruct { size, align: 8, fields });
        }
        this
    }

    fn params(&self) -> Vec<UserParam> {
        let param = |(i, (name, ty)): (usize, &(String, usize))| {
            let name = if name.is_empty() { format!("arg{i}") } else { name.clone() };
            let (ty, registers) = match self.plain(*ty) {
                // What is larger is passed in memory, and so are a few that are smaller.
                UserType::Struct { bytes, members: Some(_), .. } if *bytes <= 16 => {
                    (None, bytes.div_ceil(8) as u32)
                }
                UserType::Struct { .. } | UserType::Float { .. } | UserType::Array(..) => (None, 0),
                _ => (Some(self.convert(*ty, 0)), 1),
            };
            UserParam { name, ty, registers }
        };
        self.signature.params.iter().enumerate().map(param).collect()
    }

    /// The type behind other names and qualifiers.
    fn plain(&self, mut ty: usize) -> &'a UserType {
        for _ in 0..MAX_DEPTH {
            match self.signature.types.get(ty) {
                Some(UserType::Same(of) | UserType::Typedef(_, of)) => ty = *of,
                Some(other) => return other,
                None => break,
            }
        }
        &UserType::Unknown
    }

    fn index(&self, mut ty: usize) -> usize {
        for _ in 0..MAX_DEPTH {
            match self.signature.types.get(ty) {
                Some(UserType::Same(of) | UserType::Typedef(_, of)) => ty = *of,
                _ => break,
            }
        }
        ty
    }

    fn convert(&self, ty: usize, depth: u32) -> Type {
        if depth > MAX_DEPTH {
            return Type::Void;
        }
        match self.plain(ty) {
            UserType::Unknown | UserType::Void | UserType::Struct { members: None, .. } => Type::Void,
            UserType::Bool => Type::Bool,
            UserType::Int { bytes, signed, .. } if *bytes <= 8 => {
                Type::Int { bytes: *bytes as u8, signed: *signed }
            }
            UserType::Float { bytes, .. } => Type::Opaque(Ty::Float { bytes: *bytes as u32 }),
            // Wider than a register: its bytes.
            UserType::Int { bytes, .. } => {
                Type::Array(Box::new(Type::Int { bytes: 1, signed: false }), *bytes as u32)
            }
            UserType::Pointer(to) => self.convert(*to, depth + 1).ptr(Space::User),
            UserType::Array(of, len) => {
                let len = u32::try_from(*len).unwrap_or(0);
                match self.convert(*of, depth + 1) {
                    Type::Int { bytes: 1, signed: true } if len > 0 => Type::Str { cap: len },
                    of => Type::Array(Box::new(of), len),
                }
            }
            UserType::Struct { union, .. } => match self.tags.get(self.index(ty)) {
                Some(Some(tag)) => Type::Struct(StructRef::User { name: tag.as_str().into(), union: *union }),
                _ => Type::Void,
            },
            UserType::Enum { name, bytes, values } => {
                let signed = values.iter().any(|(_, value)| *value < 0);
                let variants = values.iter().map(|(name, value)| (*value, name.clone())).collect();
                let bytes = (*bytes).clamp(1, 8) as u8;
                Type::Enum(Arc::new(EnumTy { name: name.clone(), bytes, signed, variants }))
            }
            UserType::Same(_) | UserType::Typedef(..) => Type::Void,
        }
    }

    /// The members of a struct; those of anonymous ones as its own.
    fn fields(
        &self,
        members: &[UserMember],
        base_bits: u64,
        fields: &mut Vec<(String, FieldInfo)>,
        depth: u32,
    ) {
        for member in members {
            let bit = base_bits.saturating_add(member.bit_offset);
            if member.name.is_empty() {
                if let UserType::Struct { members: Some(inner), .. } = self.plain(member.ty)
                    && depth < MAX_LIFTED
                {
                    self.fields(inner, bit, fields, depth + 1);
                }
                continue;
            }
            let ty = self.convert(member.ty, 0);
            let place = match member.bits {
                None => u32::try_from(bit / 8).ok().map(|offset| (offset, None)),
                Some(width) => bit_field(bit, width),
            };
            if let Some((offset, bits)) = place {
                fields.push((member.name.clone(), FieldInfo { offset, ty, bits }));
            }
        }
    }
}

/// Where to load a bit-field from, and which bits of that it is: the narrowest access that holds all of it.
fn bit_field(bit: u64, width: u64) -> Option<(u32, Option<Bits>)> {
    let (load, start) = [1u64, 2, 4, 8]
        .into_iter()
        .map(|bytes| (bytes, bit / (bytes * 8) * bytes))
        .find(|(bytes, start)| bit + width <= (start + bytes) * 8)?;
    let bits = Bits { load: load as u8, shift: (bit - start * 8) as u8, width: width as u8 };
    Some((u32::try_from(start).ok()?, Some(bits)))
}

/// What a struct of a binary is called among all types: as in its source, unless the script or the kernel has another
/// of that name.
fn tag(name: &str, index: usize, path: &str, types: &CTypes) -> String {
    match name {
        "" => format!("(anonymous {index} of {path})"),
        name if types.knows_struct(name) && !types.is_of_binary(name, path) => format!("{name} of {path}"),
        name => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_fields_are_loaded_by_the_narrowest_access() {
        let at = |bit, width| {
            bit_field(bit, width).map(|(offset, bits)| (offset, bits.map(|b| (b.load, b.shift))))
        };
        assert_eq!(at(3, 5), Some((0, Some((1, 3)))));
        assert_eq!(at(6, 4), Some((0, Some((2, 6)))));
        assert_eq!(at(40, 8), Some((5, Some((1, 0)))));
        assert_eq!(at(60, 8), None);
    }

    #[test]
    fn structs_of_a_binary_are_told_apart() {
        let mut types = CTypes::default();
        assert_eq!(tag("fact", 3, "/x", &types), "fact");
        types.define_of_binary("fact", "/x", UserStruct { size: 8, align: 8, fields: Vec::new() });
        assert_eq!(tag("fact", 3, "/x", &types), "fact");
        assert_eq!(tag("fact", 3, "/y", &types), "fact of /y");
    }
}
