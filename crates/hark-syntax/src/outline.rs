//! Cuts a text into items before the grammar sees it.
//!
//! An error then stays inside its item, a predicate ends where it must (its closing `/` is the one that a `{`
//! follows), and a missing `}` is found. Works on preprocessed text:
//! there are no comments and every string is closed.

use crate::MAX_DEPTH;
use hark_diag::{Code, Diagnostic, FileId, Span};
use std::ops::Range;

/// An item by its parts, as offsets into the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawItem {
    /// `head /predicate/ { body }`; the body without its braces.
    Probe { head: Range<usize>, predicate: Option<Range<usize>>, body: Range<usize>, end: usize },
    /// `macro … { body }`
    Macro { head: Range<usize>, body: Range<usize>, end: usize },
    /// `fn … { body }`
    Func { head: Range<usize>, body: Range<usize>, end: usize },
    /// `config = { … }`
    Config(Range<usize>),
    /// `import "…";`
    Import(Range<usize>),
    /// `let @m = …;`
    MapDecl(Range<usize>),
    /// A struct, union, enum or typedef.
    CDef(Range<usize>),
}

/// Cuts a script.
pub(crate) fn script(file: FileId, text: &str) -> (Vec<RawItem>, Vec<Diagnostic>) {
    let mut cutter = Cutter {
        file,
        text,
        bytes: text.as_bytes(),
        pos: 0,
        unclosed: 0,
        items: Vec::new(),
        diags: Vec::new(),
    };
    while cutter.next_item() {}
    (cutter.items, cutter.diags)
}

/// Cuts a C header: definitions of types are items, everything else (prototypes, variables, functions) is passed
/// over.
pub(crate) fn header(file: FileId, text: &str) -> (Vec<RawItem>, Vec<Diagnostic>) {
    let mut cutter = Cutter {
        file,
        text,
        bytes: text.as_bytes(),
        pos: 0,
        unclosed: 0,
        items: Vec::new(),
        diags: Vec::new(),
    };
    while cutter.next_declaration() {}
    (cutter.items, cutter.diags)
}

const NO_BLOCK: &str = "expected a block in braces after this";
const PROBE_HELP: &str = "a probe is followed by what it does, as in `BEGIN { printf(\"hi\\n\"); }`";

/// After so many blocks and predicates without end, ends are not looked for any more, as that costs time.
const MAX_UNCLOSED: u32 = 8;

/// The longest predicate, in bytes: where one has no end, it is not looked for in all of the text.
const MAX_PREDICATE: usize = 8 << 10;

/// How far from the start of a line its first brace is looked for, and how long a predicate can be in a text in which
/// many have no end.
const MAX_INDENT: usize = 256;

/// A line, as far as indentation tells something.
#[derive(Clone, Copy)]
struct Line {
    /// How many blanks it begins with.
    indent: usize,
    /// Where its first other character is.
    first: usize,
}

struct Cutter<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    unclosed: u32,
    items: Vec<RawItem>,
    diags: Vec<Diagnostic>,
}

