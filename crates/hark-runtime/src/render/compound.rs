//! Tuples, records and structs as text.

use super::{Context, text};
use crate::value::Members;

/// Members separated by `, `.
pub(super) fn list(cx: &Context<'_>, members: Members<'_>, div: i64, out: &mut Vec<u8>) {
    for (i, (_, member)) in members.enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        text::value(cx, &member, div, out);
    }
}

/// `{ .a = 1, .b = x }`, or `{}` without members.
pub(super) fn fields(cx: &Context<'_>, members: Members<'_>, div: i64, out: &mut Vec<u8>) {
    let from = out.len();
    for (name, member) in members {
        out.extend_from_slice(if out.len() == from { b"{ ." } else { b", ." });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" = ");
        text::value(cx, &member, div, out);
    }
    out.extend_from_slice(if out.len() == from { b"{}" } else { b" }" });
}
