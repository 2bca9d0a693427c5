//! A lease as this process holds it: until when it is trusted, and how that ends.
//!
//! ```text
//!            renewed in time
//!              ┌──────┐
//!              ↓      │    window over, taken, max_hold over
//!   granted → Held ───┴──────────────────────────────────────→ Lost
//!               │                                                 │ given back
//!               └───────────────── given back ────────────────→ Ended
//! ```
//!
//! Only the clock ends trust: every question compares it with the end of the window, so an answer
//! after a pause is right before anything else has run. This module does not talk to the store.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tenure_core::{Clock, Fence, Grant, Key, Moment, Occupant, StoreError, Token, Ttl};
use tokio::sync::Notify;

use crate::event::{LockEvent, ReleaseResult, RenewalResult, Watch};
use crate::options::{RenewalTerms, Terms};
use crate::trust;
use crate::{LossReason, Lost};

/// Timers of the runtime fire up to this much late, so losses are looked for this much ahead.
const TIMER_GRAIN: Duration = Duration::from_millis(1);
/// How long [`HeldLease::lost`] goes on without looking at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// One acquisition of a key, shared by its guards and the renewal.
pub(crate) struct HeldLease {
    pub(crate) key: Key,
    pub(crate) token: Token,
    pub(crate) fence: Fence,
    /// The number of its seat in the roster that it was entered in, which alone reads and sets it.
    pub(crate) seat: AtomicUsize,
    clock: Arc<dyn Clock>,
    watch: Watch,
    /// When it was granted, for those who watch.
    since: Moment,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    life: Life,
    /// When life was `Held` no more.
    ended_at: Option<Moment>,
    /// The end of the trust window; never moves once life is not `Held`.
    until: Moment,
    renewal: RenewalTerms,
    /// Counts changes of `renewal`.
    version: u64,
    /// The version that the store last confirmed.
    confirmed: u64,
    cap: Option<Cap>,
    trouble: Option<String>,
}

enum Life {
    Held,
    /// On the heap: it is large, and nearly every lease does without.
    Lost(Box<LossReason>),
    Ended,
}

/// The end of what `max_hold` allows.
#[derive(Clone, Copy)]
struct Cap {
    at: Moment,
    max_hold: Duration,
}

enum Event {
    Looked,
    Renewed { until: Moment, version: u64 },
    Taken { by: Option<Occupant> },
    GivenBack,
}

/// How a lease stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be relied on for this long.
    Trusted(Duration),
    /// It may not be relied on any more.
    Lost(LossReason),
    /// It was given back by its holder.
    Ended,
}

impl State {
    /// The one place where life changes. True if it did.
    fn step(&mut self, now: Moment, event: Event) -> bool {
        let is_news = self.change(now, event);
        if is_news && self.ended_at.is_none() && !matches!(self.life, Life::Held) {
            self.ended_at = Some(now.min(self.until));
        }
        is_news
    }

    fn change(&mut self, now: Moment, event: Event) -> bool {
        if !matches!(self.life, Life::Held) {
            let ends = matches!(event, Event::GivenBack) && !matches!(self.life, Life::Ended);
            if ends {
                self.life = Life::Ended;
            }
            return ends;
        }
        match event {
            Event::GivenBack => self.life = Life::Ended,
            Event::Taken { by } => {
                self.until = self.until.min(now);
                self.life = Life::Lost(Box::new(LossReason::Taken { by }));
            }
            // Before renewals: one that is answered after the window cannot bring trust back.
            _ if now >= self.until => {
                self.life = Life::Lost(Box::new(self.end_of_window()));
            }
            Event::Looked => return false,
            Event::Renewed { until, version } => {
                let until = self.cap.map_or(until, |cap| until.min(cap.at));
                self.until = self.until.max(until);
                self.confirmed = self.confirmed.max(version);
                self.trouble = None;
            }
        }
        true
    }

    fn interval(&self) -> Option<Duration> {
        let can_grow = self.cap.is_none_or(|cap| self.until < cap.at);
        self.renewal.every().filter(|_| can_grow)
    }

