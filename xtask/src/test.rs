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
use crate::guest::Outcomes;
use crate::image::{Image, case_files};
use crate::kernels::{KERNELS, Kernel, named};
use crate::matrix::{Matrix, Outcome};
use crate::report::Tally;
use crate::shell::{cargo, is_root, root, succeeds};
use crate::{guest, setup};

/// What the column of this machine's own kernel is called.
const NATIVE: &str = "native";

/// So many guests run at a time; each has two processors.
const GUESTS_AT_A_TIME: usize = 2;

/// What to run.
struct Plan {
    checks: bool,
    native: bool,
    guests: Vec<&'static Kernel>,
    /// Only cases whose names contain one of these; all if empty.
    only: Vec<String>,
}

impl Plan {
    fn parse(flags: &[String]) -> Result<Self> {
        let mut plan =
            Self { checks: true, native: true, guests: KERNELS.iter().collect(), only: Vec::new() };
        let mut chosen = Vec::new();
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut value = || flags.next().with_context(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--no-checks" => plan.checks = false,
                "--no-native" => plan.native = false,
                "--no-guests" => plan.guests.clear(),
                "--guest" => chosen.push(named(value()?)?),
                "--only" => plan.only.extend(value()?.split(',').map(str::to_owned)),
                other => bail!("unknown flag {other}"),
            }
        }
        if !chosen.is_empty() {
            plan = Self { checks: false, native: false, guests: chosen, only: plan.only };
        }
        Ok(plan)
    }

    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| case.contains(only.as_str()))
    }
}

/// Runs what the flags ask for. True if nothing failed.
pub(crate) fn run(flags: &[String]) -> Result<bool> {
    let plan = Plan::parse(flags)?;
    let mut tally = Tally::default();
    let mut matrix = Matrix::new(
        plan.native
            .then(|| NATIVE.to_owned())
            .into_iter()
            .chain(plan.guests.iter().map(|k| k.version.to_owned())),
    );
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
            tally.add(native(&plan.only, &mut matrix)?);
            heading("comparison with bpftrace");
            tally.add(comparison(plan.only.first().map(String::as_str), None)?);
        }
        if built && !plan.guests.is_empty() {
            heading("run cases in guests");
            tally.add(guests(&plan, &missing, &mut matrix));
        }
    }
    if !matrix.is_empty() {
        heading("cases that passed, by kind and kernel");
        print!("{matrix}");
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
    let all = ["test", "--quiet", "--workspace", "--no-fail-fast"];
    tally.add(rust_tests(&mut cargo(all), &mut |_| ())?);
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
    rust_tests(&mut command, &mut |_| ())
}

fn native(only: &[String], matrix: &mut Matrix) -> Result<Tally> {
    let mut tally = Tally::default();
    // The test harness takes one filter at a time.
    let filters: Vec<Option<&String>> =
        if only.is_empty() { vec![None] } else { only.iter().map(Some).collect() };
    for filter in filters {
        // One line for each case, where `--quiet` would have the harness print dots.
        let mut command = cargo(["test", "--package", "hark-tests", "--test", "kernel", "--"]);
        let built = || root().join("target/release/hark").into();
        command.args(filter).env("HARK_BIN", std::env::var_os("HARK_BIN").unwrap_or_else(built));
        tally.add(rust_tests(&mut command, &mut |line| {
            if let Some((case, outcome)) = case_outcome(line) {
                matrix.add(NATIVE, case, outcome);
            }
        })?);
    }
    if tally.passed + tally.failed == 0 && is_root() && only.is_empty() {
        println!("no case ran, although this machine permits it");
        return Ok(Tally { failed: 1, ..tally });
    }
    Ok(tally)
}

/// Reads the line in which the harness tells how a case ended: `test kernel::iter/tasks ... ok`.
fn case_outcome(line: &str) -> Option<(&str, Outcome)> {
    let (case, rest) = line.strip_prefix("test kernel::")?.split_once(" ... ")?;
    let outcome = match rest.trim() {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        // Its reason, if it has one, follows a comma.
        ignored => Outcome::Skipped(ignored.strip_prefix("ignored")?.trim_start_matches(", ").to_owned()),
    };
    Some((case.trim(), outcome))
}

