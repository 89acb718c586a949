//! One test for each file below `tests/golden`: what the stages of the compiler make of it.

use std::process::ExitCode;
use std::sync::Arc;

use hark_testkit::golden::{Mode, Stages, trials};
use hark_tests::tests_dir;
use libtest_mimic::{Arguments, run};

/// File extensions, and what can be shown of the language they stand for.
fn languages() -> Vec<(&'static str, Arc<dyn Stages>)> {
    Vec::new()
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = Mode::from_env().and_then(|mode| trials(&tests_dir().join("golden"), &languages(), mode));
    match trials {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("golden: {error:#}");
            ExitCode::FAILURE
        }
    }
}
