//! The flags of `hark FILE` and `hark -e PROGRAM`: bpftrace's, each obeyed or refused by name.

use crate::host;
use crate::packed::Packed;
use bpf_facts::Feature;
use clap::{ArgAction, ValueEnum};
use hark_compiler::ProbeFilter;
use hark_diag::{FileId, SourceMap};
use probe_attach::{DebugDirs, HostCatalog};
use regex_lite::Regex;
use std::path::PathBuf;
use std::sync::Arc;

/// What `hark FILE` and `hark -e PROGRAM` take.
#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// Run this program
    #[arg(short = 'e', value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// List the probes that match FILE taken as a pattern, or those of a script
    #[arg(short = 'l', long)]
    pub(crate) list: bool,
    /// Trace this process only; hark ends with it
    #[arg(short = 'p', long, value_name = "PID", conflicts_with = "cmd")]
    pub(crate) pid: Option<u32>,
    /// Run a command and trace until it ends
    #[arg(short = 'c', long, value_name = "COMMAND")]
    pub(crate) cmd: Option<String>,
    /// With -c: go on until all processes that the command started have ended, too
    #[arg(long, requires = "cmd")]
    pub(crate) follow: bool,
    /// Write the script's output to a file
    #[arg(short = 'o', value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Form of the output
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// When output is written: after each batch of events, when much has gathered, or after each event
    #[arg(short = 'B', value_name = "MODE", default_value = "line")]
    pub(crate) buffering: BufferMode,
    /// Do not say how many probes are attached
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Say what is loaded and attached; with -l, show arguments
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// Report failed reads of memory and failed look-ups
    #[arg(short = 'k', long = "warnings", action = ArgAction::Count)]
    pub(crate) failed_reads: u8,
    /// Do not print warnings
    #[arg(long)]
    pub(crate) no_warnings: bool,
    /// Permit functions that change the system
    #[arg(long = "unsafe")]
    pub(crate) allow_unsafe: bool,
    /// Load and attach, then leave
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Exit with status 3 if anything was lost: the accuracy report at the end says what
    #[arg(long)]
    pub(crate) strict: bool,
    /// Run the script's `test` probes and say which pass
    #[arg(long, conflicts_with_all = ["bench", "mode"])]
    pub(crate) test: bool,
    /// Run the script's `bench` probes and say how long they take
    #[arg(long, conflicts_with = "mode")]
    pub(crate) bench: bool,
    /// Print the script in its standard form instead of running it
    #[arg(long, conflicts_with_all = ["test", "bench", "mode"])]
    pub(crate) fmt: bool,
    /// What to do with the script: test, bench, format, or codegen (compile it, no more)
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// What runs the script: the kernel, the engine embedded in hark, or that one where the kernel refuses
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub(crate) engine: Engine,
    /// Show what the kernel can do; the same as `hark features`
    #[arg(long)]
    pub(crate) info: bool,
    /// Print stages of compilation instead of running: names of `hark dump --stage`, or all
    #[arg(short = 'd', value_name = "STAGE,…")]
    pub(crate) debug: Vec<String>,
    /// Do without kernel features: kprobe_multi, kprobe_session, uprobe_multi
    #[arg(long, value_name = "FEATURE,…", value_delimiter = ',')]
    pub(crate) no_feature: Vec<String>,
    /// Look for headers in this directory, too
    #[arg(short = 'I', value_name = "DIR")]
    pub(crate) include_dirs: Vec<String>,
    /// Read the types and constants of this C header before the script
    #[arg(long, value_name = "FILE")]
    pub(crate) include: Vec<String>,
    /// Attach only probes in whose full name this regular expression is found
    #[arg(long, value_name = "REGEX")]
    pub(crate) probe_filter: Option<String>,
    /// Take the list of functions that may be traced from a file instead of the kernel
    #[arg(long, value_name = "FILE")]
    pub(crate) traceable_functions: Option<String>,
    /// Walk stacks of this process by its unwind tables (dw_ustack)
    #[arg(long, value_name = "PID")]
    pub(crate) dwarf_pid: Option<u32>,
    /// Do not run the script: write an executable that brings it and hark to another machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "test", "bench", "fmt", "mode", "debug"])]
    pub(crate) aot: Option<String>,
    /// Not supported yet
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) emit_elf: Option<String>,
    /// There is no LLVM here
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) emit_llvm: Option<String>,
    /// There is no LLVM here
    #[arg(long, hide = true)]
    pub(crate) verify_llvm_ir: bool,
    /// Look for debug files in these directories, too; with + before one, only for those with the right checksum
    #[arg(long, value_name = "DIR:…")]
    pub(crate) debuginfo: Vec<String>,
    /// Accepted for compatibility: the kernel switches USDT probes on by itself
    #[arg(long)]
    pub(crate) usdt_file_activation: bool,
    /// Accepted for compatibility: BTF is always used
    #[arg(short = 'b', long = "btf", hide = true)]
    pub(crate) btf: bool,
    /// The script that the executable brings with it
    #[arg(skip)]
    pub(crate) packed: Option<Packed>,
    /// Script and positional parameters
    #[arg(value_name = "FILE", allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    /// Options of the script itself, and further positional parameters
    #[arg(last = true, value_name = "OPTION")]
    pub(crate) named: Vec<String>,
}