/// Runs `cargo test` and adds up the summaries of its test binaries, while showing all it prints.
fn rust_tests(command: &mut Command, look: &mut dyn FnMut(&str)) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("a pipe")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        look(&line);
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

fn guests(plan: &Plan, missing: &[&str], matrix: &mut Matrix) -> Tally {
    if !missing.is_empty() {
        println!("guests cannot be run without {}", missing.join(", "));
        let required = plan.guests.iter().any(|kernel| kernel.required) && is_root();
        return if required { Tally::failure() } else { Tally { skipped: 1, ..Tally::default() } };
    }
    let prepared = Image::build().and_then(|image| {
        let names = case_files()?.into_iter().map(|case| case.0);
        let wanted = names.filter(|name| plan.wants(name));
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
    let total = Mutex::new((Tally::default(), matrix));
    thread::scope(|scope| {
        for _ in 0..GUESTS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(kernel) = next(&queue) {
                    let (tally, outcomes) = one_guest(kernel, &image, &cases);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.0.add(tally);
                    for (case, outcome) in outcomes {
                        total.1.add(kernel.version, &case, outcome);
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

fn next<'a>(queue: &Mutex<VecDeque<&'a Kernel>>) -> Option<&'a Kernel> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn one_guest(kernel: &Kernel, image: &Image, cases: &[String]) -> (Tally, Outcomes) {
    let name = kernel.version;
    let say = |text: String| println!("guest {name:<5} {text}");
    let vmlinuz = match kernel.fetch() {
        Ok(path) => path,
        Err(error) if kernel.required => {
            say(format!("FAIL  this kernel must be there: {error:#}"));
            return (Tally::failure(), Vec::new());
        }
        Err(error) => {
            say(format!("skip  cannot be had: {error:#}"));
            return (Tally { skipped: 1, ..Tally::default() }, Vec::new());
        }
    };
    let start = Instant::now();
    match guest::run_cases(kernel, &vmlinuz, image, cases, &say) {
        Ok(outcomes) => {
            let tally = Tally::of_cases(outcomes.iter().map(|(_, outcome)| outcome));
            say(format!("{tally}, in {:.0} s", start.elapsed().as_secs_f64()));
            (tally, outcomes)
        }
        Err(error) => {
            say(format!("FAIL  {error:#}"));
            (Tally::failure(), Vec::new())
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
    fn lines_of_the_harness_are_read() {
        assert_eq!(case_outcome("test kernel::iter/tasks  ... ok"), Some(("iter/tasks", Outcome::Passed)));
        assert_eq!(case_outcome("test kernel::a/b ... FAILED"), Some(("a/b", Outcome::Failed)));
        let why = Outcome::Skipped("needs root".to_owned());
        assert_eq!(case_outcome("test kernel::a/b ... ignored, needs root"), Some(("a/b", why)));
        assert_eq!(case_outcome("test result: ok. 5 passed"), None);
    }

    #[test]
    fn flags_choose_parts() {
        let all = plan(&[]).unwrap();
        assert!(all.checks && all.native && all.guests.len() == KERNELS.len());
        assert!(plan(&["--no-guests"]).unwrap().guests.is_empty());
        let one = plan(&["--guest", "6.1", "--only", "uprobe"]).unwrap();
        assert!(!one.checks && !one.native && one.guests.len() == 1 && one.only == ["uprobe"]);
        let two = plan(&["--only", "iter/,usdt/"]).unwrap();
        assert!(two.wants("iter/files") && two.wants("usdt/places") && !two.wants("uprobe/nested"));
        assert!(
            plan(&["--guest"]).is_err() && plan(&["--guest", "2.4"]).is_err() && plan(&["--fast"]).is_err()
        );
    }
}
