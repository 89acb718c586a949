//! C types: from the script's own definitions and from the kernel's BTF, behind one face.
//!
//! The script's definitions win. BTF types are looked at only when they are used: nothing is read ahead.

use crate::kernel_types::KernelTypes;
use crate::types::{Space, Type};
use hark_btf::{Btf, Kind, TypeId};
use hark_diag::did_you_mean;
use hark_object::{EnumTy, Member, StructTy, Ty};
use indexmap::IndexMap;
use std::fmt;
use std::sync::Arc;

/// A struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StructRef {
    /// Of the kernel.
    Btf {
        /// Type id.
        id: TypeId,
        /// Tag.
        name: Arc<str>,
        /// Whether it is a union.
        union: bool,
    },
    /// Of the script.
    User {
        /// Tag; made up for an anonymous one.
        name: Arc<str>,
        /// Whether it is a union.
        union: bool,
    },
}

impl StructRef {
    /// Its tag: `task_struct`.
    pub fn tag(&self) -> &str {
        match self {
            StructRef::Btf { name, .. } | StructRef::User { name, .. } => name,
        }
    }
}

impl fmt::Display for StructRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, union) = match self {
            StructRef::Btf { name, union, .. } | StructRef::User { name, union } => (name, union),
        };
        write!(f, "{} {name}", if *union { "union" } else { "struct" })
    }
}

/// A struct that the script defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStruct {
    /// Bytes.
    pub size: u32,
    /// Alignment.
    pub align: u32,
    /// Members; anonymous structs are lifted into this one.
    pub fields: Vec<(String, FieldInfo)>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Offset in bytes.
    pub offset: u32,
    /// Type; of a bit-field the type that it is declared with.
    pub ty: Type,
    /// For a bit-field: bytes to load at the offset, bits to shift right, width.
    pub bits: Option<Bits>,
}

/// Where the bits of a bit-field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Bytes to load.
    pub load: u8,
    /// Bits to shift right.
    pub shift: u8,
    /// Bits to keep.
    pub width: u8,
}

/// A function's parameters and result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// BTF id of the function.
    pub id: TypeId,
    /// Parameters.
    pub params: Vec<(String, Type)>,
    /// Result.
    pub ret: Type,
}

/// All C types that a script may name.
#[derive(Clone, Default)]
pub struct CTypes {
    btf: KernelTypes,
    structs: IndexMap<String, UserStruct>,
    /// Binaries that structs were taken from, by the names of these.
    of_binaries: IndexMap<String, String>,
    typedefs: IndexMap<String, Type>,
    enums: IndexMap<String, Arc<EnumTy>>,
    enumerators: IndexMap<String, (i64, Arc<EnumTy>)>,
}

/// Deepest nesting of a type that is followed when a struct is printed whole.
const MAX_STORED_DEPTH: u32 = 8;

impl CTypes {
    /// Types of the kernel with this BTF; the script's are added with `define_*`.
    pub fn new(btf: KernelTypes) -> Self {
        Self { btf, ..Self::default() }
    }

    /// The kernel's BTF.
    pub fn btf(&self) -> Option<&Btf> {
        self.btf.get()
    }

    /// The module that a type of the kernel belongs to; `None` if it is the kernel's own.
    pub fn module_of(&self, id: TypeId) -> Option<&str> {
        self.btf.module_of(id)
    }

    /// Adds a struct; false if there is one of that name already.
    pub fn define_struct(&mut self, name: &str, def: UserStruct) -> bool {
        self.structs.insert(name.to_string(), def).is_none()
    }

    /// Adds a struct of a binary that a probe is in.
    pub fn define_of_binary(&mut self, name: &str, path: &str, def: UserStruct) {
        self.structs.insert(name.to_string(), def);
        self.of_binaries.insert(name.to_string(), path.to_string());
    }

    /// Whether the struct of this name is that of the binary.
    pub fn is_of_binary(&self, name: &str, path: &str) -> bool {
        self.of_binaries.get(name).is_some_and(|of| of == path)
    }

    /// Whether the script or the kernel has a struct or union of this name.
    pub fn knows_struct(&self, name: &str) -> bool {
        self.struct_named(name, false).is_some() || self.struct_named(name, true).is_some()
    }

    /// Whether the kernel has a struct (or union) of this name.
    pub fn in_kernel(&self, name: &str, union: bool) -> bool {
        let kind = if union { Kind::Union } else { Kind::Struct };
        self.btf.get().is_some_and(|btf| btf.find(kind, name).is_some())
    }

    /// Adds a typedef.
    pub fn define_typedef(&mut self, name: &str, ty: Type) {
        self.typedefs.insert(name.to_string(), ty);
    }

