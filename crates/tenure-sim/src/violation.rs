//! What the checkers can find, by name.

use std::fmt;
use std::time::Duration;

/// A promise of the scheduler that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// One attempt of a run is executed once.
    AttemptRunsOnce,
    /// Under `on_crash = "lose"` a run is executed once, whatever happens.
    RunsOnce,
    /// No more attempts than the task allows.
    AttemptsEnd,
    /// Unless overlap is allowed, a task's index is executed by one node at a time.
    NoOverlap,
    /// No more runs of a task are executed at once than its `max_running` allows.
    WithinLimit,
    /// What is executed was won by that node before.
    OnlyWhatWasWon,
    /// Each claim of a task has a greater fence, each claim of a run a greater attempt.
    FencesGrow,
    /// Indices are between one and the task's concurrency.
    IndexInRange,
    /// Nothing begins before its tick by the store's clock.
    NotEarly,
    /// A lost attempt is reported once.
    LostOnce,
    /// A run of a node that lives and can be heard is not given up for lost.
    LivingNodesKeepRuns,
    /// A run of a node that died is reported.
    LostIsTold,
    /// Every tick has a record, and every run that was executed has one.
    EveryTickOnRecord,
    /// Every run comes to an end that is recorded.
    EveryRunEnds,
    /// When all faults are over, ticks are run in time again.
    Recovers,
    /// A tick is executed under one name, however often its task was renamed.
    OneNameATick,
    /// While a node of a newer release is well, none of an older one claims what the newer changed.
    OnlyTheNewestFires,
    /// A drain ends in time, and nothing of its node runs afterwards.
    DrainEnds,
    /// A node that is told to start against a store that answers starts.
    Starts,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AttemptRunsOnce => "an attempt ran twice",
            Self::RunsOnce => "a run that must not be repeated ran again",
            Self::AttemptsEnd => "a run was attempted more often than allowed",
            Self::NoOverlap => "two runs that must not overlap did",
            Self::WithinLimit => "more runs of a task went on than its limit allows",
            Self::OnlyWhatWasWon => "a node ran what it had not won",
            Self::FencesGrow => "a fence or an attempt did not grow",
            Self::IndexInRange => "an index is out of range",
            Self::NotEarly => "a run began before its tick",
            Self::LostOnce => "a lost attempt was reported twice",
            Self::LivingNodesKeepRuns => "a living node's run was given up for lost",
            Self::LostIsTold => "a dead node's run was never reported lost",
            Self::EveryTickOnRecord => "a tick or a run has no record",
            Self::EveryRunEnds => "a run never came to an end",
            Self::Recovers => "the cluster did not recover",
            Self::OneNameATick => "a tick ran under two names of one task",
            Self::OnlyTheNewestFires => "an old definition fired beside a newer one",
            Self::DrainEnds => "a drain did not end as it should",
            Self::Starts => "a node did not start",
        })
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How long after the beginning it was seen.
    pub at: Duration,
    /// Who and what.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, at: Duration, what: String) -> Self {
        Self { rule, at, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, at, what } = self;
        write!(f, "at {:.3} s: {rule}: {what}", at.as_secs_f64())
    }
}
