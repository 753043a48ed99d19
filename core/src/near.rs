//! "Did you mean …?": the known name nearest to an unknown one.

/// The candidate that differs in the fewest letters, if it is near enough to have been meant; else one that goes on where
/// the word ends, as `linger.ms` does after `linger`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let goes_on =
        |candidate: &str| candidate.strip_prefix(word).is_some_and(|rest| !word.is_empty() && rest.starts_with('.'));
    let far = |candidate: &'a str| match distance(word, candidate, limit) {
        far if far > limit && !goes_on(candidate) => None,
        far => Some((far, candidate)),
    };
    candidates.into_iter().filter_map(far).min_by_key(|(far, _)| *far).map(|(_, candidate)| candidate)
}

/// ` Did you mean linger.ms?`, or nothing: to be put behind a sentence.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!(" Did you mean {near}?"))
}

/// How many letters must be changed, added, dropped or swapped with their neighbour, case aside; more than `limit`
/// counts as `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()].min(limit + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_strange_one_is_not() {
        let names = ["linger.ms", "batch.size", "acks"];
        assert_eq!(nearest("lingerms", names), Some("linger.ms"));
        assert_eq!(nearest("BATCH.SIZE", names), Some("batch.size"));
        assert_eq!(nearest("ack", names), Some("acks"));
        assert_eq!(nearest("akcs", names), Some("acks"));
        assert_eq!(nearest("compression", names), None);
        assert_eq!(nearest("linger", names), Some("linger.ms"));
        assert_eq!(hint("x", names), "");
    }
}
