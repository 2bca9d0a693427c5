//! One hand of a client: wishes for locks, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tenure::lock::AcquireError;
use tenure::{Guard, Locks, Tenure};
use tokio::sync::watch;

use super::pulse::Pulse;
use super::{Book, Job, nanos, now};
use crate::history::Step;

/// How often a holder writes under its lock.
const STRIDE: Duration = Duration::from_millis(15);
/// The longest a client waits for a lock.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    locks: Locks,
    keys: Vec<String>,
    ttl: Duration,
    name: String,
    wishes: u64,
    book: Arc<Book>,
    pulse: Arc<Pulse>,
    chance: fastrand::Rng,
}

/// A wish for a lock.
struct Wish {
    lock: u32,
    owner: String,
}

impl Worker {
    pub(super) fn new(
        tenure: &Tenure,
        job: &Job,
        hand: u64,
        book: &Arc<Book>,
        pulse: &Arc<Pulse>,
        chance: fastrand::Rng,
    ) -> Self {
        Self {
            locks: tenure.locks(),
            keys: job.keys.clone(),
            ttl: Duration::from_millis(job.ttl_ms),
            name: format!("{}-{hand}", job.name),
            wishes: 0,
            book: book.clone(),
            pulse: pulse.clone(),
            chance,
        }
    }

    /// Works until it is enough.
    pub(super) async fn work(mut self, mut is_enough: watch::Receiver<bool>) {
        while !*is_enough.borrow() {
            let think = Duration::from_micros(self.chance.u64(0..20_000));
            let _ = tokio::time::timeout(think, is_enough.changed()).await;
            let Some((wish, key)) = self.wish() else {
                return;
            };
            let guard = tokio::select! {
                guard = self.acquire(&wish, &key) => guard,
                // Whoever waits goes home.
                _ = is_enough.changed() => {
                    let why = "it was enough".to_owned();
                    let Wish { lock, owner } = wish;
                    self.book.note(Step::Unknown { lock, owner, why });
                    return;
                }
            };
            if let Some(guard) = guard {
                self.hold(&wish, guard).await;
            }
        }
    }

    fn wish(&mut self) -> Option<(Wish, String)> {
        let lock = self.chance.usize(0..self.keys.len().max(1));
        let key = self.keys.get(lock)?.clone();
        self.wishes += 1;
        let owner = format!("{}.{}", self.name, self.wishes);
        let lock = u32::try_from(lock).ok()?;
        Some((Wish { lock, owner }, key))
    }

    async fn acquire(&mut self, wish: &Wish, key: &str) -> Option<Guard> {
        let lock = self.locks.lock(key).ttl(self.ttl).max_wait(PATIENCE);
        let (number, owner) = (wish.lock, || wish.owner.clone());
        self.book.note(Step::Ask {
            lock: number,
            owner: owner(),
        });
        let outcome = match self.chance.u32(0..8) {
            0 => lock.try_acquire().await,
            // It changes its mind in the middle.
            1 => {
                let moment = Duration::from_micros(self.chance.u64(0..30_000));
                let asked = tokio::time::timeout(moment, lock.acquire()).await;
                let Ok(outcome) = asked else {
                    self.book.note(Step::Unknown {
                        lock: number,
                        owner: owner(),
                        why: "it went away".to_owned(),
                    });
                    return None;
                };
                outcome.map(Some)
            }
            _ => lock.acquire().await.map(Some),
        };
        match outcome {
            Ok(Some(guard)) => {
                self.book.note(Step::Granted {
                    lock: number,
                    owner: owner(),
                    fence: guard.fence().get(),
                    until: nanos(guard.deadline()),
                });
                return Some(guard);
            }
            Ok(None) | Err(AcquireError::TimedOut { .. } | AcquireError::TooLate { .. }) => {
                self.book.note(Step::NotHad {
                    lock: number,
                    owner: owner(),
                });
            }
            Err(error) => {
                self.book.note(Step::Unknown {
                    lock: number,
                    owner: owner(),
                    why: error.to_string(),
                });
            }
        }
        None
    }

    /// Uses the lock and gives it back, or hears that it is lost.
    async fn hold(&mut self, wish: &Wish, guard: Guard) {
        let length = self.length();
        let is_lost = tokio::select! {
            biased;
            _ = guard.lost() => true,
            () = self.use_it(wish, &guard, length) => false,
        };
        let fence = guard.fence().get();
        // As a program writes that trusts its lock for as long as it works.
        self.book.note(Step::CarelessWrite {
            lock: wish.lock,
            owner: wish.owner.clone(),
            fence,
        });
        let until = nanos(guard.deadline());
        if is_lost {
            let heard = now();
            let taken = self.pulse.taken(until, heard).await;
            self.book.note(Step::Lost {
                lock: wish.lock,
                owner: wish.owner.clone(),
                until,
                late_us: heard.saturating_sub(until).saturating_sub(taken) / 1000,
            });
            return;
        }
        self.book.note(Step::Release {
            lock: wish.lock,
            owner: wish.owner.clone(),
            until,
        });
        match self.chance.u32(0..4) {
            // In the background.
            0 => drop(guard),
            _ => {
                let _ = guard.release().await;
            }
        }
    }

    /// Mostly for a moment, sometimes for longer than an unrenewed lease lasts.
    fn length(&mut self) -> Duration {
        match self.chance.u32(0..200) {
            0 => self.ttl.mul_f64(1.0 + self.chance.f64()),
            1..6 => self.ttl.mul_f64(self.chance.f64() / 2.0),
            _ => Duration::from_micros(self.chance.u64(0..6_000)),
        }
    }

    async fn use_it(&self, wish: &Wish, guard: &Guard, length: Duration) {
        let (began, length) = (now(), u64::try_from(length.as_nanos()).unwrap_or(0));
        let mut until = nanos(guard.deadline());
        loop {
            let asked = now();
            let is_trusted = guard.is_trusted();
            let deadline = nanos(guard.deadline());
            if deadline > until {
                until = deadline;
                self.book.note(Step::Renewed {
                    lock: wish.lock,
                    owner: wish.owner.clone(),
                    until,
                });
            }
            if is_trusted {
                self.book.note(Step::Write {
                    lock: wish.lock,
                    owner: wish.owner.clone(),
                    fence: guard.fence().get(),
                    until: deadline,
                    asked,
                });
            }
            let left = Duration::from_nanos((began + length).saturating_sub(now()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(STRIDE)).await;
        }
    }
}
