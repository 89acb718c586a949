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

impl MapType {
    /// The type with this number in the UAPI.
    pub fn from_number(number: u32) -> Option<MapType> {
        MAP_TYPES.iter().map(|def| def.ty).find(|ty| *ty as u32 == number)
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
    /// From so many up to so many bytes.
    Between(u32, u32),
    /// One of these.
    OneOf(&'static [u32]),
    /// What the kernel's BTF says of the structure implemented.
    ByBtf,
}

impl SizeRule {
    /// Whether `bytes` is allowed. What BTF decides is allowed here.
    pub fn allows(self, bytes: u32) -> bool {
        match self {
            SizeRule::Zero => bytes == 0,
            SizeRule::Exactly(n) => bytes == n,
            SizeRule::UpTo(n) => (1..=n).contains(&bytes),
            SizeRule::MultipleOf(n) => bytes > 0 && bytes.is_multiple_of(n),
            SizeRule::Between(low, high) => (low..=high).contains(&bytes),
            SizeRule::OneOf(list) => list.contains(&bytes),
            SizeRule::ByBtf => true,
        }
    }
}

/// What `max_entries` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntriesRule {
    /// Must be zero: as many as there are objects.
    Zero,
    /// At least one.
    Some,
    /// Bytes: a power of two of pages.
    PowerOfTwoPages,
    /// Zero stands for one per possible CPU.
    ZeroIsCpus,
}

/// Operations on a map from a program that do something: a helper that the verifier allows but that always fails
/// (deleting from an array) is not one.
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
    /// `BPF_F_NO_COMMON_LRU`: an LRU list for each CPU.
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    /// `BPF_F_NUMA_NODE`.
    pub const NUMA_NODE: u32 = 1 << 2;
    /// `BPF_F_RDONLY`: user space may not write.
    pub const RDONLY: u32 = 1 << 3;
    /// `BPF_F_WRONLY`: user space may not read.
    pub const WRONLY: u32 = 1 << 4;
    /// `BPF_F_STACK_BUILD_ID`.
    pub const STACK_BUILD_ID: u32 = 1 << 5;
    /// `BPF_F_ZERO_SEED`.
    pub const ZERO_SEED: u32 = 1 << 6;
    /// `BPF_F_RDONLY_PROG`: programs may not write (5.2).
    pub const RDONLY_PROG: u32 = 1 << 7;
    /// `BPF_F_WRONLY_PROG`: programs may not read (5.2).
    pub const WRONLY_PROG: u32 = 1 << 8;
    /// `BPF_F_CLONE`: local storage follows a cloned socket.
    pub const CLONE: u32 = 1 << 9;
    /// `BPF_F_MMAPABLE` (5.5).
    pub const MMAPABLE: u32 = 1 << 10;
    /// `BPF_F_PRESERVE_ELEMS`: perf events outlive the descriptor (5.10).
    pub const PRESERVE_ELEMS: u32 = 1 << 11;
    /// `BPF_F_INNER_MAP`: an inner array may differ in its number of entries (5.10).
    pub const INNER_MAP: u32 = 1 << 12;
    /// `BPF_F_LINK`: a struct_ops map that a link registers (6.4).
    pub const LINK: u32 = 1 << 13;
    /// `BPF_F_VTYPE_BTF_OBJ_FD` (6.9).
    pub const VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
    /// `BPF_F_SEGV_ON_FAULT` (6.9).
    pub const SEGV_ON_FAULT: u32 = 1 << 17;
    /// `BPF_F_NO_USER_CONV` (6.9).
    pub const NO_USER_CONV: u32 = 1 << 18;
    /// `BPF_F_RB_OVERWRITE`: a full ring buffer loses its oldest records (6.19).
    pub const RB_OVERWRITE: u32 = 1 << 19;

