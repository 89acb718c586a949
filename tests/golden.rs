//! One test for each file below `tests/golden`: what the stages of the compiler make of it.

use std::process::ExitCode;

use hark_testkit::golden::{Mode, trials};
use hark_testkit::languages;
use hark_tests::tests_dir;
use libtest_mimic::{Arguments, run};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials =
        Mode::from_env().and_then(|mode| trials(&tests_dir().join("golden"), &languages::all(), mode));
    match trials {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("golden: {error:#}");
            ExitCode::FAILURE
        }
    }
}
