//! Values, maps and messages as text and as JSON, to the byte.
//!
//! Everything appends to a buffer of bytes; nothing here writes to a file.

mod compound;
mod hist;
pub mod json;
pub mod printf;
mod series;
mod stack;
pub mod table;
pub mod text;

use crate::names::Names;

/// What rendering needs besides the value.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Names of numbers.
    pub names: &'a dyn Names,
    /// Appended to texts that were cut.
    pub trailer: &'a str,
}

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, n: i128) {
    let Ok(magnitude) = u64::try_from(n.unsigned_abs()) else {
        out.extend(n.to_string().bytes());
        return;
    };
    let mut digits = [0u8; 20];
    let (mut at, mut rest) = (digits.len(), magnitude);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Widens what was appended since `from` to `width` bytes with `fill`.
pub(crate) fn pad(out: &mut Vec<u8>, from: usize, width: usize, left: bool, fill: u8) {
    let len = out.len() - from;
    if len >= width {
        return;
    }
    out.resize(from + width, fill);
    if !left {
        out[from..].rotate_right(width - len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for n in [0, 7, -7, 10, 1234567890, i128::from(i64::MIN), i128::from(u64::MAX), i128::MIN] {
            let mut out = Vec::new();
            decimal(&mut out, n);
            assert_eq!(out, n.to_string().into_bytes());
        }
    }

    #[test]
    fn padding_goes_to_either_side() {
        for (left, expected) in [(true, "xab--"), (false, "x--ab")] {
            let mut out = b"xab".to_vec();
            pad(&mut out, 1, 4, left, b'-');
            assert_eq!(out, expected.as_bytes());
        }
    }
}
