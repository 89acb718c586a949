//! Plays tests.

use crate::catalog::TestCatalog;
use crate::compare;
use crate::context::context;
use crate::memory::{Objects, bad};
use crate::syntax::{Assignment, StepKind, Test, Value};
use crate::task::task_image;
use bpf_facts::{Arch, ProgType, ctx_layout};
use ebpf_interp::{SimClock, SimKernel, Task};
use hark_btf::Btf;
use hark_compiler::probes::{Ap, kind_named};
use hark_compiler::{Compilation, Options, Target, compile};
use hark_diag::{Code, Diagnostic, FileId, SourceMap, Span, did_you_mean};
use hark_object::{Object, ProbeDef, ProbeSpec, glob};
use hark_runtime::{Rehearsal, RunError, Stage, rehearse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When a test begins, in nanoseconds since boot.
const BEGIN_NS: u64 = 1_000_000_000;
/// CPUs there are.
const CPUS: u32 = 4;
/// What can be said of a task.
const TASK_KEYS: &[&str] = &["pid", "tid", "ppid", "uid", "gid", "comm", "cpu", "cgroup"];
/// Times that timers may fire in one `after`: more is a mistake.
const MAX_TICKS: u32 = 1_000_000;

/// What tests are run on.
pub struct Setting {
    /// The kernel that the script is compiled for. Its catalogue is asked for what the tests do not name.
    pub target: Target,
    /// Options of the compilation, but for the script's arguments.
    pub options: Options,
}

/// How a test went.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// What went wrong: what is said about it, and how the output differs if it does.
    pub failure: Option<(Diagnostic, String)>,
    /// How long it took.
    pub took: Duration,
}

/// How all tests of a script went.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each test, in order.
    pub verdicts: Vec<Verdict>,
    /// Warnings of the compiler.
    pub warnings: Vec<Diagnostic>,
}

/// A probe that a test fires.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    pub(crate) spec: ProbeSpec,
    /// As `probe` shows it.
    pub(crate) name: String,
    pub(crate) fields: Vec<Assignment>,
}

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Runs those tests of `script` whose name is `wanted`.
///
/// # Errors
/// If the script does not compile, or a test names what there cannot be.
pub fn run(
    sources: &SourceMap,
    script: FileId,
    tests: &[Test],
    wanted: &dyn Fn(&str) -> bool,
    setting: &Setting,
) -> std::result::Result<Report, Vec<Diagnostic>> {
    let mut fired = Vec::new();
    let mut diags = Vec::new();
    for test in tests {
        for step in &test.steps {
            if let StepKind::Fire { probe, probe_span, fields, .. } = &step.kind {
                match parse_probe(probe, *probe_span, fields) {
                    Ok(probe) => fired.push(probe),
                    Err(diag) => diags.push(*diag),
                }
            }
        }
    }
    if !diags.is_empty() {
        return Err(diags);
    }
    #[expect(clippy::arc_with_non_send_sync, reason = "targets share their catalogue by Arc, on one thread")]
    let catalog = Arc::new(TestCatalog::new(Arc::clone(&setting.target.catalog), fired));
    let mut target = setting.target.clone();
    target.catalog = catalog.clone();
    target.n_cpus = CPUS;
    target.pid_namespace = false;
    ebpf_interp::confine(&mut target.profile);
    let mut compiled: BTreeMap<&[String], Compilation> = BTreeMap::new();
    let mut report = Report::default();
    for test in tests.iter().filter(|test| wanted(&test.name)) {
        let begun = Instant::now();
        if !compiled.contains_key(&test.args[..]) {
            let mut options = setting.options.clone();
            options.add_script_words(&test.args);
            let mut compilation = compile(sources, script, &target, &options)?;
            if compiled.is_empty() {
                report.warnings = std::mem::take(&mut compilation.warnings);
            }
            compiled.insert(&test.args, compilation);
        }
        let object = &compiled[&test.args[..]].object;
        let player = Player { test, object, catalog: &catalog, btf: target.btf.get(), sources };
        let failure = match player.play() {
            Ok(()) => None,
            Err(Failure::Test(diag, diff)) => Some((*diag, diff)),
            Err(Failure::Run(error)) => Some((trapped(test, &error), String::new())),
        };
        report.verdicts.push(Verdict { name: test.name.clone(), failure, took: begun.elapsed() });
    }
    Ok(report)
}

