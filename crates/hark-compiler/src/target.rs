//! The machine that a script is compiled for, as a value: nothing else of the host enters compilation.

use crate::kernel_types::KernelTypes;
use crate::sources::Sources;
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
    /// Stacks of a known process are walked by its unwind tables: there is `-p`, `-c` or `--dwarf-pid`.
    pub unwinds: bool,
    /// Files that the script takes in: see [`crate::gather`].
    pub sources: Sources,
    /// Passes of the optimiser to leave out.
    pub disabled_passes: Vec<String>,
    /// Which of the script's probes are wanted (`--probe-filter`).
    pub probe_filter: Option<ProbeFilter>,
}

/// Tells by the full name of a probe whether it is wanted. `begin` and `end` always are.
#[derive(Clone)]
pub struct ProbeFilter(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl std::fmt::Debug for ProbeFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeFilter")
    }
}

impl Options {
    /// Takes what follows `--` on a command line: `--name` and `--name=value` are the script's own options, anything
    /// else is a further positional parameter.
    pub fn add_script_words(&mut self, words: &[String]) {
        for word in words {
            match word.strip_prefix("--").filter(|option| !option.is_empty()) {
                Some(option) => self.named.push(match option.split_once('=') {
                    Some((name, value)) => (name.to_string(), Some(value.to_string())),
                    None => (option.to_string(), None),
                }),
                None => self.positional.push(word.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_the_dashes() {
        let mut options = Options { positional: vec!["1".into()], ..Options::default() };
        options.add_script_words(&["--a", "--b=x=y", "2", "--c=", "-d"].map(str::to_string));
        let value = |v: &str| Some(v.to_string());
        assert_eq!(
            options.named,
            [("a".to_string(), None), ("b".to_string(), value("x=y")), ("c".to_string(), value(""))]
        );
        assert_eq!(options.positional, ["1", "2", "-d"]);
    }
}
