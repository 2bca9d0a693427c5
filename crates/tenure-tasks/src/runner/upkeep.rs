//! What a node does besides its tasks: it says that it is alive and what it can run, looks for
//! runs whose nodes died, takes waiting runs, expands backfills, and cleans up old records.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, Beat, Beaten, Claim, Enqueue, Moment, Note, Prune, Recovered,
    Recovery, Registered, RunKey, StoreError, Take, Timestamp,
};

use super::{Phase, Runner};
use crate::event::RunnerEvent;
use crate::hash::Hash;
use crate::stop::StopReason;
use crate::table::TaskId;

/// A wall clock that is wrong by more than this is worth a word.
const SKEW_MS: i64 = 250;

/// How many runs one call takes.
const TAKE: usize = 64;

/// How many moments are remembered at which a waiting run becomes due.
const MAX_LOOKS: usize = 1024;

const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// When to look for waiting runs.
#[derive(Debug)]
pub(super) struct Taking {
    next: Moment,
    looks: BTreeSet<Moment>,
    is_taking: bool,
    /// A request without an answer: to be sent again as it is.
    unanswered: Option<Take>,
}

impl Taking {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next: now,
            looks: BTreeSet::new(),
            is_taking: false,
            unanswered: None,
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
        (!self.is_taking).then_some(next)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.is_taking
    }
}

impl Runner {
    pub(super) fn beat_message(&self) -> Beat {
        let mut beat = Beat::new(self.node.clone(), self.options.node_ttl);
        beat.clock_ahead_ms = self.clock_ahead_ms();
        // No limit; but a node without tasks only watches, and is not waited for.
        beat.capacity = if self.table.len() == 0 { 0 } else { u32::MAX };
        beat.version.clone_from(&self.options.version);
        beat
    }

    fn clock_ahead_ms(&self) -> Option<i64> {
        let store = self.time.at(self.clock.now())?;
        Some(
            self.clock
                .wall()
                .as_millis()
                .saturating_sub(store.as_millis()),
        )
    }

    pub(super) fn beat_if_due(&mut self, now: Moment) {
        if !self.lease.is_beating && self.lease.next_beat <= now {
            self.lease.is_beating = true;
            let beat = self.beat_message();
            self.ops.spawn(self.calls.clone().beat(beat));
        }
    }

    pub(super) fn beaten(
        &mut self,
        asked_at: Moment,
        answered_at: Moment,
        answer: Result<Beaten, StoreError>,
    ) {
        let beaten = match answer {
            Ok(beaten) => beaten,
            Err(error) => {
                self.lease.is_beating = false;
                return self.trouble("beat", &error);
            }
        };
        let now = self.clock.now();
        let moment = beaten.moment;
        self.observe(asked_at, answered_at, moment.now);
        self.remember(0, moment.sequence, &moment.epoch);
        if let Some(after) = self.lease.beaten(asked_at, now, self.rng.f64()) {
            tracing::info!(?after, "the store answers again");
            self.events.tell(|| RunnerEvent::StoreRecovered {
                manager: self.name.clone(),
                after,
            });
        }
        if beaten.had_lapsed {
            self.lapsed();
        }
        self.peers.update(&beaten.alive, now);
        self.watch_skew();
        self.show();
        if matches!(self.phase, Phase::Live) {
            self.look_after_others(now);
        }
    }

    /// What is done after each beat that was answered.
    fn look_after_others(&mut self, now: Moment) {
        self.ops
            .spawn(self.calls.clone().recover(Recovery::new(self.node.id)));
        self.ops.spawn(self.calls.clone().backfills());
        if let Some(keep) = self.options.keep_history
            && self.next_prune <= now
            && let Some(store_now) = self.time.at(now)
        {
            self.next_prune = now + PRUNE_EVERY;
            // One node does it; if the views of who is alive differ, two do, which harms nobody.
            if self.peers.rank(Hash::new(6).text("prune").finish()) == 0 {
                self.ops
                    .spawn(self.calls.clone().prune(Prune::before(store_now - keep)));
            }
        }
        if let Some(store_now) = self.time.at(now) {
            self.look_at_paused(store_now);
        }
    }

