//! What the author of a script is told when the grammar does not match: rules as words, and hints for the errors
//! that people make.

use crate::ast::{Expr, ExprKind, Stmt, StmtKind};
use crate::build::Rule;
use hark_diag::{Code, Diagnostic, FileId, Span, did_you_mean};
use pest::error::{Error, ErrorVariant, InputLocation};

/// Words that begin a statement or item, for "did you mean".
const KEYWORDS: &[&str] = &[
    "break", "comptime", "continue", "else", "for", "if", "import", "let", "macro", "return", "unroll",
    "while",
];

/// Said where a predicate has become part of an attach point, as `/` can stand in both.
pub(crate) const BLANK_BEFORE_PREDICATE: &str =
    "a predicate is set off by a blank: `kprobe:vfs_read /pid == 42/ { … }`";

/// How a rule is called in "expected …"; `None` for those that would only make the list longer.
fn words(rule: Rule, entry: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::EOI => match entry {
            Rule::body_entry => "`}`",
            Rule::expr_entry => "the end of the predicate",
            Rule::head_entry | Rule::macro_entry | Rule::fn_entry => "`{`",
            _ => "the end",
        },
        Rule::semi => "`;`",
        Rule::comma => "`,`",
        Rule::colon => "`:`",
        Rule::assign | Rule::ap_equals => "`=`",
        Rule::range_dots => "`..`",
        Rule::lparen => "`(`",
        Rule::rparen => "`)`",
        Rule::lbrace | Rule::block => "`{`",
        Rule::rbrace => "`}`",
        Rule::lbracket => "`[`",
        Rule::rbracket => "`]`",
        Rule::kw_else => "`else`",
        Rule::kw_config => "`config`",
        Rule::kw_enum => "`enum`",
        Rule::kw_fn => "`fn`",
        Rule::kw_import => "`import`",
        Rule::kw_let => "`let`",
        Rule::kw_macro => "`macro`",
        Rule::kw_struct => "`struct`",
        Rule::kw_typedef => "`typedef`",
        Rule::kw_typeof => "`typeof`",
        Rule::kw_union => "`union`",
        Rule::expr
        | Rule::name_expr
        | Rule::name
        | Rule::int
        | Rule::positional
        | Rule::positional_count
        | Rule::map
        | Rule::paren
        | Rule::record
        | Rule::if_expr
        | Rule::kw_if => "an expression",
        Rule::var => "a variable like `$x`",
        Rule::map_name => "a map like `@m`",
        Rule::string => "a string in double quotes",
        Rule::field_name | Rule::field | Rule::arrow => "the name of a field",
        Rule::tuple_field | Rule::tuple_index => "the number of a tuple's field",
        Rule::def_name | Rule::tag_name | Rule::member_name | Rule::c_variant | Rule::attr_name => "a name",
        Rule::config_item => "a key like `missing_probes`",
        Rule::ty | Rule::ty_sure | Rule::ty_bare | Rule::ty_name | Rule::c_specs | Rule::ty_arg => "a type",
        Rule::c_member => "a member",
        Rule::c_field | Rule::c_declarator | Rule::c_inner => "the name of a member",
        Rule::attach_point | Rule::ap_text => "an attach point like `kprobe:vfs_read`",
        Rule::c_struct | Rule::c_enum | Rule::c_typedef => "a definition",
        _ => return None,
    })
}

/// Whether an error is only that something else was left out.
pub(crate) fn is_echo(slice: &str, error: &Error<Rule>) -> bool {
    slice.as_bytes().get(place(error)) == Some(&crate::recover::MARK)
}

/// Whether the grammar gave up because its stack is used up: further attempts would, too.
pub(crate) fn is_limit(error: &Error<Rule>) -> bool {
    matches!(error.variant, ErrorVariant::CustomError { .. })
}

/// Where the grammar gave up, as an offset into the slice.
pub(crate) fn place(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// The message for an error in `slice`, which begins at `base` of the file and was parsed with the rule `entry`.
pub(crate) fn explain(
    file: FileId,
    slice: &str,
    base: usize,
    error: &Error<Rule>,
    entry: Rule,
) -> Diagnostic {
    let at = place(error);
    let rest = slice.get(at..).unwrap_or_default();
    let span = |lo: usize, hi: usize| Span::new(file, (base + lo) as u32, (base + hi) as u32);
    let positives = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { message } if message.starts_with("call limit") => {
            let span = span(at, at + token(rest).len());
            let what = "so much is nested here that it cannot be read; is a bracket missing?";
            return Diagnostic::error(Code::TOO_DEEP, span, what);
        }
        ErrorVariant::CustomError { .. } => {
            return crate::outline::too_deep(span(at, at + token(rest).len()));
        }
    };
    let mut expected: Vec<&str> = Vec::new();
    for rule in positives {
        if let Some(word) = words(*rule, entry)
            && !expected.contains(&word)
        {
            expected.push(word);
        }
    }
    if expected.contains(&"an expression") {
        let narrower =
            ["a variable like `$x`", "a map like `@m`", "a string in double quotes", "a type", "`{`"];
        expected.retain(|w| !narrower.contains(w));
    }
    if entry == Rule::body_entry && positives.contains(&Rule::EOI) {
        // Between statements: what is missing depends on whether one has just ended.
        let ended = slice[..at].trim_end().bytes().last().is_none_or(|b| b";{}".contains(&b));
        expected = vec![if ended { "a statement" } else { "`;`" }, "`}`"];
    }
    // The plainest first: what ends or goes on, then what begins something.
    expected.sort_by_key(|w| (!w.starts_with('`'), *w));
    let at_end = rest.trim().is_empty();
    let found = if at_end { end_of(entry).to_string() } else { describe(rest) };
    // At the end of a slice the place is the last that is something.
    let place = if at_end {
        let end = slice.trim_end().len();
        span(end.saturating_sub(1), end.max(1).min(slice.len().max(1)))
    } else {
        span(at, at + token(rest).len())
    };
    let message = match expected.as_slice() {
        [] => format!("{found} cannot stand here"),
        [one] => format!("expected {one}, found {found}"),
        [most @ .., last] => format!("expected {} or {last}, found {found}", most.join(", ")),
    };
    let mut diag = Diagnostic::error(Code::SYNTAX, place, message);
    diag.helps.extend(hint(slice, at, rest, &expected, entry));
    diag
}

