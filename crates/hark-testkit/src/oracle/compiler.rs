//! Scripts, from text to what they print.

use super::Finding;
use crate::agree::rng::Rng;
use crate::generate::script;
use bpf_facts::{Arch, KernelProfile, V};
use bpf_syscall::{LinuxKernel, probe};
use ebpf_interp::{SimClock, SimKernel, Task};
use hark_btf::Btf;
use hark_compiler::{KernelTypes, Options, Target, compile};
use hark_diag::{Code, SourceMap, Style, render};
use hark_object::{EmptyCatalog, Object, ProbeSpec};
use hark_runtime::{Maps, Names, Rehearsal, RunFacts, load_program, rehearse};
use std::rc::Rc;
use std::sync::Arc;

/// Kernels that scripts are compiled for besides the running one.
const KERNELS: [&str; 2] = ["5.15", "6.18"];
/// The types of the running kernel.
const RUNNING_TYPES: &str = "/sys/kernel/btf/vmlinux";
/// CPUs there are.
const CPUS: u32 = 2;

/// What scripts are compiled for, and the kernel that is to accept them.
pub struct Compilers {
    targets: Vec<Target>,
    /// The running kernel and its own target.
    real: Option<(LinuxKernel, Target)>,
}

impl Compilers {
    /// Scripts for [`KERNELS`] find the types of `btf`, those for the running one its own.
    pub fn new(btf: Option<Vec<u8>>) -> Compilers {
        let types = |btf: Option<Vec<u8>>| match btf.map(Btf::parse) {
            Some(Ok(btf)) => KernelTypes::ready(btf),
            _ => KernelTypes::none(),
        };
        let given = types(btf);
        let target = |profile, btf| Target {
            profile,
            btf,
            catalog: Arc::new(EmptyCatalog),
            n_cpus: CPUS,
            pid_namespace: false,
        };
        let named = |name| target(KernelProfile::named(name).expect("a version"), given.clone());
        let kernel = LinuxKernel::new().ok().filter(|kernel| probe::may_load(kernel).is_ok());
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let real = kernel.zip(V::parse(&release)).map(|(kernel, version)| {
            let n_cpus = bpf_syscall::Kernel::n_possible_cpus(&kernel);
            // Its verifier judges offsets into its own types, which are not those of `btf`.
            let own = types(std::fs::read(RUNNING_TYPES).ok());
            (kernel, Target { n_cpus, ..target(KernelProfile::of(version, Arch::X86_64), own) })
        });
        Compilers { targets: KERNELS.map(named).into(), real }
    }
}

/// Generates a script. If it type-checks it must compile, for every kernel and with each pass left out, be accepted,
/// and print the same whether it is optimised or not.
///
/// # Errors
/// Where it does not.
pub fn compiler(bytes: &[u8], with: &Compilers) -> Finding {
    let mut rng = Rng::from_bytes(bytes);
    let text = script::script(&mut rng);
    scripted(&text, with)
}

/// As [`compiler`], for a given script.
pub(crate) fn scripted(text: &str, with: &Compilers) -> Finding {
    for target in &with.targets {
        let mut printed: Option<String> = None;
        let mut embedded = target.clone();
        ebpf_interp::confine(&mut embedded.profile);
        for disabled in [vec![], vec!["all".to_owned()]] {
            let options = Options { disabled_passes: disabled.clone(), ..Options::default() };
            if object(text, target, &options)?.is_none() {
                return Ok(());
            }
            // What runs here is made for the machine that it runs on.
            let Some(object) = object(text, &embedded, &options)? else { return Ok(()) };
            let said = play(text, &object)
                .map_err(|e| format!("{}, disabled {disabled:?}: {e}\n{text}", target.profile.version))?;
            match &printed {
                Some(before) if *before != said => {
                    return Err(format!(
                        "{}: optimised it prints\n{before}\nelse\n{said}\n{text}",
                        target.profile.version
                    ));
                }
                _ => printed = Some(said),
            }
        }
    }
    let Some((kernel, target)) = &with.real else { return Ok(()) };
    let Some(object) = object(text, target, &Options::default())? else { return Ok(()) };
    let maps = Maps::create(kernel, &object, RunFacts::default()).map_err(|e| format!("{e}\n{text}"))?;
    for program in &object.programs {
        load_program(kernel, &object, &maps, program).map_err(|e| format!("the kernel: {e}\n{text}"))?;
    }
    Ok(())
}

/// The compiled script; nothing if its author made a mistake.
fn object(text: &str, target: &Target, options: &Options) -> Result<Option<Object>, String> {
    let mut sources = SourceMap::default();
    let file = sources.add("script.bt", text);
    match compile(&sources, file, target, options) {
        Ok(compilation) => Ok(Some(compilation.object)),
        Err(diags) => {
            let ours = |code: Code| matches!(code, Code::INTERNAL | Code::SIM_REJECTS | Code::KERNEL_REJECTS);
            match diags.iter().any(|diag| ours(diag.code)) {
                true => {
                    let said = render(&sources, &diags, Style::Plain);
                    Err(format!("{}: does not compile:\n{said}\n{text}", target.profile.version))
                }
                false => Ok(None),
            }
        }
    }
}

/// What a script prints whose probes fire by themselves or are intervals, each of which fires twice.
fn play(text: &str, object: &Object) -> Result<String, String> {
    let mut sources = SourceMap::default();
    sources.add("script.bt", text);
    let task = Task { pid: 100, tid: 101, uid: 7, gid: 8, comm: "somebody".into(), ..Task::default() };
    let begun_ns = 1 << 32;
    let kernel = SimKernel::new(CPUS, task, SimClock::Set { ns: begun_ns }).map_err(|e| e.to_string())?;
    let setup = Rehearsal { kernel: &kernel, object, names: &NoNames, sources: &sources, begun_ns };
    let played = rehearse(setup, |stage| {
        for (i, probe) in object.probes.iter().enumerate() {
            if matches!(probe.spec, ProbeSpec::Interval { .. }) {
                stage.fire(i, &[0; 512])?;
                stage.fire(i, &[0; 512])?;
            }
        }
        stage.finish()?;
        stage.take_output()
    });
    played.map_err(|error| error.to_string())
}

/// Nothing has a name.
struct NoNames;

impl Names for NoNames {
    fn kernel(&self, _: u64) -> Option<Rc<hark_runtime::Frame>> {
        None
    }
    fn user(&self, _: u64, _: u64) -> Rc<[hark_runtime::Frame]> {
        [].into()
    }
    fn file_place(&self, _: u64, _: u64) -> Option<Rc<hark_runtime::FilePlace>> {
        None
    }
    fn login(&self, _: u64) -> Option<Rc<str>> {
        None
    }
    fn cgroup_paths(&self, _: u64, _: &str) -> Rc<str> {
        "".into()
    }
    fn wall_ns(&self, _: hark_object::Clock, ns: u64) -> i128 {
        ns.into()
    }
    fn strftime(&self, _: &str, _: i64) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What does not type-check tests nothing.
    #[test]
    fn most_generated_scripts_type_check() {
        let with = Compilers::new(None);
        let mut wrong = Vec::new();
        for seed in 0..10 {
            let text = script::script(&mut Rng::new(seed));
            let mut sources = SourceMap::default();
            let file = sources.add("script.bt", &*text);
            if let Err(diags) = compile(&sources, file, &with.targets[1], &Options::default()) {
                wrong.push(render(&sources, &diags, Style::Plain));
            }
        }
        assert!(wrong.len() < 3, "{} of 10: {}", wrong.len(), wrong.join("\n"));
    }
}
