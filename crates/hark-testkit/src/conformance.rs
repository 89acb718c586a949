//! Cases that say what instructions do: `tests/conformance/*.data`.
//!
//! ```text
//! # prose
//! === name of a case
//! -- asm            assembly, or `-- raw`: bytes in hexadecimal
//! r0 = $a ll
//! exit
//! -- mem            memory that r1 points to and r2 is the length of; may be left out
//! 00 11
//! -- rows           names of what stands for `$name` in the assembly, the result last; then a line for each run
//! a result
//! 0x1 0x1
//! ```
//!
//! Instead of rows a case has `-- result` (one number), `-- trap` (part of the reason why it cannot go on) or
//! `-- refused` (part of the reason why the bytes are no program). `-- no-kernel` says why a result is not compared
//! with what the running kernel computes, as it is otherwise where programs can be loaded.

use anyhow::{Context, Result, bail, ensure};
use bpf_facts::{MapType, ProgType};
use bpf_syscall::{Kernel, LinuxKernel, MapCreate, ProgLoad, TestRun, UpdateMode, probe};
use ebpf_asm::{decode, encode, parse};
use ebpf_interp::{Access, Code, Entry, Memory, NoHelpers};
use std::os::fd::AsRawFd;

/// Instructions that a case may execute.
const FUEL: u64 = 1 << 16;

/// A case.
#[derive(Clone, Debug)]
pub struct Conformance {
    /// What it is about.
    pub name: String,
    source: Source,
    mem: Vec<u8>,
    runs: Vec<Run>,
    on_kernel: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Asm(String),
    Raw(Vec<[u8; 8]>),
}

#[derive(Clone, Debug)]
struct Run {
    /// What stands for which name.
    values: Vec<(String, String)>,
    expect: Expect,
}

#[derive(Clone, Debug)]
enum Expect {
    Result(u64),
    Trap(String),
    Refused(String),
}

/// The cases of a file.
///
/// # Errors
/// The file is malformed.
pub fn cases(text: &str) -> Result<Vec<Conformance>> {
    let mut cases = Vec::new();
    for part in format!("\n{text}").split("\n=== ").skip(1) {
        let (name, body) = part.split_once('\n').context("a case is empty")?;
        cases.push(case(name, body).with_context(|| name.to_owned())?);
    }
    Ok(cases)
}

fn case(name: &str, body: &str) -> Result<Conformance> {
    let mut source = None;
    let mut mem = Vec::new();
    let mut runs = Vec::new();
    let mut on_kernel = true;
    let one = |expect| vec![Run { values: Vec::new(), expect }];
    for block in format!("\n{body}").split("\n-- ").skip(1) {
        let (kind, text) = block.split_once('\n').unwrap_or((block, ""));
        let text = text.trim();
        match kind.trim() {
            "asm" => source = Some(Source::Asm(text.to_owned())),
            "raw" => {
                let bytes = hex(text)?;
                let (slots, rest) = bytes.as_chunks::<8>();
                ensure!(rest.is_empty(), "an instruction has 8 bytes");
                source = Some(Source::Raw(slots.to_vec()));
            }
            "mem" => mem = hex(text)?,
            "result" => runs = one(Expect::Result(number(text)?)),
            "trap" => runs = one(Expect::Trap(text.to_owned())),
            "refused" => runs = one(Expect::Refused(text.to_owned())),
            "rows" => runs = rows(text)?,
            "no-kernel" => {
                ensure!(!text.is_empty(), "`-- no-kernel` needs a reason");
                on_kernel = false;
            }
            other => bail!("unknown block `-- {other}`"),
        }
    }
    ensure!(!runs.is_empty(), "the case expects nothing");
    let source = source.context("the case has no program")?;
    Ok(Conformance { name: name.trim().to_owned(), source, mem, runs, on_kernel })
}

fn rows(text: &str) -> Result<Vec<Run>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let Some(("result", names)) = names.split_last().map(|(last, rest)| (*last, rest)) else {
        bail!("the last column is `result`")
    };
    let mut runs = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        ensure!(cells.len() == names.len() + 1, "a row has another number of columns: {line}");
        let values = names.iter().zip(&cells).map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned()));
        runs.push(Run { values: values.collect(), expect: Expect::Result(number(cells[names.len()])?) });
    }
    Ok(runs)
}

fn hex(text: &str) -> Result<Vec<u8>> {
    text.split_whitespace().map(|pair| Ok(u8::from_str_radix(pair, 16)?)).collect()
}

