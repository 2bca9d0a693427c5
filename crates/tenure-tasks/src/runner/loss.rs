//! Notices that the store forgot what it had acknowledged, and puts back what this node remembers:
//! the runs it won, and those it saw others win.
//!
//! ```text
//!   calm ──noticed──▶ wanted ──trusted──▶ under way ──answered──▶ holding ──a grace──▶ calm
//!                       ▲                     │                      │
//!                       └──────failed─────────┘◀─an old answer came──┘
//! ```
//!
//! Whatever is not calm claims nothing: the others need a moment to put back what they remember.
//! What was asked before a loss was noticed may have been decided before it happened, so an answer
//! to it is put back too. It does not know how a store forgets, only how that shows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Claim, Fence, Holder, Moment, Note, OnCrash, Pass, Remembered, Restored, RunKey, RunKind,
    RunState, Seen, StoreError, Timestamp, Token,
};

use super::Runner;
use super::lease::backoff;
use super::runs::Running;
use crate::event::RunnerEvent;
use crate::output::boundary_at_most;
use crate::spec::TaskSpec;
use crate::table::TaskId;

/// How many runs are remembered; the oldest go first. Some 150 bytes each.
const MOST: usize = 20_000;

/// How much is remembered of what a run was asked with, in bytes. The dashboard lets people say
/// less.
const MOST_ASKED: usize = 8192;

/// How long nothing is claimed after a loss was mended.
const GRACE: Duration = Duration::from_secs(1);

/// How many runs are named to people.
const NAMED: usize = 20;

/// How many of the latest runs of others are looked through before one is entered again.
const LOOK_BACK: usize = 64;

/// A run as this node last heard of it.
#[derive(Debug)]
struct Known {
    key: RunKey,
    /// `None` if the store knows better.
    state: Option<RunState>,
    attempt: u32,
    by: By,
    token: Option<Token>,
    fence: Option<Fence>,
    on_crash: OnCrash,
    claimed_at: Timestamp,
    /// Until when somebody might claim it, were it forgotten.
    until: Timestamp,
}

/// Who had a run, and what is known of it besides. Most runs are scheduled ticks and have neither
/// text, so both cost them one place together.
#[derive(Debug)]
enum By {
    /// This node; what it was asked with, if somebody asked for it.
    Me(Option<Arc<str>>),
    Other(Box<Holder>),
    /// Nobody had it, or nobody knows; why, if this node knows.
    Nobody(Option<Box<str>>),
}

#[derive(Debug, Default)]
enum Repair {
    #[default]
    Calm,
    Wanted {
        not_before: Moment,
    },
    UnderWay,
    Holding {
        until: Moment,
    },
}

/// What the store last said of itself, and what it said of runs.
#[derive(Debug, Default)]
pub(super) struct Memory {
    epoch: String,
    seen: Seen,
    /// How many losses were noticed here.
    era: u32,
    /// When the last of them was.
    lost_at: Option<Moment>,
    /// What was seen, and when, as the beat left that is under way.
    at_beat: (Seen, u32),
    runs: VecDeque<Known>,
    /// What the last run was asked with that was.
    last_asked: Option<Arc<str>>,
    /// The number of the first of them.
    first: u64,
    repair: Repair,
    /// What showed the loss, and how many losses were known before it.
    noticed: Option<(String, u64)>,
    /// Something was remembered since the repair that is under way began.
    again: bool,
    failures: u32,
}

impl Memory {
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    pub(super) fn era(&self) -> u32 {
        self.era
    }

    /// Whether every node whose lease is of this length has had the time to notice the last loss
    /// and to put back what it knows.
    pub(super) fn all_have_told(&self, now: Moment, node_ttl: Duration) -> bool {
        self.lost_at.is_none_or(|at| now >= at + node_ttl)
    }

    pub(super) fn beats(&mut self) {
        self.at_beat = (self.seen, self.era);
    }

    /// Whether new runs may be claimed.
    pub(super) fn may_claim(&self, now: Moment) -> bool {
        match self.repair {
            Repair::Calm => true,
            Repair::Holding { until } => until <= now,
            Repair::Wanted { .. } | Repair::UnderWay => false,
        }
    }

