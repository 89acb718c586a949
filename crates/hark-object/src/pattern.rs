//! Wildcards in names of probes.

/// Whether `text` holds wildcards.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `text` matches `pattern`, in which `*` stands for anything and `?` for one byte.
///
/// Takes time in proportion to the product of their lengths, whatever they hold.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if the last star has to take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t + 1));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    (p, t) = (after_star, from);
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_take_any_and_question_marks_one() {
        assert!(glob("vfs_*", "vfs_read") && glob("*", "") && glob("a?c*e", "abcdde") && glob("**b", "aab"));
        assert!(!glob("vfs_*", "ksys_read") && !glob("a?", "a") && !glob("", "x") && !glob("*ab", "abc"));
        assert!(is_pattern("a*") && is_pattern("?") && !is_pattern("abc"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!glob(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!glob(&format!("{}b", "a*".repeat(60)), &"a".repeat(5000)));
    }
}
