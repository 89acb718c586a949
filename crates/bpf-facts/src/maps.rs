//! Map types.

use crate::version::V;

/// `enum bpf_map_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the kernel's; MAP_TYPES describes each")]
pub enum MapType {
    Hash = 1,
    Array = 2,
    ProgArray = 3,
    PerfEventArray = 4,
    PercpuHash = 5,
    PercpuArray = 6,
    StackTrace = 7,
    CgroupArray = 8,
    LruHash = 9,
    LruPercpuHash = 10,
    LpmTrie = 11,
    ArrayOfMaps = 12,
    HashOfMaps = 13,
    Devmap = 14,
    Sockmap = 15,
    Cpumap = 16,
    Xskmap = 17,
    Sockhash = 18,
    CgroupStorage = 19,
    ReuseportSockarray = 20,
    PercpuCgroupStorage = 21,
    Queue = 22,
    Stack = 23,
    SkStorage = 24,
    DevmapHash = 25,
    StructOps = 26,
    Ringbuf = 27,
    InodeStorage = 28,
    TaskStorage = 29,
    BloomFilter = 30,
    UserRingbuf = 31,
    CgrpStorage = 32,
    Arena = 33,
    InsnArray = 34,
    Rhash = 35,
}

impl MapType {
    /// Whether user space reads and writes one value per possible CPU, each rounded up to 8 bytes.
    pub const fn per_cpu(self) -> bool {
        matches!(
            self,
            MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::LruPercpuHash
                | MapType::PercpuCgroupStorage
        )
    }
}

/// What a key or value size may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRule {
    /// Must be zero.
    Zero,
    /// Exactly this many bytes.
    Exactly(u32),
    /// From one byte up to this many.
    UpTo(u32),
    /// A multiple of this many bytes, at least one.
    MultipleOf(u32),
}

/// Operations on a map from a program, as sets of what helpers accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapOps {
    /// `map_lookup_elem`.
    pub lookup: bool,
    /// `map_update_elem`.
    pub update: bool,
    /// `map_delete_elem`.
    pub delete: bool,
}

/// Bits of `map_flags`, by their UAPI value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFlags;

impl MapFlags {
    /// `BPF_F_NO_PREALLOC`.
    pub const NO_PREALLOC: u32 = 1;
    /// `BPF_F_RDONLY_PROG`.
    pub const RDONLY_PROG: u32 = 1 << 7;
    /// `BPF_F_MMAPABLE`.
    pub const MMAPABLE: u32 = 1 << 10;
}

/// What there is to know of a map type.
#[derive(Clone, Copy, Debug)]
pub struct MapTypeDef {
    /// The type.
    pub ty: MapType,
    /// Its name as libbpf and bpftool write it: `percpu_hash`.
    pub name: &'static str,
    /// First kernel that has it.
    pub since: V,
    /// Key size.
    pub key: SizeRule,
    /// Value size.
    pub value: SizeRule,
    /// One value per possible CPU.
    pub per_cpu: bool,
    /// What programs may do with it.
    pub ops: MapOps,
}

const RW: MapOps = MapOps { lookup: true, update: true, delete: true };
const ARRAY: MapOps = MapOps { lookup: true, update: true, delete: false };
const NONE: MapOps = MapOps { lookup: false, update: false, delete: false };

/// Every map type that hark creates or judges, in order of its number.
pub static MAP_TYPES: &[MapTypeDef] = &[
    MapTypeDef {
        ty: MapType::Hash,
        name: "hash",
        since: V(3, 19),
        key: SizeRule::UpTo(512),
        value: SizeRule::UpTo(1 << 30),
        per_cpu: false,
        ops: RW,
    },
    MapTypeDef {
        ty: MapType::Array,
        name: "array",
        since: V(3, 19),
        key: SizeRule::Exactly(4),
        value: SizeRule::UpTo(1 << 30),
        per_cpu: false,
        ops: ARRAY,
    },
    MapTypeDef {
        ty: MapType::PercpuHash,
        name: "percpu_hash",
        since: V(4, 6),
        key: SizeRule::UpTo(512),
        value: SizeRule::UpTo(32 << 10),
        per_cpu: true,
        ops: RW,
    },
    MapTypeDef {
        ty: MapType::PercpuArray,
        name: "percpu_array",
        since: V(4, 6),
        key: SizeRule::Exactly(4),
        value: SizeRule::UpTo(32 << 10),
        per_cpu: true,
        ops: ARRAY,
    },
    MapTypeDef {
        ty: MapType::Ringbuf,
        name: "ringbuf",
        since: V(5, 8),
        key: SizeRule::Zero,
        value: SizeRule::Zero,
        per_cpu: false,
        ops: NONE,
    },
];

/// The row of `ty`, if hark knows it.
pub fn map_type(ty: MapType) -> Option<&'static MapTypeDef> {
    MAP_TYPES.iter().find(|def| def.ty == ty)
}
