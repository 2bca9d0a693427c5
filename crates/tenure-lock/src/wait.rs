//! Waiting for one's turn: ask, listen, ask again, and stop in time.
//!
//! Who is next is the store's decision. A wake-up says when to look; where none comes, a timer
//! does, so that a lost message costs time and nothing else. Every failure that may pass is tried
//! again within the limit of the wait.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Held, Moment, Occupant, StoreError, Waiting};

use crate::attempt::{Answer, Attempt, GrantSource, KEEP_PLACE, Plan, Roused, TooLate};
use crate::lease::Granted;
use crate::locks::Inner;
use crate::timing::{Backoff, shortened, sleep_until, up_to};
use crate::{AcquireError, Guard};

/// How long one request to the store may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How often a place in the queue is confirmed, and the clocks are compared.
const REFRESH: Duration = Duration::from_secs(5);
/// The shortest pause between two requests, whatever a store advises.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
/// The most that is added to a store's advice on when to ask again.
const MOST_JITTER: Duration = Duration::from_millis(15);
/// The same for the first in line, whom nobody stands beside: only those of other keys.
const FIRST_JITTER: Duration = Duration::from_micros(200);
/// The most of a wait that is kept for giving up the place.
const MOST_GRACE: Duration = Duration::from_millis(50);

/// Asks exactly once. `None` if somebody else has the key.
pub(crate) async fn try_once(
    inner: &Arc<Inner>,
    plan: &Plan,
) -> Result<Result<Guard, Held>, AcquireError> {
    let home = inner.home.handle()?;
    let mut attempt = Attempt::begin(inner, plan, &home);
    let began = inner.clock.now();
    match attempt.ask(Waiting::No, began, CALL_LIMIT).await {
        Ok(Answer::Held(held)) => Ok(Err(held)),
        Err(source) => Err(AcquireError::Store {
            key: plan.key.clone(),
            source,
        }),
        Ok(Answer::Granted(granted)) => match attempt.accept(granted, GrantSource::Reply) {
            Ok(guard) => Ok(Ok(guard)),
            Err(late) => {
                late.attempt.give_up(began + CALL_LIMIT).await;
                Err(too_late(plan, late.validity))
            }
        },
    }
}

/// Waits for the lock until `plan` says to stop.
pub(crate) async fn wait_for_turn(inner: &Arc<Inner>, plan: &Plan) -> Result<Guard, AcquireError> {
    let patience = Patience::new(inner.clock.now(), plan.terms.max_wait);
    if plan.terms.max_wait.is_some_and(|wait| wait.is_zero()) {
        return match try_once(inner, plan).await? {
            Ok(guard) => Ok(guard),
            Err(held) => Err(patience.timed_out(inner, plan, Last::of(held))),
        };
    }
    let home = inner.home.handle()?;
    let mut turn = Turn {
        inner,
        plan,
        patience,
        trouble: Backoff::for_store(),
        lateness: Backoff::for_store(),
        asked_at: patience.began,
        said: None,
    };
    let mut attempt = Attempt::begin(inner, plan, &home);
    loop {
        let step = match turn.ask(attempt).await? {
            Step::Pause(waiting) => turn.pause(waiting).await?,
            step => step,
        };
        attempt = match step {
            Step::Done(guard) => return Ok(guard),
            Step::Again(attempt) | Step::Pause(Paused { attempt, .. }) => attempt,
            // A new token: the old one has just been given back.
            Step::Anew => Attempt::begin(inner, plan, &home),
        };
        turn.asked_at = inner.clock.now();
    }
}

/// The state of one wait apart from its attempt.
struct Turn<'a> {
    inner: &'a Arc<Inner>,
    plan: &'a Plan,
    patience: Patience,
    trouble: Backoff,
    lateness: Backoff,
    /// Read before the latest request.
    asked_at: Moment,
    /// What was wrong at the request before, if anything was.
    said: Option<StoreError>,
}

/// What comes next in a wait.
enum Step {
    Done(Guard),
    Pause(Paused),
    Again(Attempt),
    Anew,
}

/// A pause to be made: until when, and what is known when it is the last one.
struct Paused {
    attempt: Attempt,
    until: Moment,
    /// Nobody stands before it: when it asks, the lease of the holder ends.
    is_first: bool,
    last: Last,
}

/// The last thing learnt, which is what a wait that runs out reports.
enum Last {
    Held(Occupant, Option<Duration>),
    Failed(StoreError),
}

impl Last {
    fn of(held: Held) -> Self {
        Self::Held(held.by, held.remaining)
    }
}

