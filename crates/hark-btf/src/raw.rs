//! The header, and numbers of either byte order.

use std::ops::Range;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use crate::error::BtfError;
use crate::kind::{Kind, TypeId};

/// `BTF_MAGIC`.
pub(crate) const MAGIC: u16 = 0xeb9f;
/// Length of the header that every version-1 file has.
pub(crate) const HEADER_LEN: usize = 24;
/// Length of what every type starts with.
pub(crate) const TYPE_LEN: usize = 12;

/// Byte order of a BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// The byte order of the machine this runs on.
    pub const NATIVE: Endian = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };

    /// The number at `at`, or 0 beyond the end: the walk of [`type_offsets`] has checked what matters.
    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        match bytes.get(at..at.saturating_add(4)) {
            Some(b) => match self {
                Endian::Little => LittleEndian::read_u32(b),
                Endian::Big => BigEndian::read_u32(b),
            },
            None => 0,
        }
    }

    /// Appends a number.
    pub(crate) fn push_u32(self, out: &mut Vec<u8>, n: u32) {
        let mut b = [0; 4];
        match self {
            Endian::Little => LittleEndian::write_u32(&mut b, n),
            Endian::Big => BigEndian::write_u32(&mut b, n),
        }
        out.extend_from_slice(&b);
    }

    /// Appends a number.
    pub(crate) fn push_u16(self, out: &mut Vec<u8>, n: u16) {
        let mut b = [0; 2];
        match self {
            Endian::Little => LittleEndian::write_u16(&mut b, n),
            Endian::Big => BigEndian::write_u16(&mut b, n),
        }
        out.extend_from_slice(&b);
    }
}

/// Where the two sections lie in the file.
pub(crate) struct Sections {
    pub(crate) endian: Endian,
    pub(crate) types: Range<usize>,
    pub(crate) strings: Range<usize>,
}

/// Reads the header. `split`: the string section may lack its leading zero, which the base has.
pub(crate) fn sections(bytes: &[u8], split: bool) -> Result<Sections, BtfError> {
    let have = bytes.len() as u64;
    if bytes.len() < HEADER_LEN {
        return Err(BtfError::Truncated { need: HEADER_LEN as u64, have });
    }
    let magic = LittleEndian::read_u16(bytes);
    let endian = match magic {
        MAGIC => Endian::Little,
        _ if magic == MAGIC.swap_bytes() => Endian::Big,
        _ => return Err(BtfError::BadMagic(magic)),
    };
    if bytes[2] != 1 {
        return Err(BtfError::UnknownVersion(bytes[2]));
    }
    let field = |at| u64::from(endian.u32(bytes, at));
    let header = field(4);
    // Later headers are longer; what they add may be ignored. A shorter one would overlap the sections.
    if header < HEADER_LEN as u64 {
        return Err(BtfError::Truncated { need: HEADER_LEN as u64, have: header });
    }
    let section = |off: usize, len: usize| {
        let start = header + field(off);
        let end = start + field(len);
        if end > have {
            return Err(BtfError::Truncated { need: end, have });
        }
        Ok(start as usize..end as usize)
    };
    let (types, strings) = (section(8, 12)?, section(16, 20)?);
    let text = &bytes[strings.clone()];
    let starts_well = split || text.first() == Some(&0);
    let ends_well = text.last() == Some(&0) || (split && text.is_empty());
    if !starts_well || !ends_well {
        return Err(BtfError::BadStrings);
    }
    Ok(Sections { endian, types, strings })
}

/// Where each type starts, relative to the type section; checks that every type lies wholly inside it.
/// `first` is the id of the first type.
pub(crate) fn type_offsets(endian: Endian, types: &[u8], first: u32) -> Result<Vec<u32>, BtfError> {
    match endian {
        Endian::Little => walk::<LittleEndian>(types, first),
        Endian::Big => walk::<BigEndian>(types, first),
    }
}

fn walk<E: ByteOrder>(types: &[u8], first: u32) -> Result<Vec<u32>, BtfError> {
    // The average type of a kernel takes 28 bytes; a guess too high costs address space, not memory.
    let mut offsets = Vec::with_capacity(types.len() / 24 + 1);
    let mut at = 0usize;
    while at < types.len() {
        let n = u32::try_from(offsets.len()).map_err(|_| BtfError::TooManyTypes)?;
        let id = TypeId(first.checked_add(n).ok_or(BtfError::TooManyTypes)?);
        let rest = &types[at..];
        let Some(head) = rest.get(..TYPE_LEN) else { return Err(BtfError::TypeCut(id)) };
        let info = E::read_u32(&head[4..8]);
        let number = kind_number(info);
        let kind = match Kind::from_number(number) {
            Some(kind) if kind != Kind::Void => kind,
            _ => return Err(BtfError::UnknownKind { id, kind: number }),
        };
        let len = TYPE_LEN + kind.body_len(vlen(info));
        if rest.len() < len {
            return Err(BtfError::TypeCut(id));
        }
        // The section's length is a u32 in the header.
        offsets.push(at as u32);
        at += len;
    }
    Ok(offsets)
}

/// Bits 24–28 of a type's `info`.
#[inline]
pub(crate) fn kind_number(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// Bits 0–15 of a type's `info`.
#[inline]
pub(crate) fn vlen(info: u32) -> u32 {
    info & 0xffff
}
