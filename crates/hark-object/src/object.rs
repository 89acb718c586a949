//! The object: everything that a run needs.

use crate::config::Config;
use crate::event::EventDef;
use crate::map::MapDef;
use crate::probe::ProbeSpec;
use bpf_facts::{AttachType, ProgType};
use ebpf_asm::{InsnIdx, Program, SrcLoc};
use hark_diag::Span;

/// A compiled script.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Licence of its programs.
    pub license: String,
    /// Maps, by [`ebpf_asm::MapRef`].
    pub maps: Vec<MapDef>,
    /// Programs.
    pub programs: Vec<ProgramDef>,
    /// What runs when, in source order.
    pub probes: Vec<ProbeDef>,
    /// Events, by the number in their records.
    pub events: Vec<EventDef>,
    /// Source positions, by [`SrcLoc`].
    pub locs: Vec<Span>,
    /// Settings that matter when it runs.
    pub config: Config,
}

/// A program.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramDef {
    /// A name for people: the probe it was compiled for.
    pub name: String,
    /// Type.
    pub ty: ProgType,
    /// What it is to be attached as.
    pub attach_type: AttachType,
    /// Instructions.
    pub code: Program,
    /// The kernel function or hook it is compiled against (fentry, fexit, iter, typed raw tracepoints).
    pub btf_target: Option<BtfTarget>,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// Types of its functions; the kernel wants them where one is called back.
    pub types: Option<ProgramTypes>,
}

/// Type information of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramTypes {
    /// BTF.
    pub btf: Vec<u8>,
    /// First instruction and type id of each function, in order; the first is the program's entry.
    pub functions: Vec<(InsnIdx, u32)>,
}

/// A function or hook in BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfTarget {
    /// Its type id.
    pub btf_id: u32,
    /// Module whose BTF holds it; `None` for vmlinux.
    pub module: Option<String>,
    /// Its name.
    pub name: String,
}

/// A probe of the script and the program it runs. Several probes may share a program.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeDef {
    /// What to attach to.
    pub spec: ProbeSpec,
    /// Index into [`Object::programs`].
    pub program: usize,
    /// Full name as `probe` shows it, with wildcards if it has any.
    pub name: String,
    /// Where the attach point stands.
    pub span: Span,
}

impl Object {
    /// The place in the script that `loc` stands for.
    pub fn span(&self, loc: SrcLoc) -> Option<Span> {
        self.locs.get(loc.0 as usize).copied()
    }
}
