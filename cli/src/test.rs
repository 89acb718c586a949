//! `hark test`: the tests that scripts bring with them, without root.

use crate::{WRONG, files, host, usage};
use hark_compiler::{Options, Target};
use hark_diag::{Diagnostic, SourceMap};
use hark_rehearsal::{Report, Setting};
use probe_attach::HostCatalog;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Exit status where a test cannot be run: it is malformed, or its script does not compile.
const UNUSABLE: u8 = 2;

/// `hark test`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Scripts, or directories of scripts
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Kernel version to compile for, such as 6.1; the running kernel without
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// BTF of that kernel; without, types are those of the running kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    btf: Option<String>,
    /// Say nothing of tests that pass
    #[arg(short = 'q', long)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let target = match &args.kernel {
        Some(kernel) => match host::named_target(kernel, args.btf.as_deref()) {
            Ok(target) => target,
            Err(message) => return usage(&message),
        },
        None => host::target(Arc::new(HostCatalog::new())),
    };
    let mut files = Vec::new();
    for path in &args.files {
        if let Err(e) = collect(path, &mut files) {
            return usage(&format!("cannot read {}: {e}", path.display()));
        }
    }
    let mut tally = Tally::default();
    for (path, named) in files {
        if let Err(message) = test_file(&path, named, args, &target, &mut tally) {
            return usage(&message);
        }
    }
    let Tally { passed, failed, unusable } = tally;
    if passed + failed + unusable == 0 {
        eprintln!("hark: there is no such test");
        eprintln!("HINT: tests stand in the script, in lines that begin with `//:`; see docs/testing.md");
        return ExitCode::from(UNUSABLE);
    }
    println!("{passed} passed, {failed} failed");
    match (unusable, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(WRONG),
        _ => ExitCode::from(UNUSABLE),
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Files whose tests could not be run.
    unusable: usize,
}

/// The scripts at `path`, each with whether it was named itself.
fn collect(path: &Path, files: &mut Vec<(PathBuf, bool)>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push((path.to_owned(), true));
        return Ok(());
    }
    let mut found = Vec::new();
    for entry in path.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bt") {
            found.push((path, false));
        }
    }
    found.sort();
    files.extend(found);
    Ok(())
}

fn test_file(
    path: &Path,
    named: bool,
    args: &Args,
    target: &Target,
    tally: &mut Tally,
) -> Result<(), String> {
    let name = path.display().to_string();
    let (mut sources, id) = host::read_script(None, Some(&name))?;
    let (tests, diags) = hark_rehearsal::parse(id, &sources.file(id).text);
    if !diags.is_empty() {
        unusable(&sources, &diags, tally);
        return Ok(());
    }
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if !tests.iter().any(|test| wanted(&test.name)) {
        if named && args.only.is_none() {
            eprintln!("hark: {name} has no tests");
        }
        return Ok(());
    }
    let linked = files::linked(&mut sources, id, target, &[], &[]);
    let options = Options { allow_unsafe: true, sources: linked, ..host::options(Vec::new()) };
    let setting = Setting { target: target.clone(), options };
    match hark_rehearsal::run(&sources, id, &tests, &wanted, &setting) {
        Ok(report) => show(&name, &sources, &report, args.quiet, tally),
        Err(diags) => unusable(&sources, &diags, tally),
    }
    Ok(())
}

fn unusable(sources: &SourceMap, diags: &[Diagnostic], tally: &mut Tally) {
    host::show(sources, diags);
    tally.unusable += 1;
}

fn show(file: &str, sources: &SourceMap, report: &Report, quiet: bool, tally: &mut Tally) {
    host::show(sources, &report.warnings);
    for verdict in &report.verdicts {
        match &verdict.failure {
            None => {
                tally.passed += 1;
                if !quiet {
                    println!("ok    {file}: {} ({} µs)", verdict.name, verdict.took.as_micros());
                }
            }
            Some((diag, diff)) => {
                tally.failed += 1;
                println!("FAIL  {file}: {}", verdict.name);
                host::show(sources, std::slice::from_ref(diag));
                if !diff.is_empty() {
                    eprintln!("  expected (-) and printed (+):\n{diff}");
                }
            }
        }
    }
}
