//! What is simulated: a cluster, its tasks, and when which fault happens. Drawn from a seed, or
//! written by hand.

use std::fmt;
use std::time::Duration;

use tenure_core::{OnCrash, Overlap, Timestamp};
use tenure_tasks::{CatchUp, ScheduleSource};

use crate::clock::BEGINNING;
use crate::line::Cut;

/// Something that goes wrong, or is mended again. Nodes are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The process of a node dies at once.
    Kill(usize),
    /// A node is started with a release of the program, counted from 0; one that lives is killed
    /// first. It has this release until it is given another one.
    Deploy(usize, usize),
    /// A node that is dead is started again, as a new process; one that lives is killed first.
    Restart(usize),
    /// A node is told to drain, with this much patience, and ends.
    Drain(usize, Duration),
    /// A node's machine stands still, clocks included.
    Freeze(usize),
    /// It goes on, and its clocks jump.
    Thaw(usize),
    /// A node's way to the store is cut.
    Cut(usize, Cut),
    /// A node's way to the store is as it was in the beginning.
    Heal(usize),
    /// Each message between a node and the store takes between so many milliseconds.
    Delay(usize, u64, u64),
    /// The next so many requests of a node are lost.
    LoseRequests(usize, u32),
    /// The next so many answers to a node are lost.
    LoseAnswers(usize, u32),
    /// The next so many requests of a node arrive twice.
    Duplicate(usize, u32),
    /// A node's wall clock is so many milliseconds ahead from now on.
    Skew(usize, i64),
    /// A node's clocks run faster by so many millionths.
    Drift(usize, i64),
    /// The store's wall clock is stepped by so many milliseconds.
    StepStore(i64),
    /// What the store keeps now is what it will remember after [`Fault::Forget`].
    Remember,
    /// The store restarts without what it has kept since [`Fault::Remember`].
    Forget,
}

/// A task as the simulation needs it: an interval and rules.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskPlan {
    /// Its name.
    pub name: String,
    /// Its schedule.
    pub schedule: ScheduleSource,
    /// The least and the most time its code takes, drawn for each attempt.
    pub takes: (Duration, Duration),
    /// Whether its code ends when it is told to.
    pub obeys: bool,
    /// How many of a hundred attempts fail.
    pub fails_percent: u8,
    /// How many attempts failures have altogether.
    pub attempts: u32,
    /// How many runs a tick has.
    pub concurrency: u32,
    /// Whether its runs may overlap.
    pub overlap: Overlap,
    /// How many of its runs may be in hand at once in the whole cluster.
    pub max_running: Option<u32>,
    /// How many of its runs one node takes on at once.
    pub max_running_per_node: Option<u32>,
    /// What a crash does to its runs.
    pub on_crash: OnCrash,
    /// What is done about late ticks.
    pub catch_up: CatchUp,
    /// How late a tick may be run; `None`: as late as the scheduler thinks right.
    pub window: Option<Duration>,
    /// Over how much time its starts are spread.
    pub jitter: Duration,
    /// The names it had before.
    pub aliases: Vec<String>,
    /// The number by which its definition is newer than others.
    pub generation: Option<u32>,
}

impl TaskPlan {
    /// A task with the scheduler's own defaults whose code takes half a second.
    #[must_use]
    pub fn new(name: impl Into<String>, schedule: impl Into<ScheduleSource>) -> Self {
        Self {
            name: name.into(),
            schedule: schedule.into(),
            takes: (Duration::from_millis(500), Duration::from_millis(500)),
            obeys: true,
            fails_percent: 0,
            attempts: 1,
            concurrency: 1,
            overlap: Overlap::Skip,
            max_running: None,
            max_running_per_node: None,
            on_crash: OnCrash::Lose,
            catch_up: CatchUp::Latest,
            window: None,
            jitter: Duration::ZERO,
            aliases: Vec::new(),
            generation: None,
        }
    }
}

/// Who decides which node runs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The one that is shipped: claims in a store of runs, judged by the store's clock.
    Tenure,
    /// The origin's: a key that is kept for this long and never deleted, judged by nobody.
    KeyWithTtl(Duration),
}

