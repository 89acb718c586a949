//! `kprobe`, `kretprobe`: functions and instructions of the kernel.

use crate::attach::{Attacher, divide};
use crate::error::AttachError;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_syscall::{Errno, KprobeAt, KprobeTargets, LinkCreate, MultiFlavour, PerfEvent, PerfKind, SysError};
use hark_object::{Catalog, ProbeSpec, glob, is_pattern};

/// Functions that programs themselves run through: tracing them by a wildcard would make the program run itself, or
/// take a lock that the interrupted code holds.
const NEVER_BY_WILDCARD: &[&str] = &[
    "rcu_*",
    "__rcu_*",
    "migrate_enable",
    "migrate_disable",
    "preempt_count_add",
    "preempt_count_sub",
    "__bpf_prog_*",
    "bpf_prog_*",
    "_raw_spin_*",
    "queued_spin_lock_slowpath",
    "native_queued_spin_lock_slowpath",
    "__pv_queued_spin_lock_slowpath",
];

pub(crate) fn expand(
    spec: &ProbeSpec,
    module: Option<&str>,
    func: &str,
    (offset, ret): (u64, bool),
    catalog: &dyn Catalog,
) -> Result<Vec<AttachPoint>, AttachError> {
    if ret && offset != 0 {
        return Err(AttachError::invalid(spec, "a return probe takes no offset"));
    }
    let point = |module: Option<String>, func: &str| {
        let func = func.to_string();
        let name = ProbeSpec::Kprobe { module: module.clone(), func: func.clone(), offset, ret };
        AttachPoint::new(name, Place::Kprobe { module, func, offset, ret })
    };
    if !is_pattern(func) && !module.is_some_and(is_pattern) {
        return Ok(vec![point(module.map(str::to_string), func)]);
    }
    if offset != 0 {
        return Err(AttachError::invalid(spec, "a pattern takes no offset"));
    }
    let functions = catalog.kernel_functions().map_err(|error| AttachError::catalog(spec, error))?;
    let in_module = |m: Option<&str>| module.is_none_or(|pattern| glob(pattern, m.unwrap_or("vmlinux")));
    let safe = |name: &str| !NEVER_BY_WILDCARD.iter().any(|pattern| glob(pattern, name));
    let mut points: Vec<AttachPoint> = functions
        .iter()
        .filter(|f| glob(func, &f.name) && in_module(f.module.as_deref()) && safe(&f.name))
        // The kernel's own functions need no module; those of modules are told apart by theirs.
        .map(|f| point(f.module.clone().filter(|_| module.is_some()), &f.name))
        .collect();
    points.dedup();
    if points.is_empty() {
        return Err(AttachError::missing(
            spec,
            format!("no kernel function that can be traced matches {func}"),
        ));
    }
    Ok(points)
}

pub(crate) fn at_address(spec: &ProbeSpec, addr: u64) -> Vec<AttachPoint> {
    vec![AttachPoint::new(spec, Place::KprobeAddr { addr })]
}

pub(crate) fn attach(
    cx: &Attacher<'_>,
    point: &AttachPoint,
    at: KprobeAt,
    ret: bool,
) -> Result<Link, AttachError> {
    let at_offset = matches!(at, KprobeAt::Symbol { offset: 1.., .. });
    let event = PerfEvent::every(PerfKind::Kprobe { at, ret });
    cx.perf(point, &[event]).map_err(|error| explain(point, error, at_offset))
}

/// What kprobes mean by their numbers.
fn explain(point: &AttachPoint, error: AttachError, at_offset: bool) -> AttachError {
    let AttachError::Kernel { probe, source } = error else { return error };
    let hint = match source.errno {
        Errno::ENOENT if source.call == "perf_event_open" => {
            return AttachError::missing(&point.name, "this kernel has no such function");
        }
        Errno::EINVAL | Errno::EILSEQ if at_offset => {
            "the offset must be that of an instruction inside the function"
        }
        // For `missing_probes` that is as good as absent: there is no place at which it could fire.
        Errno::EINVAL => {
            let why = "the kernel forbids probes in this function: it is inlined, or its own tracing runs through it";
            return AttachError::missing(&point.name, why);
        }
        Errno::ENOENT => {
            let why =
                "this kernel is configured without kprobes (CONFIG_KPROBE_EVENTS), or sysfs is not mounted";
            return AttachError::missing(&point.name, why);
        }
        // Since 6.7 the kernel refuses names that several functions share.
        Errno::EADDRNOTAVAIL => {
            "several functions have this name: name the module, or use a wildcard to take them all"
        }
        _ => return AttachError::Kernel { probe, source },
    };
    AttachError::Kernel { probe, source: source.with_hint(hint) }
}

/// The name by which the kernel finds a function of a module.
pub(crate) fn symbol(module: Option<&str>, func: &str) -> String {
    match module {
        // Its own functions stand under no module.
        None | Some("vmlinux") => func.to_string(),
        Some(module) => format!("{module}:{func}"),
    }
}

/// One link for many functions (since 5.18). Those that the kernel refuses are found by halving, and reported one by
/// one.
pub(crate) fn attach_multi(
    cx: &Attacher<'_>,
    points: &[&AttachPoint],
    flavour: MultiFlavour,
) -> Vec<Result<Link, AttachError>> {
    let create = |points: &[&AttachPoint]| {
        let names: Vec<String> = points
            .iter()
            .filter_map(|point| match &point.place {
                // fprobe has no notion of modules: it looks the bare name up everywhere.
                Place::Kprobe { func, .. } => Some(func.clone()),
                _ => None,
            })
            .collect();
        let cookies = cx.cookies(points);
        let targets = KprobeTargets::Symbols(&names);
        cx.kernel.link_create(&LinkCreate::KprobeMulti {
            prog: cx.program.fd,
            targets,
            cookies: &cookies,
            flavour,
        })
    };
    let missing = |error: &SysError| matches!(error.errno, Errno::ESRCH | Errno::ENOENT);
    divide(points, &create, &missing)
}