    /// When something must be done.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        match self.repair {
            Repair::Wanted { not_before: at } | Repair::Holding { until: at } => {
                Some(at).filter(|at| *at > now)
            }
            Repair::Calm | Repair::UnderWay => None,
        }
    }

    /// Remembers a run; tells its number.
    fn enter(&mut self, run: Known, now: Timestamp) -> u64 {
        while self.runs.len() >= MOST || self.runs.front().is_some_and(|run| run.until < now) {
            self.runs.pop_front();
            self.first += 1;
        }
        self.runs.push_back(run);
        self.first + self.runs.len() as u64 - 1
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Known> {
        let place = number.checked_sub(self.first)?;
        self.runs.get_mut(usize::try_from(place).ok()?)
    }

    /// What a run was asked with, as it is kept: once for the many runs of a backfill, which come
    /// one after the other, and no longer than [`MOST_ASKED`].
    pub(super) fn asked(&mut self, asked: Option<Arc<str>>) -> Option<Arc<str>> {
        let mut asked = asked?;
        if asked.len() > MOST_ASKED {
            let (kept, _) = asked.split_at(boundary_at_most(&asked, MOST_ASKED));
            asked = format!("{kept}…").into();
        }
        if let Some(last) = self.last_asked.as_ref().filter(|last| **last == asked) {
            return Some(last.clone());
        }
        self.last_asked = Some(asked.clone());
        Some(asked)
    }

    /// Remembers a run that this node won in this state, of a task with this window; tells its
    /// number.
    pub(super) fn won(&mut self, claim: &Claim, window: Duration, state: RunState) -> u64 {
        let run = &claim.run;
        let known = Known {
            key: run.key.clone(),
            state: Some(state),
            attempt: run.attempt,
            by: By::Me(claim.asked.clone()),
            token: Some(run.token),
            fence: Some(claim.fence),
            on_crash: claim.on_crash,
            claimed_at: claim.claimed_at,
            until: claimable_until(&run.key, claim.claimed_at, window),
        };
        self.enter(known, claim.claimed_at)
    }

    /// The store knows that the attempt that was entered under this number runs.
    pub(super) fn began(&mut self, number: u64) {
        if let Some(run) = self.get_mut(number) {
            run.state = Some(RunState::Running);
        }
    }

    /// How the attempt that was entered under this number ended. `None`: the store knows better.
    pub(super) fn ended(&mut self, number: u64, state: Option<RunState>) {
        if let Some(run) = self.get_mut(number) {
            run.state = state;
        }
    }

    /// What was decided about a call of this node.
    pub(super) fn answered(&mut self, era: u32, sequence: u64) {
        if era == self.era {
            self.seen.sequence = self.seen.sequence.max(sequence);
            self.seen.own = self.seen.own.max(sequence);
        }
    }
}

impl Runner {
    /// A beat was answered: compares what the store shows with what it showed before.
    pub(super) fn compare(&mut self, shown: Seen, epoch: &str) {
        let (before, era) = self.memory.at_beat;
        let memory = &mut self.memory;
        if era != memory.era {
            return;
        }
        let what = if !memory.epoch.is_empty() && memory.epoch != epoch {
            "it was made anew".to_owned()
        } else if !shown.is_behind(&before) {
            epoch.clone_into(&mut memory.epoch);
            memory.seen.sequence = memory.seen.sequence.max(shown.sequence);
            // The beat itself is the node's last call now.
            memory.seen.own = memory.seen.own.max(shown.sequence);
            memory.seen.losses = shown.losses;
            return;
        } else if shown.sequence < before.sequence {
            format!(
                "its sequence fell from {} to {}",
                before.sequence, shown.sequence
            )
        } else if shown.own < before.own {
            "it does not know the last call of this node".to_owned()
        } else {
            "another node told of it".to_owned()
        };
        self.store_forgot(what);
    }

    /// The store forgot something, or was told that it did.
    pub(super) fn store_forgot(&mut self, what: String) {
        let now = self.clock.now();
        let memory = &mut self.memory;
        tracing::error!(what, "the store forgot what it had acknowledged");
        let losses = memory.seen.losses;
        memory.noticed.get_or_insert((what, losses));
        memory.era += 1;
        memory.lost_at = Some(now);
        memory.seen = Seen::default();
        memory.epoch.clear();
        match memory.repair {
            Repair::UnderWay => memory.again = true,
            _ => memory.repair = Repair::Wanted { not_before: now },
        }
        // What was registered may be forgotten too, and what was planned is looked at anew.
        self.lease.register_again();
        self.put_back();
    }

