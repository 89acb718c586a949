//! Going on after an error: which part of a block is to be left out.

use crate::MAX_DEPTH;
use std::ops::Range;

/// What a part that could not be parsed is overwritten with; the grammar takes a run of it as an expression.
pub(crate) const MARK: u8 = 1;

/// Where brackets are nested deeper than [`MAX_DEPTH`], if anywhere.
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0u32;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A level of braces, as far as the statements in it have been read.
#[derive(Clone, Copy)]
struct Level {
    /// Where the statement that is being read begins.
    start: usize,
    /// Where its condition begins, if it is one that has a condition and a block.
    header: Option<usize>,
}

/// The part of `text`, the inside of a block, to leave out because of an error at `at`: the statement around it, or,
/// in the head of an `if`, `while` or `unroll`, the condition. `None` if nothing is left there.
pub(crate) fn statement_around(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let at = at.min(bytes.len());
    let mut levels = vec![Level { start: 0, header: None }];
    let mut pos = 0;
    let mut before = levels[0];
    while pos < at {
        let byte = bytes[pos];
        let level = levels.len() - 1;
        match byte {
            b'"' => {
                let end = string_end(bytes, pos);
                if end > at {
                    break;
                }
                pos = end;
                continue;
            }
            b'{' => levels.push(Level { start: pos + 1, header: None }),
            b'}' => {
                if level > 0 {
                    levels.pop();
                }
                let top = levels.len() - 1;
                before = levels[top];
                levels[top] = Level { start: pos + 1, header: None };
            }
            b';' => {
                before = levels[level];
                levels[level] = Level { start: pos + 1, header: None };
            }
            b if b.is_ascii_alphabetic() => {
                let end = pos + bytes[pos..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                if matches!(&text[pos..end], "if" | "while" | "unroll")
                    && (pos == 0 || !matches!(bytes[pos - 1], b'_' | b'$' | b'@' | b'.' | b'0'..=b'9'))
                    && bytes.get(end) != Some(&b'_')
                {
                    levels[level].header = Some(end);
                }
                pos = end;
                continue;
            }
            _ => {}
        }
        pos += 1;
    }
    let level = levels[levels.len() - 1];
    if let Some(header) = level.header {
        let end = header_end(bytes, header.max(at).min(bytes.len()));
        if bytes.get(end) == Some(&b'{')
            && let Some(range) = solid(bytes, header..end)
        {
            return Some(range);
        }
    }
    if bytes.get(at) == Some(&MARK) {
        // What was left out is missed by the statement before it.
        return solid(bytes, before.start..at);
    }
    let end = statement_end(bytes, at);
    // Where nothing is left to leave out, the statement before was the one without end.
    solid(bytes, level.start..end).or_else(|| solid(bytes, before.start..end))
}

/// `range` without blanks around it; `None` if nothing, or only what has been marked, is left.
fn solid(bytes: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let part = bytes.get(range.clone())?;
    let lead = part.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let tail = part[lead..].iter().rev().take_while(|b| b.is_ascii_whitespace()).count();
    let range = range.start + lead..range.end - tail;
    bytes[range.clone()].iter().any(|b| *b != MARK).then_some(range)
}

/// The `{` after a condition, or where it cannot be any more.
fn header_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'}' | b';' => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// One past the end of the statement that goes on at `from`: its `;`, the block it ends with, or the `}` around it.
fn statement_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0u32;
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth == 0 => return at,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    let next = bytes[at + 1..].iter().position(|b| !b.is_ascii_whitespace());
                    let next = next.map_or(&[][..], |n| &bytes[at + 1 + n..]);
                    let goes_on =
                        next.starts_with(b"else") || next.first().is_some_and(|b| b";),.?:".contains(b));
                    if !goes_on {
                        return at + 1;
                    }
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out for an error at the `|` in `text`.
    fn around(text: &str) -> String {
        let at = text.find('|').unwrap();
        let text = text.replace('|', "");
        statement_around(&text, at).map_or_else(String::new, |r| text[r].to_string())
    }

    #[test]
    fn leaves_out_one_statement() {
        assert_eq!(around("a(); b(|%); c();"), "b(%);");
        assert_eq!(around("a(); if (x) { b(|%); c(); } d();"), "b(%);");
        assert_eq!(around("a(); if (x |% y) { b(); } d();"), "(x % y)");
        assert_eq!(around("a(); if x { } else if |) { b(); } d();"), ")");
        assert_eq!(around("print(\"a;b\" |x); c();"), "print(\"a;b\" x);");
        assert_eq!(around("for (|x) { a(); } b();"), "for (x) { a(); }");
        assert_eq!(around("a( |"), "a(");
        assert_eq!(around("a(;|"), "a(;");
        assert_eq!(around("|"), "");
    }

    #[test]
    fn nesting_counts_all_brackets_outside_of_strings() {
        let half = MAX_DEPTH as usize / 2;
        let text = format!(
            "\"(((\"{}{}{}{}",
            "[(".repeat(half),
            ")]".repeat(half),
            "{".repeat(half),
            "}".repeat(half)
        );
        assert_eq!(too_deep(&text), None);
        assert_eq!(too_deep(&format!("{}{{", "[(".repeat(half))), Some(2 * half));
    }
}
