//! One acquisition under way: from its first request until it is a guard or nothing is left of it.
//!
//! Dropping an [`Attempt`] at any point gives back whatever the store may have given: a lease, a
//! place, or an answer that is still on its way.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Acquisition, Grant, Held, Key, LeaseRequest, Moment, Sharing, StoreError, StoreErrorKind,
    Token, Waiting, Wake, Wakes,
};
use tokio::runtime::Handle;

use crate::cleanup::{Cleanup, Leftover};
use crate::guard::{Guard, GuardView};
use crate::lease::{Granted, HeldLease};
use crate::locks::Inner;
use crate::options::Terms;
use crate::renewal::{Due, Tap, first_due};
use crate::timing::{bounded, sleep_sharply_until, sleep_until, up_to};
use crate::trust::{self, Anchor};

/// How long a place in the queue outlives the last request; requests come three times as often.
pub(crate) const KEEP_PLACE: Duration = Duration::from_secs(15);

/// How long after it was pushed a grant is confirmed. A lock that is held for less needs no request
/// but its release, and the first steps of whoever has it are not disturbed; others lose nothing,
/// because until then the lease ends with the claim window.
const CONFIRM: Duration = Duration::from_millis(10);

/// Everything an acquisition needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) key: Key,
    pub(crate) terms: Terms,
    pub(crate) sharing: Sharing,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    inner: Arc<Inner>,
    plan: Plan,
    token: Token,
    wakes: Wakes,
    home: Handle,
    anchor: Option<Anchor>,
    /// Whether the store may have anything under our token.
    may_be_left: bool,
}

/// What the store said.
#[derive(Debug)]
pub(crate) enum Answer {
    Granted(Granted),
    Held(Held),
}

/// Why a pause ended.
#[derive(Debug)]
pub(crate) enum Roused {
    /// The store pushed a grant, and this is what it is worth.
    Granted(Granted),
    /// It is time to ask again.
    Ask,
}

/// A grant with too little of the window left.
#[derive(Debug)]
pub(crate) struct TooLate {
    pub(crate) attempt: Attempt,
    pub(crate) validity: Duration,
}

impl Attempt {
    /// An acquisition with a token of its own. Must be called inside a runtime.
    pub(crate) fn begin(inner: &Arc<Inner>, plan: &Plan, home: &Handle) -> Self {
        let token = inner.tokens.next(inner.clock.now());
        Self {
            // Before the first request: a push may overtake its reply.
            wakes: inner.store.listen(&plan.key, token),
            inner: inner.clone(),
            plan: plan.clone(),
            token,
            home: home.clone(),
            anchor: None,
            may_be_left: false,
        }
    }

