//! The way from text to tree: preprocess, cut into items, parse each, check their order.

use crate::ast::{CDef, Define, Expr, ExprKind, Item, Name, Script};
use crate::build::Builder;
use crate::outline::{self, RawItem};
use crate::preprocess::{self, Macros, Preprocessed};
use hark_diag::{Code, Diagnostic, FileId, Severity, Span};
use std::ops::Range;

/// The largest script that is read, in bytes. The largest that people write have some ten thousand.
pub const MAX_SCRIPT: usize = 1 << 20;

/// The largest C header that is read, in bytes. A dump of all of a kernel's types has some 4 million.
pub const MAX_HEADER: usize = 16 << 20;

/// After so many messages, further ones do not help.
const MAX_DIAGS: usize = 50;

/// What a parse needs to know besides the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Names that count as `#define`d, each `NAME` or `NAME=value`: `BPFTRACE_HAVE_BTF` where BTF exists.
    pub predefined: Vec<String>,
    /// What happens to uses of `#define`s with parameters, and of those that stand for types.
    pub macro_calls: MacroCalls,
}

/// What happens to uses of `#define`s with parameters, and of those that stand for types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacroCalls {
    /// They are replaced by what they expand to.
    #[default]
    Expand,
    /// They stay what they look like, as the formatter wants them.
    Keep,
}

/// A tree and what is to be said about its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// What could be understood.
    pub script: Script,
    /// Errors and warnings, by place.
    pub diags: Vec<Diagnostic>,
    /// Names that are `#define`d at its end, each `NAME` or `NAME=value`, as [`ParseOptions::predefined`] takes them
    /// for a text that includes this one.
    pub defined: Vec<String>,
}

impl Parsed {
    /// True if the text has an error.
    pub fn has_errors(&self) -> bool {
        self.diags.iter().any(Diagnostic::is_error)
    }
}

/// Parses a script. Gives what can be understood and messages for the rest.
pub fn parse(file: FileId, text: &str, options: &ParseOptions) -> Parsed {
    if let Some(refused) = too_long(file, text, MAX_SCRIPT, "script") {
        return refused;
    }
    let preprocessed = preprocess::preprocess(file, text, &options.predefined);
    let (items, diags) = outline::script(file, &preprocessed.clean);
    let mut parsed = assemble(file, preprocessed, &items, diags, options.macro_calls);
    check_order(file, &items, &mut parsed.diags);
    finish(parsed)
}

/// Parses a C header: its types and constants. Prototypes, variables and functions are passed over; what is not
/// understood is a warning.
pub fn parse_header(file: FileId, text: &str, options: &ParseOptions) -> Parsed {
    if let Some(refused) = too_long(file, text, MAX_HEADER, "header") {
        return refused;
    }
    let preprocessed = preprocess::preprocess(file, text, &options.predefined);
    let (items, diags) = outline::header(file, &preprocessed.clean);
    let mut parsed = assemble(file, preprocessed, &items, diags, options.macro_calls);
    // A header is written for a C compiler: what is not understood is passed over.
    for diag in &mut parsed.diags {
        diag.severity = Severity::Warning;
    }
    finish(parsed)
}

/// Parses a text that is one expression.
pub fn parse_expr(file: FileId, text: &str) -> (Expr, Vec<Diagnostic>) {
    if let Some(refused) = too_long(file, text, MAX_SCRIPT, "expression") {
        return (Expr { kind: ExprKind::Error, span: Span::new(file, 0, 0) }, refused.diags);
    }
    let builder = Builder::plain(file, text);
    let expr = builder.expr_in(0..text.len());
    (expr, builder.diags.into_inner())
}

fn too_long(file: FileId, text: &str, limit: usize, what: &str) -> Option<Parsed> {
    (text.len() > limit).then(|| {
        let message = format!("this {what} has {} bytes; at most {limit} are read", text.len());
        let diag = Diagnostic::error(Code::TOO_DEEP, Span::new(file, 0, 1), message);
        Parsed { diags: vec![diag], ..Parsed::default() }
    })
}

