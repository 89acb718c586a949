//! Whether what a script printed is what its test expects.

/// Stands for anything within a line.
const ANY: &str = "<any>";

/// Lines that count: those that are not blank, without blanks at their end.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

/// `None` if `actual` is as `expected` says; else what differs, line by line.
pub(crate) fn differs(expected: &[&str], actual: &[&str], all: bool) -> Option<String> {
    if all { differs_anywhere(expected, actual) } else { lacks(expected, actual) }
}

fn differs_anywhere(expected: &[&str], actual: &[&str]) -> Option<String> {
    if expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| is_like(e, a)) {
        return None;
    }
    // The longest common part: texts are short.
    let (n, m) = (expected.len(), actual.len());
    let mut common = vec![vec![0usize; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            common[i][j] = if is_like(expected[i], actual[j]) {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    let mut line = |sign: &str, line: &str| text.push_str(&format!("  {sign} {line}\n"));
    while i < n || j < m {
        if i < n && j < m && is_like(expected[i], actual[j]) {
            line(" ", actual[j]);
            (i, j) = (i + 1, j + 1);
        } else if j == m || (i < n && common[i + 1][j] >= common[i][j + 1]) {
            line("-", expected[i]);
            i += 1;
        } else {
            line("+", actual[j]);
            j += 1;
        }
    }
    Some(text)
}

/// Each expected line must be there, in this order.
fn lacks(expected: &[&str], actual: &[&str]) -> Option<String> {
    let mut rest = actual.iter();
    let missing = expected.iter().find(|wanted| !rest.any(|line| is_like(wanted, line)))?;
    let printed: String = actual.iter().map(|line| format!("    {line}\n")).collect();
    Some(format!("  - {missing}\n  printed was:\n{printed}"))
}

fn is_like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANY);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_in_place() {
        assert_eq!(differs(&["a", "b"], &["a", "b"], true), None);
        assert_eq!(
            differs(&["a", "b"], &["a", "c", "d"], true).as_deref(),
            Some("    a\n  - b\n  + c\n  + d\n")
        );
        assert_eq!(differs(&["a"], &["x", "a", "y"], false), None);
        assert!(differs(&["a", "x"], &["x", "a"], false).is_some_and(|text| text.starts_with("  - x\n")));
    }

    #[test]
    fn any_stands_for_part_of_a_line() {
        assert!(
            is_like("at <any> ns", "at 17 ns") && is_like("<any>", "") && is_like("a<any>b<any>c", "a1b2c")
        );
        assert!(!is_like("at <any> ns", "at 17 ms") && !is_like("a<any>a", "a") && !is_like("a", "ab"));
    }
}
