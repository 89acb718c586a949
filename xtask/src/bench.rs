//! `cargo xtask bench`: hark beside bpftrace, in one run on one machine. Results go to `bench/RESULTS.md`.

mod attach;
mod codegen;
mod compile;
mod events;
mod measure;
mod overhead;
pub(crate) mod peer;
mod tracer;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, output, root, succeeds};
use crate::tools;
use measure::{Cost, Meter, Subject};
use tracer::Tracer;

/// The smallest complete script: it loads a program and a ring buffer, prints a line and ends.
const ONE_LINER: &str = "BEGIN { printf(\"hi open forum\\n\"); }";
/// How often each command is run, one after the other in turn.
const ROUNDS: usize = 21;

/// Runs one benchmark.
pub(crate) fn run(what: &str, flags: &[String]) -> Result<bool> {
    if what == "codegen" {
        return codegen::run(flags);
    }
    let with_peer = match flags {
        [] => true,
        [flag] if flag == "--no-peer" => false,
        _ => bail!("the only flag is --no-peer"),
    };
    match what {
        "startup" => startup(with_peer),
        "compile" => compile::run(),
        "vm" => vm(),
        "verify" => verify(),
        "attach" => side_by_side(with_peer, "attach", "Attaching and leaving", attach::run),
        "events" => side_by_side(with_peer, "events", "Events", events::run),
        "overhead" => side_by_side(with_peer, "overhead", "Overhead", overhead::run),
        other => {
            bail!(
                "no benchmark {other}; there are: startup, compile, vm, verify, attach, events, overhead, codegen"
            )
        }
    }
}

/// The release build of hark, or the one that `HARK_BIN` names.
fn build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HARK_BIN") {
        return Ok(path.into());
    }
    if !succeeds(&mut cargo(["build", "--release", "--quiet", "--package", "hark-cli"]))? {
        bail!("hark does not build");
    }
    Ok(root().join("target/release/hark"))
}

/// Runs a benchmark of tracers at work and keeps its table.
fn side_by_side(
    with_peer: bool,
    mark: &str,
    title: &str,
    measure: fn(&[Tracer]) -> Result<String>,
) -> Result<bool> {
    let hark = build()?;
    let peer = if with_peer { peer::open()? } else { None };
    let table = measure(&Tracer::all(&hark, peer.as_ref())?)?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let about = format!("{}, load average {load}, release build.", machine()?);
    record(mark, title, &format!("{about}\n\n{table}"))?;
    Ok(true)
}

/// From nothing to the first line and back: what a one-liner costs.
fn startup(with_peer: bool) -> Result<bool> {
    let hark = build()?;
    let mut subjects = vec![Subject::new("hark", &hark.to_string_lossy(), &["-e", ONE_LINER])];
    let peer = if with_peer { peer::open()? } else { None };
    if let Some(peer) = &peer {
        subjects.push(Subject::new(&peer.version, "bpftrace", &["-e", ONE_LINER]).inside(&peer.root));
    }
    let costs = Meter::new()?.interleaved(&subjects, ROUNDS)?;
    let size = fs::metadata(&hark)?.len();
    let mut text = format!(
        "`{ONE_LINER}`, medians of {ROUNDS} runs in turn, release build ({:.1} MB), {}.\n\n",
        size as f64 / 1e6,
        machine()?
    );
    text.push_str("| | wall | CPU | peak memory |\n|---|---|---|---|\n");
    for (subject, cost) in subjects.iter().zip(&costs) {
        text.push_str(&row(&subject.name, cost));
    }
    if let [hark, peer] = costs.as_slice() {
        let ratio = |f: fn(&Cost) -> f64| format!("{:.0} ×", f(peer) / f(hark));
        text.push_str(&format!(
            "| ratio | {} | {} | {} |\n",
            ratio(|c| c.wall_ms),
            ratio(|c| c.cpu_ms),
            ratio(|c| c.peak_mib)
        ));
    }
    print!("{text}");
    record("startup", "Start-up", &text)?;
    Ok(true)
}

/// How fast the interpreter runs simple instructions.
fn vm() -> Result<bool> {
    let rows = output(&mut cargo([
        "run",
        "--release",
        "--quiet",
        "--package",
        "ebpf-interp",
        "--example",
        "speed",
    ]))?;
    let text = format!(
        "Instructions a second of CPU time in `hark vm run`'s machine, fastest of several runs, {}.\n\n\
         | loop of | instructions |\n|---|---|\n{rows}",
        machine()?
    );
    print!("{text}");
    record("vm", "Interpreter", &text)?;
    Ok(true)
}

/// The simulated verifier's time beside the kernel's, over the tools that bpftrace brings and the examples.
fn verify() -> Result<bool> {
    let mut scripts = Vec::new();
    let peer = std::env::var_os("HARK_PEER_ROOT").map(|peer| PathBuf::from(peer).join(tools::SCRIPTS));
    for dir in peer.into_iter().chain([root().join("examples")]) {
        scripts.extend(tools::scripts(&dir)?);
    }
    scripts.sort();
    let words =
        ["run", "--release", "--quiet", "--package", "hark-testkit", "--example", "verify_time", "--"];
    let rows = output(cargo(words).args(&scripts))?;
    let text = format!(
        "Microseconds over all programs of a script, quickest of several times; the kernel's figure is the one its \
         verifier reports. {}.\n\n| script | programs | instructions processed | verifier-sim | kernel | ratio |\n\
         |---|---|---|---|---|---|\n{rows}",
        machine()?
    );
    print!("{text}");
    record("verify", "Verification", &text)?;
    Ok(true)
}

fn row(name: &str, cost: &Cost) -> String {
    format!("| {name} | {:.1} ms | {:.1} ms | {:.1} MiB |\n", cost.wall_ms, cost.cpu_ms, cost.peak_mib)
}

/// The processor and the kernel.
fn machine() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let models: Vec<&str> = info
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|l| l.split(": ").nth(1))
        .collect();
    let kernel = output(Command::new("uname").arg("-r"))?;
    let series: Vec<&str> = kernel.trim().splitn(3, '.').take(2).collect();
    Ok(format!("{} × {}, Linux {}", models.len(), models.first().unwrap_or(&"?"), series.join(".")))
}

/// Puts a benchmark's result in its place in `bench/RESULTS.md`.
fn record(mark: &str, title: &str, text: &str) -> Result<()> {
    let path = root().join("bench/RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_else(|_| "# What the benchmarks measured\n".to_owned());
    fs::write(&path, replaced(&old, mark, title, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The document with the part between the marks replaced, or added at the end.
fn replaced(old: &str, mark: &str, title: &str, text: &str) -> String {
    let (start, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->\n"));
    let part = format!("{start}{}\n{end}", text.trim_end());
    match (old.find(&start), old.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{part}{}", &old[..from], &old[to + end.len()..]),
        _ => format!("{}\n\n## {title}\n\n{part}", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_takes_the_place_of_the_one_before() {
        let once = replaced("# R\n", "a", "A", "1\n");
        assert_eq!(once, "# R\n\n## A\n\n<!-- a -->\n1\n<!-- /a -->\n");
        let both = replaced(&once, "b", "B", "2\n");
        assert_eq!(replaced(&both, "a", "A", "3\n"), both.replace("\n1\n", "\n3\n"));
    }
}
