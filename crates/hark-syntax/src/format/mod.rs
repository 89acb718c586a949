//! The formatter: `hark fmt`.
//!
//! Two blanks per level; the brace of an item on a line of its own, that of a statement behind it; at most one
//! empty line between statements and one between items; long lists and conditions are broken and aligned. Numbers
//! and strings keep their spelling, parentheses stay, comments and preprocessor lines keep their place, and C
//! definitions are left as they are. A statement with a comment inside is left as it is, too.

mod c;
mod doc;
mod expr;
mod items;
mod stmt;

use crate::ast::{Comment, Script};
use crate::outline::{self, RawItem};
use crate::{MacroCalls, ParseOptions, Parsed, dump, parse, preprocess};
use hark_diag::{Code, Diagnostic, FileId, Span};
use std::ops::Range;

/// Formats a script.
///
/// # Errors
/// What is wrong with the script: one with errors is not formatted. A result that would not mean the same is a
/// defect of the formatter and reported as one, too.
pub fn format(file: FileId, source: &str, options: &ParseOptions) -> Result<String, Vec<Diagnostic>> {
    let options = ParseOptions { macro_calls: MacroCalls::Keep, ..options.clone() };
    let parsed = parse(file, source, &options);
    if parsed.has_errors() {
        return Err(parsed.diags);
    }
    let formatted = print_with_source(file, &parsed, source, &options);
    let again = parse(file, &formatted, &options);
    if again.has_errors() || dump(&again.script) != dump(&parsed.script) {
        let message = "the formatter would change what this script means; it is left as it is";
        return Err(vec![Diagnostic::error(Code::INTERNAL, Span::new(file, 0, 1), message)]);
    }
    Ok(formatted)
}

/// Writes a tree as a script that parses to it. Comments and directives are not written.
pub fn print(script: &Script) -> String {
    let mut printer = Printer::new("", Vec::new());
    if let Some(shebang) = &script.shebang {
        printer.line(shebang);
    }
    for include in &script.includes {
        let (open, close) = if include.system { ('<', '>') } else { ('"', '"') };
        printer.line(&format!("#include {open}{}{close}", include.path));
    }
    for define in &script.defines {
        let value = printer.expr(&define.value, 0).flat();
        printer.line(&format!("#define {} {value}", define.name.text));
    }
    for def in &script.c_defs {
        let text = printer.c_def(def);
        printer.line(&text);
    }
    if !script.config.is_empty() {
        printer.config(&script.config, None);
    }
    for import in &script.imports {
        printer.import(import);
    }
    for (n, item) in script.items.iter().enumerate() {
        if n > 0 || !printer.out.is_empty() {
            printer.blank_line();
        }
        printer.item(item);
    }
    printer.finish()
}

fn print_with_source(file: FileId, parsed: &Parsed, source: &str, options: &ParseOptions) -> String {
    let script = &parsed.script;
    let clean = preprocess::preprocess(file, source, &options.predefined).clean;
    let (raw, _) = outline::script(file, &clean);
    let mut trivia: Vec<Trivia> = Vec::new();
    trivia.extend(script.comments.iter().map(|c| Trivia { comment: c.clone(), directive: false }));
    trivia.extend(script.directives.iter().map(|c| Trivia { comment: c.clone(), directive: true }));
    trivia.sort_by_key(|t| t.comment.span.lo);
    let mut printer = Printer::new(source, trivia);
    if let Some(shebang) = &script.shebang {
        printer.line(shebang);
        printer.last = shebang.len();
    }
    let mut items = script.items.iter();
    let mut imports = script.imports.iter();
    let mut before = Kind::Nothing;
    for raw in &raw {
        let (start, kind) = match raw {
            RawItem::Probe { head, .. } | RawItem::Macro { head, .. } | RawItem::Func { head, .. } => {
                (head.start, Kind::Braced)
            }
            RawItem::Config(range) => (range.start, Kind::Braced),
            RawItem::Import(range) => (range.start, Kind::Import),
            RawItem::MapDecl(range) => (range.start, Kind::MapDecl),
            RawItem::CDef(range) => (range.start, Kind::CDef),
        };
        let apart = before != Kind::Nothing && (kind == Kind::Braced || kind != before);
        printer.leading(start, apart);
        match raw {
            RawItem::Config(range) => printer.config(&script.config, Some(range.clone())),
            RawItem::Import(range) => {
                imports.next().iter().for_each(|i| printer.import(i));
                printer.last = range.end;
            }
            RawItem::CDef(range) => printer.verbatim(range.clone()),
            RawItem::Probe { end, .. } | RawItem::Macro { end, .. } | RawItem::Func { end, .. } => {
                items.next().iter().for_each(|i| printer.item(i));
                printer.last = *end;
            }
            RawItem::MapDecl(range) => {
                items.next().iter().for_each(|i| printer.item(i));
                printer.last = range.end;
            }
        }
        before = kind;
    }
    printer.leading(source.len(), false);
    printer.finish()
}

