//! What the programs of a compiled script cost, in words.

use crate::driver::Compilation;
use ebpf_codegen::{Cost, Paths};
use hark_diag::SourceMap;
use hark_object::EventKind;

/// For every program, in order: its size, the helpers it calls, and what it sends.
pub fn costs(compilation: &Compilation) -> Vec<Vec<String>> {
    let lines = |stats: &ebpf_codegen::Stats| {
        let mut lines = vec![format!("{} instructions, {} bytes of stack", stats.insns, stats.stack_bytes)];
        let mut costs = stats.costs.iter();
        lines.extend(costs.next().map(run));
        lines.extend(costs.map(|cost| format!("each time it is called back, {}: {}", cost.name, run(cost))));
        lines
    };
    compilation.stats.iter().map(lines).collect()
}

fn run(cost: &Cost) -> String {
    let mut text =
        format!("helper calls: {}; about {} ns on the longest path", paths(cost.calls), cost.worst_ns);
    if cost.loops {
        text += ", loops counted as one turn";
    }
    if cost.ring_bytes.most > 0 {
        text += &format!("; bytes of the ring buffer: {}", paths(cost.ring_bytes));
    }
    text
}

fn paths(sum: Paths) -> String {
    if sum.least == sum.most {
        return sum.most.to_string();
    }
    let (whole, tenth) = (sum.typical_tenths / 10, sum.typical_tenths % 10);
    let typical = if tenth == 0 { whole.to_string() } else { format!("{whole}.{tenth}") };
    format!("{} to {}, typically {typical}", sum.least, sum.most)
}

/// For every kind of record: where in the script it is sent, and its bytes in the ring buffer with header.
pub fn records(compilation: &Compilation, sources: &SourceMap) -> Vec<String> {
    let events = compilation.object.events.iter().filter(|e| !matches!(e.kind, EventKind::RuntimeWarning(_)));
    events
        .map(|event| {
            let text = sources.text(event.span).lines().next().unwrap_or_default().trim();
            let place = sources.line_col(event.span);
            format!("line {}, {text}: {} bytes", place.line, event.size.next_multiple_of(8) + 8)
        })
        .collect()
}
