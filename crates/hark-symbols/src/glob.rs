//! Wildcards.

/// Whether `text` fits `pattern`, in which `*` stands for any characters and `?` for one. Everything else stands for
/// itself. Takes at most `pattern.len() * text.len()` steps.
pub fn glob_match(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last `*` and how far it has been stretched: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, stretched)) => {
                    *stretched += 1;
                    (p, t) = (*at + 1, *stretched);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stretch_and_question_marks_do_not() {
        for (pattern, text) in [("*", ""), ("vfs_*", "vfs_read"), ("*_re?d", "vfs_read"), ("a*b*c", "aXbXbc")]
        {
            assert!(glob_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("vfs_?", "vfs_"), ("*read", "vfs_reads"), ("a*b*c", "acb")] {
            assert!(!glob_match(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!glob_match(&"*a".repeat(500), &"a".repeat(499)));
    }
}
