//! Attaching programs to places.

use crate::error::AttachError;
use crate::kinds::{kprobe, raw_tracepoint, timer, tracepoint, typed, uprobe};
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_facts::{AttachType, Feature, KernelProfile, ProgType, V};
use bpf_syscall::{
    Errno, Kernel, KprobeAt, LinkCreate, LinkFd, MultiFlavour, PerfEvent, PerfFd, PerfKind, PerfTarget,
    ProgFd, Result as SysResult, Sampling, SysError, cpus,
};
use std::fs;

/// A loaded program, as attaching must know it.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The program.
    pub fd: &'a ProgFd,
    /// Its type.
    pub ty: ProgType,
    /// The attach type it was loaded with. For a program of kprobes or uprobes this decides how it is attached: see
    /// [`Method`].
    pub attach_type: AttachType,
}

/// Whom to observe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this process: uprobes, profiles and perf events of others are not even taken. Other kinds see every
    /// process, and their programs must look at the pid themselves.
    pub pid: Option<u32>,
}

/// How the places of one program are attached. To be chosen before loading, for the kernel wants to know then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One by one.
    Single,
    /// All by one `kprobe_multi` link.
    KprobeMulti,
    /// All by one `uprobe_multi` link per file.
    UprobeMulti,
}

impl Method {
    /// The method for a program that serves `points` on a kernel like `profile`. What the profile promises may yet be
    /// configured away: `confirm` is asked, once, for a feature that would be used.
    ///
    /// Kprobes go together where there are several, uprobes always, since leaving a `uprobe_multi` link keeps no lock
    /// while it waits, and so many are left in the time of one.
    pub fn choose(
        points: &[AttachPoint],
        scope: Scope,
        profile: &KernelProfile,
        confirm: &dyn Fn(Feature) -> bool,
    ) -> Method {
        let all = |test: &dyn Fn(&Place) -> bool| {
            !points.is_empty() && points.iter().all(|point| test(&point.place))
        };
        let usable = |feature| profile.has(feature) && confirm(feature);
        let same_side = |ret: bool| {
            all(&|place| match place {
                Place::Kprobe { ret: r, .. } | Place::Uprobe { ret: r, .. } => *r == ret,
                _ => true,
            })
        };
        if !same_side(true) && !same_side(false) {
            return Method::Single;
        }
        // fprobe sits at entries and returns, and knows bare names only.
        if points.len() > 1
            && all(&|place| matches!(place, Place::Kprobe { offset: 0, .. }))
            && usable(Feature::KprobeMulti)
        {
            return Method::KprobeMulti;
        }
        // Before 6.10 the kernel compared the thread, not the process.
        let pid_works = scope.pid.is_none() || profile.version >= V(6, 10);
        if all(&|place| matches!(place, Place::Uprobe { .. })) && pid_works && usable(Feature::UprobeMulti) {
            return Method::UprobeMulti;
        }
        Method::Single
    }

    /// The attach type to load the program with; `None` to leave it as it is.
    pub fn attach_type(self) -> Option<AttachType> {
        match self {
            Method::Single => None,
            Method::KprobeMulti => Some(AttachType::TraceKprobeMulti),
            Method::UprobeMulti => Some(AttachType::TraceUprobeMulti),
        }
    }
}

