//! Format strings of `printf` and its kin: parsed once, checked by the compiler, rendered by the runtime.

use crate::ty::Ty;
use std::fmt;

/// A parsed format string.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Format {
    /// Literal text and conversions in order.
    pub pieces: Vec<Piece>,
}

/// A part of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text, `%%` resolved.
    Text(Vec<u8>),
    /// A conversion: takes the next argument.
    Conv(Conv),
}

/// A conversion: `%[flags][width][.precision][length]kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// `-`
    pub left: bool,
    /// `+`
    pub plus: bool,
    /// blank
    pub space: bool,
    /// `#`
    pub alternate: bool,
    /// `0`
    pub zero: bool,
    /// Minimum width.
    pub width: Option<u32>,
    /// Precision.
    pub precision: Option<u32>,
    /// Length modifier.
    pub length: Length,
    /// What.
    pub kind: ConvKind,
    /// Byte offset of its `%` in the format string.
    pub at: u32,
}

/// Length modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// None: the argument's own width.
    Own,
    /// `hh`: 8 bits.
    Char,
    /// `h`: 16 bits.
    Short,
    /// `l ll j z t L`: 64 bits.
    Long,
}

/// Kinds of conversions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvKind {
    /// `d`, `i`
    Signed,
    /// `u`
    Unsigned,
    /// `o`
    Octal,
    /// `x`
    HexLower,
    /// `X`
    HexUpper,
    /// `c`
    Char,
    /// `p`
    Pointer,
    /// `s`: any type, in its default text.
    Str,
    /// `r`: a buffer, printable bytes as they are.
    Raw,
    /// `rx`: a buffer, all as `\xNN`.
    RawHex,
    /// `rh`: a buffer as hexadecimal numbers with blanks.
    RawDump,
    /// `gr`: GFP flags.
    Gfp,
}

/// Why a format string is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Byte offset of the `%`.
    pub at: u32,
    /// What is wrong, lower case.
    pub message: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FormatError {}

/// The widest field and the longest precision that a format may ask for.
const MAX_FIELD: u32 = 65_535;

impl Format {
    /// Parses a format string, escapes already resolved.
    ///
    /// A conversion is `%[flags][width][.precision][length]kind` with flags of `-+ #0`; `*` as a width is accepted
    /// and means none. `%%` (also with flags and width) is a percent sign, and so is a `%` that begins no conversion:
    /// `"100%\n"`.
    ///
    /// # Errors
    /// At the `%` of the first conversion of a floating-point number, or one whose width is too large.
    pub fn parse(text: &[u8]) -> Result<Format, FormatError> {
        let mut format = Format::default();
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if byte != b'%' {
                literal.push(byte);
                at += 1;
                continue;
            }
            let Some((piece, next)) = parse_conversion(text, at)? else {
                literal.push(b'%');
                at += 1;
                continue;
            };
            at = next;
            match piece {
                None => literal.push(b'%'),
                Some(conv) => {
                    if !literal.is_empty() {
                        format.pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    format.pieces.push(Piece::Conv(conv));
                }
            }
        }
        if !literal.is_empty() {
            format.pieces.push(Piece::Text(literal));
        }
        Ok(format)
    }

    /// Its conversions, in order: one for each argument.
    pub fn conversions(&self) -> impl Iterator<Item = &Conv> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Conv(conv) => Some(conv),
            Piece::Text(_) => None,
        })
    }

    /// Whether arguments of these types fit.
    ///
    /// # Errors
    /// At the first conversion whose argument has the wrong type; at offset 0 if the number differs.
    pub fn check(&self, args: &[Ty]) -> Result<(), FormatError> {
        let wanted = self.conversions().count();
        if wanted != args.len() {
            let plural = if wanted == 1 { "" } else { "s" };
            let message = format!(
                "the format takes {wanted} argument{plural}, but {} {} given",
                args.len(),
                if args.len() == 1 { "is" } else { "are" }
            );
            return Err(FormatError { at: 0, message });
        }
        self.conversions().zip(args).try_for_each(|(conv, ty)| conv.check(ty))
    }
}

