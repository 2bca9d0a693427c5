//! Keeps leases: one task per runtime renews all leases that were taken there.
//!
//! The task sleeps until the first renewal is due, takes along those that are due soon, and sends
//! them in one request. Calls are in flight at the same time for different leases, never twice for
//! one. An answer is applied by [`HeldLease`], which alone decides what it means; an answer for a
//! lease that was given back meanwhile falls on deaf ears. The task ends when there has been
//! nothing to renew for a while, and is started again when there is.

mod calendar;
#[cfg(test)]
pub(crate) mod races;
mod roster;

use std::fmt;
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use tenure_core::{Clock, LeaseStore, Moment, RenewRequest, Renewal, StoreError, StoreErrorKind};
use tokio::runtime::{Handle, Id};

pub(crate) use self::calendar::Due;
use self::roster::{Outcome, share_of_interval};
pub(crate) use self::roster::{Roster, first_due};
use crate::event::RenewalResult;
use crate::lease::{HeldLease, Question};
use crate::timing::{bounded, sleep_until};

/// The rosters of all runtimes in which leases of one `Locks` are held.
pub(crate) struct Renewals {
    store: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
    /// Looked through from the front: a program has one runtime, or two.
    rosters: Mutex<Vec<(Id, Arc<Roster>)>>,
}

impl Renewals {
    pub(crate) fn new(store: Arc<dyn LeaseStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            rosters: Mutex::default(),
        }
    }

    /// Renews `lease` in the runtime `home` from now on, for the first time at `first`.
    pub(crate) fn enter(
        &self,
        home: &Handle,
        lease: Arc<HeldLease>,
        first: Option<Due>,
    ) -> Arc<Roster> {
        let roster = self.roster(home.id());
        if roster.enter(lease, first) {
            let renewer = Renewer {
                roster: roster.clone(),
                store: self.store.clone(),
                clock: self.clock.clone(),
            };
            // It ends when the roster is empty, or with its runtime.
            drop(home.spawn(renewer.run()));
        }
        roster
    }

    fn roster(&self, runtime: Id) -> Arc<Roster> {
        let mut rosters = self.rosters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roster)) = rosters.iter().find(|(id, _)| *id == runtime) {
            return roster.clone();
        }
        // A runtime that has gone leaves a roster without leases behind.
        rosters.retain(|(_, roster)| !roster.is_idle());
        let roster = Arc::new(Roster::default());
        rosters.push((runtime, roster.clone()));
        roster
    }
}

/// The last clone and the last guard are gone: let the tasks see it now rather than at their next
/// renewal.
impl Drop for Renewals {
    fn drop(&mut self) {
        let rosters = self.rosters.get_mut();
        for (_, roster) in rosters.unwrap_or_else(PoisonError::into_inner) {
            roster.close();
        }
    }
}

impl fmt::Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewals").finish_non_exhaustive()
    }
}

/// Leases that are renewed with one request, within `limit`.
#[derive(Debug)]
pub(crate) struct Batch {
    leases: Vec<(Arc<HeldLease>, Question)>,
    limit: Duration,
}

/// What became of one batch.
struct Answered {
    batch: Batch,
    asked_at: Moment,
    took: Duration,
    answers: Result<Vec<Result<Renewal, StoreError>>, StoreError>,
}

/// By which the store says that something happened to a lease: it is renewed at once, and the
/// answer tells whether it is still ours. A lease that is not renewed is left alone, since asking
/// would make it last longer.
pub(crate) struct Tap {
    roster: Weak<Roster>,
    lease: Weak<HeldLease>,
}

impl Tap {
    pub(crate) fn waker(roster: &Arc<Roster>, lease: &Arc<HeldLease>) -> Waker {
        Waker::from(Arc::new(Self {
            roster: Arc::downgrade(roster),
            lease: Arc::downgrade(lease),
        }))
    }
}

impl std::task::Wake for Tap {
    fn wake(self: Arc<Self>) {
        let (Some(roster), Some(lease)) = (self.roster.upgrade(), self.lease.upgrade()) else {
            return;
        };
        if lease.renewal().every().is_some() {
            roster.renew_now(&lease, lease.now());
        }
    }
}

/// The task.
struct Renewer {
    roster: Arc<Roster>,
    store: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
}

