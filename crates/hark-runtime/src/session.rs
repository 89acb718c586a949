//! A run from its first system call to its last.
//!
//! ```text
//!  maps ─▶ programs ─▶ BEGIN ─▶ attach ─▶ "Attached N probes" ─▶ event loop ─▶ detach ─▶ END ─▶ drain ─▶ maps ─▶ losses
//! ```
//!
//! BEGIN programs run before anything is attached, END programs after everything is detached, both in this process.
//! Whatever ends the run (a signal, `exit`, the end of the child or of the traced process), the rest is the same.

use crate::actions::Actions;
use crate::attach::{AttachContext, LoadedProgram, attach_programs, find_places, load_group};
use crate::code::Code;
use crate::error::RunError;
use crate::events::Events;
use crate::load::{Maps, RunFacts};
use crate::losses;
use crate::names::Names;
use crate::notify::{State, notify};
use crate::output::{Output, TextKind};
use crate::selftest;
use crate::unwind::Unwinder;
use bpf_facts::{Feature, KernelProfile};
use bpf_syscall::Kernel;
use bpf_syscall::child::{Child, adopt_orphans, any_left};
use bpf_syscall::limits::{self, Cap};
use bpf_syscall::wait::{Poller, Process, Signal, Signals};
use hark_object::{Catalog, Object, ProbeSpec};
use probe_attach::{Leftovers, Link, Scope, run_once};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Capabilities that a run needs to its end: those for maps and programs, and those to read the names of addresses in
/// the kernel and in processes and files of others, and to end a child.
const KEPT: &[Cap] = &[Cap::Bpf, Cap::Perfmon, Cap::Syslog, Cap::SysPtrace, Cap::DacReadSearch, Cap::Kill];

/// What a run needs.
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a dyn Kernel,
    /// What it can do.
    pub profile: &'a KernelProfile,
    /// Whether it really has a feature that its version promises.
    pub confirm: &'a dyn Fn(Feature) -> bool,
    /// The compiled script.
    pub object: &'a Object,
    /// Where names are looked up that the script attaches to.
    pub catalog: &'a dyn Catalog,
    /// Names of what is printed.
    pub names: &'a dyn Names,
    /// Both streams.
    pub output: Output<'a>,
    /// How to go about it.
    pub options: Options,
    /// A command to trace, still held.
    pub child: Option<Child>,
    /// A process to trace; its end ends the run.
    pub process: Option<Process>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// To see what the script's probes see.
    #[default]
    Run,
    /// To run its `test` probes and say which pass.
    Test,
    /// To run its `bench` probes and say how long they take.
    Bench,
}

/// How to go about a run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What for.
    pub mode: Mode,
    /// Do not say how many probes are attached.
    pub quiet: bool,
    /// Say what is loaded.
    pub verbose: bool,
    /// Load and attach, then leave: nothing of the script is shown.
    pub dry_run: bool,
    /// The process whose stacks are walked by its unwind tables, if it is not the child or the traced one.
    pub unwind_pid: Option<u32>,
    /// The run lasts until all that the child started has ended, too.
    pub follow: bool,
    /// A line to print on standard output once everything is attached, for harnesses that wait for it.
    pub notify: Option<String>,
    /// The socket of a service manager that wants to know: see [`NOTIFY_SOCKET`](crate::NOTIFY_SOCKET).
    pub service: Option<String>,
    /// Whether somebody sees what is said: then long waits are explained.
    pub terminal: bool,
}

/// How a run ended.
#[derive(Debug)]
#[must_use = "the leftovers are to be let go last"]
pub struct Ended {
    /// Exit status: what the script passed to `exit`, else 0.
    pub code: i32,
    /// Whether something was lost.
    pub lost: bool,
    /// What closes slowly and concerns nobody any more.
    pub leftovers: Leftovers,
}

