//! Which leases are to be renewed when, and in which company.
//!
//! Pure bookkeeping: it reads no clock and calls no store. Leases that failed are asked for apart
//! from the others, in smaller and smaller company, so that a bad one is soon alone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tenure_core::Moment;
use tokio::sync::Notify;

use super::Batch;
use super::calendar::{Calendar, Due, FULL, Spot};
use crate::lease::{HeldLease, Outlook, Standing};
use crate::timing::{shortened, up_to};

/// How many leases share a request, by how often they have failed in a row.
const COMPANY: [usize; 3] = [FULL, 16, 1];
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
    /// A lease knows the number of its seat, so that nothing need be looked for.
    seats: Vec<Seat>,
    /// The numbers of those that are empty.
    vacant: Vec<usize>,
    /// The renewals to come; a lease in flight is not among them.
    calendar: Calendar,
    /// When the task looks next; `None` if it is looking now, or waits for answers only.
    next_look: Option<Moment>,
    /// Whether a task looks after the roster.
    is_running: bool,
    /// Since when the task has found nothing, if nothing came and went meanwhile either.
    idle_since: Option<Moment>,
    /// Nobody can add a lease any more.
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Seat {
    lease: Option<Arc<HeldLease>>,
    spot: Option<Spot>,
    failures: usize,
    is_flying: bool,
    /// Asked for while in flight: once more as soon as the answer is there.
    again: bool,
}

