//! Probes on perf events that are no functions: clocks, counters, watched addresses.

use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad, number};
use crate::target::Target;
use bpf_facts::{HARDWARE_EVENTS, PerfEventDef, ProgType, SOFTWARE_EVENTS};
use hark_diag::Diagnostic;
use hark_object::{CatalogError, ProbeSpec, TimeUnit};

fn context(kind: &'static str, name: String) -> Context {
    // struct bpf_perf_event_data begins with the registers.
    Context { regs: Some(0), filters_pid: true, ..Context::plain(kind, name, ProgType::PerfEvent) }
}

const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// What `:5ms`, `:ms:5`, `:1000000` and `:hz:99` say.
enum Rate {
    Every(u64, TimeUnit),
    Hz(u64),
}

fn rate(ap: &Ap<'_>, kind: &dyn ProbeKind) -> Result<Rate, Diagnostic> {
    let (unit, count) = match ap.args[..] {
        [literal] => {
            let digits = literal.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(literal.len());
            let (count, unit) = literal.split_at(digits);
            (if unit.is_empty() { "ns" } else { unit }, count)
        }
        [unit, count] => (unit, count),
        _ => return Err(bad(ap, kind, "an interval needs a unit and a number")),
    };
    let n = number(count).ok_or_else(|| bad(ap, kind, format!("not a number: {count:?}")))?;
    if n == 0 {
        return Err(bad(ap, kind, "the interval must not be zero"));
    }
    if unit == "hz" {
        return Ok(Rate::Hz(n));
    }
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale)
        .ok_or_else(|| bad(ap, kind, format!("unknown unit: {unit}")))?;
    match n.checked_mul(scale) {
        None => Err(bad(ap, kind, "the interval is longer than 580 years")),
        Some(period) if period < 1000 => Err(bad(ap, kind, "the shortest interval is 1000 ns")),
        Some(period) => {
            let unit = match (&ap.args[..], unit) {
                ([_, _], "s") => TimeUnit::Seconds,
                ([_, _], "ms") => TimeUnit::Millis,
                _ => TimeUnit::Micros,
            };
            Ok(Rate::Every(period, unit))
        }
    }
}

/// `interval`
pub(super) struct Interval;

impl ProbeKind for Interval {
    fn name(&self) -> &'static str {
        "interval"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["i"]
    }
    fn syntax(&self) -> &'static str {
        "interval:s:1, interval:ms:100, interval:us:500, interval:hz:99 or interval:1s"
    }
    fn doc(&self) -> &'static str {
        "Fires on one CPU, again and again after the given time."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        Ok(match rate(ap, self)? {
            Rate::Every(period_ns, unit) => ProbeSpec::Interval { period_ns, unit },
            Rate::Hz(hz) => {
                ProbeSpec::Interval { period_ns: (1_000_000_000 / hz).max(1), unit: TimeUnit::Hertz }
            }
        })
    }
    fn list(&self, _: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(unit_names("interval"))
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        spec.to_string()
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(Context { filters_pid: false, ..context("interval", self.full_name(spec)) })
    }
}

/// `profile`
pub(super) struct Profile;

impl ProbeKind for Profile {
    fn name(&self) -> &'static str {
        "profile"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["p"]
    }
    fn syntax(&self) -> &'static str {
        "profile:hz:99, profile:ms:10, profile:us:500, profile:s:1 or profile:10ms"
    }
    fn doc(&self) -> &'static str {
        "Fires on every CPU at the given rate, wherever that CPU is."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        Ok(match rate(ap, self)? {
            Rate::Every(period_ns, unit) => ProbeSpec::Profile { period_ns, hz: 0, unit },
            Rate::Hz(hz) => ProbeSpec::Profile { period_ns: 0, hz, unit: TimeUnit::Hertz },
        })
    }
    fn list(&self, _: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(unit_names("profile"))
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        spec.to_string()
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("profile", self.full_name(spec)))
    }
}

fn perf_event(
    ap: &Ap<'_>,
    kind: &dyn ProbeKind,
    table: &'static [PerfEventDef],
) -> Result<(String, u64), Diagnostic> {
    let (name, count) = match ap.args[..] {
        [name] | [name, ""] => (name, None),
        [name, count] => {
            let n = number(count).ok_or_else(|| bad(ap, kind, format!("not a number: {count}")))?;
            (name, Some(n))
        }
        _ => return Err(bad(ap, kind, "an event name and a count are expected")),
    };
    if bpf_facts::perf_event(table, name).is_none() {
        let mut diag = bad(ap, kind, format!("unknown event: {name}"));
        let names = table.iter().flat_map(|def| std::iter::once(def.name).chain(def.alias));
        if let Some(near) = hark_diag::did_you_mean(name, names) {
            diag = diag.with_help(format!("did you mean `{near}`?"));
        }
        return Err(diag);
    }
    // A count of 0 is none.
    Ok((name.to_string(), count.unwrap_or(0)))
}

