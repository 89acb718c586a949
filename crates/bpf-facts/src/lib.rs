//! What the kernel promises, as data: helpers, program types, contexts, map types, features, limits.
//!
//! No dependency on other crates of ours, no I/O, no logic beyond look-up. Nobody else writes a helper number, a
//! context offset or a "since 5.8". Sources: the UAPI headers (`include/uapi/linux/bpf.h`, `perf_event.h`), the
//! kernel's documentation, and probing real kernels.

mod contexts;
mod errnos;
mod features;
mod gfp;
mod helpers;
mod kfuncs;
mod licenses;
mod maps;
mod maybe_null;
mod perf_events;
mod profile;
mod progs;
mod registers;
mod renamed;
mod sections;
mod signals;
mod syscalls;
mod targets;
mod version;

pub use contexts::{Arch, CtxAccess, CtxField, CtxFieldKind, CtxLayout, ctx_layout, sock_fields};
pub use errnos::{ERRNOS, ErrnoDef, errno};
pub use features::{FEATURES, Feature, FeatureDef, SHORT_KEY};
pub use gfp::{GFP_BITS, GFP_COMPOUNDS, gfp_names};
pub use helpers::{
    Arg, DynptrArg, HELPERS, HelperDef, HelperFlags, HelperId, MemAccess, Ret, TRACING, helper,
    helper_by_name, helper_ns,
};
pub use kfuncs::{KFUNCS, KfuncDef, KfuncKind, kfunc};
pub use licenses::GPL_LICENSES;
pub use maps::{
    EntriesRule, MAP_TYPES, MapFlags, MapOps, MapType, MapTypeDef, RING_PRODUCER_POSITION, SizeRule,
    map_type, map_type_by_name,
};
pub use maybe_null::member_may_be_null;
pub use perf_events::{HARDWARE_EVENTS, PerfEventDef, SOFTWARE_EVENTS, perf_event};
pub use profile::{KernelProfile, Limits, Unsupported};
pub use progs::{AttachType, PROG_TYPES, ProgSet, ProgType, ProgTypeDef, prog_type, prog_type_by_name};
pub use registers::{CallConvention, call_convention, pt_regs, pt_regs_names};
pub use renamed::{RENAMED, Renamed, renamed};
pub use sections::{SECTIONS, SectionDef, SectionTarget, section_of};
pub use signals::{SIGNALS, SignalDef, signal, signal_by_name};
pub use syscalls::{SYSCALLS, syscall_name};
pub use targets::{
    ITER_ARGS, IterArg, IterField, NO_RETURN, NO_RETURN_SINCE, TRACEPOINT_ARGS, TRACEPOINT_ARGS_SINCE,
    TracepointArgs, UNTRACEABLE, iter_field, tracepoint_args,
};
pub use version::V;
