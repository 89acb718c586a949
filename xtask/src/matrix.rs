//! The table at the end of a test run: which kinds of cases passed on which kernel, and what older kernels lack.

use std::collections::BTreeMap;
use std::fmt;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// The machine cannot run it; the text says why.
    Skipped(String),
}

/// Outcomes by kind of case and kernel. A case's kind is the directory that it lies in.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    columns: Vec<String>,
    rows: BTreeMap<String, BTreeMap<String, Vec<Outcome>>>,
    /// What is missing where: reason, then an example of a case.
    reasons: BTreeMap<String, String>,
}

/// What skipped cases say before the version.
const NEEDS: &str = "needs Linux ";

impl Matrix {
    /// A table for these kernels, in this order.
    pub(crate) fn new(columns: impl IntoIterator<Item = String>) -> Self {
        Self { columns: columns.into_iter().collect(), ..Self::default() }
    }

    /// Notes how a case ended on a kernel.
    pub(crate) fn add(&mut self, column: &str, case: &str, outcome: Outcome) {
        if let Outcome::Skipped(why) = &outcome {
            self.reasons.entry(why.clone()).or_insert_with(|| case.to_owned());
        }
        let kind = case.split_once('/').map_or(case, |(kind, _)| kind);
        let row = self.rows.entry(kind.to_owned()).or_default();
        row.entry(column.to_owned()).or_default().push(outcome);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The number of cases that passed, those that failed, and from which kernel on the others can run.
fn cell(outcomes: Option<&Vec<Outcome>>) -> String {
    let Some(outcomes) = outcomes else { return "-".to_owned() };
    let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    let mut later: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes {
        if let Outcome::Skipped(why) = outcome {
            let version = why.strip_prefix(NEEDS).and_then(|rest| rest.split(':').next());
            *later.entry(version.map_or("no".to_owned(), |v| format!("{v}+"))).or_default() += 1;
        }
    }
    let mut parts = Vec::new();
    if passed > 0 {
        parts.push(format!("{passed} ok"));
    }
    if failed > 0 {
        parts.push(format!("{failed} FAIL"));
    }
    parts.extend(later.iter().map(|(version, n)| format!("{n} {version}")));
    parts.join(", ")
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<Vec<String>> = std::iter::once(
            std::iter::once("cases".to_owned()).chain(self.columns.iter().cloned()).collect(),
        )
        .chain(self.rows.iter().map(|(kind, row)| {
            let cells = self.columns.iter().map(|column| cell(row.get(column)));
            std::iter::once(kind.clone()).chain(cells).collect()
        }))
        .collect();
        let width = |i: usize| cells.iter().map(|row| row[i].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=self.columns.len()).map(width).collect();
        for row in &cells {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        if !self.reasons.is_empty() {
            writeln!(f, "\nnot run, and why:")?;
        }
        self.reasons.iter().try_for_each(|(why, case)| writeln!(f, "  {case}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_passed_and_what_a_kernel_lacks() {
        let mut matrix = Matrix::new(["5.10", "6.1"].map(str::to_owned));
        let lacks = || Outcome::Skipped("needs Linux 5.12: the iterator task_vma came with 5.12".to_owned());
        matrix.add("5.10", "iter/tasks", Outcome::Passed);
        matrix.add("5.10", "iter/areas", lacks());
        matrix.add("6.1", "iter/tasks", Outcome::Passed);
        matrix.add("6.1", "iter/areas", Outcome::Failed);
        matrix.add("5.10", "multi/one", lacks());
        let expected = "\
cases  5.10           6.1
iter   1 ok, 1 5.12+  1 ok, 1 FAIL
multi  1 5.12+        -

not run, and why:
  iter/areas: needs Linux 5.12: the iterator task_vma came with 5.12
";
        assert_eq!(matrix.to_string(), expected);
    }
}
