//! The golden harness: what the compiler makes of an input is compared with what the case file says.
//!
//! A block is compared only if it stands in the file. To add one, write its empty `//= stage` line and run the tests
//! with `HARK_BLESS=1`: the blocks that exist are rewritten, nothing else is touched. On CI the variable is refused.
//! Diagnostics may also be asserted where they arise: `@x = nope(); //~ error[H0201]`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hark_diag::{Code, Severity};
use libtest_mimic::{Failed, Trial};

use crate::case::{CaseFile, find};

/// What can be shown of one input language.
pub trait Stages: Send + Sync {
    /// Header keys that cases of this language may have.
    fn keys(&self) -> &[&str];

    /// The names that a `//=` block may have.
    fn names(&self) -> &[&str];

    /// The text of one stage. Whatever the input is, this is its text: a rejected script has one too.
    ///
    /// # Errors
    /// The case cannot be run at all, for example because its header names a kernel that does not exist.
    fn render(&self, case: &CaseFile, stage: &str) -> Result<String>;

    /// What the compiler has to say of the input, for `//~` assertions. `None`: the language has no diagnostics.
    ///
    /// # Errors
    /// As for [`Stages::render`].
    fn diagnostics(&self, case: &CaseFile) -> Result<Option<Vec<Finding>>>;
}

/// One diagnostic as an inline assertion sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The line of the file, from 1; 0 if the diagnostic has no place.
    pub line: usize,
    /// Error, warning or note.
    pub severity: Severity,
    /// Which one.
    pub code: Code,
}

/// What to do with a stage whose text is not what the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fail.
    Compare,
    /// Rewrite the file.
    Bless,
}

impl Mode {
    /// Reads `HARK_BLESS` and `CI`.
    ///
    /// # Errors
    /// Both are set: a run on CI may not rewrite what it checks.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        match (set("HARK_BLESS"), set("CI")) {
            (true, true) => bail!("HARK_BLESS is refused where CI is set"),
            (true, false) => Ok(Self::Bless),
            (false, _) => Ok(Self::Compare),
        }
    }
}

/// One test for each case below `root`, named `golden::<path>`.
///
/// `languages` maps a file extension to what can be shown of it.
///
/// # Errors
/// The directory cannot be read. A case that is malformed is a test that fails.
pub fn trials(root: &Path, languages: &[(&str, Arc<dyn Stages>)], mode: Mode) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    let extensions: Vec<&str> = languages.iter().map(|row| row.0).collect();
    for path in find(root, &extensions)? {
        let Some((_, stages)) = languages.iter().find(|row| path.extension().is_some_and(|e| e == row.0))
        else {
            continue;
        };
        let stages = Arc::clone(stages);
        let root = root.to_owned();
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        trials.push(Trial::test(format!("golden::{name}"), move || {
            let case = CaseFile::read(&root, &path)?;
            check(&case, stages.as_ref(), mode).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    Ok(trials)
}

/// Checks one case, or rewrites its file.
///
/// # Errors
/// The case is malformed, or what it expects is not what came out; then the message holds a diff.
pub fn check(case: &CaseFile, stages: &dyn Stages, mode: Mode) -> Result<()> {
    case.check_keys(stages.keys())?;
    let assertions = inline_assertions(&case.input_in_place())?;
    if case.blocks.is_empty() && assertions.is_empty() {
        bail!("the case expects nothing: add an empty `//= stage` line and run with HARK_BLESS=1");
    }
    check_inline(case, stages, &assertions)?;
    let mut texts = Vec::new();
    let mut failures = String::new();
    for block in &case.blocks {
        if !stages.names().contains(&block.name.as_str()) {
            bail!("unknown stage `{}`; known are: {}", block.name, stages.names().join(", "));
        }
        let text = normalise(&stages.render(case, &block.name)?);
        if text != normalise(&block.text) {
            failures.push_str(&diff(&block.name, &normalise(&block.text), &text));
        }
        texts.push(text);
    }
    if failures.is_empty() {
        return Ok(());
    }
    match mode {
        Mode::Compare => {
            bail!("{failures}\nif the new text is right: HARK_BLESS=1 cargo test -p hark-tests --test golden")
        }
        Mode::Bless => std::fs::write(&case.path, case.with_blocks(&texts))
            .with_context(|| format!("cannot write {}", case.path.display())),
    }
}

fn check_inline(case: &CaseFile, stages: &dyn Stages, assertions: &[Finding]) -> Result<()> {
    if assertions.is_empty() {
        return Ok(());
    }
    let Some(mut found) = stages.diagnostics(case)? else {
        bail!("this language has no diagnostics, so `//~` cannot be checked");
    };
    found.sort();
    let mut expected = assertions.to_vec();
    expected.sort();
    if found != expected {
        let list = |findings: &[Finding]| findings.iter().map(|f| format!("{f}\n")).collect::<String>();
        bail!("{}", diff("diagnostics", &list(&expected), &list(&found)));
    }
    Ok(())
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "line {}: {severity}[{}]", self.line, self.code)
    }
}

/// The `//~ error[H0201]` assertions of a text; several may stand on one line: `//~ error[H0201] warning[H0308]`.
fn inline_assertions(text: &str) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let Some((_, list)) = line.split_once("//~") else { continue };
        for item in list.split_whitespace() {
            let parsed = item.split_once("[H").and_then(|(severity, code)| {
                let severity = match severity {
                    "error" => Severity::Error,
                    "warning" => Severity::Warning,
                    "note" => Severity::Note,
                    _ => return None,
                };
                Some(Finding { line: i + 1, severity, code: Code(code.strip_suffix(']')?.parse().ok()?) })
            });
            match parsed {
                Some(finding) => found.push(finding),
                None => bail!("line {}: `{item}` is not of the form error[H0201]", i + 1),
            }
        }
    }
    Ok(found)
}

