//! `cargo xtask bench codegen`: what hark and bpftrace make of the same scripts, and what that costs per event.

mod loads;
mod table;
mod times;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::peer::{self, Peer};
use crate::shell::{cargo, lab, output, root, succeeds};
use crate::tools;
use loads::Loader;
use table::Row;
use times::Timer;

/// A script of the corpus.
struct Case {
    name: String,
    /// With the word `DRIVE` for the path of the program that makes events.
    text: String,
    /// The event that the driving program can make for it: the first line says so.
    event: Option<String>,
}

/// Where things lie that both tools must find: below the peer's root, with their paths as each tool sees them.
struct Places {
    drive: PathBuf,
    script: PathBuf,
    functions: PathBuf,
}

impl Places {
    fn new(peer: &Path) -> Self {
        let at = |name: &str| peer.join("tmp").join(name);
        Self { drive: at("hark-drive"), script: at("hark-script.bt"), functions: at("hark-functions") }
    }
}

/// The path of a file below the peer's root, as seen from inside.
fn inside<'a>(peer: &Peer, path: &'a Path) -> Result<String> {
    let rest: &'a Path = path.strip_prefix(&peer.root).context("a file is not below the peer's root")?;
    Ok(format!("/{}", rest.display()))
}

/// Runs the benchmark; `only` names a part of the scripts, and then nothing is recorded.
pub(super) fn run(flags: &[String]) -> Result<bool> {
    let (mut only, mut timed) = (String::new(), true);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--only" => only = flags.next().context("--only wants a text")?.clone(),
            "--no-times" => timed = false,
            other => bail!("unknown flag {other}; there are --only TEXT and --no-times"),
        }
    }
    let hark = match std::env::var_os("HARK_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            if !succeeds(&mut cargo(["build", "--release", "--quiet", "--package", "hark-cli"]))? {
                bail!("hark does not build");
            }
            root().join("target/release/hark")
        }
    };
    let Some(peer) = peer::open()? else { bail!("there is nothing to compare with") };
    let places = Places::new(&peer.root);
    build(&root().join("bench/drive.c"), &places.drive)?;
    fs::write(&places.functions, kernel_functions()?)?;
    let loader = Loader::new(&hark, &peer, &places)?;
    let timer = Timer { hark: &hark, peer: &peer, places: &places };

    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for case in corpus(&peer)?.iter().filter(|case| case.name.contains(&only)) {
        match loader.both(case)? {
            Ok((ours, theirs)) => rows.push(Row { name: case.name.clone(), ours, theirs, ns: None }),
            Err(why) => left_out.push(format!("{}: {why}", case.name)),
        }
    }
    let mut empty = None;
    if timed {
        let _stats = times::Statistics::on()?;
        for case in corpus(&peer)?.iter().filter(|case| case.event.is_some()) {
            if let Some(row) = rows.iter_mut().find(|row| row.name == case.name) {
                let ns = timer.measure(case)?;
                empty = Some(empty.map_or(ns.empty, |least: f64| least.min(ns.empty)));
                row.ns = Some(ns);
            }
        }
    }
    let text = format!(
        "{} scripts ({}), {}; {}.\n\n{}",
        rows.len(),
        match empty {
            Some(ns) => format!("an empty program takes {ns:.0} ns an event"),
            None => "not timed".to_owned(),
        },
        peer.version,
        super::machine()?,
        table::text(&rows, &left_out)
    );
    print!("{text}");
    if only.is_empty() && timed {
        super::record("codegen", "Code", &text)?;
    }
    Ok(!rows.is_empty())
}

/// Our own scripts, and the tools that come with bpftrace.
fn corpus(peer: &Peer) -> Result<Vec<Case>> {
    let mut cases = BTreeMap::new();
    for (dir, prefix) in [(root().join("bench/codegen"), ""), (peer.root.join(tools::SCRIPTS), "tools/")] {
        for path in tools::scripts(&dir)? {
            let name = format!("{prefix}{}", path.file_stem().unwrap_or_default().display());
            let text = fs::read_to_string(&path)?;
            let event = text.lines().next().and_then(|l| l.strip_prefix("// event: ")).map(str::to_owned);
            cases.insert(name.clone(), Case { name, text, event });
        }
    }
    Ok(cases.into_values().collect())
}

/// Compiles a small C program, statically: it has to run with any root directory.
fn build(source: &Path, program: &Path) -> Result<()> {
    output(Command::new("cc").args(["-O2", "-static", "-o"]).arg(program).arg(source))?;
    Ok(())
}

/// Names of the kernel's functions, for a bpftrace that misses tracefs's list of them.
fn kernel_functions() -> Result<String> {
    fs::create_dir_all(lab())?;
    let symbols = fs::read_to_string("/proc/kallsyms").context("cannot read /proc/kallsyms")?;
    let functions =
        symbols.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "t" | "T", name, ..] => Some(format!("{name}\n")),
            _ => None,
        });
    Ok(functions.collect())
}
