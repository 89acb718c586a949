//! `hark check`: whether a script fits a kernel, said of each thing that may be missing there.

mod other_kernel;

pub use other_kernel::OtherKernel;

use crate::driver;
use crate::target::{Options, Target};
use crate::verify::verify_object;
use hark_btf::Kind;
use hark_diag::{Code, Diagnostic, FileId, SourceMap};
use hark_object::{Catalog, MissingProbes, Object, ProbeSpec, glob, is_pattern};
use std::fmt;
use verifier_sim::Verdict;

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there.
    Ok,
    /// Some of it is, which is enough: how many.
    Partly(String),
    /// It is not: how many, or which.
    Missing(String),
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Ok => f.write_str("ok"),
            Finding::Partly(what) => f.write_str(what),
            Finding::Missing(what) => write!(f, "no: {what}"),
            Finding::Unknown => f.write_str("?"),
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whether its probes exist.
    pub probes: Finding,
    /// Whether the types and members it names exist.
    pub types: Finding,
    /// Whether the kernel has the helpers and abilities it needs.
    pub helpers: Finding,
    /// What the verifier simulation says of its programs.
    pub verifier: Finding,
    /// Everything to say about the script there.
    pub diags: Vec<Diagnostic>,
}

impl Row {
    /// Whether nothing stands in the way.
    pub fn fits(&self) -> bool {
        let all = [&self.probes, &self.types, &self.helpers, &self.verifier];
        !all.iter().any(|finding| matches!(finding, Finding::Missing(_)))
            && !self.diags.iter().any(Diagnostic::is_error)
    }
}

/// Checks a script for one kernel.
pub fn check(map: &SourceMap, file: FileId, target: &Target, options: &Options) -> Row {
    match driver::compile(map, file, target, options) {
        Ok(compilation) => {
            let mut row = Row {
                probes: probes(&compilation.object, target),
                types: if target.btf.exists() { Finding::Ok } else { Finding::Unknown },
                helpers: Finding::Ok,
                verifier: Finding::Ok,
                diags: compilation.warnings,
            };
            let reports = verify_object(&compilation.object, target);
            if reports.iter().any(|report| report.verdict == Verdict::Unsure) {
                row.verifier = Finding::Unknown;
            }
            row
        }
        Err(diags) => {
            let of = |codes: &[Code]| {
                let found = diags.iter().find(|d| d.is_error() && codes.contains(&d.code));
                found.map_or(Finding::Unknown, |d| Finding::Missing(d.message.clone()))
            };
            Row {
                probes: of(&[Code::NO_SUCH_PROBE, Code::TOO_MANY_PROBES]),
                types: of(&[Code::UNKNOWN_TYPE, Code::UNKNOWN_FIELD, Code::UNKNOWN_BUILTIN]),
                helpers: of(&[Code::NEEDS_KERNEL]),
                verifier: of(&[Code::SIM_REJECTS, Code::TOO_LARGE]),
                diags,
            }
        }
    }
}

/// Whether the kernel has the probes, as far as its lists tell.
fn probes(object: &Object, target: &Target) -> Finding {
    let of_kernel: Vec<_> = object.probes.iter().filter(|probe| needs_kernel(&probe.spec)).collect();
    let answers: Vec<Option<bool>> = of_kernel.iter().map(|probe| exists(&probe.spec, target)).collect();
    let absent: Vec<&str> = of_kernel
        .iter()
        .zip(&answers)
        // A pattern that matches nothing is no matter by itself.
        .filter(|(probe, answer)| **answer == Some(false) && !is_pattern(&probe.name))
        .map(|(probe, _)| probe.name.as_str())
        .collect();
    let all_absent =
        object.probes.len() == of_kernel.len() && answers.iter().all(|answer| *answer == Some(false));
    match (absent.first(), object.config.missing_probes) {
        (Some(name), MissingProbes::Error) => Finding::Missing(format!("{name} (unless a module has it)")),
        _ if all_absent && !of_kernel.is_empty() => {
            Finding::Missing("none of them (unless a module has one)".into())
        }
        (Some(_), MissingProbes::Warn | MissingProbes::Ignore) => {
            Finding::Partly(format!("{} of {}", object.probes.len() - absent.len(), object.probes.len()))
        }
        (None, _) if answers.contains(&None) => Finding::Unknown,
        (None, _) => Finding::Ok,
    }
}

