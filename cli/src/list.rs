//! `hark -l`: which probes there are.

use crate::{RunArgs, WRONG, files, host, usage};
use hark_compiler::{Options, list_probes};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let target = host::target(args.catalog());
    let given = args.words.first();
    let in_file = given.is_some_and(|path| Path::new(path).is_file());
    let script = (args.program.is_some() || args.packed.is_some() || in_file).then(|| args.script());
    let found = match script {
        Some(Err(message)) => return usage(&message),
        Some(Ok((mut sources, id, parameters))) => {
            let probe_filter = match args.filter() {
                Ok(filter) => filter,
                Err(message) => return usage(&message),
            };
            let linked = files::linked(&mut sources, id, &target, &args.include_dirs, &args.include);
            let options = Options { probe_filter, sources: linked, ..host::options(parameters.to_vec()) };
            match list_probes::of_script(&sources, id, &target, &options, args.verbose) {
                Ok(found) => found,
                Err(diags) => {
                    host::show(&sources, &diags);
                    return ExitCode::from(WRONG);
                }
            }
        }
        None => match list_probes::matching(given.map_or("*", String::as_str), &target, args.verbose) {
            Ok(found) => found,
            Err(message) => return usage(&message),
        },
    };
    let mut out = std::io::stdout().lock();
    for line in found {
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
