//! `software` and `hardware`: every so many occurrences of a perf event.

use crate::error::AttachError;
use crate::point::{AttachPoint, Place};
use bpf_facts::{HARDWARE_EVENTS, PerfEventDef, SOFTWARE_EVENTS, perf_event};
use hark_object::ProbeSpec;

pub(crate) fn software(spec: &ProbeSpec, event: &str, count: u64) -> Result<Vec<AttachPoint>, AttachError> {
    let (config, period) = look_up(spec, SOFTWARE_EVENTS, event, count)?;
    Ok(vec![AttachPoint::new(spec, Place::Software { config, period })])
}

pub(crate) fn hardware(spec: &ProbeSpec, event: &str, count: u64) -> Result<Vec<AttachPoint>, AttachError> {
    let (config, period) = look_up(spec, HARDWARE_EVENTS, event, count)?;
    Ok(vec![AttachPoint::new(spec, Place::Hardware { config, period })])
}

/// Number and period; a count of 0 means the default.
fn look_up(
    spec: &ProbeSpec,
    events: &'static [PerfEventDef],
    name: &str,
    count: u64,
) -> Result<(u64, u64), AttachError> {
    let def = perf_event(events, name)
        .ok_or_else(|| AttachError::missing(spec, format!("there is no event {name}")))?;
    Ok((def.config, if count == 0 { def.default_period } else { count }))
}
