//! Scripts that are not ours, compiled for kernels that need not run.

use std::sync::Arc;

use anyhow::{Context, Result};
use bpf_facts::KernelProfile;
use hark_btf::Btf;
use hark_compiler::check::{Finding, OtherKernel};
use hark_compiler::{KernelTypes, Options, Target};
use hark_diag::{SourceMap, Style, render};
use hark_object::Catalog;
use probe_attach::HostCatalog;

/// A kernel to compile for.
pub struct Kernel {
    /// Its version.
    pub version: String,
    /// Its types.
    pub types: KernelTypes,
    /// Whether they are its own; otherwise they are the running kernel's, as are its functions and events.
    pub own: bool,
}

/// Types out of the bytes of a BTF file.
///
/// # Errors
/// They are broken.
pub fn types(bytes: Vec<u8>) -> Result<KernelTypes> {
    Ok(KernelTypes::ready(Btf::parse(bytes)?))
}

/// What became of a script.
pub struct Answer {
    /// What is wrong with it; nothing if it compiles and the simulated verifier accepts every program.
    pub problem: Option<String>,
    /// Whether the events' records could not be read.
    pub hidden: bool,
}

/// Compiles and verifies a script.
///
/// # Errors
/// The kernel's version is none.
pub fn check(kernel: &Kernel, name: &str, text: &str) -> Result<Answer> {
    let host: Arc<dyn Catalog> = Arc::new(HostCatalog::new());
    if host.tracepoints().is_err() {
        return Ok(Answer { problem: None, hidden: true });
    }
    let btf = kernel.types.clone();
    // The running kernel may be one without kprobes, whose lists are short.
    let catalog = OtherKernel::catalog(host, btf.clone());
    let profile = KernelProfile::named(&kernel.version).context("not a version")?;
    let target = Target { profile, btf, catalog, n_cpus: 4, pid_namespace: false };
    let mut map = SourceMap::default();
    let file = map.add(name, text);
    let row = hark_compiler::check::check(&map, file, &target, &Options::default());
    let errors: Vec<_> = row.diags.iter().filter(|diag| diag.is_error()).cloned().collect();
    let verified = row.verifier == Finding::Ok;
    let problem = (!errors.is_empty() || !verified)
        .then(|| format!("{}verifier: {}", render(&map, &errors, Style::Plain), row.verifier));
    Ok(Answer { problem, hidden: false })
}
