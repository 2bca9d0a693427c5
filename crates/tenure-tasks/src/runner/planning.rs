//! From due tasks to planned claims: which ticks, whose share each run is, and when this node asks.
//!
//! What this node owns is queued at once. What others own is looked at after a grace: soon by the
//! few nodes that are first in the order of the tick, later by all, so that many nodes do not all
//! read what nothing is missing of. Very small clusters skip this and claim at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Moment, Overlap, Timestamp};

use super::Runner;
use super::claiming::Wanted;
use super::crews::Crew;
use super::peers::Turn;
use super::shares::Place;
use crate::event::RunnerEvent;
use crate::hash;
use crate::policy::Affinity;
use crate::spec::TaskSpec;
use crate::table::{Evaluation, TaskId};

/// How many nodes look soon for what is left of a tick.
const SWEEPERS: usize = 3;

/// How much later each further node of those looks.
const RANK_STEP: Duration = Duration::from_millis(50);

/// The longest that is waited because the store is slow.
const MOST_GRACE: Duration = Duration::from_secs(1);

/// When all the others look, in case those that should have looked are gone too.
const LATE_SWEEP: Duration = Duration::from_secs(5);

/// So few nodes claim so few runs at once: what that costs the store is less than a grace costs
/// whoever waits for a dead node's run.
const SMALL_CLUSTER: usize = 2;
const FEW_RUNS: usize = 4;

/// A run that is due, before it is known whose it is.
#[derive(Debug)]
struct Planned {
    task: TaskId,
    tick: Timestamp,
    before: Timestamp,
    place: Place,
    /// The ticks that must run one after another, if there are several.
    chain: Option<Arc<[Timestamp]>>,
    /// It is the only run of its tick.
    is_only: bool,
}

/// Whether so many ticks of a task that are due together may be claimed together and none is lost:
/// otherwise each is claimed when the one before it is over.
fn may_be_claimed_together(spec: &TaskSpec, ticks: usize) -> bool {
    match spec.overlap() {
        Overlap::Allow => spec.limit().is_none(),
        Overlap::QueueAll { max } => usize::try_from(max).is_ok_and(|max| ticks <= max),
        _ => false,
    }
}

impl Runner {
    /// Plans the claims of the tasks that are due. Of very many that need not be shared with other
    /// nodes, some now and the others next time, so that the first are on their way meanwhile.
    pub(super) fn evaluate_due(&mut self, now: Moment) {
        let Some(store_now) = self.time.at(now) else {
            return;
        };
        let most = if self.peers.is_alone() {
            self.calls.max_batch
        } else {
            usize::MAX
        };
        let horizon = self.horizon(store_now, now);
        let is_ahead = horizon > store_now;
        let mut by_tick: BTreeMap<Timestamp, Vec<Planned>> = BTreeMap::new();
        let mut count = 0;
        while count < most
            && let Some(id) = self.table.pop(horizon)
        {
            count += 1;
            if is_ahead && self.lead.leaves(id) {
                let cursor = self.table.cursor(id).unwrap_or_default();
                self.table
                    .reopen(id, cursor, horizon + Duration::from_millis(1));
            } else if let Some(evaluation) = self.table.evaluate(id, horizon) {
                self.plan(id, evaluation, store_now, &mut by_tick);
            }
        }
        self.has_more = count == most;
        self.look_ahead();
        for (tick, planned) in by_tick {
            if self.peers.is_alone() {
                self.keep(planned);
            } else {
                self.deal(tick, planned, now);
            }
        }
    }

    fn plan(
        &mut self,
        id: TaskId,
        evaluation: Evaluation,
        store_now: Timestamp,
        by_tick: &mut BTreeMap<Timestamp, Vec<Planned>>,
    ) {
        let Evaluation { due, before, next } = evaluation;
        if due.seen.is_none() {
            return;
        }
        let due = if self.stale.is_empty() {
            due
        } else {
            self.leave_to_others(id, due, before, store_now)
        };
        let Some(work) = self.table.work(id) else {
            return;
        };
        let spec = &work.spec;
        for tick in &due.run {
            self.events.tell(|| RunnerEvent::Due {
                task: spec.name().clone(),
                tick: *tick,
            });
        }
        let must_not_overlap = due.run.len() > 1 && !may_be_claimed_together(spec, due.run.len());
        // Ticks that follow each other in a chain are one thing to own.
        let apart = if must_not_overlap { 1 } else { due.run.len() };
        let chain = must_not_overlap.then(|| due.run.as_slice().into());
        let is_sticky = spec.affinity() == Affinity::Sticky;
        for tick in due.run.iter().take(apart) {
            let key = if self.peers.is_alone() {
                0
            } else if is_sticky {
                hash::of_task(spec.name())
            } else {
                hash::of_tick(spec.name(), *tick)
            };
            let planned = (1..=spec.concurrency()).map(|index| Planned {
                task: id,
                tick: *tick,
                before,
                place: Place {
                    key,
                    index,
                    is_sticky,
                },
                chain: chain.clone(),
                is_only: spec.concurrency() == 1,
            });
            by_tick.entry(*tick).or_default().extend(planned);
        }
        self.events.tell(|| RunnerEvent::Next {
            task: spec.name().clone(),
            tick: next,
        });
        match self.paused.get_mut(&id) {
            // Whether these are missed is only known when the task runs again.
            Some(paused) => {
                let missed = due.missed.found_after(before, paused.missed.take());
                paused.missed = Some(missed);
            }
            None if due.missed.is_empty() => {}
            None => self.give_up(id, &due.missed, None),
        }
    }

