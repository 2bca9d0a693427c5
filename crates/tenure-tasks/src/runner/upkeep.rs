//! What a node does for the cluster after each beat: it looks for runs whose nodes died, at
//! backfills, and at old records.

use std::time::Duration;

use tenure_core::{Moment, NodeRecord, Recovered, Recovery, StoreError, Timestamp};

use super::{Phase, Runner};
use crate::event::RunnerEvent;

/// Stores count the last millisecond of a lease as still inside it.
const PAST_THE_END: Duration = Duration::from_millis(2);

impl Runner {
    /// Plans a look at the moment at which the first lease ends of those that the last beat told
    /// of. A node that lives has beaten again by this node's next beat, so its lease never ends
    /// before; one that died is noticed at its end, and not at the next beat after it.
    pub(super) fn plan_look_at_end(
        &mut self,
        nodes: &[NodeRecord],
        store_now: Timestamp,
        now: Moment,
    ) {
        let others = nodes.iter().filter(|node| node.node.id != self.node.id);
        let first = others.map(|node| node.expires_at).min();
        let at = first.map(|end| now + end.since(store_now) + PAST_THE_END);
        self.next_end = at.filter(|at| *at < self.lease.next_beat);
    }

    pub(super) fn look_at_end(&mut self, now: Moment) {
        if self.next_end.take_if(|at| *at <= now).is_some() {
            self.ops
                .spawn(self.calls.clone().recover(Recovery::new(self.node.id)));
        }
    }

    /// What is done after each beat that was answered.
    pub(super) fn look_after_others(&mut self, now: Moment) {
        self.ops
            .spawn(self.calls.clone().recover(Recovery::new(self.node.id)));
        self.look_at_cancels();
        self.backfilling.look_at(now);
        self.prune_if_due(now);
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
            if record.state.is_final() {
                let ended_at = record.ended_at.unwrap_or(record.created_at);
                self.follow_run(&record.key, record.state, ended_at);
            }
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
}
