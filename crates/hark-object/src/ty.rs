//! Types of values as they lie in maps and events.

use crate::agg::Agg;
use crate::config::StackMode;
use std::fmt;
use std::sync::Arc;

/// Size and alignment in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size, a multiple of the alignment.
    pub size: u32,
    /// 1, 2, 4 or 8.
    pub align: u32,
}

/// A type of value. Every value is stored in its [`Ty::layout`], little-endian, padding zeroed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// No value.
    Void,
    /// An integer of 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        bytes: u8,
        /// Whether it has a sign.
        signed: bool,
    },
    /// A floating point number of 4, 8 or 16 bytes, which programs cannot compute with: printed as null.
    Float {
        /// Bytes.
        bytes: u32,
    },
    /// One byte, 0 or 1.
    Bool,
    /// An integer that prints as its name.
    Enum(Arc<EnumTy>),
    /// An address; prints as `0x…`.
    Ptr,
    /// `cap` bytes: text up to the first NUL. A last byte that is not NUL marks a text that was cut: its first
    /// `cap - 1` bytes are there, and printing appends the trailer.
    Str {
        /// Bytes, at least 1.
        cap: u32,
    },
    /// A C array of `len` characters: text up to the first NUL, or all of it.
    Chars {
        /// Bytes, at least 1.
        len: u32,
    },
    /// A `u32` length and then room for `cap` bytes.
    Buf {
        /// Bytes.
        cap: u32,
    },
    /// Elements one after the other.
    Array {
        /// Element.
        elem: Box<Ty>,
        /// How many.
        len: u32,
    },
    /// Members at offsets by natural alignment, in order.
    Tuple(Vec<Ty>),
    /// As a tuple, with names.
    Record(Vec<RecordField>),
    /// A C struct or union as the kernel or the script lays it out.
    Struct(Arc<StructTy>),
    /// A kernel stack: `u64` number of frames, then `depth` addresses (the innermost first).
    KStack {
        /// Room for so many addresses.
        depth: u32,
        /// How to print it.
        mode: StackMode,
    },
    /// A user stack: `u64` number of frames, `u64` process id, then `depth` addresses (the innermost first).
    UStack {
        /// Room for so many addresses.
        depth: u32,
        /// How to print it.
        mode: StackMode,
    },
    /// A `u64` kernel address that prints as a symbol.
    Ksym,
    /// `u64` address, `u64` process id: prints as a symbol.
    Usym,
    /// `u32` address family, 16 bytes of address.
    Inet,
    /// 6 bytes.
    Mac,
    /// `u64` nanoseconds of `clock`, printed through `format`.
    Timestamp {
        /// strftime format.
        format: Arc<str>,
        /// Which clock it was read from.
        clock: Clock,
    },
    /// `u64` user id that prints as the user's name.
    Username,
    /// `u64` cgroup id that prints as its paths.
    CgroupPath {
        /// Only hierarchies whose name matches this pattern.
        filter: Arc<str>,
    },
    /// `i64` error number that prints as its text.
    Strerror,
    /// `i64` signal number that prints as its name.
    SignalName,
    /// `u64` system call number that prints as its name.
    SyscallName,
    /// An aggregation, as kept per CPU.
    Agg(Agg),
}

/// Clocks that time stamps are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Since boot, counting suspended time.
    Boot,
    /// Since boot, not counting suspended time.
    Monotonic,
    /// International atomic time.
    Tai,
}

/// A named field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordField {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Ty,
}

/// An enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumTy {
    /// Tag.
    pub name: String,
    /// Bytes: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether it has a sign.
    pub signed: bool,
    /// Values and names, in order of definition.
    pub variants: Vec<(i64, String)>,
}

/// A C struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructTy {
    /// Tag, without `struct`.
    pub name: String,
    /// Bytes.
    pub size: u32,
    /// Alignment.
    pub align: u32,
    /// Members, anonymous ones flattened.
    pub members: Vec<Member>,
}

/// A member of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Offset in bytes (of the storage unit of a bit-field).
    pub offset: u32,
    /// Type.
    pub ty: Ty,
    /// Bit-field: first bit within the storage unit, and width.
    pub bits: Option<(u8, u8)>,
}

impl Ty {
    /// A signed 64-bit integer.
    pub const I64: Ty = Ty::Int { bytes: 8, signed: true };
    /// An unsigned 64-bit integer.
    pub const U64: Ty = Ty::Int { bytes: 8, signed: false };

