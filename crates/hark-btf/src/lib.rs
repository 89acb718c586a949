//! BTF: read, query, write.
//!
//! Bytes in, bytes out: who opens `/sys/kernel/btf/vmlinux` is the caller. [`Btf::parse`] keeps the bytes it is given
//! and makes one pass that records where each type starts; everything else (names, members, layouts) is read from the
//! bytes when asked for, because a script touches a few dozen of a kernel's 130,000 types.
//!
//! ```text
//!  bytes ──parse──▶ Btf ──find/type_by_id──▶ Type ──members/params/enumerators
//!                    ├── resolve, size_of, layout, resolve_path     (layout.rs)
//!                    └── type_name, definition: C text              (c_text.rs)
//!  Def … ──add──▶ Builder ──build──▶ bytes
//! ```
//!
//! Bytes may come from anywhere. A structurally wrong section is refused by `parse`; dangling ids, cyclic chains and
//! nested definitions that would take exponential work are found when they are met, and bounded: no query panics, and
//! none takes more than a fixed number of steps.

mod btf;
mod builder;
mod c_text;
mod error;
mod info;
mod kind;
mod layout;
mod names;
mod raw;
mod types;

pub use btf::{Btf, Bytes};
pub use builder::{Builder, Def, DefMember};
pub use error::{BtfError, PathError};
pub use info::{FuncInfo, LineInfo, pack_func_info, pack_line_info};
pub use kind::{Kind, Linkage, TypeId};
pub use layout::{BitRange, Field, FieldAccess, Layout};
pub use names::FuncProto;
pub use raw::Endian;
pub use types::{Array, Enumerator, IntEncoding, Member, Param, SectionVar, Type};
