//! What a compiled script is, independent of who made it and who runs it.
//!
//! An [`Object`] is plain data: programs, maps, probes, events. The compiler writes it, the runtime loads and runs
//! it; neither knows the other. How a value lies in memory ([`Ty`]) and how an aggregation is kept ([`agg`]) stand
//! here once, so that the program which writes bytes and the printer which reads them cannot disagree.

pub mod agg;
mod catalog;
mod config;
mod event;
mod format;
mod map;
mod object;
mod probe;
mod ty;

pub use catalog::{Catalog, CatalogError, EmptyCatalog, KernelFunction, UserFunction};
pub use config::{CONFIG_KEYS, Config, ConfigKey, ConfigType, MissingProbes, StackMode};
pub use event::{EVENT_HEADER, EventDef, EventKind, Field, Severity, TextFormat};
pub use format::{Conv, ConvKind, Format, FormatError, Length, Piece};
pub use map::{MapDef, MapRole, UserMap};
pub use object::{BtfTarget, Object, ProbeDef, ProgramDef};
pub use probe::{ProbeSpec, UserLocation};
pub use ty::{Clock, EnumTy, Layout, Member, RecordField, StructTy, Ty};