    const ACCESS: u32 = Self::RDONLY | Self::WRONLY | Self::RDONLY_PROG | Self::WRONLY_PROG;
    const USER_ACCESS: u32 = Self::RDONLY | Self::WRONLY;
    const HASH: u32 =
        Self::NO_PREALLOC | Self::NO_COMMON_LRU | Self::NUMA_NODE | Self::ACCESS | Self::ZERO_SEED;
    const ARRAY: u32 = Self::NUMA_NODE | Self::ACCESS;
    const FDS: u32 = Self::NUMA_NODE | Self::USER_ACCESS;
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
    /// Key size. Hash tables take more than this since 5.11, but no key on a program's stack is longer.
    pub key: SizeRule,
    /// Value size.
    pub value: SizeRule,
    /// `max_entries`.
    pub entries: EntriesRule,
    /// One value per possible CPU.
    pub per_cpu: bool,
    /// What programs may do with it.
    pub ops: MapOps,
    /// Flags it takes, as far as the newest kernel goes.
    pub flags: u32,
    /// Flags it must have.
    pub required: u32,
    /// Whether the types of key and value must be given by BTF.
    pub needs_btf: bool,
}

const RW: MapOps = MapOps { lookup: true, update: true, delete: true };
const ARRAY: MapOps = MapOps { lookup: true, update: true, delete: false };
const LOOKUP: MapOps = MapOps { lookup: true, update: false, delete: false };
const NONE: MapOps = MapOps { lookup: false, update: false, delete: false };

/// Key on the stack of a program.
const KEY: SizeRule = SizeRule::UpTo(512);
const INDEX: SizeRule = SizeRule::Exactly(4);
/// What `kmalloc` gives, less what the kernel keeps beside key and value.
const ELEMENT: SizeRule = SizeRule::UpTo((4 << 20) - 1024);
/// `PCPU_MIN_UNIT_SIZE`.
const PER_CPU: SizeRule = SizeRule::UpTo(32 << 10);
const STORAGE: SizeRule = SizeRule::UpTo(0xffff - 64);
/// An object's descriptor or number, or a cookie or a second descriptor with it.
const OBJECT: SizeRule = SizeRule::OneOf(&[4, 8]);
/// `struct bpf_cgroup_storage_key`, or the cgroup alone.
const CGROUP_KEY: SizeRule = SizeRule::OneOf(&[8, 16]);

use EntriesRule as N;
use MapFlags as F;
use MapType as T;
use SizeRule as S;

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn row(
    ty: MapType,
    name: &'static str,
    since: V,
    key: SizeRule,
    value: SizeRule,
    entries: EntriesRule,
    ops: MapOps,
    flags: u32,
) -> MapTypeDef {
    let per_cpu = matches!(ty, T::PercpuHash | T::PercpuArray | T::LruPercpuHash | T::PercpuCgroupStorage);
    let needs_btf =
        matches!(ty, T::SkStorage | T::InodeStorage | T::TaskStorage | T::CgrpStorage | T::StructOps);
    let required = match ty {
        T::LpmTrie | T::SkStorage | T::InodeStorage | T::TaskStorage | T::CgrpStorage | T::Rhash => {
            F::NO_PREALLOC
        }
        T::Arena => F::MMAPABLE,
        _ => 0,
    };
    MapTypeDef { ty, name, since, key, value, entries, per_cpu, ops, flags, required, needs_btf }
}

