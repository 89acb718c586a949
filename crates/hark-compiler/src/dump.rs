//! Every stage as text: the one function behind `hark dump` and the golden tests.

use crate::driver::{self, Front};
use crate::lower::Lowered;
use crate::sources;
use crate::target::{Options, Target};
use bpf_facts::HelperId;
use ebpf_asm::{DisplayWith, InsnIdx, Jumps};
use ebpf_codegen::Stage as Code;
use hark_diag::{Diagnostic, FileId, SourceMap};
use std::fmt::Write;

/// A stage of compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The syntax tree.
    Ast,
    /// Types of variables and maps.
    Types,
    /// IR as lowered.
    Ir,
    /// IR after optimisation.
    IrOpt,
    /// Machine code on virtual registers.
    Mir,
    /// Machine code with registers.
    Regalloc,
    /// Bytecode with source lines.
    Asm,
    /// Maps.
    Maps,
    /// The whole object.
    Object,
    /// What the verifier simulation says.
    Verify,
}

impl Stage {
    /// Every stage with the name that `hark dump --stage` takes.
    pub const ALL: &[(&str, Stage)] = &[
        ("ast", Stage::Ast),
        ("types", Stage::Types),
        ("ir", Stage::Ir),
        ("ir-opt", Stage::IrOpt),
        ("mir", Stage::Mir),
        ("regalloc", Stage::Regalloc),
        ("asm", Stage::Asm),
        ("maps", Stage::Maps),
        ("object", Stage::Object),
        ("verify", Stage::Verify),
    ];

    /// The stage of a name.
    pub fn named(name: &str) -> Option<Stage> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, stage)| *stage)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }

    /// The stages of a list with commas: our names, `all`, and those that bpftrace's `-d` takes.
    ///
    /// # Errors
    /// Names the stage that does not exist, and those that do.
    pub fn list(text: &str) -> Result<Vec<Stage>, String> {
        let mut stages = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "all" => stages.extend(Self::ALL.iter().map(|(_, stage)| *stage)),
                "parse" => stages.push(Stage::Ast),
                "codegen" => stages.push(Stage::Ir),
                "codegen-opt" => stages.push(Stage::IrOpt),
                "dis" => stages.push(Stage::Asm),
                "libbpf" => stages.push(Stage::Object),
                "verifier" => stages.push(Stage::Verify),
                other => stages.push(Stage::named(other).ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
                    format!("unknown stage: {other}; stages are {} and all", names.join(", "))
                })?),
            }
        }
        let mut seen = Vec::new();
        stages.retain(|stage| {
            !seen.contains(stage) && {
                seen.push(*stage);
                true
            }
        });
        if stages.is_empty() { Err("no stage is named".to_string()) } else { Ok(stages) }
    }
}

/// The text of a stage of the script in `file`.
///
/// # Errors
/// What is wrong with the script, if it does not get as far as the stage.
pub fn dump(
    stage: Stage,
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
) -> Result<String, Vec<Diagnostic>> {
    let (script, mut diags) = sources::parse(map, file, target, &options.sources);
    if stage == Stage::Ast {
        return if diags.iter().any(Diagnostic::is_error) {
            Err(diags)
        } else {
            Ok(hark_syntax::dump(&script))
        };
    }
    let front = driver::analyze(&script, target, options, &mut diags)?;
    if stage == Stage::Types {
        return Ok(types(&front));
    }
    let lowered = driver::lower(&front, target, options, &mut diags)?;
    match stage {
        Stage::Ir => code(&front, &lowered, target, options, Code::Ir),
        Stage::IrOpt => code(&front, &lowered, target, options, Code::IrOpt),
        Stage::Mir => code(&front, &lowered, target, options, Code::Mir),
        Stage::Regalloc => code(&front, &lowered, target, options, Code::Regalloc),
        Stage::Asm => driver::compile(map, file, target, options).map(|c| asm(map, &c.object)),
        Stage::Maps => driver::compile(map, file, target, options).map(|c| hark_object::dump_maps(&c.object)),
        Stage::Object => {
            driver::compile(map, file, target, options).map(|c| hark_object::dump_object(&c.object))
        }
        Stage::Verify => driver::compile(map, file, target, options).map(|c| verdicts(&c.object, target)),
        Stage::Ast | Stage::Types => Ok(String::new()),
    }
}

fn verdicts(object: &hark_object::Object, target: &Target) -> String {
    let reports = crate::verify::verify_object(object, target);
    let mut out = String::new();
    for (program, report) in object.programs.iter().zip(reports) {
        let _ = writeln!(out, "{}: {report}", program.name);
        let stats = &report.stats;
        let _ = writeln!(
            out,
            "  {} instructions walked on {} paths, {} bytes of stack",
            stats.processed, stats.paths, stats.stack
        );
    }
    out
}

fn types(front: &Front) -> String {
    let mut out = String::new();
    for unit in &front.script.units {
        let names: Vec<&str> = unit.probes.iter().map(|(_, name, _)| name.as_str()).collect();
        let _ = writeln!(out, "{}", names.join(", "));
        for var in &unit.vars {
            let _ = writeln!(out, "  ${}: {}", var.name, var.ty);
        }
    }
    for (name, map) in &front.script.maps {
        match &map.key {
            Some(key) => {
                let _ = writeln!(out, "@{name}[{key}]: {}", map.value);
            }
            None => {
                let _ = writeln!(out, "@{name}: {}", map.value);
            }
        }
    }
    out
}

fn code(
    front: &Front,
    lowered: &Lowered,
    target: &Target,
    options: &Options,
    stage: Code,
) -> Result<String, Vec<Diagnostic>> {
    let codegen = driver::codegen_options(options);
    let mut out = String::new();
    for (i, module) in lowered.modules.iter().enumerate() {
        let env = driver::environment(&front.script, lowered, i, target);
        let span = front.script.units[i].probes[0].2;
        let text =
            ebpf_codegen::dump(module, &env, &codegen, stage).map_err(|e| vec![driver::refused(&e, span)])?;
        if i > 0 {
            out.push('\n');
        }
        out.push_str(&text);
    }
    Ok(out)
}

/// Bytecode with the source line that each stretch of it comes from.
pub fn asm(map: &SourceMap, object: &hark_object::Object) -> String {
    let mut out = String::new();
    for (i, program) in object.programs.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let _ = writeln!(out, "; {}", program.name);
        let last = std::cell::Cell::new(None);
        let note = |at: InsnIdx| {
            let span = program.code.loc(at).and_then(|loc| object.span(loc))?;
            if last.replace(Some(span)) == Some(span) {
                return None;
            }
            let source = map.text(span).lines().next().unwrap_or("").trim();
            Some(format!("{}: {source}", map.line_col(span).line))
        };
        let helper = |id| bpf_facts::helper(HelperId(id)).map(|def| def.name);
        let text = DisplayWith { program: &program.code, jumps: Jumps::Labels, helper: &helper, note: &note };
        let _ = write!(out, "{text}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_by_our_names_and_by_theirs() {
        assert_eq!(Stage::list("ast,codegen"), Ok(vec![Stage::Ast, Stage::Ir]));
        assert_eq!(Stage::list("ir-opt, codegen-opt,dis"), Ok(vec![Stage::IrOpt, Stage::Asm]));
        assert_eq!(Stage::list("all").map(|all| all.len()), Ok(Stage::ALL.len()));
        assert!(Stage::list("ast,xyz").is_err_and(|e| e.contains("xyz") && e.contains("regalloc")));
        assert!(Stage::list("").is_err());
        assert!(Stage::ALL.iter().all(|(name, stage)| stage.name() == *name));
    }
}
