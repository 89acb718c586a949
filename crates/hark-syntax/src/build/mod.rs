//! From pairs to tree. The grammar's rules do not leave this module and `message`.
//!
//! Trees are at most [`MAX_DEPTH`] high: on the way down every level is counted, and where a flat list of operators
//! becomes a tree, its height is.

mod c;
mod expr;
mod items;
pub(crate) mod literal;
mod stmt;
mod types;

pub(crate) use stmt::yields;

use crate::ast::{Expr, ExprKind, Name};
use crate::preprocess::{FunctionMacro, Macros, ObjectMacro};
use crate::{message, outline, recover};
use hark_diag::{Code, Diagnostic, FileId, Span};
use pest::Parser as _;
use pest::error::Error;
use pest::iterators::{Pair, Pairs};
use pest_derive::Parser;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Once;

/// The generated parser.
#[derive(Parser)]
#[grammar = "grammar.pest"]
pub(crate) struct Grammar;

/// How many rules may be tried for one slice. Some text can be read in several ways, and nested it is read in many
/// times as many; what people write takes some thousands.
const MAX_TRIES: NonZeroUsize = NonZeroUsize::new(10_000_000).expect("is not 0");

/// What `rule` makes of a slice.
pub(crate) fn grammar(rule: Rule, slice: &str) -> Result<Pairs<'_, Rule>, Box<Error<Rule>>> {
    static LIMITED: Once = Once::new();
    LIMITED.call_once(|| pest::set_call_limit(Some(MAX_TRIES)));
    Grammar::parse(rule, slice).map_err(Box::new)
}

/// How often a macro may expand to text with a macro in it.
const MAX_EXPANSIONS: u32 = 32;

/// How often macros of one script may expand. Nested uses can double at every level.
const EXPANSION_BUDGET: u32 = 10_000;

/// How many errors are looked for in one slice.
const MAX_ERRORS: u32 = 10;

/// Turns slices of one text into tree.
pub(crate) struct Builder<'a> {
    file: FileId,
    /// The text of the file, or of a macro's expansion.
    text: &'a str,
    /// Function-like macros to expand.
    functions: &'a BTreeMap<String, FunctionMacro>,
    /// Object-like macros, which may stand for types.
    objects: &'a BTreeMap<String, ObjectMacro>,
    /// In an expansion every place is the place of the use.
    fixed: Option<Span>,
    /// How many expansions we are in.
    expansions: u32,
    /// How many more there may be in all.
    expansion_budget: Cell<u32>,
    /// Where the slice under work begins in `text`.
    base: Cell<usize>,
    /// Whether the slice under work has been repaired, so that marks of errors are known ones.
    repaired: Cell<bool>,
    /// Bytes that may still be parsed again after an error.
    budget: Cell<usize>,
    pub(crate) diags: RefCell<Vec<Diagnostic>>,
}

/// Something with the height of its tree.
#[derive(Debug)]
struct Tall<T>(T, u32);

static NO_FUNCTIONS: BTreeMap<String, FunctionMacro> = BTreeMap::new();
static NO_OBJECTS: BTreeMap<String, ObjectMacro> = BTreeMap::new();

