//! What a probe costs where it is hit: the time in its program, as the kernel counts it.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::tracer::Tracer;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// Hits for each measurement, over so many keys.
const HITS: &str = "20000";
const KEYS: &str = "100";
/// Measurements of each, of which the best counts: whatever else the machine does only adds.
const ROUNDS: usize = 3;

/// What is done at each hit.
const BODIES: &[(&str, &str)] = &[
    ("nothing", ""),
    ("count", "@ = count();"),
    ("keyed count", "@[arg0] = count();"),
    ("sum by comm", "@[comm] = sum(arg0);"),
    ("shared counter", "@n[arg0]++;"),
    ("hist", "@ = hist(arg0);"),
    ("printf", "printf(\"%d %s\\n\", pid, comm);"),
];

/// Measures each tracer with each body.
pub(crate) fn run(tracers: &[Tracer]) -> Result<String> {
    let _counting = Counting::start()?;
    let mut text = format!(
        "Nanoseconds in the program for each hit of a uprobe (`run_time_ns / run_cnt`), best of {ROUNDS} times {HITS} hits; the \
         kernel's own two looks at the clock are in each figure.\n\n| |"
    );
    tracers.iter().for_each(|tracer| text.push_str(&format!(" {} |", tracer.name)));
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(tracers.len()));
    text.push('\n');
    for (name, body) in BODIES {
        let _ = write!(text, "| {name} `{body}` |");
        for tracer in tracers {
            let mut best = f64::INFINITY;
            for _ in 0..ROUNDS {
                best = best.min(measure(tracer, body)?);
            }
            let _ = write!(text, " {best:.0} |");
        }
        text.push('\n');
        print!("{}", text.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
    }
    Ok(text)
}

fn measure(tracer: &Tracer, body: &str) -> Result<f64> {
    let running = tracer.start(&format!("uprobe:{}:hit {{ {body} }}", tracer.load()))?;
    tracer.run_load(&["hits", HITS, KEYS])?;
    let (runs, ns) = running.program_runs()?;
    running.stop()?;
    Ok(ns as f64 / runs.max(1) as f64)
}

/// The kernel counts runs while this lives.
struct Counting {
    before: String,
}

impl Counting {
    fn start() -> Result<Counting> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("cannot write {SWITCH}"))?;
        Ok(Counting { before })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        drop(fs::write(SWITCH, self.before.trim()));
    }
}
