//! One type, read from the bytes as needed.

use std::fmt;

use crate::btf::Btf;
use crate::kind::{Kind, Linkage, TypeId};
use crate::raw::{self, Endian};

/// A type of a [`Btf`]. Cheap to copy; nothing is decoded before it is asked for.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    pub(crate) btf: &'a Btf,
    pub(crate) id: TypeId,
    pub(crate) kind: Kind,
    pub(crate) info: u32,
    pub(crate) name_off: u32,
    pub(crate) size_or_type: u32,
    pub(crate) body: &'a [u8],
    pub(crate) endian: Endian,
}

/// How an integer is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntEncoding {
    /// Has a sign.
    pub signed: bool,
    /// Is a character. GCC and clang do not set this for C's `char`.
    pub is_char: bool,
    /// Is a truth value.
    pub is_bool: bool,
    /// Bits used; less than the size only in old-style bitfields.
    pub bits: u8,
    /// First of those bits.
    pub bit_offset: u8,
}

/// An array's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// Type of an element.
    pub element: TypeId,
    /// Type of the index.
    pub index: TypeId,
    /// Number of elements; 0 for a flexible array.
    pub len: u32,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Name; empty when anonymous.
    pub name: &'a str,
    /// Type.
    pub ty: TypeId,
    /// Offset in bits from the start of the struct.
    pub bit_offset: u32,
    /// Width of a bitfield in bits; `None` for an ordinary member.
    pub bitfield: Option<u8>,
}

/// A constant of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerator<'a> {
    /// Name.
    pub name: &'a str,
    /// Value, with the signedness of its enumeration: it lies in the range of `i64` or of `u64`.
    pub value: i128,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name; empty in the signature of a function pointer.
    pub name: &'a str,
    /// Type. `void` in the last place means `...`.
    pub ty: TypeId,
}

