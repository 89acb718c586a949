//! The formatter: `hark fmt`.
//!
//! Two blanks per level; the brace of an item on a line of its own, that of a statement behind it; at most one
//! empty line between statements and one between items; long lists and conditions are broken and aligned. Numbers
//! and strings keep their spelling, parentheses stay, comments and preprocessor lines keep their place, and C
//! definitions are left as they are. A statement with a comment inside is left as it is, too.

mod c;
mod doc;
mod expr;

use crate::ast::{
    AttachPoint, Block, Comment, ConfigItem, Expr, ExprKind, Func, Import, Item, Macro, MacroParam, MapDecl,
    Probe, Script, Stmt, StmtKind,
};
use crate::build::{literal, yields};
use crate::outline::{self, RawItem};
use crate::{MacroCalls, ParseOptions, Parsed, dump, parse, preprocess};
use doc::Doc;
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

    /// Whether something that is not code stands in the span and is not written yet.
    fn has_trivia(&self, lo: u32, hi: u32) -> bool {
        self.trivia[self.next..].iter().map(|t| t.comment.span.lo).any(|at| at > lo && at < hi)
    }

    // ------------------------------------------------------------------------------------------------------ items

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(probe) => self.probe(probe),
            Item::Macro(m) => self.macro_item(m),
            Item::Func(f) => self.func(f),
            Item::MapDecl(decl) => self.map_decl(decl),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        let count = probe.attach_points.len();
        for (n, AttachPoint { name, text, span, .. }) in probe.attach_points.iter().enumerate() {
            self.leading_if_sourced(span.lo);
            let name = name.as_ref().map(|n| format!("{n}=")).unwrap_or_default();
            let comma = if n + 1 < count { "," } else { "" };
            self.line(&format!("{name}{text}{comma}"));
            self.last = span.hi as usize;
        }
        if let Some(predicate) = &probe.predicate {
            self.leading_if_sourced(predicate.span.lo);
            if self.has_trivia(predicate.span.lo, predicate.span.hi) {
                self.start_line();
                self.out.push('/');
                let text = self.source_of(predicate.span);
                self.out.push_str(text);
                self.skip_trivia(predicate.span.hi);
            } else {
                self.start_line();
                self.out.push('/');
                let doc = self.before_block(predicate, 0);
                if doc.flat().starts_with('*') {
                    // `/*` begins a comment.
                    self.out.push(' ');
                }
                doc.write(&mut self.out, 1);
            }
            self.out.push('/');
            self.last = predicate.span.hi as usize;
        }
        self.body(&probe.body);
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

    /// The braces of an item, on lines of their own.
    fn body(&mut self, block: &Block) {
        self.leading_if_sourced(block.span.lo);
        self.line("{");
        self.block_content(block);
    }

    fn macro_item(&mut self, m: &Macro) {
        let params: Vec<String> = m
            .params
            .iter()
            .map(|p| match p {
                MacroParam::Var(name) => format!("${}", name.text),
                MacroParam::Map(name) => format!("@{}", name.text),
                MacroParam::Expr(name) => name.text.clone(),
            })
            .collect();
        self.line(&format!("macro {}({})", m.name.text, params.join(", ")));
        self.last = m.name.span.hi as usize;
        self.body(&m.body);
    }

    fn func(&mut self, f: &Func) {
        let params: Vec<String> =
            f.params.iter().map(|(name, ty)| format!("${}: {}", name.text, self.ty(ty))).collect();
        let ret = f.ret.as_ref().map(|t| format!(": {}", self.ty(t))).unwrap_or_default();
        self.line(&format!("fn {}({}){ret}", f.name.text, params.join(", ")));
        self.last = f.name.span.hi as usize;
        self.body(&f.body);
    }

    fn map_decl(&mut self, decl: &MapDecl) {
        if self.has_trivia(decl.span.lo, decl.span.hi) {
            return self.verbatim(decl.span.lo as usize..decl.span.hi as usize);
        }
        let size = self.expr(&decl.size, 0).flat();
        self.line(&format!("let @{} = {}({size});", decl.map.text, decl.kind.text));
    }

    fn import(&mut self, import: &Import) {
        if self.has_trivia(import.span.lo, import.span.hi) {
            return self.verbatim(import.span.lo as usize..import.span.hi as usize);
        }
        self.line(&format!("import {};", literal::quote(import.path.as_bytes())));
    }

    fn config(&mut self, items: &[ConfigItem], range: Option<Range<usize>>) {
        self.line("config = {");
        if let Some(range) = &range {
            let brace = self.source[range.clone()].find('{').unwrap_or(0);
            self.last = range.start + brace + 1;
        }
        self.indent += 2;
        for item in items {
            self.leading(item.key.span.lo as usize, false);
            let value = self.expr(&item.value, self.indent).flat();
            self.line(&format!("{} = {value};", item.key.text));
            self.last = item.value.span.hi as usize;
        }
        if let Some(range) = &range {
            self.close_leading(range.end.saturating_sub(1));
        }
        self.indent -= 2;
        self.line("}");
        self.last = range.map_or(self.last, |r| r.end);
    }

    // ------------------------------------------------------------------------------------------------- statements

    /// What stands in a block, and its closing brace; its opening one ends the last line.
    fn block_content(&mut self, block: &Block) {
        self.last = block.span.lo as usize + 1;
        self.indent += 2;
        let count = block.stmts.len();
        for (n, stmt) in block.stmts.iter().enumerate() {
            self.leading(stmt.span.lo as usize, false);
            let at_end = n + 1 == count && block.value.is_none();
            self.stmt(stmt, at_end);
            self.last = self.last.max(stmt.span.hi as usize);
        }
        if let Some(value) = &block.value {
            self.leading(value.span.lo as usize, false);
            self.value(value);
            self.last = self.last.max(value.span.hi as usize);
        }
        self.close_leading((block.span.hi as usize).saturating_sub(1));
        self.indent -= 2;
        self.line("}");
        self.last = block.span.hi as usize;
    }

    /// Comments before a closing brace; empty lines there are dropped.
    fn close_leading(&mut self, end: usize) {
        let last = self.trivia[self.next..].iter().take_while(|t| (t.comment.span.lo as usize) < end).last();
        if let Some(last) = last {
            let lo = last.comment.span.lo as usize;
            self.leading(lo + 1, false);
        }
    }

    /// The value of a block, without `;`.
    fn value(&mut self, value: &Expr) {
        if self.leave_as_is(value.span, "") {
            return;
        }
        match &value.kind {
            ExprKind::If { .. } if yields(value) && !self.written_in_parentheses(value) => {
                self.start_line();
                self.if_chain(value);
            }
            ExprKind::Block(block) if yields(value) && !self.written_in_parentheses(value) => {
                self.line("{");
                self.block_content(block);
            }
            ExprKind::If { .. } | ExprKind::Block(_) => {
                self.start_line();
                let doc = self.before_block(value, self.indent);
                doc.write(&mut self.out, 0);
            }
            _ => {
                self.start_line();
                let doc = self.expr(value, self.indent);
                doc.write(&mut self.out, 0);
            }
        }
    }

    /// Whether there is a comment inside, in which case the source is written as it is, with `end` behind it.
    fn leave_as_is(&mut self, span: Span, end: &str) -> bool {
        if !self.has_trivia(span.lo, span.hi) {
            return false;
        }
        self.verbatim(span.lo as usize..span.hi as usize);
        self.out.push_str(end);
        true
    }

    fn stmt(&mut self, stmt: &Stmt, at_end: bool) {
        match &stmt.kind {
            StmtKind::Expr(expr) => match &expr.kind {
                ExprKind::If { .. } if !self.written_in_parentheses(expr) => {
                    self.start_line();
                    self.if_chain(expr);
                    if at_end && yields(expr) {
                        self.out.push(';');
                    }
                }
                ExprKind::Block(block) if !self.written_in_parentheses(expr) => {
                    self.line("{");
                    self.block_content(block);
                    if at_end && yields(expr) {
                        self.out.push(';');
                    }
                }
                _ => self.simple(stmt, "", Some(expr)),
            },
            StmtKind::Assign { target, op, value } => {
                let target = self.expr(target, self.indent).flat();
                let op = op.map_or("", |o| o.symbol());
                self.simple(stmt, &format!("{target} {op}= "), Some(value));
            }
            StmtKind::Discard(value) => self.simple(stmt, "_ = ", Some(value)),
            StmtKind::Let { var, ty, value } => {
                let ty = ty.as_ref().map(|t| format!(": {}", self.ty(t))).unwrap_or_default();
                let is = if value.is_some() { " = " } else { "" };
                self.simple(stmt, &format!("let ${}{ty}{is}", var.text), value.as_ref());
            }
            StmtKind::Return(None) => self.simple(stmt, "return", None),
            StmtKind::Return(Some(value)) => self.simple(stmt, "return ", Some(value)),
            StmtKind::Break => self.simple(stmt, "break", None),
            StmtKind::Continue => self.simple(stmt, "continue", None),
            StmtKind::While { cond, body } => {
                self.head(stmt.span.lo, body, |p, out| p.condition("while", " ", cond, out));
            }
            StmtKind::Unroll { count, body } => {
                self.head(stmt.span.lo, body, |p, out| p.condition("unroll", "", count, out));
            }
            StmtKind::ForRange { var, from, to, body } => {
                let parentheses = self.for_parentheses(stmt);
                self.head(stmt.span.lo, body, |p, out| {
                    let from = p.before_block(from, p.indent).flat();
                    let to = p.before_block(to, p.indent).flat();
                    out.push_str(&for_head(parentheses, &format!("${} : {from}..{to}", var.text)));
                });
            }
            StmtKind::ForMap { var, map, body } => {
                let parentheses = self.for_parentheses(stmt);
                self.head(stmt.span.lo, body, |p, out| {
                    let map = p.before_block(map, p.indent).flat();
                    out.push_str(&for_head(parentheses, &format!("${} : {map}", var.text)));
                });
            }
        }
    }

    fn for_parentheses(&self, stmt: &Stmt) -> bool {
        let source = self.source_of(stmt.span);
        source.is_empty() || source.trim_start_matches("for").trim_start().starts_with('(')
    }

    /// A statement that ends with `;`.
    fn simple(&mut self, stmt: &Stmt, start: &str, value: Option<&Expr>) {
        if self.leave_as_is(stmt.span, ";") {
            return;
        }
        self.line(start);
        if let Some(value) = value {
            // At the start of a statement, a block or `if` is not part of an expression.
            let doc = if start.is_empty() {
                self.before_block(value, self.indent)
            } else {
                self.expr(value, self.indent)
            };
            doc.write(&mut self.out, 1);
        }
        self.out.push(';');
    }

    /// A statement with a body.
    fn head(&mut self, lo: u32, body: &Block, write: impl FnOnce(&Self, &mut String)) {
        self.start_line();
        self.head_here(lo, body, write);
        self.block_content(body);
    }

    /// From the last line's end: a head, or its source if it has comments, and ` {`.
    fn head_here(&mut self, lo: u32, body: &Block, write: impl FnOnce(&Self, &mut String)) {
        if self.has_trivia(lo, body.span.lo) {
            let text = self.source_of(Span { lo, hi: body.span.lo, ..body.span }).trim_end();
            // A line comment would swallow the brace.
            let newline = text.lines().last().is_some_and(|l| l.contains("//"));
            self.out.push_str(text);
            self.skip_trivia(body.span.lo);
            if newline {
                self.line("{");
            } else {
                self.out.push_str(" {");
            }
        } else {
            let mut out = std::mem::take(&mut self.out);
            write(self, &mut out);
            self.out = out;
            self.out.push_str(" {");
        }
    }

    /// `word (cond)`, in parentheses if the author used them or there is no author.
    fn condition(&self, word: &str, blank: &str, cond: &Expr, out: &mut String) {
        out.push_str(word);
        if self.source.is_empty() {
            out.push_str(blank);
            let doc = Doc::List {
                open: "(".to_string(),
                items: vec![self.expr(cond, self.indent).into()],
                close: ")",
            };
            doc.write(out, 2);
        } else {
            out.push_str(if self.written_in_parentheses(cond) { blank } else { " " });
            self.before_block(cond, self.indent).write(out, 2);
        }
    }

    /// `if … { … } else { … }`, from where the line is.
    fn if_chain(&mut self, expr: &Expr) {
        let mut expr = expr;
        while let ExprKind::If { cond, then, els } = &expr.kind {
            self.head_here(expr.span.lo, then, |p, out| p.condition("if", " ", cond, out));
            self.block_content(then);
            let Some(els) = els else { return };
            if self.has_trivia(then.span.hi.saturating_sub(1), els.span.lo) {
                self.leading_if_sourced(els.span.lo);
                self.line("else ");
            } else {
                self.out.push_str(" else ");
            }
            match &els.kind {
                ExprKind::Block(block) => {
                    self.out.push('{');
                    self.block_content(block);
                    return;
                }
                _ => expr = els,
            }
        }
    }

    // ------------------------------------------------------------------------------- blocks inside of expressions

    /// A block as part of an expression, as text; on one line if it is only a value.
    fn inline_block(&self, block: &Block, indent: usize) -> String {
        if block.stmts.is_empty() {
            let Some(value) = &block.value else { return "{}".to_string() };
            let text = self.expr(value, indent).flat();
            if !text.contains('\n') && !matches!(value.kind, ExprKind::If { .. } | ExprKind::Block(_)) {
                return format!("{{ {text} }}");
            }
        }
        self.detached(indent, |p| {
            p.out.push('{');
            p.block_content(block);
        })
    }

    /// An `if` as part of an expression, as text; on one line if its blocks are.
    fn inline_if(&self, expr: &Expr, indent: usize) -> String {
        let mut text = String::new();
        let mut rest = expr;
        while let ExprKind::If { cond, then, els } = &rest.kind {
            self.condition("if", " ", cond, &mut text);
            text.push(' ');
            text.push_str(&self.inline_block(then, indent));
            let Some(els) = els else { break };
            text.push_str(" else ");
            match &els.kind {
                ExprKind::Block(block) => {
                    text.push_str(&self.inline_block(block, indent));
                    break;
                }
                _ => rest = els,
            }
        }
        if !text.contains('\n') {
            return text;
        }
        self.detached(indent, |p| p.if_chain(expr))
    }

    /// What `write` writes, beginning at the end of a line of `indent`.
    fn detached(&self, indent: usize, write: impl FnOnce(&mut Printer<'a>)) -> String {
        let mut printer = Printer::new(self.source, Vec::new());
        printer.indent = indent;
        write(&mut printer);
        printer.out
    }
}

fn for_head(parentheses: bool, text: &str) -> String {
    if parentheses { format!("for ({text})") } else { format!("for {text}") }
}

/// How many lines end in `text`.
fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}
