//! The figures as text: a table, geometric means, and where hark is worst.

use super::loads::Size;
use super::times::Ns;
use std::fmt::Write;

/// What was found out about a script.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ours: Size,
    pub(super) theirs: Size,
    pub(super) ns: Option<Ns>,
}

/// Below this a difference of times is noise: what a program does beyond an empty one counts as at least that.
const LEAST_NS: f64 = 1.0;

impl Row {
    fn xlated(&self) -> f64 {
        f64::from(self.ours.xlated) / f64::from(self.theirs.xlated)
    }

    fn jited(&self) -> f64 {
        f64::from(self.ours.jited) / f64::from(self.theirs.jited)
    }

    fn verified(&self) -> f64 {
        f64::from(self.ours.verified) / f64::from(self.theirs.verified.max(1))
    }

    /// Of the times beyond what an empty program takes.
    fn time(&self) -> Option<f64> {
        let ns = self.ns?;
        Some((ns.ours - ns.empty).max(LEAST_NS) / (ns.theirs - ns.empty).max(LEAST_NS))
    }

    /// Whether the case is about events that a predicate drops.
    fn is_filtered(&self) -> bool {
        self.name.contains("filtered")
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

/// Everything: means, the worst ten by each measure, the table, what was left out.
pub(super) fn text(rows: &[Row], left_out: &[String]) -> String {
    let mut out = String::from("| hark ÷ bpftrace | geometric mean | worst |\n|---|---|---|\n");
    type Measure = fn(&Row) -> Option<f64>;
    let measures: [(&str, Measure); 5] = [
        ("instructions in the kernel", |row| Some(row.xlated())),
        ("bytes of machine code", |row| Some(row.jited())),
        ("instructions that the verifier processes", |row| Some(row.verified())),
        ("time an event, less an empty program's", Row::time),
        ("the same where a predicate drops it", |row| row.time().filter(|_| row.is_filtered())),
    ];
    for (name, measure) in measures {
        let worst = rows.iter().filter_map(|row| Some((measure(row)?, &row.name)));
        let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0));
        if let (Some(mean), Some((ratio, row))) = (mean(rows.iter().filter_map(measure)), worst) {
            let _ = writeln!(out, "| {name} | {mean:.3} | {ratio:.2} ({row}) |");
        }
    }
    for (name, measure) in &measures[..4] {
        let mut order: Vec<(f64, &str)> =
            rows.iter().filter_map(|row| Some((measure(row)?, row.name.as_str()))).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let worst: Vec<String> =
            order.iter().take(10).map(|(ratio, name)| format!("{name} {ratio:.2}")).collect();
        if !worst.is_empty() {
            let _ = writeln!(out, "\nWorst ten by {name}: {}.", worst.join(", "));
        }
    }
    out.push_str(
        "\nhark / bpftrace:\n\n| script | instructions | machine code | verified | stack | ns an event |\n",
    );
    out.push_str("|---|---|---|---|---|---|\n");
    for row in rows {
        let (a, b) = (&row.ours, &row.theirs);
        let ns = match (row.ns, row.time()) {
            (Some(ns), Some(ratio)) => format!("{:.0} / {:.0} = {ratio:.2}", ns.ours, ns.theirs),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            out,
            "| {} | {} / {} = {:.2} | {} / {} = {:.2} | {} / {} = {:.2} | {} / {} | {ns} |",
            row.name,
            a.xlated,
            b.xlated,
            row.xlated(),
            a.jited,
            b.jited,
            row.jited(),
            a.verified,
            b.verified,
            row.verified(),
            a.stack,
            b.stack,
        );
    }
    if !left_out.is_empty() {
        let _ = writeln!(out, "\nLeft out, because one of the two does not load them here:\n");
        for line in left_out {
            let _ = writeln!(out, "- {line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ours: u32, theirs: u32, ns: Option<Ns>) -> Row {
        let size = |n| Size { programs: 1, xlated: n, jited: 5 * n, verified: n, stack: 8 };
        Row { name: name.to_owned(), ours: size(ours), theirs: size(theirs), ns }
    }

    #[test]
    fn means_are_geometric_and_the_worst_comes_first() {
        let ns = Ns { ours: 90.0, theirs: 130.0, empty: 50.0 };
        let text = text(&[row("a", 10, 40, Some(ns)), row("b", 40, 40, None)], &["c: why".to_owned()]);
        assert!(text.contains("| instructions in the kernel | 0.500 | 1.00 (b) |"), "{text}");
        assert!(text.contains("| time an event, less an empty program's | 0.500 | 0.50 (a) |"), "{text}");
        assert!(text.contains("Worst ten by instructions in the kernel: b 1.00, a 0.25."), "{text}");
        assert!(text.contains("- c: why"), "{text}");
    }
}
