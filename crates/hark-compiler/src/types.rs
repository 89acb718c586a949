//! Types of expressions while compiling.
//!
//! A [`Type`] knows more than a [`hark_object::Ty`]: what a pointer points to, in which memory, and which struct a
//! value is. [`Type::ty`] gives what is left of it once it is stored.

use crate::ctypes::StructRef;
use hark_object::{EnumTy, RecordField, Ty, agg::Agg};
use std::fmt;
use std::sync::Arc;

/// Which memory an address belongs to: decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Kernel memory, through `probe_read_kernel`.
    Kernel,
    /// Memory of the current process, through `probe_read_user`.
    User,
    /// Kernel memory or that of the current process, as the address itself tells: a plain number of a probe in the
    /// kernel may be either. Through `probe_read`, which knows since the two do not overlap on 64-bit machines.
    Any,
    /// Kernel objects that BTF vouches for: plain loads.
    Trusted,
    /// The program's own memory (its context, maps, stack): plain loads.
    Own,
}

/// The type of an expression, variable, map key or map value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Not known yet: something assigned later decides.
    Unknown,
    /// No value.
    Void,
    /// A non-negative literal of so many bytes, whose sign is open: takes that of whatever it meets. Only in types
    /// that are being inferred; see [`Type::settled`].
    Literal(u8),
    /// An integer of 1, 2, 4 or 8 bytes; in registers always extended to 64 bit by its sign.
    Int {
        /// Bytes.
        bytes: u8,
        /// Whether it has a sign.
        signed: bool,
    },
    /// `true` or `false`.
    Bool,
    /// An integer with names.
    Enum(Arc<EnumTy>),
    /// An address of something.
    Ptr(Box<Type>, Space),
    /// A struct or union in memory.
    Struct(StructRef),
    /// Elements in memory.
    Array(Box<Type>, u32),
    /// Text of at most `cap - 1` bytes.
    Str {
        /// Bytes with the terminator.
        cap: u32,
    },
    /// Bytes with a length.
    Buf {
        /// Most bytes.
        cap: u32,
    },
    /// Values by position.
    Tuple(Vec<Type>),
    /// Values by name.
    Record(Vec<(String, Type)>),
    /// The typed arguments of a probe (`args`): one field per argument.
    Args(Arc<ArgsType>),
    /// Values that only user space understands (stacks, symbols, time stamps, addresses…).
    Opaque(Ty),
    /// The value of a map that holds an aggregation.
    Agg(Agg),
}

/// The arguments of a typed probe.
#[derive(Debug, PartialEq, Eq)]
pub struct ArgsType {
    /// What messages call it: `tracepoint:sched:sched_switch`.
    pub name: String,
    /// Arguments in order.
    pub fields: Vec<ArgField>,
}

/// One argument of a typed probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgField {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// Where it is.
    pub place: ArgPlace,
}

/// Where an argument of a typed probe is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgPlace {
    /// At this offset of the context, in its own width.
    Context(u32),
    /// At this offset of the context is a `__data_loc` word: offset of the data from the context in its low half.
    DataLoc(u32),
    /// At this offset of the context is a whole register of which the type's width counts; a pointer there is one
    /// that the verifier knows, if `trusted`.
    Register {
        /// Offset.
        offset: u32,
        /// Whether BTF vouches for it.
        trusted: bool,
    },
}

impl Type {
    /// `int64`
    pub const I64: Type = Type::Int { bytes: 8, signed: true };
    /// `uint64`
    pub const U64: Type = Type::Int { bytes: 8, signed: false };
    /// `uint32`
    pub const U32: Type = Type::Int { bytes: 4, signed: false };
    /// `int32`
    pub const I32: Type = Type::Int { bytes: 4, signed: true };

    /// A pointer to this.
    pub fn ptr(self, space: Space) -> Type {
        Type::Ptr(Box::new(self), space)
    }

    /// The type once it lies in a map, tuple or record: the verifier forgets there what an address belongs to, so it
    /// is read as foreign memory.
    pub fn parked(&self) -> Type {
        match self {
            Type::Ptr(to, Space::Trusted | Space::Own) => Type::Ptr(to.clone(), Space::Kernel),
            Type::Tuple(members) => Type::Tuple(members.iter().map(Type::parked).collect()),
            Type::Record(fields) => {
                Type::Record(fields.iter().map(|(n, t)| (n.clone(), t.parked())).collect())
            }
            other => other.clone(),
        }
    }

    /// Whether it is held in one register: integers, bools, enums, pointers and one-word opaque values.
    pub fn is_scalar(&self) -> bool {
        match self {
            Type::Int { .. }
            | Type::Literal(_)
            | Type::Bool
            | Type::Enum(_)
            | Type::Ptr(..)
            | Type::Unknown => true,
            Type::Opaque(ty) => matches!(
                ty,
                Ty::Ksym
                    | Ty::Timestamp { .. }
                    | Ty::Username
                    | Ty::CgroupPath { .. }
                    | Ty::Strerror
                    | Ty::SignalName
                    | Ty::SyscallName
            ),
            Type::Void
            | Type::Struct(_)
            | Type::Array(..)
            | Type::Str { .. }
            | Type::Buf { .. }
            | Type::Tuple(_)
            | Type::Record(_)
            | Type::Args(_)
            | Type::Agg(_) => false,
        }
    }

