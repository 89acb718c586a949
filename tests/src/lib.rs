//! What the test targets of this package share: where things lie, and the cases that run on a kernel.

pub mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use hark_testkit::case::{CaseFile, find};
use hark_testkit::run::RunCase;

/// The directory of this package.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the checkout.
///
/// # Panics
/// Never: this package lies one level below it.
pub fn root_dir() -> PathBuf {
    tests_dir().parent().expect("the package lies below the workspace root").to_owned()
}

/// The `hark` binary to test: the one that `HARK_BIN` names, or a debug build made now.
///
/// # Errors
/// It cannot be built.
pub fn hark_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HARK_BIN") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "hark-cli"])
        .current_dir(root_dir())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("cannot build hark");
    }
    Ok(root_dir().join("target/debug/hark"))
}

/// Reads every run case below `dir`; a case that is malformed comes with its error.
///
/// # Errors
/// The directory cannot be read.
pub fn run_cases(dir: &Path) -> Result<Vec<(String, Result<RunCase>)>> {
    let mut cases = Vec::new();
    for path in find(dir, &["bt"])? {
        let name = path.strip_prefix(dir).unwrap_or(&path).with_extension("").display().to_string();
        let case = CaseFile::read(dir, &path)
            .and_then(|file| RunCase::from_file(&file).with_context(|| path.display().to_string()));
        cases.push((name, case));
    }
    Ok(cases)
}
