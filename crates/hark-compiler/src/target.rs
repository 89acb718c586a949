//! The machine that a script is compiled for, as a value: nothing else of the host enters compilation.

use crate::kernel_types::KernelTypes;
use bpf_facts::KernelProfile;
use hark_object::Catalog;
use std::sync::Arc;

/// What is compiled for.
#[derive(Clone)]
pub struct Target {
    /// The kernel.
    pub profile: KernelProfile,
    /// Its types.
    pub btf: KernelTypes,
    /// Its probes, and the binaries on its disk.
    pub catalog: Arc<dyn Catalog>,
    /// Number of possible CPUs.
    pub n_cpus: u32,
    /// Whether `pid` and `tid` are seen from a PID namespace that is not the initial one.
    pub pid_namespace: bool,
}

/// What the user asked for besides the script.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Positional parameters: `$1` is the first.
    pub positional: Vec<String>,
    /// Options given to the script itself, after `--`: `--name` or `--name=value`, without the dashes.
    pub named: Vec<(String, Option<String>)>,
    /// Settings from the environment; they win over the script's.
    pub config: Vec<(String, String)>,
    /// Permit functions that change the system.
    pub allow_unsafe: bool,
    /// Report failed reads and look-ups.
    pub warn_failed_reads: bool,
    /// Only events of this process (`-p`), in probes that do not filter by themselves.
    pub pid_filter: Option<u32>,
    /// The child of `-c`.
    pub child_pid: Option<u32>,
    /// Passes of the optimiser to leave out.
    pub disabled_passes: Vec<String>,
}
