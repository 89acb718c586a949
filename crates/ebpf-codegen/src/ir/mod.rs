//! The SSA IR: functions of blocks with parameters.
//!
//! All arithmetic is on 64-bit integers ([`Type::I64`]); narrower values are made by explicit extensions. Pointers
//! ([`Type::Ptr`]) are what the verifier calls pointers: the context, stack slots, map values, ring-buffer records,
//! maps, typed kernel objects. An address that is only ever handed to `probe_read` is an integer.
//!
//! Memory of a function is a list of [`SlotData`]; where a slot lies (stack or per-CPU scratch) is decided late.

mod builder;
mod compact;
mod entity;
mod function;
mod inst;
pub mod parse;
pub mod print;
pub mod validate;

pub use builder::{Builder, Variable};
pub use entity::{Block, FuncRef, IndexVec, Inst, SlotId, Value};
pub use function::{BlockData, Function, InstNode, Module, SlotData, ValueData, ValueDef};
pub use inst::{BinOp, BlockCall, Cond, InstData, Terminator, Type, UnOp};