    /// Ends trust when it is over, however late this is noticed.
    pub(super) fn watch_trust(&mut self, now: Moment) {
        if self.lease.is_live && !self.lease.is_trusted(now) {
            self.lease.is_live = false;
            tracing::error!("the node's lease can no longer be trusted");
            self.events.tell(|| RunnerEvent::LeaseLost {
                manager: self.name.clone(),
            });
            self.stop_all(StopReason::LeaseLost);
        }
    }

    /// The store took this node for dead: it must register again before it claims.
    pub(super) fn lapsed(&mut self) {
        if !self.lease.is_registered {
            return;
        }
        tracing::error!("the store had taken this node for dead; beginning again");
        self.events.tell(|| RunnerEvent::NodeLapsed {
            manager: self.name.clone(),
        });
        self.lease.is_registered = false;
        self.put_back();
        self.stop_all(StopReason::LeaseLost);
    }

    pub(super) fn register_if_needed(&mut self, now: Moment) {
        let lease = &mut self.lease;
        if lease.is_registered
            || lease.is_registering
            || lease.is_in_trouble()
            || !lease.is_trusted(now)
        {
            return;
        }
        lease.is_registering = true;
        let definitions = self.definitions();
        self.ops
            .spawn(self.calls.clone().register(self.node.id, definitions));
    }

    pub(super) fn registered(&mut self, answer: Result<Vec<Registered>, StoreError>) {
        self.lease.is_registering = false;
        match answer {
            Ok(all) => self.enter(&all),
            Err(error) => self.trouble("register", &error),
        }
    }

    /// Sets each task's cursor by what the store knows of it: ticks on record were dealt with, and
    /// those before the task was first known never were due.
    pub(super) fn enter(&mut self, all: &[Registered]) {
        self.lease.is_registered = true;
        let ids: Vec<(TaskId, bool)> = self
            .table
            .ids()
            .map(|(id, entry)| (id, entry.work.spec.concurrency() > 1))
            .collect();
        for ((id, has_indices), registered) in ids.into_iter().zip(all) {
            let mut known = registered.first_seen;
            if let Some(last) = registered.last_tick {
                // Of a tick with several indices, some may be left.
                let dealt_with = if has_indices {
                    last - Duration::from_millis(1)
                } else {
                    last
                };
                known = known.max(dealt_with);
            }
            let cursor = self.table.cursor(id).unwrap_or_default();
            self.table.enter(id, cursor.max(known));
        }
    }

    pub(super) fn recovered(&mut self, answer: Result<Recovered, StoreError>) {
        let recovered = match answer {
            Ok(recovered) => recovered,
            Err(error) => return self.trouble("recover", &error),
        };
        for node in recovered.nodes {
            tracing::warn!(%node, "a node's lease has ended");
            self.events.tell(|| RunnerEvent::NodeLost { node });
        }
        let limit = Recovery::new(self.node.id).limit;
        let is_full = recovered.runs.len() >= limit;
        for run in recovered.runs {
            let record = run.record;
            tracing::warn!(run = %record.key, attempt = run.lost_attempt, state = %record.state,
                "a run was lost with its node");
            self.events.tell(|| RunnerEvent::Lost {
                key: record.key,
                attempt: run.lost_attempt,
                node: record.node,
                had_started: run.had_started,
                state: record.state,
            });
        }
        self.take.look_now(self.clock.now());
        if is_full && matches!(self.phase, Phase::Live) {
            self.ops
                .spawn(self.calls.clone().recover(Recovery::new(self.node.id)));
        }
    }

    pub(super) fn take_if_due(&mut self, now: Moment) {
        let is_due = self.take.next().is_some_and(|next| next <= now);
        if !is_due || !matches!(self.phase, Phase::Live) || self.table.len() == 0 {
            return;
        }
        while self.take.looks.first().is_some_and(|look| *look <= now) {
            self.take.looks.pop_first();
        }
        self.take.next = now + self.options.take_every.mul_f64(0.9 + self.rng.f64() / 5.0);
        self.take.is_taking = true;
        let take = self.take.unanswered.take();
        let take = take.unwrap_or_else(|| Take::new(self.node.id, TAKE));
        self.ops.spawn(self.calls.clone().take(take));
    }