fn parse_probe(text: &str, span: Span, fields: &[Assignment]) -> Result<Fired> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let kind = kind_named(kind, span)?;
    let args = if rest.is_empty() { Vec::new() } else { rest.split(':').collect() };
    let spec = kind.parse(&Ap { args, span })?;
    if matches!(spec, ProbeSpec::Begin | ProbeSpec::End) {
        let diag = bad(span, format!("`{text}` fires by itself"));
        return Err(Box::new(
            diag.with_help("begin runs before the first step of a test, end after its last"),
        ));
    }
    if matches!(spec, ProbeSpec::Usdt { .. } | ProbeSpec::Iter { .. }) {
        return Err(bad(span, format!("{} probes cannot be fired by tests", kind.name())));
    }
    Ok(Fired { name: kind.full_name(&spec), spec, fields: fields.to_vec() })
}

fn trapped(test: &Test, error: &RunError) -> Diagnostic {
    let mut diag = error.diagnostic();
    diag.code = Code::TEST_FAILED;
    diag.with_label(test.span, "in this test")
}

enum Failure {
    /// What the test says is not so: a diagnostic, and how output differs.
    Test(Box<Diagnostic>, String),
    /// The script could not be run on.
    Run(RunError),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::Run(error)
    }
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diag: Box<Diagnostic>) -> Failure {
        Failure::Test(diag, String::new())
    }
}

struct Player<'a> {
    test: &'a Test,
    object: &'a Object,
    catalog: &'a TestCatalog,
    btf: Option<&'a Btf>,
    sources: &'a SourceMap,
}

