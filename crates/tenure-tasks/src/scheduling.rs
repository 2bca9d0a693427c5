//! The front of the crate: managers and tasks are put together, checked, and started.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tenure_core::{Clock, StoreError, StoreErrorKind, SystemClock, TaskName};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::alarm::{AlarmRule, Warden, WardenParts, Watch, specs_of, works};
use crate::check::{Assigned, check, check_alone};
use crate::config_error::{ConfigErrors, StartError};
use crate::event::{CallObserver, EventSender, Observer, RunnerEvent, StoreCall};
use crate::manager::{TaskError, TaskManager};
use crate::options::RunnerOptions;
use crate::runner::{NodeRoom, Runner};
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
    call_observers: Vec<CallObserver>,
    alarms: Vec<AlarmRule>,
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
            call_observers: Vec::new(),
            alarms: Vec::new(),
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

    /// Calls `observer` with every event of this scheduling, in the runner's own loop: none is
    /// lost, and it must return at once. For what takes longer there is
    /// [`RunningTasks::events`](crate::RunningTasks::events).
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&RunnerEvent) + Send + Sync + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Calls `observer` with every call that the runners make of their stores, for counting: it
    /// must return at once.
    #[must_use]
    pub fn observe_calls(
        mut self,
        observer: impl Fn(StoreCall<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.call_observers.push(Arc::new(observer));
        self
    }

    /// Adds a rule by which people are told when tasks do not run as they should: once per cluster,
    /// whatever the number of nodes that notice.
    ///
    /// Works for the tasks of managers that keep records of runs, as those over a store do.
    #[must_use]
    pub fn alarm(mut self, rule: AlarmRule) -> Self {
        self.alarms.push(rule);
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
        let assigned = check(
            &self.application,
            &self.managers,
            self.tasks,
            &self.options,
            &self.alarms,
        )?;
        let rules: Vec<_> = self.alarms.into_iter().map(Arc::new).collect();
        let (observers, wardens) = watches(&assigned, &rules, self.observers);
        let events = EventSender::new(self.options.event_capacity, observers)
            .observing_calls(self.call_observers);
        let room = NodeRoom::default();
        let mut ready: Vec<Ready> = Vec::new();
        for (assigned, warden) in assigned.into_iter().zip(wardens) {
            let manager = assigned.manager.clone();
            let alarms = warden.map(|warden| (&*rules, warden));
            let prepared = prepare(assigned, alarms, &self.options, &self.clock, &events).await;
            match prepared {
                Ok(prepared) => ready.push(prepared.sharing(&room)),
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
        Ok(RunningTasks::new(parts, self.options, events, self.clock))
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

/// What sees all events: the observers given, and a watch for each manager that alarms work for.
fn watches(
    assigned: &[Assigned],
    rules: &[Arc<AlarmRule>],
    mut observers: Vec<Observer>,
) -> (Vec<Observer>, Vec<Option<WardenParts>>) {
    let names = |assigned: &Assigned| -> HashSet<TaskName> {
        let specs = assigned.work.iter().map(|work| work.spec.name().clone());
        specs.collect()
    };
    let mut wardens = Vec::with_capacity(assigned.len());
    for (place, one) in assigned.iter().enumerate() {
        if rules.is_empty() || one.manager.runs().is_none() {
            wardens.push(None);
            continue;
        }
        let others = assigned.iter().enumerate().filter(|(it, _)| *it != place);
        let others = others.flat_map(|(_, other)| names(other)).collect();
        let (watch, parts) = Watch::new(rules, one.manager.name(), others);
        observers.push(Arc::new(move |event| watch.see(event)));
        wardens.push(Some(parts));
    }
    (observers, wardens)
}

/// A runner that is prepared and not started.
enum Ready {
    Full(Box<Runner>, Option<Box<Warden>>, Part),
    Simple(Box<SimpleRunner>, Part),
}

async fn prepare(
    mut assigned: Assigned,
    alarms: Option<(&[Arc<AlarmRule>], WardenParts)>,
    options: &RunnerOptions,
    clock: &Arc<dyn Clock>,
    events: &EventSender,
) -> Result<Ready, TaskError> {
    let manager = assigned.manager.clone();
    let specs: Vec<_> = assigned.work.iter().map(|work| work.spec.clone()).collect();
    init(&*manager, &specs, options).await?;
    let (commands, inbox) = mpsc::channel(16);
    let mut part = Part::new(manager.clone(), commands);
    let Some(access) = manager.runs() else {
        let runner = SimpleRunner::new(assigned, options, clock, events, inbox, part.pulse.clone());
        return Ok(Ready::Simple(Box::new(runner), part));
    };
    let warden = alarms.map(|(rules, parts)| {
        part.own = works(rules, manager.name(), &access.store);
        assigned.work.extend(part.own.iter().cloned());
        let time = (clock.clone(), options.store_timeout);
        let feed = (events.clone(), part.pulse.clone());
        let named = specs.into_iter().map(|spec| (spec.name().clone(), spec));
        *specs_of(&part.watched) = named.collect();
        let watched = part.watched.clone();
        Box::new(parts.finish(access.clone(), manager.name(), time, feed, watched))
    });
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
    Ok(Ready::Full(Box::new(runner), warden, part))
}

/// Asks a manager to get ready. One that keeps runs asks its store only whether it is there, so it
/// has no more time than any call of a store; others may have tables to make.
async fn init(
    manager: &dyn TaskManager,
    specs: &[Arc<TaskSpec>],
    options: &RunnerOptions,
) -> Result<(), TaskError> {
    if manager.runs().is_none() {
        return manager.init(specs).await;
    }
    let limit = options.store_timeout;
    let answer = timeout(limit, manager.init(specs)).await;
    answer.unwrap_or_else(|_| {
        let message = format!("no answer within {limit:?}");
        Err(StoreError::new(StoreErrorKind::Unavailable, message).into())
    })
}

impl Ready {
    /// With a part of what the node takes on at all.
    fn sharing(self, room: &NodeRoom) -> Self {
        match self {
            Self::Full(runner, warden, part) => {
                Self::Full(Box::new(runner.sharing(room.part())), warden, part)
            }
            simple @ Self::Simple(..) => simple,
        }
    }

    fn start(self) -> Part {
        let (runner, part) = match self {
            Self::Full(runner, warden, part) => {
                let runner = async move {
                    let warden = warden.map(|it| AbortOnDropHandle::new(tokio::spawn(it.run())));
                    runner.run().await;
                    // It watches as long as the runner runs.
                    drop(warden);
                };
                (tokio::spawn(runner), part)
            }
            Self::Simple(runner, part) => (tokio::spawn(runner.run()), part),
        };
        part.driven_by(AbortOnDropHandle::new(runner))
    }

    async fn give_up(self) {
        match self {
            Self::Full(runner, ..) => runner.close().await,
            Self::Simple(runner, _) => runner.close().await,
        }
    }
}
