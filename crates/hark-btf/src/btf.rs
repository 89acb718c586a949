//! A parsed BTF: the bytes, and where each type starts.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::BtfError;
use crate::kind::{Kind, TypeId};
use crate::names::OfKind;
use crate::raw::{self, Endian, TYPE_LEN};
use crate::types::Type;

/// What holds the bytes: `Vec<u8>`, `Arc<[u8]>`, `&'static [u8]`, a mapped file…
pub trait Bytes: AsRef<[u8]> + Send + Sync + 'static {}

impl<T: AsRef<[u8]> + Send + Sync + 'static> Bytes for T {}

/// Type information of a kernel, a module or a program.
///
/// Opening costs one pass over the type section (about half a millisecond for a kernel) and four bytes per type.
pub struct Btf {
    bytes: Box<dyn Bytes>,
    endian: Endian,
    types: Range<usize>,
    strings: Range<usize>,
    offsets: Vec<u32>,
    base: Option<Arc<Btf>>,
    /// Id of the first type of this BTF: 1, or one past the base's last.
    first_id: u32,
    /// Offset of the first string of this BTF: 0, or the length of the base's.
    first_str: u32,
    pub(crate) by_kind: OnceLock<[OfKind; Kind::ALL.len()]>,
}

impl Btf {
    /// Opens the BTF of a kernel or program.
    ///
    /// # Errors
    /// [`BtfError`] when the header, the bounds of a type or its kind are wrong. References between types are not
    /// looked at: they are checked when followed.
    pub fn parse(bytes: impl Bytes) -> Result<Btf, BtfError> {
        Self::open(bytes, None)
    }

    /// Opens the BTF of a module, which refers to the types and strings of `base`.
    ///
    /// # Errors
    /// As [`Btf::parse`]; also when the byte orders differ.
    pub fn parse_split(base: Arc<Btf>, bytes: impl Bytes) -> Result<Btf, BtfError> {
        Self::open(bytes, Some(base))
    }

    fn open(bytes: impl Bytes, base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let slice = bytes.as_ref();
        let raw::Sections { endian, types, strings } = raw::sections(slice, base.is_some())?;
        let (first_id, first_str) = match &base {
            Some(base) if base.endian != endian => return Err(BtfError::MixedEndian),
            Some(base) => (base.end_id(), base.end_str()),
            None => (1, 0),
        };
        let offsets = raw::type_offsets(endian, &slice[types.clone()], first_id)?;
        Ok(Btf {
            bytes: Box::new(bytes),
            endian,
            types,
            strings,
            offsets,
            base,
            first_id,
            first_str,
            by_kind: OnceLock::new(),
        })
    }

    /// Byte order.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Bytes of a pointer. BTF does not say; every kernel hark traces is a 64-bit one.
    pub fn pointer_size(&self) -> u32 {
        8
    }

    /// The BTF this one refers to, for a module's.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The bytes as they were given to `parse`.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// One past the highest id, the base's included.
    pub fn end_id(&self) -> u32 {
        self.first_id.saturating_add(self.offsets.len() as u32)
    }

    /// The ids of the types that are this BTF's own, not its base's. `void` is nobody's.
    pub fn own_ids(&self) -> Range<u32> {
        self.first_id..self.end_id()
    }

    /// One past the highest string offset, the base's included.
    pub(crate) fn end_str(&self) -> u32 {
        self.first_str.saturating_add(self.strings.len() as u32)
    }

    /// The type with this id; `None` when there is none. Id 0 is `void`.
    pub fn type_by_id(&self, id: TypeId) -> Option<Type<'_>> {
        if id == TypeId::VOID {
            return Some(Type::void(self));
        }
        if id.0 < self.first_id {
            // The base's strings come first here too, so names read through `self` are right.
            return self.base.as_ref()?.type_by_id(id).map(|t| t.seen_from(self));
        }
        let start = *self.offsets.get((id.0 - self.first_id) as usize)? as usize;
        let types = self.type_bytes();
        let (head, rest) = types.get(start..)?.split_at_checked(TYPE_LEN)?;
        let info = self.endian.u32(head, 4);
        let kind = Kind::from_number(raw::kind_number(info))?;
        let body = rest.get(..kind.body_len(raw::vlen(info)))?;
        Some(Type {
            btf: self,
            id,
            kind,
            info,
            name_off: self.endian.u32(head, 0),
            size_or_type: self.endian.u32(head, 8),
            body,
            endian: self.endian,
        })
    }

    /// All types of this BTF itself (not the base's), by rising id.
    pub fn own_types(&self) -> impl Iterator<Item = Type<'_>> {
        self.own_ids().filter_map(|id| self.type_by_id(TypeId(id)))
    }

    /// The type section, own types only.
    pub(crate) fn type_bytes(&self) -> &[u8] {
        self.bytes().get(self.types.clone()).unwrap_or(&[])
    }

    /// The string section, own strings only.
    pub(crate) fn string_bytes(&self) -> &[u8] {
        self.bytes().get(self.strings.clone()).unwrap_or(&[])
    }

    /// Start of each own type within [`Btf::type_bytes`].
    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    pub(crate) fn first_id(&self) -> u32 {
        self.first_id
    }

    /// The bytes from string offset `off` to the end of its section.
    #[inline]
    pub(crate) fn string_tail(&self, off: u32) -> &[u8] {
        match &self.base {
            Some(base) if off < self.first_str => base.string_tail(off),
            _ => self.string_bytes().get((off - self.first_str) as usize..).unwrap_or(&[]),
        }
    }

    /// The string at an offset; empty when there is none or it is not UTF-8.
    pub fn string(&self, off: u32) -> &str {
        let tail = self.string_tail(off);
        let len = tail.iter().position(|b| *b == 0).unwrap_or(0);
        std::str::from_utf8(&tail[..len]).unwrap_or("")
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("endian", &self.endian)
            .field("ids", &self.own_ids())
            .field("string_len", &self.strings.len())
            .field("split", &self.base.is_some())
            .finish()
    }
}
