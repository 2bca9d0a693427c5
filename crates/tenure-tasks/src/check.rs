//! Checks a whole configuration before anything starts, and sorts its tasks under their managers.
//!
//! Finds every fault, not the first. Asks no manager and no store anything.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{DEFAULT_NAMESPACE, Generation, OnCrash, TaskName, format_duration};
use tenure_schedule::{Schedule, Zone};
use tokio::runtime::Handle;

use crate::alarm::{self, AlarmRule, check_rules};
use crate::attempt::Code;
use crate::config_error::{ConfigError, ConfigErrors};
use crate::context::TaskContext;
use crate::hash;
use crate::limits::{check_limits, check_storeless};
use crate::manager::{DEFAULT_MANAGER, TaskManager};
use crate::names::{aliases_of, check_aliases, name_fault};
use crate::options::RunnerOptions;
use crate::spec::{TaskSpec, Terms, default_window};
use crate::task::{Draft, Handler, ScheduleSource, Task};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX_CONCURRENCY: u32 = 1000;
const MAX_CATCH_UP: usize = 1000;
const MAX_DETAILS: usize = 64 * 1024;

/// A checked task with its code.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) code: Code,
    pub(crate) runtime: Option<Handle>,
}

/// A manager and the tasks that asked for it.
pub(crate) struct Assigned {
    pub(crate) manager: Arc<dyn TaskManager>,
    pub(crate) work: Vec<Work>,
}

pub(crate) fn check<S: Send + Sync + 'static>(
    application: &Arc<S>,
    managers: &[Arc<dyn TaskManager>],
    tasks: Vec<Task<S>>,
    options: &RunnerOptions,
    alarms: &[AlarmRule],
) -> Result<Vec<Assigned>, ConfigErrors> {
    let mut faults = Vec::new();
    options.check(&mut faults);
    let can_keep = managers.iter().any(|manager| manager.runs().is_some());
    check_rules(alarms, can_keep, &mut faults);
    check_telling(alarms, managers, &mut faults);
    let places = check_managers(managers, &mut faults);
    let states = applications(application, managers, &mut faults);
    check_repeated(&tasks, &mut faults);
    check_aliases(&tasks, &mut faults);

    let mut assigned: Vec<Assigned> = managers
        .iter()
        .map(|manager| Assigned {
            manager: manager.clone(),
            work: Vec::new(),
        })
        .collect();
    let mut checker = Checker::default();
    for task in tasks {
        let of_namespace = places.of_namespace(&task.draft);
        let spec = checker.spec(&task.draft, of_namespace, &mut faults);
        let place = place_of(&task.draft, &places, &mut faults);
        check_keep(&task.draft, options.keep_history, &mut faults);
        check_own(&task.draft, &mut faults);
        if task.handler.is_none() {
            faults.push(ConfigError::NoCode {
                task: task.draft.name.clone(),
            });
        }
        let manager = place.and_then(|place| managers.get(place));
        if let (Some(spec), Some(manager)) = (&spec, manager)
            && manager.runs().is_none()
        {
            check_storeless(spec, &mut faults);
        }
        if let (Some(spec), Some(handler), Some(place)) = (spec, task.handler, place)
            && let (Some(state), Some(assigned)) = (states.get(place), assigned.get_mut(place))
        {
            assigned.work.push(Work {
                spec: Arc::new(spec),
                code: with_application(handler, state.clone()),
                runtime: task.runtime,
            });
        }
    }
    ConfigErrors::if_any(faults)?;
    Ok(assigned)
}

/// Checks one task as if it were alone, for programs that only want its ticks.
///
/// # Errors
/// Everything that is wrong with it, except that it may lack code and a manager.
pub(crate) fn check_alone<S>(task: &Task<S>) -> Result<TaskSpec, ConfigErrors> {
    let mut faults = Vec::new();
    check_own(&task.draft, &mut faults);
    check_with(task, faults)
}

/// The same of a task of tenure's own, which bears such a name.
pub(crate) fn check_ours<S>(task: &Task<S>) -> Result<TaskSpec, ConfigErrors> {
    check_with(task, Vec::new())
}

fn check_with<S>(task: &Task<S>, mut faults: Vec<ConfigError>) -> Result<TaskSpec, ConfigErrors> {
    let of_namespace = hash::of_namespace(DEFAULT_NAMESPACE);
    let spec = Checker::default().spec(&task.draft, of_namespace, &mut faults);
    // How long all records are kept is not the task's to know.
    check_keep(&task.draft, None, &mut faults);
    ConfigErrors::if_any(faults)?;
    // Without a fault there is a spec; the fallback is never built.
    spec.ok_or_else(|| ConfigErrors::no_schedule(&task.draft.name))
}

