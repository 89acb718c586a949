//! Oracles: functions that take anything and say what is wrong, if something is.
//!
//! Property tests call them with random bytes for a second or so, the fuzzers in `fuzz/` for hours. Bytes decide
//! everything, so that a finding is a file.
//!
//! | oracle | what holds |
//! |---|---|
//! | [`parser`] | no text panics; what is understood is formatted, once and for all, into the same tree |
//! | [`compiler`] | what type-checks compiles, is accepted by the simulated verifier and by the kernel, and prints the same whether it is optimised or not |
//! | [`optimiser`] | a function does the same before each pass and after it, as bytecode, and in the kernel |
//! | [`verdict`] | the simulated verifier says what the kernel says |
//! | [`states`] | a program that is accepted never traps, and its registers and stack hold what the verifier says |
//! | [`assembler`] | bytes, instructions and text lead to each other |
//! | [`readers`] | no file or text of the system makes its reader panic |
//! | [`domains`] | what is known of a number after an operation holds for the number |

mod assembler;
mod compiler;
mod domains;
mod optimiser;
mod parser;
mod readers;
mod states;
mod verdict;

pub use assembler::assembler;
pub use compiler::{Compilers, compiler};
pub use domains::domains;
pub use optimiser::optimiser;
pub use parser::{parser, parser_of_tokens};
pub use readers::{Reader, readers};
pub use states::states;
pub use verdict::{Benches, Verdicts, verdict};

/// What is wrong, with everything that is needed to see it; or nothing.
pub type Finding = Result<(), String>;
