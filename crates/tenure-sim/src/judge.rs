//! Watches a simulation as it happens and says when a promise is broken: what runs where, what the
//! store decided, who died.
//!
//! It is told everything in the order in which it truly happened, by the one thread there is, so
//! it compares no clocks of nodes. It knows the promises and not the code that keeps them. What
//! can only be said when all is over stands in `audit`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{
    Claim, Clock as _, HolderId, OnCrash, Overlap, RecoveredRun, RunKey, RunKind, RunRef, TaskName,
};
use tokio::time::Instant;

use crate::clock::{SimClock, virtual_now};
use crate::releases::Releases;
use crate::violation::{Rule, Violation};

/// How long after it thawed a machine may not have noticed yet that it slept.
const DROWSY: Duration = Duration::from_secs(3);

/// How long after its start a node is sure to have registered its tasks, if nothing disturbs it.
const SETTLED: Duration = Duration::from_secs(5);

/// What matters of a task here.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) concurrency: u32,
    pub(crate) overlap: Overlap,
    pub(crate) max_running: Option<u32>,
    pub(crate) on_crash: OnCrash,
    /// Whether failures are tried again.
    pub(crate) retries: bool,
}

/// One execution of a task's code.
#[derive(Debug, Clone)]
pub(crate) struct CodeRun {
    pub(crate) key: RunKey,
    pub(crate) attempt: u32,
    pub(crate) node: HolderId,
}

#[derive(Debug)]
struct Win {
    attempt: u32,
    node: HolderId,
    fence: u64,
}

#[derive(Debug)]
struct Standing {
    name: String,
    /// Which release of the program it runs, and since when.
    release: usize,
    joined_at: Instant,
    is_frozen: bool,
    is_leaving: bool,
    is_gone: bool,
    /// When something last kept it from being heard.
    disturbed_at: Instant,
    /// Until when it may not know what it lost.
    dazed_until: Option<Instant>,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// How often a task's code was executed.
    pub executions: u64,
    /// How many claims were won.
    pub wins: u64,
    /// How many runs were given up for lost.
    pub lost: u64,
    /// How many calls reached the store.
    pub calls: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: Counts,
    pub(crate) executed: HashMap<RunKey, Vec<CodeRun>>,
    going_on: BTreeMap<u64, CodeRun>,
    next_ticket: u64,
    wins: HashMap<RunKey, Vec<Win>>,
    last_fence: HashMap<TaskName, u64>,
    pub(crate) lost: HashMap<(RunKey, u32), u32>,
    told_lost: HashMap<(RunKey, u32), u32>,
    /// Attempts whose end the store heard from their own node.
    pub(crate) reported: HashSet<(RunKey, u32)>,
    /// Runs whose records the store forgot: nothing can be promised of them.
    pub(crate) forgotten: HashSet<RunKey>,
    /// Runs that nodes had in hand when they died.
    pub(crate) orphans: Vec<CodeRun>,
    nodes: HashMap<HolderId, Standing>,
    rules: HashMap<TaskName, Rules>,
}

#[derive(Debug)]
pub(crate) struct Judge {
    began_at: Instant,
    store_clock: Arc<SimClock>,
    ttl: Duration,
    /// How early a run may seem to begin: what a node cannot know of the store's clock. `None` if
    /// that clock is stepped.
    early: Option<Duration>,
    /// Whether runs may only be executed if a claim was won in the store.
    wins_are_known: bool,
    pub(crate) releases: Releases,
    pages: Mutex<Pages>,
}

