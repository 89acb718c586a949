//! What a program sees of the event that runs it.

use crate::types::{ArgPlace, ArgsType, Space, Type};
use bpf_facts::{Arch, AttachType, ProgType, pt_regs};
use hark_object::{BtfTarget, UsdtArgument};
use std::sync::Arc;

/// What a program sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// `probetype`
    pub probe_type: &'static str,
    /// `probe`
    pub probe: Arc<str>,
    /// Program type.
    pub prog: ProgType,
    /// What it is attached as.
    pub attach: AttachType,
    /// The kernel function it is compiled against.
    pub btf_target: Option<BtfTarget>,
    /// `args`
    pub args: Option<Arc<ArgsType>>,
    /// `retval`
    pub retval: Option<RetVal>,
    /// Offset of `struct pt_regs` in the context, for `argN` and `reg()`; `None` if it has none.
    pub regs: Option<u32>,
    /// Untyped arguments in whole words of the context, instead of registers: offset of the first.
    pub word_args: Option<u32>,
    /// `argN` of a static probe; one that cannot be read says why.
    pub usdt_args: Option<Arc<[Result<UsdtArgument, String>]>>,
    /// `func`
    pub func: Option<FuncSource>,
    /// Addresses in arguments belong to the traced process.
    pub user: bool,
    /// The context of an iterator: `ctx.task` and so on.
    pub ctx: Option<Type>,
    /// Offsets of the pointers in that context which are null when the walk is over: the program runs once more then,
    /// with nothing to look at.
    pub objects: Vec<u32>,
    /// The program outlives the run: what it prints goes to whoever reads the file that it is pinned to.
    pub pinned: bool,
    /// Two runs of programs of this kind may interleave on one CPU.
    pub preemptible: bool,
    /// The kernel filters by process when it is attached with `-p`.
    pub filters_pid: bool,
}

/// Where a return value is.
#[derive(Clone, Debug, PartialEq)]
pub struct RetVal {
    /// Type.
    pub ty: Type,
    /// Place in the context.
    pub place: ArgPlace,
}

/// How `func` is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuncSource {
    /// The instruction pointer of the registers.
    InstructionPointer,
    /// `bpf_get_func_ip`.
    FuncIp,
}

impl Context {
    /// A context of which nothing can be seen.
    pub fn plain(probe_type: &'static str, probe: String, prog: ProgType) -> Self {
        Self {
            probe_type,
            probe: probe.into(),
            prog,
            attach: AttachType::None,
            btf_target: None,
            args: None,
            retval: None,
            regs: None,
            word_args: None,
            usdt_args: None,
            func: None,
            user: false,
            ctx: None,
            objects: Vec::new(),
            pinned: false,
            preemptible: false,
            filters_pid: false,
        }
    }

    /// The memory that untyped addresses belong to.
    pub fn space(&self) -> Space {
        if self.user { Space::User } else { Space::Kernel }
    }
}

/// Offset of argument register `n` in `struct pt_regs`; `None` where arguments are on the stack.
pub(crate) fn arg_register(arch: Arch, n: u32) -> Option<u32> {
    let names: &[&str] = match arch {
        Arch::X86_64 => &["di", "si", "dx", "cx", "r8", "r9"],
        Arch::Aarch64 => &["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"],
    };
    pt_regs(arch, names.get(n as usize)?)
}

/// Offset of the register that holds a function's result.
pub(super) fn return_register(arch: Arch) -> u32 {
    let name = match arch {
        Arch::X86_64 => "ax",
        Arch::Aarch64 => "x0",
    };
    pt_regs(arch, name).expect("bpf-facts has the return register of every architecture")
}
