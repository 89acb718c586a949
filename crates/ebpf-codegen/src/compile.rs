//! The back end as one function.

use crate::cost::{Cost, cost};
use crate::frame::Scratch;
use crate::ir::validate::{IrError, validate_module};
use crate::ir::{FuncRef, Module};
use crate::isel::Target;
use crate::opt::{self, PassStats};
use crate::regalloc::{self, Allocation, CheckError};
use crate::{emit, frame, isel, mir};
use bpf_facts::{KernelProfile, ProgType, Unsupported};
use ebpf_asm::{Insn, InsnIdx, Program};
use std::fmt;

/// What a program is compiled for.
#[derive(Clone, Debug)]
pub struct Env {
    /// The kernel.
    pub profile: KernelProfile,
    /// Program type.
    pub prog: ProgType,
    /// Values of a per-CPU array map for memory that does not fit on the stack. Each must have at least
    /// [`Compiled::scratch_bytes`] bytes; the map is not used if that is 0.
    pub scratch: Scratch,
}

/// What may be switched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Passes to leave out, by name; `all` leaves out every one.
    pub disabled_passes: Vec<String>,
    /// Record the IR after the pass of this name (or after every pass, for `all`) in [`Compiled::trace`].
    pub dump_after: Option<String>,
    /// Check the allocation even in release builds.
    pub check: bool,
}

/// A compiled module.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The code; the entry is the first instruction.
    pub program: Program,
    /// Where each function of the module begins, in order: what `func_info` of a program with callbacks wants.
    pub functions: Vec<(String, InsnIdx)>,
    /// Bytes wanted of the scratch map's value.
    pub scratch_bytes: u32,
    /// Figures.
    pub stats: Stats,
    /// The IR after passes, as [`Options::dump_after`] asked: heading and text.
    pub trace: Vec<(String, String)>,
}

/// Figures of a compiled module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions in 8-byte slots, as the kernel counts them.
    pub insns: u32,
    /// Bytes of stack of the entry's frame.
    pub stack_bytes: u32,
    /// Values that were spilled.
    pub spills: u32,
    /// Loads of spilled values.
    pub reloads: u32,
    /// Register-to-register moves added by allocation.
    pub moves: u32,
    /// Helper and function calls in the code.
    pub calls: u32,
    /// IR instructions before and after optimisation.
    pub ir_insts: (u32, u32),
    /// What a run of each function costs, in order.
    pub costs: Vec<Cost>,
    /// What each pass did. How long it took is for a [`Trace`](crate::opt::Trace) to measure: this crate has no clock.
    pub passes: Vec<PassStats>,
}

/// Why there is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodegenError {
    /// The IR is not valid: a bug of whoever made it, or of a pass.
    Invalid(Vec<IrError>),
    /// Memory that must be on the stack does not fit there, or the rest exceeds what a per-CPU map may hold.
    StackTooLarge {
        /// Bytes needed.
        need: u32,
        /// Bytes there are.
        have: u32,
        /// Name of the function.
        by: String,
    },
    /// The program is larger than the kernel takes.
    TooManyInsns {
        /// Instructions it has.
        have: u32,
        /// Instructions the kernel takes.
        limit: u32,
    },
    /// The kernel lacks a helper or feature.
    Unsupported(Unsupported),
    /// The allocation is wrong: a bug of the allocator. With the code and its registers as text.
    Regalloc(Vec<CheckError>, String),
    /// The machine code is not well-formed: a bug of instruction selection.
    Malformed(String),
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodegenError::Invalid(errors) => {
                write!(f, "invalid IR")?;
                errors.iter().try_for_each(|e| write!(f, "\n  {e}"))
            }
            CodegenError::StackTooLarge { need, have, by } => {
                write!(f, "{by} needs {need} bytes of memory, there are {have}")
            }
            CodegenError::TooManyInsns { have, limit } => {
                write!(f, "the program has {have} instructions, the kernel takes {limit}")
            }
            CodegenError::Unsupported(what) => what.fmt(f),
            CodegenError::Regalloc(errors, code) => {
                write!(f, "wrong register allocation")?;
                errors.iter().try_for_each(|e| write!(f, "\n  {e}"))?;
                write!(f, "\n{code}")
            }
            CodegenError::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for CodegenError {}

impl From<Unsupported> for CodegenError {
    fn from(what: Unsupported) -> Self {
        CodegenError::Unsupported(what)
    }
}

impl From<frame::TooLarge> for CodegenError {
    fn from(e: frame::TooLarge) -> Self {
        CodegenError::StackTooLarge { need: e.need, have: e.have, by: e.by }
    }
}

/// A stage whose result can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The IR as given.
    Ir,
    /// The IR after optimisation.
    IrOpt,
    /// Machine code on virtual registers.
    Mir,
    /// The same with registers and what was added.
    Regalloc,
    /// The program.
    Asm,
}

/// Bytes of stack kept for spills before slots are laid out; more are taken when needed.
const SPILL_ROOM: u32 = 48;

/// Everything up to allocation.
struct Allocated {
    functions: Vec<(mir::Function, Allocation)>,
    scratch_bytes: u32,
}

