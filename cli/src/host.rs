//! The machine hark runs on, and the script it is given, as the compiler wants them.

use bpf_facts::{Arch, KernelProfile, V};
use bpf_syscall::{cpus, host};
use hark_btf::Btf;
use hark_compiler::check::OtherKernel;
use hark_compiler::{KernelTypes, Options, Target};
use hark_diag::{Diagnostic, FileId, SourceMap, Style, render};
use hark_object::Catalog;
use probe_attach::HostCatalog;
use std::io::{IsTerminal, Read};
use std::sync::Arc;

/// Where the running kernel keeps its BTF.
const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel with the given catalogue.
pub(crate) fn target(catalog: Arc<dyn Catalog>) -> Target {
    let version = running_version();
    Target {
        profile: KernelProfile::of(version, Arch::X86_64),
        btf: btf_file(running_btf()),
        catalog,
        n_cpus: cpus::possible().map_or(1, |cpus| cpus.len() as u32),
        pid_namespace: host::pid_namespace().is_ok_and(|ns| !ns.is_initial()),
    }
}

/// A kernel of which only the version is named: `6.1`. Types come from the file, or else from the running kernel; so do
/// the functions and events it has. Binaries are those of this machine.
pub(crate) fn named_target(kernel: &str, btf: Option<&str>) -> Result<Target, String> {
    let profile =
        KernelProfile::named(kernel).ok_or_else(|| format!("not a kernel version: {kernel}; write 6.1"))?;
    let own_types = btf.is_some();
    let btf = match btf {
        None => btf_file(running_btf()),
        Some(path) => {
            let bytes =
                hark_runtime::map_file(path.as_ref()).map_err(|e| format!("cannot read {path}: {e}"))?;
            KernelTypes::ready(Btf::parse(bytes).map_err(|e| format!("{path}: {e}"))?)
        }
    };
    let catalog: Arc<dyn Catalog> = Arc::new(HostCatalog::new());
    let catalog = if own_types { OtherKernel::catalog(catalog, btf.clone()) } else { catalog };
    Ok(Target { profile, btf, catalog, n_cpus: 2, pid_namespace: false })
}

/// Version of the running kernel.
pub(crate) fn running_version() -> V {
    host::uname().ok().and_then(|u| u.kernel()).unwrap_or(V(6, 1))
}

/// Opens a BTF file.
pub(crate) fn open_btf(path: &str) -> Result<Arc<Btf>, String> {
    let bytes = hark_runtime::map_file(path.as_ref()).map_err(|e| format!("cannot read {path}: {e}"))?;
    Ok(Arc::new(Btf::parse(bytes).map_err(|e| format!("{path}: {e}"))?))
}

/// The running kernel's configuration, as far as a file tells it: names with values.
pub(crate) fn kernel_config() -> Vec<(String, String)> {
    let release = host::uname().map(|u| u.release).unwrap_or_default();
    let text = std::fs::read_to_string(format!("/boot/config-{release}")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Where the running kernel's types are.
pub(crate) fn running_btf() -> String {
    std::env::var("BPFTRACE_BTF").unwrap_or_else(|_| VMLINUX_BTF.to_string())
}

fn btf_file(path: String) -> KernelTypes {
    let exists = std::path::Path::new(&path).exists();
    let dir = std::path::Path::new(&path).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let load = move || Btf::parse(hark_runtime::map_file(path.as_ref()).ok()?).ok();
    // Modules have theirs beside it. Names come from scripts and must not lead elsewhere.
    KernelTypes::with_modules(exists, load, move |module| {
        let is_name = !module.is_empty() && !module.contains('/') && !module.starts_with('.');
        std::fs::read(dir.join(module)).ok().filter(|_| is_name)
    })
}

/// Settings from the environment: `BPFTRACE_MAX_STRLEN=…`; `HARK_…` is the same and wins.
pub(crate) fn settings() -> Vec<(String, String)> {
    let keys = hark_object::CONFIG_KEYS;
    let mut found = Vec::new();
    for prefix in ["BPFTRACE_", "HARK_"] {
        for key in keys {
            let name = format!("{prefix}{}", key.name.to_ascii_uppercase());
            if let Ok(value) = std::env::var(&name) {
                found.push((name, value));
            }
        }
    }
    found
}

/// The script: of `-e`, of a file, or of standard input for `-`.
pub(crate) fn read_script(program: Option<&str>, file: Option<&str>) -> Result<(SourceMap, FileId), String> {
    let (name, text) = match (program, file) {
        (Some(program), _) => ("stdin".to_string(), program.to_string()),
        (None, Some("-")) => {
            let mut text = Vec::new();
            std::io::stdin()
                .read_to_end(&mut text)
                .map_err(|e| format!("cannot read standard input: {e}"))?;
            ("stdin".to_string(), String::from_utf8_lossy(&text).into_owned())
        }
        (None, Some(path)) => {
            let bytes = std::fs::read(path).map_err(|e| format!("cannot read {path}: {e}"))?;
            (path.to_string(), String::from_utf8_lossy(&bytes).into_owned())
        }
        (None, None) => return Err("a script is missing: a file, or a program with -e".to_string()),
    };
    let mut sources = SourceMap::default();
    let id = sources.add(name, text);
    Ok((sources, id))
}

/// How messages look on standard error.
pub(crate) fn style() -> Style {
    let wanted = std::env::var("BPFTRACE_COLOR").unwrap_or_default();
    let colour = match wanted.as_str() {
        "always" => true,
        "never" => false,
        _ => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    if colour { Style::Colour } else { Style::Plain }
}

/// Prints diagnostics to standard error.
pub(crate) fn show(sources: &SourceMap, diags: &[Diagnostic]) {
    eprint!("{}", render(sources, diags, style()));
}

/// The options that every compilation takes from the command line.
pub(crate) fn options(positional: Vec<String>) -> Options {
    // Where nothing is run, any process will do to walk stacks of.
    Options { positional, config: settings(), unwinds: true, ..Options::default() }
}
