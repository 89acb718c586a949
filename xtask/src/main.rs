//! Chores of the project: `cargo xtask COMMAND`.
//!
//! It depends on no other crate of the workspace, so that it works where one of them does not compile.

mod agree;
mod bench;
mod btf;
mod cpio;
mod fuzz;
mod guest;
mod image;
mod kernels;
mod matrix;
mod report;
mod setup;
mod shell;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [FLAGS]              run every test; ends with a line `N passed, N failed, N skipped`
      --no-checks           not: formatting, lints, cargo test
      --no-native           not: run cases on this machine's kernel
      --no-guests           not: run cases in virtual machines
      --guest VERSION       only this guest (6.1, …); may be repeated; nothing else is run
      --only TEXT,…         only run cases whose name contains one of these texts
  guest VERSION [-- CMD]    boot a guest with hark in it; run CMD and show its output, or start a shell
  compare [TEXT]            run the scripts below tests/compare with hark and with bpftrace; only names with TEXT
  kernels                   fetch the guests' kernels, and take their types out of them
  tools [FLAGS]             load the scripts that bpftrace's package ships here and in guests; prints script × kernel
      --guest VERSION       only this guest; may be repeated
      --no-guests           only this machine's kernel
  setup                     install what the tests need, or say what is missing
  agree [FLAGS]             compare the simulated verifier with this kernel's (as root), and keep disagreements
      --type NAME           only this program type; may be repeated
      --seed N --count N    so many generated programs per type, from this seed on
      --objects FILE…       programs of C objects instead; --count N: and so many mutations of each
  fuzz TARGET [--minutes N] fuzz one of the targets in fuzz/fuzz_targets; found input goes to fuzz/artifacts
  bench WHAT [--no-peer]    measure: startup, compile, vm, verify, attach, events, overhead, codegen
      --only TEXT           codegen: only scripts whose name contains TEXT; the result is not recorded
      --no-times            codegen: not what events cost; the result is not recorded
  soak [--minutes N] [--guest VERSION]
                            mixed load in a guest: counts must be exact, memory flat
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<bool> {
    let Some((command, rest)) = arguments.split_first() else { bail!("{USAGE}") };
    match (command.as_str(), rest) {
        ("test", flags) => test::run(flags),
        ("guest", [version]) => guest::shell(version, None),
        ("guest", [version, dashes, command @ ..]) if dashes == "--" => {
            guest::shell(version, Some(&command.join(" ")))
        }
        ("compare", []) => test::compare(None),
        ("compare", [only]) => test::compare(Some(only)),
        ("kernels", []) => kernels::fetch_all(),
        ("tools", flags) => tools::run(flags),
        ("setup", []) => setup::run().map(|missing| missing.is_empty()),
        ("agree", flags) => agree::run(flags),
        ("bench", [what, flags @ ..]) => bench::run(what, flags),
        ("fuzz", [target, flags @ ..]) => fuzz::run(target, flags),
        ("soak", flags) => soak::run(flags),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => bail!("cannot understand this command line\n{USAGE}"),
    }
}