/// Every map type, in order of its number. A stack trace's value also ends at `kernel.perf_event_max_stack` frames
/// (127 unless changed) of 8 bytes, or of 32 with `STACK_BUILD_ID`; a CPU map at the number of CPUs.
#[rustfmt::skip]
pub static MAP_TYPES: &[MapTypeDef] = &[
    row(T::Hash, "hash", V(3, 19), KEY, ELEMENT, N::Some, RW, F::HASH & !F::NO_COMMON_LRU),
    row(T::Array, "array", V(3, 19), INDEX, S::UpTo(0x7fff_ffff), N::Some, ARRAY, F::ARRAY | F::MMAPABLE | F::INNER_MAP),
    row(T::ProgArray, "prog_array", V(4, 2), INDEX, INDEX, N::Some, NONE, F::FDS),
    row(T::PerfEventArray, "perf_event_array", V(4, 3), INDEX, INDEX, N::ZeroIsCpus, NONE, F::FDS | F::PRESERVE_ELEMS),
    row(T::PercpuHash, "percpu_hash", V(4, 6), KEY, PER_CPU, N::Some, RW, F::NO_PREALLOC | F::ACCESS | F::ZERO_SEED),
    row(T::PercpuArray, "percpu_array", V(4, 6), INDEX, PER_CPU, N::Some, ARRAY, F::ACCESS),
    row(T::StackTrace, "stack_trace", V(4, 6), INDEX, S::MultipleOf(8), N::Some, NONE, F::FDS | F::STACK_BUILD_ID),
    row(T::CgroupArray, "cgroup_array", V(4, 8), INDEX, INDEX, N::Some, NONE, F::FDS),
    row(T::LruHash, "lru_hash", V(4, 10), KEY, ELEMENT, N::Some, RW, F::HASH & !F::NO_PREALLOC),
    row(T::LruPercpuHash, "lru_percpu_hash", V(4, 10), KEY, PER_CPU, N::Some, RW, F::NO_COMMON_LRU | F::ACCESS | F::ZERO_SEED),
    row(T::LpmTrie, "lpm_trie", V(4, 11), S::Between(5, 260), ELEMENT, N::Some, RW, F::NO_PREALLOC | F::NUMA_NODE | F::ACCESS),
    row(T::ArrayOfMaps, "array_of_maps", V(4, 12), INDEX, INDEX, N::Some, LOOKUP, F::FDS),
    row(T::HashOfMaps, "hash_of_maps", V(4, 12), KEY, INDEX, N::Some, LOOKUP, F::HASH & !F::NO_COMMON_LRU),
    row(T::Devmap, "devmap", V(4, 14), INDEX, OBJECT, N::Some, LOOKUP, F::FDS),
    row(T::Sockmap, "sockmap", V(4, 14), INDEX, OBJECT, N::Some, RW, F::FDS),
    row(T::Cpumap, "cpumap", V(4, 15), INDEX, OBJECT, N::Some, NONE, F::NUMA_NODE),
    row(T::Xskmap, "xskmap", V(4, 18), INDEX, INDEX, N::Some, LOOKUP, F::FDS),
    row(T::Sockhash, "sockhash", V(4, 18), KEY, OBJECT, N::Some, RW, F::FDS),
    row(T::CgroupStorage, "cgroup_storage", V(4, 19), CGROUP_KEY, STORAGE, N::Zero, NONE, F::ARRAY),
    row(T::ReuseportSockarray, "reuseport_sockarray", V(4, 19), INDEX, OBJECT, N::Some, NONE, F::ARRAY),
    row(T::PercpuCgroupStorage, "percpu_cgroup_storage", V(4, 20), CGROUP_KEY, PER_CPU, N::Zero, NONE, F::ARRAY),
    row(T::Queue, "queue", V(4, 20), S::Zero, ELEMENT, N::Some, NONE, F::ARRAY),
    row(T::Stack, "stack", V(4, 20), S::Zero, ELEMENT, N::Some, NONE, F::ARRAY),
    row(T::SkStorage, "sk_storage", V(5, 2), INDEX, STORAGE, N::Zero, NONE, F::NO_PREALLOC | F::CLONE),
    row(T::DevmapHash, "devmap_hash", V(5, 4), INDEX, OBJECT, N::Some, LOOKUP, F::FDS),
    row(T::StructOps, "struct_ops", V(5, 6), INDEX, S::ByBtf, N::Some, NONE, F::LINK | F::VTYPE_BTF_OBJ_FD),
    row(T::Ringbuf, "ringbuf", V(5, 8), S::Zero, S::Zero, N::PowerOfTwoPages, NONE, F::NUMA_NODE | F::RB_OVERWRITE),
    row(T::InodeStorage, "inode_storage", V(5, 10), INDEX, STORAGE, N::Zero, NONE, F::NO_PREALLOC | F::CLONE),
    row(T::TaskStorage, "task_storage", V(5, 11), INDEX, STORAGE, N::Zero, NONE, F::NO_PREALLOC | F::CLONE),
    row(T::BloomFilter, "bloom_filter", V(5, 16), S::Zero, ELEMENT, N::Some, NONE, F::ARRAY | F::ZERO_SEED),
    row(T::UserRingbuf, "user_ringbuf", V(6, 1), S::Zero, S::Zero, N::PowerOfTwoPages, NONE, F::NUMA_NODE),
    row(T::CgrpStorage, "cgrp_storage", V(6, 2), INDEX, STORAGE, N::Zero, NONE, F::NO_PREALLOC | F::CLONE),
    row(T::Arena, "arena", V(6, 9), S::Zero, S::Zero, N::Some, NONE, F::MMAPABLE | F::SEGV_ON_FAULT | F::NO_USER_CONV),
    row(T::InsnArray, "insn_array", V(6, 19), INDEX, S::Exactly(16), N::Some, NONE, 0),
    row(T::Rhash, "rhash", V(7, 3), KEY, ELEMENT, N::Some, RW, F::NO_PREALLOC | F::NUMA_NODE | F::ACCESS),
];

