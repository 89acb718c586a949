//! One test for each case below `tests/compare` and form of output: hark beside bpftrace, to the byte.
//!
//! `HARK_PEER_ROOT` names the root directory that bpftrace is installed in (`cargo xtask compare` makes one); without it
//! all tests are ignored. `HARK_BIN` names the hark binary; without it `cargo build` makes a debug one.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use hark_testkit::case::{CaseFile, find};
use hark_testkit::compare::{CompareCase, Contenders, peer_root};
use hark_tests::{hark_binary, tests_dir};
use libtest_mimic::{Arguments, Completion, Failed, Trial, run};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let dir = tests_dir().join("compare");
    let contenders = match peer_root() {
        Ok(peer_root) => Ok(Arc::new(Contenders { hark: hark_binary()?, peer_root })),
        Err(why) => Err(why),
    };
    let mut trials = Vec::new();
    for path in find(&dir, &["bt"])? {
        let file = CaseFile::read(&dir, &path)?;
        let case = Arc::new(CompareCase::from_file(&file)?);
        for format in case.formats.clone() {
            let (case, contenders) = (Arc::clone(&case), contenders.clone());
            let name = format!("compare::{}::{}", file.name, format.name());
            trials.push(Trial::ignorable_test(name, move || {
                let contenders = match contenders {
                    Ok(contenders) => contenders,
                    Err(why) => return Ok(Completion::ignored_with(why)),
                };
                match case.run(format, &contenders) {
                    Ok(Ok(())) => Ok(Completion::Completed),
                    Ok(Err(why)) => Err(Failed::from(why)),
                    Err(error) => Err(Failed::from(format!("{error:#}"))),
                }
            }));
        }
    }
    Ok(trials)
}
