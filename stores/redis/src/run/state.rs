//! The letters that stand for states in records and replies.

use tenure_core::{RunState, StoreError, StoreErrorKind};

const LETTERS: [(RunState, char); 11] = [
    (RunState::Waiting, 'w'),
    (RunState::Claimed, 'c'),
    (RunState::Running, 'r'),
    (RunState::Succeeded, 's'),
    (RunState::Failed, 'f'),
    (RunState::TimedOut, 't'),
    (RunState::Cancelled, 'x'),
    (RunState::Interrupted, 'i'),
    (RunState::Lost, 'l'),
    (RunState::Skipped, 'k'),
    (RunState::Missed, 'm'),
];

/// The letter of a state.
pub(super) fn letter_of(state: RunState) -> Result<char, StoreError> {
    let known = LETTERS.iter().find(|(known, _)| *known == state);
    known.map(|(_, letter)| *letter).ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::InvalidRequest,
            format!("this store does not know the state {state}; upgrade tenure"),
        )
    })
}

/// The state of a letter that stands alone.
pub(super) fn state_of(text: &str) -> Option<RunState> {
    let mut letters = text.chars();
    let letter = letters.next().filter(|_| letters.as_str().is_empty())?;
    let known = LETTERS.iter().find(|(_, known)| *known == letter);
    known.map(|(state, _)| *state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_letter_of_its_own() {
        for state in RunState::ALL {
            let letter = letter_of(state).unwrap();
            assert_eq!(state_of(&letter.to_string()), Some(state));
        }
        for text in ["", "z", "ww", "é"] {
            assert_eq!(state_of(text), None);
        }
    }
}
