//! Turns SSA functions into bytecode that the kernel's verifier accepts.
//!
//! ```text
//! ir::Function ── opt ──▶ ir::Function ── frame, isel ──▶ mir::Function ── regalloc ──▶ Allocation ── emit ──▶ Program
//!      │ validate                                                              │ check
//! ```
//!
//! The crate knows a machine, not a language: source positions pass through as opaque [`ebpf_asm::SrcLoc`]s. The
//! IR is *validated*, the allocation is *checked*, bytecode is *verified* (by another crate).

mod compile;
mod cost;
pub mod emit;
pub mod frame;
pub mod graph;
pub mod ir;
pub mod isel;
pub mod mir;
pub mod opt;
pub mod regalloc;

pub use compile::{CodegenError, Compiled, Env, Options, Stage, Stats, compile, dump};
pub use cost::{Cost, Paths};
