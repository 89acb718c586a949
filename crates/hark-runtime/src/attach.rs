//! From the probes of an object to attached programs: what does not exist is not loaded.

use crate::error::RunError;
use crate::load::{Maps, load_program, runs_on_request};
use crate::output::Output;
use crate::progress::Progress;
use bpf_facts::{Feature, KernelProfile};
use bpf_syscall::{Kernel, ProgFd};
use hark_diag::{Code, Diagnostic};
use hark_object::{Catalog, MissingProbes, Object, ProbeDef, ProgramDef, is_pattern};
use probe_attach::{
    AttachError, AttachPoint, Leftovers, Link, Method, Program, Scope, attach_all, attach_order, detach_all,
    expand, suggestion,
};
use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

/// Descriptors besides those of attachments.
const SPARE_FILES: u64 = 256;

/// What attaching looks at.
#[derive(Clone, Copy)]
pub(crate) struct AttachContext<'a> {
    pub(crate) kernel: &'a dyn Kernel,
    pub(crate) object: &'a Object,
    pub(crate) catalog: &'a dyn Catalog,
    pub(crate) profile: &'a KernelProfile,
    /// Whether the kernel really has a feature that its version promises.
    pub(crate) confirm: &'a dyn Fn(Feature) -> bool,
    pub(crate) scope: Scope,
}

/// A program and where it is to run.
pub(crate) struct Group<'a> {
    /// Index in [`Object::programs`].
    pub(crate) program: usize,
    /// The probes that share it.
    pub(crate) probes: Vec<&'a ProbeDef>,
    /// Where they are attached.
    pub(crate) points: Vec<AttachPoint>,
}

/// A loaded program.
pub(crate) struct LoadedProgram<'a> {
    pub(crate) def: Cow<'a, ProgramDef>,
    pub(crate) fd: ProgFd,
    pub(crate) probes: Vec<&'a ProbeDef>,
    pub(crate) points: Vec<AttachPoint>,
}

impl LoadedProgram<'_> {
    /// Whether hark itself runs it.
    pub(crate) fn on_request(&self) -> bool {
        self.probes.iter().all(|probe| runs_on_request(&probe.spec))
    }
}

/// Finds the places of every probe, grouped by program in source order. Probes without a place are left out, or an
/// error, as the script's `missing_probes` says. A pattern that matches nothing is no matter by itself: only a block
/// that has no place left at all is.
///
/// # Errors
/// At the first probe that has no place or cannot be looked for.
pub(crate) fn find_places<'a>(
    cx: &AttachContext<'a>,
    output: &mut Output<'_>,
) -> Result<Vec<Group<'a>>, RunError> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut without: Vec<(&ProbeDef, AttachError)> = Vec::new();
    for probe in &cx.object.probes {
        let points = match expand(&probe.spec, cx.catalog) {
            Ok(points) => points,
            Err(error) => {
                if !(error.is_missing() && is_pattern(&probe.spec.to_string())) {
                    tolerate(cx.object, cx.catalog, probe, &error, output)?;
                }
                without.push((probe, error));
                continue;
            }
        };
        match groups.iter_mut().find(|group| group.program == probe.program) {
            Some(group) => {
                group.probes.push(probe);
                group.points.extend(points);
            }
            None => groups.push(Group { program: probe.program, probes: vec![probe], points }),
        }
    }
    // Each block once, at its first attach point.
    let mut told = None;
    for (probe, error) in &without {
        if told != Some(probe.program) && groups.iter().all(|group| group.program != probe.program) {
            told = Some(probe.program);
            drop_block(cx.object, cx.catalog, probe, error, output)?;
        }
    }
    let n: usize = groups.iter().map(|group| group.points.len()).sum();
    if n as u64 > cx.object.config.max_probes {
        return Err(RunError::TooManyProbes { n, max: cx.object.config.max_probes });
    }
    if groups.is_empty() {
        return Err(RunError::NothingToAttach);
    }
    Ok(groups)
}

/// Loads the program of a group, prepared for the way in which it will be attached.
///
/// # Errors
/// As [`load_program`].
pub(crate) fn load_group<'a>(
    cx: &AttachContext<'a>,
    maps: &Maps,
    group: Group<'a>,
) -> Result<LoadedProgram<'a>, RunError> {
    let Some(def) = cx.object.programs.get(group.program) else {
        return Err(RunError::Object(format!("there is no program[{}]", group.program)));
    };
    let mut def = Cow::Borrowed(def);
    let method = Method::choose(&group.points, cx.scope, cx.profile, cx.confirm);
    if let Some(attach_type) = method.attach_type() {
        def.to_mut().attach_type = attach_type;
    }
    let fd = load_program(cx.kernel, cx.object, maps, &def)?;
    Ok(LoadedProgram { def, fd, probes: group.probes, points: group.points })
}

/// Everything that is attached. Dropping it, as happens when a run fails, detaches it all at once.
pub(crate) struct Attached {
    pub(crate) links: Vec<Link>,
    /// The program of each link, as index of those that were attached.
    owners: Vec<usize>,
}

