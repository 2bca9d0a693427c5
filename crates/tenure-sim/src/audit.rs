//! What can only be said when all is over: every tick has a record, every run came to an end, what
//! the dead had in hand was reported, and the cluster works again.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{Clock as _, OnCrash, Overlap, RunKey, RunRecord, RunState, Timestamp};
use tenure_tasks::TaskSpec;

use crate::cluster::World;
use crate::code::{longest, task_of};
use crate::judge::Pages;
use crate::plan::Protocol;
use crate::violation::Rule;

/// How late a tick may be run when nothing is wrong.
const PUNCTUAL: Duration = Duration::from_secs(3);

/// How long the cluster may take to be itself again, besides twice its nodes' ttl.
const RECOVERY: Duration = Duration::from_secs(12);

/// How many ticks of one task are looked at.
const MAX_TICKS: usize = 100_000;

/// What is known when all is over, before the nodes drain.
pub(crate) struct Audit<'w> {
    world: &'w World,
    records: &'w BTreeMap<RunKey, RunRecord>,
    /// The latest the store's clock had shown when everything was mended, and what it shows now.
    mended_at: Timestamp,
    now: Timestamp,
    /// The newest release that a node runs.
    release: usize,
}

impl<'w> Audit<'w> {
    pub(crate) fn new(
        world: &'w World,
        records: &'w BTreeMap<RunKey, RunRecord>,
        mended_at: Timestamp,
        release: usize,
    ) -> Self {
        Self {
            world,
            records,
            mended_at,
            now: world.store_clock.wall(),
            release,
        }
    }

    pub(crate) fn run(&self) {
        if self.world.plan.protocol != Protocol::Tenure {
            return;
        }
        for task in self.world.plan.release(self.release) {
            match task_of(task).check() {
                Ok(spec) => self.check_ticks(&spec),
                Err(errors) => self.world.judge.blame(Rule::Starts, errors.to_string()),
            }
        }
        let mut found = Vec::new();
        {
            let pages = self.world.judge.pages();
            self.check_executed(&pages, &mut found);
            self.check_ends(&pages, &mut found);
            self.check_orphans(&pages, &mut found);
        }
        for (rule, what) in found {
            self.world.judge.blame(rule, what);
        }
    }

    /// Every tick from the task's first registration until a little while ago has its records.
    fn check_ticks(&self, spec: &TaskSpec) {
        // Of a schedule that was changed it is not known when it came into force.
        let is_new = (0..self.world.plan.releases())
            .flat_map(|release| self.world.plan.release(release))
            .filter_map(|task| task_of(task).check().ok())
            .any(|other| {
                self.are_one(&other, spec) && other.schedule().text() != spec.schedule().text()
            });
        let first = if is_new {
            self.mended_at + self.world.plan.node_ttl * 2 + RECOVERY
        } else {
            self.first_seen(spec)
        };
        // Late ticks that must not overlap wait for each other, as long as their window is open.
        let patience = match (spec.overlap(), spec.max_running()) {
            (Overlap::Allow, None) => PUNCTUAL,
            _ => spec.catch_up_window() + spec.jitter() + PUNCTUAL,
        };
        let until = self.now - patience - spec.jitter();
        let calm = self.mended_at + self.world.plan.node_ttl * 2 + RECOVERY;
        let mut tick = first;
        for _ in 0..MAX_TICKS {
            let Some(next) = spec.tick_after(tick) else {
                break;
            };
            if next > until {
                break;
            }
            tick = next;
            for index in 1..=spec.concurrency() {
                let key = RunKey::scheduled(spec.name().clone(), tick, index);
                self.check_tick(spec, &key, tick > calm);
            }
        }
    }

    fn check_tick(&self, spec: &TaskSpec, key: &RunKey, is_calm: bool) {
        let judge = &self.world.judge;
        let mut others = judge.releases.under_other_names(key);
        let other = || others.find_map(|key| self.records.get(&key));
        let Some(record) = self.records.get(key).or_else(other) else {
            let is_forgotten = |key: &RunKey| judge.pages().forgotten.contains(key);
            let mut names = judge.releases.under_other_names(key);
            if !is_forgotten(key) && !names.any(|key| is_forgotten(&key)) && !self.is_counted(key) {
                judge.blame(Rule::EveryTickOnRecord, format!("{key} at {}", self.now));
            }
            return;
        };
        if !is_calm {
            return;
        }
        let due_at = spec.fires_at(key.tick);
        // An attempt that goes on later may have begun again since.
        let begun_at = record.attempts.first().and_then(|first| first.started_at);
        let begun_at = begun_at.or(record.started_at);
        // What waits in line begins late because it should.
        let may_wait = !matches!(spec.overlap(), Overlap::Skip | Overlap::Allow);
        let is_late = !may_wait && begun_at.is_some_and(|at| at.since(due_at) > PUNCTUAL);
        if record.state == RunState::Missed || is_late {
            let what = format!("{key} is {} and began {begun_at:?}", record.state);
            judge.blame(Rule::Recovers, what);
        }
    }

