//! A verdict in words: where, why, and the way there.

use bpf_input::{Case, Judgement};
use bpf_syscall::LoadError;
use ebpf_asm::InsnIdx;
use std::fmt::Write as _;
use verifier_sim::Verdict;

/// Steps of the path that are shown.
const STEPS: usize = 12;

/// The verdict on `case`, a few lines.
pub(super) fn text(case: &Case, judged: &Judgement, verbose: bool) -> String {
    let mut out = format!("{}: {}", case.name, judged.verdict.name());
    if let Some(slot) = judged.slot {
        let _ = write!(out, " at {slot}");
    }
    if !judged.reason.is_empty() {
        let _ = write!(out, ": {}", judged.reason);
    }
    out.push('\n');
    out += &place(case, judged.slot);
    if judged.verdict == Verdict::Reject {
        out += &path(case, judged);
    }
    if let Some(report) = judged.report.as_ref().filter(|_| verbose) {
        let s = &report.stats;
        let _ = writeln!(
            out,
            "  walked {} instructions on {} paths, {} cut short; {} states kept, {} branches waiting at most; {} bytes of stack",
            s.processed, s.paths, s.pruned, s.checkpoints, s.max_pending, s.stack
        );
    }
    out
}

/// What the kernel says, in the same form.
pub(super) fn kernel_text(case: &Case, error: &LoadError) -> String {
    let Some(decisive) = error.log.decisive() else { return format!("reject: {error}") };
    let at = decisive.insn.map_or(String::new(), |insn| format!(" at {insn}"));
    let place = place(case, decisive.insn);
    format!(
        "reject{at}: {}{}{}",
        decisive.message,
        if place.is_empty() { "" } else { "\n" },
        place.trim_end()
    )
}

/// The line of source, if it is known.
fn place(case: &Case, slot: Option<u32>) -> String {
    let Some(line) = slot.and_then(|slot| case.source_line(slot)) else { return String::new() };
    let function = slot.and_then(|slot| case.function_at(slot)).unwrap_or(&case.name);
    format!("  in {function}, {}:{}:{}\n    {}\n", line.file, line.line, line.column, line.text)
}

/// The last steps that lead to the rejection.
fn path(case: &Case, judged: &Judgement) -> String {
    let (Some(report), Some(program)) = (&judged.report, &judged.program) else { return String::new() };
    let Some(finding) = report.findings.first() else { return String::new() };
    let slots = program.slots();
    let trace = &finding.trace;
    let shown = &trace[trace.len().saturating_sub(STEPS)..];
    if shown.len() < 2 {
        return String::new();
    }
    let mut out = String::from("  the way there:\n");
    if shown.len() < trace.len() {
        let _ = writeln!(out, "    … {} instructions before", trace.len() - shown.len());
    }
    let mut last = None;
    for at in shown {
        let slot = slots.slot_of(*at).map_or(0, |slot| slot.0);
        let line = case.source_line(slot).map(|line| (line.line, line.text));
        if let Some((number, text)) = line.filter(|line| last != Some(*line)) {
            let _ = writeln!(out, "    ; {number}: {text}");
        }
        last = line;
        let _ = writeln!(out, "    {slot:4}: {}", ebpf_asm::show(program, InsnIdx(at.0)));
    }
    out
}