    /// An answer came to what was asked before the last loss was noticed.
    pub(super) fn answered_late(&mut self) {
        let now = self.clock.now();
        match self.memory.repair {
            Repair::Wanted { .. } => {}
            Repair::UnderWay => self.memory.again = true,
            _ => self.memory.repair = Repair::Wanted { not_before: now },
        }
    }

    pub(super) fn repair_if_needed(&mut self, now: Moment) {
        let is_due =
            matches!(self.memory.repair, Repair::Wanted { not_before } if not_before <= now);
        if !is_due || !self.lease.is_trusted(now) || self.lease.is_in_trouble() {
            return;
        }
        let runs = self.remembered();
        let noticed = self.memory.noticed.as_ref().map(|(_, losses)| *losses);
        self.memory.repair = Repair::UnderWay;
        self.memory.again = false;
        let patience = self.options.node_ttl;
        let restoring = self
            .calls
            .clone()
            .restore(self.node.id, noticed, runs, patience);
        self.ops.spawn(restoring);
    }

    pub(super) fn restored(&mut self, answer: Result<(Restored, Vec<RunKey>), StoreError>) {
        let now = self.clock.now();
        let (restored, put_back) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.memory.failures = self.memory.failures.saturating_add(1);
                let pause = backoff(self.memory.failures, self.rng.f64());
                self.memory.repair = Repair::Wanted {
                    not_before: now + pause,
                };
                self.trouble("restore", &error);
                return;
            }
        };
        let memory = &mut self.memory;
        memory.failures = 0;
        memory.seen = Seen::of(&restored.moment, 0);
        restored.moment.epoch.clone_into(&mut memory.epoch);
        let until = now + GRACE;
        memory.repair = if memory.again {
            Repair::Wanted { not_before: now }
        } else {
            Repair::Holding { until }
        };
        let noticed = memory.noticed.take();
        self.follow_after_loss();
        let runs = named(&put_back);
        if let (true, Some((what, _))) = (restored.is_first, noticed) {
            let what = format!("{what}; {} put back {runs}", self.node);
            let note = Note::new("store_regressed", what.clone()).of_node(self.node.id);
            self.ops.spawn(self.calls.clone().note(note));
            let manager = self.name.clone();
            self.events
                .tell(|| RunnerEvent::StoreRegressed { manager, what });
        } else if !put_back.is_empty() {
            tracing::warn!(runs, "put back what the store had forgotten");
            let text = format!("{} put back {runs}", self.node);
            let note = Note::new("runs_restored", text).of_node(self.node.id);
            self.ops.spawn(self.calls.clone().note(note));
        }
    }

    /// Remembers a run that another node won, or that nobody will run.
    pub(super) fn remember_other(
        &mut self,
        task: TaskId,
        key: RunKey,
        state: RunState,
        by: Option<Holder>,
        since: Timestamp,
    ) {
        if by.as_ref().is_some_and(|by| by.id == self.node.id) {
            return;
        }
        let mut latest = self.memory.runs.iter_mut().rev().take(LOOK_BACK);
        if let Some(run) = latest.find(|run| run.key == key && run.token.is_none()) {
            run.state = Some(state);
            return;
        }
        let spec = self.table.spec(task);
        let window = spec.map_or(Duration::ZERO, TaskSpec::claim_window);
        let until = claimable_until(&key, since, window);
        let known = Known {
            key,
            state: Some(state),
            attempt: u32::from(by.is_some()),
            by: by.map_or(By::Nobody(None), |by| By::Other(Box::new(by))),
            token: None,
            fence: None,
            on_crash: spec.map_or(OnCrash::Lose, TaskSpec::on_crash),
            claimed_at: since,
            until,
        };
        self.memory.enter(known, since);
    }

    /// Remembers a tick that was passed over.
    pub(super) fn remember_pass(&mut self, pass: &Pass) {
        let since = self.time.at(self.clock.now()).unwrap_or(pass.key.tick);
        let known = Known {
            key: pass.key.clone(),
            state: Some(pass.state),
            attempt: 0,
            by: By::Nobody(Some(pass.reason.as_str().into())),
            token: None,
            fence: None,
            on_crash: OnCrash::Lose,
            claimed_at: since,
            until: self.claimable_until(&pass.key, since),
        };
        self.memory.enter(known, since);
    }

    fn claimable_until(&self, key: &RunKey, since: Timestamp) -> Timestamp {
        let spec = self
            .table
            .id_of(&key.task)
            .and_then(|id| self.table.spec(id));
        let window = spec.map_or(Duration::ZERO, TaskSpec::claim_window);
        claimable_until(key, since, window)
    }

    /// Everything that is remembered, and what is going on, oldest first.
    fn remembered(&self) -> Vec<Remembered> {
        let mut all = Vec::with_capacity(self.memory.runs.len());
        for running in self.running.values() {
            let number = self.in_hand.get(running.run());
            if number.is_none_or(|number| *number < self.memory.first) {
                all.push(self.of_running(running));
            }
        }
        all.extend(self.memory.runs.iter().filter_map(|run| self.of_known(run)));
        all
    }

    fn of_running(&self, running: &Running) -> Remembered {
        let run = running.run();
        let since = self.time.at(self.clock.now()).unwrap_or(run.key.tick);
        let mut told = self.blank(&run.key, RunState::Running, run.attempt, since);
        told.node = Some(self.node.clone());
        (told.token, told.fence) = (Some(run.token), running.fence());
        told.on_crash = running.on_crash();
        told.asked = running.asked().map(str::to_owned);
        told
    }

    fn of_known(&self, run: &Known) -> Option<Remembered> {
        let mut told = self.blank(&run.key, run.state?, run.attempt, run.claimed_at);
        match &run.by {
            By::Me(asked) => {
                told.node = Some(self.node.clone());
                told.asked = asked.as_deref().map(str::to_owned);
            }
            By::Other(node) => told.node = Some(Holder::clone(node)),
            By::Nobody(reason) => told.reason = reason.as_deref().map(str::to_owned),
        }
        (told.token, told.fence, told.on_crash) = (run.token, run.fence, run.on_crash);
        Some(told)
    }

    fn blank(&self, key: &RunKey, state: RunState, attempt: u32, at: Timestamp) -> Remembered {
        let mut told = Remembered::new(key.clone(), state, attempt, at);
        let spec = self
            .table
            .id_of(&key.task)
            .and_then(|id| self.table.spec(id));
        if let Some(spec) = spec {
            told.generation = Some(spec.generation().clone());
            told.overlap = spec.overlap();
            told.max_running = spec.limit();
            told.keep_for = spec.claim_window() * 2 + Duration::from_secs(3600);
        }
        told
    }
}

