//! How a program gets to its places, and why so, in words.

use crate::attach::Method;
use crate::point::{AttachPoint, Place};

/// How a program that serves `points` is attached by `method`, and why.
pub fn describe(points: &[AttachPoint], method: Method) -> String {
    let n = points.len();
    match (method, points.first()) {
        (_, None) => "nothing: no place matches".to_owned(),
        (Method::KprobeMulti, Some(_)) => {
            format!("one kprobe_multi link for {n} functions: this kernel attaches them together")
        }
        (Method::UprobeMulti, Some(_)) => {
            format!(
                "one uprobe_multi link per file for {}: the kernel has it, and it is quick to leave",
                count(n, "place")
            )
        }
        (Method::Single, Some(first)) if n == 1 => place(&first.place).to_owned(),
        (Method::Single, Some(first)) => format!("{n} times one by one: {}", place(&first.place)),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn place(place: &Place) -> &'static str {
    match place {
        Place::OnDemand => "nothing: hark runs it itself, with BPF_PROG_TEST_RUN",
        Place::Interval { .. } => "a perf event of the CPU clock on one CPU, which is all that a timer needs",
        Place::Profile(_) => "a perf event of the CPU clock on every CPU",
        Place::Software { .. } => "a software event of perf on every CPU",
        Place::Hardware { .. } => "a counter of the processor, through perf, on every CPU",
        Place::Watchpoint { .. } => "a hardware breakpoint, through perf",
        Place::Tracepoint { .. } => "a perf event of the tracepoint: its program sees the formatted record",
        Place::RawTracepoint { .. } => "a raw tracepoint: its program sees the arguments themselves",
        Place::Kprobe { ret: true, .. } => "a kretprobe through perf: it is one function, so no multi link",
        Place::Kprobe { offset: 1.., .. } => {
            "a kprobe through perf: multi links know only the beginnings of functions"
        }
        Place::Kprobe { .. } => "a kprobe through perf: it is one function, so no multi link",
        Place::KprobeAddr { .. } => "a kprobe through perf, at an address",
        Place::Fentry => "a trampoline of the function (fentry, fexit), which the program was loaded for",
        Place::Uprobe { ret: true, .. } => {
            "a uretprobe through perf: this kernel or -p rules uprobe_multi out"
        }
        Place::Uprobe { .. } => "a uprobe through perf: this kernel or -p rules uprobe_multi out",
        Place::Iter => "an iterator, which hark reads to its end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hark_object::ProbeSpec;

    #[test]
    fn one_place_and_many() {
        let point = |ret| {
            let spec = ProbeSpec::Kprobe { module: None, func: "vfs_read".to_owned(), offset: 0, ret };
            AttachPoint::new(
                spec,
                Place::Kprobe { module: None, func: "vfs_read".to_owned(), offset: 0, ret },
            )
        };
        assert!(describe(&[], Method::Single).starts_with("nothing"));
        assert!(describe(&[point(false)], Method::Single).starts_with("a kprobe through perf"));
        assert!(
            describe(&[point(true), point(true)], Method::Single).starts_with("2 times one by one: a kret")
        );
        assert!(describe(&[point(false), point(false)], Method::KprobeMulti).contains("for 2 functions"));
    }
}
