//! The language: names, types, builtins, probes, lowering to IR.
//!
//! ```text
//! ast::Script ── sema::analyze ──▶ TypedScript ── lower::lower ──▶ ir::Module … ── ebpf_codegen ──▶ Object
//! ```
//!
//! Compilation is a pure function of the source and a [`Target`]: no file, no clock, no environment is read here.

pub mod builtins;
pub mod check;
mod ctypes;
mod driver;
mod dump;
pub mod explain;
mod inspect;
mod kernel_types;
pub mod list_probes;
mod lower;
pub mod probes;
mod prog_types;
mod rounds;
mod sema;
mod sources;
mod target;
pub mod tracefs;
mod typed;
mod types;
mod user_types;
mod verify;

pub use driver::{Compilation, compile};
pub use dump::{Stage, asm, dump};
pub use inspect::{after_passes, golden_case, json, timed};
pub use kernel_types::KernelTypes;
pub use sources::{Files, SourceText, Sources, gather};
pub use target::{Options, ProbeFilter, Target};
pub use verify::verify_object;
