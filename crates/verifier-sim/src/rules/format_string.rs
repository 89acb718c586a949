//! What `snprintf` and its like understand. Source: `bpf_bprintf_prepare`.

/// Whether `format`, up to its zero byte, is understood and asks for no more than `args` arguments; `None` where kernels
/// differ.
pub(crate) fn check(format: &[u8], args: u64) -> Option<Result<(), String>> {
    let text: Vec<u8> = format.iter().copied().take_while(|c| *c != 0).collect();
    let at = |i: usize| text.get(i).copied().unwrap_or(0);
    let ends = |c: u8| c == 0 || is_space(c) || c.is_ascii_punctuation();
    let (mut i, mut asked) = (0, 0);
    while i < text.len() {
        let c = at(i);
        if !c.is_ascii() {
            return None;
        }
        if c.is_ascii_control() && !is_space(c) {
            return Some(Err(format!("byte {c:#x} is no text")));
        }
        i += 1;
        if c != b'%' {
            continue;
        }
        if at(i) == b'%' {
            i += 1;
            continue;
        }
        if asked >= args {
            return Some(Err(format!("it asks for more than the {args} arguments given")));
        }
        asked += 1;
        while matches!(at(i), b'0' | b'+' | b'-' | b' ') {
            i += 1;
        }
        while at(i).is_ascii_digit() {
            i += 1;
        }
        let wrong = |c: u8| Some(Err(format!("`%{}` is not understood", c.escape_ascii())));
        match at(i) {
            b'p' if ends(at(i + 1)) => i += 1,
            b'p' if matches!((at(i + 1), at(i + 2)), (b'k' | b'u', b's')) => {
                i += 3;
                if !ends(at(i)) {
                    return wrong(b's');
                }
            }
            b'p' if matches!(at(i + 1), b'K' | b'x' | b's' | b'S' | b'B') => i += 2,
            b'p' if matches!((at(i + 1), at(i + 2)), (b'i' | b'I', b'4' | b'6')) => i += 3,
            b's' if ends(at(i + 1)) => i += 1,
            b'c' => i += 1,
            first => {
                for _ in 0..2 {
                    if at(i) == b'l' {
                        i += 1;
                    }
                }
                if !matches!(at(i), b'i' | b'd' | b'u' | b'x' | b'X') {
                    return wrong(first);
                }
                i += 1;
            }
        }
    }
    Some(Ok(()))
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn specifiers_are_those_of_the_kernel() {
        for good in ["", "%d %s", "%08llx%%", "%pK,%pI4 %pks", "%-5u\n", "%c%c", "%p"] {
            assert_eq!(check(good.as_bytes(), 3), Some(Ok(())), "{good}");
        }
        for bad in ["%", "%h", "%sx", "%pI5", "%f", "%lld%d%d%d", "\x01", "%pus1"] {
            assert!(matches!(check(bad.as_bytes(), 3), Some(Err(_))), "{bad}");
        }
        assert_eq!(check("é".as_bytes(), 3), None);
    }
}
