//! Takes back votes on servers that did not answer in time, behind the caller's back.
//!
//! The slowest servers of a release usually answer a moment after the majority. Nobody waits for
//! that: what is left of releases is looked at together, now and then, by one task, and only those
//! servers are swept that did not answer well.
//!
//! A sweep ends before the same token asks again: whatever it would take back then could be a vote
//! that counts. What it does not reach within its attempts ends with the ttl.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tenure_core::{Key, Token};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::QuorumStore;
use super::node::{End, Ended};
use super::step::{Answer, Asked, from_now};

/// How often a server is asked, and how long is paused after the first time; then twice as long.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How many sweeps go on at a time. Beyond that, votes end with their ttl.
const MOST: usize = 4096;
/// How often the rests of releases are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The sweeps that go on.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    running: Mutex<Running>,
    started: AtomicU64,
    rests: Mutex<Rests>,
}

/// Releases that are decided, and that not all servers have answered.
#[derive(Debug, Default)]
struct Rests {
    of: HashMap<Token, Rest>,
    /// Whether a task looks at them.
    is_watched: bool,
}

/// A step whose outcome is known, on its way to the servers that are left.
pub(super) type Ending = Asked<Ended, BoxFuture<'static, Answer<Ended>>>;

struct Rest {
    key: Key,
    end: End,
    asked: Ending,
    /// Until when the others may answer.
    until: Instant,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

type Running = HashMap<Token, OfToken>;

/// The sweeps of a token.
#[derive(Debug, Default)]
struct OfToken {
    /// The latest one's number.
    number: u64,
    /// Its task and those it took the place of.
    tasks: Vec<JoinHandle<()>>,
    /// Whether a cancellation of the token has been answered.
    is_cancelled: bool,
}

impl Sweeps {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops sweeping for `token`. When this returns, nothing of it is sent any more. True if a
    /// cancellation was answered whose sweep that was.
    pub(super) async fn stop(&self, token: Token) -> bool {
        // In this order: a rest that becomes a sweep is one of the two at any time.
        drop(self.rests().of.remove(&token));
        let running = self.running().remove(&token).unwrap_or_default();
        for task in running.tasks {
            task.abort();
            // An aborted task ends with an error, which says just that.
            let _ = task.await;
        }
        running.is_cancelled
    }

    /// A cancellation of `token` has been answered.
    pub(super) fn cancelled(&self, token: Token) {
        if let Some(sweep) = self.running().get_mut(&token) {
            sweep.is_cancelled = true;
        }
    }

    fn ended(&self, token: Token, number: u64) {
        let mut running = self.running();
        if running.get(&token).is_some_and(|of| of.number == number) {
            running.remove(&token);
        }
    }
}

impl QuorumStore {
    /// Goes on with `asked`, and ends the votes of a token on those servers that fail.
    pub(super) fn sweep<T, F>(&self, whose: (&Key, Token, End), mut asked: Asked<T, F>)
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        if asked.answers.silent().is_empty() {
            return;
        }
        let timeout = self.shared.timeout;
        self.start(whose, async move {
            asked.every(from_now(timeout)).await;
            asked.answers.silent()
        });
    }

    /// As [`QuorumStore::sweep`], of a step that all servers answered well so far: nobody is woken
    /// by the answers that are still to come.
    pub(super) fn sweep_rest(&self, (key, token, end): (&Key, Token, End), mut asked: Ending) {
        let is_over = asked.look();
        if is_over || !asked.answers.are_good() {
            return self.sweep((key, token, end), asked);
        }
        let mut rests = self.shared.sweeps.rests();
        if rests.of.len() >= MOST {
            drop(rests);
            return self.sweep((key, token, end), asked);
        }
        let key = key.clone();
        let until = from_now(self.shared.timeout);
        let rest = Rest {
            key,
            end,
            asked,
            until,
        };
        // An earlier release of the same token asked the same servers.
        rests.of.insert(token, rest);
        if !std::mem::replace(&mut rests.is_watched, true) {
            let store = self.clone();
            // One look may find very many answers, more than a task's budget of them.
            tokio::spawn(tokio::task::unconstrained(async move {
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    if !store.look_at_rests() {
                        return;
                    }
                }
            }));
        }
    }

    /// Sweeps the servers that did not answer well. False if no rest is left.
    fn look_at_rests(&self) -> bool {
        let mut rests = self.shared.sweeps.rests();
        let now = from_now(Duration::ZERO);
        rests.of.retain(|token, rest| {
            let is_over = rest.asked.look() || rest.until <= now;
            if is_over {
                let silent = rest.asked.answers.silent();
                self.sweep_only((&rest.key, *token, rest.end), silent);
            }
            !is_over
        });
        rests.is_watched = !rests.of.is_empty();
        rests.is_watched
    }

    /// Ends the votes of a token on these servers.
    pub(super) fn sweep_only(&self, whose: (&Key, Token, End), silent: Vec<usize>) {
        if !silent.is_empty() {
            self.start(whose, async move { silent });
        }
    }

    fn start(
        &self,
        (key, token, end): (&Key, Token, End),
        silent: impl Future<Output = Vec<usize>> + Send + 'static,
    ) {
        let sweeps = &self.shared.sweeps;
        let mut running = sweeps.running();
        if running.len() >= MOST {
            tracing::debug!(%key, "too many servers are silent; a vote ends with its ttl");
            return;
        }
        let number = sweeps.started.fetch_add(1, Ordering::Relaxed);
        let (store, key) = (self.clone(), key.clone());
        let task = tokio::spawn(async move {
            let silent = silent.await;
            store.insist(&key, token, end, silent).await;
            store.shared.sweeps.ended(token, number);
        });
        // One that still goes on for this token is replaced: the new one asks the same servers.
        let of = running.entry(token).or_default();
        of.tasks.retain(|task| !task.is_finished());
        for former in &of.tasks {
            former.abort();
        }
        of.number = number;
        of.tasks.push(task);
    }

    async fn insist(&self, key: &Key, token: Token, end: End, mut left: Vec<usize>) {
        for attempt in 0..ATTEMPTS {
            if left.is_empty() {
                return;
            }
            let steps = left.iter().filter_map(|number| {
                let (number, node) = (*number, self.shared.nodes.get(*number)?.clone());
                Some(async move {
                    let result = node.end_vote(key, token, end).await;
                    Answer { number, result }
                })
            });
            let mut asked = Asked::new(steps);
            // As long as the connection needs to notice that nobody answers on it.
            asked.every(from_now(self.shared.timeout)).await;
            let reached = asked.answers.by_number().map(|(number, _)| number);
            let reached: Vec<usize> = reached.collect();
            left.retain(|number| !reached.contains(number));
            if !left.is_empty() {
                let pause = FIRST_PAUSE.saturating_mul(1 << attempt);
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            }
        }
        if !left.is_empty() {
            tracing::debug!(%key, "a server was not reached; its vote ends with the ttl");
        }
    }
}