/// Trailing white space cannot be seen in a case file, so it is not compared.
fn normalise(text: &str) -> String {
    let mut out = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// A unified diff from the expected to the actual text.
pub fn diff(what: &str, expected: &str, actual: &str) -> String {
    let diff = similar::TextDiff::from_lines(expected, actual);
    diff.unified_diff()
        .context_radius(3)
        .header(&format!("{what} expected"), &format!("{what} actual"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A language whose only stage is the input in capitals, and whose diagnostics are at each `?`.
    struct Loud;

    impl Stages for Loud {
        fn keys(&self) -> &[&str] {
            &["kernel"]
        }
        fn names(&self) -> &[&str] {
            &["loud"]
        }
        fn render(&self, case: &CaseFile, _stage: &str) -> Result<String> {
            Ok(case.input().to_uppercase())
        }
        fn diagnostics(&self, case: &CaseFile) -> Result<Option<Vec<Finding>>> {
            let text = case.input_in_place();
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains('?'));
            Ok(Some(
                lines
                    .map(|(i, _)| Finding { line: i + 1, severity: Severity::Error, code: Code::SYNTAX })
                    .collect(),
            ))
        }
    }

    fn outcome(text: &str) -> Result<()> {
        check(&CaseFile::parse(Path::new("x"), "x".into(), text).unwrap(), &Loud, Mode::Compare)
    }

    #[test]
    fn compares_what_stands_in_the_file() {
        outcome("abc\n\n//= loud\n// ABC\n").unwrap();
        let message = outcome("abc\n\n//= loud\n// ABD\n").unwrap_err().to_string();
        assert!(message.contains("-ABD\n+ABC\n") && message.contains("HARK_BLESS=1"), "{message}");
    }

    #[test]
    fn a_case_must_expect_something_known() {
        assert!(outcome("abc\n").unwrap_err().to_string().contains("expects nothing"));
        assert!(outcome("abc\n//= soft\n").unwrap_err().to_string().contains("unknown stage"));
        assert!(
            outcome("//! kernal = 1\nabc\n//= loud\n// ABC\n").unwrap_err().to_string().contains("kernal")
        );
    }

    #[test]
    fn inline_assertions_hold_for_line_and_code() {
        outcome("//! kernel = 1\nwhat? //~ error[H0101]\n").unwrap();
        assert!(outcome("what? //~ error[H0102]\n").is_err());
        assert!(outcome("what //~ error[H0101]\n").is_err());
        assert!(outcome("what?\nok //~ error[H0101]\n").is_err());
        assert!(outcome("what? //~ error H0101\n").is_err());
    }

    #[test]
    fn blessing_rewrites_blocks_only() {
        let dir = std::env::temp_dir().join(format!("hark-golden-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("case.x");
        std::fs::write(&path, "//! Prose.\nabc\n//= loud\n").unwrap();
        check(&CaseFile::read(&dir, &path).unwrap(), &Loud, Mode::Bless).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "//! Prose.\nabc\n\n//= loud\n// ABC\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