    /// Adds an enum and its enumerators.
    pub fn define_enum(&mut self, def: EnumTy) {
        let def = Arc::new(def);
        for (value, name) in &def.variants {
            self.enumerators.insert(name.clone(), (*value, def.clone()));
        }
        self.enums.insert(def.name.clone(), def);
    }

    /// `struct name` or `union name`.
    pub fn struct_named(&self, name: &str, union: bool) -> Option<StructRef> {
        if self.structs.contains_key(name) {
            return Some(StructRef::User { name: name.into(), union });
        }
        let kind = if union { Kind::Union } else { Kind::Struct };
        let id = self.btf.get()?.find(kind, name)?;
        Some(StructRef::Btf { id, name: name.into(), union })
    }

    /// `enum name`.
    pub fn enum_named(&self, name: &str) -> Option<Type> {
        if let Some(def) = self.enums.get(name) {
            return Some(Type::Enum(def.clone()));
        }
        let btf = self.btf.get()?;
        let id = btf.find(Kind::Enum, name).or_else(|| btf.find(Kind::Enum64, name))?;
        Some(self.btf_type(id))
    }

    /// A typedef or base type by its C or language name.
    pub fn type_named(&self, name: &str) -> Option<Type> {
        let int = |bytes, signed| Some(Type::Int { bytes, signed });
        match name {
            "void" => return Some(Type::Void),
            "bool" => return Some(Type::Bool),
            "int8" | "int8_t" | "__s8" | "s8" => return int(1, true),
            "uint8" | "uint8_t" | "__u8" | "u8" => return int(1, false),
            "int16" | "int16_t" | "__s16" | "s16" => return int(2, true),
            "uint16" | "uint16_t" | "__u16" | "u16" | "__be16" | "sa_family_t" => return int(2, false),
            "int32" | "int32_t" | "__s32" | "s32" => return int(4, true),
            "uint32" | "uint32_t" | "__u32" | "u32" | "__be32" => return int(4, false),
            "int64" | "int64_t" | "__s64" | "s64" | "ssize_t" | "intptr_t" => return int(8, true),
            "uint64" | "uint64_t" | "__u64" | "u64" | "size_t" | "uintptr_t" => return int(8, false),
            _ => {}
        }
        if let Some(ty) = c_type_of_words(name) {
            return Some(ty);
        }
        if let Some(ty) = self.typedefs.get(name) {
            return Some(ty.clone());
        }
        let btf = self.btf.get()?;
        btf.find(Kind::Typedef, name).or_else(|| btf.find(Kind::Int, name)).map(|id| self.btf_type(id))
    }

    /// An enumerator, of the script or the kernel.
    pub fn enumerator(&self, name: &str) -> Option<(i64, Type)> {
        if let Some((value, def)) = self.enumerators.get(name) {
            return Some((*value, Type::Enum(def.clone())));
        }
        let (id, enumerator) = self.btf.get()?.enumerator(name)?;
        Some((enumerator.value as i64, self.btf_type(id)))
    }

    /// The enumerator nearest to a name that is none, of the script or the kernel. Reads all of the kernel's types.
    pub fn near_enumerator(&self, name: &str) -> Option<String> {
        let own = self.enumerators.keys().map(|name| name.to_string());
        let btf = self.btf.get();
        let of_kernel = btf.into_iter().flat_map(|btf| {
            let enums = btf.types_of(Kind::Enum).chain(btf.types_of(Kind::Enum64));
            enums.flat_map(|ty| ty.enumerators().map(|e| e.name.to_string()).collect::<Vec<_>>())
        });
        let all: Vec<String> = own.chain(of_kernel).collect();
        did_you_mean(name, all.iter().map(String::as_str)).map(str::to_string)
    }

    /// A member of a struct, searched through anonymous ones.
    pub fn field(&self, of: &StructRef, name: &str) -> Option<FieldInfo> {
        match of {
            StructRef::User { name: tag, .. } => {
                let def = self.structs.get(&**tag)?;
                def.fields.iter().find(|(n, _)| n == name).map(|(_, info)| info.clone())
            }
            StructRef::Btf { id, .. } => {
                let access = self.btf.get()?.resolve_path(*id, &[name]).ok()?;
                Some(FieldInfo {
                    offset: u32::try_from(access.offset).ok()?,
                    ty: self.btf_member_type(access.ty),
                    bits: access.bits.map(|b| Bits { load: b.load, shift: b.shift, width: b.width }),
                })
            }
        }
    }