/// Checks tasks without managers, for tests of their code.
///
/// # Errors
/// Everything that is wrong with them.
#[cfg(feature = "test")]
pub(crate) fn check_alone_all<S: Send + Sync + 'static>(
    application: &Arc<S>,
    tasks: Vec<Task<S>>,
) -> Result<Vec<Work>, ConfigErrors> {
    let mut faults = Vec::new();
    check_repeated(&tasks, &mut faults);
    check_aliases(&tasks, &mut faults);
    let of_namespace = hash::of_namespace(DEFAULT_NAMESPACE);
    let mut checker = Checker::default();
    let mut works = Vec::with_capacity(tasks.len());
    for task in tasks {
        let spec = checker.spec(&task.draft, of_namespace, &mut faults);
        check_keep(&task.draft, None, &mut faults);
        check_own(&task.draft, &mut faults);
        let Some(handler) = task.handler else {
            let task = task.draft.name.clone();
            faults.push(ConfigError::NoCode { task });
            continue;
        };
        works.extend(spec.map(|spec| Work {
            spec: Arc::new(spec),
            code: with_application(handler, application.clone()),
            runtime: task.runtime,
        }));
    }
    ConfigErrors::if_any(faults)?;
    Ok(works)
}

fn with_application<S: Send + Sync + 'static>(handler: Handler<S>, application: Arc<S>) -> Code {
    Arc::new(move |attempt| handler(TaskContext::new(attempt, application.clone())))
}

/// Where the managers stand, by name; the default one under [`DEFAULT_MANAGER`].
struct Places {
    by_name: HashMap<String, usize>,
    known: Vec<String>,
    /// What the namespace of each manager's store is to jitter.
    of_namespaces: Vec<u64>,
}

impl Places {
    fn find(&self, manager: Option<&str>) -> Option<usize> {
        let name = manager.unwrap_or(DEFAULT_MANAGER);
        self.by_name.get(name).copied()
    }

    /// What jitter is drawn for, besides the task itself and its ticks.
    fn of_namespace(&self, draft: &Draft) -> u64 {
        let place = self.find(draft.manager.as_deref());
        let known = place.and_then(|place| self.of_namespaces.get(place));
        known.map_or_else(|| hash::of_namespace(DEFAULT_NAMESPACE), |known| *known)
    }
}

fn check_managers(managers: &[Arc<dyn TaskManager>], faults: &mut Vec<ConfigError>) -> Places {
    let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut by_name = HashMap::new();
    for (place, manager) in managers.iter().enumerate() {
        *counts.entry(manager.name()).or_default() += 1;
        let name = manager.name().unwrap_or(DEFAULT_MANAGER);
        by_name.entry(name.to_owned()).or_insert(place);
    }
    if managers.is_empty() {
        faults.push(ConfigError::NoManager);
    }
    for (name, count) in &counts {
        match name {
            Some(DEFAULT_MANAGER) => faults.push(ConfigError::ReservedName { task: None }),
            Some(name) if *count > 1 => faults.push(ConfigError::RepeatedManager {
                name: (*name).to_owned(),
                times: *count,
            }),
            None if *count > 1 => faults.push(ConfigError::TwoDefaultManagers { count: *count }),
            _ => {}
        }
    }
    let known = counts
        .keys()
        .flatten()
        .take(10)
        .map(|name| (*name).to_owned())
        .collect();
    let of_namespaces = managers.iter().map(|manager| {
        let access = manager.runs();
        let name = access.as_ref().map(|access| access.store.namespace());
        hash::of_namespace(name.unwrap_or(DEFAULT_NAMESPACE))
    });
    Places {
        by_name,
        known,
        of_namespaces: of_namespaces.collect(),
    }
}

/// The state that each manager's tasks see.
fn applications<S: Send + Sync + 'static>(
    application: &Arc<S>,
    managers: &[Arc<dyn TaskManager>],
    faults: &mut Vec<ConfigError>,
) -> Vec<Arc<S>> {
    let state_of = |manager: &Arc<dyn TaskManager>| match manager.application() {
        None => Ok(application.clone()),
        Some(own) => own
            .downcast::<S>()
            .map_err(|_| ConfigError::WrongApplication {
                manager: manager.name().map(str::to_owned),
            }),
    };
    managers
        .iter()
        .map(|manager| {
            state_of(manager).unwrap_or_else(|fault| {
                faults.push(fault);
                application.clone()
            })
        })
        .collect()
}

fn check_repeated<S>(tasks: &[Task<S>], faults: &mut Vec<ConfigError>) {
    let mut counts: HashMap<&str, usize> = HashMap::with_capacity(tasks.len());
    for task in tasks.iter().filter(|task| !task.draft.is_nameless) {
        *counts.entry(&task.draft.name).or_default() += 1;
    }
    for task in tasks {
        // Taken out, so that each is told once, at its first place.
        if let Some(times) = counts.remove(task.draft.name.as_str())
            && times > 1
        {
            faults.push(ConfigError::RepeatedTask {
                name: task.draft.name.clone(),
                times,
            });
        }
    }
}

