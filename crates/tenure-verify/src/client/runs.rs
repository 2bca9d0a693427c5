//! The tasks of a client: due every second, and each run writes down that it begins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure::tasks::{RunnerOptions, RunningTasks};
use tenure::{OnCrash, Task, TaskContext, TaskScheduling};
use tenure_bench::Trouble;

use super::{ATTEMPTS, Book, Job, TASKS};
use crate::history::Step;

/// A node that is not heard for so long is gone.
pub(crate) const NODE_TTL: Duration = Duration::from_secs(3);

struct App {
    book: Arc<Book>,
    chance: Mutex<fastrand::Rng>,
}

/// Begins as a node of its own, on a connection of its own: one that could not begin is not used
/// again.
pub(super) async fn start(job: &Job, book: &Arc<Book>) -> Result<RunningTasks, Trouble> {
    let tenure = job.address.connect().await?.labelled(&job.name);
    let app = App {
        book: book.clone(),
        chance: Mutex::new(fastrand::Rng::with_seed(!job.seed)),
    };
    let tasks = TASKS.iter().map(|(name, width, is_repeated)| {
        let on_crash = match is_repeated {
            true => OnCrash::Retry {
                max_attempts: ATTEMPTS,
            },
            false => OnCrash::Lose,
        };
        Task::new(*name)
            .schedule("@every 1s")
            .concurrency(*width)
            .on_crash(on_crash)
            .run(work)
    });
    let options = RunnerOptions::new()
        .node_ttl(NODE_TTL)
        .beat_every(NODE_TTL / 3);
    let scheduling = TaskScheduling::builder(app)
        .manager(tenure.manager())
        .options(options)
        .tasks(tasks);
    scheduling.start().await.map_err(Trouble::wrong)
}

async fn work(context: TaskContext<App>) {
    let app = context.application();
    app.book.note(Step::Start {
        task: context.task().to_string(),
        tick: context.tick().as_millis(),
        index: context.index(),
        attempt: context.attempt(),
    });
    let length = {
        let mut chance = app.chance.lock().unwrap_or_else(PoisonError::into_inner);
        match chance.u32(0..20) {
            0 => chance.u64(500..3_000),
            _ => chance.u64(0..100),
        }
    };
    tokio::time::sleep(Duration::from_millis(length)).await;
}
