//! What it takes to walk the stack of a process that keeps no frame pointers.

use super::Answer;
use hark_object::CatalogError;
use hark_object::unwind::{BLOCK_ROWS, BLOCKS, Cfa, MAPPINGS, UnwindMapping, UnwindRow, UnwindTables};
use hark_symbols::library::seen_by;
use hark_symbols::{Elf, FrameEnd, FrameRow, ProcMaps, frame_rows};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The name of the code that the kernel maps into every process.
const VDSO: &str = "[vdso]";

/// Rows that there is room for.
const ROOM: usize = (BLOCKS * BLOCK_ROWS) as usize;

/// Tables for what a process has mapped now.
pub(super) fn tables(pid: u32) -> Answer<UnwindTables> {
    let path = format!("/proc/{pid}/maps");
    let text = fs::read(&path)
        .map_err(|error| CatalogError { message: format!("cannot read {path}: {error}"), help: None })?;
    let maps = ProcMaps::parse(&String::from_utf8_lossy(&text));
    let mut tables = UnwindTables::default();
    let mut files: HashMap<PathBuf, Option<(Elf, Range<u32>)>> = HashMap::new();
    for mapping in maps.iter().filter(|mapping| mapping.executable) {
        let path = match mapping.path() {
            Some(path) => seen_by(pid, path),
            None if mapping.name == VDSO => PathBuf::from(VDSO),
            None => continue,
        };
        if tables.mappings.len() + 1 >= MAPPINGS as usize {
            tables.left_out.push(path.display().to_string());
            continue;
        }
        let file = files.entry(path).or_insert_with_key(|path| {
            let elf = match path.to_str() {
                Some(VDSO) => memory(pid, mapping.range.clone())?,
                _ => Elf::open(path).ok()?,
            };
            let rows = frame_rows(&elf);
            if tables.rows.len() + rows.len() > ROOM {
                tables.left_out.push(path.display().to_string());
                return None;
            }
            let first = tables.rows.len() as u32;
            tables.rows.extend(rows.iter().filter_map(row));
            Some((elf, first..tables.rows.len() as u32))
        });
        let Some((elf, rows)) = file else { continue };
        let offsets = mapping.offset..mapping.offset.saturating_add(mapping.range.end - mapping.range.start);
        let Some(address) = elf.address_of_code(&offsets) else { continue };
        let (range, bias) = (mapping.range.clone(), mapping.range.start.wrapping_sub(address));
        tables.mappings.push(UnwindMapping { range, bias, rows: rows.clone() });
    }
    tables.mappings.sort_by_key(|mapping| mapping.range.start);
    Ok(tables)
}

/// An ELF file that is nowhere but in the memory of a process.
fn memory(pid: u32, range: Range<u64>) -> Option<Elf> {
    let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.seek(SeekFrom::Start(range.start)).ok()?;
    let mut bytes = Vec::new();
    memory.take(range.end - range.start).read_to_end(&mut bytes).ok()?;
    Elf::parse(bytes, Path::new(VDSO)).ok()
}

fn row(row: &FrameRow) -> Option<UnwindRow> {
    let (cfa, cfa_offset) = match row.end {
        FrameEnd::Unknown => (Cfa::Unknown, 0),
        FrameEnd::StackPointer(offset) => (Cfa::StackPointer, offset),
        FrameEnd::BasePointer(offset) => (Cfa::BasePointer, offset),
        FrameEnd::JumpSlot => (Cfa::JumpSlot, 8),
    };
    let bp_offset = row.saved_base.unwrap_or(0);
    Some(UnwindRow { address: u32::try_from(row.address).ok()?, cfa, cfa_offset, bp_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_has_rows() {
        let tables = tables(std::process::id()).expect("own mappings");
        let here = own_code_has_rows as fn() as usize as u64;
        let mapping = tables.mappings.iter().find(|m| m.range.contains(&here)).expect("own code");
        let rows = &tables.rows[mapping.rows.start as usize..mapping.rows.end as usize];
        let at = (here - mapping.bias) as u32;
        let row = rows.iter().rev().find(|row| row.address <= at).expect("a row");
        assert_eq!((row.cfa, row.cfa_offset), (Cfa::StackPointer, 8));
    }
}