/// What an item looks like from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Braced,
    Import,
    MapDecl,
    CDef,
}

/// A comment or a preprocessor line.
struct Trivia {
    comment: Comment,
    directive: bool,
}

struct Printer<'a> {
    source: &'a str,
    /// In order of place; those before `next` are written.
    trivia: Vec<Trivia>,
    next: usize,
    out: String,
    indent: usize,
    /// Offset in the source of the end of what was written last.
    last: usize,
}

impl<'a> Printer<'a> {
    fn new(source: &'a str, trivia: Vec<Trivia>) -> Self {
        Self { source, trivia, next: 0, out: String::new(), indent: 0, last: 0 }
    }

    fn finish(mut self) -> String {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }

    fn source_of(&self, span: Span) -> &'a str {
        self.source.get(span.lo as usize..span.hi as usize).unwrap_or_default()
    }

    // -------------------------------------------------------------------------------------------- lines, comments

    /// Begins a line.
    fn start_line(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', self.indent));
    }

    fn line(&mut self, text: &str) {
        self.start_line();
        self.out.push_str(text);
    }

    /// An empty line, unless there is one or nothing before it.
    fn blank_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") && !self.out.ends_with("{") {
            self.out.push('\n');
        }
    }

    /// Source as it is.
    fn verbatim(&mut self, range: Range<usize>) {
        let text = self.source.get(range.clone()).unwrap_or_default().trim_end();
        self.line(text);
        while self.trivia.get(self.next).is_some_and(|t| (t.comment.span.lo as usize) < range.end) {
            self.next += 1;
        }
        self.last = range.end;
    }

    /// Writes what stands before `start` in the source and is not written yet: comments, directives, and an empty
    /// line if there was one or `apart` asks for one.
    fn leading(&mut self, start: usize, mut apart: bool) {
        while let Some(trivia) = self.trivia.get(self.next).filter(|t| (t.comment.span.lo as usize) < start) {
            let Span { lo, hi, .. } = trivia.comment.span;
            let text = trivia.comment.text.clone();
            let directive = trivia.directive;
            self.next += 1;
            let between = self.source.get(self.last..lo as usize).unwrap_or_default();
            let same_line = !directive && !self.out.is_empty() && !between.contains('\n');
            if same_line {
                self.out.push(' ');
                self.out.push_str(&text);
            } else {
                if (apart && !directive) || newlines(between) > 1 {
                    self.blank_line();
                }
                apart = false;
                if directive {
                    // At the start of the line, whatever the indentation.
                    if !self.out.is_empty() {
                        self.out.push('\n');
                    }
                    self.out.push_str(&text);
                } else {
                    self.line(&text);
                }
            }
            self.last = hi as usize;
        }
        let between = self.source.get(self.last..start).unwrap_or_default();
        if start < self.source.len() && (apart || newlines(between) > 1) {
            self.blank_line();
        }
    }

    /// Comments between the parts of a head; without an empty line.
    fn leading_if_sourced(&mut self, lo: u32) {
        while let Some(trivia) = self.trivia.get(self.next).filter(|t| t.comment.span.lo < lo) {
            let span = trivia.comment.span;
            let before = self.source.get(self.last..span.lo as usize).unwrap_or_default();
            let text = trivia.comment.text.clone();
            let directive = trivia.directive;
            self.next += 1;
            if directive {
                self.out.push('\n');
                self.out.push_str(&text);
            } else if before.contains('\n') {
                self.line(&text);
            } else {
                self.out.push(' ');
                self.out.push_str(&text);
            }
            self.last = span.hi as usize;
        }
    }

    fn skip_trivia(&mut self, hi: u32) {
        while self.trivia.get(self.next).is_some_and(|t| t.comment.span.lo < hi) {
            self.next += 1;
        }
    }

    /// Whether something that is not code stands in the span and is not written yet.
    fn has_trivia(&self, lo: u32, hi: u32) -> bool {
        self.trivia[self.next..].iter().map(|t| t.comment.span.lo).any(|at| at > lo && at < hi)
    }
}

/// How many lines end in `text`.
fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}
