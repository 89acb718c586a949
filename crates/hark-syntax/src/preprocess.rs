//! The preprocessor: decides conditionals, collects `#include`s, `#define`s and comments.
//!
//! It never moves text. What the grammar is not to see (the `#!` line, comments, directives, excluded lines) is
//! overwritten with blanks in a copy of equal length, so that every offset is an offset into the file.

mod condition;

use crate::ast::{Comment, Include};
use hark_diag::{Code, Diagnostic, FileId, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a text says to the preprocessor, and what is left of it.
#[derive(Debug, Default)]
pub(crate) struct Preprocessed {
    /// The text with blanks for all that is not code; as long as the original.
    pub(crate) clean: String,
    /// The `#!` line.
    pub(crate) shebang: Option<String>,
    /// `#include`s that are not excluded.
    pub(crate) includes: Vec<Include>,
    /// Comments in code that is not excluded.
    pub(crate) comments: Vec<Comment>,
    /// Directives with the lines that they exclude, verbatim.
    pub(crate) directives: Vec<Comment>,
    /// What names stand for at the end of the text.
    pub(crate) macros: Macros,
    /// Complaints.
    pub(crate) diags: Vec<Diagnostic>,
}

/// Everything `#define`d.
#[derive(Clone, Debug, Default)]
pub(crate) struct Macros {
    /// Names without parameters.
    pub(crate) objects: BTreeMap<String, ObjectMacro>,
    /// Names with parameters.
    pub(crate) functions: BTreeMap<String, FunctionMacro>,
    /// Names that are only known to be defined (given from outside).
    pub(crate) predefined: BTreeSet<String>,
}

/// `#define NAME text`
#[derive(Clone, Debug)]
pub(crate) struct ObjectMacro {
    /// Where the name stands.
    pub(crate) span: Span,
    /// What it stands for; `None` if for nothing.
    pub(crate) text: Option<MacroText>,
    /// Whether the text is an expression, as far as has been looked.
    pub(crate) is_expr: bool,
}

/// The text of a `#define`, comments and line continuations blanked out.
#[derive(Clone, Debug)]
pub(crate) struct MacroText {
    /// The text, trimmed.
    pub(crate) text: String,
    /// Where it begins in the file.
    pub(crate) offset: usize,
}

/// `#define NAME(a, b) text`
#[derive(Clone, Debug)]
pub(crate) struct FunctionMacro {
    /// Names of parameters.
    pub(crate) params: Vec<String>,
    /// What a use becomes.
    pub(crate) text: String,
    /// Where the name stands.
    pub(crate) span: Span,
}

impl Macros {
    fn is_defined(&self, name: &str) -> bool {
        self.predefined.contains(name) || self.functions.contains_key(name) || self.objects.contains_key(name)
    }

    /// Names without parameters that the text defines, as `NAME` or `NAME=text`.
    pub(crate) fn listed(&self) -> Vec<String> {
        let entry = |(name, object): (&String, &ObjectMacro)| match &object.text {
            Some(text) => format!("{name}={}", text.text),
            None => name.clone(),
        };
        self.objects.iter().map(entry).collect()
    }

    fn undef(&mut self, name: &str) {
        self.predefined.remove(name);
        self.functions.remove(name);
        self.objects.remove(name);
    }
}

/// Runs the preprocessor over `text`; `predefined` are names (or `NAME=text`) that count as `#define`d.
pub(crate) fn preprocess(file: FileId, text: &str, predefined: &[String]) -> Preprocessed {
    let mut out = Preprocessed::default();
    for name in predefined {
        let name = name.split('=').next().unwrap_or_default();
        out.macros.predefined.insert(name.to_string());
    }
    let mut scan = Scanner {
        file,
        text,
        bytes: text.as_bytes(),
        clean: text.as_bytes().to_vec(),
        pos: 0,
        depth: 0,
        colon_in_run: false,
        conditionals: Vec::new(),
        predefined,
        out,
    };
    scan.run();
    scan.finish()
}

/// An open `#if`.
struct Conditional {
    /// Whether lines around it are read.
    outer: bool,
    /// Whether lines in it are read now.
    active: bool,
    /// Whether a branch has been taken already.
    taken: bool,
    /// Whether `#else` has been seen.
    in_else: bool,
    /// The `#if`, for messages.
    span: Span,
}

struct Scanner<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    clean: Vec<u8>,
    pos: usize,
    /// Open braces.
    depth: u32,
    /// Outside of braces: whether the run of characters we are in has a colon before, as attach points have. In
    /// them `/*` and `//` are text: `uprobe:/usr/lib/*:malloc`.
    colon_in_run: bool,
    conditionals: Vec<Conditional>,
    predefined: &'a [String],
    out: Preprocessed,
}