    /// Queues everything: there is nobody to share it with.
    fn keep(&mut self, planned: Vec<Planned>) {
        let turn = self.peers.mine();
        for planned in planned {
            let wanted = self.wanted(planned, turn);
            self.claims.queue.extend(wanted);
        }
    }

    /// Shares the runs of a tick, those of each task among the nodes that can run it.
    fn deal(&mut self, tick: Timestamp, planned: Vec<Planned>, now: Moment) {
        let mut by_crew: BTreeMap<Crew, Vec<Planned>> = BTreeMap::new();
        for planned in planned {
            let crew = self.crew_of(planned.task);
            by_crew.entry(crew).or_default().push(planned);
        }
        for (crew, planned) in by_crew {
            self.deal_to(crew, tick, planned, now);
        }
    }

    fn crew_of(&mut self, id: TaskId) -> Crew {
        let spec = self.table.spec(id);
        spec.map_or(Crew::ALL, |spec| {
            self.peers.crews().who_can(|| spec.ability())
        })
    }

    /// Queues what this node is to claim now, and the rest for when others had their chance.
    fn deal_to(&mut self, crew: Crew, tick: Timestamp, planned: Vec<Planned>, now: Moment) {
        let places: Vec<Place> = planned.iter().map(|planned| planned.place).collect();
        let is_small = self.peers.count_in(crew) <= SMALL_CLUSTER
            && planned.len() <= FEW_RUNS
            && planned.iter().all(|planned| planned.is_only);
        let owners = self.peers.owners(crew, &places);
        let (mut soon, mut later) = (Vec::new(), Vec::new());
        let rank = self.rank_of(crew, tick);
        for (planned, owner) in planned.into_iter().zip(owners) {
            let turn = self
                .peers
                .turn((crew, planned.task), planned.place, owner, now);
            let is_mine = turn.first == self.node.id;
            // At once, but not in blame of whoever asks a moment later.
            let turn = if is_small && !is_mine {
                Turn {
                    first: self.node.id,
                    owner: None,
                }
            } else {
                turn
            };
            let looks_soon = rank < SWEEPERS || self.peers.is_known_nowhere(planned.task);
            let Some(wanted) = self.wanted(planned, turn) else {
                continue;
            };
            if is_mine || is_small {
                self.claims.queue.push_back(wanted);
            } else if looks_soon {
                soon.push(wanted);
            } else {
                later.push(wanted);
            }
        }
        let step = RANK_STEP * u32::try_from(rank).unwrap_or(0).min(10);
        self.claims.look_later(now + self.grace() + step, soon);
        self.claims.look_later(now + LATE_SWEEP + step, later);
    }

    /// How long after a tick the others have had their chance: where the store is slow, as long as
    /// three of its round trips, so that what they asked for in time is not asked for again.
    fn grace(&self) -> Duration {
        let slow = (self.time.longest_trip() * 3).min(MOST_GRACE);
        self.options.sweep_after.max(slow)
    }

    fn rank_of(&self, crew: Crew, tick: Timestamp) -> usize {
        let key = hash::Hash::new(5).number(tick.as_millis().cast_unsigned());
        self.peers.rank_in(crew, key.finish())
    }

    fn wanted(&mut self, planned: Planned, turn: Turn) -> Option<Wanted> {
        let index = planned.place.index;
        if let Some(ticks) = planned.chain {
            return self.chain((planned.task, index), &ticks, turn, planned.before);
        }
        let token = self.token_for(planned.task, planned.tick, index);
        Some(Wanted {
            task: planned.task,
            tick: planned.tick,
            index,
            token,
            turn,
            before: planned.before,
        })
    }
}
