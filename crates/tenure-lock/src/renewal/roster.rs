//! Which leases are to be renewed when, and in which company.
//!
//! Pure bookkeeping: it reads no clock and calls no store. Leases that failed are asked for apart
//! from the others, in smaller and smaller company, so that a bad one is soon alone.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Moment, Token};
use tokio::sync::Notify;

use super::Batch;
use crate::lease::{HeldLease, Outlook};
use crate::timing::{shortened, up_to};

/// How many leases share a request, by how often they have failed in a row.
const COMPANY: [usize; 3] = [256, 16, 1];
/// How many requests are in flight at the same time.
const FLIGHTS: usize = 64;
/// The least time a store is given for an answer, as far as trust lasts.
const LEAST_LIMIT: Duration = Duration::from_millis(100);
/// The shortest pause before a failed renewal is tried again.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// How long the task stays when there is nothing to renew. Locks that are taken and given back one
/// after the other would otherwise start and wake a task each, which costs more than they do.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: Mutex<Entries>,
    nudge: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_token: HashMap<Token, Entry, ByToken>,
    /// The renewals to come; a lease in flight is not among them.
    due: BTreeSet<(Moment, Token)>,
    /// When the task looks next; `None` if it is looking now, or waits for answers only.
    next_look: Option<Moment>,
    /// Whether a task looks after the roster.
    is_running: bool,
    /// Since when the task has found nothing, if nothing came and went meanwhile either.
    idle_since: Option<Moment>,
    /// Nobody can add a lease any more.
    is_closed: bool,
}

/// Tokens are drawn at random by us, so mixing their halves is as good as a slow hash of them.
type ByToken = BuildHasherDefault<Halves>;

#[derive(Debug, Default)]
struct Halves(u64);

impl Hasher for Halves {
    fn write(&mut self, bytes: &[u8]) {
        for half in bytes.chunks(8) {
            let half = half.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
            // Spreads what a simulation counts up, too.
            self.0 = (self.0 ^ half)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(32);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Entry {
    lease: Arc<HeldLease>,
    due: Option<Moment>,
    failures: usize,
    is_flying: bool,
    /// Asked for while in flight: once more as soon as the answer is there.
    again: bool,
}

/// What the task does next.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batches: Vec<Batch>,
    pub(super) next: Option<Moment>,
    pub(super) is_over: bool,
}

/// A lease on its way into a request, and how it stood.
type Travelling = (Arc<HeldLease>, Outlook);

/// What became of one renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// And renewed next then, if it is at all.
    Confirmed {
        next: Option<Moment>,
    },
    Failed,
    Gone,
}

impl Roster {
    /// Adds a lease. True if a task must be started.
    pub(super) fn enter(&self, lease: Arc<HeldLease>, first: Option<Moment>) -> bool {
        let mut entries = self.entries();
        let token = lease.token;
        entries.idle_since = None;
        let entry = Entry {
            lease,
            due: None,
            failures: 0,
            is_flying: false,
            again: false,
        };
        entries.by_token.insert(token, entry);
        if let Some(first) = first {
            self.schedule(&mut entries, token, first);
        }
        !std::mem::replace(&mut entries.is_running, true)
    }

    /// Removes a lease: an answer on its way is not waited for.
    pub(crate) fn leave(&self, token: Token) {
        self.entries().remove(token);
    }

