//! Unit tests of scripts: probes that fire when a test says so, in a simulated kernel, with made-up arguments, tasks and
//! time. They need no rights and take milliseconds.
//!
//! ```text
//!  script with `//:` lines ── syntax ──▶ Tests ── play ──▶ Report
//!                                          │
//!             catalog (probes that tests name)   memory, task, context (what a probe sees)
//! ```
//!
//! `docs/testing.md` describes the language of tests.

mod catalog;
mod compare;
mod context;
mod memory;
mod play;
mod syntax;
mod task;

pub use play::{Report, Setting, Verdict, run};
pub use syntax::{Test, parse};
pub use task::task_image;
