//! Events: what programs send to user space through the ring buffer.
//!
//! A record is `u32` index into [`crate::Object::events`], `u32` zero, then the fields of that event at their
//! offsets (counted from the start of the record).
//!
//! What tells user space to do something ([`EventKind::is_control`]) has a ring of its own, which no flood of data
//! can fill. Such a record says in a `u64` at [`CONTROL_POSITION`] how far the ring of data had been written when it
//! was made: that is its place among the data.

use crate::format::Format;
use crate::ty::Ty;
use ebpf_asm::MapRef;
use hark_diag::Span;
use std::sync::Arc;

/// Bytes before the first field of a record.
pub const EVENT_HEADER: u32 = 8;
/// Where a control record holds the producer's position in the ring of data.
pub const CONTROL_POSITION: u32 = 8;
/// Bytes before the first field of a control record.
pub const CONTROL_HEADER: u32 = 16;

/// A value in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Offset from the start of the record.
    pub offset: u32,
    /// Type.
    pub ty: Ty,
}

/// A format and the fields it takes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFormat {
    /// Parsed format string.
    pub format: Format,
    /// Arguments.
    pub args: Vec<Field>,
}

/// How a message of the script is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `warnf`
    Warning,
    /// `errorf`
    Error,
}

/// What becomes of the entries of a map that `print` has shown. A script that clears a map right after printing it
/// means those entries, and none that came between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// They stay.
    Keep,
    /// They are removed: `print(@m); clear(@m);`.
    Clear,
    /// They are set to zero: `print(@m); zero(@m);`.
    Zero,
}

/// One kind of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDef {
    /// What to do with it.
    pub kind: EventKind,
    /// Bytes of a record.
    pub size: u32,
    /// The call in the script.
    pub span: Span,
}

/// What user space does when a record arrives, in order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `printf`
    Printf(TextFormat),
    /// `errorf`, `warnf`: to standard error with the place of the call, and of the calls of macros that it was
    /// expanded from, innermost first.
    Message(Severity, TextFormat, Arc<[Span]>),
    /// `print(x)` of a value.
    Print(Field),
    /// `print(@m, top, div)`
    PrintMap {
        /// Which.
        map: MapRef,
        /// How many of the largest; all if `None`.
        top: Option<Field>,
        /// Values are divided by it.
        div: Option<Field>,
        /// What becomes of what was printed.
        then: Then,
    },
    /// `print(@m[k])`. If the map's value is an aggregation, `value` takes no part: the runtime reads the map.
    PrintMapValue {
        /// Which.
        map: MapRef,
        /// The key.
        key: Field,
        /// The value; of no size for aggregations.
        value: Field,
    },
    /// `clear(@m)`
    Clear(MapRef),
    /// `zero(@m)`
    Zero(MapRef),
    /// `exit(code)`
    Exit(Option<Field>),
    /// `time(format)`
    Time(Arc<str>),
    /// `strftime` and the like are types of fields; `join` is: `u32` count at `fields`, then that many strings.
    Join {
        /// Between the parts.
        separator: Vec<u8>,
        /// `Int` of 4 bytes: how many of `parts` are filled.
        count: Field,
        /// The parts.
        parts: Vec<Field>,
    },
    /// `cat(format, …)`
    Cat(TextFormat),
    /// `system(format, …)`
    System(TextFormat),
    /// A warning found at run time (division by zero, index out of bounds…), given by its text.
    RuntimeWarning(Arc<str>),
    /// `skboutput` and others that carry raw bytes to a file.
    Packet {
        /// The file.
        path: Arc<str>,
        /// [`Ty::Buf`].
        data: Field,
    },
}

impl EventKind {
    /// Whether it tells user space to do something with the run or a map, rather than carrying what was seen.
    pub fn is_control(&self) -> bool {
        match self {
            EventKind::PrintMap { .. } | EventKind::Clear(_) | EventKind::Zero(_) | EventKind::Exit(_) => {
                true
            }
            EventKind::Printf(_)
            | EventKind::Message(..)
            | EventKind::Print(_)
            | EventKind::PrintMapValue { .. }
            | EventKind::Time(_)
            | EventKind::Join { .. }
            | EventKind::Cat(_)
            | EventKind::System(_)
            | EventKind::RuntimeWarning(_)
            | EventKind::Packet { .. } => false,
        }
    }

    /// Bytes before the first field of its records.
    pub fn header(&self) -> u32 {
        if self.is_control() { CONTROL_HEADER } else { EVENT_HEADER }
    }
}
