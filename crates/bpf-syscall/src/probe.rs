//! Asking the running kernel what it can do, feature by feature.
//!
//! Nothing here runs at start-up: the default profile comes from the version that uname(2) names. An answer is one of
//! three, because "refused" is not "unsupported": a locked-down kernel or a missing capability says nothing about
//! the feature.

use crate::errno::{Errno, SysError};
use crate::fd::{MapFd, PerfFd, ProgFd};
use crate::kernel::{Kernel, KprobeTargets, LinkCreate, MapCreate, MultiFlavour};
use crate::load::{AttachTarget, LoadError, ProgLoad};
use bpf_facts::{AttachType, FEATURES, Feature, HelperId, KernelProfile, MapType, ProgType};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Whether the kernel has a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It worked.
    Yes,
    /// The kernel does not know it.
    No(Errno),
    /// Something else stood in the way: rights, lock-down, or facts the caller did not give.
    CannotTell(Errno),
}

/// What cannot be asked without BTF, which its reader looks up.
#[derive(Clone, Copy, Debug, Default)]
pub struct BtfIds {
    /// Type id in vmlinux BTF of a function that can be traced by fentry.
    pub function: Option<u32>,
    /// Type id in vmlinux BTF of a `bpf_iter_*` function.
    pub iterator: Option<u32>,
}

/// Asks for every feature, and corrects `assumed` where the kernel gave a clear answer.
pub fn detect(
    kernel: &dyn Kernel,
    assumed: &KernelProfile,
    ids: BtfIds,
) -> (KernelProfile, Vec<(Feature, Answer)>) {
    let mut profile = assumed.clone();
    let answers: Vec<_> = FEATURES.iter().map(|def| (def.feature, ask(kernel, def.feature, ids))).collect();
    for (feature, answer) in &answers {
        match answer {
            Answer::Yes => profile.set(*feature, true),
            Answer::No(_) => profile.set(*feature, false),
            Answer::CannotTell(_) => {}
        }
    }
    (profile, answers)
}

/// Asks for one feature. Nothing stays loaded or attached.
pub fn ask(kernel: &dyn Kernel, feature: Feature, ids: BtfIds) -> Answer {
    let simple = |text| accepts(kernel, ProgType::SocketFilter, text);
    let helper = |id| has_helper(kernel, ProgType::Kprobe, id);
    match feature {
        Feature::BoundedLoops => simple("r0 = 0\nagain: r0 += 1\nif r0 < 4 goto again\nexit"),
        Feature::Jmp32 => simple("r0 = 0\nif w0 == 0 goto +1\nr0 = 1\nexit"),
        Feature::MapValueAddr => simple("r0 = map[0][0]+0 ll\nr0 = *(u8 *)(r0 + 0)\nexit"),
        Feature::Ringbuf => ring_buffer(kernel),
        Feature::AtomicFetch => {
            simple("r0 = 1\n*(u64 *)(r10 - 8) = r0\nr0 = atomic_fetch_add((u64 *)(r10 - 8), r0)\nexit")
        }
        Feature::BpfLoop => helper(HelperId::LOOP),
        Feature::ForEachMapElem => helper(HelperId::FOR_EACH_MAP_ELEM),
        Feature::LookupPercpuElem => helper(HelperId::MAP_LOOKUP_PERCPU_ELEM),
        Feature::PerfLink => perf_link(kernel),
        Feature::KprobeMulti => kprobe_multi(kernel, AttachType::TraceKprobeMulti, MultiFlavour::Entry),
        Feature::UprobeMulti => uprobe_multi(kernel),
        Feature::KprobeSession => kprobe_multi(kernel, AttachType::TraceKprobeSession, MultiFlavour::Session),
        // No program shows how a result was made, but these instructions are only a little younger. Without them the
        // extension is made, which is never wrong.
        Feature::IsaV4 | Feature::LongMapResults => simple("r0 = 1\nr0 = bswap32 r0\nr0 = (s8)r0\nexit"),
        Feature::KtimeBoot => helper(HelperId::KTIME_GET_BOOT_NS),
        Feature::KtimeTai => helper(HelperId::KTIME_GET_TAI_NS),
        Feature::GetFuncIp => helper(HelperId::GET_FUNC_IP),
        // Older kernels take the call and answer 0; what came with the same version shows.
        Feature::UprobeFuncIp => uprobe_multi(kernel),
        Feature::AttachCookie => helper(HelperId::GET_ATTACH_COOKIE),
        Feature::Fentry => typed(kernel, AttachType::TraceFentry, ids.function),
        Feature::Iter => typed(kernel, AttachType::TraceIter, ids.iterator),
        Feature::CurrentTaskBtf => helper(HelperId::GET_CURRENT_TASK_BTF),
        // No call shows it, but this helper came with the same version.
        Feature::LongKeys => {
            has_map(kernel, &MapCreate::new("probe", MapType::Hash, bpf_facts::SHORT_KEY + 8, 8, 1))
        }
        Feature::ConstantKeys => simple(
            "*(u32 *)(r10 - 8) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -8\ncall 1\nr0 = *(u64 *)(r0 + 0)\nr0 = 0\nexit",
        ),
        Feature::MemcgAccounting => has_helper(kernel, ProgType::SocketFilter, HelperId::KTIME_GET_COARSE_NS),
    }
}

