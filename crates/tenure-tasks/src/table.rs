//! The tasks of one manager, and when each is due: one ordered set, whatever their number.
//!
//! Each task has a cursor, up to which its ticks are dealt with, and at most one entry in the set
//! of timers. There is no timer of the runtime behind an entry: whoever drives the table sleeps
//! until the first one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use tenure_core::{Abilities, TaskName, Timestamp};

use crate::check::Work;
use crate::due::{Due, PUNCTUAL, due};
use crate::hash::Quick;
use crate::replacing::Replaced;
use crate::spec::TaskSpec;

/// A task's place in its table.
pub(crate) type TaskId = u32;

pub(crate) struct Entry {
    pub(crate) work: Work,
    cursor: Timestamp,
    timer: Option<Timestamp>,
    /// It was taken out. What was claimed of it before still finds its work.
    is_retired: bool,
}

/// A tick to come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextTick {
    /// The task.
    pub task: TaskName,
    /// The tick.
    pub tick: Timestamp,
    /// When its runs begin: the tick, or later by the task's jitter.
    pub starts_at: Timestamp,
}

/// What became due, and where the cursor was before.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) due: Due,
    pub(crate) before: Timestamp,
    /// The first tick that is not due yet.
    pub(crate) next: Option<Timestamp>,
}

pub(crate) struct Table {
    entries: Vec<Entry>,
    /// By the hash of the name, which stands in the entry: there may be very many.
    by_name: HashTable<TaskId>,
    /// Names that tasks had before. There are few.
    aliases: HashMap<TaskName, TaskId>,
    timers: BTreeSet<(Timestamp, TaskId)>,
    listed: usize,
    /// The tasks that have a limit on each node. There are few, and there may be very many tasks.
    limited: BTreeSet<TaskId>,
    /// When, of how many timers; and how many tasks should be looked at then.
    crowd: ((Timestamp, usize), u32),
}

impl Table {
    /// The tasks, none of them with a timer.
    pub(crate) fn new(work: Vec<Work>) -> Self {
        let mut table = Self {
            entries: Vec::with_capacity(work.len()),
            by_name: HashTable::with_capacity(work.len()),
            aliases: HashMap::new(),
            timers: BTreeSet::new(),
            listed: 0,
            limited: BTreeSet::new(),
            crowd: ((Timestamp::EPOCH, 0), 0),
        };
        for work in work {
            table.put(work);
        }
        table
    }

    /// What `work` would change if it were put here in place of everything.
    pub(crate) fn compare(&self, work: &[Work]) -> Replaced {
        let mut replaced = Replaced::default();
        let mut kept = HashSet::new();
        for work in work {
            let name = work.spec.name();
            kept.insert(name);
            let old = self.named(name).filter(|id| self.is_listed(*id));
            match old.and_then(|id| self.spec(id)) {
                None => replaced.added.push(name.clone()),
                Some(old) if old.generation() != work.spec.generation() => {
                    replaced.changed.push(name.clone());
                }
                Some(_) => replaced.unchanged += 1,
            }
        }
        let names = self.ids().map(|(_, entry)| entry.work.spec.name());
        let removed = names.filter(|name| !kept.contains(name)).cloned();
        replaced.removed = removed.collect();
        replaced
    }

    /// Puts a task in the place of the one with its name, or in a new place. Its cursor stays, and
    /// its timer follows the new schedule.
    pub(crate) fn put(&mut self, work: Work) -> TaskId {
        let is_limited = work.spec.max_running_per_node().is_some();
        let aliases: Vec<TaskName> = work.spec.aliases().to_vec();
        let id = self.put_unlimited(work);
        self.aliases.retain(|_, of| *of != id);
        self.aliases
            .extend(aliases.into_iter().map(|alias| (alias, id)));
        if is_limited {
            self.limited.insert(id);
        } else {
            self.limited.remove(&id);
        }
        id
    }

    /// The tasks of which a node takes on only so many runs.
    pub(crate) fn limited(&self) -> impl Iterator<Item = (TaskId, &TaskSpec)> {
        let listed = self.limited.iter().filter(|id| self.is_listed(**id));
        listed.filter_map(|id| Some((*id, self.spec(*id)?)))
    }

