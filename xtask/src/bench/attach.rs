//! From the start to "attached", and from the signal to the end, for few probes and for many.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::tracer::Tracer;
use crate::shell::output;

/// How many functions.
const SIZES: &[usize] = &[1, 100, 1000, 5000];

/// Measures each tracer with each number of probes.
pub(crate) fn run(tracers: &[Tracer]) -> Result<String> {
    let mut text = String::from(
        "From the start of the tracer until it is attached, and from Ctrl-C until it is gone. The uprobes are on functions \
         of one generated program; the tracepoints are filtered to one process that does nothing.\n\n",
    );
    text.push_str("| probes | | attached after | gone after |\n|---|---|---|---|\n");
    for n in SIZES {
        for tracer in tracers {
            let program = generate(&tracer.directory(), *n)?;
            let script = format!("uprobe:{}:f_* {{ @ = count(); }}", tracer.inside(&program).display());
            row(&mut text, &format!("{n} uprobes"), tracer, &script)?;
        }
    }
    let idle = Idle::start(tracers)?;
    let script = format!("tracepoint:syscalls:sys_enter_* /pid == {}/ {{ @ = count(); }}", idle.child.id());
    for tracer in tracers {
        row(&mut text, "all `tracepoint:syscalls:sys_enter_*`", tracer, &script)?;
    }
    Ok(text)
}

fn row(text: &mut String, what: &str, tracer: &Tracer, script: &str) -> Result<()> {
    let running = tracer.start(script)?;
    let attach = running.attach;
    let stopped = running.stop()?;
    let line = format!(
        "| {what} | {} | {:.0} ms | {:.0} ms |",
        tracer.name,
        attach.as_secs_f64() * 1e3,
        stopped.detach.as_secs_f64() * 1e3
    );
    println!("{line}");
    let _ = writeln!(text, "{line}");
    Ok(())
}

/// A program of `n` functions `f_0`, `f_1`, ….
fn generate(directory: &Path, n: usize) -> Result<PathBuf> {
    let program = directory.join(format!("hark-many-{n}"));
    let source = program.with_extension("c");
    let mut file = std::io::BufWriter::new(fs::File::create(&source)?);
    for i in 0..n {
        writeln!(file, "__attribute__((noinline)) long f_{i}(long x) {{ return x + {i}; }}")?;
    }
    writeln!(file, "int main(void) {{ return 0; }}")?;
    file.flush()?;
    output(Command::new("cc").args(["-O1", "-o"]).args([&program, &source]))?;
    fs::remove_file(&source)?;
    Ok(program)
}

/// A process that does nothing.
struct Idle {
    child: Child,
}

impl Idle {
    fn start(tracers: &[Tracer]) -> Result<Idle> {
        let load = &tracers.first().context("no tracer")?.load();
        let child = Command::new(load).arg("wait").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        Ok(Idle { child })
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
