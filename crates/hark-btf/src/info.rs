//! Records that tie instructions to functions and source lines, for `BPF_PROG_LOAD`
//! (`struct bpf_func_info`, `struct bpf_line_info` of `include/uapi/linux/bpf.h`). The same records, behind a
//! section header, make up `.BTF.ext`.

use crate::kind::TypeId;
use crate::raw::Endian;

/// Which function starts at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// Index of the first instruction, in 8-byte slots.
    pub insn: u32,
    /// Its `Func`.
    pub func: TypeId,
}

impl FuncInfo {
    /// Bytes of a record: `func_info_rec_size`.
    pub const SIZE: u32 = 8;
}

/// Which source line an instruction, and those up to the next record, come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Index of the instruction, in 8-byte slots.
    pub insn: u32,
    /// File name, as an offset in the program's BTF strings.
    pub file: u32,
    /// Text of the line, as an offset in the program's BTF strings. The verifier's log quotes it.
    pub text: u32,
    /// Line from 1; lines beyond 2^22 − 1 are recorded as that.
    pub line: u32,
    /// Column from 1; columns beyond 1023 are recorded as that.
    pub column: u32,
}

impl LineInfo {
    /// Bytes of a record: `line_info_rec_size`.
    pub const SIZE: u32 = 16;
}

/// The bytes that `func_info` points to. The kernel wants rising `insn`, the first of them 0.
pub fn pack_func_info(endian: Endian, records: &[FuncInfo]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * FuncInfo::SIZE as usize);
    for r in records {
        endian.push_u32(&mut out, r.insn);
        endian.push_u32(&mut out, r.func.0);
    }
    out
}

/// The bytes that `line_info` points to. The kernel wants rising `insn`, and one record at each function's start.
pub fn pack_line_info(endian: Endian, records: &[LineInfo]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * LineInfo::SIZE as usize);
    for r in records {
        endian.push_u32(&mut out, r.insn);
        endian.push_u32(&mut out, r.file);
        endian.push_u32(&mut out, r.text);
        endian.push_u32(&mut out, r.line.min((1 << 22) - 1) << 10 | r.column.min(1023));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_packed_as_the_kernel_reads_them() {
        let func = pack_func_info(Endian::Little, &[FuncInfo { insn: 3, func: TypeId(7) }]);
        assert_eq!(func, [3, 0, 0, 0, 7, 0, 0, 0]);
        let line = LineInfo { insn: 1, file: 2, text: 3, line: 5, column: 9999 };
        let line = pack_line_info(Endian::Big, &[line]);
        assert_eq!(line, [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 5 << 2 | 3, 0xff]);
    }
}
