//! `hark -l`: which probes there are, and what arguments they have.

use crate::driver;
use crate::probes::{ALL, Ap, ProbeKind, iter, kind_named, tracepoint};
use crate::sources;
use crate::target::{Options, Target};
use crate::tracefs;
use crate::user_types;
use hark_btf::{Btf, Kind, TypeId};
use hark_diag::{Diagnostic, FileId, SourceMap, Span};
use hark_object::{ProbeSpec, glob};

/// The full names of all probes that match a pattern: `TYPE:…` with `*` and `?`, a bare word for any type, several
/// with commas; `struct NAME` shows a definition. With `verbose`, arguments follow each name.
///
/// # Errors
/// What stands in the way, in one sentence.
pub fn matching(pattern: &str, target: &Target, verbose: bool) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for pattern in pattern.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if let Some((kind, name)) = ["struct", "union", "enum"]
            .iter()
            .find_map(|k| Some((*k, pattern.strip_prefix(k)?.strip_prefix(' ')?)))
        {
            definitions(kind, name.trim(), target, verbose, &mut lines)?;
            continue;
        }
        for (kind, name) in matching_one(pattern, target)? {
            show(kind, name, target, verbose, &mut lines);
        }
    }
    Ok(lines)
}

/// Adds a probe and, with `verbose`, its arguments.
fn show(kind: &dyn ProbeKind, name: String, target: &Target, verbose: bool, lines: &mut Vec<String>) {
    let arguments = if verbose { arguments(kind, &name, target) } else { Vec::new() };
    lines.push(name);
    lines.extend(arguments.into_iter().map(|line| format!("    {line}")));
}

/// Types that are shown only if they are asked for: they have no events of their own.
const UNLISTED: &[&str] = &["self", "interval", "profile"];

/// Kinds of probes in the order in which they are listed: counters come first.
fn kinds() -> Vec<&'static dyn ProbeKind> {
    let mut kinds = ALL.to_vec();
    kinds.sort_by_key(|kind| match kind.name() {
        "hardware" => 0,
        "software" => 1,
        "tracepoint" => 2,
        _ => 3,
    });
    kinds
}

fn matching_one(pattern: &str, target: &Target) -> Result<Vec<(&'static dyn ProbeKind, String)>, String> {
    let Some((kind_pattern, rest)) = pattern.split_once(':') else {
        return Ok(by_bare_word(pattern, target));
    };
    let kinds: Vec<&'static dyn ProbeKind> = match kind_named(kind_pattern, Span::default()) {
        Ok(kind) => vec![kind],
        Err(diag) => {
            // Code of processes is meant where a file is.
            let file = rest.contains('/');
            let meant = |k: &&dyn ProbeKind| glob(kind_pattern, k.name()) && of_files(*k) == file;
            let matching: Vec<_> = kinds().into_iter().filter(meant).collect();
            if matching.is_empty() {
                return Err(diag.message);
            }
            matching
        }
    };
    let mut found = Vec::new();
    for kind in kinds {
        let names = if of_files(kind) {
            let rest = if rest.contains(':') { rest.to_string() } else { format!("{rest}:*") };
            let ap = Ap { args: rest.split(':').collect(), span: Span::default() };
            let spec = kind.parse(&ap).map_err(|d| d.message)?;
            let specs = kind.expand(&spec, target).map_err(|e| e.message)?;
            let mut names: Vec<String> = specs.iter().map(|s| kind.full_name(s)).collect();
            names.sort();
            names.dedup();
            names
        } else {
            let wanted = match kind.name() {
                // An event is found without its category.
                "tracepoint" if !rest.contains(':') => format!("tracepoint:*:{rest}"),
                name => format!("{name}:{rest}"),
            };
            let names = kind.list(target).map_err(|e| e.message)?;
            names
                .into_iter()
                .filter(|n| glob(&wanted, n) || glob(&wanted, n.trim_end_matches(':')))
                .collect::<Vec<_>>()
        };
        found.extend(names.into_iter().map(|n| (kind, n)));
    }
    Ok(found)
}

/// Whether its probes are in files.
fn of_files(kind: &dyn ProbeKind) -> bool {
    matches!(kind.name(), "uprobe" | "uretprobe" | "usdt")
}

/// The probes of all types whose last part is `word`; if there are none, those in whose names it occurs.
fn by_bare_word(word: &str, target: &Target) -> Vec<(&'static dyn ProbeKind, String)> {
    let mut all = Vec::new();
    for kind in kinds().into_iter().filter(|kind| !UNLISTED.contains(&kind.name())) {
        // A type that cannot be listed here has nothing to show.
        all.extend(kind.list(target).unwrap_or_default().into_iter().map(|name| (kind, name)));
    }
    if word.contains(['*', '?']) {
        all.retain(|(_, name)| glob(word, name));
        return all;
    }
    let last = |name: &str| name.trim_end_matches(':').rsplit(':').next() == Some(word);
    if all.iter().any(|(_, name)| last(name)) {
        all.retain(|(_, name)| last(name));
    } else {
        all.retain(|(_, name)| name.contains(word));
    }
    all
}

