//! `--engine`: the running kernel, or a machine of our own for those it refuses.

use crate::Engine;
use bpf_facts::{Feature, HelperId};
use bpf_syscall::{Kernel, LinuxKernel, SysError, probe};
use ebpf_asm::{Callee, Insn};
use ebpf_interp::{SimClock, SimKernel, Task};
use hark_compiler::KernelTypes;
use hark_object::Object;
use hark_rehearsal::task_image;

/// What a script runs on.
pub(crate) enum Chosen {
    Kernel(LinuxKernel),
    Embedded(SimKernel),
}

impl Chosen {
    pub(crate) fn kernel(&self) -> &dyn Kernel {
        match self {
            Chosen::Kernel(kernel) => kernel,
            Chosen::Embedded(kernel) => kernel,
        }
    }

    /// Whether a feature that the version promises is really there.
    pub(crate) fn confirms(&self, feature: Feature) -> bool {
        match self {
            Chosen::Kernel(kernel) => {
                matches!(probe::ask(kernel, feature, probe::BtfIds::default()), probe::Answer::Yes)
            }
            // What is asked for are better ways to attach to the kernel.
            Chosen::Embedded(_) => false,
        }
    }
}

/// Why there is nothing to run a script on.
pub(crate) enum Refusal {
    System(SysError),
    /// The embedded engine lacks this.
    Lacking(String),
}

/// What `--engine` has to choose from. The kernel is asked once whether this process may load programs.
pub(crate) struct Candidates {
    wanted: Engine,
    kernel: Result<LinuxKernel, SysError>,
    /// Why the kernel takes no programs of ours; asked only where that decides.
    refused: Option<SysError>,
}

impl Candidates {
    /// Opens the kernel's door, and knocks if that decides.
    pub(crate) fn new(wanted: Engine) -> Candidates {
        let kernel = LinuxKernel::new();
        let refused = match (&kernel, wanted) {
            (Ok(kernel), Engine::Auto) => probe::may_load(kernel).err(),
            (Ok(_), Engine::Kernel | Engine::Sim) => None,
            (Err(error), _) => Some(error.clone()),
        };
        Candidates { wanted, kernel, refused }
    }

    /// Whether the machine of our own will run the script, as far as one can tell before it is compiled.
    pub(crate) fn will_embed(&self) -> bool {
        match self.wanted {
            Engine::Sim => true,
            Engine::Kernel => false,
            Engine::Auto => self.refused.is_some(),
        }
    }

    /// Chooses for `object`, and says so where it is not what one would expect.
    pub(crate) fn choose(self, object: &Object, n_cpus: u32, types: &KernelTypes) -> Result<Chosen, Refusal> {
        // Its task_struct is made up as far as the kernel's types say where things lie.
        let task = Task { address: types.exists().then_some(0), ..Task::current() };
        let lacking =
            || hark_runtime::needs_kernel(object, &|id: HelperId| ebpf_interp::simulates(id, &task));
        let embedded = || -> Result<SimKernel, Refusal> {
            let kernel = SimKernel::new(n_cpus, task.clone(), SimClock::Host).map_err(Refusal::System)?;
            if calls(object, HelperId::GET_CURRENT_TASK) {
                let address = types.get().and_then(|btf| task_image(&kernel, btf, &task));
                kernel.set_task(Task { address, ..task.clone() });
            }
            Ok(kernel)
        };
        let kernel = self.kernel;
        match self.wanted {
            Engine::Sim => match lacking() {
                Some(what) => Err(Refusal::Lacking(what)),
                None => embedded().map(Chosen::Embedded),
            },
            Engine::Kernel => kernel.map(Chosen::Kernel).map_err(Refusal::System),
            Engine::Auto => {
                // A script that needs the kernel goes there all the same, and hears what is missing.
                let refused = self.refused.filter(|_| kernel.is_err() || lacking().is_none());
                match (refused, kernel) {
                    (None, Ok(kernel)) => Ok(Chosen::Kernel(kernel)),
                    (Some(error), _) | (None, Err(error)) => {
                        if lacking().is_some() {
                            return Err(Refusal::System(error));
                        }
                        eprintln!(
                            "hark: this process may not load programs into the kernel ({}): the script runs in the \
                         embedded engine",
                            error.errno
                        );
                        embedded().map(Chosen::Embedded)
                    }
                }
            }
        }
    }
}

/// Whether a program of `object` calls a helper.
fn calls(object: &Object, helper: HelperId) -> bool {
    let mut insns = object.programs.iter().flat_map(|program| &program.code.insns);
    insns.any(|insn| *insn == Insn::Call(Callee::Helper(helper.0)))
}