/// `software`
pub(super) struct Software;

impl ProbeKind for Software {
    fn name(&self) -> &'static str {
        "software"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["s"]
    }
    fn syntax(&self) -> &'static str {
        "software:EVENT or software:EVENT:COUNT"
    }
    fn doc(&self) -> &'static str {
        "Fires after every so many software events of the kernel: faults, context switches…"
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        perf_event(ap, self, SOFTWARE_EVENTS).map(|(event, count)| ProbeSpec::Software { event, count })
    }
    fn list(&self, _: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(event_names("software", SOFTWARE_EVENTS))
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        spec.to_string()
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("software", self.full_name(spec)))
    }
}

/// `hardware`
pub(super) struct Hardware;

impl ProbeKind for Hardware {
    fn name(&self) -> &'static str {
        "hardware"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["h"]
    }
    fn syntax(&self) -> &'static str {
        "hardware:EVENT or hardware:EVENT:COUNT"
    }
    fn doc(&self) -> &'static str {
        "Fires after every so many events that the CPU counts: cycles, cache misses…"
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        perf_event(ap, self, HARDWARE_EVENTS).map(|(event, count)| ProbeSpec::Hardware { event, count })
    }
    fn list(&self, _: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(event_names("hardware", HARDWARE_EVENTS))
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        spec.to_string()
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("hardware", self.full_name(spec)))
    }
}

/// `watchpoint`
pub(super) struct Watchpoint;

impl ProbeKind for Watchpoint {
    fn name(&self) -> &'static str {
        "watchpoint"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["w"]
    }
    fn syntax(&self) -> &'static str {
        "watchpoint:ADDRESS:LENGTH:MODE with length 1, 2, 4 or 8 and mode w, rw or x"
    }
    fn doc(&self) -> &'static str {
        "Fires when memory at an address is written, read or executed."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        let [addr, len, mode] = ap.args[..] else {
            return Err(bad(ap, self, "a watchpoint needs an address, a length and a mode"));
        };
        let addr = number(addr)
            .filter(|addr| *addr != 0)
            .ok_or_else(|| bad(ap, self, format!("not an address that can be watched: {addr}")))?;
        let len = number(len)
            .filter(|n| [1, 2, 4, 8].contains(n))
            .ok_or_else(|| bad(ap, self, format!("a length of {len} cannot be watched")))?;
        let mut letters: Vec<char> = mode.chars().collect();
        letters.sort_unstable();
        // Hardware breakpoints of x86-64 cannot watch reads alone.
        if !["w", "rw", "x"].contains(&letters.iter().collect::<String>().as_str()) {
            return Err(bad(ap, self, format!("a mode of {mode:?} cannot be watched")));
        }
        Ok(ProbeSpec::Watchpoint { addr, len, mode: mode.to_string() })
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::Watchpoint { addr, len, mode } => format!("watchpoint:{addr:#x}:{len}:{mode}"),
            _ => "watchpoint".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("watchpoint", self.full_name(spec)))
    }
}

/// Names and aliases of events, as `-l` shows them.
fn event_names(kind: &str, events: &[PerfEventDef]) -> Vec<String> {
    let names = events.iter().flat_map(|def| std::iter::once(def.name).chain(def.alias));
    let mut names: Vec<String> = names.map(|name| format!("{kind}:{name}:")).collect();
    names.sort_unstable();
    names
}

/// The units of `interval` and `profile`, as `-l` shows them.
fn unit_names(kind: &str) -> Vec<String> {
    ["hz", "ms", "s", "us"].iter().map(|unit| format!("{kind}:{unit}:")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hark_diag::Span;

    fn interval(args: &[&str]) -> Option<u64> {
        match Interval.parse(&Ap { args: args.to_vec(), span: Span::default() }).ok()? {
            ProbeSpec::Interval { period_ns, .. } => Some(period_ns),
            _ => None,
        }
    }

    #[test]
    fn intervals_in_all_spellings() {
        assert_eq!(interval(&["ms", "5"]), Some(5_000_000));
        assert_eq!(interval(&["1s"]), Some(1_000_000_000));
        assert_eq!(interval(&["1000"]), Some(1000));
        assert_eq!(interval(&["hz", "100"]), Some(10_000_000));
        assert_eq!(interval(&["999"]), None);
        assert_eq!(interval(&["fortnights", "1"]), None);
        assert_eq!(interval(&["s", "0"]), None);
        let named = |args: &[&str]| {
            let ap = Ap { args: args.to_vec(), span: Span::default() };
            Interval.parse(&ap).map(|spec| spec.to_string()).ok()
        };
        for (args, name) in [
            (&["s", "1"][..], "interval:s:1"),
            (&["ms", "1000"], "interval:ms:1000"),
            (&["hz", "99"], "interval:hz:99"),
            (&["5ms"], "interval:us:5000"),
            (&["20000000"], "interval:us:20000"),
        ] {
            assert_eq!(named(args).as_deref(), Some(name));
        }
    }
}