/// The row of `ty`, if hark knows it.
pub fn map_type(ty: MapType) -> Option<&'static MapTypeDef> {
    MAP_TYPES.iter().find(|def| def.ty == ty)
}

/// The row of the type called `name`, as libbpf and bpftool write it.
pub fn map_type_by_name(name: &str) -> Option<&'static MapTypeDef> {
    MAP_TYPES.iter().find(|def| def.name == name)
}

/// What `bpf_ringbuf_query` is to tell: how far producers have come (`BPF_RB_PROD_POS`, include/uapi/linux/bpf.h).
pub const RING_PRODUCER_POSITION: i64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::{HelperId, helper};
    use std::collections::HashSet;

    #[test]
    fn every_type_has_one_row_in_order() {
        for (def, number) in MAP_TYPES.iter().zip(1..) {
            assert_eq!(def.ty as u32, number, "{}", def.name);
            assert_eq!(MapType::from_number(number), Some(def.ty));
        }
        let names: HashSet<_> = MAP_TYPES.iter().map(|def| def.name).collect();
        assert_eq!(names.len(), MAP_TYPES.len());
    }

    #[test]
    fn required_flags_are_allowed() {
        for def in MAP_TYPES {
            assert_eq!(def.required & !def.flags, 0, "{}", def.name);
        }
    }

    #[test]
    fn operations_agree_with_the_helpers() {
        for def in MAP_TYPES {
            let takes = |id| helper(id).is_some_and(|helper| helper.maps.contains(&def.ty));
            assert_eq!(def.ops.lookup, takes(HelperId::MAP_LOOKUP_ELEM), "{}", def.name);
            assert_eq!(def.ops.update, takes(HelperId::MAP_UPDATE_ELEM), "{}", def.name);
            assert!(!def.ops.delete || takes(HelperId::MAP_DELETE_ELEM), "{}", def.name);
        }
    }

    #[test]
    fn sizes() {
        assert!(SizeRule::MultipleOf(8).allows(16) && !SizeRule::MultipleOf(8).allows(12));
        assert!(!SizeRule::UpTo(8).allows(0) && SizeRule::UpTo(8).allows(8));
        assert!(SizeRule::OneOf(&[4, 8]).allows(8) && !SizeRule::OneOf(&[4, 8]).allows(6));
        assert!(SizeRule::Between(5, 260).allows(5) && !SizeRule::Between(5, 260).allows(4));
    }
}
