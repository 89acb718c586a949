//! From probe blocks to units: which attach points share a program.

use super::walk::{walk_block, walk_expr};
use crate::ctypes::CTypes;
use crate::probes::{Ap, Context, ContextCx, ContextError, ProbeKind, kind_named};
use crate::target::{Options, Target};
use crate::user_types;
use bpf_facts::Feature;
use hark_diag::{Code, Diagnostic, Severity, Span};
use hark_object::{Config, MissingProbes, ProbeSpec, UserLocation, is_pattern};
use hark_syntax::ast::{self, ExprKind};
use std::sync::Arc;

/// A body and the attach points it is compiled for.
pub(super) struct UnitSource<'a> {
    pub(super) probe: &'a ast::Probe,
    pub(super) probes: Vec<(ProbeSpec, String, Span)>,
    pub(super) context: Arc<Context>,
}

/// What a body asks of its attach point.
#[derive(Default)]
struct Needs {
    args: bool,
    probe_name: bool,
    /// `arg0`, `arg1`…: they differ between the places of a static probe.
    words: bool,
    /// `func`
    func: bool,
}

pub(super) fn find<'a>(
    script: &'a ast::Script,
    target: &Target,
    options: &Options,
    types: &mut CTypes,
    config: &Config,
    diags: &mut Vec<Diagnostic>,
) -> Vec<UnitSource<'a>> {
    let mut units = Vec::new();
    let mut n_probes = 0u64;
    let mut filtered = None;
    for item in &script.items {
        let ast::Item::Probe(probe) = item else { continue };
        let needs = needs(probe);
        let mut mine: Vec<UnitSource<'_>> = Vec::new();
        let (before, mut unmatched) = (diags.len(), None);
        for ap in &probe.attach_points {
            let specs = match expanded(ap, &needs, target, options) {
                Ok(specs) => specs,
                Err(diag) => {
                    diags.push(diag);
                    continue;
                }
            };
            // Alone that is no matter: other attach points of the block may exist.
            if specs.is_empty() {
                let message = format!("no probe matches {}", ap.text);
                unmatched.get_or_insert(Diagnostic::error(Code::NO_SUCH_PROBE, ap.span, message));
            }
            for (kind, spec) in specs {
                if !wanted(&spec, &kind.full_name(&spec), options) {
                    filtered = Some(ap.span);
                    continue;
                }
                if let Some(diag) = guarded(&spec, target, options, ap.span) {
                    diags.push(diag);
                    continue;
                }
                let user_params =
                    if needs.args { user_types::parameters(&spec, types, target) } else { None };
                let cx = ContextCx { types, target, needs_args: needs.args, user_params, span: ap.span };
                match kind.context(&spec, &cx) {
                    Ok(context) => {
                        n_probes += 1;
                        add(&mut mine, probe, (&needs, target), (kind, spec), context, ap.span);
                    }
                    Err(ContextError::Missing(diag)) => diags.extend(missing(diag, config)),
                    Err(ContextError::Other(diag)) => diags.push(diag),
                }
            }
        }
        if mine.is_empty() && !diags[before..].iter().any(Diagnostic::is_error) {
            diags.extend(dropped(probe, unmatched, config));
        }
        units.extend(mine);
    }
    only_iterator(&units, diags);
    if let Some(span) = filtered
        && units.iter().flat_map(|unit| &unit.probes).all(|(spec, ..)| always_runs(spec))
    {
        let message = "--probe-filter leaves no probe of the script";
        let help = "the regular expression is looked for in full names such as tracepoint:sched:sched_switch";
        diags.push(Diagnostic::error(Code::NO_SUCH_PROBE, span, message).with_help(help));
    }
    if n_probes > config.max_probes {
        let message = format!(
            "the script has {n_probes} attach points, more than max_probes ({}) permits",
            config.max_probes
        );
        diags.push(
            Diagnostic::error_without_span(Code::TOO_MANY_PROBES, message).with_help(
                "narrow the patterns, or raise max_probes in a config block or BPFTRACE_MAX_PROBES",
            ),
        );
        units.clear();
    }
    if units.len() as u64 > config.max_bpf_progs {
        let message = format!(
            "the script becomes {} programs, more than max_bpf_progs ({}) permits",
            units.len(),
            config.max_bpf_progs
        );
        diags.push(Diagnostic::error_without_span(Code::TOO_MANY_PROBES, message).with_help(
            "blocks that use `probe` need a program for each match; raise max_bpf_progs in a config block or BPFTRACE_MAX_BPF_PROGS",
        ));
        units.clear();
    }
    units
}

