//! Abstract interpretation of eBPF: what the kernel's verifier would say, and why, without a kernel.
//!
//! ```text
//!  Program ─▶ cfg (subprograms, reachability, liveness) ─▶ explore ─▶ Report
//!                                                          │  ▲
//!              transfer/* (what an instruction does) ◀─────┤  ├── prune (seen before?)
//!              rules/* (what it must not do) ◀─────────────┘  └── precise (which values mattered?)
//! ```
//!
//! It follows the kernel's own abstractions and its order of walking, so that limits are met where the kernel meets
//! them. What kernels judge differently is a table ([`era`]); what is not modelled ends with [`Verdict::Unsure`],
//! never with a guess.

mod bounds;
mod cfg;
mod env;
mod era;
mod explore;
mod fields;
mod precise;
mod prune;
mod rules;
mod state;
mod states;
mod target;
mod tnum;
mod transfer;

pub use bounds::Bounds;
pub use rules::Rule;
pub use state::{Byte, Flags, Frame, Kind, RegState, Slot, State};
pub use states::{Mismatch, Snapshot, States};
pub use tnum::Tnum;

use bpf_facts::{AttachType, KernelProfile, MapType, ProgType};
use ebpf_asm::{Imm64, Insn, InsnIdx, Program, Reg};
use hark_btf::Btf;
use state::{Frame as StackFrame, Kind as RegKind};
use std::fmt;

/// Bit of `map_flags`: programs may write, but not read.
pub(crate) const WRONLY_PROG: u32 = 1 << 8;

/// A structure of the kernel in a map value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialKind {
    /// `bpf_spin_lock`.
    SpinLock,
    /// `bpf_res_spin_lock`.
    ResSpinLock,
    /// `bpf_timer`.
    Timer,
    /// `bpf_wq`.
    Workqueue,
    /// `bpf_list_head` or `bpf_rb_root`.
    Collection,
    /// A pointer to a kernel object.
    Kptr {
        /// Type of the object in the kernel's BTF, if it is known.
        target: Option<u32>,
        /// Whether it holds a reference (`__kptr`), or is a bare address (`__kptr_untrusted`).
        referenced: bool,
    },
    /// Another one, which programs cannot access.
    Other,
}

/// A part of a map value that holds a structure of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialField {
    /// What it is.
    pub kind: SpecialKind,
    /// Offset in the value, in bytes.
    pub off: u32,
    /// Size in bytes.
    pub size: u32,
}

/// A map, as far as programs are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Type.
    pub ty: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `map_flags`.
    pub flags: u32,
    /// Whether user space can no longer change it.
    pub frozen: bool,
    /// Its content, if it is known and that of an array.
    pub data: Option<Vec<u8>>,
    /// Structures of the kernel in its values.
    pub special: Vec<SpecialField>,
    /// The maps in a map of maps.
    pub inner: Option<Box<MapShape>>,
}

impl MapShape {
    /// A plain map.
    pub fn new(ty: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapShape {
        MapShape {
            ty,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            frozen: false,
            data: None,
            special: Vec::new(),
            inner: None,
        }
    }
}

/// A function of the program that type information tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncDef {
    /// Its first instruction.
    pub at: InsnIdx,
    /// Whether it is verified on its own (global linkage).
    pub global: bool,
    /// Its `BTF_KIND_FUNC` in the program's BTF.
    pub type_id: u32,
}

/// What a program is loaded with.
#[derive(Clone, Copy, Debug)]
pub struct ProgEnv<'a> {
    /// Program type.
    pub ty: ProgType,
    /// Expected attach type; [`AttachType::None`] where there is none.
    pub attach_type: AttachType,
    /// Type in the kernel's BTF that a tracing program is about.
    pub attach_btf_id: Option<u32>,
    /// Whether the licence is compatible with the GPL.
    pub gpl: bool,
    /// Whether it may sleep (`BPF_F_SLEEPABLE`).
    pub sleepable: bool,
    /// Its maps, in order of `MapRef`.
    pub maps: &'a [MapShape],
    /// The kernel's BTF.
    pub btf: Option<&'a Btf>,
    /// The program's own BTF.
    pub prog_btf: Option<&'a Btf>,
    /// Its functions, by rising instruction; empty without type information.
    pub funcs: &'a [FuncDef],
    /// How many CPUs the kernel has at most, if that is known.
    pub n_cpus: Option<u32>,
    /// Instructions that use what is reserved: refused where they are reached, and only there.
    pub suspects: &'a [InsnIdx],
}

