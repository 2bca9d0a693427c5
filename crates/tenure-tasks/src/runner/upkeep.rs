//! What a node does for the cluster after each beat: it looks for runs whose nodes died, expands
//! backfills, and cleans up old records.

use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, Enqueue, Moment, Prune, Recovered, Recovery, RunKey, StoreError,
    Timestamp,
};

use super::{Phase, Runner};
use crate::event::RunnerEvent;
use crate::hash::Hash;

const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Runner {
    /// What is done after each beat that was answered.
    pub(super) fn look_after_others(&mut self, now: Moment) {
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
}
