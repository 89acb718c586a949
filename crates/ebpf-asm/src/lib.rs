//! The eBPF instruction set: the only crate that knows how an instruction is written in bits or in text.
//!
//! [`Program`] is a list of logical instructions; [`encode`](encode::encode) and [`decode`](decode::decode) turn
//! it into the kernel's 8-byte slots and back, [`parse`](text::parse) and `Display` into the kernel's assembly
//! dialect and back. The format is that of RFC 9669.

mod insn;

pub use insn::{
    AluOp, AtomicOp, Callee, Cond, Imm64, Insn, InsnIdx, MapRef, Operand, Program, Reg, Size, Slot, SrcLoc,
    SwapOp, Target, Width,
};
