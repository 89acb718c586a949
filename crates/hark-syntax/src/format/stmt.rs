//! Statements and blocks.

use super::Printer;
use super::doc::Doc;
use crate::ast::{Block, Expr, ExprKind, Stmt, StmtKind};
use crate::build::yields;
use hark_diag::Span;

impl<'a> Printer<'a> {
    /// What stands in a block, and its closing brace; its opening one ends the last line.
    pub(super) fn block_content(&mut self, block: &Block) {
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
    pub(super) fn close_leading(&mut self, end: usize) {
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
    pub(super) fn inline_block(&self, block: &Block, indent: usize) -> String {
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
    pub(super) fn inline_if(&self, expr: &Expr, indent: usize) -> String {
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
