//! Text to tree and back.
//!
//! [`parse`] never fails: it gives the part of the script that could be understood and diagnostics for the rest.
//! The tree is plain data with spans and without types. The grammar's rule names do not leave this crate.
//!
//! ```text
//! text ─ preprocess ─► code only ─ outline ─► items ─ grammar (pest) ─► pairs ─ build ─► ast::Script
//!            │ comments, directives   │ bracket errors    │ errors: message, recover        │
//!            └────────────────────────┴────────────── Vec<Diagnostic> ◄────────────────────┘
//! ```

pub mod ast;
mod build;
mod dump;
mod format;
mod message;
mod outline;
mod parse;
mod preprocess;
mod recover;

pub use dump::{dump, dump_expr, dump_with_spans};
pub use format::{format, print};
pub use parse::{MAX_HEADER, MAX_SCRIPT, MacroCalls, ParseOptions, Parsed, parse, parse_expr, parse_header};

/// How deep a tree can be. Whoever walks one may recurse.
pub const MAX_DEPTH: u32 = 200;
