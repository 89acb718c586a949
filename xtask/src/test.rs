//! `cargo xtask test`: everything, in order, and one line at the end that says how it went.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench::peer;
use crate::image::{Image, case_files};
use crate::kernels::{KERNELS, Kernel, named};
use crate::report::Tally;
use crate::shell::{cargo, is_root, root, succeeds};
use crate::{guest, setup};

/// So many guests run at a time; each has two processors.
const GUESTS_AT_A_TIME: usize = 2;

/// What to run.
struct Plan {
    checks: bool,
    native: bool,
    guests: Vec<&'static Kernel>,
    only: Option<String>,
}

impl Plan {
    fn parse(flags: &[String]) -> Result<Self> {
        let mut plan = Self { checks: true, native: true, guests: KERNELS.iter().collect(), only: None };
        let mut chosen = Vec::new();
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut value = || flags.next().with_context(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--no-checks" => plan.checks = false,
                "--no-native" => plan.native = false,
                "--no-guests" => plan.guests.clear(),
                "--guest" => chosen.push(named(value()?)?),
                "--only" => plan.only = Some(value()?.clone()),
                other => bail!("unknown flag {other}"),
            }
        }
        if !chosen.is_empty() {
            plan = Self { checks: false, native: false, guests: chosen, only: plan.only };
        }
        Ok(plan)
    }
}

/// Runs what the flags ask for. True if nothing failed.
pub(crate) fn run(flags: &[String]) -> Result<bool> {
    let plan = Plan::parse(flags)?;
    let mut tally = Tally::default();
    let missing = setup::run()?;
    if plan.checks {
        tally.add(checks()?);
    }
    if plan.native || !plan.guests.is_empty() {
        // A binary that `HARK_BIN` names is tested in place of a release build.
        let built = std::env::var_os("HARK_BIN").is_some() || {
            heading("release build");
            let built = succeeds(&mut cargo(["build", "--release", "--package", "hark-cli"]))?;
            tally.add(Tally::of(built));
            built
        };
        if built && plan.native {
            heading("run cases on this machine's kernel");
            tally.add(native(plan.only.as_deref())?);
            heading("comparison with bpftrace");
            tally.add(comparison(plan.only.as_deref(), None)?);
        }
        if built && !plan.guests.is_empty() {
            heading("run cases in guests");
            tally.add(guests(&plan, &missing));
        }
    }
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Formatting, lints, and all tests that need no kernel.
fn checks() -> Result<Tally> {
    let mut tally = Tally::default();
    heading("formatting");
    tally.add(Tally::of(succeeds(&mut cargo(["fmt", "--all", "--check"]))?));
    heading("lints");
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    tally.add(Tally::of(succeeds(&mut cargo(lints))?));
    heading("unit, property, golden and tidy tests");
    tally.add(rust_tests(&mut cargo(["test", "--quiet", "--workspace", "--no-fail-fast"]))?);
    Ok(tally)
}

/// hark beside bpftrace, on scripts that print the same every time. True if nothing failed.
pub(crate) fn compare(only: Option<&str>) -> Result<bool> {
    let Some(peer) = peer::open()? else { return Ok(true) };
    println!("comparing with {}", peer.version);
    let built = succeeds(&mut cargo(["build", "--release", "--package", "hark-cli"]))?;
    let tally = if built { comparison(only, Some(&peer.root))? } else { Tally::failure() };
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

/// The cases below `tests/compare`; all are skipped without a root directory with bpftrace in it.
fn comparison(only: Option<&str>, peer_root: Option<&Path>) -> Result<Tally> {
    let mut command = cargo(["test", "--quiet", "--package", "hark-tests", "--test", "compare", "--"]);
    command.args(only).env("HARK_BIN", root().join("target/release/hark"));
    if let Some(peer_root) = peer_root {
        command.env("HARK_PEER_ROOT", peer_root);
    }
    rust_tests(&mut command)
}

fn native(only: Option<&str>) -> Result<Tally> {
    let mut command = cargo(["test", "--quiet", "--package", "hark-tests", "--test", "kernel", "--"]);
    let built = || root().join("target/release/hark").into();
    command.args(only).env("HARK_BIN", std::env::var_os("HARK_BIN").unwrap_or_else(built));
    let tally = rust_tests(&mut command)?;
    if tally.passed + tally.failed == 0 && is_root() && only.is_none() {
        println!("no case ran, although this machine permits it");
        return Ok(Tally { failed: 1, ..tally });
    }
    Ok(tally)
}

/// Runs `cargo test` and adds up the summaries of its test binaries, while showing all it prints.
fn rust_tests(command: &mut Command) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("a pipe")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(summary) = Tally::from_summary(&line) {
            tally.add(summary);
        }
    }
    // What does not compile, or dies, has no summary.
    if !child.wait()?.success() && tally.failed == 0 {
        tally.add(Tally::failure());
    }
    Ok(tally)
}

fn guests(plan: &Plan, missing: &[&str]) -> Tally {
    if !missing.is_empty() {
        println!("guests cannot be run without {}", missing.join(", "));
        let required = plan.guests.iter().any(|kernel| kernel.required) && is_root();
        return if required { Tally::failure() } else { Tally { skipped: 1, ..Tally::default() } };
    }
    let prepared = Image::build().and_then(|image| {
        let names = case_files()?.into_iter().map(|case| case.0);
        let wanted = names.filter(|name| plan.only.as_ref().is_none_or(|only| name.contains(only.as_str())));
        Ok((image, wanted.collect::<Vec<_>>()))
    });
    let (image, cases) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            println!("guests cannot be prepared: {error:#}");
            return Tally::failure();
        }
    };
    let queue: Mutex<VecDeque<&Kernel>> = Mutex::new(plan.guests.iter().copied().collect());
    let total = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..GUESTS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(kernel) = next(&queue) {
                    let tally = one_guest(kernel, &image, &cases);
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn next<'a>(queue: &Mutex<VecDeque<&'a Kernel>>) -> Option<&'a Kernel> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn one_guest(kernel: &Kernel, image: &Image, cases: &[String]) -> Tally {
    let name = kernel.version;
    let say = |text: String| println!("guest {name:<5} {text}");
    let vmlinuz = match kernel.fetch() {
        Ok(path) => path,
        Err(error) if kernel.required => {
            say(format!("FAIL  this kernel must be there: {error:#}"));
            return Tally::failure();
        }
        Err(error) => {
            say(format!("skip  cannot be had: {error:#}"));
            return Tally { skipped: 1, ..Tally::default() };
        }
    };
    let start = Instant::now();
    match guest::run_cases(kernel, &vmlinuz, image, cases, &say) {
        Ok(tally) => {
            say(format!("{tally}, in {:.0} s", start.elapsed().as_secs_f64()));
            tally
        }
        Err(error) => {
            say(format!("FAIL  {error:#}"));
            Tally::failure()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flags: &[&str]) -> Result<Plan> {
        Plan::parse(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_choose_parts() {
        let all = plan(&[]).unwrap();
        assert!(all.checks && all.native && all.guests.len() == KERNELS.len());
        assert!(plan(&["--no-guests"]).unwrap().guests.is_empty());
        let one = plan(&["--guest", "6.1", "--only", "uprobe"]).unwrap();
        assert!(!one.checks && !one.native && one.guests.len() == 1 && one.only.as_deref() == Some("uprobe"));
        assert!(
            plan(&["--guest"]).is_err() && plan(&["--guest", "2.4"]).is_err() && plan(&["--fast"]).is_err()
        );
    }
}
