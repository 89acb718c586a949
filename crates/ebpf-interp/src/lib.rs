//! An interpreter for eBPF, and a kernel made of it.
//!
//! ```text
//!  Program ─▶ Code (dense) ─▶ run ─▶ r0 or Trap
//!                              │
//!                     Memory ◀─┴─▶ Helpers ◀─ SimKernel (maps, clock, task, timers)
//! ```
//!
//! [`run`] executes a program in a [`Memory`] of its own: a guest pointer is the number of a region and an offset, so
//! that no access leaves what the guest was given. What a verified program may not do ends in a [`Trap`] that names the
//! instruction; nothing panics and nothing runs for ever.
//!
//! [`SimKernel`] puts maps, helpers, a clock and a task around it and implements `bpf_syscall::Kernel`: what is written
//! for the running kernel runs on it unchanged, without rights, in tests and in the embedded engine.

mod code;
mod machine;
mod memory;
mod sim;
mod slow;
mod trap;

pub use code::Code;
pub use machine::{Entry, Helpers, Machine, NoHelpers, Observed, Observer, Outcome, observe, run};
pub use memory::{Access, Fault, Memory, RegionId};
pub use sim::{SimClock, SimKernel, Site, Task, confine, helpers, simulates};
pub use trap::{Trap, TrapKind};
