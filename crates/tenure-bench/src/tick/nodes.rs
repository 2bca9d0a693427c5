//! Nodes of a cluster in this process, with tasks that are all due at one tick and do nothing but
//! write down how late they began.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure::core::{Clock as _, RunStore, SystemClock, Timestamp};
use tenure::tasks::{
    RunnerOptions, RunningTasks, StoreLockManager, Task, TaskContext, TaskScheduling,
};

use super::watched::{Counts, Watched};
use crate::place::Trouble;

/// When each run began, in milliseconds after its tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Starts(Arc<Mutex<Vec<f64>>>);

impl Starts {
    pub(super) fn add(&self, tick: Timestamp) {
        let late = SystemClock.wall().since(tick).as_secs_f64() * 1000.0;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(late);
    }

    pub(super) fn all(&self) -> Vec<f64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many runs began, or for `most`.
    pub(super) async fn reach(&self, count: usize, most: Duration) {
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while self.count() < count && waited < most {
            tokio::time::sleep(step).await;
            waited += step;
        }
    }
}

/// A node, what it asked, and how many of its runs began.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) store: Arc<Watched>,
    pub(super) tasks: RunningTasks,
    runs: Arc<AtomicUsize>,
}

impl Node {
    /// Starts a node with `count` tasks.
    pub(super) async fn start(
        store: Arc<dyn RunStore>,
        schedule: &str,
        count: usize,
        starts: &Starts,
    ) -> Result<Self, Trouble> {
        let store = Watched::over(store);
        let runs = Arc::<AtomicUsize>::default();
        let tasks = (0..count).map(|number| {
            let (starts, runs) = (starts.clone(), runs.clone());
            Task::new(format!("task {number}")).schedule(schedule).run(
                move |context: TaskContext<()>| {
                    starts.add(context.tick());
                    runs.fetch_add(1, Ordering::Relaxed);
                    async {}
                },
            )
        });
        let tasks = TaskScheduling::builder(())
            .manager(StoreLockManager::new(store.clone()))
            .options(options())
            .tasks(tasks)
            .start()
            .await
            .map_err(Trouble::wrong)?;
        Ok(Self { store, tasks, runs })
    }

    /// How many of its runs began.
    pub(super) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    pub(super) fn counted(&self, of: impl Fn(&Counts) -> &AtomicUsize) -> usize {
        of(&self.store.counts).load(Ordering::Relaxed)
    }
}

/// Nodes meet each other soon; everything else is as it is by default.
pub(super) fn options() -> RunnerOptions {
    RunnerOptions::new().beat_every(Duration::from_secs(1))
}

/// A tick in the future, and a schedule that is due then and not again for a year.
pub(super) fn due_in(ahead: Duration) -> (Timestamp, String) {
    let ms = (SystemClock.wall() + ahead).as_millis() / 1000 * 1000 + 1000;
    let tick = Timestamp::from_millis(ms);
    // 2026-11-21T15:04:05…
    let text = tick.to_string();
    let part = |at: usize| text.get(at..at + 2).unwrap_or("0");
    let schedule = format!(
        "{} {} {} {} {} *",
        part(17),
        part(14),
        part(11),
        part(8),
        part(5)
    );
    (tick, schedule)
}

/// Sleeps until the wall clock says `at`.
pub(super) async fn until(at: Timestamp) {
    tokio::time::sleep(at.since(SystemClock.wall())).await;
}
