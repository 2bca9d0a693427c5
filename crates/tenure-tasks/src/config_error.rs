//! What can be wrong with a configuration, and how it is told: all of it, at once.

use std::fmt;

use tenure_core::InvalidName;
use tenure_schedule::ScheduleError;

use crate::manager::{DEFAULT_MANAGER, TaskError};

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no manager.
    #[error("there is no task manager; add one with `manager`")]
    NoManager,
    /// More than one manager has no name.
    #[error("{count} task managers have no name, only the default may; name the others")]
    TwoDefaultManagers {
        /// How many.
        count: usize,
    },
    /// Several managers have one name.
    #[error("{times} task managers are named `{}`; give each a name of its own", shown(.name))]
    RepeatedManager {
        /// The name.
        name: String,
        /// How many have it.
        times: usize,
    },
    /// A manager, or a task that asks for one, uses the default manager's internal name.
    #[error("the manager name `{DEFAULT_MANAGER}` is reserved{}; {}", of(.task.as_ref()),
        instead(.task.as_ref()))]
    ReservedName {
        /// The task that asks for it; `None` if a manager has it.
        task: Option<String>,
    },
    /// A manager's application state is not of the type that the tasks take.
    #[error("the application state of the manager {} is of another type than the tasks'",
        named(.manager.as_ref()))]
    WrongApplication {
        /// The manager; `None` for the default.
        manager: Option<String>,
    },
    /// Several tasks have one name.
    #[error("{times} tasks are named `{}`; give each a name of its own", shown(.name))]
    RepeatedTask {
        /// The name.
        name: String,
        /// How many have it.
        times: usize,
    },
    /// A task's name is not allowed.
    #[error("task `{}`: {source}", shown(.task))]
    InvalidName {
        /// The name.
        task: String,
        /// Why not.
        source: InvalidName,
    },
    /// A task was to be named after code that has no name: a closure, a pointer, a box.
    #[error("the code `{}` has no name; write `Task::new(\"name\")`, or give `Task::of` a function",
        shown(.code))]
    Nameless {
        /// What the compiler calls it.
        code: String,
    },
    /// A task has no schedule.
    #[error("task `{}` has no schedule; write `-` to switch it off", shown(.task))]
    NoSchedule {
        /// The task.
        task: String,
    },
    /// A task has no code.
    #[error("task `{}` has no code; add it with `run`", shown(.task))]
    NoCode {
        /// The task.
        task: String,
    },
    /// A task asks for a manager that does not exist.
    #[error("task `{}` asks for the manager `{}`, which does not exist{}", shown(.task),
        shown(.manager), listed(.known))]
    UnknownManager {
        /// The task.
        task: String,
        /// The manager it asks for.
        manager: String,
        /// The names there are, a few of them.
        known: Vec<String>,
    },
    /// A task asks for no manager, and there is no default one.
    #[error("task `{}` asks for no manager, and there is no default one{}", shown(.task),
        listed(.known))]
    NoDefaultManager {
        /// The task.
        task: String,
        /// The names there are, a few of them.
        known: Vec<String>,
    },
    /// A task's schedule cannot be read.
    #[error("task `{}`: schedule `{}`: {source}, at column {}", shown(.task), shown(.source.text()),
        .source.span().start + 1)]
    Schedule {
        /// The task.
        task: String,
        /// What is wrong, and where in the text.
        source: ScheduleError,
    },
    /// A task's zone is not known.
    #[error("task `{}`: {source}{}", shown(.task), help(.source))]
    Zone {
        /// The task.
        task: String,
        /// What is wrong.
        source: ScheduleError,
    },
    /// A task's setting makes no sense.
    #[error("task `{}`: {setting}: {problem}", shown(.task))]
    Setting {
        /// The task.
        task: String,
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An alarm makes no sense.
    #[error("alarm `{}`: {problem}", shown(.alarm))]
    Alarm {
        /// The alarm's name.
        alarm: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An option of the runner makes no sense.
    #[error("option {option}: {problem}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
}

impl ConfigError {
    /// The task it is about, if it is about one.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::RepeatedTask { name: task, .. }
            | Self::ReservedName { task: Some(task) }
            | Self::InvalidName { task, .. }
            | Self::NoSchedule { task }
            | Self::NoCode { task }
            | Self::UnknownManager { task, .. }
            | Self::NoDefaultManager { task, .. }
            | Self::Schedule { task, .. }
            | Self::Zone { task, .. }
            | Self::Setting { task, .. } => Some(task),
            _ => None,
        }
    }

    /// The setting of a task it is about, if it is about one.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        Some(match self {
            Self::RepeatedTask { .. } | Self::InvalidName { .. } => "name",
            Self::NoSchedule { .. } | Self::Schedule { .. } => "schedule",
            Self::Zone { .. } => "zone",
            Self::UnknownManager { .. }
            | Self::NoDefaultManager { .. }
            | Self::ReservedName { task: Some(_) } => "manager",
            Self::Setting { setting, .. } => setting,
            _ => return None,
        })
    }
}

/// Everything that is wrong with a configuration. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The faults, if there are any.
    pub(crate) fn if_any(faults: Vec<ConfigError>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self(faults))
        }
    }

    pub(crate) fn no_schedule(task: &str) -> Self {
        let task = task.to_owned();
        Self(vec![ConfigError::NoSchedule { task }])
    }

    /// The faults: those of managers and options first, then those of tasks, in the order in which
    /// the tasks were given.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }

    /// The same, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One line if there is one fault, else a line each under a count. At most a hundred are written
/// out.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 100;
        if let [only] = self.0.as_slice() {
            return write!(f, "{only}");
        }
        write!(f, "{} faults in the configuration", self.0.len())?;
        for fault in self.0.iter().take(SHOWN) {
            write!(f, "\n- {fault}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, "\n- and {more} more"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong; no manager was asked anything.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A manager could not begin. Those that had begun were closed again.
    #[error("the task manager {} cannot begin", named(.manager.as_ref()))]
    Manager {
        /// The manager; `None` for the default.
        manager: Option<String>,
        /// Why.
        source: TaskError,
    },
}

/// A name as a message may show it: at most 80 characters, control characters escaped.
pub(crate) fn shown(name: &str) -> String {
    let mut short: String = name
        .chars()
        .take(80)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if name.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

pub(crate) fn named(manager: Option<&String>) -> String {
    manager.map_or_else(
        || "without a name".to_owned(),
        |name| format!("`{}`", shown(name)),
    )
}

fn of(task: Option<&String>) -> String {
    task.map_or_else(String::new, |task| {
        format!(", and task `{}` asks for it", shown(task))
    })
}

fn instead(task: Option<&String>) -> &'static str {
    match task {
        Some(_) => "leave the manager out to use the default one",
        None => "choose another",
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", shown(name)))
        .collect();
    format!("; there is {}", names.join(", "))
}

fn help(error: &ScheduleError) -> String {
    error
        .help()
        .map_or_else(String::new, |help| format!("; {help}"))
}
