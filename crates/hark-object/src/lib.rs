//! What a compiled script is, independent of who made it and who runs it.
//!
//! An [`Object`] is plain data: programs, maps, probes, events. The compiler writes it, the runtime loads and runs
//! it; neither knows the other. How a value lies in memory ([`Ty`]) and how an aggregation is kept ([`agg`]) stand
//! here once, so that the program which writes bytes and the printer which reads them cannot disagree.

pub mod agg;
mod catalog;
mod config;
mod dump;
mod event;
mod format;
mod json;
mod loss;
mod map;
mod needs;
mod object;
mod pattern;
mod probe;
mod run_info;
mod ty;
pub mod unwind;
mod usdt;
mod user_types;

pub use catalog::{Catalog, CatalogError, EmptyCatalog, KernelFunction, UserFunction};
pub use config::{
    CONFIG_KEYS, Config, ConfigError, ConfigKey, ConfigType, MissingProbes, StackMode, config_key,
};
pub use dump::{dump_maps, dump_object};
pub use event::{
    CONTROL_HEADER, CONTROL_POSITION, EVENT_HEADER, EventDef, EventKind, Field, Severity, TextFormat, Then,
};
pub use format::{Conv, ConvKind, Format, FormatError, Length, Piece};
pub use json::{json_maps, json_object, json_string};
pub use loss::{FailureSite, Loss};
pub use map::{MapDef, MapRole, UserMap};
pub use needs::{Need, needs};
pub use object::{BtfTarget, Object, ProbeDef, ProgramDef, ProgramTypes};
pub use pattern::{glob, is_pattern};
pub use probe::{ProbeSpec, TimeUnit, UserLocation};
pub use run_info::{RUN_INFO_SIZE, RunField};
pub use ty::{Clock, EnumTy, Layout, Member, RecordField, StructTy, Ty};
pub use usdt::{UsdtArgument, UsdtPlace, UsdtRegister, UsdtSite};
pub use user_types::{UserMember, UserSignature, UserType};
