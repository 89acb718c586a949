//! `hark explain`: what an error code means, or what a script will do and cost.

use crate::{WRONG, host, usage};
use hark_compiler::{Compilation, Options, Target, explain};
use hark_diag::{CODES, SourceMap};
use probe_attach::{AttachPoint, HostCatalog, Method, Scope, describe, expand};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// `hark explain`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// An error code such as H0203, or the file of a script; all codes without
    #[arg(value_name = "CODE|FILE")]
    what: Option<String>,
    /// The program itself: how it will be attached, what it sends, what a run costs
    #[arg(short = 'e', value_name = "PROGRAM", conflicts_with = "what")]
    program: Option<String>,
    /// Positional parameters of the script
    #[arg(value_name = "PARAMETER", allow_negative_numbers = true)]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(wanted) = args.what.as_deref().filter(|_| args.program.is_none()) else {
        if args.program.is_some() {
            return script(args, None);
        }
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
        None if wanted == "-" || std::path::Path::new(wanted).exists() => script(args, Some(wanted)),
        None => usage(&format!("{wanted} is neither an error code nor a file")),
    }
}

/// Says of a script how it will be attached here and why, and what a run costs.
fn script(args: &Args, file: Option<&str>) -> ExitCode {
    let (sources, id) = match host::read_script(args.program.as_deref(), file) {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    let catalog = Arc::new(HostCatalog::new());
    let target = host::target(catalog.clone());
    let options = Options { allow_unsafe: true, ..host::options(args.words.clone()) };
    match hark_compiler::compile(&sources, id, &target, &options) {
        Ok(compilation) => {
            let text = text(&compilation, &sources, &target, &catalog);
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(diags) => {
            host::show(&sources, &diags);
            ExitCode::from(WRONG)
        }
    }
}

fn text(compilation: &Compilation, sources: &SourceMap, target: &Target, catalog: &HostCatalog) -> String {
    let mut out = String::new();
    for (i, lines) in explain::costs(compilation).into_iter().enumerate() {
        let probes = || compilation.object.probes.iter().filter(|probe| probe.program == i);
        let names: Vec<&str> = probes().map(|probe| &*probe.name).collect();
        out += &format!("{}\n", names.join(", "));
        // What cannot be found here is said, and the rest shown all the same.
        let mut points: Vec<AttachPoint> = Vec::new();
        let mut missing = Vec::new();
        for probe in probes() {
            match expand(&probe.spec, catalog) {
                Ok(found) => points.extend(found),
                Err(error) => missing.push(error.to_string()),
            }
        }
        if !points.is_empty() || missing.is_empty() {
            let method = Method::choose(&points, Scope::default(), &target.profile, &|_| true);
            out += &format!("    attached as {}\n", describe(&points, method));
        }
        missing.iter().for_each(|error| out += &format!("    {error}\n"));
        lines.iter().for_each(|line| out += &format!("    {line}\n"));
    }
    let records = explain::records(compilation, sources);
    if !records.is_empty() {
        out += "records in the ring buffer\n";
        records.iter().for_each(|line| out += &format!("    {line}\n"));
    }
    out
}
