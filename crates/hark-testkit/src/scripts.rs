//! Scripts that people are shown, in the guide and in `examples`: compiled for the small kernel of the fixtures, so
//! that none of them can be wrong.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bpf_facts::KernelProfile;
use hark_btf::Btf;
use hark_compiler::{KernelTypes, Options, Target, compile};
use hark_diag::{SourceMap, Style, render};
use hark_rehearsal::Setting;

use crate::languages::host::FixtureHost;

/// Compiles scripts for the small kernel.
pub struct Compiler {
    target: Target,
}

impl Compiler {
    /// Reads the small kernel from `fixtures`; it counts as Linux 6.1.
    ///
    /// # Errors
    /// The fixtures cannot be read.
    pub fn new(fixtures: &Path) -> Result<Self> {
        let path = fixtures.join("mini.btf");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let target = Target {
            profile: KernelProfile::named("6.1").context("a version")?,
            btf: KernelTypes::ready(Btf::parse(bytes)?),
            catalog: Arc::new(FixtureHost::read(fixtures)?),
            n_cpus: 4,
            pid_namespace: false,
        };
        Ok(Self { target })
    }

    /// What is wrong with a script; nothing if it compiles and verifies without a warning.
    pub fn complaints(&self, name: &str, text: &str) -> String {
        let mut map = SourceMap::default();
        let file = map.add(name, text);
        let options = Options { allow_unsafe: true, ..Options::default() };
        let diags = match compile(&map, file, &self.target, &options) {
            Ok(compilation) => compilation.warnings,
            Err(diags) => diags,
        };
        render(&map, &diags, Style::Plain)
    }

    /// How the tests in a script fail; nothing if they pass or there are none.
    pub fn failures(&self, name: &str, text: &str) -> String {
        let mut map = SourceMap::default();
        let file = map.add(name, text);
        let (tests, mut diags) = hark_rehearsal::parse(file, text);
        let options = Options { allow_unsafe: true, ..Options::default() };
        let setting = Setting { target: self.target.clone(), options };
        let mut differences = String::new();
        match hark_rehearsal::run(&map, file, &tests, &|_| true, &setting) {
            Ok(report) => {
                for (diag, difference) in report.verdicts.into_iter().filter_map(|verdict| verdict.failure) {
                    diags.push(diag);
                    differences.push_str(&difference);
                }
            }
            Err(more) => diags.extend(more),
        }
        format!("{}{differences}", render(&map, &diags, Style::Plain))
    }

    /// The script in standard form; nothing if it has errors.
    pub fn formatted(&self, name: &str, text: &str) -> Option<String> {
        let mut map = SourceMap::default();
        let file = map.add(name, text);
        hark_syntax::format(file, text, &hark_syntax::ParseOptions::default()).ok()
    }
}

/// Formats a script and looks at the result: it means the same, has the same comments and stays as it is when it is
/// formatted again. `None` if the script has errors.
pub fn format_faults(name: &str, text: &str) -> Option<String> {
    let mut map = SourceMap::default();
    let options = hark_syntax::ParseOptions::default();
    let mut tree = |text: &str| {
        let parsed = hark_syntax::parse(map.add(name, text), text, &options);
        let comments = parsed.script.comments.len();
        (hark_syntax::dump(&parsed.script), comments, parsed.diags.iter().any(|diag| diag.is_error()))
    };
    let (meaning, comments, broken) = tree(text);
    if broken {
        return None;
    }
    let file = SourceMap::default().add(name, text);
    let Ok(once) = hark_syntax::format(file, text, &options) else {
        return Some("it cannot be formatted".into());
    };
    let (after, kept, broken) = tree(&once);
    let twice = hark_syntax::format(file, &once, &options).unwrap_or_default();
    let faults = [
        (broken, "what comes out has errors"),
        (after != meaning, "what comes out means something else"),
        (kept != comments, "comments are lost"),
        (twice != once, "formatting again changes it again"),
    ];
    Some(faults.iter().filter(|fault| fault.0).map(|fault| fault.1).collect::<Vec<_>>().join(", "))
}

/// The blocks of a Markdown text that are marked ```` ```LANGUAGE ````: the line on which each begins, and its text.
pub fn blocks(markdown: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (number, line) in markdown.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(word)) => open = Some((number + 1, String::new(), word.trim() == language)),
            (Some(_), Some(_)) => {
                if let Some((at, text, true)) = open.take() {
                    found.push((at, text));
                }
            }
            (Some((_, text, _)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_language() {
        let text = "a\n```bt\nx\ny\n```\n```\nz\n```\n```bt\n```\n";
        assert_eq!(blocks(text, "bt"), [(2, "x\ny\n".to_string()), (9, String::new())]);
    }
}
