//! Texts to trees and back.

use super::Finding;
use crate::agree::rng::Rng;
use hark_diag::{FileId, SourceMap, Style, render};
use hark_syntax::{ParseOptions, dump, format, parse, parse_header};

/// Pieces of which scripts consist, whole and broken.
const TOKENS: &[&str] = &[
    "BEGIN",
    "END",
    "kprobe:f",
    "interval:s:1",
    "tracepoint:a:b",
    "uprobe:/bin/x:f",
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ";",
    ";",
    ";",
    ",",
    "$a",
    "$b",
    "@b",
    "@",
    "@c[1, 2]",
    "1",
    "0",
    "10ms",
    "0xff",
    "1e3",
    "1_000",
    "0x",
    "\"x\"",
    "\"%d\\n\"",
    "\"",
    "'",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "~",
    "!",
    "=",
    "+=",
    "<<=",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "<<",
    ">>",
    "++",
    "--",
    "->",
    ".",
    "..",
    "?",
    ":",
    "&&",
    "||",
    "if",
    "else",
    "for",
    "while",
    "unroll",
    "let",
    "return",
    "break",
    "continue",
    "struct",
    "union",
    "enum",
    "typedef",
    "config",
    "import",
    "macro",
    "fn",
    "comptime",
    "sizeof",
    "offsetof",
    "typeof",
    "int32",
    "uint64",
    "string",
    "_",
    "printf",
    "count()",
    "hist",
    "str",
    "pid",
    "comm",
    "nsecs",
    "args.x",
    "arg0",
    "//",
    "/*",
    "*/",
    "\n",
    "\n",
    "\n#if 1",
    "\n#ifdef X",
    "\n#else",
    "\n#endif",
    "\n#define X 1",
    "\n#define F(a) a",
    "\n#include <x.h>",
    "\\",
    "é",
    "\u{1}",
    "\0",
    "#",
    "$#",
    "$1",
    "x",
    "true",
];

/// Parses a script, and formats it if it has no errors.
///
/// # Errors
/// If formatting fails, changes the tree, or does not settle at once.
pub fn parser(text: &str) -> Finding {
    let options = ParseOptions::default();
    let mut map = SourceMap::default();
    let file = map.add("script.bt", text);
    let parsed = parse(file, text, &options);
    // Every place that is told can be shown.
    render(&map, &parsed.diags, Style::Plain);
    parse_header(FileId(0), text, &options);
    if parsed.has_errors() {
        return Ok(());
    }
    let once = format(file, text, &options).map_err(|d| format!("cannot be formatted: {d:?}\n{text}"))?;
    let again = parse(file, &once, &options);
    if again.has_errors() {
        return Err(format!("the formatted text has errors: {:?}\n{text}\n---\n{once}", again.diags));
    }
    let (before, after) = (dump(&parsed.script), dump(&again.script));
    if before != after {
        return Err(format!("formatting changes the tree\n{text}\n---\n{once}\n---\n{before}\n---\n{after}"));
    }
    match format(file, &once, &options) {
        Ok(twice) if twice == once => Ok(()),
        Ok(twice) => Err(format!("formatting does not settle\n{text}\n---\n{once}\n---\n{twice}")),
        Err(diags) => Err(format!("what was formatted cannot be formatted: {diags:?}\n{once}")),
    }
}

/// As [`parser`], for a text of tokens that the bytes choose.
///
/// # Errors
/// As for [`parser`].
pub fn parser_of_tokens(bytes: &[u8]) -> Finding {
    let mut rng = Rng::from_bytes(bytes);
    let blank = if rng.chance(80) { " " } else { "" };
    let mut text = String::new();
    while !rng.is_spent() {
        text.push_str(rng.pick::<&str>(TOKENS));
        text.push_str(blank);
    }
    parser(&text)
}