/// Compiles a module.
///
/// # Errors
/// See [`CodegenError`]: `Unsupported` and `StackTooLarge` are for the user, the others are bugs.
pub fn compile(module: &Module, env: &Env, options: &Options) -> Result<Compiled, CodegenError> {
    let mut trace = opt::Log::new(options.dump_after.clone());
    let optimised = optimise(module, env, options, &mut trace)?;
    let allocated = allocate(&optimised, env, options)?;
    let (program, starts) = emit::emit(&allocated.functions);
    let names = module.functions.iter().map(|f| f.name.clone());
    let functions = names.zip(starts).collect();
    let mut stats = Stats {
        ir_insts: (count_insts(module), count_insts(&optimised)),
        passes: trace.times(),
        ..Stats::default()
    };
    for (i, (f, allocation)) in allocated.functions.iter().enumerate() {
        if i == 0 {
            stats.stack_bytes = allocation.stack_bytes(f);
        }
        stats.costs.push(cost(f));
        stats.spills += allocation.stats.spilled;
        stats.reloads += allocation.stats.reloads;
        stats.moves += allocation.stats.moves;
    }
    for insn in &program.insns {
        stats.insns += if matches!(insn, Insn::LoadImm64 { .. }) { 2 } else { 1 };
        stats.calls += u32::from(matches!(insn, Insn::Call(_)));
    }
    if stats.insns > env.profile.limits.insns {
        return Err(CodegenError::TooManyInsns { have: stats.insns, limit: env.profile.limits.insns });
    }
    let (scratch_bytes, trace) = (allocated.scratch_bytes, trace.into_texts());
    Ok(Compiled { program, functions, scratch_bytes, stats, trace })
}

/// The text of a stage.
///
/// # Errors
/// As [`compile`].
pub fn dump(module: &Module, env: &Env, options: &Options, stage: Stage) -> Result<String, CodegenError> {
    if stage == Stage::Ir {
        return Ok(compacted(module).to_string());
    }
    let optimised = optimise(module, env, options, &mut opt::Log::new(None))?;
    if stage == Stage::IrOpt {
        return Ok(optimised.to_string());
    }
    let allocated = allocate(&optimised, env, options)?;
    let texts: Vec<String> = match stage {
        Stage::Mir => allocated.functions.iter().map(|(f, _)| f.to_string()).collect(),
        Stage::Regalloc => allocated.functions.iter().map(|(f, a)| regalloc::text(f, a)).collect(),
        Stage::Ir | Stage::IrOpt | Stage::Asm => vec![emit::emit(&allocated.functions).0.to_string()],
    };
    Ok(texts.join("\n"))
}

fn count_insts(m: &Module) -> u32 {
    m.functions.iter().flat_map(|f| f.blocks.iter()).map(|b| b.insts.len() as u32).sum()
}

fn compacted(module: &Module) -> Module {
    let mut out = Module::default();
    for f in module.functions.iter() {
        out.functions.push(f.compacted());
    }
    out
}

fn optimise(
    module: &Module,
    env: &Env,
    options: &Options,
    trace: &mut dyn opt::Trace,
) -> Result<Module, CodegenError> {
    let errors = validate_module(module);
    if !errors.is_empty() {
        return Err(CodegenError::Invalid(errors));
    }
    let plan = opt::Plan { profile: &env.profile, disabled: &options.disabled_passes };
    let mut out = compacted(module);
    for f in out.functions.iter_mut() {
        opt::run(f, &plan, trace);
    }
    let out = opt::without_unused(out);
    if cfg!(debug_assertions) {
        let errors = validate_module(&out);
        if !errors.is_empty() {
            return Err(CodegenError::Invalid(errors));
        }
    }
    Ok(out)
}

fn allocate(module: &Module, env: &Env, options: &Options) -> Result<Allocated, CodegenError> {
    let share = frame::stack_share(module, env.profile.limits.stack);
    let mut functions = Vec::with_capacity(module.functions.len());
    let mut scratch_bytes = 0;
    for i in 0..module.functions.len() {
        let f = &module.functions[FuncRef::new(i)];
        // Spills are known only after allocation, and the room for slots depends on them: try again with less.
        let mut budget = share.saturating_sub(SPILL_ROOM);
        loop {
            let mut placed = f.clone();
            let (layout, end) = frame::place(&mut placed, &env.profile, budget, &env.scratch, scratch_bytes)?;
            let target = Target { profile: &env.profile, prog: env.prog };
            let machine = isel::select(&placed, &layout, target)?;
            let allocation = regalloc::allocate(&machine)
                .map_err(|regalloc::AllocError::Malformed(what)| CodegenError::Malformed(what))?;
            let need = allocation.stack_bytes(&machine);
            if need > share {
                let spills = 8 * allocation.spill_slots;
                if budget == 0 || machine.frame == 0 {
                    return Err(CodegenError::StackTooLarge { need, have: share, by: f.name.clone() });
                }
                budget = share.saturating_sub(spills).min(machine.frame - 8);
                continue;
            }
            if options.check || cfg!(debug_assertions) {
                let errors = regalloc::check(&machine, &allocation);
                if !errors.is_empty() {
                    return Err(CodegenError::Regalloc(errors, regalloc::text(&machine, &allocation)));
                }
            }
            scratch_bytes = end;
            functions.push((machine, allocation));
            break;
        }
    }
    Ok(Allocated { functions, scratch_bytes })
}