    /// Whether arithmetic applies: integers, bools and enums.
    pub fn is_integral(&self) -> bool {
        matches!(self, Type::Int { .. } | Type::Literal(_) | Type::Bool | Type::Enum(_) | Type::Unknown)
    }

    /// Bytes and sign of an integral type, and of an aggregation read as a number.
    pub fn int_shape(&self) -> Option<(u8, bool)> {
        match self {
            Type::Int { bytes, signed } => Some((*bytes, *signed)),
            Type::Literal(bytes) => Some((*bytes, true)),
            Type::Bool => Some((1, false)),
            Type::Enum(e) => Some((e.bytes, e.signed)),
            _ => None,
        }
    }

    /// Whether a condition can be made of it.
    pub fn is_truthy(&self) -> bool {
        self.is_integral() || matches!(self, Type::Ptr(..))
    }

    /// What is stored of it.
    pub fn ty(&self, structs: &crate::ctypes::CTypes) -> Ty {
        match self {
            Type::Unknown => Ty::I64,
            Type::Void => Ty::Void,
            Type::Int { bytes, signed } => Ty::Int { bytes: *bytes, signed: *signed },
            Type::Literal(bytes) => Ty::Int { bytes: *bytes, signed: true },
            Type::Bool => Ty::Bool,
            Type::Enum(e) => Ty::Enum(e.clone()),
            Type::Ptr(..) => Ty::Ptr,
            Type::Struct(s) => structs.stored(s),
            Type::Array(elem, len) => Ty::Array { elem: Box::new(elem.ty(structs)), len: *len },
            Type::Str { cap } => Ty::Str { cap: *cap },
            Type::Buf { cap } => Ty::Buf { cap: *cap },
            Type::Tuple(members) => Ty::Tuple(members.iter().map(|m| m.ty(structs)).collect()),
            Type::Record(fields) => Ty::Record(
                fields
                    .iter()
                    .map(|(name, t)| RecordField { name: name.clone(), ty: t.ty(structs) })
                    .collect(),
            ),
            Type::Args(args) => Ty::Record(
                args.fields
                    .iter()
                    .map(|f| RecordField { name: f.name.clone(), ty: f.ty.ty(structs) })
                    .collect(),
            ),
            Type::Opaque(ty) => ty.clone(),
            Type::Agg(agg) => Ty::Agg(*agg),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unknown => f.write_str("unknown"),
            Type::Void => f.write_str("void"),
            Type::Int { bytes, signed } => {
                write!(f, "{}int{}", if *signed { "" } else { "u" }, u32::from(*bytes) * 8)
            }
            Type::Literal(bytes) => write!(f, "int{}", u32::from(*bytes) * 8),
            Type::Bool => f.write_str("bool"),
            Type::Enum(e) => write!(f, "enum {}", e.name),
            Type::Ptr(to, _) => write!(f, "{to} *"),
            Type::Struct(s) => write!(f, "{s}"),
            Type::Array(elem, len) => write!(f, "{elem}[{len}]"),
            Type::Str { cap } => write!(f, "string[{cap}]"),
            Type::Buf { cap } => write!(f, "buffer[{cap}]"),
            Type::Tuple(members) => {
                f.write_str("(")?;
                for (i, member) in members.iter().enumerate() {
                    write!(f, "{}{member}", if i > 0 { "," } else { "" })?;
                }
                f.write_str(")")
            }
            Type::Record(fields) => {
                f.write_str("{ ")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}.{name} = {ty}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(" }")
            }
            Type::Args(args) => write!(f, "arguments of {}", args.name),
            Type::Opaque(ty) => f.write_str(opaque_name(ty)),
            Type::Agg(agg) => f.write_str(agg_name(*agg)),
        }
    }
}

fn opaque_name(ty: &Ty) -> &'static str {
    match ty {
        Ty::KStack { .. } => "kstack",
        Ty::UStack { .. } => "ustack",
        Ty::Ksym => "ksym",
        Ty::Usym => "usym",
        Ty::Inet => "inet",
        Ty::Mac => "mac address",
        Ty::Timestamp { .. } => "timestamp",
        Ty::Username => "username",
        Ty::CgroupPath { .. } => "cgroup path",
        Ty::Strerror => "error text",
        Ty::SignalName => "signal name",
        Ty::SyscallName => "system call name",
        Ty::Float { .. } => "floating point number",
        _ => "value",
    }
}

/// The function that makes an aggregation.
pub(crate) fn agg_name(agg: Agg) -> &'static str {
    agg.name()
}
