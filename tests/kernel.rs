//! One test for each case below `tests/run` that can run on this machine's own kernel; those whose probes need no kernel
//! run a second time in the embedded engine.
//!
//! `HARK_BIN` names the binary; without it `cargo build` makes a debug one. The test programs are built with `cc`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hark_testkit::run::{Machine, Outcome, Place, RunCase, parse_version};
use hark_tests::{hark_binary, programs, root_dir, run_cases, tests_dir};
use libtest_mimic::{Arguments, Completion, Failed, Trial, run};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases look at the whole system: one at a time, so that they do not see each other.
    arguments.test_threads.get_or_insert(1);
    match trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("kernel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let machine = Arc::new(machine()?);
    let mut trials = Vec::new();
    for (name, case) in run_cases(&tests_dir().join("run"))? {
        match case {
            Ok(case) if !case.places.contains(&Place::Native) => {}
            Ok(case) => {
                if let Some(embedded) = case.embedded() {
                    trials.push(trial(format!("embedded::{name}"), embedded, &machine));
                }
                trials.push(trial(format!("kernel::{name}"), case, &machine));
            }
            Err(error) => trials.push(Trial::test(format!("kernel::{name}"), move || {
                Err(Failed::from(format!("{error:#}")))
            })),
        }
    }
    Ok(trials)
}

fn trial(name: String, case: RunCase, machine: &Arc<Machine>) -> Trial {
    let machine = Arc::clone(machine);
    Trial::ignorable_test(name, move || match case.run(&machine) {
        Outcome::Passed => Ok(Completion::Completed),
        Outcome::Failed(why) => Err(Failed::from(why)),
        Outcome::Skipped(why) => Ok(Completion::ignored_with(why)),
        Outcome::NotHere => Ok(Completion::ignored_with("not for this kind of machine")),
    })
}

fn machine() -> Result<Machine> {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let Some(kernel) = parse_version(&release) else { bail!("not a kernel release: {release:?}") };
    let target = root_dir().join("target");
    let (program, program_dyn) = programs::build(&tests_dir(), &target.join("lab/programs"))?;
    let hark = hark_binary()?;
    Ok(Machine {
        hark,
        program,
        program_dyn,
        examples: root_dir().join("examples"),
        scratch: target.join("lab/scratch"),
        place: Place::Native,
        kernel,
        privileged: is_root()?,
        patience: 1,
    })
}

/// True if the effective user id is 0.
fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no Uid line")?;
    Ok(uids.split_whitespace().nth(1) == Some("0"))
}
