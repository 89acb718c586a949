//! Maps of an object.

use crate::loss::FailureSite;
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
    /// The ring buffer that carries what was seen.
    Events,
    /// The ring buffer that carries what user space is to do: see [`crate::EventKind::is_control`].
    Control,
    /// Per-CPU memory of programs.
    Scratch,
    /// `u64` counters of losses. See [`crate::Loss`].
    Losses,
    /// Failures of helpers: an array of one value, [`FailureSite::SIZE`] bytes for each of these places in order.
    Failures(Vec<FailureSite>),
    /// Control events that found even their own ring full: an array of one value, a `u64` for every event of the
    /// object. Programs add 1 to the word of a `clear`, `zero` or `print(@m)`; of `exit` they set the low half to
    /// 1 + the code and the high half to 1. The runtime looks after each batch of records and does what is new, each thing once.
    Pending,
    /// An array of one value, a `u64` for every map of the object (counted by [`MapRole::User`], from the first): the
    /// generation that programs are to write to. See [`UserMap::generations`].
    Generations,
    /// An array of one `u64` that is always 0, but not to the verifier: a word combined with it is one that the
    /// verifier knows nothing of.
    Zero,
    /// What is known only when the run begins: an array of one value of [`crate::RUN_INFO_SIZE`] bytes. See
    /// [`crate::RunField`].
    RunInfo,
    /// Code that is mapped: see [`crate::unwind`].
    UnwindMappings,
    /// How its frames are left: see [`crate::unwind`].
    UnwindRows,
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
    /// Whether entries belong to generations, so that user space can take all that there is at one moment while
    /// programs go on writing: it begins a new generation, waits until no program is left that knows only the old
    /// one, and has what is older for itself.
    ///
    /// With a key, the generation is a `u64` behind the key, at [`UserMap::generation_offset`]. Without one there are
    /// two values: entry 0 for even generations, entry 1 for odd ones.
    pub generations: bool,
}

impl UserMap {
    /// Where the generation lies in a key.
    pub fn generation_offset(&self) -> u32 {
        self.key.as_ref().map_or(0, |key| key.layout().size.next_multiple_of(8))
    }

    /// Where the "has been assigned" word of a map without keys lies.
    pub fn presence_offset(&self) -> u32 {
        self.value.layout().size.next_multiple_of(8)
    }
}
