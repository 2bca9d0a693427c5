//! Leases in memory: who holds a key, who waits, and the counters of fences.
//!
//! Every request first settles the key it names: a lease that has lapsed goes to the first live
//! waiter, as a release would have it. So no timer is needed, and a key that nobody asks for costs
//! nothing but its record.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Acquisition, Cancellation, Durability, Fence, ForceRequest, Forced, Grant, HandOff, Held,
    Holder, HolderId, Key, LeasePage, LeasePromises, LeaseRequest, LeaseStore, LeaseView,
    ListQuery, Mark, Note, Occupant, Order, Place, Release, RenewRequest, Renewal, Scope,
    StoreError, Timestamp, Token, Ttl, Waiter, Waiting, WakeRegistry, Wakes,
};

use crate::{MemoryStore, locked};

/// How long a lease that was handed on lasts until its new holder asks for it.
const CLAIM_WINDOW: Duration = Duration::from_secs(2);
/// How often a waiter that is not next asks, at the longest.
const SLOW_CADENCE: Duration = Duration::from_secs(5);
/// Many keys share a counter; fences of different keys say nothing about each other.
const FENCE_COUNTERS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Leases {
    entries: BTreeMap<Key, Entry>,
    fences: Vec<u64>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            fences: vec![0; FENCE_COUNTERS],
        }
    }
}

/// A key that is held or waited for. If somebody waits, somebody holds.
#[derive(Debug, Default)]
struct Entry {
    lease: Option<Lease>,
    queue: VecDeque<InLine>,
}

#[derive(Debug)]
struct Lease {
    token: Token,
    holder: Holder,
    fence: Fence,
    since: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct InLine {
    token: Token,
    holder: Holder,
    ttl: Ttl,
    since: Timestamp,
    keep_until: Timestamp,
}

impl Leases {
    fn next_fence(&mut self, key: &Key) -> Fence {
        let mut hasher = DefaultHasher::new();
        key.as_bytes().hash(&mut hasher);
        let counters = self.fences.len().max(1) as u64;
        let at = usize::try_from(hasher.finish() % counters).unwrap_or(0);
        let Some(counter) = self.fences.get_mut(at) else {
            return Fence::new(0);
        };
        *counter += 1;
        Fence::new(*counter)
    }

    /// Takes note of a lapse, so that afterwards a lease on record is one that holds.
    fn settle(&mut self, key: &Key, now: Timestamp, waiters: &WakeRegistry) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        if entry
            .lease
            .as_ref()
            .is_none_or(|lease| lease.expires_at <= now)
        {
            self.hand_on(key, now, waiters);
        }
    }

    /// Ends the lease on `key` and gives it to the first waiter whose place still lasts.
    fn hand_on(&mut self, key: &Key, now: Timestamp, waiters: &WakeRegistry) -> Release {
        let Some(entry) = self.entries.get_mut(key) else {
            return Release::Freed;
        };
        entry.lease = None;
        entry.queue.retain(|waiter| waiter.keep_until > now);
        let Some(next) = entry.queue.pop_front() else {
            self.entries.remove(key);
            return Release::Freed;
        };
        let fence = self.next_fence(key);
        let expires_at = now + next.ttl.get().min(CLAIM_WINDOW);
        let lease = Lease {
            token: next.token,
            holder: next.holder,
            fence,
            since: now,
            expires_at,
        };
        if let Some(entry) = self.entries.get_mut(key) {
            entry.lease = Some(lease);
        }
        // A waiter that does not listen finds its grant when it asks again.
        let _ = waiters.grant(key, next.token, &Grant::new(fence, now, expires_at));
        Release::HandedOn
    }

    fn lease(&self, key: &Key) -> Option<&Lease> {
        self.entries.get(key)?.lease.as_ref()
    }

    fn own(&mut self, key: &Key, token: Token) -> Option<&mut Lease> {
        self.entries
            .get_mut(key)?
            .lease
            .as_mut()
            .filter(|lease| lease.token == token)
    }

    /// Answers a request that found the key held, after giving it its place.
    fn wait(&mut self, request: &LeaseRequest, now: Timestamp) -> Option<Acquisition> {
        let entry = self.entries.get_mut(&request.key)?;
        entry.queue.retain(|waiter| waiter.keep_until > now);
        let lease = entry.lease.as_ref()?;
        let remaining = lease.expires_at.since(now);
        let held = Held::new(now, lease.occupant(), Some(remaining));
        let Waiting::InLine { keep } = request.waiting else {
            return Some(Acquisition::Held(held));
        };
        let keep_until = now + keep;
        let ahead = entry
            .queue
            .iter()
            .position(|waiter| waiter.token == request.token);
        if let Some(waiter) = ahead.and_then(|at| entry.queue.get_mut(at)) {
            waiter.keep_until = keep_until;
            waiter.ttl = request.ttl;
        } else {
            entry.queue.push_back(InLine {
                token: request.token,
                holder: request.holder.clone(),
                ttl: request.ttl,
                since: now,
                keep_until,
            });
        }
        let ahead = ahead.unwrap_or(entry.queue.len().saturating_sub(1));
        let place = Place::new(count(ahead + 1), count(entry.queue.len()));
        let patience = if ahead == 0 {
            remaining
        } else {
            remaining.max(SLOW_CADENCE)
        };
        // Whoever waits asks again well before its place runs out.
        let ask_again_after = patience.min(keep / 3).max(Duration::from_millis(1));
        Some(Acquisition::Held(
            held.in_place(place).ask_again_after(ask_again_after),
        ))
    }

