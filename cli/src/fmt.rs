//! `hark fmt`: scripts in their standard form.

use crate::{RunArgs, WRONG, host, usage};
use hark_diag::{FileId, SourceMap};
use hark_syntax::ParseOptions;
use std::io::Write;
use std::process::ExitCode;

/// `hark fmt`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Change nothing; name the files that are not in standard form, and fail if there are any
    #[arg(long)]
    check: bool,
    /// Scripts, rewritten in place; - formats standard input to standard output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut failed = false;
    for file in &args.files {
        let (sources, id) = match host::read_script(None, Some(file)) {
            Ok(script) => script,
            Err(message) => return usage(&message),
        };
        let Some(text) = formatted(&sources, id) else {
            failed = true;
            continue;
        };
        let same = text == sources.file(id).text;
        if args.check {
            if !same {
                println!("{file}");
                failed = true;
            }
        } else if file == "-" {
            let _ = std::io::stdout().write_all(text.as_bytes());
        } else if !same && let Err(e) = std::fs::write(file, &text) {
            return usage(&format!("cannot write {file}: {e}"));
        }
    }
    if failed { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
}

/// `hark --fmt`: the script in standard form on standard output, or in the file of `-o`.
pub(crate) fn to_output(args: &RunArgs) -> ExitCode {
    let (sources, id, _) = match args.script() {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    let Some(text) = formatted(&sources, id) else { return ExitCode::from(WRONG) };
    let written = match &args.output {
        Some(path) => std::fs::write(path, &text).map_err(|e| format!("cannot write {path}: {e}")),
        None => std::io::stdout().write_all(text.as_bytes()).map_err(|e| format!("cannot write: {e}")),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => usage(&message),
    }
}

/// The script in standard form; what is wrong with it is printed.
fn formatted(sources: &SourceMap, id: FileId) -> Option<String> {
    let predefined = vec!["BPFTRACE".to_string(), "BPFTRACE_HAVE_BTF".to_string()];
    let options = ParseOptions { predefined, ..ParseOptions::default() };
    hark_syntax::format(id, &sources.file(id).text, &options)
        .inspect_err(|diags| host::show(sources, diags))
        .ok()
}
