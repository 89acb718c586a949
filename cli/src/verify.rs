//! `hark verify`: what the kernel's verifier says of bytecode, without the kernel, or beside it.

mod explain;
mod input;
mod lines;

use crate::{host, usage};
use bpf_facts::{Arch, KernelProfile};
use bpf_input::{Case, Judgement, load, prepare, write_verdict};
use bpf_syscall::{LinuxKernel, LogLevel};
use hark_btf::Btf;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use verifier_sim::{Options, Verdict};

/// Exit status where no verdict could be had.
const UNSURE: u8 = 2;

/// `hark verify`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// An object as clang makes it (file.o), or assembly; - for assembly on standard input
    #[arg(value_name = "FILE", required_unless_present = "jsonl")]
    file: Option<String>,
    /// Read cases from standard input, one JSON object a line, and answer each with a line
    #[arg(long, conflicts_with_all = ["file", "against", "log"])]
    jsonl: bool,
    /// Judge for this kernel, such as 5.10 or 6.1, instead of the running one
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// Types of that kernel; without, those of the running one
    #[arg(long, value_name = "FILE")]
    btf: Option<String>,
    /// Program type of assembly
    #[arg(long = "type", value_name = "TYPE", default_value = "kprobe")]
    ty: String,
    /// Maps that assembly refers to, in order: TYPE,KEY,VALUE,ENTRIES (hash,4,8,16)
    #[arg(long = "map", value_name = "MAP")]
    maps: Vec<String>,
    /// Only this program of the object
    #[arg(long, value_name = "NAME")]
    prog: Option<String>,
    /// Print one JSON line per program
    #[arg(long)]
    json: bool,
    /// Also ask the running kernel, and print both verdicts
    #[arg(long, value_name = "kernel")]
    against: Option<String>,
    /// Print what is known before each instruction walked, and with --against what the kernel knows
    #[arg(long)]
    log: bool,
    /// Print how much work it was
    #[arg(short = 'v', long)]
    verbose: bool,
}

/// The kernel that is judged for.
struct Target {
    profile: KernelProfile,
    btf: Option<Arc<Btf>>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if args.against.as_deref().is_some_and(|against| against != "kernel") {
        return usage("--against takes `kernel`: the running one");
    }
    let target = match target(args) {
        Ok(target) => target,
        Err(message) => return usage(&message),
    };
    if args.jsonl {
        return lines::run(&target, args.kernel.is_some());
    }
    let path = args.file.as_deref().unwrap_or("-");
    let cases = match input::read(path, args, &target) {
        Ok(cases) => cases,
        Err(message) => {
            eprintln!("hark: {path}: {message}");
            return ExitCode::from(UNSURE);
        }
    };
    if cases.is_empty() {
        eprintln!("hark: {path} holds no program{}", args.prog.as_ref().map_or("", |_| " of that name"));
        return ExitCode::from(UNSURE);
    }
    let mut worst = Verdict::Accept;
    for case in &cases {
        let verdict = match case {
            Ok(case) => judge(args, case, &target),
            Err(e) => {
                eprintln!("hark: {path}: {e}");
                Verdict::Unsure
            }
        };
        worst = match (worst, verdict) {
            (Verdict::Reject, _) | (_, Verdict::Reject) => Verdict::Reject,
            (Verdict::Unsure, _) | (_, Verdict::Unsure) => Verdict::Unsure,
            _ => Verdict::Accept,
        };
    }
    ExitCode::from(match worst {
        Verdict::Accept => 0,
        Verdict::Reject => 1,
        Verdict::Unsure => UNSURE,
    })
}

fn target(args: &Args) -> Result<Target, String> {
    let running = host::running_version();
    let profile = match &args.kernel {
        Some(name) => {
            KernelProfile::named(name).ok_or_else(|| format!("not a kernel version: {name}; write 6.1"))?
        }
        None => KernelProfile::of(running, Arch::X86_64),
    };
    // JSON cases name their own types.
    let btf = match &args.btf {
        None if args.jsonl => None,
        None => host::open_btf(&host::running_btf()).ok(),
        Some(path) => Some(host::open_btf(path)?),
    };
    Ok(Target { profile, btf })
}

/// Judges a case, prints what was found.
fn judge(args: &Args, case: &Case, target: &Target) -> Verdict {
    let options = Options { log: args.log, ..Options::default() };
    let judged = case.judge(&target.profile, target.btf.as_deref(), &options);
    let mut out = std::io::stdout().lock();
    if args.log
        && let (Some(report), Some(program)) = (&judged.report, &judged.program)
    {
        let _ = out.write_all(report.log_text(program).as_bytes());
    }
    if args.json {
        let _ = writeln!(out, "{}", write_verdict(&case.name, &judged));
    } else {
        let _ = out.write_all(explain::text(case, &judged, args.verbose).as_bytes());
    }
    if args.against.is_some() {
        let _ = out.write_all(against_kernel(case, &judged, args.log).as_bytes());
    }
    judged.verdict
}

/// What the running kernel says of it; with `log`, after its whole log.
fn against_kernel(case: &Case, judged: &Judgement, log: bool) -> String {
    let kernel = match LinuxKernel::new() {
        Ok(kernel) => kernel,
        Err(e) => return format!("  kernel: cannot be asked: {e}\n"),
    };
    let prepared = match prepare(&kernel, case) {
        Ok(prepared) => prepared,
        Err(e) => return format!("  kernel: cannot be asked: {e}\n"),
    };
    let loaded = load(&kernel, &prepared, case, if log { LogLevel::Full } else { LogLevel::None });
    let full = match &loaded {
        _ if !log => "",
        Ok(loaded) => &loaded.log.text,
        Err(e) => &e.log.text,
    };
    let (verdict, text) = match &loaded {
        Ok(_) => (Some(Verdict::Accept), "accept".to_string()),
        Err(e) if e.is_rejection() => (Some(Verdict::Reject), explain::kernel_text(case, e)),
        Err(e) => (None, format!("cannot be asked: {e}")),
    };
    let agrees = match verdict {
        Some(verdict) if judged.verdict != Verdict::Unsure && verdict != judged.verdict => {
            "  (they disagree)"
        }
        _ => "",
    };
    format!("{full}  kernel: {text}{agrees}\n")
}