fn number(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").context("a result is written in hexadecimal: 0x1f")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

/// The running kernel, if it lets us load programs.
pub fn kernel() -> Option<LinuxKernel> {
    LinuxKernel::new().ok().filter(|kernel| probe::may_load(kernel).is_ok())
}

impl Conformance {
    /// Runs it in the interpreter, and in the kernel if there is one and the case is for it.
    ///
    /// # Errors
    /// Says what came out instead.
    pub fn run(&self, kernel: Option<&LinuxKernel>) -> Result<()> {
        for run in &self.runs {
            self.run_once(run, kernel).with_context(|| {
                let values: Vec<_> =
                    run.values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                values.join(", ")
            })?;
        }
        Ok(())
    }

    fn run_once(&self, run: &Run, kernel: Option<&LinuxKernel>) -> Result<()> {
        let slots = match &self.source {
            Source::Raw(slots) => slots.clone(),
            Source::Asm(text) => assemble(&filled(text, &run.values), 0)?,
        };
        let program = match (decode(&slots), &run.expect) {
            (Ok(program), Expect::Result(_) | Expect::Trap(_)) => program,
            (Ok(_), Expect::Refused(why)) => bail!("not refused; expected: {why}"),
            (Err(error), Expect::Refused(why)) => {
                ensure!(
                    error.to_string().contains(why.as_str()),
                    "refused because: {error}; expected: {why}"
                );
                return Ok(());
            }
            (Err(error), _) => bail!("refused: {error}"),
        };
        let mut memory = Memory::new();
        let region = memory.add(self.mem.clone(), Access::ReadWrite);
        let args = [memory.address(region, 0), self.mem.len() as u64, 0, 0, 0];
        let entry = Entry { args, packet: &self.mem, fuel: FUEL };
        let outcome = ebpf_interp::run(&Code::new(&program, &|_| None), &mut memory, &mut NoHelpers, entry);
        match (outcome, &run.expect) {
            (Ok(outcome), Expect::Result(wanted)) => {
                ensure!(outcome.r0 == *wanted, "r0 is {:#x}, expected {wanted:#x}", outcome.r0);
                if let Some(kernel) = kernel
                    && self.on_kernel
                {
                    let theirs = self.on(kernel, run)?;
                    ensure!(theirs == *wanted, "the kernel says {theirs:#x}, expected {wanted:#x}");
                }
            }
            (Err(trap), Expect::Trap(why)) => {
                ensure!(trap.to_string().contains(why.as_str()), "trapped: {trap}; expected: {why}");
            }
            (Ok(outcome), _) => bail!("r0 is {:#x}, expected a trap", outcome.r0),
            (Err(trap), _) => bail!("trapped: {trap}"),
        }
        Ok(())
    }

    /// What the kernel computes: the case becomes a function that is given the value of a map as memory. A run gives 32
    /// bits, so there are two.
    fn on(&self, kernel: &LinuxKernel, run: &Run) -> Result<u64> {
        let text = match &self.source {
            Source::Asm(text) => filled(text, &run.values),
            Source::Raw(slots) => decode(slots)?.to_string(),
        };
        let half = |shift: &str| -> Result<u32> {
            let mut setup = String::new();
            let mut map = None;
            if !self.mem.is_empty() {
                let shape = MapCreate::new("memory", MapType::Array, 4, self.mem.len() as u32, 1);
                let fd = kernel.map_create(&shape)?;
                kernel.map_update(&fd, &[0; 4], &self.mem, UpdateMode::Any)?;
                setup = format!("r1 = map_value[0]+0 ll\nr2 = {}\n", self.mem.len());
                map = Some(fd);
            }
            let text = format!("{setup}call the_case\n{shift}exit\nthe_case:\n{text}");
            let slots = assemble(&text, map.as_ref().map_or(0, AsRawFd::as_raw_fd))?;
            let load = ProgLoad::new("conformance", ProgType::SocketFilter, &slots);
            let loaded = kernel
                .prog_load(&load)
                .map_err(|error| anyhow::anyhow!("the kernel: {error}\n{}\n{text}", error.log.text))?;
            let test = TestRun { data: &[0; 64], ..TestRun::default() };
            Ok(kernel.prog_test_run(&loaded.prog, &test)?.retval)
        };
        Ok(u64::from(half("r0 >>= 32\n")?) << 32 | u64::from(half("")?))
    }
}

fn filled(text: &str, values: &[(String, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
}

/// Assembles a text whose only map has this descriptor.
fn assemble(text: &str, map: i32) -> Result<Vec<[u8; 8]>> {
    let program = parse(text).map_err(|error| anyhow::anyhow!("{error}\n{text}"))?;
    encode(&program, &|_| map).map_err(|error| anyhow::anyhow!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<()> {
        cases(text)?.iter().try_for_each(|case| case.run(None))
    }

    #[test]
    fn a_wrong_result_fails() {
        let case = |rows: &str| format!("=== x\n-- asm\nr0 = $a\nexit\n-- rows\na result\n{rows}\n");
        assert!(run(&case("3 0x3")).is_ok());
        assert!(run(&case("3 0x3\n4 0x3")).is_err_and(|e| format!("{e:#}").contains("a = 4: r0 is 0x4")));
        assert!(run("=== x\n-- asm\nr0 = 0\nexit\n-- trap\nx\n").is_err());
        assert!(run("=== x\n-- asm\nr0 = 0\nexit\n-- refused\nx\n").is_err());
        assert!(run("=== x\n-- asm\nr0 = 0\n-- trap\nx\n").is_err());
    }

    #[test]
    fn malformed_files_are_errors() {
        for text in [
            "=== x\n-- asm\nexit\n",
            "=== x\n-- result\n0x0\n",
            "=== x\n-- what\n",
            "=== x\n-- raw\n95\n-- result\n0x0",
        ] {
            assert!(cases(text).is_err(), "{text}");
        }
    }
}
