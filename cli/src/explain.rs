//! `hark explain CODE`: what an error code means.

use crate::usage;
use hark_diag::CODES;
use std::process::ExitCode;

/// `hark explain`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A code such as H0203; all of them without
    code: Option<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(wanted) = &args.code else {
        for def in CODES {
            println!("{}  {}", def.code, def.name);
        }
        return ExitCode::SUCCESS;
    };
    match CODES.iter().find(|def| def.code.to_string().eq_ignore_ascii_case(wanted) || def.name == wanted) {
        Some(def) => {
            println!("{}: {}\n\n{}", def.code, def.name, def.explanation);
            ExitCode::SUCCESS
        }
        None => usage(&format!("there is no error code {wanted}")),
    }
}