impl Scanner<'_> {
    fn run(&mut self) {
        // A byte order mark says nothing.
        if self.text.starts_with('\u{feff}') {
            self.blank(0..3);
            self.pos = 3;
        }
        if self.bytes.starts_with(b"#!") {
            let end = self.line_end(0);
            self.out.shebang = Some(self.text[..end].trim_end().to_string());
            self.blank(0..end);
            self.pos = end;
        }
        let mut line_start = true;
        while self.pos < self.bytes.len() {
            if line_start {
                line_start = false;
                self.directive_lines();
                continue;
            }
            let byte = self.bytes[self.pos];
            let next = self.bytes.get(self.pos + 1).copied();
            match byte {
                b'\n' => {
                    line_start = true;
                    self.colon_in_run = false;
                    self.pos += 1;
                }
                b'"' => self.string(),
                b'/' if next == Some(b'/') && !self.colon_in_run => {
                    let end = self.line_end(self.pos);
                    self.comment(self.pos..end);
                }
                b'/' if next == Some(b'*') && !self.colon_in_run => {
                    let body = self.pos + 2;
                    let end = match self.text[body..].find("*/") {
                        Some(n) => body + n + 2,
                        None => {
                            let span = self.span(self.pos..body);
                            self.out.diags.push(
                                Diagnostic::error(Code::SYNTAX, span, "this comment is never closed")
                                    .with_help("add `*/`"),
                            );
                            self.bytes.len()
                        }
                    };
                    self.comment(self.pos..end);
                }
                b'{' => {
                    self.depth += 1;
                    self.colon_in_run = false;
                    self.pos += 1;
                }
                b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.pos += 1;
                }
                b':' if self.depth == 0 => {
                    self.colon_in_run = true;
                    self.pos += 1;
                }
                b',' | b' ' | b'\t' | b'\r' => {
                    self.colon_in_run = false;
                    self.pos += 1;
                }
                // The mark of what could not be parsed must not come from the text.
                0..=8 | 14..=31 => {
                    self.clean[self.pos] = b'?';
                    self.pos += 1;
                }
                _ => self.pos += 1,
            }
        }
    }

    /// At the start of a line: handles directives and skips what they exclude.
    fn directive_lines(&mut self) {
        let from = self.pos;
        while self.pos < self.bytes.len() {
            let start =
                self.pos + self.bytes[self.pos..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let active = self.conditionals.last().is_none_or(|c| c.active);
            if self.bytes.get(start) == Some(&b'#') {
                let end = self.logical_line_end(start);
                self.directive(start..end, active);
                self.blank(start..end);
                self.pos = (end + 1).min(self.bytes.len());
            } else if active {
                break;
            } else {
                let end = self.line_end(self.pos);
                self.blank(self.pos..end);
                self.pos = (end + 1).min(self.bytes.len());
            }
        }
        if self.pos > from {
            let text = self.text[from..self.pos].trim_end_matches(['\n', '\r']);
            let span = self.span(from..from + text.len());
            self.out.directives.push(Comment { text: text.to_string(), span });
        }
    }

    fn directive(&mut self, range: Range<usize>, active: bool) {
        let span = self.span(range.clone());
        let line = without_comments(&self.text[range.clone()]);
        let word_at = 1 + line[1..].len() - line[1..].trim_start().len();
        let word_len = line[word_at..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let word = &line[word_at..word_at + word_len];
        let rest_at = word_at + word_len;
        let rest = &line[rest_at..];
        match word {
            "ifdef" | "ifndef" => {
                let name = rest.trim();
                let holds = self.out.macros.is_defined(name) == (word == "ifdef");
                if active && !is_name(name) {
                    self.complain(span, format!("#{word} needs a name"));
                }
                self.open(span, active && holds, active);
            }
            "if" => {
                let holds = active && self.condition(rest, range.start + rest_at);
                self.open(span, holds, active);
            }
            "elif" => {
                let tested = self.conditionals.last().is_some_and(|c| c.outer && !c.taken && !c.in_else);
                let holds = tested && self.condition(rest, range.start + rest_at);
                match self.conditionals.last_mut() {
                    Some(c) if c.in_else => self.complain(span, "#elif after #else"),
                    Some(c) => {
                        c.active = holds;
                        c.taken |= holds;
                    }
                    None => self.complain(span, "#elif without #if"),
                }
            }
            "else" => match self.conditionals.last_mut() {
                Some(c) if c.in_else => self.complain(span, "a second #else"),
                Some(c) => {
                    c.active = c.outer && !c.taken;
                    c.taken = true;
                    c.in_else = true;
                }
                None => self.complain(span, "#else without #if"),
            },
            "endif" => {
                if self.conditionals.pop().is_none() {
                    self.complain(span, "#endif without #if");
                }
            }
            _ if !active => {}
            "define" => self.define(rest, range.start + rest_at, span),
            "undef" => {
                let name = rest.trim().to_string();
                if !is_name(&name) {
                    self.complain(span, "#undef needs a name");
                }
                self.out.macros.undef(&name);
            }
            "include" | "include_next" => self.include(rest, span),
            "error" => self.complain(span, format!("#error {}", rest.trim())),
            "warning" => self.out.diags.push(Diagnostic::warning(
                Code::PREPROCESSOR,
                span,
                format!("#warning {}", rest.trim()),
            )),
            "" | "pragma" | "line" | "ident" => {}
            other => {
                let known =
                    ["include", "define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif", "error"];
                let mut diag = Diagnostic::error(
                    Code::PREPROCESSOR,
                    span,
                    format!("unknown preprocessor line `#{other}`"),
                );
                if let Some(near) = hark_diag::did_you_mean(other, known) {
                    diag = diag.with_help(format!("did you mean `#{near}`?"));
                }
                self.out.diags.push(diag);
            }
        }
    }

    fn open(&mut self, span: Span, holds: bool, active: bool) {
        self.conditionals.push(Conditional {
            outer: active,
            active: holds,
            taken: holds || !active,
            in_else: false,
            span,
        });
    }

    fn condition(&mut self, text: &str, offset: usize) -> bool {
        match condition::holds(text, &self.out.macros, self.predefined) {
            Ok(holds) => holds,
            Err(why) => {
                let lead = text.len() - text.trim_start().len();
                let span = self.span(offset + lead..offset + text.trim_end().len().max(lead));
                self.complain(span, why);
                false
            }
        }
    }

    fn define(&mut self, rest: &str, offset: usize, line: Span) {
        let name_at = rest.len() - rest.trim_start().len();
        let name_len =
            rest[name_at..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let name = &rest[name_at..name_at + name_len];
        if !is_name(name) {
            return self.complain(line, "#define needs a name");
        }
        let span = self.span(offset + name_at..offset + name_at + name_len);
        let after = &rest[name_at + name_len..];
        self.out.macros.undef(name);
        if let Some(params) = after.strip_prefix('(') {
            let Some((params, text)) = params.split_once(')') else {
                return self.complain(span, format!("the parameters of `{name}` have no closing `)`"));
            };
            let params: Vec<String> =
                params.split(',').map(|p| p.trim().to_string()).filter(|p| !p.is_empty()).collect();
            if let Some(wrong) = params.iter().find(|p| !is_name(p)) {
                return self.complain(span, format!("`{wrong}` is not a parameter that hark understands"));
            }
            let text = text.trim().to_string();
            self.out.macros.functions.insert(name.to_string(), FunctionMacro { params, text, span });
            return;
        }
        let lead = after.len() - after.trim_start().len();
        let text = after.trim();
        let text = (!text.is_empty())
            .then(|| MacroText { text: text.to_string(), offset: offset + name_at + name_len + lead });
        self.out.macros.objects.insert(name.to_string(), ObjectMacro { span, text, is_expr: false });
    }

    fn include(&mut self, rest: &str, span: Span) {
        let rest = rest.trim();
        let path = match rest.as_bytes().first() {
            Some(b'<') => rest[1..].strip_suffix('>').map(|p| (p, true)),
            Some(b'"') => rest[1..].strip_suffix('"').map(|p| (p, false)),
            _ => None,
        };
        match path {
            Some((path, system)) => {
                self.out.includes.push(Include { path: path.trim().to_string(), system, span })
            }
            None => self.complain(span, "#include needs a path in <…> or \"…\""),
        }
    }

    fn string(&mut self) {
        let start = self.pos;
        let mut at = start + 1;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return;
                }
                Some(b'\\') if self.bytes.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
                Some(b'\n') | None => break,
                Some(_) => at += 1,
            }
        }
        // Ended by the end of the line. The closing quote is taken to have been meant before the `);` at its end.
        let end = at.min(self.bytes.len());
        self.out.diags.push(
            Diagnostic::error(Code::SYNTAX, self.span(start..end), "this string is never closed")
                .with_help("a string ends with `\"` on the line it begins on; write \\n for a line end"),
        );
        let tail = self.bytes[start + 1..end].iter().rev().take_while(|b| b")]};, \t\r".contains(b)).count();
        let close = end - tail - 1;
        self.clean[start..=close].fill(b' ');
        if close > start {
            self.clean[start] = b'"';
            self.clean[close] = b'"';
        } else {
            self.clean[start] = b'0';
        }
        self.pos = close + 1;
    }

    fn comment(&mut self, range: Range<usize>) {
        let text = self.text[range.clone()].trim_end().to_string();
        let span = self.span(range.start..range.start + text.len());
        self.out.comments.push(Comment { text, span });
        self.blank(range.clone());
        self.pos = range.end;
        self.colon_in_run = false;
    }

    fn finish(mut self) -> Preprocessed {
        while let Some(open) = self.conditionals.pop() {
            self.complain(open.span, "this #if has no #endif");
        }
        // Blanking replaces whole characters, so this cannot fail; if it did, the text is not code anyway.
        self.out.clean = String::from_utf8(self.clean).unwrap_or_default();
        self.out
    }

    fn blank(&mut self, range: Range<usize>) {
        for byte in &mut self.clean[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.bytes[from..].iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |n| from + n)
    }

    /// End of a line that `\` may continue.
    fn logical_line_end(&self, from: usize) -> usize {
        let mut end = self.line_end(from);
        while end < self.bytes.len() && self.text[from..end].trim_end_matches('\r').ends_with('\\') {
            end = self.line_end(end + 1);
        }
        // A comment may continue it, too.
        let line = &self.text[from..end];
        if let Some(open) = open_comment(line) {
            end = match self.text[from + open..].find("*/") {
                Some(n) => self.line_end(from + open + n + 2),
                None => self.bytes.len(),
            };
        }
        end
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range.start as u32, range.end as u32)
    }

    fn complain(&mut self, span: Span, message: impl Into<String>) {
        self.out.diags.push(Diagnostic::error(Code::PREPROCESSOR, span, message));
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Where a `/*` begins that the line does not close.
fn open_comment(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut in_string = false;
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'/' if !in_string && next == Some(b'/') => return None,
            b'/' if !in_string && next == Some(b'*') => match line[at + 2..].find("*/") {
                Some(n) => at += 2 + n + 1,
                None => return Some(at),
            },
            _ => {}
        }
        at += 1;
    }
    None
}

/// The line with blanks for comments, line ends and continuations, as long as before.
fn without_comments(line: &str) -> String {
    let bytes = line.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    let mut in_string = false;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string && next != Some(b'\n') => at += 1,
            b'\\' | b'\n' | b'\r' => out[at] = b' ',
            b'/' if !in_string && next == Some(b'/') => {
                out[at..].fill(b' ');
                break;
            }
            b'/' if !in_string && next == Some(b'*') => {
                let end = line[at + 2..].find("*/").map_or(bytes.len(), |n| at + 2 + n + 2);
                out[at..end].fill(b' ');
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_default()
}