fn place_of(draft: &Draft, places: &Places, faults: &mut Vec<ConfigError>) -> Option<usize> {
    let task = || draft.name.clone();
    match draft.manager.as_deref() {
        Some(DEFAULT_MANAGER) => {
            faults.push(ConfigError::ReservedName { task: Some(task()) });
            None
        }
        Some(name) => {
            let place = places.find(Some(name));
            if place.is_none() {
                faults.push(ConfigError::UnknownManager {
                    task: task(),
                    manager: name.to_owned(),
                    known: places.known.clone(),
                });
            }
            place
        }
        None => {
            let place = places.find(None);
            // Without any manager that is the one fault to tell.
            if place.is_none() && !places.by_name.is_empty() {
                faults.push(ConfigError::NoDefaultManager {
                    task: task(),
                    known: places.known.clone(),
                });
            }
            place
        }
    }
}

/// Checks tasks one by one; remembers what is costly to compute for each zone, and what tasks have
/// in common.
#[derive(Default)]
struct Checker {
    zone_rules: HashMap<String, u64>,
    terms: HashMap<(Generation, u64), Arc<Terms>>,
}

impl Checker {
    /// The checked task, or `None` and at least one fault.
    fn spec(
        &mut self,
        draft: &Draft,
        of_namespace: u64,
        faults: &mut Vec<ConfigError>,
    ) -> Option<TaskSpec> {
        let before = faults.len();
        let name = name_of(draft, faults);
        let schedule = schedule_of(draft, faults);
        check_numbers(draft, faults);
        let aliases = aliases_of(draft, faults);
        let (name, schedule) = (name?, schedule?);
        if faults.len() > before {
            return None;
        }
        let catch_up_window = draft
            .catch_up_window
            .unwrap_or_else(|| default_window(&schedule));
        let mut terms = Terms {
            schedule,
            generation: Generation::new("0").ok()?,
            concurrency: draft.concurrency.unwrap_or(1),
            timeout: draft.timeout,
            retry: draft.retry,
            overlap: draft.overlap,
            max_running: draft.max_running,
            max_running_per_node: draft.max_running_per_node,
            catch_up: draft.catch_up,
            catch_up_window,
            catch_up_max: draft.catch_up_max.unwrap_or(10),
            on_crash: draft.on_crash,
            on_lease_loss: draft.on_lease_loss,
            affinity: draft.affinity,
            jitter: draft.jitter,
            of_namespace,
            details: draft.details.as_str().into(),
            aliases: aliases.into(),
            number: draft.number.unwrap_or(0),
            on_change: draft.on_change,
            keep: draft.keep,
            is_retired: draft.is_retired,
        };
        let zone = terms.schedule.zone();
        let rules = *self
            .zone_rules
            .entry(zone.name().to_owned())
            .or_insert_with(|| zone.rules_fingerprint());
        terms.generation = Generation::new(terms.hashed(rules)).ok()?;
        let terms = self.shared(terms);
        Some(TaskSpec { name, terms })
    }

    /// The same terms, kept once for all tasks that have them.
    fn shared(&mut self, terms: Terms) -> Arc<Terms> {
        let place = (terms.generation.clone(), terms.of_namespace);
        match self.terms.entry(place) {
            Entry::Occupied(known) if **known.get() == terms => known.get().clone(),
            // A generation is a hash, so that two may meet in one; then the later have their own.
            Entry::Occupied(_) => Arc::new(terms),
            Entry::Vacant(free) => free.insert(Arc::new(terms)).clone(),
        }
    }
}

fn name_of(draft: &Draft, faults: &mut Vec<ConfigError>) -> Option<TaskName> {
    let task = || draft.name.clone();
    if draft.is_nameless {
        faults.push(ConfigError::Nameless { code: task() });
        return None;
    }
    let problem = match TaskName::new(&draft.name) {
        Ok(name) => match name_fault(&draft.name) {
            None => return Some(name),
            Some(problem) => ConfigError::Setting {
                task: task(),
                setting: "name",
                problem,
            },
        },
        Err(source) => ConfigError::InvalidName {
            task: task(),
            source,
        },
    };
    faults.push(problem);
    None
}

