//! "Did you mean": the nearest of a list of names.

/// The candidate nearest to `wrong` by edit distance, if it is near enough to be what was meant.
///
/// A third of the longer name's characters may differ (at least one); ties go to the first candidate. Names that
/// differ only in case are always near.
pub fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    // What has no name is nobody's meaning.
    for candidate in candidates.into_iter().filter(|candidate| !candidate.is_empty()) {
        if candidate.eq_ignore_ascii_case(wrong) && candidate != wrong {
            return Some(candidate);
        }
        let longer = wrong.chars().count().max(candidate.chars().count());
        let limit = (longer / 3).max(1);
        if candidate.chars().count().abs_diff(wrong.chars().count()) > limit {
            continue;
        }
        let distance = edit_distance(wrong, candidate);
        if distance > 0 && distance <= limit && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one each.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitution = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitution.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name_and_nothing_far_away() {
        let names = ["printf", "print", "count", "hist", "lhist"];
        assert_eq!(did_you_mean("pritnf", names), Some("printf"));
        assert_eq!(did_you_mean("Count", names), Some("count"));
        assert_eq!(did_you_mean("histo", names), Some("hist"));
        assert_eq!(did_you_mean("frobnicate", names), None);
        assert_eq!(did_you_mean("F", [""]), None);
    }
}
