//! `hark dump`: what a script becomes at every stage.

use crate::{WRONG, host, usage};
use ebpf_asm::MapRef;
use hark_compiler::{Options, Stage, Target};
use hark_diag::{FileId, SourceMap};
use probe_attach::HostCatalog;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// `hark dump`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Stage: ast, types, ir, ir-opt, mir, regalloc, asm, maps, object, verify
    #[arg(long, default_value = "asm")]
    stage: String,
    /// Form: text; for asm also raw (bytes), hex, c
    #[arg(long, default_value = "text")]
    format: String,
    /// Compile for this kernel version instead of the running one
    #[arg(long)]
    kernel: Option<String>,
    /// BTF of that kernel
    #[arg(long, requires = "kernel")]
    btf: Option<String>,
    /// Leave out a pass of the optimiser (`all` for every one)
    #[arg(long = "disable-pass")]
    disabled: Vec<String>,
    /// The program itself
    #[arg(short = 'e')]
    program: Option<String>,
    /// Script and positional parameters
    words: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut words = args.words.iter();
    let file = if args.program.is_some() { None } else { words.next() };
    let (sources, id) = match host::read_script(args.program.as_deref(), file.map(String::as_str)) {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    let target = match &args.kernel {
        None => host::target(Arc::new(HostCatalog::new())),
        Some(kernel) => match host::named_target(kernel, args.btf.as_deref()) {
            Some(target) => target,
            None => return usage(&format!("not a kernel version: {kernel}")),
        },
    };
    let options = Options {
        disabled_passes: args.disabled.clone(),
        allow_unsafe: true,
        ..host::options(words.cloned().collect())
    };
    match args.format.as_str() {
        "text" => print_stages(&args.stage, &sources, id, &target, &options),
        "raw" | "hex" | "c" => print_code(&args.format, &sources, id, &target, &options),
        other => usage(&format!("unknown form: {other}")),
    }
}

/// Prints the text of each stage of a list; with several, under headings.
pub(crate) fn print_stages(
    list: &str,
    sources: &SourceMap,
    id: FileId,
    target: &Target,
    options: &Options,
) -> ExitCode {
    let stages = match Stage::list(list) {
        Ok(stages) => stages,
        Err(message) => return usage(&message),
    };
    for stage in &stages {
        match hark_compiler::dump(*stage, sources, id, target, options) {
            Ok(text) => {
                let heading =
                    if stages.len() > 1 { format!("== {} ==\n", stage.name()) } else { String::new() };
                let end = if stages.len() > 1 { "\n" } else { "" };
                let _ = write!(std::io::stdout(), "{heading}{text}{end}");
            }
            Err(diags) => {
                host::show(sources, &diags);
                return ExitCode::from(WRONG);
            }
        }
    }
    ExitCode::SUCCESS
}

/// Prints the programs' bytes one after the other. Maps are referred to by their index.
fn print_code(format: &str, sources: &SourceMap, id: FileId, target: &Target, options: &Options) -> ExitCode {
    let compilation = match hark_compiler::compile(sources, id, target, options) {
        Ok(compilation) => compilation,
        Err(diags) => {
            host::show(sources, &diags);
            return ExitCode::from(WRONG);
        }
    };
    let mut out = Vec::new();
    for (i, program) in compilation.object.programs.iter().enumerate() {
        let slots = match ebpf_asm::encode(&program.code, &|MapRef(n)| n as i32) {
            Ok(slots) => slots,
            Err(e) => return usage(&format!("internal error: {}: {e}", program.name)),
        };
        match format {
            "raw" => out.extend(slots.iter().flatten()),
            "hex" => {
                let _ = writeln!(out, "# {}", program.name);
                for slot in &slots {
                    let text: Vec<String> = slot.iter().map(|b| format!("{b:02x}")).collect();
                    let _ = writeln!(out, "{}", text.join(" "));
                }
            }
            _ => {
                let _ = writeln!(
                    out,
                    "/* {} */\nstatic const unsigned char prog_{i}[] = {{",
                    program.name.replace("*/", "* /")
                );
                for slot in &slots {
                    let text: Vec<String> = slot.iter().map(|b| format!("0x{b:02x}")).collect();
                    let _ = writeln!(out, "\t{},", text.join(", "));
                }
                let _ = writeln!(out, "}};");
            }
        }
    }
    let _ = std::io::stdout().write_all(&out);
    ExitCode::SUCCESS
}
