//! Finds the known word that a misspelt one was probably meant to be.

/// The word of `known` that takes the fewest edits, if those are few for its length.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Distance is quadratic; a word this long is no slip of the finger.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let distances = known.iter().map(|candidate| {
        let edits = strsim::damerau_levenshtein(&word, candidate);
        (edits, *candidate)
    });
    distances
        .filter(|(edits, candidate)| *edits <= 1.max(candidate.len().min(word.len()) / 3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e55_a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["retry_timeout", "retries", "timeout", "db_num"];
        for (word, expected) in [
            ("retry_timout", Some("retry_timeout")),
            ("retry-timeout", Some("retry_timeout")),
            ("Timeout", Some("timeout")),
            ("retires", Some("retries")),
            ("dbnum", Some("db_num")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"timeout".repeat(100), &known), None);
    }
}
