//! Items: probes, macros, functions, maps, imports, config.

use super::Printer;
use crate::ast::{AttachPoint, Block, ConfigItem, Func, Import, Item, Macro, MacroParam, MapDecl, Probe};
use crate::build::literal;
use std::ops::Range;

impl Printer<'_> {
    pub(super) fn item(&mut self, item: &Item) {
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

    pub(super) fn import(&mut self, import: &Import) {
        if self.has_trivia(import.span.lo, import.span.hi) {
            return self.verbatim(import.span.lo as usize..import.span.hi as usize);
        }
        self.line(&format!("import {};", literal::quote(import.path.as_bytes())));
    }

    pub(super) fn config(&mut self, items: &[ConfigItem], range: Option<Range<usize>>) {
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
}
