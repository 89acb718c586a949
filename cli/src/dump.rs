//! `hark dump`: what a script becomes at every stage.

use crate::{WRONG, files, host, usage};
use ebpf_asm::MapRef;
use hark_compiler::{Options, Stage, Target};
use hark_diag::{Diagnostic, FileId, SourceMap};
use probe_attach::HostCatalog;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// `hark dump`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Stages: ast, types, ir, ir-opt, mir, regalloc, asm, maps, object, verify; several with commas, or all
    #[arg(long, default_value = "asm", value_name = "STAGE,…")]
    stage: String,
    /// Form: text; for asm also raw (bytes), hex, c; for maps, object and verify also json
    #[arg(long, default_value = "text")]
    format: String,
    /// Compile for this kernel version instead of the running one. Types come from --btf, or else from the running
    /// kernel; names and fields of tracepoints always come from the running kernel
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// BTF of that kernel
    #[arg(long, requires = "kernel", value_name = "FILE")]
    btf: Option<String>,
    /// Leave out a pass of the optimiser (`all` for every one)
    #[arg(long = "disable-pass", value_name = "PASS")]
    disabled: Vec<String>,
    /// Show the IR after each run of a pass (`all` for every one)
    #[arg(long, value_name = "PASS", conflicts_with_all = ["golden", "time_passes"])]
    dump_after: Option<String>,
    /// Show how long each part of compilation takes
    #[arg(long, conflicts_with = "golden")]
    time_passes: bool,
    /// Print a test case: the script, and what it becomes at the stages
    #[arg(long)]
    golden: bool,
    /// The program itself
    #[arg(short = 'e', value_name = "PROGRAM")]
    program: Option<String>,
    /// Look for headers in this directory
    #[arg(short = 'I', value_name = "DIR")]
    include_dirs: Vec<String>,
    /// Read the types and constants of this header first
    #[arg(long, value_name = "FILE")]
    include: Vec<String>,
    /// Script and positional parameters
    #[arg(value_name = "FILE", allow_negative_numbers = true)]
    words: Vec<String>,
    /// Options of the script itself
    #[arg(last = true, value_name = "OPTION")]
    named: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut words = args.words.iter();
    let file = if args.program.is_some() { None } else { words.next() };
    let (mut sources, id) = match host::read_script(args.program.as_deref(), file.map(String::as_str)) {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    let target = match &args.kernel {
        None => host::target(Arc::new(HostCatalog::new())),
        Some(kernel) => match host::named_target(kernel, args.btf.as_deref()) {
            Ok(target) => target,
            Err(message) => return usage(&message),
        },
    };
    let mut options = Options {
        disabled_passes: args.disabled.clone(),
        allow_unsafe: true,
        ..host::options(words.cloned().collect())
    };
    options.add_script_words(&args.named);
    options.sources = files::linked(&mut sources, id, &target, &args.include_dirs, &args.include);
    if args.golden {
        let stages = match Stage::list(&args.stage) {
            Ok(stages) => stages,
            Err(message) => return usage(&message),
        };
        return print(&sources, Ok(hark_compiler::golden_case(&stages, &sources, id, &target, &options)));
    }
    if let Some(pass) = &args.dump_after {
        return print(&sources, hark_compiler::after_passes(pass, &sources, id, &target, &options));
    }
    if args.time_passes {
        let start = Instant::now();
        let clock = || start.elapsed().as_nanos() as u64;
        let times = hark_compiler::timed(&sources, id, &target, &options, &clock);
        let line = |(name, ns): (&str, u64)| format!("{name:<10} {:>10.3} ms\n", ns as f64 / 1e6);
        return print(&sources, times.map(|times| times.into_iter().map(line).collect()));
    }
    match args.format.as_str() {
        "text" => print_stages(&args.stage, &sources, id, &target, &options),
        "json" => match Stage::named(&args.stage) {
            Some(stage) => print(&sources, hark_compiler::json(stage, &sources, id, &target, &options)),
            None => usage("--format json takes one stage: maps, object or verify"),
        },
        "raw" | "hex" | "c" => print_code(&args.format, &sources, id, &target, &options),
        other => usage(&format!("unknown form: {other}; forms are text, json, raw, hex and c")),
    }
}

/// Prints a text, or why there is none.
fn print(sources: &SourceMap, text: Result<String, Vec<Diagnostic>>) -> ExitCode {
    match text {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(diags) => {
            host::show(sources, &diags);
            ExitCode::from(WRONG)
        }
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