impl Judge {
    pub(crate) fn new(
        began_at: Instant,
        store_clock: Arc<SimClock>,
        ttl: Duration,
        early: Option<Duration>,
        wins_are_known: bool,
        releases: Releases,
    ) -> Self {
        Self {
            began_at,
            store_clock,
            ttl,
            early,
            wins_are_known,
            releases,
            pages: Mutex::default(),
        }
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn know_task(&self, name: TaskName, rules: Rules) {
        self.pages().rules.insert(name, rules);
    }

    pub(crate) fn blame(&self, rule: Rule, what: String) {
        self.blame_on(&mut self.pages(), rule, what);
    }

    fn blame_on(&self, pages: &mut Pages, rule: Rule, what: String) {
        let at = self.began_at.elapsed();
        pages.violations.push(Violation::new(rule, at, what));
    }

    // Nodes.

    pub(crate) fn joined(&self, node: HolderId, name: String, release: usize) {
        let standing = Standing {
            name,
            release,
            joined_at: virtual_now(),
            is_frozen: false,
            is_leaving: false,
            is_gone: false,
            disturbed_at: virtual_now(),
            dazed_until: None,
        };
        self.pages().nodes.insert(node, standing);
    }

    /// A node begins to drain, and may leave at any moment.
    pub(crate) fn leaves(&self, node: HolderId) {
        if let Some(standing) = self.pages().nodes.get_mut(&node) {
            standing.is_leaving = true;
        }
    }

    /// A node died, or left after a drain. What it executed ends with it.
    pub(crate) fn gone(&self, node: HolderId) {
        let mut pages = self.pages();
        if let Some(standing) = pages.nodes.get_mut(&node) {
            standing.is_gone = true;
        }
        pages.going_on.retain(|_, run| run.node != node);
    }

    /// A node died with these runs in hand.
    pub(crate) fn orphaned(&self, runs: impl IntoIterator<Item = CodeRun>) {
        self.pages().orphans.extend(runs);
    }

    /// Whether something of this node is still executed.
    pub(crate) fn is_busy(&self, node: HolderId) -> bool {
        self.pages().going_on.values().any(|run| run.node == node)
    }

    /// Something kept a node from being heard, or from hearing.
    pub(crate) fn disturbed(&self, node: HolderId) {
        if let Some(standing) = self.pages().nodes.get_mut(&node) {
            standing.disturbed_at = virtual_now();
        }
    }

    pub(crate) fn was_disturbed_since(&self, node: HolderId, moment: Instant) -> bool {
        let pages = self.pages();
        let standing = pages.nodes.get(&node);
        standing.is_some_and(|standing| standing.is_frozen || standing.disturbed_at >= moment)
    }

    pub(crate) fn frozen(&self, node: HolderId, is_frozen: bool) {
        if let Some(standing) = self.pages().nodes.get_mut(&node) {
            standing.is_frozen = is_frozen;
            standing.disturbed_at = virtual_now();
            if !is_frozen {
                standing.dazed_until = standing.dazed_until.max(Some(virtual_now() + DROWSY));
            }
        }
    }

    /// The store forgot what it knew of these runs.
    pub(crate) fn forgot(&self, runs: impl IntoIterator<Item = RunKey>) {
        let mut pages = self.pages();
        pages.forgotten.extend(runs);
        pages.last_fence.clear();
        // What nodes were answered of their leases may be forgotten too.
        let until = virtual_now() + self.ttl + DROWSY;
        for standing in pages.nodes.values_mut() {
            standing.disturbed_at = virtual_now();
            standing.dazed_until = Some(until);
        }
    }

    // Executions.

    /// A node's code begins. `None` if the node is dead, so that nothing begins.
    pub(crate) fn began(&self, run: CodeRun) -> Option<u64> {
        let pages = &mut *self.pages();
        if pages.nodes.get(&run.node).is_none_or(|node| node.is_gone) {
            return None;
        }
        pages.counts.executions += 1;
        self.check_repeated(pages, &run);
        self.check_one_name(pages, &run);
        self.check_overlap(pages, &run);
        self.check_limit(pages, &run);
        self.check_won(pages, &run);
        let rules = pages.rules.get(&run.key.task);
        if rules.is_some_and(|rules| !(1..=rules.concurrency).contains(&run.key.index)) {
            self.blame_on(pages, Rule::IndexInRange, run.key.to_string());
        }
        let now = self.store_clock.wall();
        if let Some(early) = self.early
            && now + early < run.key.tick
        {
            let what = format!("{} at {now}", run.key);
            self.blame_on(pages, Rule::NotEarly, what);
        }
        pages.next_ticket += 1;
        let ticket = pages.next_ticket;
        pages
            .executed
            .entry(run.key.clone())
            .or_default()
            .push(run.clone());
        pages.going_on.insert(ticket, run);
        Some(ticket)
    }

    pub(crate) fn ended(&self, ticket: u64) {
        self.pages().going_on.remove(&ticket);
    }

    fn check_repeated(&self, pages: &mut Pages, run: &CodeRun) {
        if pages.forgotten.contains(&run.key) {
            return;
        }
        let Some(rules) = pages.rules.get(&run.key.task).cloned() else {
            return;
        };
        let before = pages.executed.get(&run.key).map_or(&[][..], Vec::as_slice);
        let times = before.len();
        let same = before.iter().find(|other| other.attempt == run.attempt);
        let may_repeat = rules.retries || matches!(rules.on_crash, OnCrash::Retry { .. });
        let found = match (same, before.last()) {
            (Some(other), _) => Some((Rule::AttemptRunsOnce, other.node)),
            (None, Some(other)) if !may_repeat => Some((Rule::RunsOnce, other.node)),
            _ => None,
        };
        if let Some((rule, other)) = found {
            let what = format!(
                "{} attempt {} on {} and on {}",
                run.key,
                run.attempt,
                pages.name(other),
                pages.name(run.node)
            );
            self.blame_on(pages, rule, what);
        }
        if let OnCrash::Retry { max_attempts } = rules.on_crash
            && !rules.retries
            && times >= usize::try_from(max_attempts).unwrap_or(usize::MAX)
        {
            let what = format!("{} has {} executions", run.key, times + 1);
            self.blame_on(pages, Rule::AttemptsEnd, what);
        }
    }

    /// A tick that was executed under another name of the task is not executed again.
    fn check_one_name(&self, pages: &mut Pages, run: &CodeRun) {
        if run.key.kind != RunKind::Scheduled || pages.forgotten.contains(&run.key) {
            return;
        }
        let mut others = self.releases.under_other_names(&run.key);
        let other =
            others.find(|key| pages.executed.contains_key(key) && !pages.forgotten.contains(key));
        drop(others);
        if let Some(other) = other {
            let what = format!("{} on {}, after {other}", run.key, pages.name(run.node));
            self.blame_on(pages, Rule::OneNameATick, what);
        }
    }

    /// An old definition does not fire while a node with a newer one is well.
    fn check_newest(&self, pages: &mut Pages, node: HolderId, key: &RunKey) {
        let release = pages.nodes.get(&node).map_or(0, |node| node.release);
        let newer = pages.nodes.values().find(|other| {
            let is_replaced = self.releases.replaces(other.release, release, &key.task);
            let is_well = !other.is_gone && !other.is_frozen && !other.is_leaving;
            is_replaced
                && is_well
                && other.joined_at.elapsed() > SETTLED
                && other.disturbed_at.elapsed() > self.ttl * 2
        });
        if let Some(newer) = newer.map(|newer| newer.name.clone()) {
            let what = format!("{key} on {} beside {newer}", pages.name(node));
            self.blame_on(pages, Rule::OnlyTheNewestFires, what);
        }
    }

    fn check_overlap(&self, pages: &mut Pages, run: &CodeRun) {
        let is_exclusive = pages
            .rules
            .get(&run.key.task)
            .is_some_and(|rules| rules.overlap != Overlap::Allow);
        if !is_exclusive || pages.forgotten.contains(&run.key) {
            return;
        }
        let other = pages.going_on.values().find(|other| {
            other.key.task == run.key.task
                && other.key.index == run.key.index
                && !pages.forgotten.contains(&other.key)
                && !pages.is_dazed(other.node)
                && !pages.is_dazed(run.node)
        });
        if let Some(other) = other {
            let what = format!(
                "{} attempt {} on {} while {} attempt {} goes on on {}",
                run.key,
                run.attempt,
                pages.name(run.node),
                other.key,
                other.attempt,
                pages.name(other.node)
            );
            self.blame_on(pages, Rule::NoOverlap, what);
        }
    }

    /// Whoever is dazed may go on with what it lost, so it and its runs do not count.
    fn check_limit(&self, pages: &mut Pages, run: &CodeRun) {
        let rules = pages.rules.get(&run.key.task);
        let Some(most) = rules.and_then(|rules| rules.max_running) else {
            return;
        };
        if pages.forgotten.contains(&run.key) || pages.is_dazed(run.node) {
            return;
        }
        let others = pages.going_on.values().filter(|other| {
            other.key.task == run.key.task
                && !pages.forgotten.contains(&other.key)
                && !pages.is_dazed(other.node)
        });
        let others = others.count();
        if others >= usize::try_from(most).unwrap_or(usize::MAX) {
            let what = format!("{} on {} beside {others}", run.key, pages.name(run.node));
            self.blame_on(pages, Rule::WithinLimit, what);
        }
    }

    fn check_won(&self, pages: &mut Pages, run: &CodeRun) {
        let wins = pages.wins.get(&run.key).map_or(&[][..], Vec::as_slice);
        let is_won = wins
            .iter()
            .any(|win| win.attempt == run.attempt && win.node == run.node);
        if self.wins_are_known && !is_won {
            let what = format!(
                "{} attempt {} on {}",
                run.key,
                run.attempt,
                pages.name(run.node)
            );
            self.blame_on(pages, Rule::OnlyWhatWasWon, what);
        }
    }

    // What the store decided.

    pub(crate) fn called(&self) {
        self.pages().counts.calls += 1;
    }

    pub(crate) fn won(&self, node: HolderId, claim: &Claim) {
        let pages = &mut *self.pages();
        let (key, attempt) = (&claim.run.key, claim.run.attempt);
        let fence = claim.fence.get();
        let wins = pages.wins.entry(key.clone()).or_default();
        let is_repeated = wins
            .iter()
            .any(|win| win.attempt == attempt && win.node == node && win.fence == fence);
        if is_repeated {
            return;
        }
        if key.kind == RunKind::Scheduled && attempt == 1 {
            self.check_newest(pages, node, key);
        }
        let wins = pages.wins.entry(key.clone()).or_default();
        let has_grown = wins.last().is_none_or(|last| last.attempt < attempt);
        wins.push(Win {
            attempt,
            node,
            fence,
        });
        pages.counts.wins += 1;
        let last = pages.last_fence.get(&key.task).copied().unwrap_or(0);
        pages.last_fence.insert(key.task.clone(), fence.max(last));
        if pages.forgotten.contains(key) {
            return;
        }
        if fence <= last || !has_grown {
            let what = format!("{key} attempt {attempt} has fence {fence}, the last was {last}");
            self.blame_on(pages, Rule::FencesGrow, what);
        }
    }

    pub(crate) fn lost(&self, run: &RecoveredRun) {
        let pages = &mut *self.pages();
        let key = &run.record.key;
        pages.counts.lost += 1;
        let count = pages
            .lost
            .entry((key.clone(), run.lost_attempt))
            .or_default();
        *count += 1;
        let count = *count;
        if pages.forgotten.contains(key) {
            return;
        }
        if count > 1 {
            let what = format!("{key} attempt {}", run.lost_attempt);
            self.blame_on(pages, Rule::LostOnce, what);
        }
        // Whoever had the lost attempt stands last among its winners.
        let wins = pages.wins.get(key).map_or(&[][..], Vec::as_slice);
        let had = wins
            .iter()
            .rev()
            .find(|win| win.attempt == run.lost_attempt);
        let Some(standing) = had.and_then(|win| pages.nodes.get(&win.node)) else {
            return;
        };
        let is_well = !standing.is_gone
            && !standing.is_frozen
            && standing.disturbed_at.elapsed() > self.ttl * 2;
        if is_well {
            let what = format!("{key} on {}", standing.name);
            self.blame_on(pages, Rule::LivingNodesKeepRuns, what);
        }
    }

    /// The store accepted what a node said of the end of an attempt.
    pub(crate) fn reported(&self, run: &RunRef) {
        let place = (run.key.clone(), run.attempt);
        self.pages().reported.insert(place);
    }

    /// A node told its program of a lost run.
    pub(crate) fn told_lost(&self, key: &RunKey, attempt: u32) {
        let pages = &mut *self.pages();
        let count = pages.told_lost.entry((key.clone(), attempt)).or_default();
        *count += 1;
        if *count > 1 && !pages.forgotten.contains(key) {
            self.blame_on(
                pages,
                Rule::LostOnce,
                format!("{key} attempt {attempt}, to programs"),
            );
        }
    }
}

impl Pages {
    pub(crate) fn name(&self, node: HolderId) -> String {
        let standing = self.nodes.get(&node);
        standing.map_or_else(|| node.to_string(), |standing| standing.name.clone())
    }

    /// Whether a node sleeps, or slept until just now, so that it cannot know what it lost.
    fn is_dazed(&self, node: HolderId) -> bool {
        self.nodes.get(&node).is_some_and(|standing| {
            let is_dazed = |until: Instant| virtual_now() < until;
            standing.is_frozen || standing.dazed_until.is_some_and(is_dazed)
        })
    }

    /// How often a lost attempt was told to programs.
    pub(crate) fn times_told(&self, key: &RunKey, attempt: u32) -> u32 {
        let told = self.told_lost.get(&(key.clone(), attempt));
        told.copied().unwrap_or(0)
    }
}
