//! What a node does for the cluster after each beat: it looks for runs whose nodes died, and at
//! backfills, and cleans up old records.

use std::time::Duration;

use tenure_core::{Moment, Prune, Recovered, Recovery, StoreError};

use super::{Phase, Runner};
use crate::event::RunnerEvent;
use crate::hash::Hash;

const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Runner {
    /// What is done after each beat that was answered.
    pub(super) fn look_after_others(&mut self, now: Moment) {
        self.ops
            .spawn(self.calls.clone().recover(Recovery::new(self.node.id)));
        self.look_at_cancels();
        self.backfilling.look_at(now);
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

    pub(super) fn pruned(&mut self, answer: Result<u64, StoreError>) {
        match answer {
            // There may be more: go on after the next beat.
            Ok(gone) if gone >= 1000 => self.next_prune = self.clock.now(),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old records were not deleted"),
        }
    }
}
