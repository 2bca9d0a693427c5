//! Finds the known word that a misspelt one was probably meant to be, or one of another program.

/// Words that other programs use in their files, our word for each, and how it is written.
const ELSEWHERE: [(&[&str], &str, &str); 8] = [
    (
        &["every", "interval", "period"],
        "schedule",
        "write schedule = \"@every 10s\"",
    ),
    (
        &["cron", "crontab", "when", "at"],
        "schedule",
        "write schedule = \"0 3 * * *\"",
    ),
    (
        &["cmd", "exec", "run", "script", "args"],
        "command",
        "write command = [\"program\", \"argument\"], or shell = \"…\"",
    ),
    (
        &["cwd", "workdir", "working_dir"],
        "dir",
        "write dir = \"…\"",
    ),
    (
        &["tz", "timezone", "time_zone"],
        "zone",
        "write zone = \"Europe/Berlin\"",
    ),
    (
        &["environment", "vars"],
        "env",
        "write env = { NAME = \"value\" }",
    ),
    (
        &["retries", "max_retries", "attempts"],
        "retry",
        "write retry = 3, the first attempt included",
    ),
    (&["disabled"], "enabled", "write enabled = false"),
];

/// How something is written here that another program calls so, if it is `known` where it stands.
pub(crate) fn said_elsewhere(word: &str, known: &[&str]) -> Option<&'static str> {
    let word = word.to_lowercase().replace('-', "_");
    let mut ours = ELSEWHERE.iter().filter(|(_, key, _)| known.contains(key));
    let (.., help) = ours.find(|(theirs, ..)| theirs.contains(&word.as_str()))?;
    Some(help)
}

/// The word of `known` that takes the fewest edits, if those are few for its length.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Distance is quadratic; a word this long is no slip of the finger.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1.max(candidate.len().min(word.len()) / 3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Edits from one word to the other; two swapped neighbours count as one.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let cell = |back: usize, column: usize| {
                (rows.len().checked_sub(back))
                    .and_then(|row| rows.get(row)?.get(column).copied())
                    .unwrap_or(usize::MAX / 2)
            };
            let replaced = cell(1, j) + usize::from(a != b);
            let removed = cell(1, j + 1) + 1;
            let added = row.last().copied().unwrap_or(usize::MAX / 2) + 1;
            let mut best = replaced.min(removed).min(added);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(cell(2, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last().copied()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e55_a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["name", "schedule", "timeout", "catch_up", "command"];
        for (word, expected) in [
            ("shedule", Some("schedule")),
            ("schedlue", Some("schedule")),
            ("catch-up", Some("catch_up")),
            ("Timeout", Some("timeout")),
            ("cmd", None),
            ("nmae", Some("name")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
