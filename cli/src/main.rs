//! The `hark` command: parses arguments, calls one library function, prints, exits.
//!
//! At the top level it takes bpftrace's flags, so that it can stand where `bpftrace` stood; hark's own abilities are
//! subcommands beside them.

mod asm;
mod dump;
mod explain;
mod host;
mod list;
mod run;

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Exit status where a script or command line is wrong.
pub(crate) const WRONG: u8 = 1;
/// Exit status where loading or attaching fails.
pub(crate) const REFUSED: u8 = 255;

/// Tracing for Linux from one small static binary.
#[derive(Parser, Debug)]
#[command(name = "hark", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    override_usage = "hark [OPTIONS] FILE [PARAMETER]...\n       hark [OPTIONS] -e PROGRAM [PARAMETER]...\n       hark COMMAND …"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// What `hark FILE` and `hark -e PROGRAM` take.
#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// Run this program
    #[arg(short = 'e', value_name = "PROGRAM")]
    program: Option<String>,
    /// List the probes that match FILE taken as a pattern, or those of a script
    #[arg(short = 'l', long)]
    list: bool,
    /// Trace this process only; hark ends with it
    #[arg(short = 'p', long, value_name = "PID", conflicts_with = "cmd")]
    pid: Option<u32>,
    /// Run a command and trace until it ends
    #[arg(short = 'c', long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// Write the script's output to a file
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<String>,
    /// Form of the output
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// When output is written: after each batch of events, when much has gathered, or after each event
    #[arg(short = 'B', value_name = "MODE", default_value = "line")]
    buffering: BufferMode,
    /// Do not say how many probes are attached
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Say what is loaded and attached; with -l, show arguments
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Count failed reads of memory and report them
    #[arg(short = 'k', long = "warnings")]
    failed_reads: bool,
    /// Do not print warnings
    #[arg(long)]
    no_warnings: bool,
    /// Permit functions that change the system
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Load and attach, then leave
    #[arg(long)]
    dry_run: bool,
    /// Run the script's `test` probes and say which pass
    #[arg(long, conflicts_with = "bench")]
    test: bool,
    /// Run the script's `bench` probes and say how long they take
    #[arg(long)]
    bench: bool,
    /// Print this stage of compilation instead of running
    #[arg(short = 'd', value_name = "STAGE")]
    debug: Option<String>,
    /// Accepted for compatibility: BTF is always used
    #[arg(short = 'b', long = "btf", hide = true)]
    btf: bool,
    /// Script and positional parameters
    #[arg(value_name = "FILE", allow_hyphen_values = true)]
    words: Vec<String>,
    /// Named options of the script
    #[arg(last = true, value_name = "OPTION")]
    named: Vec<String>,
}

impl RunArgs {
    fn mode(&self) -> hark_runtime::Mode {
        match (self.test, self.bench) {
            (true, _) => hark_runtime::Mode::Test,
            (_, true) => hark_runtime::Mode::Bench,
            _ => hark_runtime::Mode::Run,
        }
    }
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
}

/// Form of the script's output.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// When output is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BufferMode {
    Line,
    Full,
    None,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(WRONG) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Some(Command::Dump(args)) => dump::run(&args),
        Some(Command::Disasm(args)) => asm::disasm(&args),
        Some(Command::Asm(args)) => asm::asm(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        None if cli.run.list => list::run(&cli.run),
        None => run::run(cli.run),
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
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
}