/// Until when somebody might claim a run of a task with this window, were it forgotten.
fn claimable_until(key: &RunKey, since: Timestamp, window: Duration) -> Timestamp {
    let from = match key.kind {
        RunKind::Scheduled => key.tick,
        _ => since,
    };
    from + window + tenure_core::ClaimBatch::SLACK
}

/// Runs, for people.
fn named(runs: &[RunKey]) -> String {
    if runs.is_empty() {
        return "nothing, which was all it remembered".to_owned();
    }
    let names: Vec<String> = runs.iter().take(NAMED).map(RunKey::to_string).collect();
    let more = runs.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("{} runs: {}{more}", runs.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s50_what_runs_were_asked_with_is_kept_once_and_within_a_bound() {
        let mut memory = Memory::default();
        let kept = memory.asked(Some("backfill b1 by ann".into())).unwrap();
        assert_eq!(memory.asked(None), None);
        let again = memory.asked(Some("backfill b1 by ann".into())).unwrap();
        assert!(Arc::ptr_eq(&kept, &again));
        let other = memory.asked(Some("backfill b1 by eve".into()));
        assert_eq!(other.as_deref(), Some("backfill b1 by eve"));
        let long = format!("x{}", "ü".repeat(MOST_ASKED));
        let cut = memory.asked(Some(long.as_str().into())).unwrap();
        let head = cut.strip_suffix('…').unwrap();
        assert_eq!(head.len(), MOST_ASKED - 1);
        assert!(long.starts_with(head));
        let cut_again = memory.asked(Some(long.as_str().into())).unwrap();
        assert!(Arc::ptr_eq(&cut, &cut_again));
    }
}
