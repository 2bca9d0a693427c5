//! All keys: fences, lapses, and whose turn it is.
//!
//! Every step that may have made room ends with [`Leases::serve`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::time::Duration;

use tenure_core::{
    Acquisition, Fence, Grant, Held, HolderId, Key, LeaseRequest, LeaseView, Occupant, Place,
    Release, Timestamp, Token, Waiter, Waiting, WakeRegistry,
};

use super::CLAIM_WINDOW;
use super::entry::{Entry, InLine, Lease, count};

/// How often a waiter that is not next asks, at the longest.
const SLOW_CADENCE: Duration = Duration::from_secs(5);
/// Many keys share a counter; fences of different keys say nothing about each other.
const FENCE_COUNTERS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Leases {
    pub(super) entries: BTreeMap<Key, Entry>,
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

impl Leases {
    pub(super) fn next_fence(&mut self, key: &Key) -> Fence {
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

    /// Takes note of lapses, of leases and of places, so that afterwards a lease on record is one
    /// that holds.
    pub(super) fn settle(&mut self, key: &Key, now: Timestamp, waiters: &WakeRegistry) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.keep(|lease| lease.expires_at > now) || entry.sharing.is_shared() {
            self.serve(key, now, waiters, None);
        }
    }

    /// Grants the key to the first in line whose places still last, one after the other, as long as
    /// each goes with those that hold it. Each of them is told, but `asker`, who asks at this
    /// moment. True if anybody was granted.
    pub(super) fn serve(
        &mut self,
        key: &Key,
        now: Timestamp,
        waiters: &WakeRegistry,
        asker: Option<Token>,
    ) -> bool {
        let mut is_any = false;
        loop {
            let Some(entry) = self.entries.get_mut(key) else {
                return is_any;
            };
            entry.queue.retain(|waiter| waiter.keep_until > now);
            let in_force = entry.sharing.at_most();
            let is_next = |first: &InLine| entry.has_room_for(first.sharing, in_force);
            let next = entry.queue.front().is_some_and(is_next);
            let Some(next) = next.then(|| entry.queue.pop_front()).flatten() else {
                if entry.holders.is_empty() {
                    self.entries.remove(key);
                }
                return is_any;
            };
            let sharing = entry.limit_of_run(next.sharing);
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
                entry.admit(lease, sharing);
            }
            is_any = true;
            if asker != Some(next.token) {
                // A waiter that does not listen finds its grant when it asks again.
                let _ = waiters.grant(key, next.token, &Grant::new(fence, now, expires_at));
            }
        }
    }

    /// Ends the leases of these tokens and serves those who wait.
    pub(super) fn end(
        &mut self,
        key: &Key,
        tokens: &[Token],
        now: Timestamp,
        waiters: &WakeRegistry,
    ) -> Release {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.keep(|lease| !tokens.contains(&lease.token));
        }
        if self.serve(key, now, waiters, None) {
            Release::HandedOn
        } else if self.entries.contains_key(key) {
            Release::OthersHold
        } else {
            Release::Freed
        }
    }

    pub(super) fn occupant(&self, key: &Key) -> Option<Occupant> {
        self.entries.get(key)?.occupant()
    }

    pub(super) fn own(&mut self, key: &Key, token: Token) -> Option<&mut Lease> {
        self.entries.get_mut(key)?.own(token)
    }

    /// Whether a request need not wait. One that asks for a permit is measured by its own limit.
    pub(super) fn is_open_to(&self, request: &LeaseRequest) -> bool {
        let entry = self.entries.get(&request.key);
        entry.is_none_or(|entry| {
            let (sharing, no_one_waits) = (request.sharing, entry.queue.is_empty());
            no_one_waits && entry.has_room_for(sharing, sharing.at_most())
        })
    }

    pub(super) fn grant(&mut self, request: &LeaseRequest, now: Timestamp) -> Acquisition {
        let lease = Lease {
            token: request.token,
            holder: request.holder.clone(),
            fence: self.next_fence(&request.key),
            since: now,
            expires_at: now + request.ttl.get(),
        };
        let grant = lease.grant(now);
        let entry = self.entries.entry(request.key.clone()).or_default();
        entry.admit(lease, request.sharing);
        entry.limit_by(request.sharing);
        Acquisition::Granted(grant)
    }

    /// Gives a request its place in the queue. True if it is a new one.
    pub(super) fn line_up(
        &mut self,
        request: &LeaseRequest,
        keep: Duration,
        now: Timestamp,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&request.key) else {
            return false;
        };
        // A place that has ended is begun again at the end.
        entry.queue.retain(|waiter| waiter.keep_until > now);
        let mut queue = entry.queue.iter_mut();
        if let Some(waiter) = queue.find(|waiter| waiter.token == request.token) {
            waiter.keep_until = now + keep;
            waiter.ttl = request.ttl;
            return false;
        }
        entry.queue.push_back(InLine {
            token: request.token,
            holder: request.holder.clone(),
            ttl: request.ttl,
            since: now,
            keep_until: now + keep,
            sharing: request.sharing,
        });
        entry.limit_by(request.sharing);
        true
    }

    /// Answers a request that found the key held and has its place by now, if it takes one.
    pub(super) fn held(&self, request: &LeaseRequest, now: Timestamp) -> Option<Held> {
        let entry = self.entries.get(&request.key)?;
        let ends = if entry.sharing.goes_with(request.sharing) {
            entry.ends(Timestamp::min)
        } else {
            entry.ends(Timestamp::max)
        };
        let remaining = ends?.since(now);
        let held = Held::new(now, entry.occupant()?, Some(remaining));
        let Waiting::InLine { keep } = request.waiting else {
            return Some(held);
        };
        let mut queue = entry.queue.iter();
        let ahead = queue.position(|waiter| waiter.token == request.token)?;
        let place = Place::new(count(ahead + 1), count(entry.queue.len()));
        let patience = if ahead == 0 {
            remaining
        } else {
            remaining.max(SLOW_CADENCE)
        };
        // Whoever waits asks again well before its place runs out.
        let ask_again_after = patience.min(keep / 3).max(Duration::from_millis(1));
        Some(held.in_place(place).ask_again_after(ask_again_after))
    }

    pub(super) fn view(&self, key: &Key, now: Timestamp) -> Option<LeaseView> {
        let entry = self.entries.get(key)?;
        let queue = entry
            .queue
            .iter()
            .filter(|waiter| waiter.keep_until > now)
            .map(|waiter| {
                Waiter::new(waiter.holder.clone(), waiter.since).waiting_for(waiter.sharing)
            })
            .collect();
        let view = LeaseView::new(key.clone(), now).queued(queue);
        let ends = entry.ends(Timestamp::max);
        Some(match entry.occupant() {
            Some(Occupant::Shared { holders, at_most }) => {
                let sharers = entry.holders.iter().map(Lease::sharer).collect();
                view.shared_by((holders, at_most), sharers, ends, entry.mark())
            }
            Some(occupant) => view.held_by(occupant, ends, entry.mark()),
            None => view,
        })
    }
}

impl Leases {
    /// The first key after `after` that begins with `prefix`.
    pub(super) fn next_key(&self, prefix: &[u8], after: Option<&Key>) -> Option<Key> {
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
        for lease in self
            .entries
            .get_mut(key)
            .into_iter()
            .flat_map(|entry| &mut entry.holders)
        {
            lease.expires_at = now;
        }
    }

    pub(crate) fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        let first = self.entries.get(key)?.holders.first();
        first.map(|lease| lease.holder.id)
    }

    pub(crate) fn raw_records(&self, key: &Key) -> usize {
        let entry = self.entries.get(key);
        entry.map_or(0, |entry| entry.holders.len() + entry.queue.len())
    }

    pub(crate) fn raw_fence_counters(&self) -> usize {
        self.fences.len()
    }
}
