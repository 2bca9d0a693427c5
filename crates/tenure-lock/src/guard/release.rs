//! Giving a lock back and learning what became of it.
//!
//! Released, lost and unknown are three different answers. A release whose reply was lost is asked
//! again with its token, and then "not held" may mean either of the first two.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Moment, Release, StoreError};

use super::GuardView;
use crate::event::ReleaseResult;
use crate::lease::Standing;
use crate::timing::{Backoff, sleep_until};
use crate::{LossReason, ReleaseError};

/// How long a release is waited for; after that it goes on in the background.
const LIMIT: Duration = Duration::from_secs(5);

/// What became of a lock that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The key is free.
    Freed,
    /// The key was handed to the next waiter in the same step.
    HandedOn,
    /// The lock was shared, and is given back; others hold the key still.
    OthersHold,
    /// The lock was not ours any more: somebody else may have held the key meanwhile.
    Lost,
    /// An answer was lost, and when asked again the store said that the lock is not ours: either
    /// the first release got through, or the lock had been lost before.
    ReleasedOrLost,
    /// Nothing was released, because others still share the lock.
    StillShared,
}

impl GuardView {
    pub(super) async fn release(shared: Arc<Self>) -> Result<Released, ReleaseError> {
        match Arc::into_inner(shared) {
            Some(last) => last.give_back().await,
            None => Ok(Released::StillShared),
        }
    }

    async fn give_back(mut self) -> Result<Released, ReleaseError> {
        // First of all no renewal can report a loss any more, whatever is in flight.
        let before = self.roster.let_go(&self.lease);
        if matches!(before, Standing::Lost(LossReason::Taken { .. })) {
            self.is_given_back = true;
            self.lease.tell_released(ReleaseResult::Lost);
            return Ok(Released::Lost);
        }
        let now = self.inner.clock.now();
        let end = self.lapses_by(now).min(now + LIMIT);
        // Also if this call is dropped on its way.
        self.is_asked = true;
        let answer = self.ask_to_release(now, end).await;
        // An unknown outcome is left to `drop`, which goes on in the background.
        self.is_given_back = !matches!(answer, Err(ReleaseError::Unknown { .. }));
        match &answer {
            Ok(released) => self.lease.tell_released(result_of(*released)),
            Err(ReleaseError::Refused { .. }) => {
                self.inner.cleanups.abandon();
                self.lease.tell_released(ReleaseResult::Abandoned);
            }
            Err(ReleaseError::Unknown { .. }) => {}
        }
        if let Ok(Released::HandedOn) = answer {
            // Whoever it was handed to may be a task of this thread, and comes first.
            tokio::task::yield_now().await;
        }
        answer
    }

    async fn ask_to_release(&self, mut now: Moment, end: Moment) -> Result<Released, ReleaseError> {
        let (key, clock) = (&self.lease.key, &self.inner.clock);
        let mut backoff = Backoff::for_store();
        let mut may_have_happened = false;
        loop {
            let limit = end.since(now);
            let call = self.inner.store.release(key, self.lease.token);
            let source = match self.inner.bounded(limit, call).await {
                Ok(answer) => return Ok(released(answer, may_have_happened)),
                Err(error) => error,
            };
            may_have_happened |= source.outcome_is_unknown();
            if !source.is_retryable() {
                return Err(self.refused(source, may_have_happened));
            }
            let next = clock.now() + backoff.pause();
            if next >= end {
                return Err(ReleaseError::Unknown {
                    key: key.clone(),
                    source,
                });
            }
            sleep_until(&**clock, next).await;
            now = clock.now();
        }
    }

    fn refused(&self, source: StoreError, may_have_happened: bool) -> ReleaseError {
        let key = self.lease.key.clone();
        if may_have_happened {
            ReleaseError::Unknown { key, source }
        } else {
            ReleaseError::Refused { key, source }
        }
    }

    /// When the lease has surely ended, if nobody renews it from `now` on: also when a renewal that
    /// is still on its way arrives as late as it can matter.
    pub(super) fn lapses_by(&self, now: Moment) -> Moment {
        let ttl = self.lease.renewal().ttl.get();
        now + ttl + ttl / 50
    }
}

pub(crate) fn released(answer: Release, may_have_happened: bool) -> Released {
    match answer {
        Release::Freed => Released::Freed,
        Release::HandedOn => Released::HandedOn,
        Release::OthersHold => Released::OthersHold,
        _ if may_have_happened => Released::ReleasedOrLost,
        _ => Released::Lost,
    }
}

pub(crate) fn result_of(released: Released) -> ReleaseResult {
    match released {
        Released::Freed => ReleaseResult::Freed,
        Released::HandedOn => ReleaseResult::HandedOn,
        Released::OthersHold => ReleaseResult::OthersHold,
        Released::ReleasedOrLost => ReleaseResult::ReleasedOrLost,
        // A share that is not the last releases nothing and tells nothing.
        Released::Lost | Released::StillShared => ReleaseResult::Lost,
    }
}