impl Player<'_> {
    fn play(&self) -> std::result::Result<(), Failure> {
        let task = Task {
            pid: 1000,
            tid: 1000,
            ppid: 1,
            uid: 1000,
            gid: 1000,
            comm: "test".into(),
            cgroup: 1,
            address: None,
        };
        let kernel = SimKernel::new(CPUS, Task::default(), SimClock::Set { ns: BEGIN_NS })
            .map_err(RunError::System)?;
        let mut on = On { kernel: &kernel, task, cpu: 0, now: BEGIN_NS, timers: timers(self.object) };
        self.switch(&mut on)?;
        let setup = Rehearsal {
            kernel: &kernel,
            object: self.object,
            names: self.catalog,
            sources: self.sources,
            begun_ns: BEGIN_NS,
        };
        rehearse(setup, |stage| Ok(self.steps(stage, &mut on)))?
    }

    fn steps(&self, stage: &mut Stage<'_>, on: &mut On<'_>) -> std::result::Result<(), Failure> {
        let acts = |kind: &StepKind| matches!(kind, StepKind::Fire { .. } | StepKind::After(_));
        let last = self.test.steps.iter().rposition(|step| acts(&step.kind));
        let mut status = None;
        for (i, step) in self.test.steps.iter().enumerate() {
            match &step.kind {
                StepKind::Task(keys) => {
                    assign(on, keys)?;
                    self.switch(on)?;
                }
                StepKind::After(ns) => after(stage, on, *ns, step.span)?,
                StepKind::Fire { probe, probe_span, times, fields } => {
                    let fired = parse_probe(probe, *probe_span, fields)?;
                    self.fire(stage, on, &fired, *times, *probe_span)?;
                }
                StepKind::Expect { lines, all } => {
                    if status.is_none() && last.is_none_or(|last| i > last) {
                        status = Some(stage.finish()?);
                    }
                    let printed = stage.take_output()?;
                    let expected: Vec<&str> = lines.iter().flat_map(|line| compare::lines(line)).collect();
                    if let Some(diff) = compare::differs(&expected, &compare::lines(&printed), *all) {
                        let message = format!("test \"{}\": other output than expected", self.test.name);
                        let diag = Diagnostic::error(Code::TEST_FAILED, step.span, message);
                        return Err(Failure::Test(Box::new(diag), diff));
                    }
                }
            }
        }
        let code = match status {
            Some(code) => code,
            None => stage.finish()?,
        };
        match self.test.status {
            Some((wanted, span)) if wanted != code => {
                let message = format!("test \"{}\": the exit status is {code}, not {wanted}", self.test.name);
                Err(Box::new(Diagnostic::error(Code::TEST_FAILED, span, message)).into())
            }
            _ => Ok(()),
        }
    }

    /// Lets the kernel run the task.
    fn switch(&self, on: &mut On<'_>) -> std::result::Result<(), Failure> {
        let address = self.btf.and_then(|btf| task_image(on.kernel, btf, &on.task));
        // Without types nobody can look into it.
        on.task.address = Some(address.unwrap_or_else(|| on.kernel.add_memory(&[0; 8])));
        on.kernel.set_task(on.task.clone());
        on.kernel.set_cpu(on.cpu).map_err(RunError::System)?;
        Ok(())
    }

    fn fire(
        &self,
        stage: &mut Stage<'_>,
        on: &On<'_>,
        fired: &Fired,
        times: u64,
        span: Span,
    ) -> std::result::Result<(), Failure> {
        let probes: Vec<(usize, &ProbeDef)> =
            self.object.probes.iter().enumerate().filter(|(_, probe)| matches(probe, fired)).collect();
        if probes.is_empty() {
            let mut diag = *bad(span, format!("the script has no probe at {}", fired.name));
            if let Some(near) = did_you_mean(&fired.name, self.object.probes.iter().map(|p| p.name.as_str()))
            {
                diag = diag.with_help(format!("did you mean `{near}`?"));
            }
            return Err(Box::new(diag).into());
        }
        if stage.has_ended() {
            let diag = bad(span, "the script has ended before this: it called exit()");
            return Err(diag.into());
        }
        let mut objects = Objects::new(self.btf);
        let mut contexts = Vec::new();
        for (i, probe) in &probes {
            let ty = self.object.programs[probe.program].ty;
            contexts.push((*i, context(ty, fired, self.catalog, self.btf, &mut objects)?));
        }
        let addresses = objects.commit(on.kernel);
        for _ in 0..times {
            for (i, context) in &contexts {
                stage.fire(*i, &context.bytes(&addresses))?;
            }
        }
        Ok(())
    }
}

/// The state of the simulated machine.
struct On<'a> {
    kernel: &'a SimKernel,
    task: Task,
    cpu: u32,
    now: u64,
    timers: Vec<Timer>,
}

/// A probe that time makes fire.
struct Timer {
    probe: usize,
    period: u64,
    next: u64,
}

fn timers(object: &Object) -> Vec<Timer> {
    let timer = |(probe, def): (usize, &ProbeDef)| {
        let period = match def.spec {
            ProbeSpec::Interval { period_ns, .. } | ProbeSpec::Profile { period_ns, hz: 0, .. } => period_ns,
            ProbeSpec::Profile { hz, .. } => BEGIN_NS / hz,
            _ => return None,
        };
        (period > 0).then_some(Timer { probe, period, next: BEGIN_NS.saturating_add(period) })
    };
    object.probes.iter().enumerate().filter_map(timer).collect()
}