    fn put_unlimited(&mut self, work: Work) -> TaskId {
        if let Some(id) = self.named(work.spec.name()) {
            let Some(entry) = self.entry_mut(id) else {
                return id;
            };
            let is_same = entry.work.spec.generation() == work.spec.generation();
            let (was_retired, cursor) = (entry.is_retired, entry.cursor);
            entry.work = work;
            entry.is_retired = false;
            if was_retired {
                self.listed += 1;
            } else if !is_same {
                self.enter(id, cursor);
            }
            return id;
        }
        let id = TaskId::try_from(self.entries.len()).unwrap_or(TaskId::MAX);
        let hash = Quick.hash_one(work.spec.name());
        self.entries.push(Entry {
            work,
            cursor: Timestamp::EPOCH,
            timer: None,
            is_retired: false,
        });
        self.listed += 1;
        let entries = &self.entries;
        self.by_name.insert_unique(hash, id, |id| {
            let name = name_in(entries, *id);
            name.map_or(0, |name| Quick.hash_one(name))
        });
        id
    }

    /// Takes a task out: it is never due again. If it comes back, it begins as a new one does.
    pub(crate) fn retire(&mut self, id: TaskId) {
        self.set(id, Timestamp::EPOCH, None);
        self.aliases.retain(|_, of| *of != id);
        if let Some(entry) = self.entry_mut(id)
            && !entry.is_retired
        {
            entry.is_retired = true;
            self.listed -= 1;
        }
    }

    /// Whether the task was not taken out.
    pub(crate) fn is_listed(&self, id: TaskId) -> bool {
        self.entry(id).is_some_and(|entry| !entry.is_retired)
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.listed
    }