/// Attaches a program to one place.
///
/// # Errors
/// [`AttachError::Missing`] if the place does not exist, [`AttachError::Kernel`] if the kernel refuses.
pub fn attach(
    kernel: &dyn Kernel,
    program: Program<'_>,
    point: &AttachPoint,
    scope: Scope,
) -> Result<Link, AttachError> {
    let cx = Attacher { kernel, program, scope };
    match &point.place {
        Place::OnDemand => Ok(Link::nothing()),
        Place::Interval { period_ns } => timer::attach_interval(&cx, point, *period_ns),
        Place::Profile(sampling) => timer::attach_profile(&cx, point, *sampling),
        Place::Software { config, period } => {
            open_everywhere(&cx, point, &PerfKind::Software(*config), Sampling::Period(*period))
        }
        Place::Hardware { config, period } => {
            open_everywhere(&cx, point, &PerfKind::Hardware(*config), Sampling::Period(*period))
        }
        Place::Watchpoint { addr, len, access } => {
            let kind = PerfKind::Breakpoint { addr: *addr, len: *len, access: *access };
            open_everywhere(&cx, point, &kind, Sampling::Period(1))
        }
        Place::Tracepoint { id } => tracepoint::attach(&cx, point, *id),
        Place::RawTracepoint { event } => raw_tracepoint::attach(&cx, point, event),
        Place::Kprobe { .. } if program.attach_type == AttachType::TraceKprobeMulti => {
            one(attach_all(kernel, program, std::slice::from_ref(point), scope, &mut |_| {}))
        }
        Place::Kprobe { module, func, offset, ret } => {
            let name = kprobe::symbol(module.as_deref(), func);
            kprobe::attach(&cx, point, KprobeAt::Symbol { name, offset: *offset }, *ret)
        }
        Place::KprobeAddr { addr } => kprobe::attach(&cx, point, KprobeAt::Address(*addr), false),
        Place::Fentry => typed::attach_tracing(&cx, point),
        Place::Uprobe { .. } if program.attach_type == AttachType::TraceUprobeMulti => {
            one(attach_all(kernel, program, std::slice::from_ref(point), scope, &mut |_| {}))
        }
        Place::Uprobe { path, offset, ref_ctr_offset, ret } => {
            let at = uprobe::At { path, offset: *offset, ref_ctr_offset: *ref_ctr_offset, ret: *ret };
            uprobe::attach(&cx, point, &at)
        }
        Place::Iter => typed::attach_iter(&cx, point),
    }
}

/// Attaches a program to all its places, together where it was loaded for that. What succeeded stays attached whatever
/// failed; it is for the caller to say which failures matter. `done` hears of places that have been dealt with.
pub fn attach_all(
    kernel: &dyn Kernel,
    program: Program<'_>,
    points: &[AttachPoint],
    scope: Scope,
    done: &mut dyn FnMut(usize),
) -> Vec<Result<Link, AttachError>> {
    let cx = Attacher { kernel, program, scope };
    let refs: Vec<&AttachPoint> = points.iter().collect();
    let flavour = |ret| if ret { MultiFlavour::Return } else { MultiFlavour::Entry };
    let ret = points.iter().any(|point| {
        matches!(point.place, Place::Kprobe { ret: true, .. } | Place::Uprobe { ret: true, .. })
    });
    let results = match program.attach_type {
        AttachType::TraceKprobeMulti => kprobe::attach_multi(&cx, &refs, flavour(ret)),
        AttachType::TraceKprobeSession => kprobe::attach_multi(&cx, &refs, MultiFlavour::Session),
        AttachType::TraceUprobeMulti => uprobe::attach_multi(&cx, &refs, flavour(ret)),
        AttachType::TraceUprobeSession => uprobe::attach_multi(&cx, &refs, MultiFlavour::Session),
        _ => {
            let mut one_by_one = Vec::with_capacity(points.len());
            for point in points {
                one_by_one.push(attach(kernel, program, point, scope));
                done(1);
            }
            return one_by_one;
        }
    };
    done(points.len());
    results
}

/// The only result of a call that was about one place.
fn one(mut results: Vec<Result<Link, AttachError>>) -> Result<Link, AttachError> {
    results.pop().unwrap_or_else(|| Ok(Link::nothing()))
}

/// What every kind needs to attach.
pub(crate) struct Attacher<'a> {
    pub(crate) kernel: &'a dyn Kernel,
    pub(crate) program: Program<'a>,
    pub(crate) scope: Scope,
}