/// Lets time pass; timers fire when they are due, those due at the same time in the script's order.
fn after(stage: &mut Stage<'_>, on: &mut On<'_>, ns: u64, span: Span) -> std::result::Result<(), Failure> {
    let end = on.now.saturating_add(ns);
    let bytes = ctx_layout(ProgType::PerfEvent, Arch::X86_64).map_or(0, |layout| layout.size as usize);
    for _ in 0..MAX_TICKS {
        let due = on
            .timers
            .iter_mut()
            .filter(|timer| timer.next <= end)
            .min_by_key(|timer| (timer.next, timer.probe));
        let Some(timer) = due else {
            move_clock(on, end)?;
            return Ok(());
        };
        let (at, probe) = (timer.next, timer.probe);
        timer.next = timer.next.saturating_add(timer.period);
        move_clock(on, at)?;
        if !stage.fire(probe, &vec![0; bytes])? {
            move_clock(on, end)?;
            return Ok(());
        }
    }
    Err(bad(span, format!("timers fire more than {MAX_TICKS} times")).into())
}

fn move_clock(on: &mut On<'_>, to: u64) -> std::result::Result<(), RunError> {
    let time = Duration::from_nanos(to.saturating_sub(on.now));
    on.now = to;
    on.kernel.advance(time).map_err(RunError::System)
}

fn assign(on: &mut On<'_>, keys: &[Assignment]) -> Result<()> {
    let names_thread = keys.iter().any(|key| key.name == "tid");
    for Assignment { name, value, span } in keys {
        let number = || match value {
            Value::Number(n) => {
                u64::try_from(*n).map_err(|_| bad(*span, format!("`{name}` is not negative")))
            }
            Value::Text(_) | Value::Struct(..) | Value::List(_) => {
                Err(bad(*span, format!("`{name}` is a number")))
            }
        };
        let small =
            || u32::try_from(number()?).map_err(|_| bad(*span, format!("`{name}` is not that large")));
        match name.as_str() {
            "pid" => {
                on.task.pid = small()?;
                if !names_thread {
                    on.task.tid = on.task.pid;
                }
            }
            "tid" => on.task.tid = small()?,
            "ppid" => on.task.ppid = small()?,
            "uid" => on.task.uid = small()?,
            "gid" => on.task.gid = small()?,
            "cgroup" => on.task.cgroup = number()?,
            "cpu" => {
                let cpu = small()?;
                if cpu >= CPUS {
                    return Err(bad(*span, format!("tests have CPUs 0 to {}", CPUS - 1)));
                }
                on.cpu = cpu;
            }
            "comm" => match value {
                Value::Text(text) => on.task.comm = text.clone(),
                Value::Number(_) | Value::Struct(..) | Value::List(_) => {
                    return Err(bad(*span, "`comm` is a text"));
                }
            },
            other => {
                let mut diag = *bad(*span, format!("a task has no `{other}`"));
                diag = match did_you_mean(other, TASK_KEYS.iter().copied()) {
                    Some(near) => diag.with_help(format!("did you mean `{near}`?")),
                    None => diag.with_help(format!("it has: {}", TASK_KEYS.join(", "))),
                };
                return Err(Box::new(diag));
            }
        }
    }
    Ok(())
}

/// Whether a probe of the script fires: it is what the test names, or a pattern that covers it.
fn matches(probe: &ProbeDef, fired: &Fired) -> bool {
    let (pattern, name) = (probe.spec.to_string(), fired.spec.to_string());
    if probe.spec == fired.spec || glob(&pattern, &name) || glob(&probe.name, &fired.name) {
        return true;
    }
    // Scripts may leave the module out, and tests likewise.
    let ends = |text: &str| {
        let mut parts = text.split(':');
        (parts.next().map(str::to_owned), parts.next_back().map(str::to_owned))
    };
    match (&probe.spec, &fired.spec) {
        (ProbeSpec::Fentry { .. }, ProbeSpec::Fentry { .. })
        | (ProbeSpec::Kprobe { .. }, ProbeSpec::Kprobe { .. }) => {
            let ((a, b), (c, d)) = (ends(&pattern), ends(&name));
            a == c && b.zip(d).is_some_and(|(pattern, name)| glob(&pattern, &name))
        }
        _ => false,
    }
}
