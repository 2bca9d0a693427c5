//! Task files: what they say, checked as a whole before anything starts.
//!
//! Reading goes bytes → text ([`source`]) → table ([`syntax`]) → settings ([`section`],
//! [`settings`]) → tasks ([`task`]). Every step adds what it finds to one list of
//! [`Problem`]s, so that a file's faults are all told at once. Nothing here runs anything.

mod account;
mod alarm;
mod beside;
mod dashboard;
mod expand;
mod keep;
mod lineage;
mod problem;
mod render;
mod section;
mod settings;
mod source;
mod store;
mod syntax;
mod task;
#[cfg(test)]
mod tests;
mod warn;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(crate) use self::account::{Account, SWITCH};
pub(crate) use self::alarm::{AlarmEntry, Target};
pub(crate) use self::dashboard::DashboardEntry;
pub(crate) use self::problem::Severity;
use self::problem::{Place, Problem, Problems};
pub(crate) use self::render::{json, render};
pub(crate) use self::settings::{Crash, OutputMode};
use self::source::Source;
pub(crate) use self::source::files_of;
pub(crate) use self::store::{Interop, StoreEntry, is_redis};
pub(crate) use self::task::{Action, TaskEntry};
use tenure::core::{OnChange, TaskName};
use tenure::tasks::AlarmRule;
use tenure::{CatchUp, Overlap};

use crate::exit::Failure;
use crate::text::shown_os;

/// Several task files, read as one.
#[derive(Debug)]
pub(crate) struct TaskFiles {
    pub(crate) sources: Vec<Source>,
    pub(crate) store: Option<StoreEntry>,
    /// How many runs this process takes on at once, and where that is said.
    node_limit: Option<(usize, Place)>,
    /// What is said of the dashboard, and where.
    dashboard: Option<(DashboardEntry, Place)>,
    pub(crate) tasks: Vec<TaskEntry>,
    /// Names of tasks that are over: nodes that still have one are to claim it no more.
    pub(crate) retired: Vec<TaskName>,
    pub(crate) alarms: Vec<AlarmEntry>,
    pub(crate) problems: Problems,
}

