//! The only door to the kernel: bpf(2), perf_event_open(2), rings, waiting, and the few facts about the host that
//! no file tells.
//!
//! Everything above is written against [`Kernel`]; [`LinuxKernel`] is the running one. Unsafe code stays in five
//! files: `raw` (system calls), `shared_memory`, `child` and `background` (fork), `local_time` (libc's calendar).

pub mod background;
pub mod child;
pub mod clock;
mod code_watch;
pub mod cpus;
mod entries;
mod errno;
mod fd;
pub mod host;
mod kernel;
pub mod limits;
mod linux;
mod load;
mod local_time;
mod perf;
mod perf_ring;
pub mod probe;
mod raw;
mod ring;
mod shared_memory;
mod tracefs;
pub mod wait;

pub use code_watch::{CodeEvent, CodeWatch};
pub use entries::{clear, drain, walk};
pub use errno::{Errno, Result, SysError};
pub use fd::{BtfFd, LinkFd, MapFd, MapShape, PerfFd, ProgFd};
pub use kernel::{
    BatchOp, BatchRead, BtfInfo, IdKind, Kernel, KprobeTargets, LinkCreate, MapBtf, MapCreate, MultiFlavour,
    ProgInfo, Records, TestRun, TestRunResult, UpdateMode,
};
pub use linux::LinuxKernel;
pub use load::{
    AttachTarget, Decisive, FuncInfo, LineInfo, LoadError, Loaded, LogLevel, PROG_SLEEPABLE, ProgBtf,
    ProgLoad, VerifierLog,
};
pub use local_time::strftime;
pub use perf::{KprobeAt, PerfEvent, PerfKind, PerfTarget, Sampling};
pub use ring::BpfRing;
pub use tracefs::TraceFs;
