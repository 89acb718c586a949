//! Tests of the whole crate: text in, tree, messages or text out.

mod c_definitions;
mod errors;
mod expressions;
mod formatting;
mod generate;
mod items;
mod preprocessor;
mod properties;
mod statements;
mod tools;

use hark_diag::{SourceMap, Style, render};
use hark_syntax::{ParseOptions, Parsed, dump, parse};

/// A name that counts as `#define`d.
fn defined(name: &str) -> ParseOptions {
    ParseOptions { predefined: vec![name.to_string()], ..ParseOptions::default() }
}

/// Parses a script; second, its messages as a user sees them.
fn parse_text(text: &str, options: &ParseOptions) -> (Parsed, String) {
    let mut map = SourceMap::default();
    let file = map.add("test.bt", text);
    let parsed = parse(file, text, options);
    let messages = render(&map, &parsed.diags, Style::Plain);
    (parsed, messages)
}

/// The tree of a script without errors.
#[track_caller]
fn tree(text: &str) -> String {
    let (parsed, messages) = parse_text(text, &ParseOptions::default());
    assert!(parsed.diags.is_empty(), "{messages}");
    dump(&parsed.script)
}

/// The messages for a script.
fn messages(text: &str) -> String {
    parse_text(text, &ParseOptions::default()).1
}

/// The tree of the body of a probe, less one level.
#[track_caller]
fn body(text: &str) -> String {
    let tree = tree(&format!("BEGIN {{ {text} }}"));
    let lines = tree.lines().skip_while(|l| *l != "  body").skip(1);
    lines.map(|l| format!("{}\n", l.strip_prefix("    ").unwrap_or(l))).collect()
}
