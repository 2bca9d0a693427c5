//! When tasks are due: schedules as the store keeps them, parsed once, and asked in groups.
//!
//! Ten thousand tasks tend to share a few dozen schedules; each is searched once and counts for all
//! its tasks. The policies for clock changes are not in the store, so around one an answer may be
//! off by it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

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

/// Tasks that share a schedule.
pub(crate) struct Group<'s> {
    pub(crate) schedule: Arc<Schedule>,
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

    /// The tasks that will be due, by schedule: those that a live node can run and that are not
    /// paused for good.
    pub(crate) fn groups<'s>(&self, tasks: &'s [TaskRecord]) -> Vec<Group<'s>> {
        let mut by_text: HashMap<(&str, &str), Vec<&TaskRecord>> = HashMap::new();
        for task in tasks.iter().filter(|task| task.nodes > 0) {
            if task
                .pause
                .as_ref()
                .is_some_and(|pause| pause.until.is_none())
            {
                continue;
            }
            let definition = &task.definition;
            let text = (definition.schedule.as_str(), definition.zone.as_str());
            by_text.entry(text).or_default().push(task);
        }
        let mut groups: Vec<Group<'s>> = by_text
            .into_values()
            .filter_map(|tasks| {
                let schedule = self.of(tasks.first()?)?;
                Some(Group { schedule, tasks })
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

/// The next `count` ticks of all tasks after `now`, in order.
pub(crate) fn next_due<'s>(
    groups: &[Group<'s>],
    now: Timestamp,
    count: usize,
) -> Vec<(Timestamp, &'s TaskRecord)> {
    let mut heap = BinaryHeap::new();
    for (at, group) in groups.iter().enumerate() {
        if let Some(tick) = next_of(&group.schedule, now) {
            heap.push(Reverse((tick, at)));
        }
    }
    let mut due = Vec::new();
    while due.len() < count
        && let Some(Reverse((tick, at))) = heap.pop()
    {
        let Some(group) = groups.get(at) else { break };
        let fits = group.tasks.iter().filter(|task| {
            task.pause
                .as_ref()
                .is_none_or(|pause| !pause.holds_at(tick))
        });
        due.extend(fits.take(count - due.len()).map(|task| (tick, *task)));
        if let Some(next) = next_of(&group.schedule, tick) {
            heap.push(Reverse((next, at)));
        }
        // Groups that only hold paused tasks must not turn for ever.
        if heap.len() > groups.len() || tick.since(now).as_secs() > 366 * 24 * 3600 {
            break;
        }
    }
    due
}

/// The next tick of one schedule.
pub(crate) fn next_of(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    schedule.next_after(after.to_jiff()).map(Timestamp::from)
}
