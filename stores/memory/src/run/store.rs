//! The contract of runs, one step under the lock a method.

use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimAnswer, ClaimBatch, ClaimReply, Cursor,
    Definition, Durability, Enqueue, Enqueued, EventDetail, EventPage, Finish, Finished,
    HistoryPage, HistoryQuery, HolderId, Key, NodeRecord, Note, Pass, Pause, Prune, Recovered,
    Recovery, Registered, Restore, Restored, RunKey, RunKind, RunPromises, RunRecord, RunState,
    RunStore, Scope, Start, Started, StoreError, StoreMoment, Take, TaskName, TaskRecord,
    Timestamp, Token, Wakes,
};

use super::{Now, Run, Runs};
use crate::error::{batch_too_large, node_unknown, not_passed, not_requested};
use crate::{MemoryStore, locked};

const MAX_BATCH: usize = 1024;

fn checked(len: usize) -> Result<(), StoreError> {
    if len > MAX_BATCH {
        Err(batch_too_large(len, MAX_BATCH))
    } else {
        Ok(())
    }
}

fn check_pass(pass: &Pass) -> Result<(), StoreError> {
    match pass.state {
        RunState::Skipped | RunState::Missed => Ok(()),
        other => Err(not_passed(&pass.key, other)),
    }
}

fn check_order(order: &Enqueue) -> Result<(), StoreError> {
    match order.key.kind {
        RunKind::Scheduled => Err(not_requested(&order.key)),
        _ => Ok(()),
    }
}

