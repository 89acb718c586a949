//! What compiling costs: from the start of the process until the programs of a script are verified, and loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::measure::{Cost, Meter, Subject};
use super::{build, machine, peer, record};
use crate::shell::succeeds;

/// How often each command is run, one after the other in turn.
const ROUNDS: usize = 11;
/// The script whose compilation is the longest of those that bpftrace brings.
const LARGEST: &str = "opensnoop.bt";
/// Where bpftrace's package puts its scripts, below its root directory.
const TOOLS: &str = "usr/sbin";

/// Compiles the scripts that bpftrace brings, those that both can load here; `opensnoop.bt` also without the kernel.
///
/// # Errors
/// There is no bpftrace, and so there are no scripts of its package.
pub(super) fn run() -> Result<bool> {
    let hark = build()?;
    let peer = peer::open()?.context("the scripts to compile are those of bpftrace's package")?;
    let meter = Meter::new()?;
    let at_home = |tool: &Path| peer.root.join(tool).to_string_lossy().into_owned();
    let hark = hark.to_string_lossy().into_owned();

    let largest = Path::new(TOOLS).join(LARGEST);
    let locally = Subject::new("hark", &hark, &["dump", "--stage", "verify", &at_home(&largest)]);
    let locally = meter.interleaved(&[locally], ROUNDS)?;
    let mut rows = Vec::new();
    for tool in tools(&peer.root)? {
        let inside = format!("/{}", tool.display());
        let loads = |command: &mut Command, script: &str| succeeds(command.args(["--dry-run", script]));
        if !loads(&mut Command::new(&hark), &at_home(&tool))?
            || !loads(Command::new("chroot").arg(&peer.root).arg("bpftrace"), &inside)?
        {
            continue;
        }
        let subjects = [
            Subject::new("hark", &hark, &["--dry-run", &at_home(&tool)]),
            Subject::new(&peer.version, "bpftrace", &["--dry-run", &inside]).inside(&peer.root),
        ];
        let costs = meter.interleaved(&subjects, ROUNDS)?;
        let name = tool.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{}", row(&name, &costs));
        rows.push((name, costs));
    }
    let text = table(&rows, &locally, &peer.version)?;
    print!("{text}");
    record("compile", "Compilation", &text)?;
    Ok(true)
}

/// The scripts of bpftrace's package, relative to its root directory.
fn tools(root: &Path) -> Result<Vec<PathBuf>> {
    let dir = root.join(TOOLS);
    let mut tools = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "bt") {
            tools.push(Path::new(TOOLS).join(name));
        }
    }
    tools.sort();
    Ok(tools)
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