    /// Renews a lease at once, or as soon as the renewal in flight is answered.
    pub(crate) fn renew_now(&self, token: Token, now: Moment) {
        let mut entries = self.entries();
        match entries.by_token.get_mut(&token) {
            Some(entry) if entry.is_flying => entry.again = true,
            Some(_) => self.schedule(&mut entries, token, now),
            None => {}
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.entries().by_token.is_empty()
    }

    /// Lets the task end as soon as it has nothing to renew.
    pub(super) fn close(&self) {
        self.entries().is_closed = true;
        self.nudge();
    }

    fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Takes what is due at `now`, and says when to look again.
    pub(super) fn plan(&self, now: Moment, flights: usize) -> Plan {
        let mut entries = self.entries();
        if entries.by_token.is_empty() && flights == 0 {
            let end = *entries.idle_since.get_or_insert(now) + LINGER;
            let is_over = entries.is_closed || now >= end;
            entries.is_running = !is_over;
            entries.next_look = Some(end).filter(|_| !is_over);
            return Plan {
                batches: Vec::new(),
                next: entries.next_look,
                is_over,
            };
        }
        let room = FLIGHTS.saturating_sub(flights);
        let batches = if room == 0 {
            Vec::new()
        } else {
            entries.take_due(now, room)
        };
        // With no room the next answer is what is waited for.
        let next = entries.due.first().map(|(due, _)| *due);
        entries.next_look = next.filter(|_| batches.len() < room);
        Plan {
            batches,
            next: entries.next_look,
            is_over: false,
        }
    }

    /// Enters what became of renewals. The task plans anew afterwards.
    pub(super) fn settle(&self, outcomes: &[(Arc<HeldLease>, Outcome)], now: Moment) {
        let mut entries = self.entries();
        for (lease, outcome) in outcomes {
            entries.settle(lease, *outcome, now);
        }
    }

    fn schedule(&self, entries: &mut Entries, token: Token, due: Moment) {
        entries.set_due(token, due);
        let is_earlier = entries.next_look.is_none_or(|next| due < next);
        if entries.is_running && is_earlier {
            entries.next_look = Some(due);
            self.nudge();
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a lease that was confirmed for a question of `asked_at` is renewed next: by its interval,
/// less a random part, so that processes do not keep step. `None` if it is not, or need not be.
pub(crate) fn first_due(lease: &HeldLease, asked_at: Moment) -> Option<Moment> {
    Some(asked_at + shortened(lease.interval()?))
}

/// Which part of their interval leases that were renewed together are renewed after: all but a
/// random tenth at most, so that processes do not keep step.
pub(super) fn share_of_interval() -> f64 {
    1.0 - fastrand::f64() / 10.0
}

/// Grows from a thirty-second of the interval to a quarter of it.
fn pause_after(failures: usize, every: Duration) -> Duration {
    let grown = u32::try_from(failures.min(3)).unwrap_or(3);
    let whole = (every / 32 * 2u32.pow(grown)).max(LEAST_PAUSE);
    whole / 2 + up_to(whole / 2)
}

impl Entries {
    fn remove(&mut self, token: Token) {
        if let Some(Entry { due: Some(due), .. }) = self.by_token.remove(&token) {
            self.due.remove(&(due, token));
        }
    }

    fn set_due(&mut self, token: Token, due: Moment) {
        let Some(entry) = self.by_token.get_mut(&token) else {
            return;
        };
        if let Some(before) = entry.due.replace(due) {
            self.due.remove(&(before, token));
        }
        self.due.insert((due, token));
    }

    fn settle(&mut self, lease: &HeldLease, outcome: Outcome, now: Moment) {
        let Some(entry) = self.by_token.get_mut(&lease.token) else {
            return;
        };
        entry.is_flying = false;
        let again = std::mem::take(&mut entry.again);
        let due = match outcome {
            Outcome::Gone => {
                self.remove(lease.token);
                return;
            }
            Outcome::Confirmed { next } => {
                entry.failures = 0;
                next
            }
            Outcome::Failed => {
                let renewal = lease.renewal();
                let every = renewal.every().unwrap_or(renewal.ttl.get());
                let pause = pause_after(entry.failures, every);
                entry.failures += 1;
                // No later than the end of the window, when there is nothing left to try.
                Some((now + pause).min(lease.until()))
            }
        };
        let due = if again { Some(now) } else { due };
        let Some(due) = due else { return };
        if let Some(before) = entry.due.replace(due) {
            self.due.remove(&(before, lease.token));
        }
        self.due.insert((due, lease.token));
    }

    fn take_due(&mut self, now: Moment, room: usize) -> Vec<Batch> {
        let mut companies: [Vec<Travelling>; 3] = Default::default();
        let mut soon = now;
        while let Some((due, token)) = self.due.first().copied() {
            let [full, ..] = COMPANY;
            let [easy, ..] = &companies;
            // Those that are due soon only fill a request that is sent in any case.
            let has_seat = due <= soon && !easy.len().is_multiple_of(full);
            if due > now && !has_seat {
                break;
            }
            self.due.remove(&(due, token));
            let Some(entry) = self.by_token.get_mut(&token) else {
                continue;
            };
            entry.due = None;
            let Some(outlook) = entry.lease.outlook() else {
                self.by_token.remove(&token);
                continue;
            };
            entry.is_flying = true;
            let every = outlook.every.unwrap_or_default();
            if soon == now {
                // The first decides how far ahead others may be taken along.
                soon = now + every / 8;
            }
            // One that is nearly over cannot wait as long as others can, so it travels alone.
            let is_urgent = outlook.left < every / 2;
            let alone = COMPANY.len() - 1;
            let company = if is_urgent {
                alone
            } else {
                entry.failures.min(alone)
            };
            if let Some(company) = companies.get_mut(company) {
                company.push((entry.lease.clone(), outlook));
            }
        }
        let mut batches = Vec::new();
        for (leases, size) in companies.iter().zip(COMPANY) {
            for some in leases.chunks(size) {
                if batches.len() < room {
                    batches.push(Batch::new(some));
                } else {
                    self.put_back(some, now);
                }
            }
        }
        batches
    }

    fn put_back(&mut self, leases: &[Travelling], now: Moment) {
        for (lease, _) in leases {
            if let Some(entry) = self.by_token.get_mut(&lease.token) {
                entry.is_flying = false;
            }
            self.set_due(lease.token, now);
        }
    }
}

impl Batch {
    /// An answer is waited for so long that there is time for another try, and no longer than any
    /// of the leases is trusted.
    fn new(leases: &[Travelling]) -> Self {
        let limits = leases.iter().map(|(_, outlook)| {
            let half = outlook.every.unwrap_or(outlook.ttl) / 2;
            half.max(LEAST_LIMIT).min(outlook.left)
        });
        Self {
            limit: limits.min().unwrap_or(LEAST_LIMIT),
            leases: leases.iter().map(|(lease, _)| lease.clone()).collect(),
        }
    }
}
