//! `interval` and `profile`: perf's clock, on one CPU or on all.

use crate::attach::{Attacher, open_everywhere};
use crate::error::AttachError;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_facts::{SOFTWARE_EVENTS, perf_event};
use bpf_syscall::{PerfEvent, PerfKind, PerfTarget, Sampling, SysError, cpus};
use hark_object::ProbeSpec;

/// Below this a timer would keep the machine busy with itself.
const SHORTEST_NS: u64 = 1000;

pub(crate) fn interval(spec: &ProbeSpec, period_ns: u64) -> Result<Vec<AttachPoint>, AttachError> {
    check(spec, period_ns)?;
    Ok(vec![AttachPoint::new(spec, Place::Interval { period_ns })])
}

pub(crate) fn profile(spec: &ProbeSpec, period_ns: u64, hz: u64) -> Result<Vec<AttachPoint>, AttachError> {
    let sampling = if hz > 0 {
        Sampling::Frequency(hz)
    } else {
        check(spec, period_ns)?;
        Sampling::Period(period_ns)
    };
    Ok(vec![AttachPoint::new(spec, Place::Profile(sampling))])
}

fn check(spec: &ProbeSpec, period_ns: u64) -> Result<(), AttachError> {
    if period_ns < SHORTEST_NS {
        return Err(AttachError::invalid(spec, format!("the period must be at least {SHORTEST_NS} ns")));
    }
    Ok(())
}

fn clock() -> PerfKind {
    PerfKind::Software(perf_event(SOFTWARE_EVENTS, "cpu-clock").map_or(0, |def| def.config))
}

pub(crate) fn attach_interval(
    cx: &Attacher<'_>,
    point: &AttachPoint,
    period_ns: u64,
) -> Result<Link, AttachError> {
    let cpu = cpus::online()
        .map_err(|source| AttachError::kernel(&point.name, source))?
        .first()
        .copied()
        .unwrap_or(0);
    let event = PerfEvent {
        kind: clock(),
        target: PerfTarget::Cpu(cpu),
        sampling: Sampling::Period(period_ns),
        inherit: false,
    };
    cx.perf(point, &[event])
}

pub(crate) fn attach_profile(
    cx: &Attacher<'_>,
    point: &AttachPoint,
    sampling: Sampling,
) -> Result<Link, AttachError> {
    open_everywhere(cx, point, &clock(), sampling).map_err(|error| match (error, sampling) {
        (AttachError::Kernel { probe, source }, Sampling::Frequency(_))
            if source.errno == bpf_syscall::Errno::EINVAL =>
        {
            let source: SysError =
                source.with_hint("the frequency may be above kernel.perf_event_max_sample_rate");
            AttachError::Kernel { probe, source }
        }
        (error, _) => error,
    })
}
