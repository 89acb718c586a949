//! `.BTF.ext`: where functions and lines begin, and what CO-RE is to adapt. Source: `Documentation/bpf/btf.rst`.

use super::ElfError;
use hark_btf::Btf;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Bytes of an instruction, in which offsets are counted here.
const SLOT: u32 = 8;

/// A record of a section's function or line: at which slot, and its further fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FuncRecord {
    pub(super) slot: u32,
    pub(super) type_id: u32,
}

/// A record of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineRecord {
    pub(super) slot: u32,
    pub(super) file: u32,
    pub(super) text: u32,
    pub(super) line_col: u32,
}

/// A CO-RE relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoreRecord {
    pub(super) slot: u32,
    pub(super) type_id: u32,
    pub(super) access: u32,
    pub(super) kind: u32,
}

/// Records by section name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BtfExt {
    pub(super) funcs: Vec<(String, Vec<FuncRecord>)>,
    pub(super) lines: Vec<(String, Vec<LineRecord>)>,
    pub(super) core: Vec<(String, Vec<CoreRecord>)>,
}

impl BtfExt {
    pub(super) fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, ElfError> {
        let broken = |what: &str| ElfError::Btf(format!(".BTF.ext {what}"));
        let word = |at: usize| word(bytes, at).ok_or_else(|| broken("is cut short"));
        if bytes.get(..2) != Some(&MAGIC.to_le_bytes()) {
            return Err(broken("does not begin as it should"));
        }
        let header = word(4)? as usize;
        let table = |at: usize| -> Result<Option<&[u8]>, ElfError> {
            if at + 8 > header {
                return Ok(None);
            }
            let (off, len) = (word(at)? as usize, word(at + 4)? as usize);
            if len == 0 {
                return Ok(None);
            }
            bytes.get(header + off..header + off + len).map(Some).ok_or_else(|| broken("is cut short"))
        };
        let f = |r: &[u8]| Some(FuncRecord { slot: self::word(r, 0)? / SLOT, type_id: self::word(r, 4)? });
        let l = |r: &[u8]| {
            Some(LineRecord {
                slot: self::word(r, 0)? / SLOT,
                file: self::word(r, 4)?,
                text: self::word(r, 8)?,
                line_col: self::word(r, 12)?,
            })
        };
        let c = |r: &[u8]| {
            Some(CoreRecord {
                slot: self::word(r, 0)? / SLOT,
                type_id: self::word(r, 4)?,
                access: self::word(r, 8)?,
                kind: self::word(r, 12)?,
            })
        };
        Ok(BtfExt {
            funcs: read_table(table(8)?, btf, f).ok_or_else(|| broken("has broken function records"))?,
            lines: read_table(table(16)?, btf, l).ok_or_else(|| broken("has broken line records"))?,
            core: read_table(table(24)?, btf, c).ok_or_else(|| broken("has broken CO-RE records"))?,
        })
    }
}

/// The records of `section` in one of the tables.
pub(super) fn records<'t, T>(table: &'t [(String, Vec<T>)], section: &str) -> &'t [T] {
    table.iter().find(|(name, _)| name == section).map_or(&[], |(_, records)| records)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn read_table<T>(
    table: Option<&[u8]>,
    btf: &Btf,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<Vec<(String, Vec<T>)>> {
    let Some(table) = table else { return Some(Vec::new()) };
    let size = word(table, 0)? as usize;
    if size < 8 {
        return None;
    }
    let mut at = 4;
    let mut sections = Vec::new();
    while at < table.len() {
        let (name, n) = (word(table, at)?, word(table, at + 4)? as usize);
        at += 8;
        let end = at.checked_add(n.checked_mul(size)?)?;
        let records = table.get(at..end)?.chunks_exact(size).map(&read).collect::<Option<Vec<T>>>()?;
        sections.push((btf.string(name).to_string(), records));
        at = end;
    }
    Some(sections)
}
