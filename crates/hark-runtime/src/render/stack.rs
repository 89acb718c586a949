//! Stacks as text: a line end, then a line per frame.

use super::{Context, decimal, text};
use crate::names::Frame;
use crate::value::word;
use hark_object::StackMode;

/// The frames of a kernel stack, or of a user stack of process `pid`.
pub(super) fn render(cx: &Context<'_>, pid: Option<u64>, mode: StackMode, frames: &[u8], out: &mut Vec<u8>) {
    out.push(b'\n');
    for frame in frames.chunks_exact(8) {
        let addr = word(frame, 0);
        match (mode, pid) {
            (StackMode::Raw, _) => raw(addr, out),
            (StackMode::BuildId, pid) => match pid.and_then(|pid| cx.names.file_place(pid, addr)) {
                Some(place) => {
                    out.extend_from_slice(place.build_id.as_bytes());
                    text::hex(out, " 0x", place.offset);
                    out.push(b'\n');
                }
                None => raw(addr, out),
            },
            (StackMode::Bpftrace | StackMode::Perf, Some(pid)) => {
                named(mode, true, addr, &cx.names.user(pid, addr), out);
            }
            (StackMode::Bpftrace | StackMode::Perf, None) => {
                named(
                    mode,
                    false,
                    addr,
                    cx.names.kernel(addr).as_deref().map_or(&[], std::slice::from_ref),
                    out,
                );
            }
        }
    }
}

fn raw(addr: u64, out: &mut Vec<u8>) {
    text::hex(out, "", addr);
    out.push(b'\n');
}

/// A line for each function that an address is in, inlined ones first; the bare address if none is known.
fn named(mode: StackMode, user: bool, addr: u64, frames: &[Frame], out: &mut Vec<u8>) {
    let perf = mode == StackMode::Perf;
    let begin = |out: &mut Vec<u8>| {
        if perf {
            out.push(b'\t');
            text::hex(out, "", addr);
            out.push(b' ');
        } else {
            out.extend_from_slice(b"        ");
        }
    };
    for frame in frames {
        begin(out);
        if frame.inlined && !perf {
            out.extend_from_slice(b"[inlined] ");
        }
        out.extend_from_slice(frame.name.as_bytes());
        if !frame.inlined {
            out.push(b'+');
            decimal(out, i128::from(frame.offset));
        }
        if let Some(line) = &frame.line {
            out.extend(format!("@{}:{}", line.file.display(), line.line).bytes());
        }
        if perf && frame.inlined {
            out.extend_from_slice(b" (inlined)");
        } else if perf && user {
            module(&frame.module, out);
        }
        out.push(b'\n');
    }
    if frames.is_empty() {
        begin(out);
        text::address(out, addr);
        if perf && user {
            module("", out);
        }
        out.push(b'\n');
    }
}

fn module(name: &str, out: &mut Vec<u8>) {
    let name = if name.is_empty() { "[unknown]" } else { name };
    out.extend(format!(" ({name})").bytes());
}
