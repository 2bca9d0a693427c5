//! Takes back votes on servers that did not answer in time, behind the caller's back.
//!
//! A sweep ends before the same token asks again: whatever it would take back then could be a vote
//! that counts. What it does not reach within its attempts ends with the ttl.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Key, Token};
use tokio::task::JoinHandle;

use super::QuorumStore;
use super::node::End;
use super::step::{Answer, Asked, from_now};

/// How often a server is asked, and how long is paused after the first time; then twice as long.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How many sweeps go on at a time. Beyond that, votes end with their ttl.
const MOST: usize = 4096;

/// The sweeps that go on.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    running: Mutex<Running>,
    started: AtomicU64,
}

/// The latest sweep's number for each token, its task and those it took the place of.
type Running = HashMap<Token, (u64, Vec<JoinHandle<()>>)>;

impl Sweeps {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops sweeping for `token`. When this returns, nothing of it is sent any more.
    pub(super) async fn stop(&self, token: Token) {
        let running = self.running().remove(&token);
        for task in running.into_iter().flat_map(|(_, tasks)| tasks) {
            task.abort();
            // An aborted task ends with an error, which says just that.
            let _ = task.await;
        }
    }

    fn ended(&self, token: Token, number: u64) {
        let mut running = self.running();
        if running.get(&token).is_some_and(|(of, _)| *of == number) {
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
        let (latest, tasks) = running.entry(token).or_default();
        tasks.retain(|task| !task.is_finished());
        for former in &*tasks {
            former.abort();
        }
        *latest = number;
        tasks.push(task);
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
