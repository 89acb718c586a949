//! A run in which nothing is attached: whoever directs it says which probe fires with which context.
//!
//! It is for simulated kernels, which run a program of any type with whatever context they are given.

use crate::actions::Actions;
use crate::attach::LoadedProgram;
use crate::error::RunError;
use crate::events::Events;
use crate::load::{Maps, RunFacts, load_program};
use crate::losses;
use crate::names::Names;
use crate::output::{Output, OutputFormat};
use crate::selftest::Captured;
use crate::session::run_programs;
use crate::sink::{Buffering, Sink};
use bpf_syscall::{Kernel, TestRun};
use hark_diag::{SourceMap, Style};
use hark_object::{Object, ProbeSpec};
use probe_attach::AttachError;
use std::borrow::Cow;
use std::cell::RefCell;

/// What a rehearsal needs.
#[derive(Clone, Copy)]
pub struct Rehearsal<'a> {
    /// The kernel.
    pub kernel: &'a dyn Kernel,
    /// The compiled script.
    pub object: &'a Object,
    /// Names of what is printed.
    pub names: &'a dyn Names,
    /// For places in messages.
    pub sources: &'a SourceMap,
    /// When the run began, in nanoseconds since boot.
    pub begun_ns: u64,
}

/// A script while it is rehearsed.
pub struct Stage<'a> {
    kernel: &'a dyn Kernel,
    object: &'a Object,
    maps: &'a Maps,
    programs: &'a [LoadedProgram<'a>],
    events: Events<'a>,
    actions: Actions<'a>,
    said: &'a RefCell<Vec<u8>>,
}

/// Loads an object, runs BEGIN, and lets `direct` go on.
///
/// # Errors
/// If something cannot be loaded or a program traps; what `direct` returns.
pub fn rehearse<T>(
    setup: Rehearsal<'_>,
    direct: impl FnOnce(&mut Stage<'_>) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let Rehearsal { kernel, object, names, sources, begun_ns } = setup;
    let facts = RunFacts { begun_ns: Some(begun_ns), ..RunFacts::default() };
    let maps = Maps::create(kernel, object, facts)?;
    let mut programs = Vec::with_capacity(object.programs.len());
    for (i, def) in object.programs.iter().enumerate() {
        let fd = load_program(kernel, object, &maps, def)?;
        let probes = object.probes.iter().filter(|probe| probe.program == i).collect();
        programs.push(LoadedProgram { def: Cow::Borrowed(def), fd, probes, points: Vec::new() });
    }
    let said = RefCell::new(Vec::new());
    let output = Output {
        sink: Sink::new(Box::new(Captured(&said)), Buffering::Full),
        err: Box::new(Captured(&said)),
        format: OutputFormat::Text,
        sources,
        style: Style::Plain,
        warnings: true,
        errors: 0,
    };
    let mut stage = Stage {
        kernel,
        object,
        maps: &maps,
        programs: &programs,
        events: Events::open(kernel, object, &maps)?,
        actions: Actions::new(kernel, object, names, output),
        said: &said,
    };
    run_programs(kernel, &programs, &|spec| matches!(spec, ProbeSpec::Begin))?;
    stage.settle()?;
    direct(&mut stage)
}

impl Stage<'_> {
    /// Fires probe number `probe` of the object with this context, unless the script has ended itself already; returns
    /// whether it has not.
    ///
    /// # Errors
    /// If the program traps or its output cannot be handled.
    pub fn fire(&mut self, probe: usize, ctx: &[u8]) -> Result<bool, RunError> {
        if self.has_ended() {
            return Ok(false);
        }
        let Some(probe) = self.object.probes.get(probe) else {
            return Err(RunError::Object(format!("there is no probe {probe}")));
        };
        let run = TestRun { ctx, ..TestRun::default() };
        let failed =
            |source| RunError::attach(probe, &AttachError::Kernel { probe: probe.name.clone(), source });
        self.kernel.prog_test_run(&self.programs[probe.program].fd, &run).map_err(failed)?;
        self.settle()?;
        Ok(true)
    }

    /// Whether the script has called `exit`.
    pub fn has_ended(&self) -> bool {
        self.actions.exit.is_some()
    }

    /// Runs END, prints the maps and reports losses; returns the exit status.
    ///
    /// # Errors
    /// If a program traps or something cannot be printed.
    pub fn finish(&mut self) -> Result<i32, RunError> {
        let code = self.actions.exit.take();
        run_programs(self.kernel, self.programs, &|spec| matches!(spec, ProbeSpec::End))?;
        self.events.drain_to_the_end(&mut self.actions, self.maps)?;
        self.actions.print_final_maps(self.maps)?;
        self.actions.output.sink.flush()?;
        losses::report(self.programs, &[], self.maps, &mut self.actions)?;
        self.actions.finish()?;
        Ok(self.actions.exit.or(code).unwrap_or(0))
    }

    /// What was printed since this was last asked, on whichever stream.
    ///
    /// # Errors
    /// None that a stream in memory has.
    pub fn take_output(&mut self) -> Result<String, RunError> {
        self.actions.output.sink.flush()?;
        Ok(String::from_utf8_lossy(&std::mem::take(&mut *self.said.borrow_mut())).into_owned())
    }

    fn settle(&mut self) -> Result<(), RunError> {
        self.events.drain(&mut self.actions, self.maps)
    }
}
