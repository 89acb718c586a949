//! Text to tree and back.
//!
//! [`parse`] never fails: it gives the part of the script that could be understood and diagnostics for the rest.
//! The tree is plain data with spans and without types. The grammar's rule names do not leave this crate.

pub mod ast;
