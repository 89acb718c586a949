//! Events: what programs send to user space through the ring buffer.
//!
//! A record is `u32` index into [`crate::Object::events`], `u32` zero, then the fields of that event at their
//! offsets (counted from the start of the record).

use crate::format::Format;
use crate::ty::Ty;
use ebpf_asm::MapRef;
use hark_diag::Span;
use std::sync::Arc;

/// Bytes before the first field of a record.
pub const EVENT_HEADER: u32 = 8;

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
    /// `errorf`, `warnf`: to standard error with the place of the call.
    Message(Severity, TextFormat),
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
    /// A helper returned an error that the user asked to hear about.
    HelperError {
        /// Its name, without `bpf_`.
        helper: Arc<str>,
        /// `Int` of 4 bytes, signed: what it returned.
        retcode: Field,
    },
    /// `skboutput` and others that carry raw bytes to a file.
    Packet {
        /// The file.
        path: Arc<str>,
        /// [`Ty::Buf`].
        data: Field,
    },
}