impl Renewer {
    async fn run(self) {
        let mut flights = Vec::new();
        loop {
            let plan = self.roster.plan(self.clock.now(), flights.len());
            for lease in plan.ended {
                // Whoever is told of losses hears of it here, where the roster is not locked.
                lease.standing();
            }
            if plan.is_over {
                return;
            }
            let batches = plan.batches.into_iter();
            flights.extend(batches.map(|batch| Box::pin(self.send(batch))));
            tokio::select! {
                answered = landed(&mut flights) => self.settle(answered),
                () = self.roster.nudged() => {}
                () = self.sleep(plan.next) => {}
            }
        }
    }

    async fn sleep(&self, next: Option<Moment>) {
        match next {
            Some(next) => sleep_until(&*self.clock, next).await,
            None => pending().await,
        }
    }

    async fn send(&self, batch: Batch) -> Answered {
        let requests: Vec<_> = batch
            .leases
            .iter()
            .map(|(lease, question)| {
                RenewRequest::new(lease.key.clone(), lease.token, question.ttl)
            })
            .collect();
        // Read before the request leaves: a slow reply must shorten our trust, never lengthen it.
        let asked_at = self.clock.now();
        // A panic of the store's must not cost the other leases their renewal.
        let call = AssertUnwindSafe(self.store.renew(&requests)).catch_unwind();
        let call = async { call.await.unwrap_or_else(|_| Err(panicked())) };
        let answers = bounded(batch.limit, call).await;
        Answered {
            batch,
            asked_at,
            took: self.clock.now().since(asked_at),
            answers,
        }
    }

    fn settle(&self, answered: Answered) {
        let Answered {
            batch,
            asked_at,
            took,
            answers,
        } = answered;
        // One draw for all: leases that were renewed together stay together, in full requests.
        let share = share_of_interval();
        let mut latest = None;
        let mut next_of = |every: Duration| match latest {
            Some((known, next)) if known == every => next,
            _ => latest.insert((every, asked_at + every.mul_f64(share))).1,
        };
        let (mut answers, trouble) = match answers {
            Ok(answers) => (answers.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let outcomes = batch.leases.iter().map(|(lease, question)| {
            let answer = answers
                .next()
                .unwrap_or_else(|| Err(trouble.as_ref().map_or_else(unanswered, copy)));
            let (outcome, result) = match answer {
                Ok(Renewal::Renewed(grant)) => {
                    let every = lease.renewed(*question, asked_at, &grant);
                    let next = every.map(&mut next_of);
                    (Outcome::Confirmed { next }, RenewalResult::Renewed)
                }
                Ok(Renewal::Lost { by, .. }) => {
                    lease.taken(by);
                    (Outcome::Gone, RenewalResult::Lost)
                }
                Ok(_) => (Outcome::Failed, RenewalResult::Failed),
                Err(error) => {
                    tracing::debug!(key = %lease.key, %error, "renewal failed, trying again");
                    lease.troubled(&error);
                    (Outcome::Failed, RenewalResult::Failed)
                }
            };
            lease.tell_renewed(took, result);
            outcome
        });
        // Before the roster is locked: whoever is told of a loss may ask for something there.
        let outcomes: Vec<_> = outcomes.collect();
        self.roster.settle(&batch, &outcomes, self.clock.now());
    }
}

/// The next answer, if there is ever one; its flight is over then.
///
/// All are polled, because they are few. A collection that polls only those that were woken wakes
/// its own task for each that joins it, and the runtime wakes a second thread for that.
async fn landed<F: Future<Output = Answered>>(flights: &mut Vec<Pin<Box<F>>>) -> Answered {
    poll_fn(|cx| {
        for (at, flight) in flights.iter_mut().enumerate() {
            if let Poll::Ready(answered) = flight.as_mut().poll(cx) {
                drop(flights.swap_remove(at));
                return Poll::Ready(answered);
            }
        }
        Poll::Pending
    })
    .await
}

/// The same trouble, for each lease of a batch.
fn copy(error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), error.to_string())
}

fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, "the store panicked").with_unknown_outcome()
}

fn unanswered() -> StoreError {
    StoreError::new(
        StoreErrorKind::Protocol,
        "the store answered fewer renewals than it was asked for",
    )
}