fn schedule_of(draft: &Draft, faults: &mut Vec<ConfigError>) -> Option<Schedule> {
    let task = || draft.name.clone();
    let zone = match draft.zone.as_deref().map(Zone::parse) {
        None => Some(None),
        Some(Ok(zone)) => Some(Some(zone)),
        Some(Err(source)) => {
            let task = task();
            faults.push(ConfigError::Zone { task, source });
            None
        }
    };
    let schedule = match &draft.schedule {
        None => {
            faults.push(ConfigError::NoSchedule { task: task() });
            None
        }
        Some(ScheduleSource::Parsed(schedule)) => {
            if draft.zone.is_some() {
                faults.push(ConfigError::Setting {
                    task: task(),
                    setting: "zone",
                    problem: "a schedule that was read already has its zone; leave this out".into(),
                });
            }
            Some(schedule.clone())
        }
        Some(ScheduleSource::Text(text)) => {
            // A wrong zone must not hide a wrong schedule.
            let zone = zone.clone().flatten().unwrap_or_default();
            match Schedule::parse_in(text, &zone) {
                Ok(schedule) => Some(schedule),
                Err(source) => {
                    let task = task();
                    faults.push(ConfigError::Schedule { task, source });
                    None
                }
            }
        }
    };
    zone?;
    let mut schedule = schedule?;
    if let Some(gap) = draft.gap {
        schedule = schedule.with_gap(gap);
    }
    if let Some(fold) = draft.fold {
        schedule = schedule.with_overlap(fold);
    }
    Some(schedule)
}

/// Alarms are told by tasks, which are named after the rule and the manager.
fn check_telling(
    rules: &[AlarmRule],
    managers: &[Arc<dyn TaskManager>],
    faults: &mut Vec<ConfigError>,
) {
    let keep = managers.iter().filter(|manager| manager.runs().is_some());
    let names: Vec<Option<&str>> = keep.map(|manager| manager.name()).collect();
    for rule in rules {
        let of_rule = names
            .iter()
            .filter_map(|name| alarm::fault_under(rule, *name));
        faults.extend(of_rule.map(|problem| ConfigError::Alarm {
            alarm: rule.name.clone(),
            problem,
        }));
    }
}

/// No task is called as those by which tenure tells alarms.
fn check_own(draft: &Draft, faults: &mut Vec<ConfigError>) {
    if draft.name.starts_with(alarm::PREFIX) {
        faults.push(ConfigError::Setting {
            task: draft.name.clone(),
            setting: "name",
            problem: format!("`{}` begins the names of tenure's own tasks", alarm::PREFIX),
        });
    }
}

fn check_keep(draft: &Draft, history: Option<Duration>, faults: &mut Vec<ConfigError>) {
    let rules = draft.keep.rules();
    let problems = rules.filter_map(|(_, rule)| rule.fault(history));
    faults.extend(problems.map(|problem| ConfigError::Setting {
        task: draft.name.clone(),
        setting: "keep",
        problem,
    }));
}

fn check_numbers(draft: &Draft, faults: &mut Vec<ConfigError>) {
    let mut fault = |setting, problem: String| {
        faults.push(ConfigError::Setting {
            task: draft.name.clone(),
            setting,
            problem,
        });
    };
    if let Some(runs) = draft.concurrency
        && !(1..=MAX_CONCURRENCY).contains(&runs)
    {
        fault(
            "concurrency",
            format!("{runs} must be 1 to {MAX_CONCURRENCY}"),
        );
    }
    if let Some(timeout) = draft.timeout {
        if timeout.is_zero() {
            fault(
                "timeout",
                "0s would stop every run; leave it out for no limit".into(),
            );
        } else if timeout > DAY * 365 {
            fault(
                "timeout",
                "longer than a year; leave it out for no limit".into(),
            );
        }
    }
    if let Some(problem) = draft.retry.fault() {
        fault("retry", problem.into());
    }
    check_limits(draft, &mut fault);
    if let Some(window) = draft.catch_up_window
        && !(Duration::from_secs(1)..=DAY * 31).contains(&window)
    {
        fault(
            "catch_up_window",
            format!("{} must be 1s to 31d", format_duration(window)),
        );
    }
    if let Some(ticks) = draft.catch_up_max
        && !(1..=MAX_CATCH_UP).contains(&ticks)
    {
        fault(
            "catch_up_max",
            format!("{ticks} must be 1 to {MAX_CATCH_UP}; to run none write catch_up = skip"),
        );
    }
    if let OnCrash::Retry { max_attempts } = draft.on_crash
        && max_attempts < 2
    {
        fault(
            "on_crash",
            format!("{max_attempts} attempts leave none for after a crash; write at least 2"),
        );
    }
    if draft.jitter > DAY {
        fault("jitter", format!("{:?} is longer than a day", draft.jitter));
    }
    if draft.details.len() > MAX_DETAILS {
        fault(
            "details",
            format!("{} bytes are more than {MAX_DETAILS}", draft.details.len()),
        );
    }
}
