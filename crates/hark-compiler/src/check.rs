//! `hark check`: whether a script fits a kernel, said of each thing that may be missing there.

use crate::driver;
use crate::target::{Options, Target};
use crate::verify::verify_object;
use hark_btf::{Btf, Kind};
use hark_diag::{Code, Diagnostic, FileId, SourceMap};
use hark_object::{Object, ProbeSpec, is_pattern};
use std::fmt;
use verifier_sim::Verdict;

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there.
    Ok,
    /// It is not: how many, or which.
    Missing(String),
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Ok => f.write_str("ok"),
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
                types: of(&[Code::UNKNOWN_TYPE, Code::UNKNOWN_FIELD]),
                helpers: of(&[Code::NEEDS_KERNEL]),
                verifier: of(&[Code::SIM_REJECTS, Code::TOO_LARGE]),
                diags,
            }
        }
    }
}

/// Whether the kernel's BTF knows the probes. It lists functions and events of the kernel itself, not of modules.
fn probes(object: &Object, target: &Target) -> Finding {
    let kernel_probes = object.probes.iter().any(|probe| needs_kernel(&probe.spec));
    if !kernel_probes {
        return Finding::Ok;
    }
    let Some(btf) = target.btf.get() else { return Finding::Unknown };
    let answers: Vec<(&str, Option<bool>)> =
        object.probes.iter().map(|probe| (probe.name.as_str(), exists(&probe.spec, btf))).collect();
    if let Some((name, _)) = answers.iter().find(|(_, answer)| *answer == Some(false)) {
        return Finding::Missing(format!("no {name} in BTF"));
    }
    if answers.iter().any(|(_, answer)| answer.is_none()) { Finding::Unknown } else { Finding::Ok }
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

/// Whether a probe exists, as far as BTF can tell.
fn exists(spec: &ProbeSpec, btf: &Btf) -> Option<bool> {
    match spec {
        ProbeSpec::Kprobe { module: None, func, .. } | ProbeSpec::Fentry { module: None, func, .. } => {
            if is_pattern(func) || func.contains('.') {
                return None;
            }
            Some(btf.find(Kind::Func, func).is_some())
        }
        ProbeSpec::Tracepoint { category, event } if category == "syscalls" => {
            let call = event.strip_prefix("sys_enter_").or_else(|| event.strip_prefix("sys_exit_"))?;
            // The function's name depends on the architecture's wrappers.
            let known = ["__x64_sys_", "__arm64_sys_", "__do_sys_", "sys_"];
            if is_pattern(call) {
                None
            } else {
                known.iter().any(|p| btf.find(Kind::Func, &format!("{p}{call}")).is_some()).then_some(true)
            }
        }
        ProbeSpec::Tracepoint { event, .. } | ProbeSpec::RawTracepoint { event } => {
            if is_pattern(event) {
                return None;
            }
            // Every tracepoint of the kernel itself leaves a typedef of its prototype; modules' are elsewhere.
            btf.find(Kind::Typedef, &format!("btf_trace_{event}")).map(|_| true)
        }
        ProbeSpec::Iter { name, .. } => Some(btf.find(Kind::Func, &format!("bpf_iter_{name}")).is_some()),
        ProbeSpec::Kprobe { .. } | ProbeSpec::Fentry { .. } | ProbeSpec::KprobeAddr { .. } => None,
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