impl Turn<'_> {
    async fn ask(&mut self, mut attempt: Attempt) -> Result<Step, AcquireError> {
        let waiting = Waiting::InLine { keep: KEEP_PLACE };
        let limit = self.patience.left(self.asked_at).min(CALL_LIMIT);
        match attempt.ask(waiting, self.asked_at, limit).await {
            Ok(Answer::Granted(granted)) => {
                self.inner.met(None);
                self.accept(attempt, granted, GrantSource::Reply).await
            }
            Ok(Answer::Held(held)) => {
                self.trouble = Backoff::for_store();
                self.inner.met(None);
                Ok(Step::Pause(Paused {
                    attempt,
                    until: self.inner.clock.now() + until_next_ask(&held),
                    is_first: held.place.is_some_and(|place| place.position == 1),
                    last: Last::of(held),
                }))
            }
            Err(error) if error.is_retryable() => {
                let pause = self.trouble.pause();
                self.inner.met(Some(&error));
                let error = self.more_telling(error);
                tracing::debug!(key = %self.plan.key, %error, ?pause, "asking again");
                Ok(Step::Pause(Paused {
                    attempt,
                    until: self.inner.clock.now() + pause,
                    is_first: false,
                    last: Last::Failed(error),
                }))
            }
            Err(source) => Err(AcquireError::Store {
                key: self.plan.key.clone(),
                source,
            }),
        }
    }

    /// That the wait ended before there was an answer says less than what was wrong before.
    fn more_telling(&mut self, error: StoreError) -> StoreError {
        let is_over = self.patience.left(self.inner.clock.now()).is_zero();
        match self.said.take() {
            Some(said) if is_over && error.outcome_is_unknown() => said.with_unknown_outcome(),
            _ => error,
        }
    }

    async fn pause(&mut self, paused: Paused) -> Result<Step, AcquireError> {
        let Paused {
            mut attempt,
            until,
            is_first,
            last,
        } = paused;
        let until = self
            .patience
            .last_call
            .map_or(until, |call| until.min(call));
        let granted = match attempt.pause(until, is_first).await {
            Roused::Granted(granted) => Some(granted),
            Roused::Ask => None,
        };
        if let Some(granted) = granted {
            return self.accept(attempt, granted, GrantSource::Push).await;
        }
        let now = self.inner.clock.now();
        if self.patience.last_call.is_some_and(|call| now >= call) {
            let end = self.patience.end.unwrap_or(now);
            attempt.give_up(end).await;
            return Err(self.patience.timed_out(self.inner, self.plan, last));
        }
        self.said = match last {
            Last::Held(..) => None,
            Last::Failed(error) => Some(error),
        };
        // A store that wakes without end is not asked without end.
        sleep_until(&*self.inner.clock, self.asked_at + LEAST_PAUSE).await;
        Ok(Step::Again(attempt))
    }

    /// Takes a grant, or gives it back if it came too late and goes on waiting.
    async fn accept(
        &mut self,
        attempt: Attempt,
        granted: Granted,
        source: GrantSource,
    ) -> Result<Step, AcquireError> {
        let late = match attempt.accept(granted, source) {
            Ok(guard) => return Ok(Step::Done(guard)),
            Err(late) => late,
        };
        let TooLate { attempt, validity } = *late;
        tracing::warn!(
            key = %self.plan.key, ?validity,
            "granted too late to be of use, given back: the store is slow for this ttl"
        );
        let now = self.inner.clock.now();
        let end = self.patience.end.unwrap_or(now + CALL_LIMIT);
        attempt.give_up(end.min(now + CALL_LIMIT)).await;
        let next = self.inner.clock.now() + self.lateness.pause();
        let is_last = self.patience.last_call.is_some_and(|call| next >= call);
        if is_last {
            return Err(too_late(self.plan, validity));
        }
        sleep_until(&*self.inner.clock, next).await;
        Ok(Step::Anew)
    }
}

/// How long a wait goes on.
#[derive(Debug, Clone, Copy)]
struct Patience {
    began: Moment,
    /// When it ends. `None` if it does not.
    end: Option<Moment>,
    /// When waiting stops, so that the place is given back before the end.
    last_call: Option<Moment>,
}

impl Patience {
    fn new(began: Moment, max_wait: Option<Duration>) -> Self {
        let end = max_wait.map(|wait| began + wait);
        let grace = max_wait.map(|wait| (wait / 20).min(MOST_GRACE));
        Self {
            began,
            end,
            last_call: end.zip(grace).map(|(end, grace)| end - grace),
        }
    }

    fn left(&self, now: Moment) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.since(now))
    }

    fn timed_out(&self, inner: &Inner, plan: &Plan, last: Last) -> AcquireError {
        let key = plan.key.clone();
        match last {
            Last::Held(occupant, remaining) => AcquireError::TimedOut {
                key,
                occupant: Box::new(occupant),
                remaining,
                waited: inner.clock.now().since(self.began),
            },
            Last::Failed(source) => AcquireError::Store { key, source },
        }
    }
}

fn too_late(plan: &Plan, validity: Duration) -> AcquireError {
    AcquireError::TooLate {
        key: plan.key.clone(),
        validity,
        min_validity: plan.terms.min_validity,
        ttl: plan.terms.ttl().get(),
    }
}

/// What the store advises and a little more, so that waiters do not all come at once; often enough
/// to keep the place.
fn until_next_ask(held: &Held) -> Duration {
    let advised = held.ask_again_after.max(LEAST_PAUSE);
    let most = match held.place {
        Some(place) if place.position == 1 => FIRST_JITTER,
        _ => MOST_JITTER,
    };
    let jitter = up_to((advised / 10).min(most));
    advised.saturating_add(jitter).min(shortened(REFRESH))
}

#[cfg(test)]
mod tests {
    use tenure_core::{Occupant, Timestamp};

    use super::*;

    #[test]
    fn r22_r24_r28_waiters_ask_after_the_advice_and_often_enough_to_keep_their_place() {
        let ms = Duration::from_millis;
        for (advised, least, most) in [
            (ms(0), ms(1), ms(2)),
            (ms(50), ms(50), ms(55)),
            (ms(2_000), ms(2_000), ms(2_015)),
            (ms(3_600_000), ms(4_000), ms(5_000)),
            (Duration::MAX, ms(4_000), ms(5_000)),
        ] {
            let by = Occupant::Foreign {
                what: "a hash".to_owned(),
            };
            let held = Held::new(Timestamp::EPOCH, by, None).ask_again_after(advised);
            let pauses: Vec<_> = (0..100).map(|_| until_next_ask(&held)).collect();
            assert!(
                pauses.iter().all(|pause| (least..=most).contains(pause)),
                "{pauses:?}"
            );
            assert!(pauses.windows(2).any(|two| two[0] != two[1]), "{advised:?}");
        }
    }
}
