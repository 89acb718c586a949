//! Maps and programs of an object in the kernel.

use crate::error::RunError;
use bpf_syscall::{
    AttachTarget, BtfFd, FuncInfo, IdKind, Kernel, LoadError, Loaded, LogLevel, MapCreate, MapFd,
    PROG_SLEEPABLE, ProgBtf, ProgFd, ProgLoad, UpdateMode, clock, host,
};
use ebpf_asm::{MapRef, Slot, encode};
use hark_object::{MapDef, MapRole, Object, ProbeSpec, ProgramDef, RUN_INFO_SIZE, RunField};
use std::os::fd::AsRawFd;

/// Smallest ring for events, in bytes.
const MIN_RING: u64 = 256 << 10;
/// Ring for scripts that send little, in bytes. A large one takes the kernel ten milliseconds to make.
const SMALL_RING: u64 = 1 << 20;
/// Ring for scripts that send what they see, in bytes.
const MAX_RING: u64 = 16 << 20;

/// Ring for control events, in bytes: more than two thousand of them.
const CONTROL_RING: u32 = 64 << 10;

/// The maps of an object, in its order, and what was chosen for them.
#[derive(Debug)]
pub struct Maps {
    fds: Vec<MapFd>,
}

/// Facts about the run that programs read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFacts {
    /// The child that was started with the run, 0 without one.
    pub child_pid: u32,
    /// When it began, in nanoseconds since boot, which then counts as the beginning of 1970; now without.
    pub begun_ns: Option<u64>,
}

impl Maps {
    /// Creates, fills and freezes the maps of `object`.
    ///
    /// # Errors
    /// Names the map.
    pub fn create(kernel: &dyn Kernel, object: &Object, facts: RunFacts) -> Result<Maps, RunError> {
        let ring = ring_bytes(object);
        let mut fds = Vec::with_capacity(object.maps.len());
        for def in &object.maps {
            let failed = |error| RunError::Map { name: def.name.clone(), error };
            let max_entries = match (&def.role, def.max_entries) {
                (MapRole::Events, 0) => ring,
                (MapRole::Control, 0) => CONTROL_RING.max(host::page_size() as u32),
                (_, n) => n,
            };
            let map = MapCreate {
                flags: def.flags,
                ..MapCreate::new(&def.name, def.ty, def.key_size, def.value_size, max_entries)
            };
            let fd = kernel.map_create(&map).map_err(failed)?;
            if let Some(value) = initial_value(def, facts, ring) {
                kernel.map_update(&fd, &[0; 4], &value, UpdateMode::Any).map_err(failed)?;
                kernel.map_freeze(&fd).map_err(failed)?;
            }
            fds.push(fd);
        }
        Ok(Maps { fds })
    }

    /// The map of `map`.
    ///
    /// # Errors
    /// If the object has no such map.
    pub fn get(&self, map: MapRef) -> Result<&MapFd, RunError> {
        let missing = || RunError::Object(format!("there is no map[{}]", map.0));
        self.fds.get(map.0 as usize).ok_or_else(missing)
    }

    /// The first map of a role, with its descriptor.
    pub fn of_role<'a>(&'a self, object: &'a Object, role: &MapRole) -> Option<(&'a MapDef, &'a MapFd)> {
        let at = object.maps.iter().position(|def| def.role == *role)?;
        Some((&object.maps[at], self.fds.get(at)?))
    }
}

/// What a read-only map holds.
fn initial_value(def: &MapDef, facts: RunFacts, ring: u32) -> Option<Vec<u8>> {
    match &def.role {
        MapRole::Data(data) => {
            let mut value = data.clone();
            value.resize(def.value_size as usize, 0);
            Some(value)
        }
        MapRole::RunInfo => Some(run_info(facts, ring, def.value_size)),
        MapRole::User(_)
        | MapRole::Events
        | MapRole::Control
        | MapRole::Generations
        | MapRole::Scratch
        | MapRole::UnwindMappings
        | MapRole::UnwindRows
        | MapRole::Losses
        | MapRole::Failures(_)
        | MapRole::Pending
        | MapRole::Zero => None,
    }
}

fn run_info(facts: RunFacts, ring: u32, size: u32) -> Vec<u8> {
    let mut value = vec![0; RUN_INFO_SIZE.max(size) as usize];
    let mut set = |field: RunField, word: u64| {
        let at = field.offset() as usize;
        value[at..at + 8].copy_from_slice(&word.to_le_bytes());
    };
    // Without procfs programs see the pids of the initial namespace, which is where we most likely are.
    let namespace = host::pid_namespace().ok();
    let after_boot =
        |clock| if facts.begun_ns.is_some() { 0 } else { clock::offset_ns(clock::Clock::Boot, clock) };
    set(RunField::StartBootNs, facts.begun_ns.unwrap_or_else(|| clock::now_ns(clock::Clock::Boot)));
    set(RunField::WallMinusBootNs, after_boot(clock::Clock::Real) as u64);
    set(RunField::TaiMinusBootNs, after_boot(clock::Clock::Tai) as u64);
    set(RunField::PidNsDev, namespace.map_or(0, |ns| ns.dev));
    set(RunField::PidNsIno, namespace.map_or(0, |ns| ns.ino));
    set(RunField::OwnPid, host::pid().into());
    set(RunField::ChildPid, facts.child_pid.into());
    set(RunField::RingBytes, ring.into());
    value.truncate(size as usize);
    value
}

