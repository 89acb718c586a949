//! What holds for every tree and every text.

use crate::generate::script;
use crate::parse_text;
use hark_diag::FileId;
use hark_syntax::{ParseOptions, dump, format, parse_header, print};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, proptest};

/// Pieces that random texts are made of: nearly a script.
const PIECES: &[&str] = &[
    "BEGIN",
    "END",
    "kprobe:f",
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ";",
    ";",
    ",",
    "$a",
    "@b",
    "@",
    "1",
    "10ms",
    "0x",
    "\"x\"",
    "\"",
    "'",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "~",
    "!",
    "=",
    "==",
    "<",
    ">",
    "<<",
    ">>",
    "++",
    "--",
    "->",
    ".",
    "..",
    "?",
    ":",
    "if",
    "else",
    "for",
    "while",
    "unroll",
    "let",
    "return",
    "struct",
    "union",
    "enum",
    "typedef",
    "config",
    "=",
    "import",
    "macro",
    "fn",
    "comptime",
    "sizeof",
    "typeof",
    "int32",
    "string",
    "_",
    "//",
    "/*",
    "*/",
    "\n",
    "\n#if",
    "\n#endif",
    "\n#define",
    "\n#include",
    "\\",
    "é",
    "\u{1}",
    "\0",
    "#",
    "$#",
    "x",
];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn a_printed_tree_is_read_back(tree in script()) {
        let text = print(&tree);
        let (parsed, messages) = parse_text(&text, &ParseOptions::default());
        prop_assert!(parsed.diags.is_empty(), "{}\n{}", messages, text);
        prop_assert_eq!(dump(&parsed.script), dump(&tree), "{}", text);
    }

    #[test]
    fn formatting_keeps_the_tree_and_settles_at_once(tree in script()) {
        let text = print(&tree);
        let once = format(FileId(0), &text, &ParseOptions::default());
        let once = once.map_err(|d| proptest::test_runner::TestCaseError::fail(format!("{d:?}\n{text}")))?;
        let twice = format(FileId(0), &once, &ParseOptions::default());
        prop_assert_eq!(Ok(&once), twice.as_ref(), "{}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        parse_text(&text, &ParseOptions::default());
        parse_header(FileId(0), &text, &ParseOptions::default());
    }

    #[test]
    fn no_pieces_make_it_panic(pieces in vec(select(PIECES), 0..120), inside in any::<bool>(), blank in any::<bool>()) {
        let text = pieces.join(if blank { " " } else { "" });
        let text = if inside { format!("BEGIN {{ {text} }}") } else { text };
        let (parsed, messages) = parse_text(&text, &ParseOptions::default());
        // What is wrong is said: a text without message is formatted and means the same.
        if !parsed.has_errors() {
            let formatted = format(FileId(0), &text, &ParseOptions::default());
            prop_assert!(formatted.is_ok(), "{:?}\n{}\n{}", formatted, text, messages);
        }
        parse_header(FileId(0), &text, &ParseOptions::default());
    }
}