/// Asks whether programs of type `ty` may call a helper. Nothing stays loaded.
pub fn ask_helper(kernel: &dyn Kernel, ty: ProgType, id: HelperId) -> Answer {
    has_helper(kernel, ty, id)
}

/// Asks for a program type that needs no BTF to be loaded. Nothing stays loaded.
pub fn ask_program(kernel: &dyn Kernel, ty: ProgType) -> Answer {
    idle(kernel, ty, AttachType::None).map_or_else(|answer| answer, |_| Answer::Yes)
}

/// Whether the kernel has the source of perf events called `name`: `kprobe`, `uprobe`, `cpu`.
pub fn event_source(name: &str) -> Answer {
    match std::fs::metadata(Path::new("/sys/bus/event_source/devices").join(name)) {
        Ok(_) => Answer::Yes,
        Err(error) if Path::new("/sys/bus/event_source").exists() => Answer::No(Errno::of(&error)),
        Err(error) => Answer::CannotTell(Errno::of(&error)),
    }
}

impl Answer {
    /// Yes if both are; otherwise the first that is not.
    pub fn and(self, other: Answer) -> Answer {
        if self == Answer::Yes { other } else { self }
    }
}

impl fmt::Display for Answer {
    /// `yes`, `no`, or `cannot tell (…)` with what stood in the way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Yes => f.write_str("yes"),
            Answer::No(_) => f.write_str("no"),
            Answer::CannotTell(errno) => write!(f, "cannot tell ({errno})"),
        }
    }
}

/// Whether the kernel lets this process load programs for tracing at all, and if not, what it says.
///
/// # Errors
/// Of the smallest program there is: `EPERM` without rights, `ENOSYS` where the call does not exist.
pub fn may_load(kernel: &dyn Kernel) -> Result<(), SysError> {
    let code = assemble("r0 = 0\nexit", 0);
    let program = ProgLoad::new("probe", ProgType::RawTracepoint, &code);
    kernel.prog_load(&program).map(drop).map_err(|refused| refused.error)
}

/// The code of `text`, with `fd` for its map.
fn assemble(text: &str, fd: i32) -> Vec<[u8; 8]> {
    let program = ebpf_asm::parse(text).expect("the texts above are well-formed");
    ebpf_asm::encode(&program, &|_| fd).expect("the texts above are short")
}

/// What a failure tells if the kernel, knowing the feature, would have accepted.
fn refused(errno: Errno) -> Answer {
    match errno {
        Errno::EPERM | Errno::EACCES | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::EAGAIN => {
            Answer::CannotTell(errno)
        }
        _ => Answer::No(errno),
    }
}

/// As [`refused`], for programs: what the verifier itself turned down, with whatever number, is a clear answer.
fn rejected(error: &LoadError) -> Answer {
    if error.is_rejection() { Answer::No(error.errno()) } else { refused(error.errno()) }
}

fn accepts(kernel: &dyn Kernel, ty: ProgType, text: &str) -> Answer {
    let needs_map = text.contains("map[");
    let map = needs_map.then(|| kernel.map_create(&MapCreate::new("probe", MapType::Array, 4, 8, 1)));
    let fd = match map.as_ref() {
        Some(Err(error)) => return Answer::CannotTell(error.errno),
        Some(Ok(map)) => map.as_raw_fd(),
        None => -1,
    };
    match kernel.prog_load(&ProgLoad::new("probe", ty, &assemble(text, fd))) {
        Ok(_) => Answer::Yes,
        Err(error) => rejected(&error),
    }
}