/// What the task does next.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batches: Vec<Batch>,
    /// Leases whose trust ended before they were renewed.
    pub(super) ended: Vec<Arc<HeldLease>>,
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
    pub(super) fn enter(&self, lease: Arc<HeldLease>, first: Option<Due>) -> bool {
        let mut entries = self.entries();
        entries.idle_since = None;
        let seat = entries.sit_down(lease);
        if let Some(first) = first {
            self.schedule(&mut entries, seat, first);
        }
        !std::mem::replace(&mut entries.is_running, true)
    }

    /// The holder gives `lease` back: no renewal is begun any more, and what is answered to one on
    /// its way changes nothing. Says how the lease stood just before. Only after this may the store
    /// be asked to release it, or an answer could be taken for a loss.
    pub(crate) fn let_go(&self, lease: &HeldLease) -> Standing {
        let before = lease.give_back();
        self.leave(lease);
        before
    }

    /// Removes a lease: an answer on its way is not waited for.
    pub(super) fn leave(&self, lease: &HeldLease) {
        let mut entries = self.entries();
        if let Some(seat) = entries.seat_of(lease) {
            entries.vacate(seat);
        }
    }

    /// Renews a lease at once, or as soon as the renewal in flight is answered.
    pub(crate) fn renew_now(&self, lease: &HeldLease, now: Moment) {
        let mut entries = self.entries();
        let Some(number) = entries.seat_of(lease) else {
            return;
        };
        match entries.seats.get_mut(number) {
            Some(seat) if seat.is_flying => seat.again = true,
            _ => self.schedule(&mut entries, number, Due::exactly(now)),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.entries().is_empty()
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
        if entries.is_empty() && flights == 0 {
            let end = *entries.idle_since.get_or_insert(now) + LINGER;
            let is_over = entries.is_closed || now >= end;
            entries.is_running = !is_over;
            entries.next_look = Some(end).filter(|_| !is_over);
            entries.calendar.clear();
            return Plan {
                batches: Vec::new(),
                ended: Vec::new(),
                next: entries.next_look,
                is_over,
            };
        }
        let room = FLIGHTS.saturating_sub(flights);
        let (batches, ended) = if room == 0 {
            (Vec::new(), Vec::new())
        } else {
            entries.take_due(now, room)
        };
        // With no room the next answer is what is waited for.
        let next = entries.calendar.next();
        entries.next_look = next.filter(|_| batches.len() < room);
        Plan {
            batches,
            ended,
            next: entries.next_look,
            is_over: false,
        }
    }

    /// Enters what became of the renewals of a batch. The task plans anew afterwards.
    pub(super) fn settle(&self, batch: &Batch, outcomes: &[Outcome], now: Moment) {
        let mut entries = self.entries();
        for ((lease, _), outcome) in batch.leases.iter().zip(outcomes) {
            entries.settle(lease, *outcome, now);
        }
    }

    fn schedule(&self, entries: &mut Entries, seat: usize, due: Due) {
        let due = entries.set_due(seat, due);
        let is_earlier = entries.next_look.is_none_or(|next| due < next);
        if entries.is_running && is_earlier {
            entries.next_look = Some(due);
            self.nudge();
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        crate::mutex::lock(&self.entries)
    }
}

/// When a lease that was confirmed for a question of `asked_at` is renewed next: by its interval,
/// less a random part, so that processes do not keep step. `None` if it is not, or need not be.
pub(crate) fn first_due(lease: &HeldLease, asked_at: Moment) -> Option<Due> {
    let every = lease.interval()?;
    Some(Due {
        at: asked_at + shortened(every),
        slack: every / 16,
    })
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
    fn is_empty(&self) -> bool {
        self.seats.len() == self.vacant.len()
    }

    fn sit_down(&mut self, lease: Arc<HeldLease>) -> usize {
        let number = self.vacant.pop().unwrap_or(self.seats.len());
        lease.seat.store(number, Ordering::Relaxed);
        let seat = Seat {
            lease: Some(lease),
            ..Seat::default()
        };
        match self.seats.get_mut(number) {
            Some(empty) => *empty = seat,
            None => self.seats.push(seat),
        }
        number
    }

    /// The seat of a lease, unless it has left it.
    fn seat_of(&self, lease: &HeldLease) -> Option<usize> {
        let number = lease.seat.load(Ordering::Relaxed);
        let there = self.seats.get(number)?.lease.as_deref()?;
        std::ptr::eq(there, lease).then_some(number)
    }

    fn vacate(&mut self, number: usize) {
        self.strike_out(number);
        if let Some(seat) = self.seats.get_mut(number)
            && seat.lease.take().is_some()
        {
            self.vacant.push(number);
        }
    }

    /// Says when the lease is due, which may be a little earlier than asked for.
    fn set_due(&mut self, number: usize, due: Due) -> Moment {
        self.strike_out(number);
        let spot = self.calendar.add(number, due);
        if let Some(seat) = self.seats.get_mut(number) {
            seat.spot = Some(spot);
        }
        spot.due()
    }

    fn strike_out(&mut self, number: usize) {
        let Some(spot) = self.seats.get_mut(number).and_then(|seat| seat.spot.take()) else {
            return;
        };
        let moved = self.calendar.remove(spot);
        if let Some(moved) = moved.and_then(|moved| self.seats.get_mut(moved)) {
            moved.spot = Some(spot);
        }
    }

    fn settle(&mut self, lease: &HeldLease, outcome: Outcome, now: Moment) {
        let Some(number) = self.seat_of(lease) else {
            return;
        };
        let Some(seat) = self.seats.get_mut(number) else {
            return;
        };
        seat.is_flying = false;
        let again = std::mem::take(&mut seat.again);
        let due = match outcome {
            Outcome::Gone => return self.vacate(number),
            Outcome::Confirmed { next } => {
                seat.failures = 0;
                next
            }
            Outcome::Failed => {
                let renewal = lease.renewal();
                let every = renewal.every().unwrap_or(renewal.ttl.get());
                let pause = pause_after(seat.failures, every);
                seat.failures += 1;
                // No later than the end of the window, when there is nothing left to try.
                Some((now + pause).min(lease.until()))
            }
        };
        let due = if again { Some(now) } else { due };
        if let Some(due) = due {
            self.set_due(number, Due::exactly(due));
        }
    }

    /// The batches that leave now, and the leases whose trust has ended.
    fn take_due(&mut self, now: Moment, room: usize) -> (Vec<Batch>, Vec<Arc<HeldLease>>) {
        let mut companies: [Vec<Travelling>; 3] = Default::default();
        let mut ended = Vec::new();
        let mut soon = now;
        loop {
            // Those that are due soon only fill a request that is sent in any case.
            let [easy, ..] = &companies;
            let latest = if easy.len().is_multiple_of(FULL) {
                now
            } else {
                soon
            };
            let Some(mut party) = self.calendar.take_first(latest) else {
                break;
            };
            self.fetch(party.seats());
            let [easy, ..] = &mut companies;
            easy.reserve(party.seats().len());
            while let Some(number) = party.pop() {
                ended.extend(self.board(number, now, &mut soon, &mut companies));
                let [easy, ..] = &companies;
                if party.due() > now && easy.len().is_multiple_of(FULL) {
                    break;
                }
            }
            self.calendar.put_back(party);
        }
        let mut batches = Vec::new();
        for (leases, size) in companies.into_iter().zip(COMPANY) {
            let mut leases = leases.into_iter();
            while leases.len() > 0 {
                let some = leases.by_ref().take(size);
                if batches.len() < room {
                    batches.push(Batch::new(some));
                } else {
                    self.put_back(some, now);
                }
            }
        }
        (batches, ended)
    }

    /// Brings what is about to be read of these leases near the processor. It was last used seconds
    /// ago, and whoever takes one lease after the other waits for each of them; reads that do not
    /// depend on each other are waited for together.
    fn fetch(&self, seats: &[usize]) {
        let leases = seats
            .iter()
            .filter_map(|number| self.seats.get(*number)?.lease.as_ref());
        let read = leases.map(|lease| Arc::strong_count(lease) ^ lease.touch());
        std::hint::black_box(read.fold(0, usize::wrapping_add));
    }

    /// Sends the lease of a seat on its way, in the company that it may travel in. Says which it
    /// is if it is not trusted any more, and so left its seat.
    fn board(
        &mut self,
        number: usize,
        now: Moment,
        soon: &mut Moment,
        companies: &mut [Vec<Travelling>; 3],
    ) -> Option<Arc<HeldLease>> {
        let seat = self.seats.get_mut(number)?;
        seat.spot = None;
        let lease = seat.lease.clone()?;
        let Some(outlook) = lease.outlook(now) else {
            self.vacate(number);
            return Some(lease);
        };
        seat.is_flying = true;
        let every = outlook.every.unwrap_or_default();
        if *soon == now {
            // The first decides how far ahead others may be taken along.
            *soon = now + every / 8;
        }
        // One that is nearly over cannot wait as long as others can, so it travels alone.
        let is_urgent = outlook.left < every / 2;
        let alone = COMPANY.len() - 1;
        let company = if is_urgent {
            alone
        } else {
            seat.failures.min(alone)
        };
        if let Some(company) = companies.get_mut(company) {
            company.push((lease, outlook));
        }
        None
    }

    fn put_back(&mut self, leases: impl Iterator<Item = Travelling>, now: Moment) {
        for (lease, _) in leases {
            if let Some(number) = self.seat_of(&lease) {
                if let Some(seat) = self.seats.get_mut(number) {
                    seat.is_flying = false;
                }
                self.set_due(number, Due::exactly(now));
            }
        }
    }
}

impl Batch {
    /// An answer is waited for so long that there is time for another try, and no longer than any
    /// of the leases is trusted.
    fn new(travelling: impl ExactSizeIterator<Item = Travelling>) -> Self {
        let mut leases = Vec::with_capacity(travelling.len());
        let mut limit = Duration::MAX;
        for (lease, outlook) in travelling {
            let half = outlook.every.unwrap_or(outlook.question.ttl.get()) / 2;
            limit = limit.min(half.max(LEAST_LIMIT).min(outlook.left));
            leases.push((lease, outlook.question));
        }
        Self { leases, limit }
    }
}
