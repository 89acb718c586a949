//! `hark check`: whether a script fits kernels, without root.

use crate::{WRONG, files, host, usage};
use hark_compiler::check::{check, table};
use hark_compiler::{Options, Target};
use probe_attach::HostCatalog;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// `hark check`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The script
    #[arg(value_name = "FILE")]
    script: String,
    /// Kernel versions, such as 5.10 or 6.1; the running kernel without
    #[arg(long, value_name = "VERSION", num_args = 1..)]
    kernel: Vec<String>,
    /// BTF of these kernels, in the same order; without, types are those of the running kernel
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "kernel")]
    btf: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let (mut sources, id) = match host::read_script(None, Some(&args.script)) {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    if args.btf.len() > args.kernel.len() {
        return usage("there are more files of --btf than versions of --kernel");
    }
    let mut targets: Vec<(String, Target)> = Vec::new();
    for (i, kernel) in args.kernel.iter().enumerate() {
        match host::named_target(kernel, args.btf.get(i).map(String::as_str)) {
            Ok(target) => targets.push((kernel.clone(), target)),
            Err(message) => return usage(&message),
        }
    }
    if targets.is_empty() {
        let target = host::target(Arc::new(HostCatalog::new()));
        targets.push((format!("{} (running)", target.profile.version), target));
    }
    let linked = files::linked(&mut sources, id, &targets[0].1, &[], &[]);
    let options = Options { allow_unsafe: true, sources: linked, ..host::options(Vec::new()) };
    let rows: Vec<_> =
        targets.iter().map(|(name, target)| (name.clone(), check(&sources, id, target, &options))).collect();
    let _ = write!(std::io::stdout(), "{}", table(&rows));
    for (name, row) in rows.iter().filter(|(_, row)| !row.fits()) {
        eprintln!("\nLinux {name}:");
        host::show(&sources, &row.diags);
    }
    if rows.iter().all(|(_, row)| row.fits()) { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}
