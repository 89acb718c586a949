//! Text patterns for what a run prints: literal lines with a few placeholders.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `<int>` | an integer, perhaps negative |
//! | `<pos>` | an integer above zero |
//! | `<hex>` | `0x` and hexadecimal digits |
//! | `<word>` | characters other than white space, at least one |
//! | `<any>` | anything within the line, perhaps nothing |
//! | `<lines>` | alone on a line: any number of lines |
//!
//! `<int:pid>` binds what it matched to `pid`; a later `<int:pid>`, in whatever block of the same case, must be equal.
//! Any other text is compared byte for byte.

use std::collections::BTreeMap;

/// What the named placeholders of a case have matched so far.
pub type Bindings = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Pos,
    Hex,
    Word,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(Kind, Option<String>),
}

/// The line that stands for any number of lines.
const LINES: &str = "<lines>";

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some((hole, len)) = hole(rest) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(hole);
            rest = &rest[len..];
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The placeholder that `text` begins with, and its length.
fn hole(text: &str) -> Option<(Piece, usize)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let (kind, name) = match inner[..end].split_once(':') {
        Some((kind, name)) => (kind, Some(name.to_owned())),
        None => (&inner[..end], None),
    };
    let kind = match kind {
        "int" => Kind::Int,
        "pos" => Kind::Pos,
        "hex" => Kind::Hex,
        "word" => Kind::Word,
        "any" => Kind::Any,
        _ => return None,
    };
    Some((Piece::Hole(kind, name), end + 2))
}

/// True if `text` is what a placeholder of this kind may stand for.
fn admits(kind: &Kind, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match kind {
        Kind::Int => digits(text.strip_prefix('-').unwrap_or(text)),
        Kind::Pos => digits(text) && text.bytes().any(|b| b != b'0'),
        Kind::Hex => {
            text.strip_prefix("0x").is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        Kind::Word => !text.is_empty() && !text.contains(char::is_whitespace),
        Kind::Any => true,
    }
}

/// Matches one line; on success the bindings have grown.
pub fn match_line(pattern: &str, line: &str, bindings: &mut Bindings) -> bool {
    match matched(&pieces(pattern), line, bindings) {
        Some(grown) => {
            *bindings = grown;
            true
        }
        None => false,
    }
}

/// Longest match first, with backtracking; lines are short.
fn matched(pieces: &[Piece], line: &str, bindings: &Bindings) -> Option<Bindings> {
    let Some((first, rest)) = pieces.split_first() else {
        return line.is_empty().then(|| bindings.clone());
    };
    match first {
        Piece::Text(text) => matched(rest, line.strip_prefix(text.as_str())?, bindings),
        Piece::Hole(kind, name) => {
            let ends = line.char_indices().map(|(i, _)| i).chain([line.len()]).collect::<Vec<_>>();
            ends.into_iter().rev().find_map(|end| {
                let text = &line[..end];
                if !admits(kind, text) {
                    return None;
                }
                let mut grown = bindings.clone();
                if let Some(name) = name {
                    if grown.get(name).is_some_and(|bound| bound != text) {
                        return None;
                    }
                    grown.insert(name.clone(), text.to_owned());
                }
                matched(rest, &line[end..], &grown)
            })
        }
    }
}

/// Matches whole outputs: every line, in order.
pub fn match_all(patterns: &[&str], lines: &[&str], bindings: &mut Bindings) -> bool {
    let Some((first, rest)) = patterns.split_first() else {
        return lines.is_empty();
    };
    if *first == LINES {
        return (0..=lines.len()).any(|skip| {
            let mut grown = bindings.clone();
            let matched = match_all(rest, &lines[skip..], &mut grown);
            if matched {
                *bindings = grown;
            }
            matched
        });
    }
    let Some((line, others)) = lines.split_first() else { return false };
    let mut grown = bindings.clone();
    if match_line(first, line, &mut grown) && match_all(rest, others, &mut grown) {
        *bindings = grown;
        return true;
    }
    false
}

/// Finds a line for every pattern, in the patterns' order; other lines may stand between. The first pattern without
/// a line is the error.
///
/// # Errors
/// The pattern that no remaining line matches.
pub fn match_some<'p>(patterns: &[&'p str], lines: &[&str], bindings: &mut Bindings) -> Result<(), &'p str> {
    let mut lines = lines.iter();
    for pattern in patterns {
        if !lines.any(|line| match_line(pattern, line, bindings)) {
            return Err(pattern);
        }
    }
    Ok(())
}

/// Finds a line of its own for every pattern, in whatever order.
///
/// # Errors
/// The pattern that no remaining line matches.
pub fn match_set<'p>(patterns: &[&'p str], lines: &[&str], bindings: &mut Bindings) -> Result<(), &'p str> {
    let mut free: Vec<&str> = lines.to_vec();
    for pattern in patterns {
        match free.iter().position(|line| match_line(pattern, line, bindings)) {
            Some(at) => drop(free.remove(at)),
            None => return Err(pattern),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pattern: &str, text: &str) -> bool {
        match_line(pattern, text, &mut Bindings::new())
    }

    #[test]
    fn placeholders() {
        assert!(line("@[<word>]: <int>", "@[sh]: -12"));
        assert!(!line("@[<word>]: <int>", "@[s h]: 12"));
        assert!(line("<hex> <pos>", "0xffff 1") && !line("<pos>", "0") && !line("<pos>", ""));
        assert!(line("a<any>z", "az") && line("a<any>z", "a z z") && !line("a<any>z", "a"));
        assert!(line("<unwind failure>", "<unwind failure>"));
        assert!(line("|@@@   |", "|@@@   |") && !line("|@@@   |", "|@@@  |"));
    }

    #[test]
    fn names_must_agree() {
        let mut bindings = Bindings::new();
        assert!(match_all(&["<int:a> <int:b>", "<int:a>"], &["1 2", "1"], &mut bindings));
        assert_eq!(bindings["b"], "2");
        assert!(!match_all(&["<int:b>"], &["3"], &mut bindings));
    }

    #[test]
    fn lines_in_order_and_in_any_order() {
        let lines = ["a", "b", "c"];
        let all = |patterns: &[&str]| match_all(patterns, &lines, &mut Bindings::new());
        assert!(all(&["<lines>"]) && all(&["a", "<lines>", "c"]) && all(&["a", "b", "c", "<lines>"]));
        assert!(!all(&["a", "b"]) && !all(&["b", "<lines>"]));
        assert_eq!(match_some(&["a", "c"], &lines, &mut Bindings::new()), Ok(()));
        assert_eq!(match_some(&["c", "a"], &lines, &mut Bindings::new()), Err("a"));
        assert_eq!(match_set(&["c", "a"], &lines, &mut Bindings::new()), Ok(()));
        assert_eq!(match_set(&["c", "c"], &lines, &mut Bindings::new()), Err("c"));
    }
}
