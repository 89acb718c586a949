//! `cargo xtask agree`: the simulated verifier beside the running kernel's.

use anyhow::Result;

use crate::shell::{cargo, root, succeeds};

/// Generated programs, or with `--objects` those of C objects and programs almost like them.
pub(crate) fn run(flags: &[String]) -> Result<bool> {
    let (package, example, flags) = match flags {
        [first, rest @ ..] if first == "--objects" => ("bpf-input", "agree_objects", rest.to_vec()),
        _ => {
            let mut flags = flags.to_vec();
            if !flags.iter().any(|flag| flag == "--keep") {
                let cases = root().join("tests/golden/verify/agree");
                flags.extend(["--keep".to_string(), cases.to_string_lossy().into_owned()]);
            }
            ("hark-testkit", "agree", flags)
        }
    };
    let words = ["run", "--release", "--quiet", "--package", package, "--example", example, "--"];
    succeeds(cargo(words).args(flags))
}
