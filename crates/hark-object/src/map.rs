//! Maps of an object.

use crate::ty::Ty;
use bpf_facts::MapType;

/// A map; programs refer to it by its index in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDef {
    /// Name: `@reads` for the script's maps; the kernel is given as much of it as it takes.
    pub name: String,
    /// Type.
    pub ty: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries (bytes for a ring buffer; 0 there means: chosen by the runtime).
    pub max_entries: u32,
    /// `map_flags`.
    pub flags: u32,
    /// What it is for.
    pub role: MapRole,
}

/// What a map is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRole {
    /// A map of the script.
    User(UserMap),
    /// The ring buffer that carries events.
    Events,
    /// Per-CPU memory of programs.
    Scratch,
    /// `u64` counters of losses. See [`crate::Loss`].
    Losses,
    /// Control events that found the ring buffer full: an array of one value, a `u64` for every event of the
    /// object. Programs add 1 to the word of a `clear`, `zero` or `print(@m)` without fields; of `exit` they set it
    /// to 1 + the code (as `u32`). The runtime looks after each batch of records and does what is new.
    Pending,
    /// An array of one `u64` that is always 0, but not to the verifier: a word combined with it is one that the
    /// verifier knows nothing of.
    Zero,
    /// What is known only when the run begins: an array of one value of [`crate::RUN_INFO_SIZE`] bytes. See
    /// [`crate::RunField`].
    RunInfo,
    /// Initialised read-only data of programs: an array of one value.
    Data(Vec<u8>),
}

/// A map of the script.
///
/// The value of an aggregation is merged over CPUs if the map's type is per-CPU, and taken as it is if not.
/// Without a key it is an array of one value: the value in its layout, and behind it, at the next multiple of 8, a
/// `u64` that is 1 once the map has been assigned. With a key it is a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMap {
    /// Key; several keys are a tuple. `None` for a map without keys.
    pub key: Option<Ty>,
    /// Value.
    pub value: Ty,
}

impl UserMap {
    /// Where the "has been assigned" word of a map without keys lies.
    pub fn presence_offset(&self) -> u32 {
        self.value.layout().size.next_multiple_of(8)
    }
}