    /// Size and alignment. Sizes beyond 4 GiB saturate.
    pub fn layout(&self) -> Layout {
        let exactly = |size: u32, align: u32| Layout { size, align };
        match self {
            Ty::Void => exactly(0, 1),
            Ty::Int { bytes, .. } => exactly(u32::from(*bytes), u32::from(*bytes)),
            Ty::Bool => exactly(1, 1),
            Ty::Float { bytes } => exactly(*bytes, (*bytes).clamp(1, 16)),
            Ty::Enum(e) => exactly(u32::from(e.bytes), u32::from(e.bytes)),
            Ty::Ptr
            | Ty::Ksym
            | Ty::Timestamp { .. }
            | Ty::Username
            | Ty::CgroupPath { .. }
            | Ty::Strerror
            | Ty::SignalName
            | Ty::SyscallName => exactly(8, 8),
            Ty::Usym => exactly(16, 8),
            Ty::Str { cap } => exactly(*cap, 1),
            Ty::Chars { len } => exactly(*len, 1),
            Ty::Buf { cap } => exactly(cap.saturating_add(4).next_multiple_of(4), 4),
            Ty::Array { elem, len } => {
                let elem = elem.layout();
                exactly(elem.size.saturating_mul(*len), elem.align)
            }
            Ty::Tuple(members) => tuple_layout(members.iter()),
            Ty::Record(fields) => tuple_layout(fields.iter().map(|f| &f.ty)),
            Ty::Struct(s) => exactly(s.size, s.align),
            Ty::KStack { depth, .. } => exactly(depth.saturating_mul(8).saturating_add(8), 8),
            Ty::UStack { depth, .. } => exactly(depth.saturating_mul(8).saturating_add(16), 8),
            Ty::Inet => exactly(20, 4),
            Ty::Mac => exactly(6, 1),
            Ty::Agg(agg) => exactly(agg.size(), 8),
        }
    }

    /// Offsets of the members of a tuple or record; empty for anything else.
    pub fn member_offsets(&self) -> Vec<u32> {
        let members: Vec<&Ty> = match self {
            Ty::Tuple(members) => members.iter().collect(),
            Ty::Record(fields) => fields.iter().map(|f| &f.ty).collect(),
            _ => return Vec::new(),
        };
        let mut at = 0u32;
        members
            .iter()
            .map(|ty| {
                let layout = ty.layout();
                let offset = at.next_multiple_of(layout.align);
                at = offset.saturating_add(layout.size);
                offset
            })
            .collect()
    }
}

fn tuple_layout<'a>(members: impl Iterator<Item = &'a Ty>) -> Layout {
    let (mut size, mut align) = (0u32, 1u32);
    for ty in members {
        let layout = ty.layout();
        align = align.max(layout.align);
        size = size.next_multiple_of(layout.align).saturating_add(layout.size);
    }
    Layout { size: size.checked_next_multiple_of(align).unwrap_or(u32::MAX), align }
}

/// As the language spells it: `int64`, `string[16]`, `(int32, string[8])`, `struct task_struct`.
impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: Vec<String>, close: &str| {
            write!(f, "{open}{}{close}", items.join(", "))
        };
        match self {
            Ty::Void => f.write_str("void"),
            Ty::Float { bytes } => write!(f, "float{}", u64::from(*bytes) * 8),
            Ty::Int { bytes, signed } => {
                write!(f, "{}int{}", if *signed { "" } else { "u" }, u32::from(*bytes) * 8)
            }
            Ty::Bool => f.write_str("bool"),
            Ty::Enum(e) => write!(f, "enum {}", e.name),
            Ty::Ptr => f.write_str("void*"),
            Ty::Str { cap } => write!(f, "string[{cap}]"),
            Ty::Chars { len } => write!(f, "char[{len}]"),
            Ty::Buf { cap } => write!(f, "buffer[{cap}]"),
            Ty::Array { elem, len } => write!(f, "{elem}[{len}]"),
            Ty::Tuple(members) => list(f, "(", members.iter().map(Ty::to_string).collect(), ")"),
            Ty::Record(fields) => {
                list(f, "(", fields.iter().map(|x| format!("{}={}", x.name, x.ty)).collect(), ")")
            }
            Ty::Struct(s) => write!(f, "struct {}", s.name),
            Ty::KStack { depth, mode } => write!(f, "kstack({}, {depth})", mode.name()),
            Ty::UStack { depth, mode } => write!(f, "ustack({}, {depth})", mode.name()),
            Ty::Ksym => f.write_str("ksym"),
            Ty::Usym => f.write_str("usym"),
            Ty::Inet => f.write_str("inet"),
            Ty::Mac => f.write_str("macaddr"),
            Ty::Timestamp { format, .. } => write!(f, "strftime({format:?})"),
            Ty::Username => f.write_str("username"),
            Ty::CgroupPath { .. } => f.write_str("cgroup_path"),
            Ty::Strerror => f.write_str("strerror"),
            Ty::SignalName => f.write_str("signal_name"),
            Ty::SyscallName => f.write_str("syscall_name"),
            Ty::Agg(agg) => match agg {
                Agg::Count => f.write_str("count"),
                Agg::Sum { signed }
                | Agg::Min { signed }
                | Agg::Max { signed }
                | Agg::Avg { signed }
                | Agg::Stats { signed } => {
                    write!(f, "{}({})", agg.name(), if *signed { "int64" } else { "uint64" })
                }
                Agg::Hist { k } => write!(f, "hist({k})"),
                Agg::Lhist { min, max, step } => write!(f, "lhist({min}, {max}, {step})"),
                Agg::Tseries { interval_ns, n, fun, .. } => {
                    write!(f, "tseries({interval_ns}ns, {n}, {})", fun.name().unwrap_or("last"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_align_their_members() {
        let ty = Ty::Tuple(vec![Ty::Bool, Ty::Int { bytes: 4, signed: true }, Ty::Str { cap: 3 }, Ty::U64]);
        assert_eq!(ty.member_offsets(), [0, 4, 8, 16]);
        assert_eq!(ty.layout(), Layout { size: 24, align: 8 });
        assert_eq!(ty.to_string(), "(bool, int32, string[3], uint64)");
    }
}