/// As the script writes it, between quotation marks.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    let text = String::from_utf8_lossy(text).replace('%', "%%");
                    write!(f, "{}", text.escape_debug())?;
                }
                Piece::Conv(conv) => write!(f, "{conv}")?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("%")?;
        for (flag, letter) in
            [(self.left, "-"), (self.plus, "+"), (self.space, " "), (self.alternate, "#"), (self.zero, "0")]
        {
            f.write_str(if flag { letter } else { "" })?;
        }
        if let Some(width) = self.width {
            write!(f, "{width}")?;
        }
        if let Some(precision) = self.precision {
            write!(f, ".{precision}")?;
        }
        f.write_str(match self.length {
            Length::Own => "",
            Length::Char => "hh",
            Length::Short => "h",
            Length::Long => "l",
        })?;
        f.write_str(self.kind.letters())
    }
}

/// The conversion that begins at `at` (`None` for a percent sign), and where the text goes on.
fn parse_conversion(text: &[u8], at: usize) -> Result<Option<(Option<Conv>, usize)>, FormatError> {
    let error = |message: String| FormatError { at: at as u32, message };
    let mut conv = Conv {
        left: false,
        plus: false,
        space: false,
        alternate: false,
        zero: false,
        width: None,
        precision: None,
        length: Length::Own,
        kind: ConvKind::Signed,
        at: at as u32,
    };
    let mut i = at + 1;
    loop {
        let Some(flag) = text.get(i) else { return Ok(None) };
        match flag {
            b'-' => conv.left = true,
            b'+' => conv.plus = true,
            b' ' => conv.space = true,
            b'#' => conv.alternate = true,
            b'0' => conv.zero = true,
            _ => break,
        }
        i += 1;
    }
    if text.get(i) == Some(&b'*') {
        i += 1;
    } else {
        conv.width = parse_number(text, &mut i).map_err(error)?;
    }
    if text.get(i) == Some(&b'.') {
        i += 1;
        conv.precision = Some(parse_number(text, &mut i).map_err(error)?.unwrap_or(0));
    }
    let rest = text.get(i..).unwrap_or(&[]);
    let (length, taken) = match rest {
        [b'h', b'h', ..] => (Length::Char, 2),
        [b'h', ..] => (Length::Short, 1),
        [b'l', b'l', ..] => (Length::Long, 2),
        [b'l' | b'j' | b'z' | b't' | b'L', ..] => (Length::Long, 1),
        _ => (Length::Own, 0),
    };
    conv.length = length;
    i += taken;
    let (kind, taken) = match text.get(i..).unwrap_or(&[]) {
        [b'%', ..] => return Ok(Some((None, i + 1))),
        [b'd' | b'i', ..] => (ConvKind::Signed, 1),
        [b'u', ..] => (ConvKind::Unsigned, 1),
        [b'o', ..] => (ConvKind::Octal, 1),
        [b'x', ..] => (ConvKind::HexLower, 1),
        [b'X', ..] => (ConvKind::HexUpper, 1),
        [b'c', ..] => (ConvKind::Char, 1),
        [b'p', ..] => (ConvKind::Pointer, 1),
        [b's', ..] => (ConvKind::Str, 1),
        [b'r', b'x', ..] => (ConvKind::RawHex, 2),
        [b'r', b'h', ..] => (ConvKind::RawDump, 2),
        [b'r', ..] => (ConvKind::Raw, 1),
        [b'g', b'r', ..] => (ConvKind::Gfp, 2),
        [c @ (b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A'), ..] => {
            return Err(error(format!(
                "%{} is for floating-point numbers, which do not exist in the kernel",
                char::from(*c)
            )));
        }
        _ => return Ok(None),
    };
    conv.kind = kind;
    Ok(Some((Some(conv), i + taken)))
}

fn parse_number(text: &[u8], i: &mut usize) -> Result<Option<u32>, String> {
    let digits = text[*i..].iter().take_while(|b| b.is_ascii_digit()).count();
    let (from, to) = (*i, *i + digits);
    *i = to;
    if digits == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&text[from..to]);
    match text.parse() {
        Ok(n) if n <= MAX_FIELD => Ok(Some(n)),
        _ => Err(format!("a field of {text} characters is more than the {MAX_FIELD} that are possible")),
    }
}

impl ConvKind {
    /// Its letters: `d`, `rx`…
    pub const fn letters(self) -> &'static str {
        match self {
            ConvKind::Signed => "d",
            ConvKind::Unsigned => "u",
            ConvKind::Octal => "o",
            ConvKind::HexLower => "x",
            ConvKind::HexUpper => "X",
            ConvKind::Char => "c",
            ConvKind::Pointer => "p",
            ConvKind::Str => "s",
            ConvKind::Raw => "r",
            ConvKind::RawHex => "rx",
            ConvKind::RawDump => "rh",
            ConvKind::Gfp => "gr",
        }
    }
}