/// Bytes of the ring: what the script asks for, else by what it traces and the machine's memory.
fn ring_bytes(object: &Object) -> u32 {
    let page = host::page_size() as u64;
    let floor = MIN_RING.max(page);
    let wanted = match object.config.perf_rb_pages {
        0 => {
            let rare = object.probes.iter().all(|probe| is_rare(&probe.spec));
            if object.events.iter().all(|event| event.kind.is_control()) {
                // Nothing goes there; programs only ask how far it has come.
                page
            } else if rare {
                SMALL_RING
            } else {
                MAX_RING.min(available_memory().unwrap_or(u64::MAX) / 4).max(floor)
            }
        }
        pages => pages.saturating_mul(page).max(page),
    };
    // A ring is a power of two and its size is a u32.
    wanted.checked_next_power_of_two().map_or(1 << 30, |bytes| bytes.min(1 << 30)) as u32
}

/// Whether the probe fires as often as the script says, and no more.
fn is_rare(spec: &ProbeSpec) -> bool {
    runs_on_request(spec) || matches!(spec, ProbeSpec::Interval { .. })
}

/// Whether hark itself runs the program, rather than something that happens in the system.
pub(crate) fn runs_on_request(spec: &ProbeSpec) -> bool {
    match spec {
        ProbeSpec::Begin
        | ProbeSpec::End
        | ProbeSpec::SelfSignal { .. }
        | ProbeSpec::Test(_)
        | ProbeSpec::Bench(_) => true,
        ProbeSpec::Interval { .. }
        | ProbeSpec::Profile { .. }
        | ProbeSpec::Kprobe { .. }
        | ProbeSpec::KprobeAddr { .. }
        | ProbeSpec::Fentry { .. }
        | ProbeSpec::Tracepoint { .. }
        | ProbeSpec::RawTracepoint { .. }
        | ProbeSpec::Uprobe { .. }
        | ProbeSpec::Usdt { .. }
        | ProbeSpec::Software { .. }
        | ProbeSpec::Hardware { .. }
        | ProbeSpec::Watchpoint { .. }
        | ProbeSpec::Iter { .. } => false,
    }
}

/// `MemAvailable` in bytes.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Loads one program of the object.
///
/// # Errors
/// [`RunError::Rejected`] with the statement it was compiled from if the verifier refuses it.
pub fn load_program(
    kernel: &dyn Kernel,
    object: &Object,
    maps: &Maps,
    program: &ProgramDef,
) -> Result<ProgFd, RunError> {
    load_program_logged(kernel, object, maps, program, LogLevel::None).map(|loaded| loaded.prog)
}

/// As [`load_program`], with what the verifier says of a program that it accepts.
///
/// # Errors
/// As for [`load_program`].
pub fn load_program_logged(
    kernel: &dyn Kernel,
    object: &Object,
    maps: &Maps,
    program: &ProgramDef,
    log: LogLevel,
) -> Result<Loaded, RunError> {
    let fd_of = |map: MapRef| maps.get(map).map_or(-1, |fd| fd.as_raw_fd());
    let insns = encode(&program.code, &fd_of)
        .map_err(|error| RunError::Object(format!("program {}: {error}", program.name)))?;
    let module = match &program.btf_target {
        Some(target) => match &target.module {
            Some(module) => Some(
                module_btf(kernel, module)
                    .map_err(|error| RunError::Program { program: program.name.clone(), error })?,
            ),
            None => None,
        },
        None => None,
    };
    let target = program.btf_target.as_ref().map(|target| match &module {
        Some(btf) => AttachTarget::Module { btf_id: target.btf_id, btf },
        None => AttachTarget::Vmlinux { btf_id: target.btf_id },
    });
    let types = match &program.types {
        Some(types) => {
            let btf = kernel.btf_load(&types.btf).map_err(|error| RunError::Program {
                program: format!("{} (types)", program.name),
                error: error.error,
            })?;
            let slots = program.code.slots();
            let first = |at| slots.slot_of(at).map_or(0, |slot| slot.0);
            let infos =
                types.functions.iter().map(|(at, id)| FuncInfo { insn_off: first(*at), type_id: *id });
            Some((btf, infos.collect::<Vec<_>>()))
        }
        None => None,
    };
    let request = ProgLoad {
        name: &program.name,
        ty: program.ty,
        attach_type: program.attach_type,
        insns: &insns,
        license: &object.license,
        target,
        btf: types.as_ref().map(|(btf, func_info)| ProgBtf { btf, func_info, line_info: &[] }),
        flags: if program.sleepable { PROG_SLEEPABLE } else { 0 },
        log,
    };
    kernel.prog_load(&request).map_err(|error| refused(object, program, error))
}

/// The kernel's refusal, in terms of the script.
fn refused(object: &Object, program: &ProgramDef, error: LoadError) -> RunError {
    let Some(decisive) = error.log.decisive() else {
        return RunError::Program { program: program.name.clone(), error: error.error };
    };
    let insn = decisive.insn.and_then(|slot| program.code.slots().insn_at(Slot(slot)));
    RunError::Rejected {
        program: program.name.clone(),
        message: decisive.message.to_string(),
        insn: insn.map(|at| at.0),
        span: insn.and_then(|at| program.code.loc(at)).and_then(|loc| object.span(loc)),
        log: error.log.text.clone(),
    }
}

/// The BTF of a kernel module.
fn module_btf(kernel: &dyn Kernel, module: &str) -> bpf_syscall::Result<BtfFd> {
    let mut id = 0;
    while let Some(next) = kernel.next_id(IdKind::Btf, id)? {
        id = next;
        // It may be gone by now.
        let Ok(fd) = kernel.btf_by_id(id) else { continue };
        let info = kernel.btf_info(&fd)?;
        if info.kernel && info.name == module {
            return Ok(fd);
        }
    }
    Err(bpf_syscall::SysError::new(
        "bpf(BPF_BTF_GET_NEXT_ID)",
        format!("module {module}"),
        bpf_syscall::Errno::ENOENT,
    )
    .with_hint("the module is not loaded, or has no BTF"))
}
