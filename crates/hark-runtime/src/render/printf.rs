//! Conversions of `printf`.
//!
//! Where C and the tracers that came before differ, this follows the tracers: widths fill with `0` on either side
//! and before a sign, the width of a tuple is that of its first parenthesis, precision shortens texts and does nothing to numbers, `%p` is a number with `0x`.

use super::text::{buffer, two_digits};
use super::{Context, decimal, pad, text};
use crate::value::{Value, part};
use hark_object::{Conv, ConvKind, Field, Length, Piece, TextFormat};

/// Appends a format applied to the fields of `record`.
pub fn render(cx: &Context<'_>, format: &TextFormat, record: &[u8], out: &mut Vec<u8>) {
    let mut args = format.args.iter();
    for piece in &format.format.pieces {
        match piece {
            Piece::Text(literal) => out.extend_from_slice(literal),
            Piece::Conv(conv) => {
                if let Some(field) = args.next() {
                    convert(cx, conv, &field_value(field, record), out);
                }
            }
        }
    }
}

/// The value of a field of a record.
pub fn field_value<'a>(field: &'a Field, record: &'a [u8]) -> Value<'a> {
    Value::of(&field.ty, part(record, field.offset, field.ty.layout().size))
}

fn convert(cx: &Context<'_>, conv: &Conv, value: &Value<'_>, out: &mut Vec<u8>) {
    let from = out.len();
    match (conv.kind, value) {
        (ConvKind::RawHex, Value::Buf(bytes)) => {
            for byte in *bytes {
                out.extend_from_slice(b"\\x");
                two_digits(out, *byte, b"0123456789abcdef");
            }
        }
        (ConvKind::RawDump, Value::Buf(bytes)) => {
            for (i, byte) in bytes.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                two_digits(out, *byte, b"0123456789abcdef");
            }
        }
        (ConvKind::Raw, Value::Buf(bytes)) => buffer(bytes, out),
        (ConvKind::Str | ConvKind::Raw | ConvKind::RawHex | ConvKind::RawDump, value) => {
            text::value(cx, value, 1, out);
        }
        (kind, value) => match value.number() {
            Some((n, bytes)) => integer(conv, kind, n, bytes, out),
            None => text::value(cx, value, 1, out),
        },
    }
    if let (ConvKind::Str, Some(precision)) = (conv.kind, conv.precision) {
        out.truncate(out.len().min(from + precision as usize));
    }
    if let Some(width) = conv.width {
        let fill = if conv.zero { b'0' } else { b' ' };
        let opening = opening(value).min(out.len() - from);
        if opening == 0 {
            pad(out, from, width as usize, conv.left, fill);
        } else {
            let at = if conv.left { from + opening } else { from };
            let missing = (width as usize).saturating_sub(opening);
            out.splice(at..at, std::iter::repeat_n(fill, missing));
        }
    }
}

/// Bytes of the bracket that a compound value begins with: its width is that of the bracket alone.
fn opening(value: &Value<'_>) -> usize {
    match value {
        Value::Tuple(_) | Value::Array(_) => 1,
        Value::Struct(_) => 2,
        _ => 0,
    }
}

/// The low `bits` of `n` as the conversion reads them.
fn narrowed(n: i128, bits: u32, signed: bool) -> i128 {
    let word = (n as u64) << (64 - bits);
    if signed { i128::from(word as i64 >> (64 - bits)) } else { i128::from(word >> (64 - bits)) }
}

