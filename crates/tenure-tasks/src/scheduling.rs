//! The front of the crate: managers and tasks are put together, checked, and started.

use std::fmt;
use std::sync::Arc;

use tenure_core::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::check::{Assigned, check, check_alone};
use crate::config_error::{ConfigErrors, StartError};
use crate::event::{EventSender, Observer, RunnerEvent};
use crate::manager::TaskManager;
use crate::options::RunnerOptions;
use crate::runner::Runner;
use crate::running::{Part, RunningTasks};
use crate::simple::SimpleRunner;
use crate::spec::TaskSpec;
use crate::task::Task;

/// Managers and tasks, still to be checked and started. `S` is the application's state.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use tenure_core::RunStore;
/// use tenure_tasks::{StoreLockManager, Task, TaskContext, TaskScheduling};
///
/// # async fn example(store: Arc<dyn RunStore>) -> Result<(), Box<dyn std::error::Error>> {
/// let tasks = TaskScheduling::builder("my application")
///     .manager(StoreLockManager::new(store))
///     .task(Task::new("rates").schedule("*/30 * * * * *").run(fetch_rates))
///     .start()
///     .await?;
/// tasks.drain(Duration::from_secs(30)).await;
/// # Ok(())
/// # }
///
/// async fn fetch_rates(context: TaskContext<&'static str>) -> Result<(), std::io::Error> {
///     println!("{} fetches the rates of {}", context.application(), context.tick());
///     Ok(())
/// }
/// ```
pub struct TaskScheduling<S> {
    application: Arc<S>,
    managers: Vec<Arc<dyn TaskManager>>,
    tasks: Vec<Task<S>>,
    options: RunnerOptions,
    clock: Arc<dyn Clock>,
    observers: Vec<Observer>,
}

impl<S: Send + Sync + 'static> TaskScheduling<S> {
    /// A scheduling without managers and tasks. The tasks' code gets `application`, shared.
    #[must_use]
    pub fn builder(application: S) -> Self {
        Self::with_shared(Arc::new(application))
    }

    /// The same for state that is shared already.
    #[must_use]
    pub fn with_shared(application: Arc<S>) -> Self {
        Self {
            application,
            managers: Vec::new(),
            tasks: Vec::new(),
            options: RunnerOptions::default(),
            clock: Arc::new(SystemClock),
            observers: Vec::new(),
        }
    }

    /// Adds a manager. One may have no name: tasks that ask for none are its.
    #[must_use]
    pub fn manager(mut self, manager: impl TaskManager) -> Self {
        self.managers.push(Arc::new(manager));
        self
    }

    /// Adds a task.
    #[must_use]
    pub fn task(mut self, task: Task<S>) -> Self {
        self.tasks.push(task);
        self
    }

    /// Adds several tasks.
    #[must_use]
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = Task<S>>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// How this node behaves.
    #[must_use]
    pub fn options(mut self, options: RunnerOptions) -> Self {
        self.options = options;
        self
    }

    /// A clock other than the machine's, for tests and simulations.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Calls `observer` with every event of this scheduling, in the runner's own loop: none is lost,
    /// and it must return at once. For what takes longer there is
    /// [`RunningTasks::events`](crate::RunningTasks::events).
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&RunnerEvent) + Send + Sync + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Checks everything, prepares the managers, and starts. Must be called on a tokio runtime with
    /// its timers enabled; the runtime must outlive the scheduling.
    ///
    /// # Errors
    /// [`StartError::Config`] lists everything that is wrong with the configuration; then no
    /// manager was asked anything. [`StartError::Manager`] if a manager, or its store, cannot be
    /// used; then nothing runs.
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may leave a node registered, which ends by itself within one ttl.
    pub async fn start(self) -> Result<RunningTasks, StartError> {
        let assigned = check(&self.application, &self.managers, self.tasks, &self.options)?;
        let events = EventSender::new(self.options.event_capacity, self.observers);
        let mut ready: Vec<Ready> = Vec::new();
        for assigned in assigned {
            let manager = assigned.manager.clone();
            let prepared = prepare(assigned, &self.options, &self.clock, &events).await;
            match prepared {
                Ok(prepared) => ready.push(prepared),
                Err(source) => {
                    for ready in ready {
                        ready.give_up().await;
                    }
                    return Err(StartError::Manager {
                        manager: manager.name().map(str::to_owned),
                        source,
                    });
                }
            }
        }
        let parts = ready.into_iter().map(Ready::start).collect();
        Ok(RunningTasks::new(parts, events, self.clock))
    }
}

impl<S> fmt::Debug for TaskScheduling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskScheduling")
            .field("managers", &self.managers)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl<S> Task<S> {
    /// Checks this task alone: its name, schedule, zone and numbers. Code and manager may lack.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self) -> Result<TaskSpec, ConfigErrors> {
        check_alone(self)
    }
}

/// A runner that is prepared and not started.
enum Ready {
    Full(Box<Runner>, Part),
    Simple(Box<SimpleRunner>, Part),
}

async fn prepare(
    assigned: Assigned,
    options: &RunnerOptions,
    clock: &Arc<dyn Clock>,
    events: &EventSender,
) -> Result<Ready, crate::manager::TaskError> {
    let manager = assigned.manager.clone();
    let specs: Vec<_> = assigned.work.iter().map(|work| work.spec.clone()).collect();
    manager.init(&specs).await?;
    let (commands, inbox) = mpsc::channel(16);
    let part = Part::new(manager.name(), commands);
    let Some(access) = manager.runs() else {
        let runner = SimpleRunner::new(assigned, options, clock, events, inbox, part.pulse.clone());
        return Ok(Ready::Simple(Box::new(runner), part));
    };
    let mut runner = Runner::new(
        assigned,
        access,
        options,
        clock,
        events,
        inbox,
        part.pulse.clone(),
    );
    if let Err(error) = runner.join().await {
        manager.close().await;
        return Err(error.into());
    }
    Ok(Ready::Full(Box::new(runner), part))
}

impl Ready {
    fn start(self) -> Part {
        let (runner, part) = match self {
            Self::Full(runner, part) => (tokio::spawn(runner.run()), part),
            Self::Simple(runner, part) => (tokio::spawn(runner.run()), part),
        };
        part.driven_by(AbortOnDropHandle::new(runner))
    }

    async fn give_up(self) {
        match self {
            Self::Full(runner, _) => runner.close().await,
            Self::Simple(runner, _) => runner.close().await,
        }
    }
}
