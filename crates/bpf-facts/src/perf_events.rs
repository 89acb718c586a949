//! Software and hardware events of perf, by the names of perf(1).
//!
//! Numbers: `enum perf_sw_ids` and `enum perf_hw_id` in `include/uapi/linux/perf_event.h`. Default sample periods are
//! part of the language.

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfEventDef {
    /// Name.
    pub name: &'static str,
    /// Another name for it.
    pub alias: Option<&'static str>,
    /// Number in the UAPI.
    pub config: u64,
    /// Occurrences (nanoseconds for clocks) from one sample to the next, where the script does not say.
    pub default_period: u64,
}

const fn event(
    name: &'static str,
    alias: Option<&'static str>,
    config: u64,
    default_period: u64,
) -> PerfEventDef {
    PerfEventDef { name, alias, config, default_period }
}

/// Events of `PERF_TYPE_SOFTWARE`, in order of their number.
pub static SOFTWARE_EVENTS: &[PerfEventDef] = &[
    event("cpu-clock", Some("cpu"), 0, 1_000_000),
    event("task-clock", None, 1, 1),
    event("page-faults", Some("faults"), 2, 100),
    event("context-switches", Some("cs"), 3, 1000),
    event("cpu-migrations", None, 4, 1),
    event("minor-faults", None, 5, 100),
    event("major-faults", None, 6, 1),
    event("alignment-faults", None, 7, 1),
    event("emulation-faults", None, 8, 1),
    event("dummy", None, 9, 1),
    event("bpf-output", None, 10, 1),
];

/// Events of `PERF_TYPE_HARDWARE`, in order of their number.
pub static HARDWARE_EVENTS: &[PerfEventDef] = &[
    event("cpu-cycles", Some("cycles"), 0, 1_000_000),
    event("instructions", None, 1, 1_000_000),
    event("cache-references", None, 2, 1_000_000),
    event("cache-misses", None, 3, 1_000_000),
    event("branch-instructions", Some("branches"), 4, 100_000),
    event("branch-misses", None, 5, 100_000),
    event("bus-cycles", None, 6, 100_000),
    event("frontend-stalls", None, 7, 1_000_000),
    event("backend-stalls", None, 8, 1_000_000),
    event("ref-cycles", None, 9, 1_000_000),
];

/// The row of `events` with this name or alias.
pub fn perf_event(events: &'static [PerfEventDef], name: &str) -> Option<&'static PerfEventDef> {
    events.iter().find(|def| def.name == name || def.alias == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order_of_their_number() {
        for events in [SOFTWARE_EVENTS, HARDWARE_EVENTS] {
            assert!(
                events.iter().enumerate().all(|(i, def)| def.config == i as u64 && def.default_period > 0)
            );
        }
        assert_eq!(perf_event(SOFTWARE_EVENTS, "cs"), perf_event(SOFTWARE_EVENTS, "context-switches"));
    }
}
