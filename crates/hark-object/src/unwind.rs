//! Tables by which a program in the kernel walks the stack of a process that keeps no frame pointers.
//!
//! What a compiler says of each instruction in `.eh_frame` comes down to a few cases on x86-64: the frame's end (its
//! canonical frame address, CFA) lies at an offset from the stack pointer or from the base pointer, the return address
//! lies before it, and the caller's base pointer was saved at another offset or not at all. Two arrays hold that:
//!
//! | map | entry | layout |
//! |---|---|---|
//! | [`crate::MapRole::UnwindMappings`] | one for all code that is mapped, by address; entry 0 begins with their number | start, end, bias: `u64`; first, last row: `u32` |
//! | [`crate::MapRole::UnwindRows`] | [`BLOCK_ROWS`] rows each | address: `u32`; CFA's offset: `i32`; base pointer's offset from the CFA: `i16`; [`Cfa`]: `u8` |

use std::ops::Range;

/// Rows in one entry of the array of rows.
pub const BLOCK_ROWS: u32 = 256;
/// Bytes of a row.
pub const ROW_SIZE: u32 = 16;
/// Entries of the array of rows: as many rows as a large program and its libraries have.
pub const BLOCKS: u32 = 4096;
/// Bytes of a mapping.
pub const MAPPING_SIZE: u32 = 32;
/// Entries of the array of mappings, the one with their number among them. A power of two.
pub const MAPPINGS: u32 = 1024;

/// Offsets in a mapping.
pub mod mapping {
    /// First address.
    pub const START: i32 = 0;
    /// Behind the last address.
    pub const END: i32 = 8;
    /// What an address in the process has more than in the file's own numbering.
    pub const BIAS: i32 = 16;
    /// Number of its first row.
    pub const FIRST: i32 = 24;
    /// Number behind its last row.
    pub const LAST: i32 = 28;
}

/// Offsets in a row.
pub mod row {
    /// Address from which on it holds, up to the next row's.
    pub const ADDRESS: i32 = 0;
    /// Offset of the CFA from the register that [`super::Cfa`] names.
    pub const CFA_OFFSET: i32 = 4;
    /// Offset from the CFA at which the caller's base pointer was saved; 0 if it is still in its register.
    pub const BP_OFFSET: i32 = 8;
    /// [`super::Cfa`]
    pub const CFA: i32 = 10;
}

/// Where the CFA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cfa {
    /// Not known: the walk ends.
    Unknown = 0,
    /// At an offset from the stack pointer.
    StackPointer = 1,
    /// At an offset from the base pointer.
    BasePointer = 2,
    /// As the linker has it for its jump slots: 8 above the stack pointer, 16 in the last five bytes of a slot of 16.
    JumpSlot = 3,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnwindRow {
    /// Address in the file's own numbering from which on it holds.
    pub address: u32,
    /// Where the CFA is.
    pub cfa: Cfa,
    /// Its offset.
    pub cfa_offset: i32,
    /// Offset from the CFA of the caller's base pointer, 0 if it was not saved.
    pub bp_offset: i16,
}

/// Code that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwindMapping {
    /// Addresses.
    pub range: Range<u64>,
    /// What an address in the process has more than in the file's own numbering.
    pub bias: u64,
    /// Its rows.
    pub rows: Range<u32>,
}

/// All that is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnwindTables {
    /// Code, by address.
    pub mappings: Vec<UnwindMapping>,
    /// Rows, those of one file in order of address.
    pub rows: Vec<UnwindRow>,
    /// Files whose rows found no room.
    pub left_out: Vec<String>,
}

impl UnwindTables {
    /// The entries of the array of mappings, the first with their number.
    pub fn mapping_entries(&self) -> Vec<[u8; MAPPING_SIZE as usize]> {
        let known = &self.mappings[..self.mappings.len().min(MAPPINGS as usize - 1)];
        let mut entries = vec![[0; MAPPING_SIZE as usize]];
        entries[0][..8].copy_from_slice(&(known.len() as u64).to_le_bytes());
        entries.extend(known.iter().map(|mapping| {
            let mut entry = [0; MAPPING_SIZE as usize];
            let mut put = |at: i32, bytes: &[u8]| entry[at as usize..][..bytes.len()].copy_from_slice(bytes);
            put(mapping::START, &mapping.range.start.to_le_bytes());
            put(mapping::END, &mapping.range.end.to_le_bytes());
            put(mapping::BIAS, &mapping.bias.to_le_bytes());
            put(mapping::FIRST, &mapping.rows.start.to_le_bytes());
            put(mapping::LAST, &mapping.rows.end.to_le_bytes());
            entry
        }));
        entries
    }

    /// The entries of the array of rows.
    pub fn row_entries(&self) -> Vec<Vec<u8>> {
        let blocks = self.rows.chunks(BLOCK_ROWS as usize);
        blocks
            .map(|rows| {
                let mut block = vec![0; (BLOCK_ROWS * ROW_SIZE) as usize];
                for (row, at) in rows.iter().zip(block.chunks_exact_mut(ROW_SIZE as usize)) {
                    let mut put =
                        |to: i32, bytes: &[u8]| at[to as usize..][..bytes.len()].copy_from_slice(bytes);
                    put(row::ADDRESS, &row.address.to_le_bytes());
                    put(row::CFA_OFFSET, &row.cfa_offset.to_le_bytes());
                    put(row::BP_OFFSET, &row.bp_offset.to_le_bytes());
                    put(row::CFA, &[row.cfa as u8]);
                }
                block
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_laid_out_as_programs_read_them() {
        let row = UnwindRow { address: 0x1000, cfa: Cfa::BasePointer, cfa_offset: 16, bp_offset: -16 };
        let tables = UnwindTables {
            mappings: vec![UnwindMapping { range: 0x40_1000..0x40_2000, bias: 0x40_0000, rows: 3..260 }],
            rows: vec![row; 257],
            left_out: Vec::new(),
        };
        let mappings = tables.mapping_entries();
        assert_eq!(mappings.len(), 2);
        assert_eq!(mappings[0][..8], 1u64.to_le_bytes());
        assert_eq!(mappings[1][..8], 0x40_1000u64.to_le_bytes());
        assert_eq!(mappings[1][24..], [3, 0, 0, 0, 4, 1, 0, 0]);
        let rows = tables.row_entries();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][..16], [0, 0x10, 0, 0, 16, 0, 0, 0, 0xf0, 0xff, 2, 0, 0, 0, 0, 0]);
        assert_eq!(rows[1][16..32], [0; 16]);
    }
}
