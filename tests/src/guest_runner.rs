//! Runs the cases of a guest, inside it: `hark-guest-runner CASES_DIR LIST REPORT`. On the machine that builds guests,
//! `hark-guest-runner --build-programs` builds the test programs and prints their paths.
//!
//! LIST names one case a line, REPORT is where the results go: a serial port, usually. Each line of a report is
//! `word name text`, the parts separated by tabs:
//!
//! ```text
//! start  NAME                 the case begins; if nothing follows, it took the machine down
//! pass   NAME  MILLISECONDS
//! skip   NAME  why
//! none   NAME                 the case is not for guests
//! fail   NAME
//! |      line                 what went wrong, as many lines as it takes
//! end    COUNT                all cases of LIST have been run
//! ```

use std::fs::{File, OpenOptions, read_to_string};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use hark_testkit::run::{Machine, Outcome, Place, parse_version};
use hark_tests::{programs, root_dir, run_cases, tests_dir};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--build-programs"] {
        let (program, program_dyn) = programs::build(&tests_dir(), &root_dir().join("target/lab/programs"))?;
        println!("{}\n{}", program.display(), program_dyn.display());
        return Ok(());
    }
    let [cases, list, report] = arguments.as_slice() else {
        bail!("usage: hark-guest-runner CASES LIST REPORT")
    };
    let mut report =
        OpenOptions::new().append(true).create(true).open(report).context("cannot open the report")?;
    let release = read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let machine = Machine {
        hark: PathBuf::from("/bin/hark"),
        program: PathBuf::from("/bin/hark-prog"),
        program_dyn: PathBuf::from("/bin/hark-prog-dyn"),
        examples: PathBuf::from("/examples"),
        scratch: PathBuf::from("/tmp"),
        place: Place::Guest,
        kernel: parse_version(&release).context("the kernel's release is not a version")?,
        privileged: true,
        patience: 4,
    };
    let list = read_to_string(list).context("cannot read the list of cases")?;
    let wanted: Vec<&str> = list.lines().collect();
    let mut count = 0;
    for (name, case) in run_cases(Path::new(cases))? {
        if !wanted.contains(&name.as_str()) {
            continue;
        }
        count += 1;
        send(&mut report, &format!("start\t{name}"))?;
        let start = Instant::now();
        let outcome = match case {
            Ok(case) => case.run(&machine),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        match outcome {
            Outcome::Passed => send(&mut report, &format!("pass\t{name}\t{}", start.elapsed().as_millis()))?,
            Outcome::Skipped(why) => send(&mut report, &format!("skip\t{name}\t{why}"))?,
            Outcome::NotHere => send(&mut report, &format!("none\t{name}"))?,
            Outcome::Failed(why) => {
                for line in why.lines() {
                    send(&mut report, &format!("|\t{line}"))?;
                }
                send(&mut report, &format!("fail\t{name}"))?;
            }
        }
    }
    send(&mut report, &format!("end\t{count}"))
}

/// Writes one line at once, so that a crash of the machine loses none that was written.
fn send(report: &mut File, line: &str) -> Result<()> {
    report.write_all(format!("{line}\n").as_bytes()).context("cannot write the report")
}
