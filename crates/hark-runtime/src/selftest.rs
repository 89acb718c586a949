//! `--test` and `--bench`: programs that a script brings to test and measure itself.

use crate::actions::Actions;
use crate::attach::{AttachContext, LoadedProgram, find_places, load_group};
use crate::error::RunError;
use crate::events::Events;
use crate::load::{Maps, RunFacts};
use crate::output::{Output, OutputFormat};
use crate::render::json;
use crate::session::{Ended, Mode, Setup, run_programs};
use crate::sink::{Buffering, Sink};
use bpf_syscall::Kernel;
use hark_object::ProbeSpec;
use probe_attach::{Leftovers, Scope, run_once};
use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Instant;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Time that a benchmark runs for at least, in nanoseconds.
const ENOUGH_NS: u64 = 1_000_000;

/// A file in memory that two streams write to.
pub(crate) struct Captured<'a>(pub(crate) &'a RefCell<Vec<u8>>);

impl Write for Captured<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs BEGIN, then the tests or benchmarks, then END. Nothing else is attached, and no map is printed.
pub(crate) fn run(setup: Setup<'_>) -> Result<Ended, RunError> {
    let Setup { kernel, object, mut output, options, .. } = setup;
    let cx = AttachContext {
        kernel,
        object,
        catalog: setup.catalog,
        profile: setup.profile,
        confirm: setup.confirm,
        scope: Scope::default(),
    };
    let maps = Maps::create(kernel, object, RunFacts::default())?;
    let mut programs = Vec::new();
    for group in find_places(&cx, &mut output)? {
        if group.probes.iter().any(|probe| takes_part(&probe.spec, options.mode)) {
            programs.push(load_group(&cx, &maps, group)?);
        }
    }
    let said = RefCell::new(Vec::new());
    let quiet = Output {
        sink: Sink::new(Box::new(Captured(&said)), Buffering::Full),
        err: Box::new(Captured(&said)),
        format: OutputFormat::Text,
        sources: output.sources,
        style: output.style,
        warnings: output.warnings,
        errors: 0,
    };
    let mut runner = Runner {
        kernel,
        maps: &maps,
        events: Events::open(kernel, object, &maps)?,
        actions: Actions::new(kernel, object, setup.names, quiet),
        said: &said,
    };
    run_programs(kernel, &programs, &|spec| matches!(spec, ProbeSpec::Begin))?;
    let code = match options.mode {
        Mode::Test => runner.test(&programs, &mut output)?,
        Mode::Bench | Mode::Run => runner.bench(&programs, &mut output)?,
    };
    run_programs(kernel, &programs, &|spec| matches!(spec, ProbeSpec::End))?;
    runner.settle()?;
    if output.format == OutputFormat::Text {
        output.sink.buffer.extend_from_slice(b"\n\n");
    }
    output.sink.flush()?;
    Ok(Ended { code, lost: false, leftovers: Leftovers::default() })
}

fn takes_part(spec: &ProbeSpec, mode: Mode) -> bool {
    match spec {
        ProbeSpec::Begin | ProbeSpec::End => true,
        ProbeSpec::Test(_) => mode == Mode::Test,
        ProbeSpec::Bench(_) => mode == Mode::Bench,
        _ => false,
    }
}

struct Runner<'a> {
    kernel: &'a dyn Kernel,
    maps: &'a Maps,
    events: Events<'a>,
    actions: Actions<'a>,
    said: &'a RefCell<Vec<u8>>,
}

