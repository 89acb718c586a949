//! The lines in which a guest reports (see the head of `tests/src/guest_runner.rs`), and the sum of all results.

use std::fmt;

use crate::matrix::Outcome;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    /// One test more.
    pub(crate) fn of(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into(), skipped: 0 }
    }

    pub(crate) fn failure() -> Self {
        Self::of(false)
    }

    /// The sum of these outcomes.
    pub(crate) fn of_cases<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed => tally.failed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
            }
        }
        tally
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads the summary that a Rust test binary prints: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn from_summary(line: &str) -> Option<Self> {
        let rest = line.trim().strip_prefix("test result: ")?;
        let (_, counts) = rest.split_once(". ")?;
        let count = |what: &str| {
            counts.split(';').find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u32>().ok())
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// One line of a guest's report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Boot {
        release: &'a str,
    },
    Start {
        case: &'a str,
    },
    Pass {
        case: &'a str,
        ms: &'a str,
    },
    Skip {
        case: &'a str,
        why: &'a str,
    },
    NotHere {
        case: &'a str,
    },
    Fail {
        case: &'a str,
    },
    Detail {
        text: &'a str,
    },
    End,
    /// Not of the protocol: something else wrote to the port.
    Noise {
        text: &'a str,
    },
}

impl<'a> Line<'a> {
    pub(crate) fn parse(line: &'a str) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        let (case, text) = rest.split_once('\t').unwrap_or((rest, ""));
        match word {
            "boot" => Self::Boot { release: rest },
            "start" => Self::Start { case },
            "pass" => Self::Pass { case, ms: text },
            "skip" => Self::Skip { case, why: text },
            "none" => Self::NotHere { case },
            "fail" => Self::Fail { case },
            "|" => Self::Detail { text: rest },
            "end" => Self::End,
            _ => Self::Noise { text: line },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(Tally::from_summary(line), Some(Tally { passed: 5, failed: 2, skipped: 1 }));
        assert_eq!(Tally::from_summary("running 3 tests"), None);
        assert_eq!(Tally { passed: 1, failed: 2, skipped: 3 }.to_string(), "1 passed, 2 failed, 3 skipped");
    }

    #[test]
    fn report_lines() {
        assert_eq!(Line::parse("pass\ta/b\t12\r\n"), Line::Pass { case: "a/b", ms: "12" });
        assert_eq!(Line::parse("skip\ta\told kernel"), Line::Skip { case: "a", why: "old kernel" });
        assert_eq!(Line::parse("|\ta\tb"), Line::Detail { text: "a\tb" });
        assert_eq!(Line::parse("|\t"), Line::Detail { text: "" });
        assert_eq!(Line::parse("hello"), Line::Noise { text: "hello" });
    }
}
