//! Turns what a script says to trace into attached programs.
//!
//! ```text
//!  ProbeSpec ── expand ──▶ AttachPoints ── Method::choose ──▶ (load) ── attach_all ──▶ Links ── detach_all ──▶ Leftovers
//!             Catalog                       KernelProfile               Kernel
//! ```
//!
//! [`expand`] looks at the host through a [`Catalog`](hark_object::Catalog) only, and [`attach_all`] at the kernel
//! through the [`Kernel`](bpf_syscall::Kernel) trait. [`HostCatalog`] is the catalogue of the machine we run on.

mod attach;
mod catalog;
mod describe;

mod error;
mod expand;
mod kinds;
mod link;
mod point;
mod suggest;

pub use attach::{Method, Program, Scope, attach, attach_all};

pub use catalog::HostCatalog;
pub use describe::describe;
pub use error::AttachError;
pub use expand::expand;
pub use hark_symbols::DebugDirs;
pub use kinds::on_demand::run_once;
pub use link::{Leftovers, Link, detach_all};
pub use suggest::suggestion;

pub use point::{AttachPoint, Place, attach_order};