/// What is found where a slice ends.
fn end_of(entry: Rule) -> &'static str {
    match entry {
        Rule::body_entry => "`}`",
        Rule::expr_entry => "the `/` that ends the predicate",
        Rule::head_entry | Rule::macro_entry | Rule::fn_entry => "`{`",
        _ => "the end",
    }
}

/// The token that `text` begins with, as a description.
pub(crate) fn describe(text: &str) -> String {
    let token = token(text);
    match token.bytes().next() {
        None => "the end".to_string(),
        Some(b'"') => "a string".to_string(),
        Some(b) if b.is_ascii_digit() => format!("the number `{token}`"),
        Some(_) => format!("`{token}`"),
    }
}

/// The token that `text` begins with.
fn token(text: &str) -> &str {
    let Some(first) = text.chars().next() else { return "" };
    let word = |s: &str| s.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let len = match first {
        '"' => text[1..].find('"').map_or(text.len(), |n| n + 2),
        '$' | '@' => 1 + word(&text[1..]),
        c if c.is_ascii_alphanumeric() || c == '_' => word(text),
        c => {
            let two = text.get(..2).unwrap_or_default();
            let pairs =
                ["==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "++", "--", "->", "..", "+=", "-=", "*="];
            if pairs.contains(&two) { 2 } else { c.len_utf8() }
        }
    };
    &text[..len]
}

/// What would help, judged from what stands at the place of the error.
fn hint(slice: &str, at: usize, rest: &str, expected: &[&str], entry: Rule) -> Option<String> {
    let before = slice.get(..at).unwrap_or_default().trim_end();
    let found = token(rest);
    let hint = match found {
        "=" if ["`)`", "`{`", "`]`", "the end of the predicate"].iter().any(|w| expected.contains(w)) => {
            "`=` assigns and is a statement; to compare, write `==`"
        }
        _ if entry == Rule::head_entry && before.rsplit(':').next().is_some_and(|run| run.contains('/')) => {
            BLANK_BEFORE_PREDICATE
        }
        "{" if entry == Rule::head_entry && before.ends_with('=') => {
            "the block of settings is called config: `config = { max_strlen = 64 }`"
        }
        "" if entry == Rule::macro_entry && expected.contains(&"`(`") => {
            "a macro has parentheses even if it takes nothing: `macro f() { … }`"
        }
        "else" => "an `else` stands directly after the `}` of an `if`",
        "'" => "strings are written in double quotes; there are no character literals",
        "\u{201c}" | "\u{201d}" | "\u{2018}" | "\u{2019}" => "this is a typographic quote; write \" instead",
        "#" => "a preprocessor line begins with its `#`, on a line of its own",
        "." if before.ends_with("args") => "an argument of the probe is written `args.name`",
        "struct" | "union" | "enum" => "a cast is written in parentheses: `(struct task_struct *)arg0`",
        "while" | "for" | "if" | "let" | "return" | "break" | "continue" | "unroll"
            if expected.contains(&"an expression") =>
        {
            return Some(format!("`{found}` is a reserved word and cannot be a name here"));
        }
        _ if before.ends_with("args->") || before.ends_with("args.") => {
            "the name of an argument follows, as in `args.filename`; `hark -lv PROBE` lists them"
        }
        _ if !found.is_ascii() && found.chars().all(|c| c.is_whitespace()) => {
            "this is a blank of another kind (from a web page?); write a space instead"
        }
        _ => return None,
    };
    Some(hint.to_string())
}

/// A hint for a missing `;` after a statement.
pub(crate) fn hint_after_statement(before: &Stmt, next: &str) -> Option<String> {
    if let StmtKind::Expr(Expr { kind: ExprKind::Ident(word), .. }) = &before.kind {
        if matches!(word.as_str(), "elif" | "elseif" | "elsif") {
            return Some("write `else if`".to_string());
        }
        if matches!(word.as_str(), "int" | "var" | "auto" | "char" | "long" | "uint64" | "int64") {
            return Some("a variable is declared with `let $x = …;` or by assigning to it".to_string());
        }
        if let Some(near) = did_you_mean(word, KEYWORDS.iter().copied()) {
            return Some(format!("did you mean `{near}`?"));
        }
    }
    if next.starts_with('=') {
        return Some("only variables and maps can be assigned to".to_string());
    }
    None
}