impl Conv {
    /// Whether an argument of type `ty` fits.
    ///
    /// Numbers take integers, booleans, enums and pointers; `r`, `rx` and `rh` take buffers; `s` takes everything.
    ///
    /// # Errors
    /// Names both.
    pub fn check(&self, ty: &Ty) -> Result<(), FormatError> {
        let number = matches!(ty, Ty::Int { .. } | Ty::Bool | Ty::Enum(_) | Ty::Ptr);
        let (fits, wants) = match self.kind {
            ConvKind::Str => (!matches!(ty, Ty::Void), "a value"),
            ConvKind::Raw | ConvKind::RawHex | ConvKind::RawDump => {
                (matches!(ty, Ty::Buf { .. }), "a buffer, as buf() makes it")
            }
            ConvKind::Signed
            | ConvKind::Unsigned
            | ConvKind::Octal
            | ConvKind::HexLower
            | ConvKind::HexUpper
            | ConvKind::Char
            | ConvKind::Pointer
            | ConvKind::Gfp => (number, "an integer"),
        };
        if fits {
            return Ok(());
        }
        let message = format!("%{} takes {wants}, not {ty}", self.kind.letters());
        Err(FormatError { at: self.at, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Conv {
        let format = Format::parse(text.as_bytes()).expect("parses");
        assert_eq!(format.pieces.len(), 1, "{text}");
        *format.conversions().next().expect("a conversion")
    }

    #[test]
    fn takes_flags_width_precision_length_and_kind() {
        let conv = one("%-+ #010.3lld");
        assert!(conv.left && conv.plus && conv.space && conv.alternate && conv.zero);
        assert_eq!((conv.width, conv.precision), (Some(10), Some(3)));
        assert_eq!((conv.length, conv.kind), (Length::Long, ConvKind::Signed));
        assert_eq!(conv.to_string(), "%-+ #010.3ld");
        assert_eq!(one("%hhx").length, Length::Char);
        assert_eq!(one("%*s").width, None);
        assert_eq!((one("%rx").kind, one("%rh").kind, one("%5r").kind), {
            (ConvKind::RawHex, ConvKind::RawDump, ConvKind::Raw)
        });
        assert_eq!(one("%gr").kind, ConvKind::Gfp);
    }

    #[test]
    fn percent_signs_are_text() {
        let format = Format::parse(b"a%%b%5%c").expect("parses");
        assert_eq!(format.pieces, [Piece::Text(b"a%b%c".to_vec())]);
    }

    #[test]
    fn wrong_formats_say_where_and_why() {
        for (text, at, part) in [("%d %f", 3, "floating-point"), ("%99999999999d", 0, "65535")] {
            let error = Format::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.at, at, "{text}");
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }

    #[test]
    fn what_is_no_conversion_is_text() {
        for text in ["ab %", "%-5", "x%y", "100%\n", "%5q|%"] {
            let format = Format::parse(text.as_bytes()).expect(text);
            assert_eq!(format.pieces, [Piece::Text(text.as_bytes().to_vec())], "{text}");
        }
        assert_eq!(Format::parse(b"100% sure").expect("parses").conversions().count(), 1);
    }

    #[test]
    fn arguments_are_checked() {
        let format = Format::parse(b"%d %s %r").expect("parses");
        let good = [Ty::I64, Ty::Tuple(vec![]), Ty::Buf { cap: 4 }];
        assert_eq!(format.check(&good), Ok(()));
        assert_eq!(
            format.check(&good[..2]).expect_err("two").message,
            "the format takes 3 arguments, but 2 are given"
        );
        let wrong = [Ty::Str { cap: 16 }, Ty::I64, Ty::Buf { cap: 4 }];
        assert_eq!(
            format.check(&wrong).expect_err("a string").message,
            "%d takes an integer, not string[16]"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_plain_text(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(format) = Format::parse(&text) && !text.contains(&b'%') {
                let expected = if text.is_empty() { vec![] } else { vec![Piece::Text(text)] };
                prop_assert_eq!(format.pieces, expected);
            }
        }

        #[test]
        fn odd_conversions_never_panic(text in "[%a-zA-Z0-9.*+# -]{0,16}") {
            let _ = Format::parse(text.as_bytes());
        }
    }
}
