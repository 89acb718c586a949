//! `tracepoint`: the kernel's static events, through perf.

use crate::attach::Attacher;
use crate::error::AttachError;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_syscall::{PerfEvent, PerfKind};
use hark_object::{Catalog, ProbeSpec, glob, is_pattern};

pub(crate) fn expand(
    spec: &ProbeSpec,
    category: &str,
    event: &str,
    catalog: &dyn Catalog,
) -> Result<Vec<AttachPoint>, AttachError> {
    let missing = |category: &str, event: &str| {
        AttachError::missing(spec, format!("this kernel has no tracepoint {category}:{event}"))
    };
    if !is_pattern(category) && !is_pattern(event) {
        return match point(spec, category, event, catalog)? {
            Some(point) => Ok(vec![point]),
            None => Err(missing(category, event)),
        };
    }
    let all = catalog.tracepoints().map_err(|error| AttachError::catalog(spec, error))?;
    let mut points = Vec::new();
    for (c, e) in all.iter().filter(|(c, e)| glob(category, c) && glob(event, e)) {
        points.extend(point(spec, c, e, catalog)?);
    }
    if points.is_empty() {
        return Err(AttachError::missing(
            spec,
            format!("no tracepoint of this kernel matches {category}:{event}"),
        ));
    }
    Ok(points)
}

/// `None` if there is no such tracepoint, or one that perf does not offer (those of ftrace itself have no number).
fn point(
    spec: &ProbeSpec,
    category: &str,
    event: &str,
    catalog: &dyn Catalog,
) -> Result<Option<AttachPoint>, AttachError> {
    let format =
        catalog.tracepoint_format(category, event).map_err(|error| AttachError::catalog(spec, error))?;
    Ok(format
        .as_deref()
        .and_then(id)
        .map(|id| AttachPoint::new(format!("tracepoint:{category}:{event}"), Place::Tracepoint { id })))
}

/// The number in the `ID: 123` line of a format.
fn id(format: &str) -> Option<u64> {
    format.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().parse().ok()
}

pub(crate) fn attach(cx: &Attacher<'_>, point: &AttachPoint, id: u64) -> Result<Link, AttachError> {
    cx.perf(point, &[PerfEvent::every(PerfKind::Tracepoint { id })])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_in_the_format() {
        assert_eq!(id("name: sched_switch\nID: 316\nformat:\n\tfield:…"), Some(316));
        assert_eq!(id("name: x\n"), None);
    }
}
