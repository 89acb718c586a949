//! Loads an object, runs the event loop, prints maps and events.
//!
//! [`run`] is all of it; the rest is what it is made of. Nothing here knows the language: an
//! [`Object`](hark_object::Object) says what to load, and what each record of the ring means.

mod actions;
mod attach;
mod code;
mod engine;
mod error;
mod events;
mod failures;
pub mod features;
mod host_names;
mod load;
mod losses;
mod maps;
mod names;
mod notify;
mod output;
mod pcap;
mod progress;
mod rehearsal;
pub mod render;
mod selftest;
mod session;
mod sink;
mod unwind;
mod value;

pub use engine::needs_kernel;
pub use error::{AttachFailure, RunError};
pub use hark_symbols::{FileBytes, map_file};
pub use host_names::HostNames;
pub use load::{Maps, RunFacts, load_program, load_program_logged};
pub use maps::{Snapshot, Table};
pub use names::{CodeReader, FilePlace, Frame, Names, format_time};
pub use notify::VARIABLE as NOTIFY_SOCKET;
pub use output::{Output, OutputFormat, TextKind};
pub use rehearsal::{Rehearsal, Stage, rehearse};
pub use session::{Ended, Mode, Options, Setup, run};
pub use sink::{Buffering, Sink};
pub use value::{Members, Value, compare};
