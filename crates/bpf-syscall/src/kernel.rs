//! The kernel as hark sees it: one method per system call and sub-command in use.
//!
//! [`LinuxKernel`](crate::LinuxKernel) is the running kernel; a simulated one implements the same trait elsewhere,
//! and everything above is written against `&dyn Kernel`.

use crate::errno::{Errno, Result, SysError};
use crate::fd::{BtfFd, LinkFd, MapFd, PerfFd, ProgFd};
use crate::load::{LoadError, Loaded, ProgLoad};
use crate::perf::PerfEvent;
use bpf_facts::{AttachType, MapType};
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// System calls. All methods retry `EINTR`.
pub trait Kernel: Send + Sync {
    /// Number of possible CPUs: how many values a key of a per-CPU map has.
    fn n_possible_cpus(&self) -> u32;

    /// Creates a map.
    ///
    /// # Errors
    /// `EPERM` without rights, `E2BIG` or `EINVAL` for impossible sizes, `ENOMEM`.
    fn map_create(&self, map: &MapCreate<'_>) -> Result<MapFd>;

    /// Copies the value of `key` to `value`, [`value_bytes`](crate::MapShape::value_bytes) long; `false` if there
    /// is none.
    ///
    /// # Errors
    /// `EINVAL` if a length is wrong; `ENOTSUPP` if the map type has no look-up.
    fn map_lookup(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool>;

    /// As [`map_lookup`](Self::map_lookup), and removes the key in the same step (hash maps since 5.14, queues and
    /// stacks since 4.20).
    ///
    /// # Errors
    /// `ENOTSUPP` or `EINVAL` where the kernel or the map type lacks it.
    fn map_lookup_and_delete(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool>;

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// `E2BIG` if the map is full, `EEXIST` or `ENOENT` as `mode` demands.
    fn map_update(&self, map: &MapFd, key: &[u8], value: &[u8], mode: UpdateMode) -> Result<()>;

    /// Removes `key`; `false` if it was not there.
    ///
    /// # Errors
    /// `EINVAL` for arrays, whose elements cannot be removed.
    fn map_delete(&self, map: &MapFd, key: &[u8]) -> Result<bool>;

    /// The key after `after` (the first, for `None` or a key that is gone), written to `next`; `false` at the end.
    ///
    /// # Errors
    /// `ENOTSUPP` if the map type has no order to walk.
    fn map_next_key(&self, map: &MapFd, after: Option<&[u8]>, next: &mut [u8]) -> Result<bool>;

    /// Reads as many entries as fit `keys` and `values` (both a multiple of their size), beginning where `cursor`
    /// says: empty to begin with, afterwards as this call left it (since 5.6).
    ///
    /// [`walk`](crate::walk) and [`drain`](crate::drain) are the convenient way.
    ///
    /// # Errors
    /// `ENOSPC` if not even one bucket fits: grow the buffers. `EINVAL` or `ENOTSUPP` where the kernel lacks it.
    fn map_batch(
        &self,
        map: &MapFd,
        op: BatchOp,
        cursor: &mut Vec<u8>,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> Result<BatchRead> {
        let _ = (op, cursor, keys, values);
        Err(SysError::new("bpf(BPF_MAP_LOOKUP_BATCH)", map.name(), Errno::ENOTSUPP))
    }

    /// Makes a map read-only for user space, so that the verifier may know its contents (since 5.2).
    ///
    /// # Errors
    /// `EBUSY` while it is mapped for writing.
    fn map_freeze(&self, map: &MapFd) -> Result<()>;

    /// Loads a program. Tried without a log first; if that fails, again with one, large enough to hold it.
    ///
    /// # Errors
    /// With the verifier's log, if the program came before the verifier.
    fn prog_load(&self, prog: &ProgLoad<'_>) -> std::result::Result<Loaded, LoadError>;

    /// Runs a program once, in the calling process (`BPF_PROG_TEST_RUN`).
    ///
    /// # Errors
    /// `ENOTSUPP` if the program type cannot be run so: see `bpf_facts::PROG_TYPES`.
    fn prog_test_run(&self, prog: &ProgFd, run: &TestRun<'_>) -> Result<TestRunResult>;

    /// Attaches a program.
    ///
    /// # Errors
    /// `EINVAL` where the kernel is too old for the kind of link, `ENOENT`/`ESRCH` if the target does not exist.
    fn link_create(&self, link: &LinkCreate<'_>) -> Result<LinkFd>;

    /// Makes an instance of an iterator; reading it to its end runs the program once per object (since 5.8).
    ///
    /// # Errors
    /// `EINVAL` if the link is not that of an iterator.
    fn iter_create(&self, link: &LinkFd) -> Result<OwnedFd>;

    /// Opens a perf event, disabled.
    ///
    /// # Errors
    /// `EACCES`/`EPERM` without rights, `ENOENT` if the event does not exist, `ESRCH` if the task does not.
    fn perf_event_open(&self, event: &PerfEvent) -> Result<PerfFd>;

    /// Attaches `prog` to `event` the old way (`PERF_EVENT_IOC_SET_BPF`); it is detached when `event` is closed.
    ///
    /// # Errors
    /// `EINVAL` if the program type does not fit the event, `EEXIST` if there is a program already.
    fn perf_set_bpf(&self, event: &PerfFd, prog: &ProgFd) -> Result<()>;

    /// Starts an event (`PERF_EVENT_IOC_ENABLE`).
    ///
    /// # Errors
    /// Only for descriptors that are no perf events.
    fn perf_enable(&self, event: &PerfFd) -> Result<()>;

    /// Stops an event (`PERF_EVENT_IOC_DISABLE`).
    ///
    /// # Errors
    /// Only for descriptors that are no perf events.
    fn perf_disable(&self, event: &PerfFd) -> Result<()>;

    /// Loads BTF.
    ///
    /// # Errors
    /// `EINVAL` with the kernel's log if it is malformed.
    fn btf_load(&self, btf: &[u8]) -> std::result::Result<BtfFd, LoadError>;

    /// The id after `after` among the objects of a kind; `None` at the end. Begin with 0.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN.
    fn next_id(&self, kind: IdKind, after: u32) -> Result<Option<u32>>;

    /// Opens a loaded program by its id.
    ///
    /// # Errors
    /// `ENOENT` if it is gone.
    fn prog_by_id(&self, id: u32) -> Result<ProgFd>;

    /// Opens a BTF object by its id.
    ///
    /// # Errors
    /// `ENOENT` if it is gone.
    fn btf_by_id(&self, id: u32) -> Result<BtfFd>;

    /// What the kernel knows about a program.
    ///
    /// # Errors
    /// `EPERM` without rights.
    fn prog_info(&self, prog: &ProgFd) -> Result<ProgInfo>;

    /// How often an attached kprobe or kretprobe was not run for lack of memory to remember calls in, or because of
    /// another one that was running (kprobe_multi since 6.7, perf events since 6.8); 0 where nothing of the kind is
    /// counted.
    ///
    /// # Errors
    /// As [`prog_info`](Self::prog_info).
    fn link_missed(&self, link: &LinkFd) -> Result<u64> {
        let _ = link;
        Ok(0)
    }

    /// Waits until every program that is running now has ended. A simulated kernel runs none behind our back.
    ///
    /// # Errors
    /// None in practice.
    fn wait_for_programs(&self) -> Result<()> {
        Ok(())
    }

    /// What the kernel knows about a BTF object, without its data.
    ///
    /// # Errors
    /// `EPERM` without rights.
    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo>;

    /// Lets the kernel count runs and run time of programs, until the descriptor is closed (since 5.8).
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN.
    fn enable_stats(&self) -> Result<OwnedFd>;

    /// Pins an object to a path in a bpf file system. It outlives the process until the path is removed.
    ///
    /// # Errors
    /// `EPERM` outside a bpf file system, `EEXIST`, `ENOENT`.
    fn obj_pin(&self, object: BorrowedFd<'_>, path: &Path) -> Result<()>;

    /// Opens a pinned object.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    fn obj_get(&self, path: &Path) -> Result<OwnedFd>;

    /// Opens the consumer's side of a ring buffer map.
    ///
    /// # Errors
    /// `EINVAL` if the map is no ring buffer, `ENOMEM`/`EPERM` if it cannot be mapped.
    fn open_ring(&self, map: &MapFd) -> Result<Box<dyn Records>>;

    /// What becomes readable when [`step`](Self::step) has something to do; `None` for a kernel that runs by itself.
    fn due(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what is due by now: a simulated kernel has no life but the calls to it.
    ///
    /// # Errors
    /// If a program fails in a way that a kernel's verifier would have prevented.
    fn step(&self) -> Result<()> {
        Ok(())
    }
}

/// A map to create.
#[derive(Clone, Copy, Debug)]
pub struct MapCreate<'a> {
    /// Name in messages. The kernel gets its first 15 characters, others than `[A-Za-z0-9_.]` replaced by `_`.
    pub name: &'a str,
    /// Type.
    pub ty: MapType,
    /// Bytes of a key; 0 for maps without keys.
    pub key_size: u32,
    /// Bytes of a value, on one CPU; 0 for ring buffers.
    pub value_size: u32,
    /// Capacity. A ring buffer's is in bytes: a power of two, at least a page.
    pub max_entries: u32,
    /// `BPF_F_*` bits, see `bpf_facts::MapFlags`.
    pub flags: u32,
    /// Types of key and value.
    pub btf: Option<MapBtf<'a>>,
    /// For maps of maps: a map of the shape of those it will hold.
    pub inner: Option<&'a MapFd>,
}

impl<'a> MapCreate<'a> {
    /// A map without flags or type information.
    pub fn new(
        name: &'a str,
        ty: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> MapCreate<'a> {
        MapCreate { name, ty, key_size, value_size, max_entries, flags: 0, btf: None, inner: None }
    }
}

/// Types of a map's key and value.
#[derive(Clone, Copy, Debug)]
pub struct MapBtf<'a> {
    /// The BTF.
    pub btf: &'a BtfFd,
    /// Type id of the key.
    pub key_type_id: u32,
    /// Type id of the value.
    pub value_type_id: u32,
}

/// What an update does to a key that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// `BPF_ANY`: create or replace.
    Any,
    /// `BPF_NOEXIST`: create only.
    Create,
    /// `BPF_EXIST`: replace only.
    Replace,
}

/// Whether a batch leaves its entries in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOp {
    /// `BPF_MAP_LOOKUP_BATCH`.
    Lookup,
    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
    LookupAndDelete,
}

/// What a batch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRead {
    /// Entries written to the buffers.
    pub count: usize,
    /// Whether the map's end was reached.
    pub end: bool,
}

/// One run of a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestRun<'a> {
    /// The context. For raw tracepoints its arguments, 8 bytes each, at most 12.
    pub ctx: &'a [u8],
    /// Packet, for networking programs.
    pub data: &'a [u8],
    /// CPU to run on, for raw tracepoints; `None` for this one.
    pub cpu: Option<u32>,
    /// How often to run, for networking programs; 0 and 1 mean once.
    pub repeat: u32,
}

/// What a run gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRunResult {
    /// The program's return value.
    pub retval: u32,
    /// Nanoseconds of one run on average, where the kernel measures it.
    pub duration_ns: u32,
}

/// An attachment to make.
#[derive(Clone, Copy, Debug)]
pub enum LinkCreate<'a> {
    /// To a perf event (since 5.15): kprobe, uprobe, tracepoint and perf_event programs.
    PerfEvent {
        /// The program.
        prog: &'a ProgFd,
        /// The event. The link keeps it open.
        event: &'a PerfFd,
        /// What `bpf_get_attach_cookie` returns.
        cookie: u64,
    },
    /// To many kernel functions at once (since 5.18).
    KprobeMulti {
        /// The program, loaded with the attach type of [`flavour`](MultiFlavour).
        prog: &'a ProgFd,
        /// The functions.
        targets: KprobeTargets<'a>,
        /// One cookie per function, or none at all.
        cookies: &'a [u64],
        /// Entry, return or both.
        flavour: MultiFlavour,
    },
    /// To many places of one file at once (since 6.6).
    UprobeMulti {
        /// The program, loaded with the attach type of [`flavour`](MultiFlavour).
        prog: &'a ProgFd,
        /// The file.
        path: &'a Path,
        /// Offsets into the file, in bytes.
        offsets: &'a [u64],
        /// Offsets of USDT semaphores, one per place (0 for none), or none at all.
        ref_ctr_offsets: &'a [u64],
        /// One cookie per place, or none at all.
        cookies: &'a [u64],
        /// Only this process.
        pid: Option<u32>,
        /// Entry, return or both.
        flavour: MultiFlavour,
    },
    /// To what the program was loaded for: fentry, fexit, fmod_ret, tp_btf, LSM (since 5.5).
    Tracing {
        /// The program.
        prog: &'a ProgFd,
        /// The attach type it was loaded with.
        attach_type: AttachType,
        /// What `bpf_get_attach_cookie` returns (since 6.0; must be 0 before).
        cookie: u64,
    },
    /// To a raw tracepoint by name (since 4.17).
    RawTracepoint {
        /// The program.
        prog: &'a ProgFd,
        /// The tracepoint's name without its category.
        name: &'a str,
        /// What `bpf_get_attach_cookie` returns (since 6.10; must be 0 before).
        cookie: u64,
    },
    /// To the iterator the program was loaded for (since 5.8).
    Iter {
        /// The program.
        prog: &'a ProgFd,
    },
}

/// Functions of a `kprobe_multi` link.
#[derive(Clone, Copy, Debug)]
pub enum KprobeTargets<'a> {
    /// By name.
    Symbols(&'a [String]),
    /// By address.
    Addresses(&'a [u64]),
}

impl KprobeTargets<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            KprobeTargets::Symbols(names) => names.len(),
            KprobeTargets::Addresses(addresses) => addresses.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When a program of a multi link runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiFlavour {
    /// At entry.
    Entry,
    /// At return.
    Return,
    /// At both; the program asks `bpf_session_is_return` (kprobes since 6.10, uprobes since 6.13).
    Session,
}

/// Kernel objects that have ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Programs.
    Prog,
    /// BTF objects.
    Btf,
    /// Links.
    Link,
}

/// What the kernel knows about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgInfo {
    /// Id.
    pub id: u32,
    /// Program type, by its number.
    pub ty: u32,
    /// Name as the kernel keeps it, at most 15 characters.
    pub name: String,
    /// Id of its BTF, 0 for none.
    pub btf_id: u32,
    /// Bytes of bytecode after the verifier's rewriting.
    pub xlated_len: u32,
    /// Bytes of machine code; 0 where the kernel interprets, or hides it.
    pub jited_len: u32,
    /// Nanoseconds spent in it, while statistics were enabled.
    pub run_time_ns: u64,
    /// Times it ran, while statistics were enabled.
    pub run_cnt: u64,
    /// Times it was skipped because it was running on that CPU already (since 5.12).
    pub recursion_misses: u64,
    /// Instructions the verifier processed (since 5.16).
    pub verified_insns: u32,
}

/// What the kernel knows about a BTF object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfInfo {
    /// Id.
    pub id: u32,
    /// `vmlinux`, a module's name, or empty for BTF of programs (since 5.11).
    pub name: String,
    /// Whether it describes the kernel or a module.
    pub kernel: bool,
    /// Bytes of its data.
    pub size: u32,
}

/// The consumer's side of a ring of records.
pub trait Records: Send {
    /// Gives `each` up to `max` records in order, each with its position, and returns how many. A record is borrowed until `each` returns,
    /// and gone afterwards; discarded ones are skipped and not counted. `Break` ends the batch after that record.
    ///
    /// Space is handed back to the producer at the latest when this returns; what was published until then has been
    /// delivered if fewer than `max` came and nothing broke off, or a wake-up on [`fd`](Self::fd) follows.
    fn consume(&mut self, max: usize, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> usize;

    /// Where the next record to consume begins: bytes since the ring was made, headers included.
    fn position(&self) -> u64;

    /// Bytes that wait to be consumed, headers included.
    fn available(&self) -> u64;

    /// Capacity in bytes.
    fn capacity(&self) -> u64;

    /// What to wait on for reading; `None` for a ring of a simulated kernel, which fills only when that is called.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}
