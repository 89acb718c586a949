//! The words of a line of assembly.

/// A word and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) tok: Tok<'t>,
    /// Column in characters, from 1.
    pub(super) col: u32,
}

/// A word of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tok<'t> {
    /// A name, or what disassemblers print of bytes: `r1`, `goto`, `bf`.
    Word(&'t str),
    /// A number without its sign, and how many characters it has.
    Num { value: u64, len: usize },
    /// An operator.
    Sym(&'t str),
}

impl Tok<'_> {
    /// Whether it can be a byte of a hex dump.
    pub(super) fn is_hex_byte(self) -> bool {
        match self {
            Tok::Word(word) => word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit()),
            Tok::Num { len, .. } => len == 2,
            Tok::Sym(_) => false,
        }
    }
}

/// Operators, a longer one before those it begins with.
const SYMS: &[&str] = &[
    "s>>=", "s>=", "s<=", "s/=", "s%=", "<<=", ">>=", "s>", "s<", "+=", "-=", "*=", "/=", "%=", "|=", "&=",
    "^=", "==", "!=", ">=", "<=", "=", ">", "<", "&", "*", "+", "-", "(", ")", "[", "]", ",", ":", "#",
];

/// The tokens of `line` up to a comment; an error is a column and a message.
pub(super) fn tokens(line: &str) -> Result<Vec<Token<'_>>, (u32, String)> {
    let mut out = Vec::new();
    let mut rest = line;
    let mut col = 1;
    let mut after_space = true;
    while let Some(first) = rest.chars().next() {
        if first == ';' || rest.starts_with("//") || first == '#' && after_space {
            break;
        }
        after_space = first.is_whitespace();
        if after_space {
            rest = &rest[first.len_utf8()..];
            col += 1;
            continue;
        }
        let (tok, len) = token(rest).map_err(|message| (col, message))?;
        out.push(Token { tok, col });
        // Tokens are of ASCII characters only, so bytes are characters.
        rest = &rest[len..];
        col += u32::try_from(len).unwrap_or(u32::MAX);
    }
    Ok(out)
}

/// The token at the start of `text`, and its length.
fn token(text: &str) -> Result<(Tok<'_>, usize), String> {
    if let Some(sym) = SYMS.iter().find(|sym| text.starts_with(**sym)) {
        return Ok((Tok::Sym(sym), sym.len()));
    }
    let is_word = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '.' | '$');
    let len = text.find(|ch| !is_word(ch)).unwrap_or(text.len());
    let word = &text[..len];
    match word.bytes().next() {
        None => Err(format!("unexpected character {:?}", text.chars().next().unwrap_or(' '))),
        Some(b'0'..=b'9') => number(word).map(|tok| (tok, len)),
        Some(_) => Ok((Tok::Word(word), len)),
    }
}

/// A number, or a word that only begins like one (`7b` in a dump).
fn number(word: &str) -> Result<Tok<'_>, String> {
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let value = match hex {
        Some(digits) => u64::from_str_radix(digits, 16),
        None if word.bytes().all(|b| b.is_ascii_digit()) => word.parse(),
        None => return Ok(Tok::Word(word)),
    };
    match value {
        Ok(value) => Ok(Tok::Num { value, len: word.len() }),
        Err(_) => Err(format!("`{word}` is no number of at most 64 bits")),
    }
}
