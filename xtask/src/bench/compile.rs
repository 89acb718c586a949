//! What compiling costs: from the start of the process until the programs of a script are verified, and loaded.

use std::process::Command;

use anyhow::{Context, Result};

use super::measure::{Cost, Meter, Subject};
use super::{build, machine, peer, record};
use crate::shell::succeeds;
use crate::tools;

/// How often each command is run, one after the other in turn.
const ROUNDS: usize = 11;
/// The script whose compilation is the longest of those that bpftrace brings.
const LARGEST: &str = "opensnoop.bt";

/// Compiles the scripts that bpftrace brings, those that both can load here; `opensnoop.bt` also without the kernel.
///
/// # Errors
/// There is no bpftrace, and so there are no scripts of its package.
pub(super) fn run() -> Result<bool> {
    let hark = build()?;
    let peer = peer::open()?.context("the scripts to compile are those of bpftrace's package")?;
    let meter = Meter::new()?;
    let dir = peer.root.join(tools::SCRIPTS);
    let hark = hark.to_string_lossy().into_owned();

    let largest = dir.join(LARGEST).to_string_lossy().into_owned();
    let locally = Subject::new("hark", &hark, &["dump", "--stage", "verify", &largest]);
    let locally = meter.interleaved(&[locally], ROUNDS)?;
    let mut rows = Vec::new();
    for path in tools::scripts(&dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (tool, inside) = (path.to_string_lossy(), format!("/{}/{name}", tools::SCRIPTS));
        let loads = |command: &mut Command, script: &str| succeeds(command.args(["--dry-run", script]));
        if !loads(&mut Command::new(&hark), &tool)?
            || !loads(Command::new("chroot").arg(&peer.root).arg("bpftrace"), &inside)?
        {
            continue;
        }
        let subjects = [
            Subject::new("hark", &hark, &["--dry-run", &tool]),
            Subject::new(&peer.version, "bpftrace", &["--dry-run", &inside]).inside(&peer.root),
        ];
        let costs = meter.interleaved(&subjects, ROUNDS)?;
        println!("{}", row(&name, &costs));
        rows.push((name, costs));
    }
    let text = table(&rows, &locally, &peer.version)?;
    print!("{text}");
    record("compile", "Compilation", &text)?;
    Ok(true)
}

fn table(rows: &[(String, Vec<Cost>)], locally: &[Cost], version: &str) -> Result<String> {
    let mut text = format!(
        "`--dry-run` of the scripts of bpftrace's package that both load on this kernel: from the start of the process \
         until the kernel has accepted every program. Medians of {ROUNDS} runs in turn, {version}, release build, {}.\n\n",
        machine()?
    );
    if let [cost] = locally {
        text.push_str(&format!(
            "hark needs {:.1} ms ({:.1} ms of CPU) until {LARGEST} is bytecode that its own verifier accepted, types of \
             the kernel included (`hark dump --stage verify`).\n\n",
            cost.wall_ms, cost.cpu_ms
        ));
    }
    text.push_str(
        "| script | hark, ms | bpftrace, ms | ratio | hark, ms of CPU | bpftrace, ms of CPU | ratio |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (name, costs) in rows {
        text.push_str(&row(name, costs));
        text.push('\n');
    }
    let mean = |f: fn(&Cost) -> f64| {
        let logs: f64 = rows.iter().map(|(_, costs)| (f(&costs[1]) / f(&costs[0])).ln()).sum();
        (logs / rows.len().max(1) as f64).exp()
    };
    text.push_str(&format!(
        "| geometric mean | | | {:.0} × | | | {:.0} × |\n",
        mean(|c| c.wall_ms),
        mean(|c| c.cpu_ms)
    ));
    Ok(text)
}

fn row(name: &str, costs: &[Cost]) -> String {
    let (hark, peer) = (costs[0], costs[1]);
    format!(
        "| {name} | {:.1} | {:.1} | {:.0} × | {:.1} | {:.1} | {:.0} × |",
        hark.wall_ms,
        peer.wall_ms,
        peer.wall_ms / hark.wall_ms,
        hark.cpu_ms,
        peer.cpu_ms,
        peer.cpu_ms / hark.cpu_ms
    )
}
