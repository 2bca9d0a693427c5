//! How a node is one of the cluster: it says that it is alive and what it can run, and learns who
//! else is, what time it is, and what the store remembers.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Beat, Beaten, Moment, Note, Seen, StoreError, Timestamp};

use super::calls::{Done, Standing, Standings};
use super::gaps::Recent;
use super::lease::Registration;
use super::{Phase, Runner};
use crate::causes::with_causes;
use crate::event::RunnerEvent;
use crate::spec::TaskSpec;
use crate::stop::StopReason;
use crate::table::TaskId;

/// A wall clock that is wrong by more than this is worth a word.
const SKEW_MS: i64 = 250;

impl Runner {
    /// Beats and registers for the first time, so that a store that cannot be used is found before
    /// anything starts.
    pub(crate) async fn join(&mut self) -> Result<(), StoreError> {
        if let Done::Beaten {
            asked_at,
            answered_at,
            answer,
        } = self.calls.clone().beat(self.beat_message()).await
        {
            let beaten = answer?;
            self.beaten(asked_at, answered_at, Ok(beaten));
        }
        let (specs, now) = (self.specs(), self.time.at(self.clock.now()));
        let known = self.calls.known_before(&specs, now).await?;
        let mut all = self.calls.register_all(self.node.id, &specs).await?;
        let definitions = known.iter().map(|record| &record.definition);
        all.recent.replaces(definitions.filter(|definition| {
            let id = self.table.id_of(&definition.task);
            let own = id.and_then(|id| self.table.spec(id));
            own.is_some_and(|own| own.generation() != &definition.generation)
        }));
        self.enter(&all);
        self.begin_anew(&known);
        self.show();
        Ok(())
    }

    pub(super) fn beat_message(&self) -> Beat {
        let mut beat = Beat::new(self.node.clone(), self.options.node_ttl);
        beat.clock_ahead_ms = self.clock_ahead_ms();
        // A node without tasks only watches, and is not waited for.
        beat.capacity = if self.table.len() == 0 {
            0
        } else {
            self.options.capacity
        };
        beat.version.clone_from(&self.options.version);
        beat.abilities = self.abilities.clone();
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
            self.memory.beats();
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
        self.compare(Seen::of(&moment, beaten.own), &moment.epoch);
        let had_trust = self.lease.is_trusted(now);
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
        // An earlier beat may have ended a lapse, and its answer, which would have told, was lost.
        // Or the store forgot this node, and takes it for one that just came.
        let me = beaten
            .alive
            .iter()
            .find(|node| node.node.id == self.node.id);
        let is_known = self.lease.is_known_since(me.map(|me| me.joined_at));
        if beaten.had_lapsed || !had_trust || !is_known {
            self.lease.register_again();
        }
        if self.peers.update(&beaten.alive, &self.abilities, now) {
            self.look_at_stale(now);
        }
        self.plan_look_at_end(&beaten.alive, moment.now, now);
        self.pulse.change().heard_at = Some(answered_at);
        self.watch_skew();
        self.show();
        if matches!(self.phase, Phase::Live) {
            self.look_after_others(now);
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
        self.lease.lapsed(self.clock.now());
        if self.lease.registration != Registration::Done {
            return;
        }
        tracing::error!("the store had taken this node for dead; beginning again");
        self.events.tell(|| RunnerEvent::NodeLapsed {
            manager: self.name.clone(),
        });
        self.lease.registration = Registration::Needed;
        self.put_back();
        self.stop_all(StopReason::LeaseLost);
    }

    pub(super) fn register_if_needed(&mut self, now: Moment) {
        let lease = &mut self.lease;
        if lease.registration != Registration::Needed
            || self.replacing.is_under_way()
            || lease.is_in_trouble()
            || !lease.is_trusted(now)
        {
            return;
        }
        lease.registration = Registration::UnderWay;
        let specs = self.specs();
        self.ops
            .spawn(self.calls.clone().register(self.node.id, specs));
    }

    pub(super) fn registered(&mut self, answer: Result<Standings, StoreError>) {
        match answer {
            Ok(all) => self.enter(&all),
            Err(error) => {
                self.lease.registration = Registration::Needed;
                self.trouble("register", &error);
            }
        }
    }

    /// Sets each task's cursor by what the store knows of it: ticks on record were dealt with, and
    /// those before the task was first known never were due. Ticks between others on record that
    /// have none themselves are dealt with again.
    pub(super) fn enter(&mut self, standings: &Standings) {
        if self.lease.registration != Registration::Doubtful {
            let sequence = standings.all.iter().map(|one| one.sequence).max();
            self.memory
                .answered(self.memory.era(), sequence.unwrap_or(0));
        }
        self.lease.registered();
        let ids: Vec<TaskId> = self.table.ids().map(|(id, _)| id).collect();
        for (id, registered) in ids.into_iter().zip(standings.all.iter()) {
            self.enter_one(id, registered, &standings.recent);
        }
    }

    /// The same for one task.
    pub(super) fn enter_one(&mut self, id: TaskId, registered: &Standing, recent: &Recent) {
        let Some(spec) = self.table.spec(id) else {
            return;
        };
        let cursor = self.table.cursor(id).unwrap_or_default();
        // Whoever has a cursor knew the task before the store did, if it forgot the task.
        let mut known = match cursor {
            Timestamp::EPOCH => registered.first_seen,
            cursor => cursor,
        };
        if let Some(last) = registered.last_tick {
            let own = (cursor != Timestamp::EPOCH).then_some(cursor);
            let gap = recent.first_gap(spec, last, own);
            // Of a tick with several indices, some may be left.
            let dealt_with = if spec.concurrency() > 1 {
                last - Duration::from_millis(1)
            } else {
                last
            };
            let before_gap = gap.map(|gap| gap - Duration::from_millis(1));
            let dealt_with = before_gap.map_or(dealt_with, |gap| gap.min(dealt_with));
            known = known.max(dealt_with);
        }
        self.table.enter(id, cursor.max(known));
        self.follow_if_chain(id);
        let store_now = self.time.at(self.clock.now());
        if let (Some(pause), Some(now)) = (&registered.pause, store_now)
            && pause.holds_at(now)
        {
            self.paused_by(id, pause.by.clone(), pause.why.clone(), now);
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

    /// The store failed at something.
    pub(super) fn trouble(&mut self, call: &'static str, error: &StoreError) {
        let now = self.clock.now();
        let is_news = self.lease.failed(now, self.rng.f64());
        let text = with_causes(error);
        if is_news {
            tracing::warn!(call, error = text, "the store failed");
            self.events.tell(|| RunnerEvent::StoreTrouble {
                manager: self.name.clone(),
                call,
                error: text.clone(),
            });
        } else {
            tracing::debug!(call, error = text, "the store failed again");
        }
        self.pulse.change().trouble = Some(text);
        if is_news {
            self.put_back();
        }
    }

    /// Learns the store's clock from an answer.
    pub(super) fn observe(&mut self, asked_at: Moment, answered_at: Moment, now: Timestamp) {
        if let Some(by_ms) = self.time.observe(asked_at, answered_at, now) {
            tracing::warn!(by_ms, "the store's clock was set");
            self.events
                .tell(|| RunnerEvent::StoreClockStepped { by_ms });
        }
    }

    fn specs(&self) -> Vec<Arc<TaskSpec>> {
        let specs = self.table.ids().map(|(_, entry)| entry.work.spec.clone());
        specs.collect()
    }
}
