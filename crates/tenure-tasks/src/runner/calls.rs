//! The runner's calls of its store: each with a limit on its time, each with its answer as a value
//! that comes back to the runner's loop.
//!
//! A call that takes too long is dropped, which is the same as a lost reply: whether the step
//! happened is unknown.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Claim, ClaimReply, Clock, Finish, Finished, HistoryQuery,
    HolderId, Moment, Note, Pause, Recovered, Recovery, Registered, Remembered, RequestId, Restore,
    Restored, RunKey, RunStore, Start, Started, StoreError, StoreErrorKind, Take, TaskRecord,
    Timestamp,
};
use tokio::time::timeout;

use super::claiming::{Flight, Wanted};
use super::expansion::Next;
use super::gaps::{LOOK_BACK, Recent};
use super::pruning::Pruned;
use super::replacing::Heard;
use super::reports::PassGroup;
use super::successors::{Asked, Looked};
use super::watch::Waiting;
use crate::event::{EventSender, StoreCall};
use crate::spec::TaskSpec;

/// How many pages of records are read to find ticks that somebody left out.
const MAX_PAGES: usize = 40;

/// The answer to a call.
pub(super) enum Done {
    Beaten {
        asked_at: Moment,
        answered_at: Moment,
        answer: Result<Beaten, StoreError>,
    },
    Registered(Result<Standings, StoreError>),
    Replaced(Result<Heard, StoreError>),
    Claimed {
        flight: Flight,
        asked_at: Moment,
        answered_at: Moment,
        answer: Result<ClaimReply, StoreError>,
    },
    Started {
        waiting: Vec<Waiting>,
        asked_at: Moment,
        answer: Result<Vec<Started>, StoreError>,
    },
    Restored(Result<(Restored, Vec<RunKey>), StoreError>),
    /// What is left of a tick after the others had their chance.
    Surveyed(Vec<Wanted>),
    Taken {
        take: Take,
        asked_at: Moment,
        answer: Result<Vec<Claim>, StoreError>,
    },
    Finished {
        finishes: Vec<Finish>,
        answer: Result<Vec<Finished>, StoreError>,
    },
    Passed {
        groups: Vec<PassGroup>,
        /// Whether each record was made, group by group.
        answer: Result<Vec<Vec<bool>>, StoreError>,
    },
    Recovered(Result<Recovered, StoreError>),
    Backfills(Result<Vec<Backfill>, StoreError>),
    Expanded(RequestId, Result<Next, StoreError>),
    Followed {
        asked: Vec<Asked>,
        answer: Result<Vec<Looked>, StoreError>,
    },
    Pruned(Result<Pruned, StoreError>),
    Cancels(Result<Vec<Cancel>, StoreError>),
    Definitions(Result<Vec<TaskRecord>, StoreError>),
    Noted,
}

/// What the store says of a task that was registered, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) first_seen: Timestamp,
    pub(super) last_tick: Option<Timestamp>,
    pub(super) pause: Option<Box<Pause>>,
    pub(super) sequence: u64,
}

impl Standing {
    fn of(registered: Registered) -> Self {
        Self {
            first_seen: registered.first_seen,
            last_tick: registered.last_tick,
            pause: registered.pause.map(Box::new),
            sequence: registered.sequence,
        }
    }
}

/// What the store says of each of many tasks, in their order. Of neighbours it mostly says the
/// same, which is kept once.
#[derive(Debug, Default)]
pub(super) struct Each(Vec<(usize, Standing)>);

impl Each {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Standing> {
        let all = self.0.iter();
        all.flat_map(|(count, standing)| std::iter::repeat_n(standing, *count))
    }
}

impl Extend<Standing> for Each {
    fn extend<T: IntoIterator<Item = Standing>>(&mut self, more: T) {
        for standing in more {
            match self.0.last_mut() {
                Some((count, last)) if *last == standing => *count += 1,
                _ => self.0.push((1, standing)),
            }
        }
    }
}

/// What the store says of all tasks that were registered.
#[derive(Debug)]
pub(super) struct Standings {
    pub(super) all: Each,
    /// What is on record of the time before the latest tick on record.
    pub(super) recent: Recent,
}

/// A store, and how long its calls may take.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) store: Arc<dyn RunStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limit: Duration,
    pub(super) max_batch: usize,
    /// Told of every call.
    pub(super) events: EventSender,
}