/// A schedule of faults, and the cluster it happens to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// What they run in the beginning, all of them: release 0.
    pub tasks: Vec<TaskPlan>,
    /// What later releases of the program run, from release 1 on.
    pub later: Vec<Vec<TaskPlan>>,
    /// What goes wrong when, in order.
    pub faults: Vec<(Duration, Fault)>,
    /// What the store's clock shows in the beginning.
    pub begins_at: Timestamp,
    /// How long things go wrong. Then everything is mended.
    pub length: Duration,
    /// How long the cluster has afterwards, to come to rest and to show that it works.
    pub calm: Duration,
    /// How long a message between a node and the store takes, in milliseconds.
    pub delay_ms: (u64, u64),
    /// How long the store counts a node as alive without hearing from it.
    pub node_ttl: Duration,
    /// How often a node looks for waiting runs.
    pub take_every: Duration,
    /// Who decides.
    pub protocol: Protocol,
}

impl Plan {
    /// A cluster to which nothing happens.
    #[must_use]
    pub fn calm(seed: u64, nodes: usize, tasks: Vec<TaskPlan>, length: Duration) -> Self {
        Self {
            seed,
            nodes,
            tasks,
            later: Vec::new(),
            faults: Vec::new(),
            begins_at: BEGINNING,
            length,
            calm: Duration::from_secs(36),
            delay_ms: (0, 0),
            node_ttl: Duration::from_secs(6),
            take_every: Duration::from_secs(2),
            protocol: Protocol::Tenure,
        }
    }

    /// Adds a fault, after those that are there.
    #[must_use]
    pub fn with(mut self, at: Duration, fault: Fault) -> Self {
        self.faults.push((at, fault));
        self.faults.sort_by_key(|(at, _)| *at);
        self
    }

    /// How many releases there are.
    pub(crate) fn releases(&self) -> usize {
        1 + self.later.len()
    }

    /// What a release runs.
    pub(crate) fn release(&self, number: usize) -> &[TaskPlan] {
        match number.checked_sub(1) {
            None => &self.tasks,
            Some(later) => self.later.get(later).map_or(&[], Vec::as_slice),
        }
    }

    /// The tasks of all releases.
    pub(crate) fn all_tasks(&self) -> impl Iterator<Item = &TaskPlan> {
        self.tasks.iter().chain(self.later.iter().flatten())
    }

    /// Whether the store ever forgets.
    pub(crate) fn forgets(&self) -> bool {
        self.has(|fault| matches!(fault, Fault::Forget))
    }

    /// Whether the store's wall clock is ever stepped.
    pub(crate) fn steps_store(&self) -> bool {
        self.has(|fault| matches!(fault, Fault::StepStore(_)))
    }

    /// Whether every message arrives at once and once, and nodes only die and are started.
    pub(crate) fn is_reliable(&self) -> bool {
        let harmless = |fault: &Fault| {
            matches!(
                fault,
                Fault::Kill(_)
                    | Fault::Restart(_)
                    | Fault::Deploy(..)
                    | Fault::Skew(..)
                    | Fault::StepStore(_)
            )
        };
        self.delay_ms == (0, 0) && !self.has(|fault| !harmless(fault))
    }

    fn has(&self, what: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|(_, fault)| what(fault))
    }
}

/// The plan as a person would write it, for reading a failure.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} nodes, {:?} of faults, messages take {:?} ms, node ttl {:?}, {:?}",
            self.seed, self.nodes, self.length, self.delay_ms, self.node_ttl, self.protocol
        )?;
        for task in &self.tasks {
            writeln!(f, "  {task:?}")?;
        }
        for (number, tasks) in (1..).zip(&self.later) {
            writeln!(f, "  release {number}:")?;
            for task in tasks {
                writeln!(f, "    {task:?}")?;
            }
        }
        for (at, fault) in &self.faults {
            writeln!(f, "  {:>9.3} s {fault:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
