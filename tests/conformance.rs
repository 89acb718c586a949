//! One test for each case in `tests/conformance`: what instructions do, in the interpreter and in the running kernel.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use hark_testkit::conformance::{cases, kernel};
use hark_tests::tests_dir;
use libtest_mimic::{Arguments, Failed, Trial, run};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let kernel = Arc::new(kernel());
    let mut trials = Vec::new();
    for entry in tests_dir().join("conformance").read_dir()? {
        let path = entry?.path();
        let group = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for case in cases(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())? {
            let kernel = Arc::clone(&kernel);
            trials.push(Trial::test(format!("conformance::{group}/{}", case.name), move || {
                case.run(kernel.as_ref().as_ref()).map_err(|error| Failed::from(format!("{error:#}")))
            }));
        }
    }
    ensure!(!trials.is_empty(), "there are no cases");
    Ok(trials)
}