impl Calls {
    /// An answer within the limit, or an error that says that there was none. A store that panics
    /// has failed in an unknown way.
    pub(super) async fn bounded<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let asked_at = self.clock.now();
        let answer = match timeout(self.limit, AssertUnwindSafe(call).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::new(
                StoreErrorKind::Protocol,
                "the store's own code panicked",
            )
            .with_unknown_outcome()),
            Err(_) => {
                let message = format!("no answer within {:?}", self.limit);
                Err(StoreError::new(StoreErrorKind::Unavailable, message).with_unknown_outcome())
            }
        };
        self.events.called(|| StoreCall::Ended {
            call: name,
            took: self.clock.now().since(asked_at),
            is_answered: answer.is_ok(),
        });
        answer
    }

    pub(super) async fn beat(self, beat: Beat) -> Done {
        // Read before the request leaves: a slow reply must shorten our trust, never lengthen it.
        let asked_at = self.clock.now();
        let answer = self.bounded("beat", self.store.beat(&beat)).await;
        Done::Beaten {
            asked_at,
            answered_at: self.clock.now(),
            answer,
        }
    }

    pub(super) async fn register(self, node: HolderId, specs: Vec<Arc<TaskSpec>>) -> Done {
        Done::Registered(self.register_all(node, &specs).await)
    }

    pub(super) async fn register_all(
        &self,
        node: HolderId,
        specs: &[Arc<TaskSpec>],
    ) -> Result<Standings, StoreError> {
        let mut all = Each::default();
        // Piece by piece also in memory: there may be very many tasks.
        for chunk in specs.chunks(self.max_batch) {
            let definitions: Vec<_> = chunk.iter().map(|spec| spec.definition()).collect();
            let registered = self.bounded("register", self.store.register(node, &definitions));
            all.extend(registered.await?.into_iter().map(Standing::of));
        }
        self.end_old_names(node, specs, &mut all).await?;
        let latest = all.iter().filter_map(|standing| standing.last_tick).max();
        let recent = match latest {
            Some(latest) => self.recent(latest - LOOK_BACK).await?,
            None => Recent::default(),
        };
        Ok(Standings { all, recent })
    }

    /// Registers that names which tasks had before are theirs now, so that nobody claims them, and
    /// adds to what is known of each task what is known under them.
    async fn end_old_names(
        &self,
        node: HolderId,
        specs: &[Arc<TaskSpec>],
        all: &mut Each,
    ) -> Result<(), StoreError> {
        let ended = specs.iter().enumerate();
        let ended = ended.flat_map(|(at, spec)| spec.endings().map(move |ending| (at, ending)));
        let (places, endings): (Vec<usize>, Vec<_>) = ended.unzip();
        if endings.is_empty() {
            return Ok(());
        }
        let mut each: Vec<Standing> = all.iter().cloned().collect();
        for (places, endings) in places
            .chunks(self.max_batch)
            .zip(endings.chunks(self.max_batch))
        {
            let registered = self.bounded("register", self.store.register(node, endings));
            for (place, registered) in places.iter().zip(registered.await?) {
                if let Some(standing) = each.get_mut(*place) {
                    standing.last_tick = standing.last_tick.max(registered.last_tick);
                    standing.sequence = standing.sequence.max(registered.sequence);
                }
            }
        }
        *all = Each::default();
        all.extend(each);
        Ok(())
    }

    /// Reads what is on record from `from` on; if that is very much, only the newest of it.
    async fn recent(&self, from: Timestamp) -> Result<Recent, StoreError> {
        let mut query = HistoryQuery::all();
        query.from = Some(from);
        query.limit = 1000;
        let mut recent = Recent::since(from);
        for _ in 0..MAX_PAGES {
            let page = self.bounded("history", self.store.history(&query)).await?;
            for record in page.runs {
                recent.add(record);
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(recent);
            }
        }
        recent.is_cut_off();
        Ok(recent)
    }

    pub(super) async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.bounded("tasks", self.store.tasks()).await
    }

    pub(super) async fn claim(self, flight: Flight) -> Done {
        let asked_at = self.clock.now();
        let answer = self.bounded("claim", self.store.claim(&flight.batch)).await;
        if let Ok(reply) = &answer {
            for answer in &reply.answers {
                self.events.called(|| StoreCall::Decided(answer));
            }
        }
        Done::Claimed {
            flight,
            asked_at,
            answered_at: self.clock.now(),
            answer,
        }
    }

    pub(super) async fn start(self, starts: Vec<Start>, waiting: Vec<Waiting>) -> Done {
        // Read before the request leaves, as for a claim.
        let asked_at = self.clock.now();
        let answer = self.bounded("start", self.store.start(&starts)).await;
        Done::Started {
            waiting,
            asked_at,
            answer,
        }
    }

    /// Puts back what is remembered; tells which runs had been forgotten. A piece that was sent
    /// before a failure is sent again later, which changes nothing.
    pub(super) async fn restore(
        self,
        node: HolderId,
        noticed: Option<u64>,
        runs: Vec<Remembered>,
        patience: Duration,
    ) -> Done {
        Done::Restored(self.restore_all(node, noticed, runs, patience).await)
    }

    async fn restore_all(
        &self,
        node: HolderId,
        noticed: Option<u64>,
        runs: Vec<Remembered>,
        patience: Duration,
    ) -> Result<(Restored, Vec<RunKey>), StoreError> {
        let mut put_back = Vec::new();
        let mut rest = runs;
        loop {
            let later = rest.split_off(rest.len().min(self.max_batch));
            let mut restore = Restore::new(node, rest);
            restore.noticed = noticed;
            restore.patience = patience;
            let restored = self
                .bounded("restore", self.store.restore(&restore))
                .await?;
            let answers = restore.runs.into_iter().zip(&restored.put_back);
            put_back.extend(
                answers
                    .filter(|(_, is_back)| **is_back)
                    .map(|(run, _)| run.key),
            );
            if later.is_empty() {
                return Ok((restored, put_back));
            }
            rest = later;
        }
    }

    pub(super) async fn take(self, take: Take) -> Done {
        let asked_at = self.clock.now();
        let answer = self.bounded("take", self.store.take(&take)).await;
        Done::Taken {
            take,
            asked_at,
            answer,
        }
    }

    pub(super) async fn finish(self, finishes: Vec<Finish>) -> Done {
        let answer = self.bounded("finish", self.store.finish(&finishes)).await;
        Done::Finished { finishes, answer }
    }

    pub(super) async fn pass(self, groups: Vec<PassGroup>) -> Done {
        let answer = self.pass_all(&groups).await;
        Done::Passed { groups, answer }
    }

    async fn pass_all(&self, groups: &[PassGroup]) -> Result<Vec<Vec<bool>>, StoreError> {
        let mut made = Vec::with_capacity(groups.len());
        for group in groups {
            let mut of_group = Vec::with_capacity(group.passes.len());
            for chunk in group.passes.chunks(self.max_batch) {
                of_group.extend(self.bounded("pass", self.store.pass(chunk)).await?);
            }
            made.push(of_group);
        }
        Ok(made)
    }

    pub(super) async fn recover(self, recovery: Recovery) -> Done {
        Done::Recovered(self.bounded("recover", self.store.recover(&recovery)).await)
    }

    pub(super) async fn backfills(self) -> Done {
        Done::Backfills(self.bounded("backfills", self.store.backfills()).await)
    }

    pub(super) async fn cancels(self, node: HolderId) -> Done {
        Done::Cancels(self.bounded("cancels", self.store.cancels(node)).await)
    }

    pub(super) async fn note(self, note: Note) -> Done {
        if let Err(error) = self.bounded("note", self.store.note(&note)).await {
            tracing::debug!(kind = note.kind, %error, "a note was not kept");
        }
        Done::Noted
    }

    /// Reads which of `wanted` have a record already and leaves them out. If that cannot be read,
    /// all are left in: claiming decides anyway.
    pub(super) async fn survey(self, wanted: Vec<(Wanted, RunKey)>) -> Done {
        let known = self.known(&wanted).await.unwrap_or_default();
        let known = known.into_iter().chain(std::iter::repeat(false));
        let left = wanted.into_iter().zip(known);
        let left = left.filter(|(_, is_known)| !is_known);
        Done::Surveyed(left.map(|((wanted, _), _)| wanted).collect())
    }

    async fn known(&self, wanted: &[(Wanted, RunKey)]) -> Result<Vec<bool>, StoreError> {
        let mut known = Vec::with_capacity(wanted.len());
        for chunk in wanted.chunks(self.max_batch) {
            let keys: Vec<_> = chunk.iter().map(|(_, key)| key.clone()).collect();
            known.extend(self.bounded("known", self.store.known(&keys)).await?);
        }
        Ok(known)
    }
}
