//! Compares what the two verifiers know, not only what they conclude.
//!
//! The kernel's full log tells, after each instruction it walks, what it knows of the registers that changed. Both
//! walk in the same order, so the logs are compared line by line.

use ebpf_asm::{Program, Slot};
use std::fmt;
use verifier_sim::{Bounds, Kind, LogLine, RegState, Tnum};

/// The first thing known differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which line of the walk.
    pub line: usize,
    /// What.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "walked instruction {}: {}", self.line, self.what)
    }
}

/// Compares the simulation's log with the kernel's.
pub fn compare(p: &Program, sim: &[LogLine], kernel: &str) -> Option<Difference> {
    let slots = p.slots();
    let mut at = 0;
    for text in kernel.lines() {
        let Some((index, rest)) = text.split_once(": (") else { continue };
        let Ok(slot) = index.parse::<u32>() else { continue };
        let Some(insn) = slots.starting_at(Slot(slot)) else { continue };
        let line = at;
        at += 1;
        let Some(ours) = sim.get(line) else {
            return Some(Difference { line, what: format!("the kernel goes on at {}: {rest}", insn.0) });
        };
        if ours.at != insn {
            return Some(Difference {
                line,
                what: format!("the kernel walks {}, the simulation {}", insn.0, ours.at.0),
            });
        }
        let Some((_, state)) = rest.split_once("; ") else { continue };
        let same_path =
            |next: &&LogLine| next.at.0 == insn.0 + 1 && (next.depth, next.path) == (ours.depth, ours.path);
        let Some(next) = sim.get(line + 1).filter(same_path) else {
            continue;
        };
        for (reg, value) in registers(state) {
            let known = &next.before.regs[reg];
            if let Some(what) = differs(known, value) {
                return Some(Difference { line, what: format!("after {}: r{reg}: {what}", insn.0) });
            }
        }
    }
    if at < sim.len() {
        return Some(Difference { line: at, what: format!("the simulation goes on at {}", sim[at].at.0) });
    }
    None
}

/// `R1=scalar(…) R2=fp-16` as pairs.
fn registers(state: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut rest = state;
    while let Some(i) = rest.find('R') {
        let starts = i == 0 || rest.as_bytes()[i - 1] == b' ';
        rest = &rest[i + 1..];
        let Some((name, tail)) = rest.split_once('=').filter(|_| starts) else { continue };
        let name = name.trim_end_matches(['_', 'w', 'r', 'D']);
        let Ok(reg) = name.parse::<usize>() else { continue };
        // The value ends at a space outside of parentheses.
        let mut depth = 0;
        let end = tail
            .find(|c: char| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                c == ' ' && depth == 0
            })
            .unwrap_or(tail.len());
        if reg < 10 {
            out.push((reg, &tail[..end]));
        }
        rest = &tail[end..];
    }
    out
}

fn differs(known: &RegState, value: &str) -> Option<String> {
    let fail = || Some(format!("the kernel has {value}, the simulation {known} {:?}", known.val));
    let plain = value.strip_prefix('P').unwrap_or(value);
    if let Some(v) = number(plain) {
        return if known.as_const() == Some(v) { None } else { fail() };
    }
    if let Some(body) = plain.strip_prefix("scalar(").and_then(|s| s.strip_suffix(')')) {
        let Some(bounds) = bounds(body) else { return Some(format!("cannot read {value}")) };
        return if known.kind == Kind::Scalar && known.val == bounds { None } else { fail() };
    }
    // Pointers: their kinds, roughly.
    let fits = match known.kind {
        Kind::Scalar => false,
        Kind::Stack => plain.starts_with("fp"),
        Kind::MapValue => plain.starts_with("map_value"),
        Kind::Ctx => plain.starts_with("ctx"),
        Kind::Map => plain.starts_with("map_ptr"),
        Kind::Packet => plain.starts_with("pkt"),
        _ => true,
    };
    if fits && (known.flags.has(verifier_sim::Flags::MAYBE_NULL) == plain.contains("_or_null")) {
        None
    } else {
        fail()
    }
}

fn number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let v = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { v.wrapping_neg() } else { v })
}

/// `id=1,smin=smin32=0,smax=umax=255,var_off=(0x0; 0xff)`; what is not said is unbounded.
fn bounds(body: &str) -> Option<Bounds> {
    let mut b = Bounds::UNKNOWN;
    let mut rest = body;
    while !rest.is_empty() {
        let end = if rest.starts_with("var_off=(") {
            rest.find(')')? + 1
        } else {
            rest.find(',').unwrap_or(rest.len())
        };
        let item = &rest[..end];
        rest = rest[end..].trim_start_matches(',');
        if let Some(bits) = item.strip_prefix("var_off=(").and_then(|s| s.strip_suffix(')')) {
            let (value, mask) = bits.split_once("; ")?;
            b.bits = Tnum { value: number(value)?, mask: number(mask)? };
            continue;
        }
        let mut parts: Vec<&str> = item.split('=').collect();
        let value = parts.pop()?;
        for name in parts {
            match name {
                "smin" => b.smin = number(value)? as i64,
                "smax" => b.smax = number(value)? as i64,
                "umin" => b.umin = number(value)?,
                "umax" => b.umax = number(value)?,
                "smin32" => b.smin32 = number(value)? as i32,
                "smax32" => b.smax32 = number(value)? as i32,
                "umin32" => b.umin32 = number(value)? as u32,
                "umax32" => b.umax32 = number(value)? as u32,
                _ => {}
            }
        }
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_notation() {
        let regs = registers("R1=scalar(id=1,smin=smin32=-255,smax=smax32=0) R2=fp-16 R10=fp0 fp-16=????3");
        assert_eq!(regs, [(1, "scalar(id=1,smin=smin32=-255,smax=smax32=0)"), (2, "fp-16")]);
        let b = bounds("id=1,smin=smin32=-255,umax=0xff00,var_off=(0x0; 0xff)").expect("readable");
        assert_eq!((b.smin, b.smin32, b.smax, b.umax, b.bits.mask), (-255, -255, i64::MAX, 0xff00, 0xff));
    }
}
