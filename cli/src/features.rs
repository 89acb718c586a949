//! `hark features`: what the kernel can do, or what a script needs.

use crate::{REFUSED, WRONG, files, host, usage};
use bpf_syscall::LinuxKernel;
use bpf_syscall::probe::BtfIds;
use hark_btf::Kind;
use hark_compiler::Options;
use hark_runtime::features::{Section, report, script_needs};
use probe_attach::HostCatalog;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// `hark features`
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Args {
    /// Show what this script needs instead: kernel abilities, with the version that has them, and rights
    #[arg(long, value_name = "FILE")]
    script: Option<String>,
}

/// A function that every kernel has and fentry can be asked with.
const ANY_FUNCTION: &str = "vfs_read";
/// An iterator that every kernel with iterators has.
const ANY_ITERATOR: &str = "bpf_iter_task";

pub(crate) fn run(args: &Args) -> ExitCode {
    let target = host::target(Arc::new(HostCatalog::new()));
    if let Some(path) = &args.script {
        let (mut sources, id) = match host::read_script(None, Some(path)) {
            Ok(script) => script,
            Err(message) => return usage(&message),
        };
        let linked = files::linked(&mut sources, id, &target, &[], &[]);
        let options = Options { allow_unsafe: true, sources: linked, ..host::options(Vec::new()) };
        return match hark_compiler::compile(&sources, id, &target, &options) {
            Ok(compilation) => print(&script_needs(&compilation.object, &target.profile)),
            Err(diags) => {
                host::show(&sources, &diags);
                ExitCode::from(WRONG)
            }
        };
    }
    let kernel = match LinuxKernel::new() {
        Ok(kernel) => kernel,
        Err(e) => {
            eprintln!("hark: {e}");
            return ExitCode::from(REFUSED);
        }
    };
    let function = |name| target.btf.get()?.find(Kind::Func, name).map(|id| id.0);
    let ids = BtfIds { function: function(ANY_FUNCTION), iterator: function(ANY_ITERATOR) };
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    print(&report(&kernel, &target.profile, version, target.btf.exists(), ids))
}

fn print(sections: &[Section]) -> ExitCode {
    let text: Vec<String> = sections.iter().map(ToString::to_string).collect();
    let _ = write!(std::io::stdout(), "{}", text.join("\n"));
    ExitCode::SUCCESS
}
