//! Helper functions. The source of each fact is the documentation in `include/uapi/linux/bpf.h`, the kernel's own
//! declarations of its helpers, and probing.

use crate::maps::MapType;
use crate::progs::{AttachType, ProgSet, ProgType};
use crate::version::V;
use exceptions::{ARGS, ATTACH, NOT_GPL, SINCE};

mod cost;
mod exceptions;
mod table;

pub use cost::helper_ns;
pub use table::HELPERS;

/// Number of a helper in the UAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HelperId(pub u32);

/// How a helper uses memory it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemAccess {
    /// Reads it: must be initialised, may be read-only.
    Read,
    /// Writes it all: need not be initialised, must be writable.
    Write,
    /// Reads and writes it: must be initialised and writable.
    ReadWrite,
}

/// What a helper wants of a dynptr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynptrArg {
    /// Uninitialised stack, which becomes a dynptr to memory of the program.
    NewLocal,
    /// Uninitialised stack, which becomes a dynptr to a ring buffer record that must be released.
    NewRingbuf,
    /// A dynptr to a ring buffer record, which the call releases.
    ReleaseRingbuf,
    /// Any initialised dynptr.
    Any,
}

/// What a helper wants in an argument register. A `…OrNull` also takes the constant 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// No further argument.
    None,
    /// Any initialised value.
    Anything,
    /// A scalar.
    Scalar,
    /// The program's context.
    Ctx,
    /// As `Ctx`, or NULL.
    CtxOrNull,
    /// A map.
    ConstMapPtr,
    /// Memory of the map's key size, which is read.
    MapKey,
    /// Memory of the map's value size, which is read.
    MapValue,
    /// As `MapValue`, or NULL.
    MapValueOrNull,
    /// Memory of the map's value size that is written and need not be initialised.
    UninitMapValue,
    /// Memory whose length is the next argument.
    Mem(MemAccess),
    /// As `Mem`, or NULL when the length is zero.
    MemOrNull(MemAccess),
    /// Memory of so many bytes.
    FixedMem(MemAccess, u32),
    /// Length of the memory before it, at least 1.
    Len,
    /// Length of the memory before it, zero allowed.
    LenOrZero,
    /// A known constant: the size of what is allocated, or of the slice taken.
    ConstAllocSize,
    /// A record from `ringbuf_reserve`, which the call releases.
    AllocMem,
    /// A subprogram.
    Func,
    /// Memory on the stack or NULL, passed on to the callback.
    StackOrNull,
    /// A trusted pointer to a kernel object of this struct, known by BTF.
    BtfPtr(&'static str),
    /// As `BtfPtr`, or NULL.
    BtfPtrOrNull(&'static str),
    /// A pointer to a per-CPU variable of the kernel.
    PercpuBtfPtr,
    /// A socket of any kind, as a `bpf_sock`, `bpf_tcp_sock` or BTF pointer.
    SockCommonBtf,
    /// As `SockCommonBtf`, or NULL.
    SockCommonBtfOrNull,
    /// As `SockCommonBtf`, a reference that the call releases.
    SockRelease,
    /// A socket of any kind, as a `bpf_sock` or `bpf_tcp_sock`.
    SockCommon,
    /// A full socket, or NULL.
    SocketOrNull,
    /// A constant string in a read-only map.
    ConstStr,
    /// Pointer to an aligned integer of so many bytes to write to.
    IntPtr(u32),
    /// The `bpf_spin_lock` of a map value.
    SpinLock,
    /// The `bpf_timer` of a map value.
    Timer,
    /// The place of a kernel pointer in a map value.
    KptrDest,
    /// A reference to put there, which the program gives away, or NULL.
    KptrRelease,
    /// A dynptr.
    Dynptr(DynptrArg),
}

impl Arg {
    /// Whether the call takes the reference away from the program.
    pub const fn releases(self) -> bool {
        matches!(
            self,
            Arg::AllocMem | Arg::SockRelease | Arg::KptrRelease | Arg::Dynptr(DynptrArg::ReleaseRingbuf)
        )
    }

    /// Whether it is the length of the memory in the argument before it.
    pub const fn is_len(self) -> bool {
        matches!(self, Arg::Len | Arg::LenOrZero)
    }

    /// Whether NULL is allowed.
    pub const fn nullable(self) -> bool {
        matches!(
            self,
            Arg::Anything
                | Arg::Scalar
                | Arg::CtxOrNull
                | Arg::MapValueOrNull
                | Arg::MemOrNull(_)
                | Arg::StackOrNull
                | Arg::BtfPtrOrNull(_)
                | Arg::SockCommonBtfOrNull
                | Arg::SocketOrNull
                | Arg::KptrRelease
        )
    }
}

/// What a helper leaves in `R0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// A scalar.
    Scalar,
    /// Nothing that may be used.
    Void,
    /// A map value.
    MapValue,
    /// A map value or NULL. Of a map of maps it is a map, of a socket map a socket that must be released.
    MapValueOrNull,
    /// A ring buffer record or NULL, which must be released.
    AllocMemOrNull,
    /// The memory of a dynptr, of the length asked for, or NULL.
    DynptrMemOrNull,
    /// A pointer to a kernel object of this struct.
    BtfPtr(&'static str),
    /// As `BtfPtr`, good to be passed to helpers and kernel functions.
    TrustedBtfPtr(&'static str),
    /// A pointer to a kernel object of this struct, or NULL.
    BtfPtrOrNull(&'static str),
    /// Read-only memory of a per-CPU variable, or a BTF pointer to it.
    PercpuMem,
    /// As `PercpuMem`, or NULL.
    PercpuMemOrNull,
    /// A full socket or NULL.
    SocketOrNull,
    /// A `bpf_tcp_sock` or NULL.
    TcpSockOrNull,
    /// A socket of any kind, or NULL.
    SockCommonOrNull,
    /// The kernel pointer that was in the map value, or NULL.
    KptrOrNull,
}

/// Further properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HelperFlags {
    /// Only programs with a GPL-compatible licence may call it (but see [`HelperDef::needs_gpl`]).
    pub gpl_only: bool,
    /// May sleep: only sleepable programs, and there only outside of critical sections.
    pub may_sleep: bool,
    /// Changes packet data: packet pointers are lost.
    pub clobbers_packet: bool,
    /// Same arguments give the same result for the time of one program run, and nothing else is touched.
    pub pure_per_run: bool,
    /// Memory arguments may be packet data.
    pub packet_mem: bool,
    /// The result is a reference that must be released.
    pub acquires: bool,
    /// The kernel allows it only for certain attach targets or hooks, listed in no header.
    pub by_target: bool,
    /// Does nothing but give its result: may be left out if that is not used.
    pub only_result: bool,
    /// Writes every byte of its `Write` memory whatever happens (zeros if it fails), and does nothing else.
    pub overwrites: bool,
    /// Keeps `R1`–`R5` beyond its arguments, and `R0` if it returns nothing (`bpf_fastcall`, since 6.12).
    pub fastcall: bool,
    /// Takes further arguments, of any kind, in the registers that are left: values for a format.
    pub more_args: bool,
}

/// What there is to know of a helper.
#[derive(Clone, Copy, Debug)]
pub struct HelperDef {
    /// Number.
    pub id: HelperId,
    /// Name without the `bpf_` prefix.
    pub name: &'static str,
    /// Arguments, as most program types have them; [`args_in`](Self::args_in) knows the others.
    pub args: [Arg; 5],
    /// Result.
    pub ret: Ret,
    /// First kernel that has it (for any of the program types).
    pub since: V,
    /// Program types that may call it; some later than `since`, see [`since_in`](Self::since_in).
    pub progs: ProgSet,
    /// Map types it takes; empty if it takes none.
    pub maps: &'static [MapType],
    /// Further properties.
    pub flags: HelperFlags,
}

impl HelperDef {
    /// First kernel in which programs of type `prog` may call it; `None` if they never may.
    pub fn since_in(&self, prog: ProgType) -> Option<V> {
        if !self.progs.contains(prog) {
            return None;
        }
        let later = SINCE.iter().find(|row| row.ids.contains(&self.id) && row.progs.contains(prog));
        Some(later.map_or(self.since, |row| row.since.max(self.since)))
    }

    /// Its arguments in programs of type `prog` on `kernel`.
    pub fn args_in(&self, prog: ProgType, kernel: V) -> [Arg; 5] {
        ARGS.iter()
            .find(|row| {
                row.ids.contains(&self.id)
                    && row.progs.contains(prog)
                    && row.until.is_none_or(|until| kernel < until)
            })
            .map_or(self.args, |row| row.args)
    }

    /// The attach types a program of type `prog` must have one of to call it on `kernel`; `None` if any will do.
    pub fn attach_in(&self, prog: ProgType, kernel: V) -> Option<&'static [AttachType]> {
        ATTACH
            .iter()
            .find(|row| {
                row.ids.contains(&self.id) && row.prog == prog && row.until.is_none_or(|until| kernel < until)
            })
            .map(|row| row.attach)
    }

    /// Whether programs of type `prog` need a GPL-compatible licence to call it.
    pub fn needs_gpl(&self, prog: ProgType) -> bool {
        self.flags.gpl_only && !NOT_GPL.contains(&(self.id, prog))
    }

    /// How many arguments it has.
    pub fn n_args(&self) -> usize {
        self.args.iter().take_while(|arg| **arg != Arg::None).count()
    }
}

/// The program types of tracing.
pub const TRACING: ProgSet = ProgSet::of(&[
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::PerfEvent,
    ProgType::RawTracepoint,
    ProgType::Tracing,
]);

/// The row of helper `id`.
pub fn helper(id: HelperId) -> Option<&'static HelperDef> {
    HELPERS.binary_search_by_key(&id, |def| def.id).ok().map(|i| &HELPERS[i])
}

/// The row of the helper called `name` (without `bpf_`).
pub fn helper_by_name(name: &str) -> Option<&'static HelperDef> {
    HELPERS.iter().find(|def| def.name == name)
}

#[cfg(test)]
mod tests;
