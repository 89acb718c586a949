//! The eBPF instruction set: the only crate that knows how an instruction is written in bits or in text.
//!
//! ```text
//!                    ┌─ encode ─▶ 8-byte slots ─ decode ─┐
//!  Assembler ─▶ Program                                   ├─▶ Program
//!                    └─ Display ─▶  assembly  ── parse ──┘
//! ```
//!
//! [`Program`] is a list of logical instructions whose jumps name instructions, not distances. [`encode`] and
//! [`decode`] turn it into the kernel's slots and back, [`parse`] and `Display` into the kernel's assembly dialect
//! and back. What an operation looks like in either form is one row of [`OPS`]. The format is that of RFC 9669.
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a silent cast here becomes a wrong instruction"
)]

mod assembler;
mod decode;
mod display;
mod encode;
mod insn;
mod ops;
mod slots;
mod text;
pub mod unlinked;

pub use assembler::{AssembleError, Assembler, Label};
pub use decode::{DecodeError, DecodeErrorKind, decode};
pub use display::{DisplayWith, Jumps, show};
pub use encode::{EncodeError, EncodeErrorKind, encode};
pub use insn::{
    AluOp, AtomicOp, Callee, Cond, Imm64, Insn, InsnIdx, MapRef, Operand, Program, Reg, Size, Slot, SrcLoc,
    SwapOp, Target, Width,
};
pub use ops::{Family, OPS, Op, OpDef, since};
pub use slots::SlotMap;
pub use text::{AsmError, parse, parse_with_helpers};
