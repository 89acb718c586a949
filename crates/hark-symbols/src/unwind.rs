//! How frames of x86-64 code are left, as `.eh_frame` says (System V ABI, AMD64 supplement, 3.6.2 and 3.7).

use crate::elf::Elf;
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EndianSlice, LittleEndian, Register, RegisterRule, UnwindSection,
};

/// DWARF's number of the base pointer.
const RBP: Register = Register(6);
/// DWARF's number of the stack pointer.
const RSP: Register = Register(7);
/// DWARF's number of the return address.
const RETURN_ADDRESS: Register = Register(16);

/// Where a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEnd {
    /// Nothing is known, or there is no caller.
    Unknown,
    /// At an offset from the stack pointer.
    StackPointer(i32),
    /// At an offset from the base pointer.
    BasePointer(i32),
    /// As in the linker's jump slots, of which `.eh_frame` gives a formula.
    JumpSlot,
}

/// What holds from an address on, up to the next row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Address in the file's own numbering.
    pub address: u64,
    /// Where the frame ends; the return address lies in the word before.
    pub end: FrameEnd,
    /// Offset from the end at which the caller's base pointer was saved, if it was.
    pub saved_base: Option<i16>,
}

/// All rows of a file, in order of address. Empty if it has no tables, or none that can be read.
pub fn frame_rows(elf: &Elf) -> Vec<FrameRow> {
    let Some((bytes, at)) = elf.section(".eh_frame").zip(elf.section_address(".eh_frame")) else {
        return Vec::new();
    };
    let mut bases = BaseAddresses::default().set_eh_frame(at);
    if let Some(text) = elf.section_address(".text") {
        bases = bases.set_text(text);
    }
    if let Some(got) = elf.section_address(".got") {
        bases = bases.set_got(got);
    }
    let section = EhFrame::new(bytes, LittleEndian);
    let mut functions = rows_of(&section, &bases).unwrap_or_default();
    functions.sort_by_key(|(range, _)| range.start);
    let mut rows: Vec<FrameRow> = Vec::new();
    let mut covered = 0;
    for (range, of_function) in functions {
        if range.start > covered && covered > 0 {
            rows.push(FrameRow { address: covered, end: FrameEnd::Unknown, saved_base: None });
        }
        rows.extend(of_function);
        covered = covered.max(range.end);
    }
    if covered > 0 {
        rows.push(FrameRow { address: covered, end: FrameEnd::Unknown, saved_base: None });
    }
    rows.sort_by_key(|row| row.address);
    // What says the same as the row before says nothing.
    rows.dedup_by(|next, row| (next.end, next.saved_base) == (row.end, row.saved_base));
    rows
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Function = (std::ops::Range<u64>, Vec<FrameRow>);

fn rows_of(section: &EhFrame<Slice<'_>>, bases: &BaseAddresses) -> gimli::Result<Vec<Function>> {
    let mut functions = Vec::new();
    let mut context = gimli::UnwindContext::new();
    let mut entries = section.entries(bases);
    while let Some(entry) = entries.next()? {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        // One that cannot be read leaves a hole; the others are as good as before.
        let Ok(fde) = partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)) else {
            continue;
        };
        let Some(end) = fde.initial_address().checked_add(fde.len()) else { continue };
        let mut rows = Vec::new();
        let Ok(mut table) = fde.rows(section, bases, &mut context) else { continue };
        while let Ok(Some(row)) = table.next_row() {
            // What begins where the function ends, after a call that does not return, says nothing of what follows.
            if row.start_address() >= end {
                break;
            }
            rows.push(FrameRow {
                address: row.start_address(),
                end: frame_end(row.cfa(), row.register(RETURN_ADDRESS)),
                saved_base: match row.register(RBP) {
                    Some(RegisterRule::Offset(offset)) => i16::try_from(offset).ok().filter(|n| *n != 0),
                    _ => None,
                },
            });
        }
        functions.push((fde.initial_address()..end, rows));
    }
    Ok(functions)
}

fn frame_end(cfa: &CfaRule<usize>, return_address: Option<RegisterRule<usize>>) -> FrameEnd {
    let offset = |n: i64| i32::try_from(n).ok();
    match (cfa, return_address) {
        // The first function of a program has no caller.
        (_, Some(RegisterRule::Undefined)) => FrameEnd::Unknown,
        (CfaRule::RegisterAndOffset { register: RSP, offset: n }, _) => {
            offset(*n).map_or(FrameEnd::Unknown, FrameEnd::StackPointer)
        }
        (CfaRule::RegisterAndOffset { register: RBP, offset: n }, _) => {
            offset(*n).map_or(FrameEnd::Unknown, FrameEnd::BasePointer)
        }
        // Formulas are used for jump slots only, but for the frames of signals, whose return address is elsewhere.
        (CfaRule::Expression(_), Some(RegisterRule::Offset(-8))) => FrameEnd::JumpSlot,
        _ => FrameEnd::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn own_functions_can_be_left() {
        let elf = Elf::open(Path::new("/proc/self/exe")).expect("own program");
        if elf.machine() != crate::elf::Machine::X86_64 {
            return;
        }
        let rows = frame_rows(&elf);
        assert!(rows.len() > 1000, "{}", rows.len());
        assert!(rows.windows(2).all(|pair| pair[0].address <= pair[1].address));
        // A function begins with nothing but the return address on the stack.
        let start =
            elf.functions().iter().find(|f| f.name.contains("own_functions_can_be_left")).map(|f| f.addr);
        let at = start.expect("this function");
        let row = rows.iter().rev().find(|row| row.address <= at).expect("a row");
        assert_eq!((row.end, row.saved_base), (FrameEnd::StackPointer(8), None));
    }
}