/// What only `--unsafe` permits.
fn guarded(spec: &ProbeSpec, target: &Target, options: &Options, span: Span) -> Option<Diagnostic> {
    if options.allow_unsafe {
        return None;
    }
    let message = match spec {
        ProbeSpec::KprobeAddr { .. } => {
            "nobody can check that an instruction begins at this address; the kernel may crash".to_string()
        }
        ProbeSpec::Uprobe { binary, at: UserLocation::Symbol { name, cpp: false, .. }, .. }
            if !is_pattern(binary) && !is_pattern(name) =>
        {
            let path = target.catalog.binaries(binary).ok()?.into_iter().next()?;
            let functions = target.catalog.user_functions(&path).ok()?;
            let mut found = functions.iter().filter(|f| f.name == *name).peekable();
            if found.peek().is_none() || found.any(|f| f.size > 0) {
                return None;
            }
            format!("{name} has no size in {path}: it may be data, and a probe in data breaks the program")
        }
        _ => return None,
    };
    let diag = Diagnostic::error(Code::UNSAFE_NEEDED, span, message);
    Some(diag.with_help("run hark with --unsafe to attach nevertheless"))
}

/// An iterator runs once, when everything else would only begin: it is alone in its script.
fn only_iterator(units: &[UnitSource<'_>], diags: &mut Vec<Diagnostic>) {
    let mut probes = units.iter().flat_map(|unit| &unit.probes);
    let iterator = probes.clone().find(|(spec, ..)| matches!(spec, ProbeSpec::Iter { .. }));
    let Some((_, name, span)) = iterator else { return };
    if let Some((_, _, other)) = probes.find(|(_, _, other)| other != span) {
        let message = "an iter probe must be the only probe of its script";
        let diag = Diagnostic::error(Code::BAD_PROBE, *span, message);
        diags.push(diag.with_label(*other, format!("beside {name}")));
    }
}

fn always_runs(spec: &ProbeSpec) -> bool {
    matches!(spec, ProbeSpec::Begin | ProbeSpec::End)
}

/// Whether `--probe-filter` lets the probe through.
fn wanted(spec: &ProbeSpec, name: &str, options: &Options) -> bool {
    always_runs(spec) || options.probe_filter.as_ref().is_none_or(|filter| filter.0(name))
}

fn needs(probe: &ast::Probe) -> Needs {
    let mut needs = Needs::default();
    let mut look = |e: &ast::Expr| match &e.kind {
        ExprKind::Ident(name) => match name.as_str() {
            "args" => needs.args = true,
            "probe" => needs.probe_name = true,
            "func" => needs.func = true,
            name => needs.words |= is_word(name),
        },
        ExprKind::Call { func, .. } => match func.text.as_str() {
            "args" => needs.args = true,
            "probe" => needs.probe_name = true,
            "func" => needs.func = true,
            name => needs.words |= is_word(name),
        },
        _ => {}
    };
    if let Some(predicate) = &probe.predicate {
        walk_expr(predicate, &mut look);
    }
    walk_block(&probe.body, &mut look);
    needs
}

/// Whether the name is that of an untyped argument.
fn is_word(name: &str) -> bool {
    name.strip_prefix("arg").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The attach points that one of the script stands for; not expanded where the body does not care which one fired.
fn expanded(
    ap: &ast::AttachPoint,
    needs: &Needs,
    target: &Target,
    options: &Options,
) -> Result<Vec<(&'static dyn ProbeKind, ProbeSpec)>, Diagnostic> {
    // `$1` may stand for a part, a part of a part, or several parts: what it is replaced by is split again.
    let mut parts: Vec<String> = Vec::new();
    for part in &ap.parts {
        if part.quoted || !part.text.contains('$') {
            parts.push(part.text.clone());
        } else {
            let text = replace_positional(&part.text, options, part.span)?;
            parts.extend(text.split(':').map(str::to_string));
        }
    }
    let Some((name, rest)) = parts.split_first() else {
        return Err(Diagnostic::error(Code::BAD_PROBE, ap.span, "an attach point is missing"));
    };
    let kind = kind_named(name, ap.span)?;
    let spec = kind.parse(&Ap { args: rest.iter().map(String::as_str).collect(), span: ap.span })?;
    let depends = match spec {
        ProbeSpec::Fentry { .. } => true,
        ProbeSpec::Usdt { .. } => needs.words || needs.probe_name,
        // Where no helper tells at return which function it was, each has a program that knows.
        _ => needs.args || needs.probe_name || told_apart(needs, &spec, target),
    };
    // A filter looks at each name.
    if !depends && options.probe_filter.is_none() {
        return Ok(vec![(kind, spec)]);
    }
    let specs = kind.expand(&spec, target).map_err(|e| {
        let diag = Diagnostic::error(Code::NO_SUCH_PROBE, ap.span, e.message);
        e.help.into_iter().fold(diag, Diagnostic::with_help)
    })?;
    Ok(specs.into_iter().map(|spec| (kind, spec)).collect())
}

/// What `missing_probes` makes of a probe that does not exist.
fn missing(mut diag: Diagnostic, config: &Config) -> Option<Diagnostic> {
    match config.missing_probes {
        MissingProbes::Error => Some(diag),
        MissingProbes::Warn => {
            diag.severity = Severity::Warning;
            Some(diag)
        }
        MissingProbes::Ignore => None,
    }
}

/// What `missing_probes` makes of a block of which no attach point exists. `unmatched` tells of one that is a pattern.
fn dropped(probe: &ast::Probe, unmatched: Option<Diagnostic>, config: &Config) -> Option<Diagnostic> {
    const EXPECTED: &str = "if that is expected, set `config = { missing_probes = \"warn\" }`";
    let span = probe.attach_points.first()?.span;
    match config.missing_probes {
        MissingProbes::Error => unmatched.map(|diag| diag.with_help(EXPECTED)),
        MissingProbes::Warn => {
            let message =
                "no attach point of this block exists; it is left out, and what it would do is not done";
            Some(Diagnostic::warning(Code::NO_SUCH_PROBE, span, message))
        }
        MissingProbes::Ignore => None,
    }
}

fn replace_positional(text: &str, options: &Options, span: Span) -> Result<String, Diagnostic> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let n: usize = after[..digits].parse().map_err(|_| {
            Diagnostic::error(Code::BAD_PROBE, span, "$ in an attach point is followed by a number")
        })?;
        let Some(value) = n.checked_sub(1).and_then(|i| options.positional.get(i)) else {
            let message = format!(
                "the attach point uses ${n}, but only {} parameters were given",
                options.positional.len()
            );
            return Err(Diagnostic::error(Code::BAD_PROBE, span, message));
        };
        out.push_str(value);
        rest = &after[digits..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether the body must know which of several functions returned, and no helper tells.
fn told_apart(needs: &Needs, spec: &ProbeSpec, target: &Target) -> bool {
    needs.func
        && matches!(spec, ProbeSpec::Kprobe { ret: true, .. })
        && !target.profile.has(Feature::GetFuncIp)
}

fn add<'a>(
    units: &mut Vec<UnitSource<'a>>,
    probe: &'a ast::Probe,
    (needs, target): (&Needs, &Target),
    (kind, spec): (&dyn ProbeKind, ProbeSpec),
    context: Context,
    span: Span,
) {
    // Only its context knows which module a typed function is in.
    let name = match spec {
        ProbeSpec::Fentry { .. } => context.probe.to_string(),
        _ => kind.full_name(&spec),
    };
    if !needs.probe_name
        && !told_apart(needs, &spec, target)
        && let Some(unit) = units.iter_mut().find(|u| same_program(&u.context, &context))
    {
        unit.probes.push((spec, name, span));
        return;
    }
    units.push(UnitSource { probe, probes: vec![(spec, name, span)], context: Arc::new(context) });
}

/// Whether a program compiled for one serves the other, given that it does not ask for `probe`.
fn same_program(a: &Context, b: &Context) -> bool {
    let special = a.probe_type == "special";
    let args = match (&a.args, &b.args) {
        (None, None) => true,
        (Some(x), Some(y)) => x.fields == y.fields,
        _ => false,
    };
    let rest = |c: &Context| Context { probe: "".into(), args: None, ..c.clone() };
    !special && args && rest(a) == rest(b)
}
