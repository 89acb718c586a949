//! Numbers and strings: from their spelling to their value.

/// The value of a number, and whether it is a duration (then in nanoseconds).
///
/// # Errors
/// Why it is not a number, as a message.
pub(crate) fn int(text: &str) -> Result<(u64, bool), String> {
    let too_large = || format!("`{text}` does not fit 64 bits");
    let wrong = || format!("`{text}` is not a number");
    if text.ends_with('_') {
        return Err(format!("`{text}` ends with `_`"));
    }
    let lower = text.to_ascii_lowercase().replace('_', "");
    if let Some(hex) = lower.strip_prefix("0x") {
        let digits = hex.trim_end_matches(['u', 'l']);
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            || !c_suffix(&hex[digits.len()..])
        {
            return Err(wrong());
        }
        return u64::from_str_radix(digits, 16).map(|v| (v, false)).map_err(|_| too_large());
    }
    let digits_len = lower.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, suffix) = lower.split_at(digits_len);
    let decimal = || digits.parse::<u64>().map_err(|_| too_large());
    // Names of units are matched as written: `1M` is not a minute.
    let unit = match &text[text.len() - suffix.len()..] {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        "d" => Some(86_400_000_000_000),
        _ => None,
    };
    if let Some(unit) = unit {
        return decimal()?.checked_mul(unit).map(|v| (v, true)).ok_or_else(too_large);
    }
    if let Some(exponent) = suffix.strip_prefix('e') {
        let exp_len = exponent.bytes().take_while(u8::is_ascii_digit).count();
        if exp_len == 0 || !c_suffix(&exponent[exp_len..]) {
            return Err(wrong());
        }
        let mantissa = decimal()?;
        let scale = exponent[..exp_len].parse::<u32>().ok().and_then(|e| 10u64.checked_pow(e));
        return match (mantissa, scale) {
            (0, _) => Ok((0, false)),
            (m, Some(scale)) => m.checked_mul(scale).map(|v| (v, false)).ok_or_else(too_large),
            (_, None) => Err(too_large()),
        };
    }
    if !c_suffix(suffix) {
        return Err(wrong());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        if let Some(bad) = digits.chars().find(|c| *c > '7') {
            return Err(format!("`{bad}` in `{text}`, which is octal because it begins with 0"));
        }
        return u64::from_str_radix(digits, 8).map(|v| (v, false)).map_err(|_| too_large());
    }
    decimal().map(|v| (v, false))
}

fn c_suffix(suffix: &str) -> bool {
    matches!(suffix, "" | "u" | "l" | "ul" | "lu" | "ll" | "ull" | "llu")
}

/// The bytes that a string (with its quotes) stands for; what cannot be understood is left out and reported as
/// (offset in `text`, length, message).
pub(crate) fn string(text: &str) -> (Vec<u8>, Vec<(usize, usize, String)>) {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let inner = inner.strip_suffix('"').unwrap_or(inner).as_bytes();
    if !inner.contains(&b'\\') {
        return (inner.to_vec(), Vec::new());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut wrong = Vec::new();
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != b'\\' {
            out.push(inner[at]);
            at += 1;
            continue;
        }
        let digits = |from: usize, max: usize, ok: fn(&u8) -> bool| {
            inner[from.min(inner.len())..].iter().take(max).take_while(|b| ok(b)).count()
        };
        match inner.get(at + 1) {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'"') => out.push(b'"'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'0'..=b'7') => {
                let n = digits(at + 1, 3, |b| matches!(b, b'0'..=b'7'));
                let value = inner[at + 1..at + 1 + n].iter().fold(0u32, |v, b| v * 8 + u32::from(b - b'0'));
                match u8::try_from(value) {
                    Ok(byte) => out.push(byte),
                    Err(_) => wrong.push((at + 1, n + 1, "an octal escape is at most \\377".to_string())),
                }
                at += n + 1;
                continue;
            }
            Some(b'x') => {
                let n = digits(at + 2, 2, u8::is_ascii_hexdigit);
                let hex = std::str::from_utf8(&inner[at + 2..at + 2 + n]).unwrap_or_default();
                match u8::from_str_radix(hex, 16) {
                    Ok(byte) => out.push(byte),
                    Err(_) => wrong.push((at + 1, 2, "\\x needs two hexadecimal digits".to_string())),
                }
                at += n + 2;
                continue;
            }
            _ => {
                let shown = String::from_utf8_lossy(&inner[at + 1..]).chars().next().unwrap_or(' ');
                wrong.push((at + 1, 1 + shown.len_utf8(), format!("there is no escape `\\{shown}`")));
                at += 1 + shown.len_utf8();
                continue;
            }
        }
        at += 2;
    }
    (out, wrong)
}

/// Writes bytes as a string literal that [`string`] reads back.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c if (c as u32) < 32 || c as u32 == 127 => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        for (text, value) in [
            ("0", 0),
            ("42", 42),
            ("0x1F", 31),
            ("0xffUL", 255),
            ("017", 15),
            ("1e6", 1_000_000),
            ("1_000_000", 1_000_000),
            ("123UL", 123),
            ("123LL", 123),
            ("18446744073709551615", u64::MAX),
            ("0x_ff", 255),
            ("0e99", 0),
        ] {
            assert_eq!(int(text), Ok((value, false)), "{text}");
        }
        for (text, value) in [
            ("7ns", 7),
            ("7us", 7_000),
            ("7ms", 7_000_000),
            ("7s", 7_000_000_000),
            ("1m", 60_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(int(text), Ok((value, true)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number() {
        for text in ["1_", "089", "0x", "0xg", "1e", "1e20", "18446744073709551616", "12abc", "1M", "300000d"]
        {
            assert!(int(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(string(r#""a\n\t\r\"\\\101\x41\0""#), (b"a\n\t\r\"\\AA\0".to_vec(), vec![]));
        let (bytes, wrong) = string(r#""a\qb\777\xzz""#);
        assert_eq!(bytes, b"abzz");
        let places: Vec<_> = wrong.iter().map(|(at, len, _)| (*at, *len)).collect();
        assert_eq!(places, [(2, 2), (5, 4), (9, 2)]);
    }

    #[test]
    fn a_quoted_string_is_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(string(&quote(&all)).0, all);
        assert_eq!(string(&quote("ä\u{7f}7".as_bytes())).0, "ä\u{7f}7".as_bytes());
    }
}