/// What runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Auto,
    Kernel,
    Sim,
}

/// Form of the script's output.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// When output is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BufferMode {
    Line,
    Full,
    None,
}

/// What is done with the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunMode {
    Run,
    Test,
    Bench,
    Compile,
    Format,
}

/// What `--no-feature` can switch off.
const SWITCHES: &[(&str, Feature)] = &[
    ("kprobe_multi", Feature::KprobeMulti),
    ("kprobe_session", Feature::KprobeSession),
    ("uprobe_multi", Feature::UprobeMulti),
];

impl RunArgs {
    /// For the script of this executable.
    pub(crate) fn of_packed(mut self, script: Packed) -> RunArgs {
        self.allow_unsafe |= script.allow_unsafe;
        self.packed = Some(script);
        self
    }

    /// The script, and its positional parameters.
    ///
    /// # Errors
    /// There is none, or its file cannot be read.
    pub(crate) fn script(&self) -> Result<(SourceMap, FileId, &[String]), String> {
        if let Some(Packed { name, text, .. }) = &self.packed {
            let mut sources = SourceMap::default();
            let id = sources.add(name.as_str(), text.as_str());
            return Ok((sources, id, &self.words));
        }
        let (file, parameters) = match self.words.split_first() {
            Some((file, rest)) if self.program.is_none() => (Some(file.as_str()), rest),
            _ => (None, &self.words[..]),
        };
        let (sources, id) = host::read_script(self.program.as_deref(), file)?;
        Ok((sources, id, parameters))
    }

    /// What is to be done.
    pub(crate) fn mode(&self) -> Result<RunMode, String> {
        match self.mode.as_deref() {
            _ if self.test => Ok(RunMode::Test),
            _ if self.bench => Ok(RunMode::Bench),
            _ if self.fmt => Ok(RunMode::Format),
            None => Ok(RunMode::Run),
            Some("test") => Ok(RunMode::Test),
            Some("bench") => Ok(RunMode::Bench),
            Some("format") => Ok(RunMode::Format),
            Some("codegen") => Ok(RunMode::Compile),
            Some("compiler-bench") => {
                Err("--mode compiler-bench is not supported: see `hark dump --time-passes`".into())
            }
            Some(other) => {
                Err(format!("there is no mode {other}; modes are test, bench, format and codegen"))
            }
        }
    }

    /// Which probes are wanted.
    ///
    /// # Errors
    /// The regular expression is none.
    pub(crate) fn filter(&self) -> Result<Option<ProbeFilter>, String> {
        let Some(text) = &self.probe_filter else { return Ok(None) };
        let regex = Regex::new(text).map_err(|e| format!("--probe-filter {text}: {e}"))?;
        Ok(Some(ProbeFilter(Arc::new(move |name| regex.is_match(name)))))
    }

    /// What this machine offers, as the flags say.
    pub(crate) fn catalog(&self) -> Arc<HostCatalog> {
        let catalog = match self.pid {
            Some(pid) => HostCatalog::for_process(pid),
            None => HostCatalog::new(),
        };
        let traceable = self.traceable_functions.as_ref().map(PathBuf::from);
        Arc::new(catalog.with_traceable_functions(traceable).with_debug_dirs(self.debug_dirs()))
    }

    /// The features that are not to be used. Unknown names are left out: see [`RunArgs::unsupported`].
    pub(crate) fn without_features(&self) -> Vec<Feature> {
        let named = |name: &String| SWITCHES.iter().find(|(n, _)| n == name).map(|(_, feature)| *feature);
        self.no_feature.iter().filter_map(named).collect()
    }

    /// The flag that was given and that hark cannot obey.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let refused = [
            (self.emit_elf.is_some(), "--emit-elf", "see `hark dump --format raw`"),
            (self.emit_llvm.is_some(), "--emit-llvm", "see `hark dump --stage ir`"),
            (self.verify_llvm_ir, "--verify-llvm-ir", "hark checks its own IR between passes"),
        ];
        if let Some((_, flag, instead)) = refused.iter().find(|(given, ..)| *given) {
            return Some(format!("{flag} is not supported yet: {instead}"));
        }
        let known = |name: &&String| SWITCHES.iter().any(|(n, _)| n == name);
        let unknown = self.no_feature.iter().find(|name| !known(name))?;
        let names: Vec<&str> = SWITCHES.iter().map(|(name, _)| *name).collect();
        Some(format!("--no-feature {unknown}: it is one of {}", names.join(", ")))
    }

    /// Directories with debug files besides the usual places.
    pub(crate) fn debug_dirs(&self) -> DebugDirs {
        DebugDirs::parse(&self.debuginfo.join(":"))
    }
}