    /// The name of the member of a kernel struct that begins at an offset, and is not a member of a member.
    pub fn field_at(&self, of: &StructRef, offset: u32) -> Option<String> {
        let StructRef::Btf { id, .. } = of else { return None };
        let btf = self.btf.get()?;
        let at = |name: &&str| btf.resolve_path(*id, &[*name]).is_ok_and(|a| a.offset == u64::from(offset));
        btf.member_names(*id).into_iter().find(at).map(str::to_string)
    }

    /// Names of a struct's members, for did-you-mean.
    pub fn field_names(&self, of: &StructRef) -> Vec<String> {
        match of {
            StructRef::User { name, .. } => self
                .structs
                .get(&**name)
                .map(|s| s.fields.iter().map(|(n, _)| n.clone()).collect())
                .unwrap_or_default(),
            StructRef::Btf { id, .. } => self
                .btf
                .get()
                .map(|btf| btf.member_names(*id).into_iter().map(str::to_string).collect())
                .unwrap_or_default(),
        }
    }

    /// Names of all structs and unions, for did-you-mean.
    pub fn struct_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.structs.keys().map(String::as_str).collect();
        if let Some(btf) = self.btf() {
            names.extend(btf.types_of(Kind::Struct).map(|t| t.name()));
            names.extend(btf.types_of(Kind::Union).map(|t| t.name()));
        }
        names
    }

    /// Size and alignment of a struct in bytes.
    pub fn struct_layout(&self, of: &StructRef) -> (u32, u32) {
        match of {
            StructRef::User { name, .. } => self.structs.get(&**name).map_or((0, 1), |s| (s.size, s.align)),
            StructRef::Btf { id, .. } => {
                let btf = self.btf.get();
                let size = btf.and_then(|b| b.size_of(*id)).unwrap_or(0);
                let align = btf.and_then(|b| b.align_of(*id)).unwrap_or(1);
                (u32::try_from(size).unwrap_or(u32::MAX), u32::try_from(align).unwrap_or(1).clamp(1, 8))
            }
        }
    }

    /// Size of a value in bytes, as `sizeof` says.
    pub fn size_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Struct(s) => self.struct_layout(s).0,
            Type::Array(elem, len) => self.size_of(elem).saturating_mul(*len),
            Type::Agg(_) => 8,
            other => other.ty(self).layout().size,
        }
    }

    /// A kernel function.
    pub fn function(&self, name: &str) -> Option<Prototype> {
        let proto = self.btf.get()?.func_proto(name)?;
        Some(Prototype {
            id: proto.func,
            params: proto.params.iter().map(|p| (p.name.to_string(), self.btf_type(p.ty))).collect(),
            ret: self.btf_type(proto.ret),
        })
    }

    /// The layout of a struct for printing it whole.
    pub fn stored(&self, of: &StructRef) -> Ty {
        Ty::Struct(Arc::new(self.stored_struct(of, 0)))
    }

    fn stored_struct(&self, of: &StructRef, depth: u32) -> StructTy {
        let (size, align) = self.struct_layout(of);
        let name = match of {
            StructRef::Btf { name, .. } | StructRef::User { name, .. } => name.to_string(),
        };
        let mut members = Vec::new();
        if depth < MAX_STORED_DEPTH {
            for field in self.all_fields(of) {
                let (name, info) = field;
                let ty = match &info.ty {
                    Type::Struct(s) => Ty::Struct(Arc::new(self.stored_struct(s, depth + 1))),
                    Type::Str { cap } => Ty::Chars { len: *cap },
                    other => other.ty(self),
                };
                let fits = info.offset.checked_add(ty.layout().size).is_some_and(|end| end <= size);
                if fits || info.bits.is_some() {
                    let (ty, bits) = match info.bits {
                        // Without their sign, as bpftrace has it.
                        Some(b) => (Ty::Int { bytes: b.load, signed: false }, Some((b.shift, b.width))),
                        None => (ty, None),
                    };
                    members.push(Member { name, offset: info.offset, ty, bits });
                }
            }
        }
        StructTy { name, size, align, members }
    }

    fn all_fields(&self, of: &StructRef) -> Vec<(String, FieldInfo)> {
        match of {
            StructRef::User { name, .. } => {
                self.structs.get(&**name).map(|s| s.fields.clone()).unwrap_or_default()
            }
            StructRef::Btf { id, .. } => {
                let Some(layout) = self.btf.get().and_then(|btf| btf.layout(*id)) else {
                    return Vec::new();
                };
                layout
                    .fields
                    .iter()
                    .filter(|f| !f.name.is_empty())
                    .map(|f| {
                        let info = FieldInfo {
                            offset: f.at.offset as u32,
                            ty: self.btf_member_type(f.at.ty),
                            bits: f.at.bits.map(|b| Bits { load: b.load, shift: b.shift, width: b.width }),
                        };
                        (f.name.to_string(), info)
                    })
                    .collect()
            }
        }
    }

    /// The type of a member: arrays of `char` are text.
    fn btf_member_type(&self, id: TypeId) -> Type {
        match self.btf_type(id) {
            Type::Array(elem, len)
                if len > 0 && *elem == (Type::Int { bytes: 1, signed: true }) && self.is_char_array(id) =>
            {
                Type::Str { cap: len }
            }
            other => other,
        }
    }

    fn is_char_array(&self, id: TypeId) -> bool {
        let Some(btf) = self.btf() else { return false };
        let elem = btf.resolve(id).and_then(|t| t.array()).and_then(|a| btf.resolve(a.element));
        elem.is_some_and(|t| t.kind() == Kind::Int && t.name() == "char")
    }

    /// A BTF type as a type of the language.
    pub fn btf_type(&self, id: TypeId) -> Type {
        self.btf_type_at(id, 0)
    }

    fn btf_type_at(&self, id: TypeId, depth: u32) -> Type {
        let Some(btf) = self.btf() else { return Type::Void };
        let Some(ty) = btf.resolve(id) else { return Type::Void };
        if depth > 16 {
            return Type::Void;
        }
        match ty.kind() {
            Kind::Int => match ty.int() {
                Some(int) if int.is_bool => Type::Bool,
                // BTF marks plain `char` as unsigned on no architecture that hark traces; C's `char` is signed there.
                Some(int) => {
                    let bytes = ty.stated_size().unwrap_or(8).clamp(1, 8) as u8;
                    Type::Int { bytes, signed: int.signed || (int.is_char || ty.name() == "char") }
                }
                None => Type::I64,
            },
            Kind::Float => Type::Opaque(Ty::Float { bytes: ty.stated_size().unwrap_or(8) }),
            Kind::Ptr => {
                let to = ty.target().map_or(Type::Void, |to| self.btf_type_at(to, depth + 1));
                to.ptr(Space::Kernel)
            }
            Kind::Array => match ty.array() {
                Some(array) => Type::Array(Box::new(self.btf_type_at(array.element, depth + 1)), array.len),
                None => Type::Void,
            },
            Kind::Struct | Kind::Union => Type::Struct(StructRef::Btf {
                id: ty.id(),
                name: if ty.name().is_empty() { "(anonymous)".into() } else { ty.name().into() },
                union: ty.kind() == Kind::Union,
            }),
            Kind::Enum | Kind::Enum64 => Type::Enum(Arc::new(EnumTy {
                name: ty.name().to_string(),
                bytes: ty.stated_size().unwrap_or(4).clamp(1, 8) as u8,
                signed: ty.is_signed_enum(),
                variants: ty.enumerators().map(|e| (e.value as i64, e.name.to_string())).collect(),
            })),
            // A struct that the kernel only declares: it may be defined by the script.
            Kind::Fwd => match self.struct_named(ty.name(), ty.is_union_fwd()) {
                Some(found) => Type::Struct(found),
                None => Type::Void,
            },
            _ => Type::Void,
        }
    }
}

