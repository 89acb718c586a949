//! `hark asm`, `hark disasm`: raw bytecode and the kernel's assembly dialect.

use crate::{WRONG, usage};
use bpf_facts::HelperId;
use ebpf_asm::{DisplayWith, Jumps, MapRef};
use std::io::{Read, Write};
use std::process::ExitCode;

/// `hark disasm`
#[derive(clap::Args, Debug)]
pub(crate) struct DisasmArgs {
    /// Raw bytecode, or hexadecimal text; - for standard input
    file: String,
}

/// `hark asm`
#[derive(clap::Args, Debug)]
pub(crate) struct AsmArgs {
    /// Assembly; - for standard input
    file: String,
    /// Write here instead of standard output
    #[arg(short = 'o')]
    output: Option<String>,
    /// Write hexadecimal text instead of bytes
    #[arg(long)]
    hex: bool,
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    if path != "-" {
        return std::fs::read(path).map_err(|e| format!("cannot read {path}: {e}"));
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|e| format!("cannot read standard input: {e}"))?;
    Ok(bytes)
}

/// Bytes of hexadecimal text with blanks and comments, if it is that.
fn from_hex(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits: String = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok()).collect()
}

pub(crate) fn disasm(args: &DisasmArgs) -> ExitCode {
    let bytes = match read(&args.file) {
        Ok(bytes) => bytes,
        Err(message) => return usage(&message),
    };
    let bytes = from_hex(&bytes).unwrap_or(bytes);
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return usage(&format!("{}: {} bytes are no whole number of instructions", args.file, bytes.len()));
    }
    match ebpf_asm::decode(slots) {
        Ok(program) => {
            let helper = |id| bpf_facts::helper(HelperId(id)).map(|def| def.name);
            let text =
                DisplayWith { program: &program, jumps: Jumps::Labels, helper: &helper, note: &|_| None };
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("hark: {}: {e}", args.file);
            ExitCode::from(WRONG)
        }
    }
}

pub(crate) fn asm(args: &AsmArgs) -> ExitCode {
    let text = match read(&args.file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(message) => return usage(&message),
    };
    let helper = |name: &str| bpf_facts::helper_by_name(name).map(|def| def.id.0);
    let program = match ebpf_asm::parse_with_helpers(&text, &helper) {
        Ok(program) => program,
        Err(e) => {
            eprintln!("{}:{e}", args.file);
            return ExitCode::from(WRONG);
        }
    };
    let slots = match ebpf_asm::encode(&program, &|MapRef(n)| n as i32) {
        Ok(slots) => slots,
        Err(e) => {
            eprintln!("hark: {}: {e}", args.file);
            return ExitCode::from(WRONG);
        }
    };
    let bytes: Vec<u8> = if args.hex {
        let line =
            |slot: &[u8; 8]| slot.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ") + "\n";
        slots.iter().map(line).collect::<String>().into_bytes()
    } else {
        slots.concat()
    };
    let written = match &args.output {
        Some(path) => std::fs::write(path, &bytes).map_err(|e| format!("cannot write {path}: {e}")),
        None => std::io::stdout().write_all(&bytes).map_err(|e| format!("cannot write: {e}")),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => usage(&message),
    }
}
