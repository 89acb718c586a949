//! The scripts that bpftrace's package ships, read where it is installed: each is parsed, typed, compiled and accepted by
//! the simulated verifier, for old and new kernels. `cargo xtask tools` loads them on real ones.
//!
//! They are looked for below `HARK_PEER_ROOT`, or `target/lab/sid`, in `usr/sbin`. Types are the running kernel's, and
//! for the kernels whose BTF `cargo xtask kernels` has unpacked, their own.

use std::fs::{read, read_dir};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use hark_testkit::corpus::{Kernel, check, types};
use hark_tests::root_dir;
use libtest_mimic::{Arguments, Completion, Failed, Trial, run};

/// The running kernel's types.
const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Versions for which scripts are compiled with the running kernel's types.
const PROFILES: &[&str] = &["6.1", "6.18"];

/// What a kernel with its own types lacks: script, kernel, a part of what is said. A row that is no longer true fails.
const LACKING: &[(&str, &str, &str)] = &[
    ("biosnoop", "5.10", "tracepoint not found: block:block_io_start"),
    ("biosnoop", "6.1", "tracepoint not found: block:block_io_start"),
    ("biostacks", "5.10", "tracepoint not found: block:block_io_start"),
    ("biostacks", "6.1", "tracepoint not found: block:block_io_start"),
    ("mdflush", "5.10", "struct bio has no member bi_bdev"),
    ("runqlen", "5.10", "struct cfs_rq has no member nr_queued"),
    ("runqlen", "6.1", "struct cfs_rq has no member nr_queued"),
    ("runqlen", "6.12", "struct cfs_rq has no member nr_queued"),
    ("tcpdrop", "5.10", "unknown name: SKB_DROP_REASON_NOT_SPECIFIED"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("tools: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let peer =
        std::env::var_os("HARK_PEER_ROOT").map_or_else(|| root_dir().join("target/lab/sid"), PathBuf::from);
    let scripts = scripts(&peer.join("usr/sbin"));
    if scripts.is_empty() {
        return Ok(vec![skipped(
            "tools",
            "skipped: bpftrace's package is not installed below HARK_PEER_ROOT",
        )]);
    }
    let Ok(running) = read(VMLINUX_BTF) else {
        return Ok(vec![skipped("tools", "skipped: the running kernel has no BTF")]);
    };
    let mut kernels = Vec::new();
    let running = types(running)?;
    for version in PROFILES {
        kernels
            .push((Kernel { version: (*version).to_owned(), types: running.clone(), own: false }, "running"));
    }
    let lab = root_dir().join("target/lab/kernels");
    for entry in read_dir(&lab).into_iter().flatten().flatten() {
        let version = entry.file_name().to_string_lossy().into_owned();
        if let Ok(btf) = read(entry.path().join("btf")) {
            kernels.push((Kernel { version, types: types(btf)?, own: true }, "own"));
        }
    }
    let mut trials = Vec::new();
    for (kernel, types) in kernels {
        let kernel = Arc::new(kernel);
        for script in &scripts {
            let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let title = format!("tools::{}-{types}::{name}", kernel.version);
            let (kernel, script) = (kernel.clone(), script.clone());
            trials.push(Trial::ignorable_test(title, move || trial(&kernel, &name, &script)));
        }
    }
    Ok(trials)
}

fn trial(kernel: &Kernel, name: &str, script: &Path) -> Result<Completion, Failed> {
    let text = read(script).with_context(|| script.display().to_string())?;
    let answer = check(kernel, name, &String::from_utf8_lossy(&text))?;
    if answer.hidden {
        return Ok(Completion::ignored_with("skipped: tracefs cannot be read"));
    }
    let lacking = LACKING.iter().find(|row| kernel.own && row.0 == name && row.1 == kernel.version);
    match (answer.problem, lacking) {
        (None, None) => Ok(Completion::Completed),
        (Some(problem), Some(row)) if problem.contains(row.2) => {
            Ok(Completion::ignored_with(format!("skipped: Linux {} lacks it: {}", row.1, row.2)))
        }
        (Some(problem), _) => Err(Failed::from(problem)),
        (None, Some(_)) => Err(Failed::from("it fits: take it off the list LACKING")),
    }
}

fn skipped(name: &str, why: &'static str) -> Trial {
    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why)))
}

fn scripts(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bt"))
        .collect();
    found.sort();
    found
}
