//! Helper functions. The source of each fact is the documentation in `include/uapi/linux/bpf.h` and probing.

use crate::maps::MapType;
use crate::progs::{ProgSet, ProgType};
use crate::version::V;

/// Number of a helper in the UAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HelperId(pub u32);

/// How a helper uses memory it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemAccess {
    /// Reads it: must be initialised.
    Read,
    /// Writes it: need not be initialised.
    Write,
}

/// What a helper wants in an argument register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// No further argument.
    None,
    /// Any initialised value.
    Anything,
    /// A scalar (flags, an index, an address of the traced program or kernel).
    Scalar,
    /// The program's context.
    Ctx,
    /// A map.
    ConstMapPtr,
    /// Memory of the map's key size.
    MapKey,
    /// Memory of the map's value size.
    MapValue,
    /// Memory of the map's value size that need not be initialised.
    UninitMapValue,
    /// Memory whose length is the next argument.
    Mem(MemAccess),
    /// As `Mem`, or NULL when the length is zero.
    MemOrNull(MemAccess),
    /// Length of the memory before it, at least 1.
    Len,
    /// Length of the memory before it, zero allowed.
    LenOrZero,
    /// A known constant: the size of what is allocated.
    ConstAllocSize,
    /// A record from `ringbuf_reserve`, which the call releases.
    AllocMem,
    /// A subprogram.
    Func,
    /// Memory on the stack or NULL, passed on to the callback.
    StackOrNull,
    /// A pointer to a kernel object known by BTF (`struct task_struct`, `struct sock`…).
    BtfPtr,
    /// A constant string in a read-only map.
    ConstStr,
    /// Pointer to an 8-byte (or 4-byte) integer to write to.
    IntPtr(u32),
    /// A dynptr, timer, spin lock, kptr or another special object; `ebpf-asm` programs of hark use none.
    Special,
}

/// What a helper leaves in `R0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// A scalar.
    Scalar,
    /// Nothing that may be used.
    Void,
    /// A map value or NULL.
    MapValueOrNull,
    /// A ring buffer record or NULL, which must be released.
    AllocMemOrNull,
    /// A pointer to a kernel object.
    BtfPtr,
    /// A pointer to a kernel object or NULL.
    BtfPtrOrNull,
    /// Memory of a per-CPU variable.
    PercpuMem,
    /// As `PercpuMem`, or NULL.
    PercpuMemOrNull,
    /// Another kind of pointer, which hark's own programs do not use.
    Special,
}

/// Further properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HelperFlags {
    /// Only programs with a GPL-compatible licence may call it.
    pub gpl_only: bool,
    /// May sleep: only sleepable programs.
    pub may_sleep: bool,
    /// Changes packet data: packet pointers are lost.
    pub clobbers_packet: bool,
    /// Same arguments give the same result for the time of one program run, and nothing else is touched.
    pub pure_per_run: bool,
}

/// What there is to know of a helper.
#[derive(Clone, Copy, Debug)]
pub struct HelperDef {
    /// Number.
    pub id: HelperId,
    /// Name without the `bpf_` prefix.
    pub name: &'static str,
    /// Arguments.
    pub args: [Arg; 5],
    /// Result.
    pub ret: Ret,
    /// First kernel that has it (for any of the program types).
    pub since: V,
    /// Program types that may call it.
    pub progs: ProgSet,
    /// Map types it takes; empty if it takes none.
    pub maps: &'static [MapType],
    /// Further properties.
    pub flags: HelperFlags,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $n:literal;)*) => {
        impl HelperId { $($(#[$doc])* #[allow(missing_docs, reason = "HELPERS describes each")] pub const $name: HelperId = HelperId($n);)* }
    };
}

ids! {
    MAP_LOOKUP_ELEM = 1;
    MAP_UPDATE_ELEM = 2;
    MAP_DELETE_ELEM = 3;
    PROBE_READ = 4;
    KTIME_GET_NS = 5;
    TRACE_PRINTK = 6;
    GET_PRANDOM_U32 = 7;
    GET_SMP_PROCESSOR_ID = 8;
    GET_CURRENT_PID_TGID = 14;
    GET_CURRENT_UID_GID = 15;
    GET_CURRENT_COMM = 16;
    PERF_EVENT_OUTPUT = 25;
    GET_STACKID = 27;
    GET_CURRENT_TASK = 35;
    GET_NUMA_NODE_ID = 42;
    PROBE_READ_STR = 45;
    OVERRIDE_RETURN = 58;
    GET_STACK = 67;
    GET_CURRENT_CGROUP_ID = 80;
    SEND_SIGNAL = 109;
    PROBE_READ_USER = 112;
    PROBE_READ_KERNEL = 113;
    PROBE_READ_USER_STR = 114;
    PROBE_READ_KERNEL_STR = 115;
    SEND_SIGNAL_THREAD = 117;
    JIFFIES64 = 118;
    GET_NS_CURRENT_PID_TGID = 120;
    KTIME_GET_BOOT_NS = 125;
    SEQ_PRINTF = 126;
    SEQ_WRITE = 127;
    RINGBUF_OUTPUT = 130;
    RINGBUF_RESERVE = 131;
    RINGBUF_SUBMIT = 132;
    RINGBUF_DISCARD = 133;
    RINGBUF_QUERY = 134;
    D_PATH = 147;
    PER_CPU_PTR = 153;
    THIS_CPU_PTR = 154;
    GET_CURRENT_TASK_BTF = 158;
    KTIME_GET_COARSE_NS = 160;
    FOR_EACH_MAP_ELEM = 164;
    GET_FUNC_IP = 173;
    GET_ATTACH_COOKIE = 174;
    LOOP = 181;
    STRNCMP = 182;
    MAP_LOOKUP_PERCPU_ELEM = 195;
    KTIME_GET_TAI_NS = 208;
}

/// The program types of tracing.
pub const TRACING: ProgSet = ProgSet::of(&[
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::PerfEvent,
    ProgType::RawTracepoint,
    ProgType::Tracing,
]);

const PLAIN: HelperFlags =
    HelperFlags { gpl_only: false, may_sleep: false, clobbers_packet: false, pure_per_run: false };

/// Every helper that hark calls or judges, in order of its number.
pub static HELPERS: &[HelperDef] = &[HelperDef {
    id: HelperId::MAP_LOOKUP_ELEM,
    name: "map_lookup_elem",
    args: [Arg::ConstMapPtr, Arg::MapKey, Arg::None, Arg::None, Arg::None],
    ret: Ret::MapValueOrNull,
    since: V(3, 19),
    progs: ProgSet::ALL,
    maps: &[MapType::Hash, MapType::Array, MapType::PercpuHash, MapType::PercpuArray],
    flags: PLAIN,
}];

/// The row of helper `id`.
pub fn helper(id: HelperId) -> Option<&'static HelperDef> {
    HELPERS.binary_search_by_key(&id, |def| def.id).ok().map(|i| &HELPERS[i])
}

/// The row of the helper called `name` (without `bpf_`).
pub fn helper_by_name(name: &str) -> Option<&'static HelperDef> {
    HELPERS.iter().find(|def| def.name == name)
}
