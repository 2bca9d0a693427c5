//! Tokens drawn several at a time, where many locks are taken in the same millisecond.
//!
//! Each draw is a call of the system, which costs more than the rest of a token. What is drawn
//! ahead must not be used by two: not by a process and its fork, and not by two copies of a machine
//! that was saved and started twice. So what a millisecond does not use is thrown away, and whoever
//! takes locks now and then draws each token when it is wanted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Moment, Token};

/// For how long tokens may lie about. A request under way is exposed for as long to a copy of the
/// machine.
const FRESH: Duration = Duration::from_millis(1);
/// The most that are drawn at once.
const MOST: usize = 64;
/// Threads that draw at the same moment do so from parts of their own, which are held during calls
/// of the system.
const PARTS: usize = 16;

thread_local! {
    /// From which part this thread draws.
    static PART: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % PARTS
    };
}

#[derive(Debug, Default)]
pub(crate) struct Tokens([Mutex<Drawn>; PARTS]);

#[derive(Debug, Default)]
struct Drawn {
    /// Those that are left.
    left: Vec<Token>,
    at: Option<Moment>,
    by_process: u32,
    /// How many were used since.
    used: usize,
}

impl Tokens {
    /// A token that nobody else has or will have.
    pub(crate) fn next(&self, now: Moment) -> Token {
        let Some(part) = self.part() else {
            return Token::random();
        };
        let mut drawn = part.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        let is_fresh = drawn.by_process == process
            && drawn
                .at
                .is_some_and(|at| at <= now && now.since(at) < FRESH);
        if !is_fresh || drawn.left.is_empty() {
            let wanted = if is_fresh { 2 * drawn.used } else { drawn.used };
            *drawn = Drawn {
                left: Token::many(wanted.clamp(1, MOST)),
                at: Some(now),
                by_process: process,
                used: 0,
            };
        }
        drawn.used += 1;
        drawn.left.pop().unwrap_or_else(Token::random)
    }

    /// This thread's own, unless the thread is ending.
    fn part(&self) -> Option<&Mutex<Drawn>> {
        let part = PART.try_with(|part| *part).ok()?;
        self.0.get(part)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(micros: u64) -> Moment {
        Moment::from_origin(Duration::from_micros(micros))
    }

    fn left(tokens: &Tokens) -> usize {
        tokens.part().unwrap().lock().unwrap().left.len()
    }

    #[test]
    fn r1_no_token_is_given_twice_however_fast_they_are_asked_for() {
        let tokens = Tokens::default();
        let given: HashSet<_> = (0..100_000).map(|n| tokens.next(at(n * 7))).collect();
        assert_eq!(given.len(), 100_000);
    }

    #[test]
    fn r1_who_takes_locks_now_and_then_draws_each_token_when_it_is_wanted() {
        let tokens = Tokens::default();
        for n in 0..10 {
            tokens.next(at(n * 1_000));
            assert_eq!(left(&tokens), 0);
        }
    }

    #[test]
    fn r1_what_a_millisecond_does_not_use_is_thrown_away() {
        let tokens = Tokens::default();
        for _ in 0..200 {
            tokens.next(at(5));
        }
        let before: HashSet<_> = tokens
            .part()
            .unwrap()
            .lock()
            .unwrap()
            .left
            .iter()
            .copied()
            .collect();
        assert!(!before.is_empty());
        let next: Vec<_> = (0..100).map(|_| tokens.next(at(1_005))).collect();
        assert!(next.iter().all(|token| !before.contains(token)));
    }

    #[test]
    fn r1_another_process_draws_its_own() {
        let tokens = Tokens::default();
        for _ in 0..200 {
            tokens.next(at(5));
        }
        // As in the copy that a fork makes.
        tokens.part().unwrap().lock().unwrap().by_process = 0;
        let before: HashSet<_> = tokens
            .part()
            .unwrap()
            .lock()
            .unwrap()
            .left
            .iter()
            .copied()
            .collect();
        assert!(!before.is_empty() && !before.contains(&tokens.next(at(5))));
    }
}