impl<'a> ProgEnv<'a> {
    /// A GPL program of this type with these maps, without type information.
    pub fn new(ty: ProgType, maps: &'a [MapShape]) -> ProgEnv<'a> {
        ProgEnv {
            ty,
            attach_type: AttachType::None,
            attach_btf_id: None,
            gpl: true,
            sleepable: false,
            maps,
            btf: None,
            prog_btf: None,
            funcs: &[],
            n_cpus: None,
            suspects: &[],
        }
    }

    pub(crate) fn may_write_packets(&self) -> bool {
        matches!(
            self.ty,
            ProgType::SchedCls
                | ProgType::SchedAct
                | ProgType::Xdp
                | ProgType::LwtXmit
                | ProgType::SkSkb
                | ProgType::SkMsg
                | ProgType::CgroupSockopt
        )
    }

    pub(crate) fn may_read_packets(&self) -> bool {
        self.may_write_packets()
            || matches!(
                self.ty,
                ProgType::LwtIn
                    | ProgType::LwtOut
                    | ProgType::LwtSeg6local
                    | ProgType::SkReuseport
                    | ProgType::FlowDissector
                    | ProgType::CgroupSkb
            )
    }
}

/// What to do besides judging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep every state, for [`States::admits`].
    pub record: bool,
    /// Write what is known before each instruction walked.
    pub log: bool,
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel takes the program.
    Accept,
    /// The kernel refuses it.
    Reject,
    /// It does something that is not modelled.
    Unsure,
}

impl Verdict {
    /// As the interfaces write it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Reject => "reject",
            Verdict::Unsure => "unsure",
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The instruction.
    pub at: InsnIdx,
    /// The rule.
    pub rule: Rule,
    /// Registers whose values break it.
    pub regs: Vec<Reg>,
    /// What is wrong, with what is known of the values.
    pub message: String,
    /// The instructions that lead there, oldest first; the last few thousand of them.
    pub trace: Vec<InsnIdx>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reject at {}: rule={}: {}", self.at.0, self.rule, self.message)
    }
}

/// How much work it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions walked, over all paths.
    pub processed: u64,
    /// Paths walked.
    pub paths: u64,
    /// Paths cut short because what follows was known.
    pub pruned: u64,
    /// States remembered.
    pub checkpoints: u64,
    /// Most branches that waited at once.
    pub max_pending: u32,
    /// Deepest stack of the entry function, in bytes.
    pub stack: u32,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The judgement.
    pub verdict: Verdict,
    /// The broken rule, if the verdict is [`Verdict::Reject`]: the kernel, too, stops at the first.
    pub findings: Vec<Finding>,
    /// Where and why it is [`Verdict::Unsure`].
    pub unsure: Option<(InsnIdx, String)>,
    /// Work.
    pub stats: Stats,
    /// States, if asked for.
    pub states: Option<States>,
    /// Every instruction walked, in order, if asked for.
    pub log: Option<Vec<LogLine>>,
}

/// An instruction that was walked.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The instruction.
    pub at: InsnIdx,
    /// How many calls deep.
    pub depth: u8,
    /// Which path, counted from 0.
    pub path: u64,
    /// What was known before it.
    pub before: Frame,
}

impl LogLine {
    /// The instruction and what is known before it, for reading.
    pub fn show(&self, p: &Program) -> String {
        format!("{}: {}    ; {}", self.at.0, ebpf_asm::show(p, self.at), self.before)
    }
}

impl Report {
    /// The log as text, one line an instruction; empty if it was not asked for.
    pub fn log_text(&self, p: &Program) -> String {
        self.log.iter().flatten().map(|line| line.show(p) + "\n").collect()
    }
}

impl fmt::Display for Report {
    /// `accept`, or the finding, or what is not modelled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(finding) = self.findings.first() {
            return write!(f, "{finding}");
        }
        match &self.unsure {
            Some((at, what)) => write!(f, "unsure at {}: {what}", at.0),
            None => f.write_str(self.verdict.name()),
        }
    }
}

/// Why a walk ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A rule is broken.
    Reject { rule: Rule, regs: Vec<Reg>, message: String },
    /// Something is not modelled.
    Unsure(String),
}

/// Longest path that is reported.
const MAX_TRACE: usize = 4096;

