//! What the dashboard shows, gathered: one struct and one async method for each page.
//!
//! A [`View`] reads a lease store, a run store and, if there is one, this process's runner. It
//! changes nothing and knows no HTTP and no HTML: the pages and the API show the same values. What
//! all clients would ask for at once is kept for a second, so that a thousand open pages cost the
//! store no more than one.

mod ahead;
mod at;
mod count;
mod graph;
mod herd;
mod kept;
mod locks;
mod nodes;
mod now;
mod page;
mod plan;
mod runs;
mod store;
mod tasks;

use std::fmt;
use std::sync::{Arc, Weak};

use tenure_core::{
    Clock, LeaseStore, Moment, RunStore, StoreError, TaskName, TaskRecord, Timestamp,
};
use tenure_tasks::RunningTasks;
use tenure_tasks::story::gone::Gone;

pub use self::ahead::{Soon, TaskAhead, UpcomingMinute};
pub(crate) use self::at::millis;
pub use self::at::{At, Node, segment};
pub use self::graph::{Wait, WaitGraph};
pub use self::herd::{Herd, HerdBucket, Peak};
use self::kept::Kept;
pub use self::locks::{LockDetail, LockRow, LockState, LocksQuery, QueueEntry, SharerEntry};
pub use self::nodes::{NodeRow, Nodes};
pub use self::now::{Now, NowCounts, Timeline, TimelineMinute, TimelineRun};
pub use self::page::{DEFAULT_LIMIT, MAX_LIMIT, Page, Paging};
use self::plan::Plans;
pub use self::runs::{Attempt, BackfillRow, RunDetail, RunMark, RunRow, RunsQuery, StoryLine};
pub(crate) use self::store::Doctor;
pub use self::store::{Finding, Latency, StoreMeter, StoreState, Traffic, Verdict};
pub use self::tasks::{PauseState, TaskDetail, TaskFilter, TaskRow, TasksQuery};

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The store failed.
    #[error("the store did not answer: {0}")]
    Store(#[source] Arc<StoreError>),
    /// Nothing has that name.
    #[error("{what} `{name}` is not known to the store")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The name, control characters escaped.
        name: String,
    },
    /// A part of the question is wrong.
    #[error("`{place}` {reason}")]
    Invalid {
        /// Which part.
        place: &'static str,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
}

impl ViewError {
    pub(crate) fn invalid(place: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            place,
            reason: reason.into(),
        }
    }

    pub(crate) fn not_found(what: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        // What a client made up is the client's fault, whoever found it.
        if error.kind() == tenure_core::StoreErrorKind::InvalidRequest {
            return Self::invalid("request", error.to_string());
        }
        Self::Store(Arc::new(error))
    }
}

/// The tasks as the store knew them at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The store's clock then.
    now: Timestamp,
    /// This process's steady clock then.
    taken: Moment,
    /// By name; without those by which tenure itself tells alarms.
    pub(crate) tasks: Vec<TaskRecord>,
}

impl Snapshot {
    pub(crate) fn task(&self, name: &TaskName) -> Option<&TaskRecord> {
        let at = self
            .tasks
            .binary_search_by(|task| task.definition.task.cmp(name))
            .ok()?;
        self.tasks.get(at)
    }
}

/// Reads what the dashboard shows. Clones share what is kept.
#[derive(Debug, Clone)]
pub struct View {
    inner: Arc<Inner>,
}

struct Inner {
    leases: Arc<dyn LeaseStore>,
    runs: Arc<dyn RunStore>,
    tasks: Option<Weak<RunningTasks>>,
    clock: Arc<dyn Clock>,
    doctor: Option<store::Doctor>,
    traffic: Arc<store::Meter>,
    plans: Plans,
    snapshot: Kept<Snapshot>,
    now: Kept<Now>,
    herd: Kept<Herd>,
    graph: Kept<WaitGraph>,
    gone: Kept<Gone>,
    nodes: Kept<Nodes>,
    store: Kept<StoreState>,
    verdict: Kept<Verdict>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View {
    /// A view of two stores, which usually are one, by the clock of this machine.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                leases: parts.leases,
                runs: parts.runs,
                tasks: parts.tasks,
                clock: parts.clock,
                doctor: parts.doctor,
                traffic: parts.traffic,
                plans: Plans::default(),
                snapshot: Kept::for_seconds(1),
                now: Kept::for_seconds(1),
                herd: Kept::for_seconds(60),
                graph: Kept::for_seconds(1),
                gone: Kept::for_seconds(1),
                nodes: Kept::for_seconds(1),
                store: Kept::for_seconds(2),
                verdict: Kept::for_seconds(60),
            }),
        }
    }

    pub(crate) fn leases(&self) -> &Arc<dyn LeaseStore> {
        &self.inner.leases
    }

    pub(crate) fn runs_store(&self) -> &Arc<dyn RunStore> {
        &self.inner.runs
    }

    /// This process's runner, while it runs.
    pub(crate) fn runner(&self) -> Option<Arc<RunningTasks>> {
        self.inner.tasks.as_ref().and_then(Weak::upgrade)
    }

    /// Whether there was a runner to look at, though it may have ended.
    pub(crate) fn had_runner(&self) -> bool {
        self.inner.tasks.is_some()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Forgets what is kept, since something was changed.
    pub(crate) async fn forget(&self) {
        let inner = &self.inner;
        inner.snapshot.forget().await;
        inner.now.forget().await;
        inner.graph.forget().await;
        inner.nodes.forget().await;
        inner.gone.forget().await;
    }

    /// The tasks, as of a second ago at most, and the store's time.
    pub(crate) async fn snapshot(&self) -> Result<(Arc<Snapshot>, Timestamp), ViewError> {
        let inner = &self.inner;
        let snapshot = inner
            .snapshot
            .get(&*inner.clock, || async {
                let (now, tasks) = tokio::join!(inner.runs.now(), inner.runs.tasks());
                let (now, mut tasks) = (now?.now, tasks?);
                tasks.retain(|task| !tenure_tasks::tells_alarms(&task.definition.task));
                tasks.sort_by(|a, b| a.definition.task.cmp(&b.definition.task));
                Ok(Snapshot {
                    now,
                    taken: inner.clock.now(),
                    tasks,
                })
            })
            .await?;
        let now = snapshot.now + inner.clock.now().since(snapshot.taken);
        Ok((snapshot, now))
    }

    /// The task of this name, and the store's time.
    pub(crate) async fn known(
        &self,
        name: &TaskName,
    ) -> Result<(TaskRecord, Timestamp), ViewError> {
        let (snapshot, now) = self.snapshot().await?;
        match snapshot.task(name) {
            Some(task) => Ok((task.clone(), now)),
            None => Err(ViewError::not_found("task", name)),
        }
    }
}

/// What a view is made from.
pub(crate) struct Parts {
    pub(crate) leases: Arc<dyn LeaseStore>,
    pub(crate) runs: Arc<dyn RunStore>,
    pub(crate) tasks: Option<Weak<RunningTasks>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) doctor: Option<store::Doctor>,
    pub(crate) traffic: Arc<store::Meter>,
}
