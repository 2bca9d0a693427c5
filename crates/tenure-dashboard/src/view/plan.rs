//! When tasks are due: schedules as the store keeps them, parsed once, and asked in groups.
//!
//! Ten thousand tasks tend to share a few dozen schedules; each is searched once and counts for all
//! its tasks. The policies for clock changes are not in the store, so around one an answer may be
//! off by it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{TaskRecord, Timestamp};
use tenure_schedule::{Schedule, Zone};

/// How many parsed schedules are remembered before all are forgotten.
const MOST: usize = 20_000;

type Text = (String, String);

/// Schedules by their text and zone.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    known: Mutex<HashMap<Text, Option<Arc<Schedule>>>>,
}

/// From when on a task may run: `None` if nobody runs it, or if it is paused until somebody resumes
/// it; the beginning of time if it is not paused. A tick at the end of a pause runs.
pub(crate) fn opens_at(task: &TaskRecord, now: Timestamp) -> Option<Timestamp> {
    let pause = task.pause.as_ref().filter(|pause| pause.holds_at(now));
    match pause {
        _ if task.nodes == 0 => None,
        None => Some(Timestamp::EPOCH),
        Some(pause) => pause.until,
    }
}

/// After which instant its ticks run.
pub(crate) fn runs_after(opens_at: Timestamp, now: Timestamp) -> Timestamp {
    now.max(opens_at - Duration::from_millis(1))
}

/// Tasks that share a schedule, and the end of their pause.
pub(crate) struct Group<'s> {
    pub(crate) schedule: Arc<Schedule>,
    /// Their ticks after this instant run.
    pub(crate) after: Timestamp,
    pub(crate) tasks: Vec<&'s TaskRecord>,
}

impl Group<'_> {
    /// How many runs one tick has, of all tasks together.
    pub(crate) fn runs(&self) -> u64 {
        let each = self.tasks.iter();
        each.map(|task| u64::from(task.definition.concurrency))
            .sum()
    }
}

impl Plans {
    /// The schedule of a task; `None` if this program cannot read it.
    pub(crate) fn of(&self, task: &TaskRecord) -> Option<Arc<Schedule>> {
        let definition = &task.definition;
        let text = (definition.schedule.clone(), definition.zone.clone());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        let parsed = known.entry(text).or_insert_with_key(|(text, zone)| {
            let zone = Zone::parse(zone).ok()?;
            Schedule::parse_in(text, &zone).ok().map(Arc::new)
        });
        parsed.clone()
    }

    /// The tasks that will be due after `now`, by schedule: those that a live node can run and that
    /// are not paused for good.
    pub(crate) fn groups<'s>(&self, tasks: &'s [TaskRecord], now: Timestamp) -> Vec<Group<'s>> {
        let mut by_text: HashMap<(&str, &str, Timestamp), Vec<&TaskRecord>> = HashMap::new();
        for task in tasks {
            let Some(opens_at) = opens_at(task, now) else {
                continue;
            };
            let after = runs_after(opens_at, now);
            let definition = &task.definition;
            let text = (
                definition.schedule.as_str(),
                definition.zone.as_str(),
                after,
            );
            by_text.entry(text).or_default().push(task);
        }
        let mut groups: Vec<Group<'s>> = by_text
            .into_iter()
            .filter_map(|((_, _, after), tasks)| {
                let schedule = self.of(tasks.first()?)?;
                Some(Group {
                    schedule,
                    after,
                    tasks,
                })
            })
            .collect();
        groups.sort_by(|a, b| {
            let name =
                |group: &Group<'_>| group.tasks.first().map(|task| task.definition.task.clone());
            name(a).cmp(&name(b))
        });
        groups
    }
}

/// The next tick of one schedule.
pub(crate) fn next_of(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    schedule.next_after(after.to_jiff()).map(Timestamp::from)
}
