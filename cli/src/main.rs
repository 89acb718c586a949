//! The `hark` command: parses arguments, calls one library function, prints, exits.
//!
//! At the top level it takes bpftrace's flags, so that it can stand where `bpftrace` stood; hark's own abilities are
//! subcommands beside them.

mod args;
mod asm;
mod check;
mod dump;
mod engine;
mod explain;
mod features;
mod files;
mod fmt;
mod host;
mod list;
mod packed;
mod run;
mod test;
mod verify;
mod vm;

pub(crate) use args::{BufferMode, Engine, Format, RunArgs, RunMode};
use clap::{CommandFactory, Parser, Subcommand};
use packed::Packed;
use std::process::ExitCode;

/// Exit status where a script or command line is wrong.
pub(crate) const WRONG: u8 = 1;
/// Exit status where loading or attaching fails.
pub(crate) const REFUSED: u8 = 255;
/// Exit status with `--strict` when something was lost.
pub(crate) const INACCURATE: u8 = 3;

/// Tracing for Linux from one small static binary.
#[derive(Parser, Debug)]
#[command(name = "hark", version = concat!("v", env!("CARGO_PKG_VERSION")), args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    override_usage = "hark [OPTIONS] FILE [PARAMETER]...\n       hark [OPTIONS] -e PROGRAM [PARAMETER]...\n       hark COMMAND …"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show what a script becomes at every stage; needs no root
    Dump(dump::Args),
    /// Print raw bytecode as assembly
    Disasm(asm::DisasmArgs),
    /// Turn assembly into raw bytecode
    Asm(asm::AsmArgs),
    /// Explain an error code
    Explain(explain::Args),
    /// Say whether a script fits kernels; needs no root
    Check(check::Args),
    /// Format scripts
    Fmt(fmt::Args),
    /// Show what the kernel can do, or what a script needs
    Features(features::Args),
    /// Say what the kernel's verifier says of bytecode; needs no root
    Verify(verify::Args),
    /// Run the tests that scripts bring with them; needs no root
    Test(test::Args),
    /// Run raw bytecode in hark's own machine
    Vm(vm::Args),
    /// Print completions for a shell
    Completions(CompletionArgs),
}

/// `hark completions`
#[derive(clap::Args, Debug)]
struct CompletionArgs {
    /// Shell
    shell: clap_complete::Shell,
}

fn completions(args: &CompletionArgs) -> ExitCode {
    clap_complete::generate(args.shell, &mut Cli::command(), "hark", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// A script that brings hark with it.
#[derive(Parser, Debug)]
#[command(version = concat!("v", env!("CARGO_PKG_VERSION")))]
#[command(override_usage = "[OPTIONS] [PARAMETER]... [-- OPTION OF THE SCRIPT...]")]
struct PackedCli {
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> ExitCode {
    let refused = |e: clap::Error| {
        let _ = e.print();
        if e.use_stderr() { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
    };
    if let Some(script) = Packed::found() {
        return match PackedCli::try_parse() {
            Ok(PackedCli { run }) => top(run.of_packed(script)),
            Err(e) => refused(e),
        };
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return refused(e),
    };
    match cli.command {
        Some(Command::Dump(args)) => dump::run(&args),
        Some(Command::Disasm(args)) => asm::disasm(&args),
        Some(Command::Asm(args)) => asm::asm(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Completions(args)) => completions(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Fmt(args)) => fmt::run(&args),
        Some(Command::Features(args)) => features::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Test(args)) => test::run(&args),
        Some(Command::Vm(args)) => vm::run(&args),
        None => top(cli.run),
    }
}

/// What `hark` without a subcommand does.
fn top(args: RunArgs) -> ExitCode {
    if let Some(message) = args.unsupported() {
        return usage(&message);
    }
    if args.info {
        return features::run(&features::Args::default());
    }
    if args.list {
        return list::run(&args);
    }
    match args.mode() {
        Ok(RunMode::Format) => fmt::to_output(&args),
        Ok(_) => run::run(args),
        Err(message) => usage(&message),
    }
}

/// Says what is wrong with the command line.
pub(crate) fn usage(message: &str) -> ExitCode {
    eprintln!("hark: {message}");
    eprintln!("HINT: `hark --help` shows how it is called");
    ExitCode::from(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// The manual page, all commands in one.
    fn manual() -> String {
        let mut command = Cli::command();
        command.build();
        let man = clap_mangen::Man::new(command.clone()).date("").source("hark").manual("User Commands");
        let mut page = Vec::new();
        man.render(&mut page).expect("memory");
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let man = clap_mangen::Man::new(sub.clone());
            let name = sub.get_name();
            page.extend(format!(".SH \"HARK {}\"\n", name.to_uppercase()).into_bytes());
            man.render_synopsis_section(&mut page).expect("memory");
            man.render_description_section(&mut page).expect("memory");
            man.render_options_section(&mut page).expect("memory");
        }
        String::from_utf8(page).expect("text")
    }

    #[test]
    fn the_manual_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hark.1");
        let wanted = manual();
        if std::env::var_os("HARK_BLESS").is_some_and(|v| v == "1") {
            std::fs::write(path, &wanted).expect("docs/hark.1 can be written");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == wanted, "docs/hark.1 is out of date: HARK_BLESS=1 cargo test -p hark-cli");
    }

    #[test]
    fn scripts_with_parameters_and_named_options() {
        let cli = Cli::try_parse_from(["hark", "x.bt", "1", "-5", "--", "--latency=3"]).unwrap();
        assert_eq!(
            (cli.run.words, cli.run.named),
            (vec!["x.bt".into(), "1".into(), "-5".into()], vec!["--latency=3".into()])
        );
        let cli = Cli::try_parse_from(["hark", "-e", "BEGIN {}", "a"]).unwrap();
        assert_eq!((cli.run.program.as_deref(), cli.run.words.len()), (Some("BEGIN {}"), 1));
    }

    #[test]
    fn flags_of_bpftrace_are_taken_or_refused_by_name() {
        let parse = |words: &[&str]| {
            let words = ["hark"].iter().chain(words).chain(&["x.bt"]);
            Cli::try_parse_from(words).map(|cli| cli.run).map_err(|e| e.to_string())
        };
        for words in [
            &["--usdt-file-activation"][..],
            &["-k", "-kk"],
            &["--warnings"],
            &["-b"],
            &["--mode", "test"],
            &["--fmt"],
            &["--no-feature", "kprobe_multi,uprobe_multi"],
            &["-d", "ast,codegen"],
            &["--info"],
            &["--probe-filter", "x"],
            &["--traceable-functions", "x"],
        ] {
            let run = parse(words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
            assert!(run.unsupported().is_none() && run.mode().is_ok(), "{words:?}");
        }
        for words in [&["--emit-elf", "x"][..], &["--emit-llvm", "x"], &["--no-feature", "teleport"]] {
            let refusal = parse(words).unwrap_or_else(|e| panic!("{words:?}: {e}")).unsupported();
            assert!(refusal.is_some_and(|text| text.contains(words[0])), "{words:?}");
        }
        assert!(parse(&["--mode", "x"]).is_ok_and(|run| run.mode().is_err()));
        assert!(parse(&["--quite"]).is_err_and(|e| e.contains("--quiet")));
    }
}
