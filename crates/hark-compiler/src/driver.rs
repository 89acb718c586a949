//! One script from text to object.

use crate::ctypes::CTypes;
use crate::lower::{self, Lowered};
use crate::prog_types;
use crate::sema;
use crate::sources;
use crate::target::{Options, Target};
use crate::typed::TypedScript;
use crate::verify;
use bpf_facts::MapType;
use ebpf_asm::MapRef;
use ebpf_codegen::frame::Scratch;
use ebpf_codegen::{CodegenError, Compiled};
use hark_diag::{Code, Diagnostic, FileId, SourceMap, Span};
use hark_object::{Loss, MapRole, Object, ProbeDef, ProgramDef};
use hark_syntax::ast::Script;

/// A compiled script.
#[derive(Debug)]
pub struct Compilation {
    /// The object.
    pub object: Object,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    /// Figures of each program, in order.
    pub stats: Vec<ebpf_codegen::Stats>,
}

/// Compiles the script in `file`.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in order of place.
pub fn compile(
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
) -> Result<Compilation, Vec<Diagnostic>> {
    // Without them, nothing else that is said would help.
    if !options.sources.failures().is_empty() {
        return Err(options.sources.failures().to_vec());
    }
    let (script, mut diags) = sources::parse(map, file, target, &options.sources);
    let front = analyze(&script, target, options, &mut diags)?;
    let lowered = lower(&front, target, options, &mut diags)?;
    let generated = generate(&front.script, &lowered, target, options);
    let compiled = match generated {
        Ok(compiled) => compiled,
        Err(diag) => {
            diags.push(*diag);
            return Err(diags);
        }
    };
    let (object, stats) = assemble(front.script, lowered, compiled);
    let rejected = verify::rejections(&object, &verify::verify_object(&object, target));
    if !rejected.is_empty() {
        diags.extend(rejected);
        return Err(diags);
    }
    Ok(Compilation { object, warnings: diags, stats })
}

/// The script with its meaning.
pub(crate) struct Front {
    pub(crate) script: TypedScript,
    pub(crate) types: CTypes,
}

fn has_errors(diags: &[Diagnostic]) -> bool {
    diags.iter().any(Diagnostic::is_error)
}

pub(crate) fn analyze(
    script: &Script,
    target: &Target,
    options: &Options,
    diags: &mut Vec<Diagnostic>,
) -> Result<Front, Vec<Diagnostic>> {
    let (typed, types, mut more) = sema::analyze(script, target, options);
    // A statement that could not be read may have been the one that assigns it.
    if has_errors(diags) {
        more.retain(|diag| diag.code != Code::UNDEFINED_VARIABLE);
    }
    diags.extend(more);
    if has_errors(diags) {
        diags.sort_by_key(|d| d.primary.as_ref().map(|l| l.span));
        return Err(std::mem::take(diags));
    }
    if typed.units.is_empty() {
        let message = "the script has no probe to run";
        diags.push(Diagnostic::error_without_span(Code::NO_SUCH_PROBE, message));
        return Err(std::mem::take(diags));
    }
    Ok(Front { script: typed, types })
}

pub(crate) fn lower(
    front: &Front,
    target: &Target,
    options: &Options,
    diags: &mut Vec<Diagnostic>,
) -> Result<Lowered, Vec<Diagnostic>> {
    let mut lowered = lower::lower(&front.script, &front.types, target, options);
    diags.append(&mut lowered.diags);
    if has_errors(diags) { Err(std::mem::take(diags)) } else { Ok(lowered) }
}

/// What code generation is told of program `i`.
pub(crate) fn environment(
    script: &TypedScript,
    lowered: &Lowered,
    i: usize,
    target: &Target,
) -> ebpf_codegen::Env {
    ebpf_codegen::Env {
        profile: target.profile.clone(),
        prog: script.units[i].context.prog,
        scratch: scratch(script, lowered, i),
    }
}

