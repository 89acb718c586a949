//! `.ir`: the text form of the intermediate representation.

use anyhow::{Context, Result, bail};
use ebpf_asm::MapRef;
use ebpf_codegen::frame::Scratch;
use ebpf_codegen::ir::{self, Module};
use ebpf_codegen::opt::{Log, PASSES, Plan, run_pass};
use ebpf_codegen::{Env, Options, Stage, compile, dump};
use verifier_sim::{MapShape, ProgEnv, verify};

use super::env;
use crate::case::CaseFile;
use crate::golden::{Finding, Stages};

/// IR text: what one pass, or all of the back end, makes of it.
pub(super) struct IrText;

impl Stages for IrText {
    fn keys(&self) -> &[&str] {
        &["kernel", "prog", "maps", "pass", "without"]
    }

    fn names(&self) -> &[&str] {
        &["ir", "ir-opt", "mir", "regalloc", "asm", "verify"]
    }

    fn render(&self, case: &CaseFile, stage: &str) -> Result<String> {
        let mut module = match ir::parse::parse(&case.input_in_place()) {
            Ok(module) => module,
            Err(error) => return Ok(format!("error at {error}\n")),
        };
        let mut maps = env::maps(case)?;
        let target = Env {
            profile: env::profile(case)?,
            prog: env::prog_type(case)?,
            scratch: Scratch::exclusive(MapRef(u32::try_from(maps.len())?)),
        };
        let options =
            Options { disabled_passes: case.strings("without")?, check: true, ..Options::default() };
        if let Some(name) = case.str("pass")? {
            run_one(name, &mut module, &target)?;
        }
        let stage = match stage {
            "ir" => Stage::Ir,
            "ir-opt" => Stage::IrOpt,
            "mir" => Stage::Mir,
            "regalloc" => Stage::Regalloc,
            "asm" => Stage::Asm,
            "verify" => {
                return Ok(match compile(&module, &target, &options) {
                    Ok(compiled) => {
                        if compiled.scratch_bytes > 0 {
                            maps.push(scratch(compiled.scratch_bytes)?);
                        }
                        let prog = ProgEnv::new(target.prog, &maps);
                        let report = verify(&compiled.program, &prog, &target.profile, &Default::default());
                        format!("{report}\n")
                    }
                    Err(error) => format!("error: {error}\n"),
                });
            }
            other => bail!("no stage {other}"),
        };
        Ok(dump(&module, &target, &options, stage).unwrap_or_else(|error| format!("error: {error}\n")))
    }

    fn diagnostics(&self, _case: &CaseFile) -> Result<Option<Vec<Finding>>> {
        Ok(None)
    }
}

/// Runs a single pass over every function.
fn run_one(name: &str, module: &mut Module, target: &Env) -> Result<()> {
    let pass = PASSES.iter().find(|pass| pass.name == name).with_context(|| {
        let known: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
        format!("no pass {name:?}; there are {}", known.join(", "))
    })?;
    let plan = Plan { profile: &target.profile, disabled: &[] };
    for function in module.functions.iter_mut() {
        run_pass(pass, function, &plan, &mut Log::new(None));
    }
    Ok(())
}

/// The map for what does not fit on the stack.
fn scratch(bytes: u32) -> Result<MapShape> {
    let def = bpf_facts::map_type_by_name("percpu_array").context("percpu_array")?;
    Ok(MapShape::new(def.ty, 4, bytes, 1))
}