/// What the event loop can be woken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// Records in a ring.
    Records,
    /// A signal to this process.
    Signal,
    /// The end of the child.
    Child,
    /// The end of the traced process.
    Process,
    /// Something that a kernel in this process is to do.
    Kernel,
    /// Word of mapped code.
    Code,
}

impl Wake {
    const ALL: [Wake; 6] =
        [Wake::Records, Wake::Signal, Wake::Child, Wake::Process, Wake::Kernel, Wake::Code];

    fn of(token: u64) -> Option<Wake> {
        Wake::ALL.get(token as usize).copied()
    }
}

/// Runs an object to its end.
///
/// # Errors
/// If something cannot be loaded or attached, or the output not be written. Everything is detached then too.
pub fn run(setup: Setup<'_>) -> Result<Ended, RunError> {
    if setup.options.mode != Mode::Run {
        return selftest::run(setup);
    }
    let Setup { kernel, profile, confirm, object, catalog, names, output, options, mut child, process } =
        setup;
    // Before any thread is made: one that did not inherit the mask would take the signals.
    let signals = Signals::catch(&caught(object, options.follow))?;
    if options.follow {
        adopt_orphans()?;
    }
    let scope = Scope { pid: process.as_ref().map(Process::pid) };
    let cx = AttachContext { kernel, object, catalog, profile, confirm, scope };
    let mut actions = Actions::new(kernel, object, names, output);

    let groups = find_places(&cx, &mut actions.output)?;
    let facts = RunFacts { child_pid: child.as_ref().map_or(0, Child::pid), begun_ns: None };
    let maps = Maps::create(kernel, object, facts)?;
    let mut programs = Vec::with_capacity(groups.len());
    for group in groups {
        programs.push(load_group(&cx, &maps, group)?);
    }
    if options.verbose {
        say_loaded(kernel, &programs, &mut actions.output)?;
    }
    let mut events = Events::open(kernel, object, &maps)?;
    let traced = child.as_ref().map(Child::pid).or(process.as_ref().map(Process::pid));
    let walked = options.unwind_pid.or(traced);
    let mut unwinder = Unwinder::new(kernel, catalog, object, &maps, walked);
    if let Some(unwinder) = &mut unwinder
        && child.is_none()
    {
        unwinder.load(&mut actions.output)?;
    }

    if !options.dry_run {
        run_programs(kernel, &programs, &|spec| matches!(spec, ProbeSpec::Begin))?;
    }
    let (mut attached, n) = attach_programs(&cx, &programs, options.terminal, &mut actions.output)?;
    actions.output.attached(n, options.quiet)?;
    if options.dry_run {
        actions.finish()?;
        return Ok(Ended { code: 0, lost: false, leftovers: attached.detach() });
    }
    if let Some(line) = &options.notify {
        // Whoever waits for it reads standard output, wherever the script's own output goes.
        actions.output.sink.flush()?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(RunError::Output)?;
    }
    notify(options.service.as_deref(), State::Ready);
    let code = Code::listen(kernel, names, object, traced, unwinder.is_some() && traced.is_some());
    // What is left to do: read and write maps, take programs off, look names up, and what the script asks for.
    limits::keep_capabilities(KEPT)?;
    let iterated = read_iterators(kernel, &programs, &attached.links, &mut actions)?;
    match (&mut child, &mut unwinder) {
        // What it has mapped is known only once it is the command.
        (Some(child), Some(unwinder)) => {
            child.release_stopped()?;
            unwinder.load(&mut actions.output)?;
            child.resume()?;
        }
        (Some(child), None) => child.release()?,
        (None, _) => {}
    }
    let on_its_own = attached.links.is_empty() || iterated;
    let alive = Alive { child, process, follow: options.follow };
    let mut this = Loop { kernel, programs: &programs, maps: &maps, signals, alive, code, unwinder };
    this.run(&mut actions, &mut events, on_its_own)?;

    notify(options.service.as_deref(), State::Stopping);
    let missed = attached.missed(kernel, &programs);
    let leftovers = attached.detach();
    // What came after the exit() that ended the run goes here.
    if actions.exit.is_some() {
        events.discard()?;
    }
    // The first exit() ends the run; one in an end probe has the last word on the status.
    let code = actions.exit.take();
    run_programs(kernel, &programs, &|spec| matches!(spec, ProbeSpec::End))?;
    events.drain_to_the_end(&mut actions, &maps)?;
    let code = actions.exit.or(code).unwrap_or(0);
    // What is pinned goes on; its maps are not final.
    if !object.probes.iter().any(|probe| matches!(probe.spec, ProbeSpec::Iter { pin: Some(_), .. })) {
        actions.print_final_maps(&maps)?;
    }
    actions.output.sink.flush()?;
    let lost = losses::report(&programs, &missed, &maps, &mut actions)?;
    actions.finish()?;
    Ok(Ended { code, lost, leftovers })
}