/// One line for each typed argument.
fn arguments(kind: &dyn ProbeKind, name: &str, target: &Target) -> Vec<String> {
    let parts: Vec<&str> = name.split(':').skip(1).collect();
    let demangled = name.split_once(":cpp:\"").and_then(|(head, rest)| Some((head, rest.strip_suffix('"')?)));
    let parts = match demangled {
        Some((head, function)) => head.split(':').skip(1).chain(["cpp", function]).collect(),
        None => parts,
    };
    let Ok(spec) = kind.parse(&Ap { args: parts, span: Span::default() }) else { return Vec::new() };
    if let ProbeSpec::Tracepoint { category, event } = &spec {
        let format = target.catalog.tracepoint_format(category, event).ok().flatten();
        return format.map_or_else(Vec::new, |text| tracefs::declarations(&text));
    }
    if matches!(spec, ProbeSpec::Uprobe { .. }) {
        return user_types::declarations(&spec, target);
    }
    target.btf.get().map_or_else(Vec::new, |btf| kernel_arguments(&spec, btf))
}

/// What the kernel's types say of a probe, as C declares it.
fn kernel_arguments(spec: &ProbeSpec, btf: &Btf) -> Vec<String> {
    let line = |ty: TypeId, name: &str| match btf.type_name(ty) {
        text if text.ends_with(']') || text.contains('(') => btf.declaration(ty, name),
        text => format!("{text} {name}"),
    };
    let mut lines = Vec::new();
    match spec {
        ProbeSpec::Fentry { func, exit, .. } => {
            let Some(proto) = btf.func_proto(func) else { return lines };
            lines.extend(proto.params.iter().map(|param| line(param.ty, param.name)));
            if *exit && btf.resolve(proto.ret).is_some_and(|ret| ret.kind() != Kind::Void) {
                lines.push(line(proto.ret, "retval"));
            }
        }
        ProbeSpec::RawTracepoint { event } => {
            lines.extend(tracepoint::raw_parameters(btf, event).iter().map(|(ty, name)| line(*ty, name)));
        }
        ProbeSpec::Iter { name, .. } => {
            let context = btf.find(Kind::Struct, &format!("{}{name}", iter::CONTEXT_PREFIX));
            for member in context
                .into_iter()
                .flat_map(|of| btf.member_names(of).into_iter().map(move |member| (of, member)))
            {
                if let Ok(access) = btf.resolve_path(member.0, &[member.1]) {
                    lines.push(line(access.ty, member.1));
                }
            }
        }
        _ => {}
    }
    lines
}

fn definitions(
    kind: &str,
    name: &str,
    target: &Target,
    verbose: bool,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let Some(btf) = target.btf.get() else { return Err("the kernel has no BTF to show types from".into()) };
    let kinds: &[Kind] = match kind {
        "struct" => &[Kind::Struct],
        "union" => &[Kind::Union],
        _ => &[Kind::Enum, Kind::Enum64],
    };
    for btf_kind in kinds {
        for ty in btf.types_of(*btf_kind).filter(|t| !t.name().is_empty() && glob(name, t.name())) {
            match btf.definition(ty.id()).filter(|_| verbose) {
                Some(text) => lines.push(format!("vmlinux: {text}\n")),
                None => lines.push(format!("{kind} {}", ty.name())),
            }
        }
    }
    Ok(())
}

/// The full names of the probes of a script that are attached to something, patterns expanded; with `verbose`,
/// arguments follow each name.
///
/// # Errors
/// What is wrong with the script.
pub fn of_script(
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
    verbose: bool,
) -> Result<Vec<String>, Vec<Diagnostic>> {
    let (script, mut diags) = sources::parse(map, file, target, &options.sources);
    let front = driver::analyze(&script, target, options, &mut diags)?;
    let mut lines = Vec::new();
    for (spec, name, span) in front.script.units.iter().flat_map(|unit| &unit.probes) {
        let Ok(kind) = kind_named(name.split(':').next().unwrap_or(name), *span) else { continue };
        match spec {
            ProbeSpec::Begin | ProbeSpec::End | ProbeSpec::Test(_) | ProbeSpec::Bench(_) => continue,
            // Of these the list names the event, not how often it fires.
            ProbeSpec::Interval { .. }
            | ProbeSpec::Profile { .. }
            | ProbeSpec::Software { .. }
            | ProbeSpec::Hardware { .. } => {
                let event: Vec<&str> = name.splitn(3, ':').take(2).collect();
                lines.push(format!("{}:", event.join(":")));
                continue;
            }
            _ => {}
        }
        // What cannot be expanded shows as it is written.
        let found = kind.expand(spec, target).unwrap_or_else(|_| vec![spec.clone()]);
        for spec in found {
            show(kind, kind.full_name(&spec), target, verbose, &mut lines);
        }
    }
    Ok(lines)
}
