//! Events a second: how many arrive, how many are lost, what each costs the consumer.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::Result;

use super::tracer::{Stopped, Tracer};

/// One event as text, of one process only.
const SCRIPT: &str =
    r#"tracepoint:syscalls:sys_enter_getppid /comm == "hark-load"/ { printf("%d %s\n", pid, comm); }"#;
/// Events a second; 0 for as many as one CPU makes.
const RATES: &[&str] = &["1000", "100000", "300000", "600000", "0"];
/// How long each lasts.
const SECONDS: &str = "3";

/// Measures each tracer at each rate, one after the other.
pub(crate) fn run(tracers: &[Tracer]) -> Result<String> {
    let mut text = format!(
        "`{SCRIPT}`\n\nInto a file, {SECONDS} s for each rate; one thread makes the events. CPU: of the process that prints.\n\n"
    );
    text.push_str("| events/s asked | | made/s | delivered/s | lost | reported as lost | CPU per event |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for rate in RATES {
        for tracer in tracers {
            let row = measure(tracer, rate)?;
            let asked = if *rate == "0" { "as many as can be" } else { rate };
            let percent = 100.0 * (row.made - row.delivered) as f64 / row.made.max(1) as f64;
            let _ = writeln!(
                text,
                "| {asked} | {} | {:.0} k | {:.0} k | {percent:.1} % | {} | {:.2} µs |",
                tracer.name,
                row.made as f64 / row.seconds / 1e3,
                row.delivered as f64 / row.seconds / 1e3,
                row.reported,
                row.cpu / row.delivered.max(1) as f64 * 1e6
            );
            print!("{}", text.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
        }
    }
    Ok(text)
}

struct Row {
    made: u64,
    delivered: u64,
    reported: u64,
    seconds: f64,
    cpu: f64,
}

fn measure(tracer: &Tracer, rate: &str) -> Result<Row> {
    let running = tracer.start(SCRIPT)?;
    let before = running.cpu()?;
    let (made, seconds) = tracer.run_load(&["calls", rate, SECONDS])?;
    // What waits in the ring is handled after the load has ended.
    std::thread::sleep(Duration::from_millis(1500));
    let cpu = running.cpu()? - before;
    let stopped = running.stop()?;
    Ok(Row { made, delivered: delivered(&stopped)?, reported: reported(&stopped.err), seconds, cpu })
}

/// Lines that are events. The file is removed: it is large.
fn delivered(stopped: &Stopped) -> Result<u64> {
    let file = BufReader::with_capacity(1 << 20, File::open(&stopped.out)?);
    let mut n = 0;
    for line in file.split(b'\n') {
        n += u64::from(line?.ends_with(b" hark-load"));
    }
    std::fs::remove_file(&stopped.out)?;
    Ok(n)
}

/// The losses that the tracer tells of in total.
fn reported(said: &str) -> u64 {
    let total = said
        .lines()
        .rev()
        .find_map(|line| line.split("Total lost event count: ").nth(1)?.trim().parse().ok());
    total.unwrap_or_else(|| {
        // Older versions only say how many as they go.
        let each = said
            .lines()
            .filter_map(|line| line.strip_prefix("Lost ")?.split(' ').next()?.parse::<u64>().ok());
        each.sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_found_in_what_tracers_say() {
        assert_eq!(reported("Attached 1 probe\nLost 3 events\nLost 4 events\n"), 7);
        assert_eq!(reported("Lost 3 events\nWARNING: Total lost event count: 12\n"), 12);
        assert_eq!(reported("Attached 1 probe\n"), 0);
    }
}
