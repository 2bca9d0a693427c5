//! Which acquisitions were given up before their answer came.
//!
//! Such a request may still be on its way, on another connection than the cancellation that is sent
//! behind it, and be overtaken: then it would be granted a lock, or take a place, that nobody
//! wants. A cancellation therefore bars the token of such a request for [`BARRED`], unless both
//! went by the same connection, where nothing overtakes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Clock as _, Moment, StoreError, SystemClock, Token};

use crate::link::Way;

/// For how long a request may be on its way. One that comes later finds nothing that bars it, and
/// what it is granted ends with its ttl.
pub(crate) const BARRED: Duration = Duration::from_secs(60);
/// How many are remembered. Those beyond are cancelled all the same, but not barred.
const MOST: usize = 16_384;

/// The acquisitions that were given up, and the way each went.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    /// Spares those who ask the lock as long as there are none.
    is_any: AtomicBool,
    given_up: Mutex<HashMap<Token, (Way, Moment)>>,
}

impl Unanswered {
    /// An acquisition that is about to be asked for, `way`.
    pub(crate) fn asking(&self, token: Token, way: Way) -> Asking<'_> {
        Asking {
            unanswered: self,
            token,
            way: Some(way),
        }
    }

    /// The way that an acquisition of `token` went which is without an answer; [`Way::Any`] if
    /// there were several.
    pub(crate) fn way_of(&self, token: Token) -> Option<Way> {
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        self.given_up().get(&token).map(|(way, _)| *way)
    }

    /// Nothing of `token` can come any more.
    pub(crate) fn forget(&self, token: Token) {
        let mut given_up = self.given_up();
        given_up.remove(&token);
        self.is_any.store(!given_up.is_empty(), Ordering::Release);
    }

    fn add(&self, token: Token, way: Way) {
        let now = SystemClock.now();
        let mut given_up = self.given_up();
        if given_up.len() >= MOST {
            given_up.retain(|_, (_, at)| now.since(*at) < BARRED);
        }
        if given_up.len() < MOST {
            let entry = given_up.entry(token).or_insert((way, now));
            entry.1 = now;
            if entry.0 != way {
                entry.0 = Way::Any;
            }
            self.is_any.store(true, Ordering::Release);
        }
    }

    fn given_up(&self) -> MutexGuard<'_, HashMap<Token, (Way, Moment)>> {
        // A panic elsewhere leaves the map whole.
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acquisition under way. Dropped before it was [`Asking::answered`], it was given up.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    unanswered: &'a Unanswered,
    token: Token,
    way: Option<Way>,
}

impl Asking<'_> {
    /// What came of it.
    pub(crate) fn answered<T>(mut self, answer: &Result<T, StoreError>) {
        let is_known = !matches!(answer, Err(error) if error.outcome_is_unknown());
        if is_known {
            self.way = None;
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(way) = self.way {
            self.unanswered.add(self.token, way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_only_what_was_given_up_is_remembered_and_by_which_way() {
        let unanswered = Unanswered::default();
        let [answered, dropped, twice] = [Token::random(), Token::random(), Token::random()];
        unanswered.asking(answered, Way::Wire(1)).answered(&Ok(()));
        assert_eq!(unanswered.way_of(answered), None);
        drop(unanswered.asking(dropped, Way::Wire(1)));
        assert_eq!(unanswered.way_of(answered), None);
        assert_eq!(unanswered.way_of(dropped), Some(Way::Wire(1)));
        for wire in [1, 1, 2] {
            drop(unanswered.asking(twice, Way::Wire(wire)));
        }
        assert_eq!(unanswered.way_of(twice), Some(Way::Any));
        unanswered.forget(twice);
        assert_eq!(unanswered.way_of(twice), None);
        assert_eq!(unanswered.way_of(dropped), Some(Way::Wire(1)));
    }

    #[test]
    fn r13_an_answer_of_unknown_outcome_is_none() {
        let unanswered = Unanswered::default();
        let kind = tenure_core::StoreErrorKind::Unavailable;
        for (is_unknown, expected) in [(false, None), (true, Some(Way::Any))] {
            let token = Token::random();
            let error = StoreError::new(kind, "no answer");
            let error = if is_unknown {
                error.with_unknown_outcome()
            } else {
                error
            };
            let asking = unanswered.asking(token, Way::Any);
            asking.answered(&Err::<(), _>(error));
            assert_eq!(unanswered.way_of(token), expected);
        }
    }
}
