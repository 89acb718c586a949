//! `hark vm run`: raw bytecode in hark's own machine.

use crate::{WRONG, usage};
use bpf_syscall::cpus;
use clap::Subcommand;
use ebpf_asm::decode;
use ebpf_interp::{Access, Code, Entry, Memory, SimClock, Task, helpers};
use std::io::Read;
use std::process::ExitCode;

/// `hark vm`
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run bytecode, read as hexadecimal text from standard input, and print r0 in hexadecimal
    ///
    /// Blanks and line ends may stand between bytes. The status is 0 if the program comes to its end; otherwise the
    /// reason stands on standard error. Helpers that need no map do what they would do for a tracing program.
    Run(RunArgs),
}

/// `hark vm run`
#[derive(clap::Args, Debug)]
struct RunArgs {
    /// Memory of the program, in hexadecimal: r1 points to it and r2 is its length. It is the packet, too
    memory: Option<String>,
    /// Take the bytecode from here rather than from standard input
    #[arg(long, value_name = "HEX")]
    program: Option<String>,
    /// Most instructions to execute
    #[arg(long, default_value_t = 1 << 30)]
    fuel: u64,
    /// Say how many instructions were executed
    #[arg(short = 'v', long)]
    verbose: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Command::Run(args) = &args.command;
    let text = match &args.program {
        Some(program) => program.clone(),
        None => {
            let mut text = String::new();
            if let Err(e) = std::io::stdin().read_to_string(&mut text) {
                return usage(&format!("cannot read standard input: {e}"));
            }
            text
        }
    };
    let Some(bytes) = from_hex(&text) else {
        return usage("the program is no hexadecimal text");
    };
    let Some(packet) = from_hex(args.memory.as_deref().unwrap_or_default()) else {
        return usage("the memory is no hexadecimal text");
    };
    let (slots, rest) = bytes.as_chunks::<8>();
    if slots.is_empty() || !rest.is_empty() {
        return usage(&format!("{} bytes are no whole number of instructions", bytes.len()));
    }
    let program = match decode(slots) {
        Ok(program) => program,
        Err(e) => return fail(&e.to_string()),
    };
    let code = Code::new(&program, &|_| None);
    let mut memory = Memory::new();
    let region = memory.add(packet.clone(), Access::ReadWrite);
    let at = if packet.is_empty() { 0 } else { memory.address(region, 0) };
    let entry = Entry { args: [at, packet.len() as u64, 0, 0, 0], packet: &packet, fuel: args.fuel };
    let n_cpus = cpus::possible().map_or(1, |cpus| cpus.len() as u32);
    let mut helpers = helpers(n_cpus, Task::current(), SimClock::Host);
    match ebpf_interp::run(&code, &mut memory, &mut *helpers, entry) {
        Ok(outcome) => {
            println!("{:x}", outcome.r0);
            if args.verbose {
                eprintln!("{} instructions", outcome.executed);
            }
            ExitCode::SUCCESS
        }
        Err(trap) => fail(&trap.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("hark: {why}");
    ExitCode::from(WRONG)
}

/// Bytes written as pairs of digits, with blanks between some of them.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}
