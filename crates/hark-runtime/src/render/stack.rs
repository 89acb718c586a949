//! Stacks as text: a line end, then a line per frame.

use super::{Context, decimal, text};
use crate::value::word;
use hark_object::StackMode;

/// The frames of a kernel stack, or of a user stack of process `pid`.
pub(super) fn render(cx: &Context<'_>, pid: Option<u64>, mode: StackMode, frames: &[u8], out: &mut Vec<u8>) {
    out.push(b'\n');
    for frame in frames.chunks_exact(8) {
        let addr = word(frame, 0);
        match mode {
            StackMode::Raw => text::hex(out, "", addr),
            StackMode::Bpftrace => {
                out.extend_from_slice(b"        ");
                symbol(cx, pid, addr, false, out);
            }
            StackMode::Perf => {
                out.push(b'\t');
                text::hex(out, "", addr);
                out.push(b' ');
                symbol(cx, pid, addr, true, out);
            }
            StackMode::BuildId => match pid.and_then(|pid| cx.names.file_place(pid, addr)) {
                Some(place) => {
                    out.extend_from_slice(place.build_id.as_bytes());
                    text::hex(out, " 0x", place.offset);
                }
                None => text::hex(out, "", addr),
            },
        }
        out.push(b'\n');
    }
}

/// `name+offset`, or the address; with the binary for user addresses if wished.
fn symbol(cx: &Context<'_>, pid: Option<u64>, addr: u64, with_module: bool, out: &mut Vec<u8>) {
    let found = match pid {
        Some(pid) => cx.names.user(pid, addr),
        None => cx.names.kernel(addr),
    };
    match &found {
        Some(symbol) => {
            out.extend_from_slice(symbol.name.as_bytes());
            out.push(b'+');
            decimal(out, i128::from(symbol.offset));
        }
        None => text::address(out, addr),
    }
    if with_module && pid.is_some() {
        let module = found.as_ref().map(|symbol| symbol.module.as_str()).filter(|module| !module.is_empty());
        out.extend_from_slice(b" (");
        out.extend_from_slice(module.unwrap_or("[unknown]").as_bytes());
        out.push(b')');
    }
}