/// The memory of program `i` beside the stack.
///
/// Programs of kprobes, tracepoints and perf events exclude each other on a CPU: they share one value. The others may
/// come in between those and each other, and take a free one of several.
fn scratch(script: &TypedScript, lowered: &Lowered, i: usize) -> Scratch {
    /// As deep as such programs may lie over each other on one CPU.
    const LEVELS: u32 = 4;
    let map = MapRef(lowered.shared.maps.len() as u32);
    if !script.units[i].context.preemptible {
        return Scratch::exclusive(map);
    }
    let shared = script.units.iter().any(|unit| !unit.context.preemptible);
    let losses = lowered.shared.maps.iter().position(|map| map.role == MapRole::Losses);
    let exhausted = losses.map(|at| (MapRef(at as u32), Loss::Nested.row(i as u32) * 8));
    Scratch { map, first: u32::from(shared), levels: LEVELS, exhausted }
}

pub(crate) fn codegen_options(options: &Options) -> ebpf_codegen::Options {
    ebpf_codegen::Options {
        disabled_passes: options.disabled_passes.clone(),
        ..ebpf_codegen::Options::default()
    }
}

pub(crate) fn generate(
    script: &TypedScript,
    lowered: &Lowered,
    target: &Target,
    options: &Options,
) -> Result<Vec<Compiled>, Box<Diagnostic>> {
    let codegen = codegen_options(options);
    let mut all = Vec::with_capacity(lowered.modules.len());
    for (i, module) in lowered.modules.iter().enumerate() {
        let env = environment(script, lowered, i, target);
        let span = script.units[i].probes.first().map_or(Span::default(), |p| p.2);
        let compiled =
            ebpf_codegen::compile(module, &env, &codegen).map_err(|e| Box::new(refused(&e, span)))?;
        all.push(compiled);
    }
    Ok(all)
}

/// A refusal of the code generator as the script's author sees it.
pub(crate) fn refused(e: &CodegenError, span: Span) -> Diagnostic {
    match e {
        CodegenError::Unsupported(what) => Diagnostic::error(Code::NEEDS_KERNEL, span, what.to_string()),
        CodegenError::StackTooLarge { .. } | CodegenError::TooManyInsns { .. } => {
            Diagnostic::error(Code::TOO_LARGE, span, format!("this probe is too large: {e}"))
        }
        CodegenError::Invalid(_) | CodegenError::Regalloc(..) | CodegenError::Malformed(_) => {
            Diagnostic::error(Code::INTERNAL, span, format!("internal error: {e}"))
                .with_help("please report it with the output of `hark dump --golden SCRIPT`")
        }
    }
}

pub(crate) fn assemble(
    script: TypedScript,
    lowered: Lowered,
    compiled: Vec<Compiled>,
) -> (Object, Vec<ebpf_codegen::Stats>) {
    let values = (0..compiled.len())
        .filter(|i| compiled[*i].scratch_bytes > 0)
        .map(|i| scratch(&script, &lowered, i))
        .map(|scratch| scratch.first + scratch.levels)
        .max()
        .unwrap_or(0);
    let mut shared = lowered.shared;
    let scratch = compiled.iter().map(|c| c.scratch_bytes).max().unwrap_or(0);
    if scratch > 0 {
        let at = shared.add_scratch(scratch, values);
        debug_assert_eq!(shared.maps[at.0 as usize].ty, MapType::PercpuArray);
    }
    let mut programs = Vec::new();
    let mut probes = Vec::new();
    let mut stats = Vec::new();
    for (unit, compiled) in script.units.into_iter().zip(compiled) {
        let context = &unit.context;
        for (spec, name, span) in unit.probes {
            probes.push((span, ProbeDef { spec, program: programs.len(), name, span }));
        }
        let types = prog_types::of(&compiled);
        programs.push(ProgramDef {
            name: context.probe.to_string(),
            ty: context.prog,
            attach_type: context.attach,
            code: compiled.program,
            btf_target: context.btf_target.clone(),
            sleepable: false,
            types,
        });
        stats.push(compiled.stats);
    }
    let probes = probes.into_iter().map(|(_, probe)| probe).collect();
    let object = Object {
        license: script.config.license.clone(),
        maps: shared.maps,
        programs,
        probes,
        events: shared.events,
        locs: shared.locs,
        config: script.config,
    };
    (object, stats)
}