    /// All tasks but those that were taken out.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (TaskId, &Entry)> {
        let all = (0..).zip(&self.entries);
        all.filter(|(_, entry)| !entry.is_retired)
    }

    /// What a node with these tasks can run.
    pub(crate) fn abilities(&self) -> Abilities {
        Abilities::of(self.ids().map(|(_, entry)| entry.work.spec.ability()))
    }

    pub(crate) fn work(&self, id: TaskId) -> Option<&Work> {
        self.entry(id).map(|entry| &entry.work)
    }

    pub(crate) fn spec(&self, id: TaskId) -> Option<&TaskSpec> {
        self.work(id).map(|work| work.spec.as_ref())
    }

    /// The task with this name; if it is there no more, the one that had this name before.
    pub(crate) fn id_of(&self, task: &TaskName) -> Option<TaskId> {
        let own = self.named(task);
        own.filter(|id| self.is_listed(*id))
            .or_else(|| self.aliases.get(task).copied())
            .or(own)
    }

    /// Up to where the ticks of a task are dealt with.
    pub(crate) fn cursor(&self, id: TaskId) -> Option<Timestamp> {
        self.entry(id).map(|entry| entry.cursor)
    }

    /// Deals with ticks after `cursor` from now on.
    pub(crate) fn enter(&mut self, id: TaskId, cursor: Timestamp) {
        let next = self.spec(id).and_then(|spec| {
            let tick = spec.tick_after(cursor)?;
            Some(spec.fires_at(tick))
        });
        self.set(id, cursor, next);
    }

    /// Deals with the ticks after `cursor` again, but not before `not_before`.
    pub(crate) fn reopen(&mut self, id: TaskId, cursor: Timestamp, not_before: Timestamp) {
        let Some(entry) = self.entry(id) else { return };
        let cursor = cursor.min(entry.cursor);
        self.set(id, cursor, Some(not_before));
    }

    /// Looks at a task no later than `at`.
    pub(crate) fn hasten(&mut self, id: TaskId, at: Timestamp) {
        let Some(entry) = self.entry(id) else { return };
        if entry.timer.is_some_and(|timer| timer > at) {
            self.set(id, entry.cursor, Some(at));
        }
    }

    /// When the first task should be looked at.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many tasks should be looked at exactly then, `most` at most.
    pub(crate) fn crowd(&mut self, at: Timestamp, most: u32) -> u32 {
        // Asked for again and again while nothing changes.
        let question = (at, self.timers.len());
        if self.crowd.0 != question {
            let range = (at, TaskId::MIN)..=(at, TaskId::MAX);
            let counted = self.timers.range(range).zip(1..=most);
            self.crowd = (question, counted.last().map_or(0, |(_, count)| count));
        }
        self.crowd.1
    }

    /// Takes out one task that should be looked at by `now`; it gets no timer until
    /// [`Table::evaluate`].
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<TaskId> {
        let (at, id) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(entry) = self.entry_mut(id) {
            entry.timer = None;
        }
        Some(id)
    }

    /// Finds what is due of a task, moves its cursor past it, and sets its timer anew.
    pub(crate) fn evaluate(&mut self, id: TaskId, now: Timestamp) -> Option<Evaluation> {
        let before = self.cursor(id)?;
        let spec = self.spec(id)?;
        let first = spec.tick_after(before);
        let second = first.and_then(|first| spec.tick_after(first));
        // By far the most common: one tick is due, just now, and the next one is not.
        let is_plain = |first: Timestamp| {
            let fires_at = spec.fires_at(first);
            let waits = second.is_none_or(|second| spec.fires_at(second) > now);
            fires_at <= now && now.since(fires_at) <= PUNCTUAL.min(spec.catch_up_window()) && waits
        };
        let (due, next) = match first {
            None => (Due::default(), None),
            Some(first) if is_plain(first) => {
                let due = Due {
                    run: vec![first],
                    seen: Some(first),
                    ..Due::default()
                };
                (due, second)
            }
            Some(_) => {
                let due = due(spec, before, now);
                let next = spec.tick_after(due.seen.unwrap_or(before));
                (due, next)
            }
        };
        let timer = next.map(|next| spec.fires_at(next));
        self.set(id, due.seen.unwrap_or(before), timer);
        Some(Evaluation { due, before, next })
    }

    /// The next `count` ticks of all tasks, in order.
    pub(crate) fn upcoming(&self, count: usize) -> Vec<NextTick> {
        let first = self.timers.iter().take(count).filter_map(|(_, id)| {
            let tick = self.spec(*id)?.tick_after(self.cursor(*id)?)?;
            Some(Reverse((tick, *id)))
        });
        let mut heap: BinaryHeap<_> = first.collect();
        let mut upcoming = Vec::new();
        while upcoming.len() < count
            && let Some(Reverse((tick, id))) = heap.pop()
        {
            let Some(spec) = self.spec(id) else { continue };
            if let Some(next) = spec.tick_after(tick) {
                heap.push(Reverse((next, id)));
            }
            upcoming.push(NextTick {
                task: spec.name().clone(),
                tick,
                starts_at: spec.fires_at(tick),
            });
        }
        upcoming
    }

    /// The task with this name, be it taken out or not.
    fn named(&self, name: &TaskName) -> Option<TaskId> {
        let hash = Quick.hash_one(name);
        let is_it = |id: &TaskId| name_in(&self.entries, *id) == Some(name);
        self.by_name.find(hash, is_it).copied()
    }

    fn entry(&self, id: TaskId) -> Option<&Entry> {
        self.entries.get(usize::try_from(id).ok()?)
    }

    fn entry_mut(&mut self, id: TaskId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(id).ok()?)
    }

    fn set(&mut self, id: TaskId, cursor: Timestamp, timer: Option<Timestamp>) {
        let Some(entry) = self.entry_mut(id) else {
            return;
        };
        let timer = timer.filter(|_| !entry.is_retired);
        entry.cursor = cursor;
        let old = std::mem::replace(&mut entry.timer, timer);
        if let Some(old) = old {
            self.timers.remove(&(old, id));
        }
        if let Some(timer) = timer {
            self.timers.insert((timer, id));
        }
    }
}

fn name_in(entries: &[Entry], id: TaskId) -> Option<&TaskName> {
    let entry = entries.get(usize::try_from(id).ok()?)?;
    Some(entry.work.spec.name())
}