impl Cutter<'_> {
    fn next_item(&mut self) -> bool {
        self.skip_blanks();
        let start = self.pos;
        let Some(byte) = self.peek() else { return false };
        match byte {
            b';' => self.pos += 1,
            b'}' => {
                self.pos += 1;
                let diag =
                    Diagnostic::error(Code::SYNTAX, self.span(start..start + 1), "this `}` closes nothing")
                        .with_help("remove it, or look for a block that is closed twice before it");
                self.diags.push(diag);
            }
            b'{' => {
                let diag = Diagnostic::error(
                    Code::SYNTAX,
                    self.span(start..start + 1),
                    "expected a probe before this block",
                )
                .with_help("a block belongs to a probe, as in `BEGIN { … }` or `kprobe:vfs_read { … }`");
                self.diags.push(diag);
                self.braces(start);
            }
            _ => {
                let word = self.word(start);
                let after = self.after_blanks(start + word.len());
                let then = self.bytes.get(after).copied();
                match word {
                    "struct" | "union" | "enum" | "typedef" if then != Some(b':') => self.c_def(start),
                    "config" if then == Some(b'=') => {
                        let brace = self.after_blanks(after + 1);
                        if self.bytes.get(brace) == Some(&b'{') {
                            self.braces(brace);
                        } else {
                            self.skip_past_semicolon();
                        }
                        self.items.push(RawItem::Config(start..self.pos));
                    }
                    "import" if then != Some(b':') => {
                        self.skip_past_semicolon();
                        self.items.push(RawItem::Import(start..self.pos));
                    }
                    "let" if then == Some(b'@') => {
                        self.skip_past_semicolon();
                        self.items.push(RawItem::MapDecl(start..self.pos));
                    }
                    "macro" | "fn" if then.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') => {
                        self.callable(start, word == "macro");
                    }
                    _ => self.probe(start),
                }
            }
        }
        true
    }

    fn callable(&mut self, start: usize, is_macro: bool) {
        let open = self.find_open_brace(start);
        let head = start..open;
        let Some((body, end)) = self.body(open, "expected a body in braces after this", None) else { return };
        self.items.push(if is_macro {
            RawItem::Macro { head, body, end }
        } else {
            RawItem::Func { head, body, end }
        });
    }

    fn probe(&mut self, start: usize) {
        let head_end = self.head(start);
        let statement = self.text[start..head_end].find(';');
        if let Some(semi) = statement {
            // Somebody wrote a statement where only probes can stand.
            self.pos = start + semi + 1;
            let diag = Diagnostic::error(
                Code::SYNTAX,
                self.span(start..start + semi),
                "this statement stands outside of a probe",
            )
            .with_help("put it into a block, as in `BEGIN { … }`");
            self.diags.push(diag);
            return;
        }
        let mut predicate = None;
        if self.peek() == Some(b'/') {
            match self.predicate_end(self.pos) {
                Predicate::Closed { slash } => {
                    predicate = Some(self.pos + 1..slash);
                    self.pos = self.after_blanks(slash + 1);
                }
                Predicate::Open { brace } => {
                    let diag = Diagnostic::error(
                        Code::SYNTAX,
                        self.span(self.pos..self.pos + 1),
                        "this predicate has no closing `/`",
                    )
                    .with_text("opened here")
                    .with_help("a predicate stands between slashes: `/pid == 42/ { … }`");
                    self.diags.push(diag);
                    predicate = Some(self.pos + 1..brace);
                    self.pos = brace;
                }
            }
        }
        let Some((body, end)) = self.body(self.pos, NO_BLOCK, Some(PROBE_HELP)) else { return };
        self.items.push(RawItem::Probe { head: start..head_end, predicate, body, end });
    }

    /// Moves over attach points to the `{`, predicate or end that follows them; returns where they end.
    fn head(&mut self, start: usize) -> usize {
        self.pos = start;
        let mut end = start;
        loop {
            self.skip_blanks();
            match self.peek() {
                None | Some(b'{') | Some(b'/') | Some(b'}') => return end,
                Some(b',') => self.pos += 1,
                Some(_) => self.attach_point(),
            }
            end = self.pos;
            // A second line that begins with a C keyword or a directive's remains is not ours.
            if self.bytes[..end].last() == Some(&b';') {
                return end;
            }
        }
    }

    /// One run of text: to white space, `,`, `{`, or a `/` before the first colon.
    fn attach_point(&mut self) {
        let mut colon = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string(),
                b'{' | b',' | b' ' | b'\t' | b'\n' | b'\r' => return,
                b'/' if !colon => return,
                b';' => {
                    self.pos += 1;
                    return;
                }
                _ => {
                    colon |= byte == b':';
                    self.pos += 1;
                }
            }
        }
    }

    /// Finds the end of the predicate that begins with the slash at `open`.
    fn predicate_end(&mut self, open: usize) -> Predicate {
        let keep = self.pos;
        let mut at = open + 1;
        let mut depth = 0u32;
        // A `/` before a `{`, but in parentheses: the end only if no other is found.
        let mut doubtful = None;
        let far = if self.unclosed < MAX_UNCLOSED { MAX_PREDICATE } else { MAX_INDENT };
        let limit = (open + far).min(self.bytes.len());
        let mut found = loop {
            let Some(&byte) = self.bytes[..limit].get(at) else { break Predicate::Open { brace: limit } };
            match byte {
                b'"' => at = self.string_end(at),
                b'(' | b'[' => {
                    depth += 1;
                    at += 1;
                }
                b')' | b']' => {
                    depth = depth.saturating_sub(1);
                    at += 1;
                }
                b'/' if self.bytes.get(self.after_blanks(at + 1)) == Some(&b'{') => {
                    if depth == 0 {
                        break Predicate::Closed { slash: at };
                    }
                    doubtful.get_or_insert(at);
                    at += 1;
                }
                // A block in parentheses, or the body if they are not closed.
                b'{' if depth > 0 => at = self.matching_brace(at, limit),
                b'{' => {
                    // The body, unless what follows the block shows that it is part of an expression.
                    let end = self.matching_brace(at, limit);
                    let next = self.after_blanks(end);
                    let goes_on = self.bytes.get(next).is_some_and(|b| b"/+-*%&|^=!<>?.".contains(b))
                        || self.text[next.min(self.text.len())..].starts_with("else");
                    if !goes_on {
                        break Predicate::Open { brace: at };
                    }
                    at = end;
                }
                b';' => {
                    // No expression contains one outside of a block: the brace was forgotten, too.
                    break Predicate::Open { brace: at };
                }
                _ => at += 1,
            }
        };
        self.unclosed += u32::from(matches!(found, Predicate::Open { .. }));
        if let (Predicate::Open { .. }, Some(slash)) = (&found, doubtful) {
            found = Predicate::Closed { slash };
        }
        self.pos = keep;
        found
    }

    /// The block at `open`: its content and its end. `None`, with a message, if there is none.
    fn body(&mut self, open: usize, message: &str, help: Option<&str>) -> Option<(Range<usize>, usize)> {
        if self.bytes.get(open) != Some(&b'{') {
            let at = open.min(self.bytes.len());
            let lo = self.text[..at].trim_end().len();
            let span = self.span(lo.saturating_sub(1)..lo);
            let mut diag = Diagnostic::error(Code::SYNTAX, span, message);
            diag.helps.extend(help.map(str::to_string));
            self.diags.push(diag);
            self.pos = (at + usize::from(at < self.bytes.len())).max(self.pos);
            return None;
        }
        let closed = self.braces(open);
        let end = self.pos;
        Some((open + 1..if closed { end - 1 } else { end }, end))
    }

    /// Moves past the block at `open`; false if it is not closed, which is reported.
    fn braces(&mut self, open: usize) -> bool {
        // Open brackets with the indentation of their lines.
        let mut stack: Vec<(u8, usize, usize)> = Vec::new();
        let mut suspect = None;
        let mut line = self.line_of(open);
        let mut at = open;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => {
                    at = self.string_end(at);
                    continue;
                }
                b'\n' => line = self.line_of(at + 1),
                b'{' | b'(' | b'[' => {
                    stack.push((byte, at, line.indent));
                }
                b'}' => {
                    while stack.last().is_some_and(|(b, ..)| *b != b'{') {
                        stack.pop();
                    }
                    // A `}` that stands further left than its `{` probably closes another.
                    if let Some((_, opener, indent)) = stack.pop()
                        && suspect.is_none()
                        && at == line.first
                        && line.indent < indent
                    {
                        suspect = Some(opener);
                    }
                    if stack.is_empty() {
                        self.pos = at + 1;
                        return true;
                    }
                }
                b')' | b']' => {
                    let opener = if byte == b')' { b'(' } else { b'[' };
                    if stack.last().is_some_and(|(b, ..)| *b == opener) {
                        stack.pop();
                    }
                }
                _ => {}
            }
            at += 1;
        }
        let innermost = stack.iter().rev().find(|(b, ..)| *b == b'{').map(|(_, at, _)| *at);
        let blamed = suspect.or(innermost).unwrap_or(open);
        self.unclosed += 1;
        let next = if self.unclosed < MAX_UNCLOSED { self.next_item_line(open) } else { None };
        let end = next.unwrap_or(self.bytes.len());
        let last = self.text[..end].trim_end().len();
        let diag = Diagnostic::error(Code::SYNTAX, self.span(blamed..blamed + 1), "this `{` is never closed")
            .with_label(self.span(last.saturating_sub(1)..last), "a `}` is missing after this");
        self.diags.push(diag);
        self.pos = end;
        false
    }

    /// The line of `at`, if it begins not too far before it.
    fn line_of(&self, at: usize) -> Line {
        let near = at.saturating_sub(MAX_INDENT);
        let start = self.bytes[near..at].iter().rposition(|b| *b == b'\n').map_or(near, |n| near + n + 1);
        let indent = self.bytes[start..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        Line { indent, first: start + indent }
    }

    /// The next line after `from` that looks as if an item began there.
    fn next_item_line(&self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += self.bytes[at..].iter().position(|b| *b == b'\n')? + 1;
            let word = self.word(at);
            let then = self.bytes.get(at + word.len()).copied();
            let after = self.bytes.get(at + word.len() + 1).copied();
            let attach = then == Some(b':') && after.is_some_and(|b| !b.is_ascii_whitespace());
            if !word.is_empty()
                && (attach || matches!(word, "BEGIN" | "END" | "begin" | "end" | "macro" | "fn"))
            {
                return Some(at);
            }
        }
    }

    /// One past the brace that closes the one at `open`, or `limit`.
    fn matching_brace(&self, open: usize, limit: usize) -> usize {
        let mut depth = 0u32;
        let mut at = open;
        while let Some(&byte) = self.bytes[..limit].get(at) {
            match byte {
                b'"' => {
                    at = self.string_end(at);
                    continue;
                }
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        limit
    }

    /// The next `{` outside of strings, or where the search is hopeless.
    fn find_open_brace(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => at = self.string_end(at),
                b'{' | b';' | b'}' => return at,
                _ => at += 1,
            }
        }
        self.bytes.len()
    }

    /// Moves past the next `;`, or to the end of the line if there is none before a block.
    fn skip_past_semicolon(&mut self) {
        let mut at = self.pos;
        let line = self.bytes[at..].iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |n| at + n);
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => at = self.string_end(at),
                b';' => {
                    self.pos = at + 1;
                    return;
                }
                b'{' | b'}' => break,
                _ => at += 1,
            }
        }
        self.pos = line.min(self.text.len());
        let lo = self.text[..self.pos].trim_end().len();
        let diag =
            Diagnostic::error(Code::SYNTAX, self.span(lo.saturating_sub(1)..lo), "expected `;` after this");
        self.diags.push(diag);
    }

    /// A definition of a script: to its `;`, which may be missing after a `}`.
    fn c_def(&mut self, start: usize) {
        let is_typedef = self.word(start) == "typedef";
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                None => {
                    self.pos = self.bytes.len();
                    break;
                }
                Some(b'{') => {
                    self.braces(at);
                    at = self.pos;
                    let next = self.after_blanks(at);
                    let goes_on = is_typedef
                        || self.bytes.get(next) == Some(&b';')
                        || self.text[next..].starts_with("__");
                    if !goes_on {
                        break;
                    }
                }
                Some(b'}') => {
                    self.pos = at;
                    break;
                }
                Some(b';') => {
                    self.pos = at + 1;
                    break;
                }
                Some(b'"') => at = self.string_end(at),
                Some(_) => at += 1,
            }
        }
        self.items.push(RawItem::CDef(start..self.pos));
    }

    fn next_declaration(&mut self) -> bool {
        self.skip_blanks();
        let start = self.pos;
        if start >= self.bytes.len() {
            return false;
        }
        let mut at = start;
        let mut parens = false;
        let mut braces = false;
        // A type definition has its braces before any parenthesis but those of attributes.
        loop {
            match self.bytes.get(at) {
                None => {
                    self.pos = self.bytes.len();
                    break;
                }
                Some(b'{') => {
                    self.braces(at);
                    at = self.pos;
                    if parens {
                        // The body of a function, or `extern "C" {`, which no header of types has.
                        return true;
                    }
                    braces = true;
                }
                Some(b';') => {
                    self.pos = at + 1;
                    break;
                }
                Some(b'}') => {
                    // The end of `extern "C" {`.
                    self.pos = at + 1;
                    return true;
                }
                Some(b'"') => at = self.string_end(at),
                Some(b'(') => {
                    let before = self.text[start..at].trim_end();
                    parens |= !(braces
                        || before.ends_with("__attribute__")
                        || before.ends_with("__aligned")
                        || before.ends_with('('));
                    at += 1;
                }
                Some(_) => at += 1,
            }
        }
        let is_type = match self.word(start) {
            "typedef" => true,
            "struct" | "union" | "enum" => braces && !parens,
            _ => false,
        };
        if is_type {
            self.items.push(RawItem::CDef(start..self.pos));
        }
        true
    }

    // ------------------------------------------------------------------------------------------------- characters

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn skip_blanks(&mut self) {
        self.pos = self.after_blanks(self.pos);
    }

    fn after_blanks(&self, from: usize) -> usize {
        let from = from.min(self.bytes.len());
        from + self.bytes[from..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 11 | 12))
            .count()
    }

    /// The identifier at `at`; may be empty.
    fn word(&self, at: usize) -> &str {
        let rest = &self.bytes[at.min(self.bytes.len())..];
        let n = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        &self.text[at.min(self.bytes.len())..][..n]
    }

    fn string(&mut self) {
        self.pos = self.string_end(self.pos);
    }

    /// One past the string at `at`; in an attach point it may lack its end.
    fn string_end(&self, at: usize) -> usize {
        let mut at = at + 1;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => return at + 1,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.bytes.len()
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range.start as u32, range.end as u32)
    }
}

/// Where a predicate ends.
enum Predicate {
    /// At this slash.
    Closed { slash: usize },
    /// Nowhere; the body, if there is one, begins here.
    Open { brace: usize },
}

/// What is said about nesting.
pub(crate) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(Code::TOO_DEEP, span, format!("nested deeper than {MAX_DEPTH} levels"))
        .with_help("give parts of it a name: a variable or a macro")
}
