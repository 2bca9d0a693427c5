//! Looks for runs that wait in the store: retries, requested runs, backfills.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_core::{Claim, Moment, StoreError, Take, Token};

use super::runs::Won;
use super::{Phase, Runner};

/// How many runs one call takes.
const TAKE: usize = 64;

/// How many moments are remembered at which a waiting run becomes due.
const MAX_LOOKS: usize = 1024;

/// When to look for waiting runs.
#[derive(Debug)]
pub(super) struct Taking {
    next: Moment,
    looks: BTreeSet<Moment>,
    is_busy: bool,
    /// A request without an answer: to be sent again as it is.
    unanswered: Option<Take>,
    /// The request that was answered last: the runs it gave had waited in the store.
    answered: Option<Token>,
}

impl Taking {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next: now,
            looks: BTreeSet::new(),
            is_busy: false,
            unanswered: None,
            answered: None,
        }
    }

    /// Looks at `at`, when a run becomes due that this node knows of.
    pub(super) fn look_at(&mut self, at: Moment) {
        if self.looks.len() < MAX_LOOKS {
            self.looks.insert(at + Duration::from_millis(1));
        }
    }

    pub(super) fn look_now(&mut self, now: Moment) {
        self.next = self.next.min(now);
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let next = self
            .looks
            .first()
            .map_or(self.next, |look| self.next.min(*look));
        (!self.is_busy).then_some(next)
    }

    /// Whether a run was given by the request that was answered last.
    pub(super) fn gave(&self, token: Token) -> bool {
        self.answered == Some(token)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.is_busy
    }
}

impl Runner {
    pub(super) fn take_if_due(&mut self, now: Moment) {
        let is_due = self.take.next().is_some_and(|next| next <= now);
        if !is_due || !matches!(self.phase, Phase::Live) || self.table.len() == 0 {
            return;
        }
        while self.take.looks.first().is_some_and(|look| *look <= now) {
            self.take.looks.pop_first();
        }
        self.take.next = now + self.options.take_every.mul_f64(0.9 + self.rng.f64() / 5.0);
        let unanswered = self.take.unanswered.take();
        // Without room, the end of a run is what to wait for; it looks again.
        let Some(take) = unanswered.or_else(|| self.take_with_room(TAKE)) else {
            return;
        };
        self.take.is_busy = true;
        self.ops.spawn(self.calls.clone().take(take));
    }

    pub(super) fn taken(
        &mut self,
        take: Take,
        asked_at: Moment,
        answer: Result<Vec<Claim>, StoreError>,
    ) {
        self.take.is_busy = false;
        if !matches!(&answer, Err(error) if error.outcome_is_unknown()) {
            self.room.has_taken();
        }
        match answer {
            Ok(claims) => {
                self.take.answered = Some(take.token);
                if claims.len() >= take.limit {
                    self.take.look_now(self.clock.now());
                }
                for claim in claims {
                    let task = self.table.id_of(&claim.run.key.task);
                    let won = Won {
                        asked_at,
                        in_place_of_another: false,
                        start: take.start,
                    };
                    self.won(claim, task, &won);
                }
            }
            Err(error) => {
                if error.outcome_is_unknown() {
                    self.take.unanswered = Some(take);
                }
                self.trouble("take", &error);
            }
        }
    }
}