/// Parses a text that is nothing but an expression without macros; `None` if it is not one.
pub(crate) fn bare_expr(text: &str) -> Option<Expr> {
    let macros = Macros::default();
    let builder = Builder::new(FileId(0), text, &macros.functions, &NO_OBJECTS);
    builder.expr_or_nothing(text, 0)
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        file: FileId,
        text: &'a str,
        functions: &'a BTreeMap<String, FunctionMacro>,
        objects: &'a BTreeMap<String, ObjectMacro>,
    ) -> Self {
        Self {
            file,
            text,
            functions,
            objects,
            fixed: None,
            expansions: 0,
            expansion_budget: Cell::new(EXPANSION_BUDGET),
            base: Cell::new(0),
            repaired: Cell::new(false),
            budget: Cell::new(4 << 20),
            diags: RefCell::default(),
        }
    }

    /// Without macros: for `#define`s themselves.
    pub(crate) fn plain(file: FileId, text: &'a str) -> Self {
        Self::new(file, text, &NO_FUNCTIONS, &NO_OBJECTS)
    }

    /// The expression that `text`, which stands at `offset` of the file, is; `None`, without a message, if it is
    /// not one.
    pub(crate) fn expr_or_nothing(&self, text: &str, offset: usize) -> Option<Expr> {
        if recover::too_deep(text).is_some() {
            return None;
        }
        let pairs = grammar(Rule::expr_entry, text).ok()?;
        self.base.set(offset);
        let before = self.diags.borrow().len();
        let expr = self.expr(first_inner(pairs)?, 0).0;
        let clean = self.diags.borrow().len() == before;
        clean.then_some(expr)
    }

    /// The expression that stands in `range`; an error, reported, otherwise.
    pub(crate) fn expr_in(&self, range: Range<usize>) -> Expr {
        let span = self.file_span(range.clone());
        let found =
            self.with_repairs(Rule::expr_entry, range, |pairs| Some(self.expr(first_inner(pairs)?, 0).0));
        found.unwrap_or(Expr { kind: ExprKind::Error, span })
    }

    /// Parses a slice with `rule` and gives the pairs to `build`. On an error the statement around it is
    /// overwritten with a mark and the slice parsed again, so that one run finds several errors.
    fn with_repairs<T>(
        &self,
        rule: Rule,
        range: Range<usize>,
        build: impl FnOnce(Pairs<'_, Rule>) -> Option<T>,
    ) -> Option<T> {
        let slice = &self.text[range.clone()];
        self.base.set(range.start);
        self.repaired.set(false);
        if let Some(at) = recover::too_deep(slice) {
            self.report_deep_once(self.file_span(range.start + at..range.start + at + 1));
            return None;
        }
        let first = match grammar(rule, slice) {
            Ok(pairs) => return build(pairs),
            Err(error) => error,
        };
        let mut at = message::place(&first);
        self.report(message::explain(self.file, slice, range.start, &first, rule));
        let mut repaired = slice.as_bytes().to_vec();
        self.repaired.set(true);
        let mut hopeless = message::is_limit(&first);
        for _ in 0..MAX_ERRORS {
            if hopeless || rule != Rule::body_entry || !self.spend(slice.len()) {
                return None;
            }
            let text = std::str::from_utf8(&repaired).ok()?;
            let bad = recover::statement_around(text, at)?;
            repaired[bad].fill(recover::MARK);
            let text = std::str::from_utf8(&repaired).ok()?;
            match grammar(rule, text) {
                Ok(pairs) => return build(pairs),
                Err(error) => {
                    at = message::place(&error);
                    hopeless = message::is_limit(&error);
                    if !message::is_echo(text, &error) {
                        self.report(message::explain(self.file, text, range.start, &error, rule));
                    }
                }
            }
        }
        None
    }

    fn spend(&self, bytes: usize) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(bytes));
        left >= bytes
    }

    /// A builder for what a macro expands to: everything stands where the macro is used.
    fn for_expansion<'b>(&self, text: &'b str, span: Span) -> Builder<'b>
    where
        'a: 'b,
    {
        Builder {
            file: self.file,
            text,
            functions: self.functions,
            objects: self.objects,
            fixed: Some(span),
            expansions: self.expansions + 1,
            expansion_budget: self.expansion_budget.clone(),
            base: Cell::new(0),
            repaired: self.repaired.clone(),
            budget: Cell::new(0),
            diags: RefCell::default(),
        }
    }

    /// Takes over what the builder of an expansion has to say.
    fn end_expansion(&self, inner: &Builder<'_>) {
        self.expansion_budget.set(inner.expansion_budget.get());
        self.diags.borrow_mut().append(&mut inner.diags.borrow_mut());
    }

    // ------------------------------------------------------------------------------------------- places, messages

    /// Where a pair stands. Pairs can end in white space, places do not.
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        let len = pair.as_str().trim_end().len();
        self.file_span(self.base.get() + span.start()..self.base.get() + span.start() + len)
    }

    fn file_span(&self, range: Range<usize>) -> Span {
        self.fixed.unwrap_or_else(|| Span::new(self.file, range.start as u32, range.end as u32))
    }

    /// A pair that is a name, less the first `skip` bytes (`$`, `@`).
    fn name(&self, pair: &Pair<'_, Rule>, skip: usize) -> Name {
        Name { text: pair.as_str()[skip..].to_string(), span: self.span(pair) }
    }

    pub(crate) fn report(&self, diag: Diagnostic) {
        self.diags.borrow_mut().push(diag);
    }

    fn error(&self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, span, message));
    }

    /// Nesting is reported once, whatever else is too deep.
    fn report_deep_once(&self, span: Span) {
        let mut diags = self.diags.borrow_mut();
        if !diags.iter().any(|d| d.code == Code::TOO_DEEP) {
            diags.push(outline::too_deep(span));
        }
    }

    fn deep(&self, span: Span) -> Tall<Expr> {
        self.report_deep_once(span);
        Tall(Expr { kind: ExprKind::Error, span }, 1)
    }
}

/// The first child of the one pair that an entry rule gives.
fn first_inner(mut pairs: Pairs<'_, Rule>) -> Option<Pair<'_, Rule>> {
    pairs.next()?.into_inner().next()
}

/// The children of the one pair that an entry rule gives.
fn inner(mut pairs: Pairs<'_, Rule>) -> Option<Pairs<'_, Rule>> {
    Some(pairs.next()?.into_inner())
}