/// A variable's place in its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// The variable.
    pub var: TypeId,
    /// Offset in bytes from the start of the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl<'a> Type<'a> {
    pub(crate) fn void(btf: &'a Btf) -> Self {
        Type {
            btf,
            id: TypeId::VOID,
            kind: Kind::Void,
            info: 0,
            name_off: 0,
            size_or_type: 0,
            body: &[],
            endian: btf.endian(),
        }
    }

    /// The same type of a base, with references followed through the split BTF that was asked.
    pub(crate) fn seen_from(self, btf: &'a Btf) -> Self {
        Type { btf, ..self }
    }

    /// The BTF that was asked for this type.
    pub fn btf(&self) -> &'a Btf {
        self.btf
    }

    /// Its id.
    pub fn id(&self) -> TypeId {
        self.id
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name; empty when it has none.
    pub fn name(&self) -> &'a str {
        self.btf.string(self.name_off)
    }

    /// Number of members, enumerators, parameters or variables.
    pub fn vlen(&self) -> u32 {
        match self.kind {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::FuncProto | Kind::Datasec => {
                raw::vlen(self.info)
            }
            _ => 0,
        }
    }

    /// Bit 31 of `info`: bitfield sizes are given (structs), it is a union (`Fwd`), values are signed (enums).
    pub fn kind_flag(&self) -> bool {
        self.info >> 31 == 1
    }

    /// Size in bytes as the type itself states it; `None` for kinds that state none (see [`Btf::size_of`]).
    pub fn stated_size(&self) -> Option<u32> {
        match self.kind {
            Kind::Int
            | Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::Datasec
            | Kind::Float => Some(self.size_or_type),
            _ => None,
        }
    }

    /// The type this one points to, names, qualifies, tags, is the signature of, or returns.
    pub fn target(&self) -> Option<TypeId> {
        match self.kind {
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::FuncProto
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => Some(TypeId(self.size_or_type)),
            _ => None,
        }
    }

    /// The encoding of an `Int`.
    pub fn int(&self) -> Option<IntEncoding> {
        (self.kind == Kind::Int).then(|| {
            let n = self.endian.u32(self.body, 0);
            let flags = n >> 24 & 0xf;
            IntEncoding {
                signed: flags & 1 != 0,
                is_char: flags & 2 != 0,
                is_bool: flags & 4 != 0,
                bits: (n & 0xff) as u8,
                bit_offset: (n >> 16 & 0xff) as u8,
            }
        })
    }

    /// The parts of an `Array`.
    pub fn array(&self) -> Option<Array> {
        (self.kind == Kind::Array).then(|| Array {
            element: TypeId(self.endian.u32(self.body, 0)),
            index: TypeId(self.endian.u32(self.body, 4)),
            len: self.endian.u32(self.body, 8),
        })
    }

    /// The members of a struct or union, in order; none for other kinds.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let me = *self;
        let n = if me.kind.is_composite() { me.vlen() } else { 0 };
        (0..n).map(move |i| me.member(i))
    }

    fn member(&self, i: u32) -> Member<'a> {
        let at = i as usize * 12;
        let offset = self.endian.u32(self.body, at + 8);
        let ty = TypeId(self.endian.u32(self.body, at + 4));
        let (bit_offset, bitfield) = if self.kind_flag() {
            let width = (offset >> 24) as u8;
            (offset & 0x00ff_ffff, (width != 0).then_some(width))
        } else {
            self.old_bitfield(ty, offset)
        };
        Member { name: self.btf.string(self.endian.u32(self.body, at)), ty, bit_offset, bitfield }
    }

    /// Before the kind flag existed, a bitfield's width stood in an integer type of its own.
    fn old_bitfield(&self, ty: TypeId, offset: u32) -> (u32, Option<u8>) {
        match self.btf.resolve(ty).and_then(|t| Some((t.int()?, t.size_or_type))) {
            Some((int, size)) if int.bit_offset != 0 || u32::from(int.bits) != size.saturating_mul(8) => {
                (offset.saturating_add(u32::from(int.bit_offset)), Some(int.bits))
            }
            _ => (offset, None),
        }
    }

    /// Whether the values of an enumeration have a sign. BTF made before Linux 6.0 never says so.
    pub fn is_signed_enum(&self) -> bool {
        self.kind.is_enum() && self.kind_flag()
    }

    /// The constants of an enumeration, in order; none for other kinds.
    pub fn enumerators(&self) -> impl ExactSizeIterator<Item = Enumerator<'a>> + use<'a> {
        let me = *self;
        let n = if me.kind.is_enum() { me.vlen() } else { 0 };
        (0..n).map(move |i| me.enumerator(i))
    }

    /// Where the name of enumerator `i` starts: comparing it there costs less than finding its end first.
    pub(crate) fn enumerator_name_off(&self, i: u32) -> u32 {
        self.endian.u32(self.body, i as usize * if self.kind == Kind::Enum64 { 12 } else { 8 })
    }

    fn enumerator(&self, i: u32) -> Enumerator<'a> {
        let wide = self.kind == Kind::Enum64;
        let at = i as usize * if wide { 12 } else { 8 };
        let low = self.endian.u32(self.body, at + 4);
        let value = match (wide, self.kind_flag()) {
            (false, true) => i128::from(low as i32),
            (false, false) => i128::from(low),
            (true, signed) => {
                let bits = u64::from(self.endian.u32(self.body, at + 8)) << 32 | u64::from(low);
                if signed { i128::from(bits as i64) } else { i128::from(bits) }
            }
        };
        Enumerator { name: self.btf.string(self.endian.u32(self.body, at)), value }
    }

    /// The parameters of a `FuncProto`, in order; none for other kinds.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param<'a>> + use<'a> {
        let me = *self;
        let n = if me.kind == Kind::FuncProto { me.vlen() } else { 0 };
        (0..n).map(move |i| {
            let at = i as usize * 8;
            Param {
                name: me.btf.string(me.endian.u32(me.body, at)),
                ty: TypeId(me.endian.u32(me.body, at + 4)),
            }
        })
    }

    /// The variables of a `Datasec`, in order; none for other kinds.
    pub fn section_vars(&self) -> impl ExactSizeIterator<Item = SectionVar> + use<'a> {
        let me = *self;
        let n = if me.kind == Kind::Datasec { me.vlen() } else { 0 };
        (0..n).map(move |i| {
            let at = i as usize * 12;
            SectionVar {
                var: TypeId(me.endian.u32(me.body, at)),
                offset: me.endian.u32(me.body, at + 4),
                size: me.endian.u32(me.body, at + 8),
            }
        })
    }

    /// Linkage of a `Func` or `Var`.
    pub fn linkage(&self) -> Option<Linkage> {
        match self.kind {
            Kind::Func => Linkage::from_number(raw::vlen(self.info)),
            Kind::Var => Linkage::from_number(self.endian.u32(self.body, 0)),
            _ => None,
        }
    }

    /// Which member or parameter a `DeclTag` is about; `None` when it is about the whole, or for other kinds.
    pub fn component(&self) -> Option<u32> {
        let n = self.endian.u32(self.body, 0);
        (self.kind == Kind::DeclTag && n != u32::MAX).then_some(n)
    }

    /// Whether a `Fwd` declares a union.
    pub fn is_union_fwd(&self) -> bool {
        self.kind == Kind::Fwd && self.kind_flag()
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} '{}'", self.id, self.kind.name(), self.name())
    }
}