impl Attacher<'_> {
    /// Makes a link that needs no perf event.
    pub(crate) fn link(&self, point: &AttachPoint, link: &LinkCreate<'_>) -> Result<Link, AttachError> {
        let made =
            self.kernel.link_create(link).map_err(|source| AttachError::kernel(&point.name, source))?;
        // The kernel takes these apart after we are gone, by callbacks.
        let quick = matches!(link, LinkCreate::RawTracepoint { .. } | LinkCreate::Iter { .. });
        Ok(if quick { Link::quick(made) } else { Link::slow(made) })
    }

    /// Opens events and puts the program on each: by a link, or by the older ioctl where the kernel has no such links
    /// (before 5.15). All or none.
    pub(crate) fn perf(&self, point: &AttachPoint, events: &[PerfEvent]) -> Result<Link, AttachError> {
        let refused = |source| AttachError::kernel(&point.name, source);
        let mut link = Link::nothing();
        for event in events {
            let fd = self.kernel.perf_event_open(event).map_err(refused)?;
            let bpf = self.put_on(point, &fd).map_err(refused)?;
            // A probe fires from the moment the program is on it; clocks and counters wait for this.
            self.kernel.perf_enable(&fd).map_err(refused)?;
            link.add_event(fd, bpf, slow_to_close(&event.kind));
        }
        Ok(link)
    }

    fn put_on(&self, point: &AttachPoint, event: &PerfFd) -> SysResult<Option<LinkFd>> {
        let prog = self.program.fd;
        match self.kernel.link_create(&LinkCreate::PerfEvent { prog, event, cookie: point.cookie }) {
            Ok(link) => Ok(Some(link)),
            // What a kernel says that knows no such link. If that was not the reason, the ioctl fails as well.
            Err(error) if error.errno == Errno::EINVAL && point.cookie == 0 => {
                self.kernel.perf_set_bpf(event, prog).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// The cookies of `points`; empty if all are zero.
    pub(crate) fn cookies(&self, points: &[&AttachPoint]) -> Vec<u64> {
        if points.iter().all(|point| point.cookie == 0) {
            return Vec::new();
        }
        points.iter().map(|point| point.cookie).collect()
    }
}

/// Whether closing such an event waits for a grace period: those that hook into code, in contrast to those that a
/// clock or counter drives.
fn slow_to_close(kind: &PerfKind) -> bool {
    match kind {
        PerfKind::Tracepoint { .. } | PerfKind::Kprobe { .. } | PerfKind::Uprobe { .. } => true,
        PerfKind::Software(_)
        | PerfKind::Hardware(_)
        | PerfKind::Breakpoint { .. }
        | PerfKind::Code { .. } => false,
    }
}

/// A clock or counter on every online CPU; or, with a pid, on every thread of that process and those they start.
pub(crate) fn open_everywhere(
    cx: &Attacher<'_>,
    point: &AttachPoint,
    kind: &PerfKind,
    sampling: Sampling,
) -> Result<Link, AttachError> {
    let event = |target, inherit| PerfEvent { kind: kind.clone(), target, sampling, inherit };
    let Some(pid) = cx.scope.pid else {
        let online = cpus::online().map_err(|source| AttachError::kernel(&point.name, source))?;
        let events: Vec<_> = online.into_iter().map(|cpu| event(PerfTarget::Cpu(cpu), false)).collect();
        return cx.perf(point, &events);
    };
    let mut link = Link::nothing();
    let mut gone = None;
    for thread in threads(pid) {
        match cx.perf(point, &[event(PerfTarget::Task(thread), true)]) {
            Ok(more) => link.append(more),
            // It has ended since they were listed.
            Err(error) if error.errno() == Some(Errno::ESRCH) => gone = Some(error),
            Err(error) => return Err(error),
        }
    }
    match gone {
        Some(error) if link.is_nothing() => Err(error),
        _ => Ok(link),
    }
}

/// The threads of a process; itself alone if they cannot be listed.
fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    if threads.is_empty() {
        threads.push(pid);
    }
    threads
}

/// Makes one link for all `points`; if the kernel refuses because of some of them, one for each half, and so on.
/// `missing` tells of an error about a single place whether the place does not exist.
pub(crate) fn divide(
    points: &[&AttachPoint],
    create: &dyn Fn(&[&AttachPoint]) -> SysResult<LinkFd>,
    missing: &dyn Fn(&SysError) -> bool,
) -> Vec<Result<Link, AttachError>> {
    /// What is said of single places. Other numbers are about rights and limits, and halves would fare no better.
    const ABOUT_PLACES: [Errno; 6] =
        [Errno::ESRCH, Errno::ENOENT, Errno::EINVAL, Errno::EILSEQ, Errno::EIO, Errno::EBUSY];
    let mut results = Vec::new();
    let mut pending = vec![points];
    while let Some(points) = pending.pop() {
        let error = match create(points) {
            Ok(link) => {
                results.push(Ok(Link::slow(link)));
                continue;
            }
            Err(error) => error,
        };
        match points {
            [point] if missing(&error) => {
                results.push(Err(AttachError::missing(&point.name, "this kernel has no such function")));
            }
            [_, _, ..] if ABOUT_PLACES.contains(&error.errno) => {
                let (first, second) = points.split_at(points.len() / 2);
                pending.extend([second, first]);
            }
            [point, ..] => results.push(Err(AttachError::kernel(&point.name, error))),
            [] => {}
        }
    }
    results
}