/// Says what the verifier of `profile` says of `p`.
pub fn verify(p: &Program, prog: &ProgEnv<'_>, profile: &KernelProfile, o: &Options) -> Report {
    let mut report = Report {
        verdict: Verdict::Accept,
        findings: Vec::new(),
        unsure: None,
        stats: Stats::default(),
        states: None,
        log: None,
    };
    if let Err((at, stop)) = check_whole(p, prog, profile) {
        report.stop(at, vec![at], *stop);
        return report;
    }
    let cfg = match cfg::Cfg::of(p, prog.btf, &transfer::iter_next_calls(p, prog.btf)) {
        Ok(cfg) => cfg,
        Err((at, stop)) => {
            report.stop(at, vec![at], *stop);
            return report;
        }
    };
    let target = match target::of(prog, profile.version) {
        Ok(target) => target,
        Err(stop) => {
            report.stop(InsnIdx(0), vec![InsnIdx(0)], *stop);
            return report;
        }
    };
    let doubt = target.as_ref().and_then(|target| target.doubt.clone());
    let env = env::Env { target, doubt, ..env::Env::new(p, prog, profile, cfg) };
    let mut walk = explore::Walk::new(&env, o);
    let mut entry = StackFrame::new(0, u32::MAX, 0);
    entry.regs[1] = RegState::pointer(RegKind::Ctx, Flags::NONE, 0);
    let mut result = walk.run(0, entry);
    if result.is_ok() {
        result = walk.run_globals();
    }
    if result.is_ok() {
        result = rules::stack_depth::check(&walk);
    }
    if let Err(stop) = result {
        let trace = walk.path(MAX_TRACE);
        report.stop(InsnIdx(walk.pc), trace, *stop);
    } else if let Err((at, stop)) = rules::callback::check_dropped(&walk) {
        report.stop(at, vec![at], *stop);
    } else if let Some((at, what)) = walk.doubt.take() {
        report.stop(at, vec![at], Stop::Unsure(what));
    }
    walk.finish();
    report.stats = walk.stats;
    report.states = walk.states;
    report.log = walk.log;
    report
}

/// What concerns the program as a whole.
fn check_whole(p: &Program, prog: &ProgEnv<'_>, profile: &KernelProfile) -> Result<(), (InsnIdx, Box<Stop>)> {
    let slots =
        p.insns.iter().map(|i| if matches!(i, Insn::LoadImm64 { .. }) { 2u64 } else { 1 }).sum::<u64>();
    if slots > u64::from(profile.limits.insns) {
        let message = format!("{slots} instructions, more than {}", profile.limits.insns);
        return Err((InsnIdx(0), Rule::Complexity.reject(&[], message)));
    }
    if let Some(def) = bpf_facts::prog_type(prog.ty)
        && def.since > profile.version
    {
        let message = format!("{} programs need Linux {}", def.name, def.since);
        return Err((InsnIdx(0), Rule::InstructionKnown.reject(&[], message)));
    }
    let mut used = Vec::new();
    for (i, insn) in p.insns.iter().enumerate() {
        let at = InsnIdx(i as u32);
        let (map, off) = match insn {
            Insn::LoadImm64 { imm: Imm64::MapFd(m), .. } => (m, None),
            Insn::LoadImm64 { imm: Imm64::MapValue(m, off), .. } => (m, Some(*off)),
            _ => continue,
        };
        let Some(shape) = prog.maps.get(map.0 as usize) else {
            return Err((at, Rule::MapUse.reject(&[], format!("there is no map[{}]", map.0))));
        };
        if let Some(off) = off {
            let direct = shape.ty == MapType::Array && shape.max_entries == 1 && off < shape.value_size;
            if shape.ty != MapType::Array {
                return Err((
                    at,
                    Box::new(Stop::Unsure("the address of a value of a map that is no array".into())),
                ));
            }
            if !direct {
                let message = format!("the address of byte {off} of map[{}] cannot be taken", map.0);
                return Err((at, Rule::MapUse.reject(&[], message)));
            }
        }
        if !used.contains(&map.0) {
            used.push(map.0);
            if used.len() > rules::map_use::MAX_MAPS {
                let message = format!("more than {} maps", rules::map_use::MAX_MAPS);
                return Err((at, Rule::MapUse.reject(&[], message)));
            }
            rules::map_use::check(prog, profile.version, map.0, shape).map_err(|e| (at, e))?;
        }
    }
    Ok(())
}

impl Report {
    fn stop(&mut self, at: InsnIdx, trace: Vec<InsnIdx>, stop: Stop) {
        match stop {
            Stop::Reject { rule, regs, message } => {
                self.verdict = Verdict::Reject;
                self.findings.push(Finding { at, rule, regs, message, trace });
            }
            Stop::Unsure(what) => {
                self.verdict = Verdict::Unsure;
                self.unsure = Some((at, what));
            }
        }
    }
}