fn assemble(
    file: FileId,
    preprocessed: Preprocessed,
    items: &[RawItem],
    outline_diags: Vec<Diagnostic>,
    macro_calls: MacroCalls,
) -> Parsed {
    let Preprocessed { clean, shebang, includes, comments, directives, mut macros, mut diags } = preprocessed;
    diags.extend(outline_diags);
    let defines = defines(file, &mut macros);
    let defined = macros.listed();
    let none = Macros::default();
    let used = match macro_calls {
        MacroCalls::Expand => &macros,
        MacroCalls::Keep => &none,
    };
    let mut script = Script { shebang, includes, defines, comments, directives, ..Script::default() };
    let builder = Builder::new(file, &clean, &used.functions, &used.objects);
    for item in items {
        match item.clone() {
            RawItem::Probe { head, predicate, body, end } => {
                script.items.extend(builder.probe(head, predicate, body, end).map(Item::Probe));
            }
            RawItem::Macro { head, body, end } => {
                script.items.extend(builder.macro_item(head, body, end).map(Item::Macro));
            }
            RawItem::Func { head, body, end } => {
                script.items.extend(builder.func_item(head, body, end).map(Item::Func));
            }
            RawItem::Config(range) => script.config.extend(builder.config(range)),
            RawItem::Import(range) => script.imports.extend(builder.import(range)),
            RawItem::MapDecl(range) => script.items.extend(builder.map_decl(range).map(Item::MapDecl)),
            RawItem::CDef(range) => script.c_defs.extend::<Vec<CDef>>(builder.c_def(range)),
        }
    }
    diags.extend(builder.diags.into_inner());
    Parsed { script, diags, defined }
}

/// The `#define`s that are expressions; they are marked as such.
fn defines(file: FileId, macros: &mut Macros) -> Vec<Define> {
    let mut defines = Vec::new();
    for (name, object) in &mut macros.objects {
        let text = object.text.as_ref();
        let value = text.and_then(|t| Builder::plain(file, &t.text).expr_or_nothing(&t.text, t.offset));
        if let Some(value) = value {
            object.is_expr = true;
            defines.push(Define { name: Name { text: name.clone(), span: object.span }, value });
        }
    }
    defines.sort_by_key(|d| d.name.span.lo);
    defines
}

/// C definitions, then config and imports, then the rest.
fn check_order(file: FileId, items: &[RawItem], diags: &mut Vec<Diagnostic>) {
    let mut config: Option<Span> = None;
    // The first item that nothing of an earlier section may follow.
    let mut second: Option<Span> = None;
    let mut third: Option<Span> = None;
    let span = |range: &Range<usize>| Span::new(file, range.start as u32, range.end as u32);
    for item in items {
        let misplaced = match item {
            RawItem::CDef(range) => second
                .or(third)
                .map(|before| (span(range), "a C definition stands at the top of a script", before)),
            RawItem::Config(range) => {
                let here = span(range);
                let again = config.map(|first| (here, "there can be only one config block", first));
                config.get_or_insert(here);
                second.get_or_insert(here);
                again.or_else(|| {
                    third.map(|before| (here, "the config block stands before all probes", before))
                })
            }
            RawItem::Import(range) => {
                let here = span(range);
                second.get_or_insert(here);
                third.map(|before| (here, "imports stand before all probes", before))
            }
            RawItem::Probe { head, .. } | RawItem::Macro { head, .. } | RawItem::Func { head, .. } => {
                third.get_or_insert(span(head));
                None
            }
            RawItem::MapDecl(range) => {
                third.get_or_insert(span(range));
                None
            }
        };
        if let Some((here, message, before)) = misplaced {
            diags.push(
                Diagnostic::error(Code::SECTION_ORDER, here, message)
                    .with_label(before, "it stands after this")
                    .with_help(
                        "the order is: preprocessor lines and C definitions, config and imports, everything else",
                    ),
            );
        }
    }
}

fn finish(mut parsed: Parsed) -> Parsed {
    parsed.diags.sort_by_key(|d| d.primary.as_ref().map_or((0, 0), |p| (p.span.lo, p.span.hi)));
    parsed.diags.dedup();
    parsed.diags.truncate(MAX_DIAGS);
    parsed
}
