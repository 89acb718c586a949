//! What kinds of types there are. Source: the kernel's `include/uapi/linux/btf.h`.

use std::fmt;

/// Number of a type. 0 is `void`; in a split BTF the ids of the base come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// Kind of a type; the number is the one in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `void`: only type 0.
    Void = 0,
    /// Integer, `char` or `bool`.
    Int = 1,
    /// Pointer.
    Ptr = 2,
    /// Array.
    Array = 3,
    /// Struct.
    Struct = 4,
    /// Union.
    Union = 5,
    /// Enumeration of up to 32 bits.
    Enum = 6,
    /// Struct or union that is only declared.
    Fwd = 7,
    /// Typedef.
    Typedef = 8,
    /// `volatile`.
    Volatile = 9,
    /// `const`.
    Const = 10,
    /// `restrict`.
    Restrict = 11,
    /// Function.
    Func = 12,
    /// Signature of a function.
    FuncProto = 13,
    /// Variable.
    Var = 14,
    /// Section of variables.
    Datasec = 15,
    /// Floating point number.
    Float = 16,
    /// Tag on a declaration.
    DeclTag = 17,
    /// Tag on a type (`__user`, `__rcu`…).
    TypeTag = 18,
    /// Enumeration of 64 bits.
    Enum64 = 19,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    #[rustfmt::skip]
    pub const ALL: [Kind; 20] = [
        Kind::Void, Kind::Int, Kind::Ptr, Kind::Array, Kind::Struct, Kind::Union, Kind::Enum, Kind::Fwd,
        Kind::Typedef, Kind::Volatile, Kind::Const, Kind::Restrict, Kind::Func, Kind::FuncProto, Kind::Var,
        Kind::Datasec, Kind::Float, Kind::DeclTag, Kind::TypeTag, Kind::Enum64,
    ];

    /// The kind with this number.
    pub fn from_number(n: u32) -> Option<Kind> {
        Kind::ALL.get(n as usize).copied()
    }

    /// The name that `bpftool btf dump` prints.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Void => "VOID",
            Kind::Int => "INT",
            Kind::Ptr => "PTR",
            Kind::Array => "ARRAY",
            Kind::Struct => "STRUCT",
            Kind::Union => "UNION",
            Kind::Enum => "ENUM",
            Kind::Fwd => "FWD",
            Kind::Typedef => "TYPEDEF",
            Kind::Volatile => "VOLATILE",
            Kind::Const => "CONST",
            Kind::Restrict => "RESTRICT",
            Kind::Func => "FUNC",
            Kind::FuncProto => "FUNC_PROTO",
            Kind::Var => "VAR",
            Kind::Datasec => "DATASEC",
            Kind::Float => "FLOAT",
            Kind::DeclTag => "DECL_TAG",
            Kind::TypeTag => "TYPE_TAG",
            Kind::Enum64 => "ENUM64",
        }
    }

    /// Whether the type only qualifies another one: `const`, `volatile`, `restrict` or a type tag.
    pub fn is_qualifier(self) -> bool {
        matches!(self, Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag)
    }

    /// Struct or union.
    pub fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }

    /// Either width of enumeration.
    pub fn is_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }

    /// Length of what follows the 12-byte header of a type with `vlen` elements.
    pub fn body_len(self, vlen: u32) -> usize {
        let vlen = vlen as usize;
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            Kind::Void
            | Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
        }
    }
}

/// How visible a function or variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Linkage {
    /// Only in its file. What the kernel's own BTF says of every function.
    #[default]
    Static,
    /// Everywhere.
    Global,
    /// Defined elsewhere.
    Extern,
}

impl Linkage {
    /// The number in the file.
    pub fn number(self) -> u32 {
        match self {
            Linkage::Static => 0,
            Linkage::Global => 1,
            Linkage::Extern => 2,
        }
    }

    /// The linkage with this number.
    pub fn from_number(n: u32) -> Option<Linkage> {
        match n {
            0 => Some(Linkage::Static),
            1 => Some(Linkage::Global),
            2 => Some(Linkage::Extern),
            _ => None,
        }
    }
}