impl TaskFiles {
    /// Reads the files. What is wrong inside them is in `problems`.
    ///
    /// # Errors
    /// A file that cannot be read as text at all.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = Self {
            sources: Vec::new(),
            store: None,
            node_limit: None,
            dashboard: None,
            tasks: Vec::new(),
            retired: Vec::new(),
            alarms: Vec::new(),
            problems: Problems::default(),
        };
        for path in files_of(paths)? {
            let (source, found) = Source::read(&path)?;
            files.problems.add_all(found);
            files.sources.push(source);
        }
        files.interpret(&|name| std::env::var(name).ok());
        Ok(files)
    }

    /// Reads one file's text, as if it stood at `path`.
    #[cfg(test)]
    pub(crate) fn of_text(path: &str, text: &str) -> Self {
        let mut files = Self {
            sources: vec![Source::of_text(Path::new(path), text)],
            store: None,
            node_limit: None,
            dashboard: None,
            tasks: Vec::new(),
            retired: Vec::new(),
            alarms: Vec::new(),
            problems: Problems::default(),
        };
        files.interpret(&|name| (name == "SET").then(|| "value-of-set".to_owned()));
        files
    }

    /// Whether nothing forbids running the files.
    pub(crate) fn are_sound(&self) -> bool {
        !self.problems.any_error()
    }

    fn interpret(&mut self, variables: &dyn Fn(&str) -> Option<String>) {
        let (mut names, mut limits, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for (number, source) in self.sources.iter().enumerate() {
            let reading = expand::Reading {
                file: number,
                source,
                variables,
            };
            let Some(table) = syntax::parse(&reading, &mut self.problems) else {
                continue;
            };
            let content = task::read_file(&reading, &table, &mut self.problems);
            self.tasks.extend(content.tasks);
            self.retired.extend(content.retired);
            self.alarms.extend(content.alarms);
            names.extend(content.names);
            limits.extend(content.node_limit);
            shown.extend(content.dashboard);
            match (&self.store, content.store) {
                (Some(first), Some(second)) if !first.is(&second) => {
                    self.problems.add(
                        Problem::error("the files name different stores, or use one differently")
                            .at(second.place, "another store")
                            .and(first.place.clone(), "first named here")
                            .help("give the store once, or with --store"),
                    );
                }
                (None, Some(store)) => self.store = Some(store),
                _ => {}
            }
        }
        for dashboard in shown {
            self.show(dashboard);
        }
        for limit in limits {
            self.limit_node(limit);
        }
        self.find_repeated(&names);
        let lineages = self.tasks.iter().map(|task| (&task.name, &task.lineage));
        lineage::check_aliases(&names, lineages, &mut self.problems);
        self.look_at_alarms(&names);
        self.find_beyond_interop();
        self.find_idle();
        self.problems.sort();
    }

    /// Warns if there is nothing to run, which would otherwise look like waiting for the next tick.
    fn find_idle(&mut self) {
        if self.problems.any_error() || self.tasks.iter().any(|task| task.enabled) {
            return;
        }
        let name = |source: &Source| shown_os(source.path().as_os_str());
        let files: Vec<String> = self.sources.iter().map(name).collect();
        let all = files.join("`, `");
        self.problems.add(
            Problem::warning(format!("no task in `{all}` is enabled: nothing will run"))
                .help("add a [[task]], or remove enabled = false"),
        );
    }

    /// How many runs this process takes on at once; `None`: any number.
    pub(crate) fn max_running(&self) -> Option<usize> {
        self.node_limit.as_ref().map(|(most, _)| *most)
    }

    /// What is said of the dashboard.
    pub(crate) fn dashboard(&self) -> Option<&DashboardEntry> {
        self.dashboard.as_ref().map(|(entry, _)| entry)
    }

    fn show(&mut self, said: (DashboardEntry, Place)) {
        match &self.dashboard {
            Some((first, earlier)) if *first != said.0 => {
                self.problems.add(
                    Problem::error("the files say different things of [dashboard]")
                        .at(said.1, "something else here")
                        .and(earlier.clone(), "first said here")
                        .help("it holds for the whole process; write it in one file"),
                );
            }
            Some(_) => {}
            None => self.dashboard = Some(said),
        }
    }

    fn limit_node(&mut self, limit: (usize, Place)) {
        match &self.node_limit {
            Some((first, earlier)) if *first != limit.0 => {
                self.problems.add(
                    Problem::error("the files set max_running of [node] differently")
                        .at(limit.1, "another number here")
                        .and(earlier.clone(), "first set here")
                        .help("it holds for the whole process; set it in one file"),
                );
            }
            Some(_) => {}
            None => self.node_limit = Some(limit),
        }
    }

    /// What the origin's wire format cannot carry is refused, not left undone in silence.
    fn find_beyond_interop(&mut self) {
        let Some(interop) = self.store.as_ref().and_then(|store| store.interop.as_ref()) else {
            return;
        };
        if let Some(name) = self.retired.first() {
            let title = format!("`retired` (`{name}`) cannot be had with interop");
            self.problems.add(
                Problem::error(title)
                    .at(
                        interop.place.clone(),
                        "the origin's keys know no definitions",
                    )
                    .help("remove retired, or interop if all instances are tenure's"),
            );
        }
        for task in &self.tasks {
            let asked = [
                ("retry", task.retry.is_some()),
                ("on_crash", task.on_crash == Crash::Retry),
                (
                    "catch_up",
                    matches!(task.catch_up, CatchUp::All | CatchUp::Earliest),
                ),
                (
                    "overlap",
                    !matches!(task.beside.overlap, Overlap::Skip | Overlap::Allow),
                ),
                ("max_running", task.beside.max_running.is_some()),
                (
                    "max_running_per_node",
                    task.beside.max_running_per_node.is_some(),
                ),
                ("catch_up_max", task.catch_up_max.is_some()),
                ("keep", task.keep.is_some()),
                ("aliases", !task.lineage.aliases.is_empty()),
                ("generation", task.lineage.generation.is_some()),
                ("on_change", task.lineage.on_change != OnChange::Newest),
            ];
            for (key, _) in asked.iter().filter(|(_, is_asked)| *is_asked) {
                let title = format!("`{key}` of task `{}` cannot be had with interop", task.name);
                self.problems.add(
                    Problem::error(title)
                        .at(
                            interop.place.clone(),
                            "the origin's keys keep no record of a run",
                        )
                        .help(format!(
                            "remove {key}, or interop if all instances are tenure's"
                        )),
                );
            }
        }
    }

    /// Alarms need names of their own, tasks to be about, and a store that keeps records.
    fn look_at_alarms(&mut self, names: &[(TaskName, Place)]) {
        let mut first: HashMap<&str, &Place> = HashMap::new();
        for alarm in &self.alarms {
            if let Some(earlier) = first.insert(&alarm.name, &alarm.place) {
                self.problems.add(
                    Problem::error(format!("two alarms are `{}`", alarm.name))
                        .at(alarm.place.clone(), "used again here")
                        .and(earlier.clone(), "first used here")
                        .help("give each a name of its own, or remove one"),
                );
            }
            for (pattern, place) in &alarm.tasks {
                let mut names = names.iter();
                let rule = AlarmRule::new("").tasks([pattern]);
                if !names.any(|(name, _)| rule.is_about(name)) {
                    let title = format!("no task is called `{}`", crate::text::shown(pattern));
                    self.problems.add(
                        Problem::warning(title)
                            .at(place.clone(), "this alarm is never about it")
                            .help("`*` stands for any text"),
                    );
                }
            }
        }
        let interop = self.store.as_ref().and_then(|store| store.interop.as_ref());
        if let (Some(interop), Some(alarm)) = (interop, self.alarms.first()) {
            self.problems.add(
                Problem::error("alarms cannot be had with interop")
                    .at(alarm.place.clone(), "noticed by records of runs")
                    .and(interop.place.clone(), "the origin's keys keep none")
                    .help("remove the alarms, or interop if all instances are tenure's"),
            );
        }
    }

    fn find_repeated(&mut self, names: &[(TaskName, Place)]) {
        let mut first: HashMap<&TaskName, &Place> = HashMap::new();
        for (name, place) in names {
            if let Some(earlier) = first.get(name) {
                self.problems.add(
                    Problem::error(format!("task name `{name}` is used twice"))
                        .at(place.clone(), "used again here")
                        .and((*earlier).clone(), "first used here")
                        .help("a name stands for one task; rename one of them"),
                );
            } else {
                first.insert(name, place);
            }
        }
    }
}

/// The folder that a file's relative paths begin at.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
}
