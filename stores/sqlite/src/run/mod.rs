//! The run half of the contract: each method is one step in the file.

mod attempt;
mod cancel;
mod claim;
mod control;
mod definition;
mod find;
mod history;
mod loss;
mod node;
mod note;
mod prune;
mod recover;
mod request;
mod row;
mod take;
mod usual;

use async_trait::async_trait;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimBatch, ClaimReply, Cursor, Definition,
    Enqueue, Enqueued, EventPage, Finish, Finished, HistoryPage, HistoryQuery, HolderId,
    NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery, Registered, Restore, Restored,
    RunKey, RunPromises, RunRecord, RunStore, Start, Started, StoreError, StoreErrorKind,
    StoreMoment, Take, TaskName, TaskRecord, Timestamp, Wakes,
};

pub(crate) use self::note::add_note;
use crate::queue::Unwanted;
use crate::store::SqliteStore;

/// The most items of one batch: what a transaction does in a few milliseconds.
pub(crate) const MAX_BATCH: usize = 256;

fn check_size(items: usize) -> Result<(), StoreError> {
    if items <= MAX_BATCH {
        return Ok(());
    }
    let message = format!("a batch may hold {MAX_BATCH} items, this one has {items}; split it");
    Err(StoreError::new(StoreErrorKind::InvalidRequest, message))
}

#[async_trait]
impl RunStore for SqliteStore {
    fn promises(&self) -> RunPromises {
        self.run_promises()
    }

    fn namespace(&self) -> &str {
        self.namespace_name()
    }

    fn listen(&self) -> Wakes {
        self.listen_for_runs()
    }

    async fn now(&self) -> Result<StoreMoment, StoreError> {
        self.read(|step| node::moment(step)).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Beaten, StoreError> {
        let beat = beat.clone();
        self.write(Unwanted::Do, move |step| node::beat(step, &beat))
            .await
    }

    async fn leave(&self, node: HolderId) -> Result<(), StoreError> {
        self.write(Unwanted::Do, move |step| node::leave(step, node))
            .await
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError> {
        // A hundred thousand definitions in one transaction would hold up every lease.
        let mut registered = Vec::with_capacity(definitions.len());
        for part in definitions.chunks(MAX_BATCH) {
            let part = part.to_vec();
            registered.extend(
                self.write(Unwanted::Drop, move |step| {
                    node::register(step, node, &part)
                })
                .await?,
            );
        }
        Ok(registered)
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Result<(), StoreError> {
        check_size(tasks.len())?;
        let tasks = tasks.to_vec();
        self.write(Unwanted::Do, move |step| node::withdraw(step, node, &tasks))
            .await
    }

    async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.read(|step| node::tasks(step)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.read(|step| node::nodes(step)).await
    }

    async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
        check_size(batch.items.len())?;
        let batch = batch.clone();
        self.write(Unwanted::Drop, move |step| claim::claim(step, &batch))
            .await
    }

    async fn restore(&self, restore: &Restore) -> Result<Restored, StoreError> {
        check_size(restore.runs.len())?;
        let restore = restore.clone();
        self.write(Unwanted::Do, move |step| loss::restore(step, &restore))
            .await
    }

    async fn take(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        let take = take.clone();
        let wanted = take.clone();
        if !self
            .read(move |step| take::is_worth_it(step, &wanted))
            .await?
        {
            return Ok(Vec::new());
        }
        self.write(Unwanted::Drop, move |step| take::take(step, &take))
            .await
    }

    async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError> {
        check_size(starts.len())?;
        let starts = starts.to_vec();
        self.write(Unwanted::Drop, move |step| {
            attempt::start_all(step, &starts)
        })
        .await
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StoreError> {
        check_size(finishes.len())?;
        let finishes = finishes.to_vec();
        self.write(Unwanted::Do, move |step| {
            attempt::finish_all(step, &finishes)
        })
        .await
    }

    async fn pass(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError> {
        check_size(passes.len())?;
        let passes = passes.to_vec();
        self.write(Unwanted::Do, move |step| {
            passes.iter().try_for_each(request::check_pass)?;
            passes
                .iter()
                .map(|pass| request::pass(step, pass))
                .collect()
        })
        .await
    }

    async fn recover(&self, recovery: &Recovery) -> Result<Recovered, StoreError> {
        let recovery = recovery.clone();
        let wanted = recovery.clone();
        let (worth_it, now) = self
            .read(move |step| Ok((recover::is_worth_it(step, &wanted)?, step.wall)))
            .await?;
        if !worth_it {
            return Ok(Recovered::new(now, Vec::new(), Vec::new()));
        }
        self.write(Unwanted::Drop, move |step| {
            recover::recover(step, &recovery)
        })
        .await
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Result<Cancelling, StoreError> {
        let cancel = cancel.clone();
        self.write(Unwanted::Do, move |step| cancel::cancel(step, &cancel))
            .await
    }

    async fn cancels(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError> {
        self.read(move |step| cancel::cancels(step, node)).await
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Result<(), StoreError> {
        let (task, pause) = (task.clone(), pause.clone());
        self.write(Unwanted::Do, move |step| {
            control::pause(step, &task, &pause)
        })
        .await
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Result<bool, StoreError> {
        let (task, by, why) = (task.clone(), by.to_owned(), why.to_owned());
        self.write(Unwanted::Do, move |step| {
            control::resume(step, &task, &by, &why)
        })
        .await
    }

    async fn enqueue(&self, runs: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError> {
        check_size(runs.len())?;
        let runs = runs.to_vec();
        self.write(Unwanted::Drop, move |step| {
            runs.iter().try_for_each(request::check_enqueue)?;
            let answers = runs.iter().map(|run| request::enqueue(step, run));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            if answers.contains(&Enqueued::Waiting) {
                step.hint()?;
            }
            Ok(answers)
        })
        .await
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let backfill = backfill.clone();
        self.write(Unwanted::Drop, move |step| {
            control::save_backfill(step, &backfill, expected_cursor)
        })
        .await
    }

    async fn backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.read(|step| control::backfills(step)).await
    }

    async fn run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError> {
        let key = key.clone();
        self.read(move |step| history::run(step, &key)).await
    }

    async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        check_size(keys.len())?;
        let keys = keys.to_vec();
        self.read(move |step| history::known(step, &keys)).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        let query = query.clone();
        self.read(move |step| history::history(step, &query)).await
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Result<EventPage, StoreError> {
        self.read(move |step| history::events(step, after.as_ref(), limit))
            .await
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        let note = note.clone();
        self.write(Unwanted::Do, move |step| add_note(step, &note))
            .await
    }

    async fn prune(&self, prune: &Prune) -> Result<u64, StoreError> {
        let (wanted, prune) = (prune.clone(), prune.clone());
        let candidates = self
            .read(move |step| prune::candidates(step, &wanted))
            .await?;
        self.write(Unwanted::Drop, move |step| {
            prune::delete(step, &prune, &candidates)
        })
        .await
    }
}
