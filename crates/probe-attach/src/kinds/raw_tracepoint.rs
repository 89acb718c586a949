//! `rawtracepoint`: the kernel's static events, with the arguments as the kernel passes them.

use crate::attach::Attacher;
use crate::error::AttachError;
use crate::kinds::typed;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_facts::ProgType;
use bpf_syscall::{Errno, LinkCreate};
use hark_object::{Catalog, ProbeSpec, glob, is_pattern};

pub(crate) fn expand(
    spec: &ProbeSpec,
    event: &str,
    catalog: &dyn Catalog,
) -> Result<Vec<AttachPoint>, AttachError> {
    let point = |event: &str| {
        AttachPoint::new(format!("rawtracepoint:{event}"), Place::RawTracepoint { event: event.to_string() })
    };
    if !is_pattern(event) {
        return Ok(vec![point(event)]);
    }
    let all = catalog.tracepoints().map_err(|error| AttachError::catalog(spec, error))?;
    // System calls have two raw tracepoints in all, which tracefs lists as raw_syscalls.
    let mut names: Vec<&str> = all
        .iter()
        .filter(|(category, name)| category != "syscalls" && glob(event, name))
        .map(|(_, name)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(AttachError::missing(spec, format!("no raw tracepoint of this kernel matches {event}")));
    }
    Ok(names.into_iter().map(point).collect())
}

pub(crate) fn attach(cx: &Attacher<'_>, point: &AttachPoint, event: &str) -> Result<Link, AttachError> {
    if cx.program.ty == ProgType::Tracing {
        return typed::attach_tracing(cx, point);
    }
    let link = LinkCreate::RawTracepoint { prog: cx.program.fd, name: event, cookie: point.cookie };
    cx.link(point, &link).map_err(|error| match error.errno() {
        Some(Errno::ENOENT) => AttachError::missing(&point.name, "this kernel has no such raw tracepoint"),
        _ => error,
    })
}
