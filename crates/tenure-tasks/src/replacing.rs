//! Other tasks for a scheduling that runs: what may change, and what the change came to.

use std::sync::Arc;

use futures_util::future::join_all;
use tenure_core::{StoreError, TaskName};
use tokio::sync::{mpsc, oneshot};

use crate::alarm::{Specs, specs_of};
use crate::causes::with_causes;
use crate::check::{Assigned, Work, check};
use crate::config_error::{ConfigErrors, named};
use crate::manager::TaskError;
use crate::running::{Command, RunningTasks};
use crate::task::Task;

/// What became of the tasks when they were replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Replaced {
    /// Tasks that were not there before.
    pub added: Vec<TaskName>,
    /// Tasks that are no longer there.
    pub removed: Vec<TaskName>,
    /// Tasks whose definition differs, so that they are of a new generation.
    pub changed: Vec<TaskName>,
    /// How many tasks are defined as before. Their code is the new one all the same.
    pub unchanged: usize,
}

impl Replaced {
    fn add(&mut self, other: Self) {
        self.added.extend(other.added);
        self.removed.extend(other.removed);
        self.changed.extend(other.changed);
        self.unchanged += other.unchanged;
    }
}

/// Why tasks were not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The new tasks are wrong; nothing has changed.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A manager, or its store, did not take the new tasks: its old ones run on. Those of other
    /// managers may have been replaced.
    #[error("the task manager {} did not take the new tasks", named(.manager.as_ref()))]
    Manager {
        /// The manager; `None` for the default.
        manager: Option<String>,
        /// Why.
        source: TaskError,
    },
    /// The scheduling drains or has ended.
    #[error("the scheduling has ended")]
    Ended,
}

/// New work for one manager's runner, and who waits for it.
pub(crate) struct Replacement {
    pub(crate) work: Vec<Work>,
    pub(crate) reply: oneshot::Sender<Result<Replaced, StoreError>>,
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replacement({} tasks)", self.work.len())
    }
}

impl RunningTasks {
    /// Runs these tasks in place of those that run now, under the same managers.
    ///
    /// Tasks are told apart by name. One that is new begins as if the scheduling had just been
    /// started with it. One that is gone is no longer claimed, and what runs of it goes on. One
    /// whose definition differs is of a new generation: the ticks of its old schedule that were due
    /// are still run, and those that the new schedule would have had before are not caught up. Of
    /// all others no tick is dropped and none runs twice. Runs in hand go on with the code they
    /// began with.
    ///
    /// While a store does not answer, this waits for it, and the old tasks stay. A failure is shown
    /// by [`Health::reload_failed`](crate::Health::reload_failed) until a later call goes well.
    ///
    /// # Errors
    /// [`ReplaceError::Config`] lists everything that is wrong with the new tasks; then nothing has
    /// changed. [`ReplaceError::Manager`] if a store refused the new definitions. Both leave the
    /// old tasks running, and calling this again is harmless.
    ///
    /// # Cancel safety
    /// Safe: a replacement that was begun goes on, also if the call is dropped.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use tenure_tasks::{ReplaceError, RunningTasks, Task};
    /// async fn reload(running: &RunningTasks) -> Result<(), ReplaceError> {
    ///     let tasks = [Task::new("rates").schedule("@every 30s").run(|_| async {})];
    ///     let replaced = running.replace(Arc::new(()), tasks).await?;
    ///     println!("{} added, {} removed", replaced.added.len(), replaced.removed.len());
    ///     Ok(())
    /// }
    /// ```
    pub async fn replace<S: Send + Sync + 'static>(
        &self,
        application: Arc<S>,
        tasks: impl IntoIterator<Item = Task<S>>,
    ) -> Result<Replaced, ReplaceError> {
        let replaced = self.try_to_replace(&application, tasks).await;
        match &replaced {
            Ok(_) => self.reloaded(),
            // Nobody wants other tasks of what has ended.
            Err(ReplaceError::Ended) => {}
            Err(error) => self.reload_failed(with_causes(error)),
        }
        replaced
    }

    async fn try_to_replace<S: Send + Sync + 'static>(
        &self,
        application: &Arc<S>,
        tasks: impl IntoIterator<Item = Task<S>>,
    ) -> Result<Replaced, ReplaceError> {
        let managers: Vec<_> = self.parts.iter().map(|part| part.manager.clone()).collect();
        let tasks = tasks.into_iter().collect();
        let assigned = check(application, &managers, tasks, &self.options, &[])?;
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| {
                (
                    part.commands.clone(),
                    part.own.clone(),
                    part.watched.clone(),
                )
            })
            .collect();
        // On its own, so that a dropped call leaves no manager with half of it.
        let replacing = tokio::spawn(async move {
            let each = assigned.into_iter().zip(parts);
            let each = each.map(|(assigned, part)| replace_one(assigned, part));
            join_all(each).await
        });
        let mut all = Replaced::default();
        for replaced in replacing.await.map_err(|_| ReplaceError::Ended)? {
            all.add(replaced?);
        }
        Ok(all)
    }
}

async fn replace_one(
    mut assigned: Assigned,
    (commands, own, watched): (mpsc::Sender<Command>, Vec<Work>, Specs),
) -> Result<Replaced, ReplaceError> {
    let manager = assigned.manager.name().map(str::to_owned);
    let refused = |source| ReplaceError::Manager { manager, source };
    let specs: Vec<_> = assigned.work.iter().map(|work| work.spec.clone()).collect();
    if let Err(error) = assigned.manager.init(&specs).await {
        return Err(refused(error));
    }
    assigned.work.extend(own);
    let (reply, answer) = oneshot::channel();
    let replacement = Replacement {
        work: assigned.work,
        reply,
    };
    let sent = commands.send(Command::Replace(replacement)).await;
    sent.map_err(|_| ReplaceError::Ended)?;
    match answer.await {
        Ok(Ok(replaced)) => {
            let named = specs.into_iter().map(|spec| (spec.name().clone(), spec));
            *specs_of(&watched) = named.collect();
            Ok(replaced)
        }
        Ok(Err(error)) => Err(refused(error.into())),
        Err(_) => Err(ReplaceError::Ended),
    }
}