impl Attached {
    /// How many calls the kernel did not run programs for, by program.
    pub(crate) fn missed(&self, kernel: &dyn Kernel, programs: &[LoadedProgram<'_>]) -> Vec<u64> {
        let mut missed = vec![0; programs.len()];
        for (link, owner) in self.links.iter().zip(&self.owners) {
            // Kernels that do not count this say nothing.
            missed[*owner] += link.fds().map(|fd| kernel.link_missed(fd).unwrap_or(0)).sum::<u64>();
        }
        missed
    }

    /// Detaches everything; when this returns no program runs any more, unless the kernel takes them off one by one
    /// and is not through yet.
    pub(crate) fn detach(&mut self) -> Leftovers {
        /// What a user hardly notices, and more than twice what a kernel takes that detaches all at once.
        const PATIENCE: Duration = Duration::from_millis(200);
        detach_all(std::mem::take(&mut self.links), PATIENCE)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach().close_in_background();
    }
}

/// Attaches programs so that those on the same event fire in source order. Returns the links and to how many places.
///
/// # Errors
/// At the first place that the kernel refuses; at one that does not exist, if the script says so.
pub(crate) fn attach_programs(
    cx: &AttachContext<'_>,
    programs: &[LoadedProgram<'_>],
    terminal: bool,
    output: &mut Output<'_>,
) -> Result<(Attached, usize), RunError> {
    let places: usize = programs.iter().map(|program| program.points.len()).sum();
    // Each may take two descriptors on each CPU. That the limit cannot be raised only matters if it is reached.
    let files = places as u64 * 2 * u64::from(cx.kernel.n_possible_cpus()) + SPARE_FILES;
    let _ = bpf_syscall::limits::raise_open_files(files);
    let mut progress = Progress::new(places, terminal);
    // Of one length: the order is that of their indices.
    let (attached, firsts): (Vec<(usize, &LoadedProgram<'_>)>, Vec<&AttachPoint>) = programs
        .iter()
        .enumerate()
        .filter(|(_, program)| !program.on_request())
        .filter_map(|(owner, program)| Some(((owner, program), program.points.first()?)))
        .unzip();
    let mut all = Attached { links: Vec::new(), owners: Vec::new() };
    let mut n =
        programs.iter().filter(|program| program.on_request()).map(|program| program.probes.len()).sum();
    for i in attach_order(&firsts) {
        let (owner, program) = attached[i];
        let handle = Program { fd: &program.fd, ty: program.def.ty, attach_type: program.def.attach_type };
        n += program.points.len();
        let (before, mut last) = (n - program.points.len(), None);
        let err = &mut output.err;
        let mut done = |n: usize| {
            if let Some(text) = progress.add(n) {
                let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
            }
        };
        for result in attach_all(cx.kernel, handle, &program.points, cx.scope, &mut done) {
            match result {
                Ok(link) => {
                    all.links.push(link);
                    all.owners.push(owner);
                }
                Err(error) => {
                    n -= 1;
                    let probe = program.probes.iter().find(|probe| error_is_about(&error, probe));
                    tolerate(cx.object, cx.catalog, probe.unwrap_or(&program.probes[0]), &error, output)?;
                    last = Some(error);
                }
            }
        }
        if let (Some(error), true) = (last, n == before) {
            drop_block(cx.object, cx.catalog, program.probes[0], &error, output)?;
        }
    }
    if n == 0 {
        return Err(RunError::NothingToAttach);
    }
    if let Some(text) = progress.end() {
        let _ = output.err.write_all(text.as_bytes());
    }
    Ok((all, n))
}

fn error_is_about(error: &AttachError, probe: &ProbeDef) -> bool {
    let (AttachError::Missing { probe: name, .. }
    | AttachError::Invalid { probe: name, .. }
    | AttachError::Unsupported { probe: name, .. }
    | AttachError::Catalog { probe: name, .. }
    | AttachError::Kernel { probe: name, .. }) = error;
    *name == probe.name || *name == probe.spec.to_string()
}

/// Lets a missing probe pass if the script allows it, with a warning if it wants one.
fn tolerate(
    object: &Object,
    catalog: &dyn Catalog,
    probe: &ProbeDef,
    error: &AttachError,
    output: &mut Output<'_>,
) -> Result<(), RunError> {
    match object.config.missing_probes {
        MissingProbes::Ignore if error.is_missing() => Ok(()),
        MissingProbes::Warn if error.is_missing() => {
            if !output.warnings {
                return Ok(());
            }
            output.diagnostic(&Diagnostic::warning(Code::NO_SUCH_PROBE, probe.span, error.to_string()))
        }
        MissingProbes::Error | MissingProbes::Warn | MissingProbes::Ignore => {
            let mut refused = RunError::attach(probe, error);
            if let RunError::Attach { failure, .. } = &mut refused
                && failure.missing
                && let Some(hint) = suggestion(&probe.spec, catalog)
            {
                failure.help = Some(hint);
            }
            Err(refused)
        }
    }
}

/// Says that a block runs nowhere, for `error` was the last of its attach points to be missing: an error, a warning or
/// nothing, as the script's `missing_probes` has it.
fn drop_block(
    object: &Object,
    catalog: &dyn Catalog,
    probe: &ProbeDef,
    error: &AttachError,
    output: &mut Output<'_>,
) -> Result<(), RunError> {
    match object.config.missing_probes {
        MissingProbes::Ignore => Ok(()),
        MissingProbes::Warn if !output.warnings => Ok(()),
        MissingProbes::Warn => {
            let message =
                "no attach point of this block exists; it is left out, and what it would do is not done";
            output.diagnostic(&Diagnostic::warning(Code::NO_SUCH_PROBE, probe.span, message))
        }
        MissingProbes::Error => {
            let mut refused = RunError::attach(probe, error);
            if let RunError::Attach { failure, .. } = &mut refused {
                let hint = suggestion(&probe.spec, catalog);
                failure.help = hint.or_else(|| {
                    Some("if that is expected, set `config = { missing_probes = \"warn\" }`".into())
                });
            }
            Err(refused)
        }
    }
}
