//! `hark FILE`, `hark -e PROGRAM`: compile, load, attach, print until the end.

use crate::engine::{Candidates, Refusal};
use crate::packed::Packed;
use crate::{BufferMode, Format, INACCURATE, REFUSED, RunArgs, RunMode, WRONG, files, host, usage};
use bpf_syscall::child::{Child, split_words};
use bpf_syscall::wait::Process;
use hark_compiler::Options;
use hark_diag::{FileId, SourceFile, SourceMap};
use hark_runtime::{Buffering, Ended, HostNames, Output, OutputFormat, RunError, Setup, Sink};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Largest process id (`PID_MAX_LIMIT`, include/linux/threads.h).
const PID_MAX: u32 = 4 << 20;

/// What a harness sets to be told when everything is attached.
const NOTIFY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

pub(crate) fn run(args: RunArgs) -> ExitCode {
    let (mut sources, id, positional) = match args.script() {
        Ok(script) => script,
        Err(message) => return usage(&message),
    };
    if args.pid.is_some_and(|pid| pid > PID_MAX || pid == 0) {
        return usage("there is no such process id");
    }
    let catalog = args.catalog();
    let probe_filter = match args.filter() {
        Ok(filter) => filter,
        Err(message) => return usage(&message),
    };
    let mut target = host::target(catalog.clone());
    let without = args.without_features();
    without.iter().for_each(|feature| target.profile.set(*feature, false));
    let candidates = Candidates::new(args.engine);
    if candidates.will_embed() {
        ebpf_interp::confine(&mut target.profile);
    }
    let mut options = Options {
        allow_unsafe: args.allow_unsafe,
        warn_failed_reads: args.failed_reads > 0,
        pid_filter: args.pid,
        probe_filter,
        unwinds: args.pid.or(args.dwarf_pid).is_some() || args.cmd.is_some(),
        ..host::options(positional.to_vec())
    };
    options.add_script_words(&args.named);
    options.sources = files::linked(&mut sources, id, &target, &args.include_dirs, &args.include);
    if !args.debug.is_empty() {
        return crate::dump::print_stages(&args.debug.join(","), &sources, id, &target, &options);
    }
    let compilation = match hark_compiler::compile(&sources, id, &target, &options) {
        Ok(compilation) => compilation,
        Err(diags) => {
            host::show(&sources, &diags);
            return ExitCode::from(WRONG);
        }
    };
    if !args.no_warnings {
        host::show(&sources, &compilation.warnings);
    }
    if let Some(path) = &args.aot {
        return pack(path, &sources, id, args.allow_unsafe);
    }
    let mode = match args.mode() {
        Ok(RunMode::Compile) => return ExitCode::SUCCESS,
        Ok(RunMode::Test) => hark_runtime::Mode::Test,
        Ok(RunMode::Bench) => hark_runtime::Mode::Bench,
        Ok(RunMode::Run | RunMode::Format) => hark_runtime::Mode::Run,
        Err(message) => return usage(&message),
    };
    let engine = match candidates.choose(&compilation.object, target.n_cpus, &target.btf) {
        Ok(engine) => engine,
        Err(Refusal::System(e)) => return fail(&sources, &RunError::System(e)),
        Err(Refusal::Lacking(what)) => return usage(&format!("--engine sim: {what} needs the kernel")),
    };
    let child = match args.cmd.as_deref().map(spawn).transpose() {
        Ok(child) => child,
        Err(message) => return usage(&message),
    };
    let process = match args.pid.map(Process::open).transpose() {
        Ok(process) => process,
        Err(e) => return fail(&sources, &RunError::System(e)),
    };
    let sink: Box<dyn Write> = match &args.output {
        None => Box::new(std::io::stdout()),
        Some(path) => match File::create(path) {
            Ok(file) => Box::new(file),
            Err(e) => return usage(&format!("cannot write {path}: {e}")),
        },
    };
    let buffering = match args.buffering {
        BufferMode::Line => Buffering::Line,
        BufferMode::Full => Buffering::Full,
        BufferMode::None => Buffering::None,
    };
    let output = Output {
        sink: Sink::new(sink, buffering),
        err: Box::new(std::io::stderr()),
        format: match args.format {
            Format::Text => OutputFormat::Text,
            Format::Json => OutputFormat::Json,
        },
        sources: &sources,
        style: host::style(),
        warnings: !args.no_warnings,
        errors: 0,
    };
    let names = HostNames::for_config(&compilation.object.config).with_debug_dirs(args.debug_dirs());
    let confirm = |feature| !without.contains(&feature) && engine.confirms(feature);
    let setup = Setup {
        kernel: engine.kernel(),
        profile: &target.profile,
        confirm: &confirm,
        object: &compilation.object,
        catalog: &*catalog,
        names: &names,
        output,
        options: hark_runtime::Options {
            mode,
            quiet: args.quiet,
            unwind_pid: args.dwarf_pid,
            follow: args.follow,
            verbose: args.verbose,
            dry_run: args.dry_run,
            notify: std::env::var_os(NOTIFY).map(|_| NOTIFY.to_string()),
            service: std::env::var(hark_runtime::NOTIFY_SOCKET).ok(),
            terminal: std::io::stderr().is_terminal(),
        },
        child,
        process,
    };
    match hark_runtime::run(setup) {
        Ok(Ended { code, lost, leftovers }) => {
            leftovers.close_in_background();
            if lost && args.strict { ExitCode::from(INACCURATE) } else { ExitCode::from(code as u8) }
        }
        Err(e) if e.is_broken_pipe() => ExitCode::SUCCESS,
        Err(e) => {
            if args.verbose
                && let RunError::Rejected { log, .. } = &e
            {
                eprintln!("{log}");
            }
            fail(&sources, &e)
        }
    }
}

fn fail(sources: &SourceMap, e: &RunError) -> ExitCode {
    host::show(sources, &[e.diagnostic()]);
    // A probe that does not exist is a mistake of the script; what the kernel refuses is not.
    let mistake = match e {
        RunError::Attach { failure, .. } => !failure.refused,
        RunError::NothingToAttach | RunError::TooManyProbes { .. } => true,
        _ => false,
    };
    ExitCode::from(if mistake { WRONG } else { REFUSED })
}

fn spawn(command: &str) -> Result<Child, String> {
    let words = split_words(command).map_err(|e| format!("-c: {e}"))?;
    Child::spawn_held(&words).map_err(|e| format!("-c {command}: {e}"))
}

/// Writes an executable that runs the script.
fn pack(path: &str, sources: &SourceMap, id: FileId, allow_unsafe: bool) -> ExitCode {
    // The script's own comes first.
    let others: Vec<&str> = sources.files().skip(1).map(|file| file.name.as_str()).collect();
    if !others.is_empty() {
        return usage(&format!("--aot packs one file, and the script takes in {}", others.join(", ")));
    }
    let SourceFile { name, text, .. } = sources.file(id).clone();
    let script = Packed { name, text, allow_unsafe };
    match script.write(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => usage(&format!("cannot write {path}: {e}")),
    }
}
