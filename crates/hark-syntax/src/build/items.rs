//! What stands at the top of a script.

use super::{Builder, Rule, Tall, inner};
use crate::ast::{
    ApPart, AttachPoint, ConfigItem, Expr, ExprKind, Func, Import, Macro, MacroParam, MapDecl, Name, Probe,
};
use crate::message;
use hark_diag::{Code, Diagnostic, Span};
use pest::iterators::Pair;
use std::ops::Range;

impl Builder<'_> {
    /// A probe from its parts; `None`, reported, if its head cannot be understood.
    pub(crate) fn probe(
        &self,
        head: Range<usize>,
        predicate: Option<Range<usize>>,
        body: Range<usize>,
        end: usize,
    ) -> Option<Probe> {
        let span = self.file_span(head.start..end);
        let attach_points: Option<Vec<AttachPoint>> = self.with_repairs(Rule::head_entry, head, |pairs| {
            let points = inner(pairs)?.filter(|p| p.as_rule() == Rule::attach_point);
            Some(points.map(|p| self.attach_point(p)).collect())
        });
        // Behind a head that is wrong, a predicate often is none.
        let predicate = attach_points.as_ref().and(predicate).map(|range| self.expr_in(range));
        let body = self.body_in(body.clone(), self.file_span(body.start.saturating_sub(1)..end));
        Some(Probe { attach_points: attach_points?, predicate, body, span })
    }

    fn attach_point(&self, pair: Pair<'_, Rule>) -> AttachPoint {
        let span = self.span(&pair);
        let mut name = None;
        let mut text = String::new();
        let mut parts = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ap_name => name = Some(part.as_str().to_string()),
                Rule::ap_text => {
                    text = part.as_str().to_string();
                    parts = self.attach_point_parts(&text, self.base.get() + part.as_span().start());
                }
                _ => {}
            }
        }
        if text.ends_with('/') {
            let diag = Diagnostic::error(Code::SYNTAX, span, "an attach point cannot end with `/`")
                .with_help(message::BLANK_BEFORE_PREDICATE);
            self.report(diag);
        }
        AttachPoint { name, parts, text, span }
    }

    /// Splits at colons outside of quotes and removes the quotes.
    fn attach_point_parts(&self, text: &str, offset: usize) -> Vec<ApPart> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut quoted = false;
        let mut inside = false;
        let mut start = 0;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    inside = !inside;
                    quoted = true;
                }
                '\\' if inside => part.extend(chars.next().map(|(_, c)| c)),
                ':' if !inside => {
                    let span = self.file_span(offset + start..offset + at);
                    parts.push(ApPart { text: std::mem::take(&mut part), quoted, span });
                    quoted = false;
                    start = at + 1;
                }
                c => part.push(c),
            }
        }
        let span = self.file_span(offset + start..offset + text.len());
        parts.push(ApPart { text: part, quoted, span });
        parts
    }

    /// `macro` from its parts; `None`, reported, if its head cannot be understood.
    pub(crate) fn macro_item(&self, head: Range<usize>, body: Range<usize>, end: usize) -> Option<Macro> {
        let span = self.file_span(head.start..end);
        let (name, params) = self.with_repairs(Rule::macro_entry, head, |pairs| {
            let mut name = None;
            let mut params = Vec::new();
            for part in inner(pairs)? {
                match part.as_rule() {
                    Rule::def_name if name.is_none() => name = Some(self.name(&part, 0)),
                    Rule::def_name => params.push(MacroParam::Expr(self.name(&part, 0))),
                    Rule::var => params.push(MacroParam::Var(self.name(&part, 1))),
                    Rule::map_name => params.push(MacroParam::Map(self.name(&part, 1))),
                    _ => {}
                }
            }
            Some((name?, params))
        })?;
        let body = self.body_in(body.clone(), self.file_span(body.start.saturating_sub(1)..end));
        Some(Macro { name, params, body, span })
    }

    /// `fn` from its parts; `None`, reported, if its head cannot be understood.
    pub(crate) fn func_item(&self, head: Range<usize>, body: Range<usize>, end: usize) -> Option<Func> {
        let span = self.file_span(head.start..end);
        let (name, params, ret) = self.with_repairs(Rule::fn_entry, head, |pairs| {
            let mut name = None;
            let mut params = Vec::new();
            let mut ret = None;
            for part in inner(pairs)? {
                match part.as_rule() {
                    Rule::def_name => name = Some(self.name(&part, 0)),
                    Rule::fn_param => {
                        let mut parts = part.into_inner();
                        let var = parts.next()?;
                        let Tall(ty, _) = self.ty(parts.next_back()?, 0);
                        params.push((self.name(&var, 1), ty));
                    }
                    Rule::ty => ret = Some(self.ty(part, 0).0),
                    _ => {}
                }
            }
            Some((name?, params, ret))
        })?;
        let body = self.body_in(body.clone(), self.file_span(body.start.saturating_sub(1)..end));
        Some(Func { name, params, ret, body, span })
    }

    /// The items of a config block.
    pub(crate) fn config(&self, range: Range<usize>) -> Vec<ConfigItem> {
        self.with_repairs(Rule::config_entry, range, |pairs| {
            let mut items: Vec<ConfigItem> = Vec::new();
            let mut separated = true;
            for part in inner(pairs)? {
                match part.as_rule() {
                    Rule::semi => separated = true,
                    Rule::config_item => {
                        if let Some(before) = items.last().filter(|_| !separated) {
                            let found = message::describe(part.as_str());
                            let end = before.value.span;
                            let end = Span { lo: end.hi.saturating_sub(1), ..end };
                            let message = format!("expected `;` after this, found {found}");
                            self.report(Diagnostic::error(Code::SYNTAX, end, message));
                        }
                        separated = false;
                        let mut parts = part.into_inner();
                        let key = self.name(&parts.next()?, 0);
                        let value = self.expr(parts.next_back()?, 0).0;
                        items.push(ConfigItem { key, value });
                    }
                    _ => {}
                }
            }
            Some(items)
        })
        .unwrap_or_default()
    }

    /// `import "…";`
    pub(crate) fn import(&self, range: Range<usize>) -> Option<Import> {
        let span = self.file_span(range.clone());
        self.with_repairs(Rule::import_entry, range, |pairs| {
            let path = inner(pairs)?.find(|p| p.as_rule() == Rule::string)?;
            let path = String::from_utf8_lossy(&self.string(&path)).into_owned();
            Some(Import { path, span })
        })
    }

    /// `let @m = kind(size);`
    pub(crate) fn map_decl(&self, range: Range<usize>) -> Option<MapDecl> {
        let span = self.file_span(range.clone());
        self.with_repairs(Rule::map_decl_entry, range, |pairs| {
            let mut map = None;
            let mut kind = None;
            let mut size = Expr { kind: ExprKind::Error, span };
            for part in inner(pairs)? {
                match part.as_rule() {
                    Rule::map_name => map = Some(self.name(&part, 1)),
                    Rule::def_name => kind = Some(self.name(&part, 0)),
                    Rule::expr => size = self.expr(part, 0).0,
                    _ => {}
                }
            }
            Some(MapDecl { map: map?, kind: kind?, size, span })
        })
    }

    /// A name that is missing, as anonymous structs have it.
    pub(super) fn no_name(&self, span: Span) -> Name {
        Name { text: String::new(), span: Span { hi: span.lo, ..span } }
    }
}
