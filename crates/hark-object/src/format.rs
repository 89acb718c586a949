//! Format strings of `printf` and its kin: parsed once, checked by the compiler, rendered by the runtime.

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
