//! Programs from outside: what `hark verify` is given.
//!
//! ```text
//!  JSON line ── json ─┐
//!  file.o ───── elf ──┴─▶ Case ── judge ──▶ Judgement (verifier-sim)
//! ```
//!
//! A [`Case`] is one program as the kernel would be given it: relocated, with the maps it uses and its type
//! information. Bytes in, cases out: files are opened by the caller.

mod case;
pub mod elf;

mod json;
mod load;
mod special;

pub use case::{AttachTo, Case, CaseMap, FuncInfo, Judgement, LineInfo, MapBtf, SourceLine};
pub use json::{BadCase, CaseTarget, OpenBtf, read_case, write_verdict};
pub use load::{PrepareError, Prepared, load, prepare};
pub use special::special_fields;
