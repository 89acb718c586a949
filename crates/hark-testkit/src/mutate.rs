//! Scripts with mistakes in them: what people mistype, cut off and paste together.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

/// A change to a text. Places are shares of its length, so that shrinking a text keeps them inside.
#[derive(Clone, Debug)]
enum Change {
    /// Leaves out some bytes.
    Cut(f64, usize),
    /// Puts a piece in.
    Insert(f64, &'static str),
    /// Writes a part a second time, elsewhere.
    Copy(f64, usize, f64),
    /// Ends the text early.
    End(f64),
}

/// Pieces that mean something to a parser.
const PIECES: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ",",
    "/",
    "\"",
    "'",
    "@",
    "$",
    "->",
    ".",
    "..",
    "=",
    "==",
    "+=",
    "?",
    ":",
    "!",
    "*",
    "&",
    "<<",
    "-",
    "#define X ",
    "#if 1\n",
    "/*",
    "*/",
    "//",
    "\0",
    "\u{fffd}",
    "é",
    "0x",
    "9223372036854775808",
    "1e99",
    "if ",
    "else ",
    "for ($i : 0..3) ",
    "unroll(3) ",
    "let ",
    "return ",
    "(uint8)",
    "(struct task_struct *)",
    "@a",
    "$a",
    "$1",
    "args.",
    "str(",
    "hist(",
    "count()",
    "print(",
    "kprobe:",
    "BEGIN",
    "macro m($x) { $x }",
    "struct s { int a; };",
    "config = { ",
    "comptime ",
    "sizeof(",
    "(1, 2)",
    "(a=1)",
    "true",
    "curtask",
    "-1",
    "\\",
    "\\x",
    "%s",
    "&@a",
    "++",
    "--",
];

fn change() -> impl Strategy<Value = Change> {
    let place = 0.0..1.0f64;
    prop_oneof![
        3 => (place.clone(), 1..12usize).prop_map(|(at, n)| Change::Cut(at, n)),
        4 => (place.clone(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => (place.clone(), 1..40usize, place.clone()).prop_map(|(from, n, to)| Change::Copy(from, n, to)),
        1 => place.prop_map(Change::End),
    ]
}

/// A place in `text` between two characters.
fn place(text: &str, share: f64) -> usize {
    let mut at = (text.len() as f64 * share) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn end_of(text: &str, start: usize, len: usize) -> usize {
    let mut end = (start + len).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    end
}

fn apply(text: &mut String, change: &Change) {
    match change {
        Change::Cut(at, n) => {
            let start = place(text, *at);
            text.replace_range(start..end_of(text, start, *n), "");
        }
        Change::Insert(at, piece) => text.insert_str(place(text, *at), piece),
        Change::Copy(from, n, to) => {
            let start = place(text, *from);
            let part = text[start..end_of(text, start, *n)].to_string();
            text.insert_str(place(text, *to), &part);
        }
        Change::End(at) => text.truncate(place(text, *at)),
    }
}

/// Tries `cases` scripts, each one of `texts` with a few changes.
///
/// # Errors
/// `check` fails or panics: why, and the smallest such script found.
pub fn try_mutants(
    texts: &[String],
    cases: u32,
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let texts = texts.to_vec();
    let strategy = (prop::sample::select(texts), prop::collection::vec(change(), 1..5)).prop_map(
        |(mut text, changes)| {
            for change in &changes {
                apply(&mut text, change);
            }
            text
        },
    );
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |text| check(&text).map_err(TestCaseError::fail));
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, text)) => Err(format!("{why}\n--- the script:\n{text}")),
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}