/// The signals that mean something to a run of `object`.
fn caught(object: &Object, follow: bool) -> Vec<Signal> {
    let mut signals = vec![Signal::Interrupt, Signal::Terminate];
    if follow {
        signals.push(Signal::Child);
    }
    if object.probes.iter().any(|probe| matches!(probe.spec, ProbeSpec::SelfSignal { .. })) {
        signals.push(Signal::User1);
    }
    signals
}

/// Runs the programs of such probes, in source order.
pub(crate) fn run_programs(
    kernel: &dyn Kernel,
    programs: &[LoadedProgram<'_>],
    which: &dyn Fn(&ProbeSpec) -> bool,
) -> Result<(), RunError> {
    for program in programs {
        for probe in program.probes.iter().filter(|probe| which(&probe.spec)) {
            run_once(kernel, &program.fd, &probe.name).map_err(|error| RunError::attach(probe, &error))?;
        }
    }
    Ok(())
}

fn say_loaded(
    kernel: &dyn Kernel,
    programs: &[LoadedProgram<'_>],
    output: &mut Output<'_>,
) -> Result<(), RunError> {
    for program in programs {
        let id = kernel.prog_info(&program.fd).map_or(0, |info| info.id);
        let n = program.def.code.insns.len();
        output.say(&format!("Program ID: {id} ({}, {n} instructions)\n", program.def.name))?;
    }
    Ok(())
}

/// Reads iterators to their end, which runs their programs; pins those that ask for it. Whether there were any.
fn read_iterators(
    kernel: &dyn Kernel,
    programs: &[LoadedProgram<'_>],
    links: &[Link],
    actions: &mut Actions<'_>,
) -> Result<bool, RunError> {
    let iterators = programs.iter().flat_map(|program| &program.probes);
    let mut any = false;
    for probe in iterators {
        let ProbeSpec::Iter { pin, .. } = &probe.spec else { continue };
        any = true;
        // An iterator is the only probe of its script.
        let Some(link) = links.first().and_then(Link::fd) else { continue };
        if let Some(pin) = pin {
            let path = pin_path(pin);
            kernel.obj_pin(link.as_fd(), &path)?;
            let text = format!("Program pinned to {}\n", path.display());
            actions.output.sink.buffer.extend_from_slice(text.as_bytes());
            continue;
        }
        let mut text = Vec::new();
        std::fs::File::from(kernel.iter_create(link)?).read_to_end(&mut text).map_err(RunError::Output)?;
        actions.output.text(TextKind::Printf, &mut Vec::new(), |out| out.extend_from_slice(&text));
    }
    Ok(any)
}

fn pin_path(pin: &str) -> PathBuf {
    Path::new("/sys/fs/bpf").join(pin)
}

/// What the run lives as long as.
struct Alive {
    child: Option<Child>,
    process: Option<Process>,
    /// The child's own children count, and theirs.
    follow: bool,
}

impl Alive {
    /// Whether the child has ended, with all that it started if they count.
    fn is_over(&mut self) -> Result<bool, RunError> {
        let Some(child) = &mut self.child else { return Ok(false) };
        if child.try_reap()?.is_none() {
            return Ok(false);
        }
        Ok(!self.follow || !any_left()?)
    }
}

struct Loop<'a> {
    kernel: &'a dyn Kernel,
    programs: &'a [LoadedProgram<'a>],
    maps: &'a Maps,
    signals: Signals,
    alive: Alive,
    code: Code,
    unwinder: Option<Unwinder<'a>>,
}

impl Loop<'_> {
    /// Handles what comes until something ends the run. A run that nothing is attached for and nobody is waited for
    /// ends as soon as what is there is handled.
    fn run(
        &mut self,
        actions: &mut Actions<'_>,
        events: &mut Events<'_>,
        on_its_own: bool,
    ) -> Result<(), RunError> {
        // Programs that are attached may send faster than we take: there is no end to wait for then.
        if on_its_own {
            events.drain(actions, self.maps)?;
        } else {
            events.batch(actions, self.maps)?;
        }
        let waits = self.alive.child.is_some() || self.listens();
        if actions.exit.is_some() || (on_its_own && !waits) {
            return Ok(());
        }
        let poller = Poller::new()?;
        poller.add(self.signals.as_fd(), Wake::Signal as u64)?;
        for fd in events.fds() {
            poller.add(fd, Wake::Records as u64)?;
        }
        self.code.wakes(&poller, Wake::Code as u64)?;
        // One whose children count is told of by signals, as those are.
        if let Some(child) = &self.alive.child
            && !self.alive.follow
        {
            poller.add(child.as_fd(), Wake::Child as u64)?;
        }
        if let Some(process) = &self.alive.process {
            poller.add(process.as_fd(), Wake::Process as u64)?;
        }
        let due = self.kernel.due();
        if let Some(fd) = due {
            poller.add(fd, Wake::Kernel as u64)?;
        }
        let mut ready = Vec::new();
        while actions.exit.is_none() {
            poller.wait(events.patience(), &mut ready)?;
            if ready.is_empty() {
                events.batch(actions, self.maps)?;
            }
            for token in &ready {
                let ends = match Wake::of(*token) {
                    Some(Wake::Records) => {
                        events.gather();
                        events.batch(actions, self.maps)?;
                        false
                    }
                    Some(Wake::Signal) => self.signal()?,
                    Some(Wake::Child) => self.alive.is_over()?,
                    Some(Wake::Process) => true,
                    Some(Wake::Kernel) => {
                        self.kernel.step()?;
                        false
                    }
                    Some(Wake::Code) => {
                        actions.names.hear();
                        if let Some(unwinder) = &mut self.unwinder {
                            // It may have ended since.
                            let _ = unwinder.load(&mut actions.output);
                        }
                        false
                    }
                    None => false,
                };
                if ends {
                    return Ok(());
                }
            }
            // The ring of a kernel in this process wakes nobody: what is in it came by one of the calls above.
            if due.is_some() {
                events.batch(actions, self.maps)?;
            }
        }
        Ok(())
    }

    /// Whether a signal may run a program of the script.
    fn listens(&self) -> bool {
        let mut probes = self.programs.iter().flat_map(|program| &program.probes);
        probes.any(|probe| matches!(probe.spec, ProbeSpec::SelfSignal { .. }))
    }

    /// Whether a signal that came ends the run.
    fn signal(&mut self) -> Result<bool, RunError> {
        while let Some(signal) = self.signals.next()? {
            match signal {
                Signal::Interrupt | Signal::Terminate => return Ok(true),
                Signal::Child => {
                    if self.alive.is_over()? {
                        return Ok(true);
                    }
                    continue;
                }
                _ => {}
            }
            let number = signal.number();
            let same =
                |spec: &ProbeSpec| matches!(spec, ProbeSpec::SelfSignal { signal } if *signal == number);
            run_programs(self.kernel, self.programs, &same)?;
        }
        Ok(false)
    }
}