/// The type that words of C name, which may stand in any order: `unsigned long int`, `long unsigned`. For machines where
/// `long` has 64 bits.
fn c_type_of_words(name: &str) -> Option<Type> {
    let (mut signed, mut unsigned, mut long) = (false, false, 0);
    let mut base = None;
    for word in name.split(' ') {
        match word {
            "signed" => signed = true,
            "unsigned" => unsigned = true,
            "long" => long += 1,
            "int" if base.is_none() || base == Some("short") => base = base.or(Some("int")),
            "short" if base.is_none() || base == Some("int") => base = Some("short"),
            "char" | "float" | "double" | "_Bool" if base.is_none() => base = Some(word),
            _ => return None,
        }
    }
    let marked = signed || unsigned;
    let int = |bytes| Some(Type::Int { bytes, signed: !unsigned });
    match (base, long) {
        _ if signed && unsigned => None,
        (Some("_Bool"), 0) if !marked => Some(Type::Bool),
        (Some("float"), 0) if !marked => Some(Type::Opaque(Ty::Float { bytes: 4 })),
        (Some("double"), 0) if !marked => Some(Type::Opaque(Ty::Float { bytes: 8 })),
        (Some("double"), 1) if !marked => Some(Type::Opaque(Ty::Float { bytes: 16 })),
        (Some("char"), 0) => int(1),
        (Some("short"), 0) => int(2),
        (Some("int") | None, 0) => int(4),
        (Some("int") | None, 1 | 2) => int(8),
        _ => None,
    }
}