    fn end_of_window(&self) -> LossReason {
        match self.cap {
            Some(Cap { at, max_hold }) if self.until >= at => LossReason::MaxHold { max_hold },
            _ => LossReason::TrustEnded {
                trouble: self.trouble.clone(),
            },
        }
    }
}

/// What the store granted, and until when that is trusted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) fence: Fence,
    pub(crate) asked_at: Moment,
    pub(crate) until: Moment,
}

/// How a trusted lease stands, for its renewal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    /// For how long it is trusted.
    pub(crate) left: Duration,
    /// The interval of renewals, if it is renewed by itself.
    pub(crate) every: Option<Duration>,
    /// What to ask for.
    pub(crate) question: Question,
}

/// What a renewal asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) ttl: Ttl,
    version: u64,
}

impl HeldLease {
    pub(crate) fn new(
        key: Key,
        token: Token,
        granted: Granted,
        terms: &Terms,
        clock: Arc<dyn Clock>,
        watch: Watch,
        now: Moment,
    ) -> Self {
        // From now: what a pushed grant is counted from may lie far back in the wait.
        let cap = terms.max_hold.map(|max_hold| Cap {
            at: now + max_hold,
            max_hold,
        });
        let until = cap.map_or(granted.until, |cap| granted.until.min(cap.at));
        Self {
            key,
            token,
            fence: granted.fence,
            seat: AtomicUsize::new(0),
            clock,
            watch,
            since: now,
            state: Mutex::new(State {
                life: Life::Held,
                ended_at: None,
                until,
                renewal: terms.renewal,
                version: 0,
                confirmed: 0,
                cap,
                trouble: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Reads a little of everything that a renewal reads, and says nothing of it.
    pub(crate) fn touch(&self) -> usize {
        let name = self.key.as_bytes().first().copied();
        let state = usize::from(self.state.is_poisoned());
        usize::from(name.unwrap_or_default()) ^ self.seat.load(Ordering::Relaxed) ^ state
    }

    /// Compares the clock; no input or output, nothing that could be stale.
    pub(crate) fn is_trusted(&self) -> bool {
        let state = self.state();
        matches!(state.life, Life::Held) && self.clock.now() < state.until
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing_in(Duration::ZERO)
    }

    /// How the lease stands `ahead` of now, if nothing happens until then.
    fn standing_in(&self, ahead: Duration) -> Standing {
        self.step(ahead, Event::Looked, |state, now| match &state.life {
            Life::Held => Standing::Trusted(state.until.since(now)),
            Life::Lost(reason) => Standing::Lost((**reason).clone()),
            Life::Ended => Standing::Ended,
        })
    }

    /// For how long it has been held, or was until it was given back or lost.
    fn held(&self) -> Duration {
        let ended_at = self.state().ended_at;
        ended_at
            .unwrap_or_else(|| self.clock.now())
            .since(self.since)
    }

    /// Tells what became of it when it was given back.
    pub(crate) fn tell_released(&self, result: ReleaseResult) {
        if self.watch.is_empty() {
            return;
        }
        self.watch.tell(&LockEvent::Released {
            key: &self.key,
            fence: self.fence,
            held: self.held(),
            result,
        });
    }

    /// Tells what came of a renewal that took so long.
    pub(crate) fn tell_renewed(&self, took: Duration, result: RenewalResult) {
        self.watch.tell(&LockEvent::Renewed {
            key: &self.key,
            fence: self.fence,
            took,
            result,
        });
    }

    /// The time by the clock that this lease is judged by.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn until(&self) -> Moment {
        self.state().until
    }

    /// The version of the renewal terms that the store last confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.state().confirmed
    }

    pub(crate) fn renewal(&self) -> RenewalTerms {
        self.state().renewal
    }

    /// Changes the terms from the next renewal on, and says which version of them that is.
    pub(crate) fn set_renewal(&self, renewal: RenewalTerms) -> u64 {
        let mut state = self.state();
        state.renewal = renewal;
        state.version += 1;
        state.version
    }

    /// How often the lease is to be renewed, if it is and that could still move the end of its
    /// window.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.state().interval()
    }

    /// What the renewal needs to know of a lease that is trusted at `now`. `None` if it is not;
    /// whoever is told of losses hears that from the next question, since this one only reads.
    pub(crate) fn outlook(&self, now: Moment) -> Option<Outlook> {
        let state = self.state();
        let is_trusted = matches!(state.life, Life::Held) && now < state.until;
        is_trusted.then(|| Outlook {
            left: state.until.since(now),
            every: state.renewal.every(),
            question: Question {
                ttl: state.renewal.ttl,
                version: state.version,
            },
        })
    }

    /// The store confirmed the lease, when asked `question` at `asked_at`. Says the same as
    /// [`HeldLease::interval`].
    pub(crate) fn renewed(
        &self,
        question: Question,
        asked_at: Moment,
        grant: &Grant,
    ) -> Option<Duration> {
        let until = trust::trust_end(asked_at, grant, question.ttl.get());
        let version = question.version;
        let event = Event::Renewed { until, version };
        self.step(Duration::ZERO, event, |state, _| state.interval())
    }

    /// The store says that the lease is not ours.
    pub(crate) fn taken(&self, by: Option<Occupant>) {
        self.apply(Event::Taken { by });
    }

    /// A renewal failed, which says nothing about the lease.
    pub(crate) fn troubled(&self, error: &StoreError) {
        self.state().trouble = Some(error.to_string());
    }

    /// The holder gives the lease back: from now on nothing is reported as a loss. Says how the
    /// lease stood just before.
    pub(crate) fn give_back(&self) -> Standing {
        let mut state = self.state();
        let now = self.clock.now();
        if matches!(state.life, Life::Held) && now < state.until {
            // As nearly always: nobody is to be told of a loss first.
            let left = state.until.since(now);
            state.step(now, Event::GivenBack);
            drop(state);
            self.changed.notify_waiters();
            return Standing::Trusted(left);
        }
        drop(state);
        let before = self.standing();
        self.apply(Event::GivenBack);
        before
    }

    /// Resolves when the lease is lost, no later than the end of the trust window; never after it
    /// was given back.
    pub(crate) async fn lost(&self) -> LossReason {
        let mut changed = std::pin::pin!(self.changed.notified());
        loop {
            // Before looking, so that a change between the look and the wait is not missed.
            changed.as_mut().enable();
            match self.standing_in(TIMER_GRAIN) {
                Standing::Lost(reason) => return reason,
                Standing::Ended => std::future::pending().await,
                Standing::Trusted(left) => tokio::select! {
                    () = changed.as_mut() => changed.set(self.changed.notified()),
                    () = tokio::time::sleep(left.min(LOOK)) => {}
                },
            }
        }
    }

    /// Resolves when anything about the lease changed since `changed` was enabled.
    pub(crate) fn changes(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn loss(&self, reason: LossReason) -> Lost {
        Lost::new(self.key.clone(), self.fence, reason)
    }

    fn apply(&self, event: Event) {
        self.step(Duration::ZERO, event, |_, _| ());
    }

    /// Lets `event` happen `ahead` of now and reads what has become of the state.
    fn step<T>(&self, ahead: Duration, event: Event, read: impl FnOnce(&State, Moment) -> T) -> T {
        let mut state = self.state();
        let now = self.clock.now() + ahead;
        if !state.step(now, event) {
            return read(&state, now);
        }
        let lost = match &state.life {
            Life::Lost(reason) => Some((**reason).clone()),
            Life::Held | Life::Ended => None,
        };
        let value = read(&state, now);
        // Whoever is told may ask this lease something.
        drop(state);
        self.changed.notify_waiters();
        if let Some(reason) = lost {
            let (key, fence) = (&self.key, self.fence);
            tracing::warn!(%key, %fence, %reason, "lock lost");
            let reason = &reason;
            self.watch.tell(&LockEvent::Lost { key, fence, reason });
        }
        value
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::mutex::lock(&self.state)
    }
}

impl fmt::Debug for HeldLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease")
            .field("key", &self.key)
            .field("fence", &self.fence)
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}