/// Calls the helper without arguments. A kernel that has it may complain of those, and then has it.
fn has_helper(kernel: &dyn Kernel, ty: ProgType, id: HelperId) -> Answer {
    let code = assemble(&format!("call {}\nr0 = 0\nexit", id.0), -1);
    match kernel.prog_load(&ProgLoad::new("probe", ty, &code)) {
        Ok(_) => Answer::Yes,
        Err(error) => {
            let unknown = ["unknown func", "invalid func", "cannot use helper"];
            let says = |words: &str| error.log.text.contains(words);
            if unknown.into_iter().any(says) {
                Answer::No(error.errno())
            } else if error.is_rejection() {
                Answer::Yes
            } else {
                refused(error.errno())
            }
        }
    }
}

fn ring_buffer(kernel: &dyn Kernel) -> Answer {
    let size = crate::shared_memory::page_size() as u32;
    has_map(kernel, &MapCreate::new("probe", MapType::Ringbuf, 0, 0, size))
}

fn has_map(kernel: &dyn Kernel, map: &MapCreate<'_>) -> Answer {
    match kernel.map_create(map) {
        Ok(map) => {
            let _: MapFd = map;
            Answer::Yes
        }
        Err(error) => refused(error.errno),
    }
}

/// A program that does nothing, to attach where nothing can be attached to.
fn idle(kernel: &dyn Kernel, ty: ProgType, attach_type: AttachType) -> Result<ProgFd, Answer> {
    let code = assemble("r0 = 0\nexit", -1);
    let request = ProgLoad { attach_type, ..ProgLoad::new("probe", ty, &code) };
    kernel.prog_load(&request).map(|loaded| loaded.prog).map_err(|error| rejected(&error))
}

/// The number by which a kernel that knows the kind of link finds fault with its target.
fn faulted(result: crate::errno::Result<crate::fd::LinkFd>, known_by: &[Errno]) -> Answer {
    match result {
        Ok(_) => Answer::Yes,
        Err(error) if known_by.contains(&error.errno) => Answer::Yes,
        Err(error) => refused(error.errno),
    }
}

fn perf_link(kernel: &dyn Kernel) -> Answer {
    let prog = match idle(kernel, ProgType::Tracepoint, AttachType::None) {
        Ok(prog) => prog,
        Err(answer) => return answer,
    };
    let no_event = match File::open("/dev/null") {
        Ok(file) => PerfFd::from(OwnedFd::from(file)),
        Err(error) => return Answer::CannotTell(Errno::of(&error)),
    };
    let link = kernel.link_create(&LinkCreate::PerfEvent { prog: &prog, event: &no_event, cookie: 0 });
    faulted(link, &[Errno::EBADF])
}

fn kprobe_multi(kernel: &dyn Kernel, attach_type: AttachType, flavour: MultiFlavour) -> Answer {
    let prog = match idle(kernel, ProgType::Kprobe, attach_type) {
        Ok(prog) => prog,
        Err(answer) => return answer,
    };
    let nowhere = ["no function has this name".to_string()];
    let targets = KprobeTargets::Symbols(&nowhere);
    let link = kernel.link_create(&LinkCreate::KprobeMulti { prog: &prog, targets, cookies: &[], flavour });
    faulted(link, &[Errno::ESRCH, Errno::ENOENT])
}

fn uprobe_multi(kernel: &dyn Kernel) -> Answer {
    let prog = match idle(kernel, ProgType::Kprobe, AttachType::TraceUprobeMulti) {
        Ok(prog) => prog,
        Err(answer) => return answer,
    };
    let link = kernel.link_create(&LinkCreate::UprobeMulti {
        prog: &prog,
        path: Path::new("/"),
        offsets: &[0],
        ref_ctr_offsets: &[],
        cookies: &[],
        pid: None,
        flavour: MultiFlavour::Entry,
    });
    faulted(link, &[Errno::EBADF])
}

fn typed(kernel: &dyn Kernel, attach_type: AttachType, btf_id: Option<u32>) -> Answer {
    let Some(btf_id) = btf_id else { return Answer::CannotTell(Errno::ENOENT) };
    let code = assemble("r0 = 0\nexit", -1);
    let target = Some(AttachTarget::Vmlinux { btf_id });
    let request = ProgLoad { attach_type, target, ..ProgLoad::new("probe", ProgType::Tracing, &code) };
    match kernel.prog_load(&request) {
        Ok(_) => Answer::Yes,
        Err(error) => rejected(&error),
    }
}
