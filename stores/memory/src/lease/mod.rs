//! Leases in memory: who holds a key, who waits, and the counters of fences.
//!
//! Every request first settles the key it names: a lease that has lapsed goes to the first live
//! waiter, as a release would have it. So no timer is needed, and a key that nobody asks for costs
//! nothing but its record.
//!
//! One rule serves exclusive and shared leases: whoever is first in line is granted the key as soon
//! as it goes with those that hold it, and then the next.

mod entry;
mod table;

use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Acquisition, Cancellation, Durability, ForceRequest, Forced, HandOff, Key, LeasePage,
    LeasePromises, LeaseRequest, LeaseStore, LeaseView, ListQuery, Note, Order, Release,
    RenewRequest, Renewal, Scope, SharedLeases, StoreError, StoreErrorKind, Timestamp, Token,
    Waiting, Wakes,
};

pub(crate) use self::table::Leases;
use crate::{MemoryStore, locked};

/// How long a lease that was handed on lasts until its new holder asks for it.
const CLAIM_WINDOW: Duration = Duration::from_secs(2);

#[async_trait]
impl LeaseStore for MemoryStore {
    fn promises(&self) -> LeasePromises {
        let mut promises = LeasePromises::new("memory", Scope::Process, Durability::Nothing);
        promises.hand_off = HandOff::Pushed;
        promises.order = Order::Fifo;
        promises.claim_window = CLAIM_WINDOW;
        promises.shared = SharedLeases::Kept;
        promises.wall_clock_steps_end_leases = false;
        promises.forgets = "everything, when the process ends";
        promises
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        self.shared.waiters.listen(key, token)
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        leases.settle(&request.key, now, &self.shared.waiters);
        if let Some(lease) = leases.own(&request.key, request.token) {
            lease.extend(request.ttl, now);
            return Ok(Acquisition::Granted(lease.grant(now)));
        }
        if leases.is_open_to(request) {
            return Ok(leases.grant(request, now));
        }
        if let Waiting::InLine { keep } = request.waiting
            && leases.line_up(request, keep, now)
            && request.sharing.is_shared()
        {
            // It may have raised the limit.
            let asker = Some(request.token);
            leases.serve(&request.key, now, &self.shared.waiters, asker);
            if let Some(lease) = leases.own(&request.key, request.token) {
                lease.extend(request.ttl, now);
                return Ok(Acquisition::Granted(lease.grant(now)));
            }
        }
        let held = leases.held(request, now);
        held.map(Acquisition::Held).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Corrupt, "a key that is held has no holder")
        })
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        let answers = requests.iter().map(|request| {
            leases.settle(&request.key, now, &self.shared.waiters);
            Ok(match leases.own(&request.key, request.token) {
                Some(lease) => {
                    lease.extend(request.ttl, now);
                    Renewal::Renewed(lease.grant(now))
                }
                None => Renewal::Lost {
                    now,
                    by: leases.occupant(&request.key),
                },
            })
        });
        Ok(answers.collect())
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        leases.settle(key, now, &self.shared.waiters);
        Ok(match leases.own(key, token) {
            Some(_) => leases.end(key, &[token], now, &self.shared.waiters),
            None => Release::NotHeld,
        })
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        leases.settle(key, now, &self.shared.waiters);
        if leases.own(key, token).is_some() {
            leases.end(key, &[token], now, &self.shared.waiters);
            return Ok(Cancellation::Released);
        }
        let Some(entry) = leases.entries.get_mut(key) else {
            return Ok(Cancellation::Nothing);
        };
        let before = entry.queue.len();
        entry.queue.retain(|waiter| waiter.token != token);
        let left = entry.queue.len() < before;
        Ok(if left {
            // Whoever stood behind may go with those that hold the key.
            leases.settle(key, now, &self.shared.waiters);
            Cancellation::LeftQueue
        } else {
            Cancellation::Nothing
        })
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        leases.settle(key, now, &self.shared.waiters);
        Ok(leases.view(key, now))
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        let limit = query.limit.clamp(1, 1000);
        let mut after = query.after.clone();
        let mut found = Vec::new();
        while let Some(key) = leases.next_key(&query.prefix, after.as_ref()) {
            leases.settle(&key, now, &self.shared.waiters);
            if let Some(view) = leases.view(&key, now) {
                if found.len() == limit {
                    return Ok(LeasePage::new(found, true));
                }
                found.push(view);
            }
            after = Some(key);
        }
        Ok(LeasePage::new(found, false))
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        let from = {
            let mut leases = locked(&self.shared.leases);
            let now = self.lease_now();
            leases.settle(&request.key, now, &self.shared.waiters);
            let Some(entry) = leases.entries.get(&request.key) else {
                return Ok(Forced::NotHeld);
            };
            let Some((tokens, from)) = entry.meant_by(&request.expected) else {
                let view = leases.view(&request.key, now);
                let current = view.unwrap_or_else(|| LeaseView::new(request.key.clone(), now));
                return Ok(Forced::Changed { current });
            };
            leases.end(&request.key, &tokens, now, &self.shared.waiters);
            for token in tokens {
                // The holder may listen still: it learns at once what its next renewal would say.
                let _ = self.shared.waiters.changed_for(&request.key, token);
            }
            from
        };
        let text = format!(
            "{} taken from {from} by {}: {}",
            request.key, request.by, request.why
        );
        locked(&self.shared.runs).note(self.run_now(), Note::new("lease_forced", text));
        Ok(Forced::Done { from })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.lease_now())
    }
}