    fn view(&self, key: &Key, now: Timestamp) -> Option<LeaseView> {
        let entry = self.entries.get(key)?;
        let queue = entry
            .queue
            .iter()
            .filter(|waiter| waiter.keep_until > now)
            .map(|waiter| Waiter::new(waiter.holder.clone(), waiter.since))
            .collect();
        let view = LeaseView::new(key.clone(), now).queued(queue);
        Some(match &entry.lease {
            Some(lease) => view.held_by(lease.occupant(), Some(lease.expires_at), lease.mark()),
            None => view,
        })
    }
}

impl Lease {
    fn occupant(&self) -> Occupant {
        Occupant::Holder {
            holder: self.holder.clone(),
            fence: self.fence,
            since: self.since,
        }
    }

    fn grant(&self, now: Timestamp) -> Grant {
        Grant::new(self.fence, now, self.expires_at)
    }

    /// A lease only ever grows.
    fn extend(&mut self, ttl: Ttl, now: Timestamp) {
        self.expires_at = self.expires_at.max(now + ttl.get());
    }

    /// Fences of a key do not repeat, so the fence names this very holding.
    fn mark(&self) -> Mark {
        Mark::new(format!("fence:{}", self.fence))
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[async_trait]
impl LeaseStore for MemoryStore {
    fn promises(&self) -> LeasePromises {
        let mut promises = LeasePromises::new("memory", Scope::Process, Durability::Nothing);
        promises.hand_off = HandOff::Pushed;
        promises.order = Order::Fifo;
        promises.claim_window = CLAIM_WINDOW;
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
        if let Some(held) = leases.wait(request, now) {
            return Ok(held);
        }
        let lease = Lease {
            token: request.token,
            holder: request.holder.clone(),
            fence: leases.next_fence(&request.key),
            since: now,
            expires_at: now + request.ttl.get(),
        };
        let grant = lease.grant(now);
        leases.entries.entry(request.key.clone()).or_default().lease = Some(lease);
        Ok(Acquisition::Granted(grant))
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
                    by: leases.lease(&request.key).map(Lease::occupant),
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
            Some(_) => leases.hand_on(key, now, &self.shared.waiters),
            None => Release::NotHeld,
        })
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        let mut leases = locked(&self.shared.leases);
        let now = self.lease_now();
        leases.settle(key, now, &self.shared.waiters);
        if leases.own(key, token).is_some() {
            leases.hand_on(key, now, &self.shared.waiters);
            return Ok(Cancellation::Released);
        }
        let Some(entry) = leases.entries.get_mut(key) else {
            return Ok(Cancellation::Nothing);
        };
        let before = entry.queue.len();
        entry.queue.retain(|waiter| waiter.token != token);
        let left = entry.queue.len() < before;
        Ok(if left {
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
            let Some(lease) = leases.lease(&request.key) else {
                return Ok(Forced::NotHeld);
            };
            let (token, from, mark) = (lease.token, lease.occupant(), lease.mark());
            if mark != request.expected {
                let view = leases.view(&request.key, now);
                let current = view.unwrap_or_else(|| LeaseView::new(request.key.clone(), now));
                return Ok(Forced::Changed { current });
            }
            leases.hand_on(&request.key, now, &self.shared.waiters);
            // The holder may listen still: it learns at once what its next renewal would say.
            let _ = self.shared.waiters.changed_for(&request.key, token);
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

impl Leases {
    /// The first key after `after` that begins with `prefix`.
    fn next_key(&self, prefix: &[u8], after: Option<&Key>) -> Option<Key> {
        let start = match after.map(Key::as_bytes) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let (key, _) = self
            .entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .next()?;
        key.as_bytes().starts_with(prefix).then(|| key.clone())
    }
}

/// What a test harness looks at and does.
impl Leases {
    pub(crate) fn lapse(&mut self, key: &Key, now: Timestamp) {
        if let Some(lease) = self
            .entries
            .get_mut(key)
            .and_then(|entry| entry.lease.as_mut())
        {
            lease.expires_at = now;
        }
    }

    pub(crate) fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        self.lease(key).map(|lease| lease.holder.id)
    }

    pub(crate) fn raw_records(&self, key: &Key) -> usize {
        let entry = self.entries.get(key);
        entry.map_or(0, |entry| {
            usize::from(entry.lease.is_some()) + entry.queue.len()
        })
    }

    pub(crate) fn raw_fence_counters(&self) -> usize {
        self.fences.len()
    }
}