    /// Asks once, for at most `limit`. `asked_at` was read before: a slow reply must shorten our
    /// trust, never lengthen it.
    pub(crate) async fn ask(
        &mut self,
        waiting: Waiting,
        asked_at: Moment,
        limit: Duration,
    ) -> Result<Answer, StoreError> {
        let ttl = self.plan.terms.ttl();
        let (key, holder) = (self.plan.key.clone(), self.inner.holder.clone());
        let mut request = LeaseRequest::under(self.token, key, holder, ttl);
        request.waiting = waiting;
        request.sharing = self.plan.sharing;
        let was_left = std::mem::replace(&mut self.may_be_left, true);
        let call = self.inner.store.acquire(&request);
        match self.inner.bounded(limit, call).await {
            Ok(Acquisition::Granted(grant)) => Ok(Answer::Granted(Granted {
                fence: grant.fence,
                asked_at,
                until: trust::trust_end(asked_at, &grant, ttl.get()),
            })),
            Ok(Acquisition::Held(held)) => {
                self.may_be_left = held.place.is_some();
                self.anchor = Some(Anchor {
                    asked_at,
                    store_now: held.now,
                });
                Ok(Answer::Held(held))
            }
            Ok(_) => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "the store gave an answer that this version does not know",
            )),
            Err(error) => {
                if !error.outcome_is_unknown() {
                    self.may_be_left = was_left;
                }
                Err(error)
            }
        }
    }

    /// Waits for word from the store, until `until` at the latest, and sharply if it is first in
    /// line.
    pub(crate) async fn pause(&mut self, until: Moment, is_first: bool) -> Roused {
        let clock = &*self.inner.clock;
        let wake = tokio::select! {
            biased;
            wake = self.wakes.next() => wake,
            () = sleep_sharply_until(clock, until), if is_first => return Roused::Ask,
            () = sleep_until(clock, until), if !is_first => return Roused::Ask,
        };
        match wake {
            Wake::Granted(grant) => self.pushed(&grant).map_or(Roused::Ask, Roused::Granted),
            _ => Roused::Ask,
        }
    }

    /// A push says that the lease is ours. Without an anchor, or with too little left, the store
    /// is asked: the answer is the same grant, counted anew.
    fn pushed(&mut self, grant: &Grant) -> Option<Granted> {
        self.may_be_left = true;
        let now = self.inner.clock.now();
        let anchor = self.anchor?;
        let until = anchor.trust_end(grant, now)?;
        let is_enough = until > now && until.since(now) >= self.plan.terms.min_validity;
        is_enough.then_some(Granted {
            fence: grant.fence,
            asked_at: anchor.asked_at,
            until,
        })
    }

    /// Makes a guard of a grant, unless too little of its window is left.
    pub(crate) fn accept(
        mut self,
        granted: Granted,
        source: GrantSource,
    ) -> Result<Guard, Box<TooLate>> {
        let clock = &self.inner.clock;
        let now = clock.now();
        let validity = granted.until.since(now);
        if validity.is_zero() || validity < self.plan.terms.min_validity {
            return Err(Box::new(TooLate {
                attempt: self,
                validity,
            }));
        }
        tracing::debug!(key = %self.plan.key, fence = %granted.fence, ?source, "lock acquired");
        self.warn_of_slowness(granted, now, source);
        let lease = Arc::new(HeldLease::new(
            self.plan.key.clone(),
            self.token,
            granted,
            &self.plan.terms,
            clock.clone(),
            self.inner.watch.clone(),
            now,
        ));
        let first = match source {
            GrantSource::Reply => first_due(&lease, granted.asked_at),
            // From the claim window to the full ttl, unless the lock is given back first.
            GrantSource::Push => Some(Due::exactly(now + CONFIRM.min(validity / 16))),
        };
        let roster = self.inner.renewals.enter(&self.home, lease.clone(), first);
        self.may_be_left = false;
        let mut wakes = std::mem::replace(&mut self.wakes, Wakes::never());
        wakes.rest(Tap::waker(&roster, &lease));
        let view = GuardView::new(
            self.inner.clone(),
            lease,
            roster,
            self.home.clone(),
            wakes,
            source,
        );
        Ok(Guard::new(view))
    }

    fn warn_of_slowness(&self, granted: Granted, now: Moment, source: GrantSource) {
        let took = now.since(granted.asked_at);
        let ttl = self.plan.terms.ttl().get();
        if source == GrantSource::Reply && took.saturating_mul(4) > ttl {
            tracing::warn!(
                key = %self.plan.key, ?took, ?ttl,
                "the store took more than a quarter of the ttl to answer: use a longer ttl"
            );
        }
    }

    /// Gives back what the store may have given, waiting for the answer until `until` and leaving
    /// the rest to the background.
    pub(crate) async fn give_up(mut self, until: Moment) {
        if !self.may_be_left {
            return;
        }
        let limit = until.since(self.inner.clock.now());
        if limit.is_zero() {
            return;
        }
        let call = self.inner.store.cancel(&self.plan.key, self.token);
        if bounded(limit, call).await.is_ok() {
            self.may_be_left = false;
        }
    }
}

/// How we learnt of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantSource {
    Reply,
    Push,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.may_be_left {
            return;
        }
        let ttl = self.plan.terms.ttl().get();
        // A place lasts as long as it is kept, and a grant made at its very end one ttl more.
        let lasts = KEEP_PLACE + ttl + ttl / 50 + up_to(Duration::from_millis(100));
        let cleanup = Cleanup {
            leftover: Leftover::Unknown,
            key: self.plan.key.clone(),
            token: self.token,
            is_repeated: false,
            until: self.inner.clock.now() + lasts,
        };
        cleanup.start(&self.inner, &self.home);
    }
}