impl MemoryStore {
    fn wake_runners(&self) {
        self.shared.runners.changed_everywhere();
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    fn promises(&self) -> RunPromises {
        let mut promises = RunPromises::new("memory", Scope::Process, Durability::Nothing);
        promises.max_batch = MAX_BATCH;
        promises.events = EventDetail::Every;
        promises.forgets = "everything, when the process ends";
        promises
    }

    fn listen(&self) -> Wakes {
        // Runners all listen for the same thing, so one name serves them.
        match Key::new("runs") {
            Ok(name) => self.shared.runners.listen(&name, Token::random()),
            Err(_) => Wakes::never(),
        }
    }

    async fn now(&self) -> Result<StoreMoment, StoreError> {
        Ok(locked(&self.shared.runs).moment(self.run_now()))
    }

    async fn beat(&self, beat: &Beat) -> Result<Beaten, StoreError> {
        Ok(locked(&self.shared.runs).beat(beat, self.run_now()))
    }

    async fn leave(&self, node: HolderId) -> Result<(), StoreError> {
        locked(&self.shared.runs).leave(node, self.run_now());
        self.wake_runners();
        Ok(())
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError> {
        checked(definitions.len())?;
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        if !runs.has_beaten(node) {
            return Err(node_unknown());
        }
        runs.registers(node);
        Ok(definitions
            .iter()
            .map(|definition| runs.register(node, definition, now))
            .collect())
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Result<(), StoreError> {
        checked(tasks.len())?;
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        for task in tasks {
            runs.withdraw(node, task, now);
        }
        Ok(())
    }

    async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        Ok(locked(&self.shared.runs).task_records(self.run_now()))
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        Ok(locked(&self.shared.runs).node_records())
    }

    async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
        checked(batch.items.len())?;
        let reply = {
            let mut runs = locked(&self.shared.runs);
            let now = self.run_now();
            runs.claim(batch, now)
        };
        // One may be asked to stop in favour of what waits, or what it waits for may be gone.
        if reply
            .answers
            .iter()
            .any(|answer| matches!(answer, ClaimAnswer::Waits(_)))
        {
            self.wake_runners();
        }
        Ok(reply)
    }

    async fn restore(&self, restore: &Restore) -> Result<Restored, StoreError> {
        checked(restore.runs.len())?;
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        if !runs.has_beaten(restore.node) {
            return Err(node_unknown());
        }
        let restored = runs.restore(restore, now);
        drop(runs);
        self.wake_runners();
        Ok(restored)
    }

    async fn take(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        Ok(runs.take(take, MAX_BATCH, now))
    }

    async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError> {
        checked(starts.len())?;
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        Ok(starts.iter().map(|start| runs.start(start, now)).collect())
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StoreError> {
        checked(finishes.len())?;
        let (answers, is_worth_a_look) = {
            let mut runs = locked(&self.shared.runs);
            let now = self.run_now();
            let answers = finishes
                .iter()
                .map(|finish| runs.finish(finish, now))
                .collect();
            // As fast as they come: what ends was claimed.
            runs.bring_in_order(2 * finishes.len());
            (answers, runs.has_due(now))
        };
        // What ended may have stood in the way of what waits.
        if is_worth_a_look {
            self.wake_runners();
        }
        Ok(answers)
    }

    async fn pass(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError> {
        checked(passes.len())?;
        passes.iter().try_for_each(check_pass)?;
        let mut runs = locked(&self.shared.runs);
        let now = self.run_now();
        Ok(passes.iter().map(|pass| runs.pass(pass, now)).collect())
    }

    async fn recover(&self, recovery: &Recovery) -> Result<Recovered, StoreError> {
        let recovered = {
            let mut runs = locked(&self.shared.runs);
            let now = self.run_now();
            runs.recover(recovery, now)
        };
        if !recovered.runs.is_empty() {
            self.wake_runners();
        }
        Ok(recovered)
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Result<Cancelling, StoreError> {
        let answer = {
            let mut runs = locked(&self.shared.runs);
            let now = self.run_now();
            runs.cancel(cancel, now)
        };
        self.wake_runners();
        Ok(answer)
    }

    async fn cancels(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError> {
        Ok(locked(&self.shared.runs).cancels(node))
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Result<(), StoreError> {
        locked(&self.shared.runs).pause(task, pause, self.run_now());
        self.wake_runners();
        Ok(())
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Result<bool, StoreError> {
        let resumed = locked(&self.shared.runs).resume(task, by, why, self.run_now());
        self.wake_runners();
        Ok(resumed)
    }

    async fn enqueue(&self, orders: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError> {
        checked(orders.len())?;
        orders.iter().try_for_each(check_order)?;
        let answers = {
            let mut runs = locked(&self.shared.runs);
            let now = self.run_now();
            orders
                .iter()
                .map(|order| runs.enqueue(order, now))
                .collect()
        };
        self.wake_runners();
        Ok(answers)
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let saved = locked(&self.shared.runs).save_backfill(backfill, expected_cursor);
        self.wake_runners();
        Ok(saved)
    }

    async fn backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        Ok(locked(&self.shared.runs).backfills())
    }

    async fn run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError> {
        Ok(locked(&self.shared.runs).get(key).map(Run::told))
    }

    async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        checked(keys.len())?;
        let runs = locked(&self.shared.runs);
        Ok(keys.iter().map(|key| runs.get(key).is_some()).collect())
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        locked(&self.shared.runs).history(query)
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Result<EventPage, StoreError> {
        locked(&self.shared.runs).events(after.as_ref(), limit)
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        locked(&self.shared.runs).note(self.run_now(), note.clone());
        Ok(())
    }

    async fn prune(&self, prune: &Prune) -> Result<u64, StoreError> {
        Ok(locked(&self.shared.runs).prune(prune, self.run_now()))
    }
}

/// What a test harness looks at and does.
impl Runs {
    pub(crate) fn lapse_node(&mut self, node: HolderId, now: Now) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.ends = now.steady;
            node.record.expires_at = now.wall;
        }
    }

    pub(crate) fn raw_run(&self, key: &RunKey) -> Option<(RunState, u32)> {
        self.get(key)
            .map(|run| (run.record.state, run.record.attempt))
    }

    pub(crate) fn raw_keeps_for(&self, key: &RunKey, now: Now) -> Option<Duration> {
        self.get(key).map(|run| run.keep_until.since(now.wall))
    }
}