    pub(super) fn taken(&mut self, take: Take, answer: Result<Vec<Claim>, StoreError>) {
        self.take.is_taking = false;
        match answer {
            Ok(claims) => {
                if claims.len() >= take.limit {
                    self.take.look_now(self.clock.now());
                }
                for claim in claims {
                    self.won(claim, false);
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

    pub(super) fn backfills(&mut self, answer: Result<Vec<Backfill>, StoreError>) {
        let backfills = match answer {
            Ok(backfills) => backfills,
            Err(error) => return self.trouble("backfills", &error),
        };
        for backfill in backfills {
            if backfill.state == BackfillState::Running {
                self.expand(backfill);
            }
        }
    }

    /// How many runs of a backfill to put into the store now. Its rate is shared by chance among
    /// the nodes, since not all of them need know its task.
    fn backfill_share(&mut self, per_minute: u32) -> usize {
        let most = self.calls.max_batch;
        if per_minute == 0 {
            return most;
        }
        let per_beat = f64::from(per_minute) * self.options.beat_every.as_secs_f64() / 60.0;
        let nodes = u32::try_from(self.peers.count()).unwrap_or(u32::MAX);
        if self.rng.f64() >= per_beat.min(1.0) / f64::from(nodes) {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped between one and a thousand"
        )]
        let runs = per_beat.clamp(1.0, 1000.0) as usize;
        runs.min(most)
    }

    /// Puts the next few ticks of a backfill into the store.
    fn expand(&mut self, mut backfill: Backfill) {
        let Some(store_now) = self.time.at(self.clock.now()) else {
            return;
        };
        let Some(id) = self.table.id_of(&backfill.task) else {
            return;
        };
        let share = self.backfill_share(backfill.per_minute);
        let Some(spec) = self.table.spec(id).filter(|_| share > 0) else {
            return;
        };
        let indices = usize::try_from(spec.concurrency()).unwrap_or(usize::MAX);
        let count = (share / indices).max(1);
        let until = backfill.to.min(store_now);
        let ticks: Vec<Timestamp> = spec
            .schedule()
            .ticks_between(backfill.cursor.to_jiff(), until.to_jiff())
            .take(count)
            .map(Timestamp::from)
            .collect();
        let expected = backfill.cursor;
        let is_last = ticks.len() < count && until >= backfill.to;
        if ticks.is_empty() && !is_last {
            return;
        }
        let mut runs = Vec::new();
        for tick in &ticks {
            for index in 1..=spec.concurrency() {
                let id = backfill.id.clone();
                let key = RunKey::backfill(backfill.task.clone(), *tick, index, id);
                let mut run = Enqueue::new(
                    key,
                    format!("backfill by {}: {}", backfill.by, backfill.why),
                );
                run.overlap = spec.overlap();
                run.on_crash = spec.on_crash();
                run.only_missing = backfill.only_missing;
                runs.push(run);
            }
        }
        if is_last {
            backfill.cursor = backfill.to;
            backfill.state = BackfillState::Done;
        } else if let Some(last) = ticks.last() {
            backfill.cursor = *last;
        }
        self.ops
            .spawn(self.calls.clone().expand(runs, backfill, expected));
    }

    pub(super) fn pruned(&mut self, answer: Result<u64, StoreError>) {
        match answer {
            // There may be more: go on after the next beat.
            Ok(gone) if gone >= 1000 => self.next_prune = self.clock.now(),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old records were not deleted"),
        }
    }

    fn watch_skew(&mut self) {
        let Some(ahead_ms) = self.clock_ahead_ms() else {
            return;
        };
        let told = self.told_skew_ms;
        let is_news = ahead_ms.abs_diff(told.unwrap_or(0)) > SKEW_MS.unsigned_abs();
        if ahead_ms.abs() <= SKEW_MS {
            self.told_skew_ms = None;
        } else if is_news {
            self.told_skew_ms = Some(ahead_ms);
            tracing::warn!(ahead_ms, node = %self.node, "this machine's wall clock is wrong");
            let text = format!("the wall clock of {} is {ahead_ms} ms ahead", self.node);
            let note = Note::new("clock_skew", text).of_node(self.node.id);
            self.ops.spawn(self.calls.clone().note(note));
            self.events.tell(|| RunnerEvent::ClockSkew {
                node: self.node.clone(),
                ahead_ms,
            });
        }
    }
}