    fn are_one(&self, one: &TaskSpec, other: &TaskSpec) -> bool {
        self.world.judge.releases.are_one(one.name(), other.name())
    }

    /// When the task was first known to the cluster.
    fn first_seen(&self, spec: &TaskSpec) -> Timestamp {
        let releases = &self.world.judge.releases;
        let mine = (self.records.keys()).filter(|key| releases.are_one(&key.task, spec.name()));
        let oldest = mine.map(|key| key.tick).min();
        // Before its first record nothing can be missing but what came before it was known.
        let begun = self.world.plan.begins_at + Duration::from_secs(2);
        oldest.map_or(begun, |oldest| oldest.min(begun))
    }

    /// Whether a record tells that ticks before it, this one among them, are only counted.
    fn is_counted(&self, key: &RunKey) -> bool {
        self.records.values().any(|record| {
            self.world
                .judge
                .releases
                .are_one(&record.key.task, &key.task)
                && record.key.tick > key.tick
                && record
                    .reason
                    .as_deref()
                    .is_some_and(|why| why.contains("earlier ticks"))
        })
    }

    fn check_executed(&self, pages: &Pages, found: &mut Vec<(Rule, String)>) {
        for (key, runs) in &pages.executed {
            if !self.records.contains_key(key) && !pages.forgotten.contains(key) {
                let what = format!("{key} was executed {} times", runs.len());
                found.push((Rule::EveryTickOnRecord, what));
            }
        }
    }

    /// Nothing that was begun before the calm is still in hand.
    fn check_ends(&self, pages: &Pages, found: &mut Vec<(Rule, String)>) {
        let plan = &self.world.plan;
        let patience = longest(plan.all_tasks()) + plan.node_ttl * 2 + RECOVERY;
        for record in self.records.values() {
            let since = record.claimed_at.unwrap_or(record.created_at);
            let patience = patience + self.line_before(record);
            let is_old = self.now.since(since) > patience && since <= self.now;
            // What waits under a name that no node has waits for one that does.
            let newest = self.world.plan.release(self.release);
            let is_listed = newest.iter().any(|task| {
                let name = record.key.task.as_str();
                task.name == name || task.aliases.iter().any(|alias| alias == name)
            });
            let is_old = is_old && is_listed;
            if !record.state.is_final() && is_old && !pages.forgotten.contains(&record.key) {
                let what = format!("{} is {} since {since}", record.key, record.state);
                found.push((Rule::EveryRunEnds, what));
            }
        }
    }

    /// How long a run that waits may stand in line at most. A retry stands behind the ticks that
    /// were due before it, and each of those may have retries of its own.
    fn line_before(&self, record: &RunRecord) -> Duration {
        let mut tasks = self.world.plan.all_tasks();
        let task = tasks.find(|task| task.name == record.key.task.as_str());
        match task.map(|task| (task.overlap, task)) {
            Some((Overlap::QueueAll { max }, task)) if record.state == RunState::Waiting => {
                let after_crashes = match task.on_crash {
                    OnCrash::Retry { max_attempts } => max_attempts,
                    _ => 1,
                };
                let attempts = task.attempts.max(after_crashes);
                (task.takes.1 + RECOVERY) * (max + 1) * task.concurrency * attempts
            }
            _ => Duration::ZERO,
        }
    }

    /// Each run of a dead node was reported lost, or had its end reported before.
    fn check_orphans(&self, pages: &Pages, found: &mut Vec<(Rule, String)>) {
        for orphan in &pages.orphans {
            if pages.forgotten.contains(&orphan.key) {
                continue;
            }
            let place = (orphan.key.clone(), orphan.attempt);
            let is_lost = pages.lost.contains_key(&place);
            // Its last message may have arrived after its death.
            let has_ended = pages.reported.contains(&place);
            let name = pages.name(orphan.node);
            if !is_lost && !has_ended {
                let what = format!("{} attempt {} of {name}", orphan.key, orphan.attempt);
                found.push((Rule::LostIsTold, what));
            }
            let times = pages.times_told(&orphan.key, orphan.attempt);
            if is_lost && self.world.plan.is_reliable() && times != 1 {
                let what = format!("{} of {name} was told {times} times", orphan.key);
                found.push((Rule::LostIsTold, what));
            }
        }
    }
}