impl Runner<'_> {
    /// Handles what programs sent, and returns what came of it.
    fn settle(&mut self) -> Result<Vec<u8>, RunError> {
        self.events.drain(&mut self.actions, self.maps)?;
        self.actions.finish()?;
        Ok(std::mem::take(&mut *self.said.borrow_mut()))
    }

    /// Runs tests; the exit status is 1 if one fails.
    fn test(&mut self, programs: &[LoadedProgram<'_>], output: &mut Output<'_>) -> Result<i32, RunError> {
        let tests: Vec<_> = named(programs, |spec| match spec {
            ProbeSpec::Test(name) => Some(name),
            _ => None,
        });
        let text = output.format == OutputFormat::Text;
        let mut failed = Vec::new();
        if text {
            line(output, GREEN, "==========", &format!("Running {} tests.", tests.len()));
        }
        for (name, program) in &tests {
            if text {
                line(output, GREEN, " RUN      ", name);
                output.sink.settle()?;
            }
            self.actions.exit = None;
            self.actions.output.errors = 0;
            let begun = Instant::now();
            let code = self.run_once(name, program)?;
            let took = begun.elapsed();
            let said = self.settle()?;
            let passed = code == 0 && self.actions.exit.unwrap_or(0) == 0 && self.actions.output.errors == 0;
            if !passed {
                failed.push(*name);
            }
            if text {
                if !passed {
                    output.sink.buffer.extend_from_slice(&said);
                }
                let (colour, verdict) = if passed { (GREEN, "       OK ") } else { (RED, "  FAILED  ") };
                line(output, colour, verdict, &format!("{name} ({} μs)", took.as_micros()));
            } else {
                json::record("test_result", &mut output.sink.buffer, |out| {
                    out.push(b'{');
                    json::string(name.as_bytes(), out);
                    out.extend(
                        format!(": {{\"duration\": {}, \"passed\": {passed}", took.as_nanos()).bytes(),
                    );
                    out.extend_from_slice(b", \"output\": ");
                    json::string(&said, out);
                    out.extend_from_slice(b"}}");
                });
            }
            output.sink.settle()?;
        }
        if text {
            let count = |n: usize| format!("{n} test{}", if n == 1 { "" } else { "s" });
            line(output, GREEN, "==========", &format!("{} ran.", count(tests.len())));
            line(output, GREEN, "  PASSED  ", &format!("{}.", count(tests.len() - failed.len())));
            if !failed.is_empty() {
                line(output, RED, "  FAILED  ", &format!("{}, listed below:", count(failed.len())));
                failed.iter().for_each(|name| line(output, RED, "  FAILED  ", name));
            }
        }
        Ok(i32::from(!failed.is_empty()))
    }

    /// Runs benchmarks. One that returns something else than 0 is left out.
    fn bench(&mut self, programs: &[LoadedProgram<'_>], output: &mut Output<'_>) -> Result<i32, RunError> {
        let benches: Vec<_> = named(programs, |spec| match spec {
            ProbeSpec::Bench(name) => Some(name),
            _ => None,
        });
        // The kernel's own clock: calling a program takes many times longer than most programs.
        let _stats = self.kernel.enable_stats()?;
        if output.format == OutputFormat::Text {
            let header = format!("{:<41}{:<15}Iterations\n{}\n", "Benchmark", "Time(ns)", "-".repeat(66));
            output.sink.buffer.extend(header.bytes());
        }
        for (name, program) in &benches {
            let Some((ns, n)) = self.measure(name, program)? else { continue };
            let average = ns / n.max(1);
            match output.format {
                OutputFormat::Text => {
                    output.sink.buffer.extend(format!("{name:<41}{average:<15}{n}\n").bytes());
                }
                OutputFormat::Json => json::record("benchmark_result", &mut output.sink.buffer, |out| {
                    out.push(b'{');
                    json::string(name.as_bytes(), out);
                    out.extend(format!(": {{\"average\": {average}, \"iters\": {n}}}}}").bytes());
                }),
            }
            output.sink.settle()?;
        }
        Ok(0)
    }

    /// Nanoseconds and number of runs, more and more until they take long enough to be measured.
    fn measure(&mut self, name: &str, program: &LoadedProgram<'_>) -> Result<Option<(u64, u64)>, RunError> {
        let mut n = 1;
        loop {
            let before = self.kernel.prog_info(&program.fd)?;
            for _ in 0..n {
                if self.run_once(name, program)? != 0 {
                    return Ok(None);
                }
            }
            self.settle()?;
            let after = self.kernel.prog_info(&program.fd)?;
            let ns = after.run_time_ns.saturating_sub(before.run_time_ns);
            let runs = after.run_cnt.saturating_sub(before.run_cnt);
            if ns >= ENOUGH_NS || n >= 1_000_000 {
                return Ok(Some((ns, runs)));
            }
            let room = ENOUGH_NS / ns.max(1);
            n *= [1000, 100, 10].into_iter().find(|factor| *factor <= room).unwrap_or(2);
        }
    }

    fn run_once(&self, name: &str, program: &LoadedProgram<'_>) -> Result<u32, RunError> {
        run_once(self.kernel, &program.fd, name).map_err(|error| RunError::attach(program.probes[0], &error))
    }
}

/// The programs whose probes have names of a kind.
fn named<'p, 'o>(
    programs: &'p [LoadedProgram<'o>],
    name: impl Fn(&'o ProbeSpec) -> Option<&'o String>,
) -> Vec<(&'o str, &'p LoadedProgram<'o>)> {
    let all = programs.iter().flat_map(|program| program.probes.iter().map(move |probe| (*probe, program)));
    all.filter_map(|(probe, program)| Some((name(&probe.spec)?.as_str(), program))).collect()
}

/// `[  PASSED  ] text` with the brackets in colour.
fn line(output: &mut Output<'_>, colour: &str, tag: &str, text: &str) {
    output.sink.buffer.extend(format!("{colour}[{tag}]{PLAIN} {text}\n").bytes());
}