fn integer(conv: &Conv, kind: ConvKind, n: i128, bytes: u8, out: &mut Vec<u8>) {
    // As in C, what is narrower than an int is one.
    let bits = match conv.length {
        Length::Own => 8 * u32::from(bytes.clamp(4, 8)),
        Length::Char => 8,
        Length::Short => 16,
        Length::Long => 64,
    };
    let unsigned = narrowed(n, bits, false) as u64;
    let prefix = conv.alternate && unsigned != 0;
    match kind {
        ConvKind::Signed => {
            let n = narrowed(n, bits, true);
            if conv.plus && n >= 0 {
                out.push(b'+');
            }
            decimal(out, n);
        }
        ConvKind::Unsigned => decimal(out, i128::from(unsigned)),
        ConvKind::Octal => {
            if prefix {
                out.push(b'0');
            }
            out.extend(format!("{unsigned:o}").bytes());
        }
        ConvKind::HexLower => text::hex(out, if prefix { "0x" } else { "" }, unsigned),
        ConvKind::HexUpper => {
            let from = out.len();
            text::hex(out, if prefix { "0x" } else { "" }, unsigned);
            out[from..].make_ascii_uppercase();
        }
        ConvKind::Char => out.push(n as u8),
        ConvKind::Gfp => out.extend(bpf_facts::gfp_names(n as u64).bytes()),
        ConvKind::Pointer | ConvKind::Str | ConvKind::Raw | ConvKind::RawHex | ConvKind::RawDump => {
            text::address(out, n as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::FixedNames;
    use hark_object::{Format, Ty};

    fn one(format: &str, ty: Ty, bytes: &[u8]) -> String {
        let cx = Context { names: &FixedNames, trailer: ".." };
        let args = vec![Field { offset: 8, ty }];
        let format = TextFormat { format: Format::parse(format.as_bytes()).expect(format), args };
        let record = [&[0; 8], bytes].concat();
        let mut out = Vec::new();
        render(&cx, &format, &record, &mut out);
        String::from_utf8(out).expect("utf-8")
    }

    #[track_caller]
    fn number(format: &str, n: i64, expected: &str) {
        // A literal has the smallest signed type that holds it.
        let bytes =
            [1u8, 2, 4, 8].into_iter().find(|b| narrowed(n.into(), 8 * u32::from(*b), true) == n.into());
        let ty = Ty::Int { bytes: bytes.expect("64 bits hold it"), signed: true };
        assert_eq!(one(format, ty, &n.to_le_bytes()), expected, "{format} of {n}");
    }

    #[test]
    fn integers() {
        for (format, n, expected) in [
            ("%5d|", 42, "   42|"),
            ("%-5d|", 42, "42   |"),
            ("%05d", 42, "00042"),
            ("%+d", 42, "+42"),
            ("% d", 42, "42"),
            ("%x", 255, "ff"),
            ("%#x", 255, "0xff"),
            ("%X", 255, "FF"),
            ("%#X", 255, "0XFF"),
            ("%o", 8, "10"),
            ("%#o", 8, "010"),
            ("%c", 65, "A"),
            ("%5c|", 65, "    A|"),
            ("%i", -1, "-1"),
            ("%u", -1, "4294967295"),
            ("%x", -1, "ffffffff"),
            ("%lx", 0x1234_5678_9abc_def0, "123456789abcdef0"),
            ("%hhd", 300, "44"),
            ("%hd", 70000, "4464"),
            ("%hhx", 300, "2c"),
            ("%hhu", -1, "255"),
            ("%lld", -1, "-1"),
            ("%zu", 1, "1"),
            ("%.5d", 42, "42"),
            ("%8.5d", 42, "      42"),
            ("%.0d", 0, "0"),
            ("%-+6d|", 5, "+5    |"),
            ("%+06d", 5, "0000+5"),
            ("%05d", -42, "00-42"),
            ("%-05d", 42, "42000"),
            ("%05x", 255, "000ff"),
            ("%#010x", 255, "0000000xff"),
            ("%p", 12, "0xc"),
            ("%p", 0, "0"),
            ("%20p", 13, "                 0xd"),
            ("%-6p|", 14, "0xe   |"),
            ("%p", -1, "0xffffffffffffffff"),
            ("%s", -5, "-5"),
            ("%gr", 0xdc0, "GFP_KERNEL|__GFP_ZERO"),
        ] {
            number(format, n, expected);
        }
    }

    #[test]
    fn an_argument_keeps_its_own_width() {
        assert_eq!(one("%d", Ty::U64, &(1u64 << 40).to_le_bytes()), "1099511627776");
        assert_eq!(one("%x", Ty::U64, &0x1234_5678_abcd_ef00u64.to_le_bytes()), "12345678abcdef00");
        assert_eq!(one("%u", Ty::U64, &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(one("%d", Ty::Int { bytes: 1, signed: false }, &[255]), "255");
        assert_eq!(one("%d", Ty::Int { bytes: 4, signed: false }, &[255; 4]), "-1");
    }

    #[test]
    fn texts() {
        let text = |format: &str| one(format, Ty::Str { cap: 8 }, b"abcdef\0\0");
        assert_eq!(text("%10s|"), "    abcdef|");
        assert_eq!(text("%-10s|"), "abcdef    |");
        assert_eq!(text("%.3s|"), "abc|");
        assert_eq!(text("%-5.2s|"), "ab   |");
        assert_eq!(text("%08s"), "00abcdef");
        assert_eq!(one("%5s|%%", Ty::Bool, &[1]), " true|%");
        assert_eq!(one("%d", Ty::Bool, &[1]), "1");
        let pair = Ty::Tuple(vec![Ty::Int { bytes: 1, signed: true }; 2]);
        assert_eq!(one("%10s|", pair.clone(), &[1, 2]), "         (1, 2)|");
        assert_eq!(one("%-8s|", pair, &[1, 2]), "(       1, 2)|");
        let field = |name: &str| hark_object::RecordField { name: name.into(), ty: Ty::Bool };
        let record = Ty::Record(vec![field("a")]);
        assert_eq!(one("%8s|", record.clone(), &[1]), "      { .a = true }|");
        assert_eq!(one("%-8s|", record, &[1]), "{       .a = true }|");
        assert_eq!(one("%s", Ty::Ptr, &[8, 0, 0, 0, 0, 0, 0, 0]), "0x8");
    }

    #[test]
    fn buffers() {
        let buf = |format: &str| one(format, Ty::Buf { cap: 4 }, b"\x03\0\0\0a\xffz");
        assert_eq!(buf("%r"), "a\\xffz");
        assert_eq!(buf("%rx"), "\\x61\\xff\\x7a");
        assert_eq!(buf("%rh"), "61 ff 7a");
        assert_eq!(buf("%10rh|"), "  61 ff 7a|");
        assert_eq!(buf("%s"), "a\\xffz");
    }
}
