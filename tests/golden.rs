//! One test for each file below `tests/golden`: what the stages of the compiler make of it.

use std::process::ExitCode;

use anyhow::Result;
use hark_testkit::golden::{Mode, trials};
use hark_testkit::languages;
use hark_tests::tests_dir;
use libtest_mimic::{Arguments, Trial, run};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match golden_trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("golden: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn golden_trials() -> Result<Vec<Trial>> {
    let languages = languages::all(&tests_dir().join("fixtures"))?;
    trials(&tests_dir().join("golden"), &languages, Mode::from_env()?)
}