fn needs_kernel(spec: &ProbeSpec) -> bool {
    matches!(
        spec,
        ProbeSpec::Kprobe { .. }
            | ProbeSpec::KprobeAddr { .. }
            | ProbeSpec::Fentry { .. }
            | ProbeSpec::Tracepoint { .. }
            | ProbeSpec::RawTracepoint { .. }
            | ProbeSpec::Iter { .. }
    )
}

/// Whether a probe exists; `None` if it cannot be told.
fn exists(spec: &ProbeSpec, target: &Target) -> Option<bool> {
    let catalog: &dyn Catalog = &*target.catalog;
    match spec {
        ProbeSpec::Kprobe { module: None, func, .. } | ProbeSpec::Fentry { module: None, func, .. } => {
            let functions = catalog.kernel_functions().ok()?;
            // Clones of functions that compilers make (`f.constprop.0`) are not in every list.
            if func.contains('.') && !functions.iter().any(|f| f.name.contains('.')) {
                return None;
            }
            Some(functions.iter().any(|f| glob(func, &f.name)))
        }
        ProbeSpec::Tracepoint { category, event } => {
            let events = catalog.tracepoints().ok()?;
            Some(events.iter().any(|(c, e)| glob(category, c) && glob(event, e)))
        }
        ProbeSpec::RawTracepoint { event } if !is_pattern(event) => {
            Some(target.btf.get()?.find(Kind::Typedef, &format!("btf_trace_{event}")).is_some())
        }
        ProbeSpec::Iter { name, .. } => {
            Some(target.btf.get()?.find(Kind::Func, &format!("bpf_iter_{name}")).is_some())
        }
        ProbeSpec::Kprobe { .. }
        | ProbeSpec::Fentry { .. }
        | ProbeSpec::KprobeAddr { .. }
        | ProbeSpec::RawTracepoint { .. } => None,
        _ => Some(true),
    }
}

/// Rows under headings, columns aligned. Each row begins with the kernel's name.
pub fn table(rows: &[(String, Row)]) -> String {
    let mut lines = vec![["kernel", "verdict", "probes", "types", "helpers", "verifier"].map(String::from)];
    for (name, row) in rows {
        let verdict = if row.fits() { "ok" } else { "no" };
        lines.push([
            name.clone(),
            verdict.to_string(),
            row.probes.to_string(),
            row.types.to_string(),
            row.helpers.to_string(),
            row.verifier.to_string(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |cells: &[String; 6]| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        cells.join("  ").trim_end().to_string() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelTypes;
    use bpf_facts::KernelProfile;
    use hark_object::EmptyCatalog;
    use std::sync::Arc;

    fn row(script: &str, kernel: &str) -> Row {
        let mut map = SourceMap::default();
        let file = map.add("x.bt", script);
        let target = Target {
            profile: KernelProfile::named(kernel).expect("a version"),
            btf: KernelTypes::none(),
            catalog: Arc::new(EmptyCatalog),
            n_cpus: 2,
            pid_namespace: false,
        };
        check(&map, file, &target, &Options::default())
    }

    #[test]
    fn a_script_that_fits() {
        let row = row("BEGIN { @[pid] = count(); }", "6.1");
        assert!(row.fits(), "{:?}", row.diags);
        assert_eq!((&row.probes, &row.types), (&Finding::Ok, &Finding::Unknown));
        let text = table(&[("6.1".into(), row)]);
        assert!(text.ends_with("6.1     ok       ok      ?      ok       ok\n"), "{text}");
    }

    #[test]
    fn what_is_missing_stands_in_its_column() {
        let old = row("BEGIN { printf(\"%d\", nsecs); }", "5.4");
        assert!(!old.fits() && matches!(old.helpers, Finding::Missing(_)), "{:?}", old.diags);
        assert!(row("BEGIN { printf(\"%d\", nsecs); }", "5.10").fits());
        let wrong = row("BEGIN { nope(); }", "6.1");
        assert!(!wrong.fits() && wrong.helpers == Finding::Unknown);
    }
}
