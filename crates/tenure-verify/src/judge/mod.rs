//! Judges a history record by record, whatever made it: a run that is going on, or a file.
//!
//! Each rule looks at what was promised and not at how it is kept. Two controls count, in the same
//! history, what would have gone wrong without deadlines and without fences: if they find nothing,
//! the faults did not hurt, and the absence of violations says little.

mod leases;
mod resource;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::leases::Leases;
pub(crate) use self::resource::Register;
use self::resource::Resources;
use self::runs::Runs;
use crate::history::{Fault, Head, Record, Step};

/// How long a holder may need to hear of the end of its trust while its process runs.
const PROMPT: u64 = 50_000;

/// How many violations of a rule are kept in words.
const TOLD: usize = 5;

/// What must never be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// No two owners of a lock may rely on it at once.
    Overlap,
    /// A resource that looks at fences takes no write after one with a greater fence, and none
    /// with the fence of another owner.
    FencedWrites,
    /// Whoever is granted a lock has a greater fence than everybody who had been granted it when
    /// they asked; no fence is given twice.
    GrowingFences,
    /// A guard that says that it may be relied on was asked before its deadline, and its holder
    /// hears of a loss within 50 ms of it.
    HonestGuards,
    /// Of each run every attempt begins once, what must not be repeated begins once at all and what
    /// may be is tried again after a loss, records agree with what was seen, and what was due has
    /// one.
    Claims,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Overlap,
        Self::FencedWrites,
        Self::GrowingFences,
        Self::HonestGuards,
        Self::Claims,
    ];

    /// The rule's number in the project's documents.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::Overlap => "C1",
            Self::FencedWrites => "C2",
            Self::GrowingFences => "C3",
            Self::HonestGuards => "C5",
            Self::Claims => "C7",
        }
    }

    /// The rule in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "two holders of a lock at once",
            Self::FencedWrites => "a stale write that a fence let pass",
            Self::GrowingFences => "a fence that did not grow",
            Self::HonestGuards => "a guard trusted after its end",
            Self::Claims => "a run begun twice, or a tick lost",
        }
    }

    /// What is counted to know how often the rule was put to the test.
    #[must_use]
    pub fn of(self) -> &'static str {
        match self {
            Self::Overlap | Self::GrowingFences => "grants",
            Self::FencedWrites => "writes",
            Self::HonestGuards => "looks and losses",
            Self::Claims => "runs",
        }
    }
}

/// How often a rule was put to the test, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Finding {
    /// How often it could have been broken.
    pub tried: u64,
    /// How often it was.
    pub violations: u64,
    /// The first of them, in words.
    pub told: Vec<String>,
}

impl Finding {
    fn violated(&mut self, record: &Record, what: impl std::fmt::Display) {
        self.violations += 1;
        if self.told.len() < TOLD {
            let at = std::time::Duration::from_nanos(record.t).as_secs_f64();
            self.told.push(format!("at {at:.6} s {}: {what}", record.p));
        }
    }

    /// Up to which share of attempts a violation may hide although none was seen: with 95 %
    /// confidence none is more frequent than 3 in so many.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
        (self.tried > 0 && self.violations == 0).then(|| 3.0 / self.tried as f64)
    }
}

/// What a history came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// What was seen of each rule; a rule that cannot be tried here is missing.
    pub findings: BTreeMap<Rule, Finding>,
    /// What was done to processes and connections.
    pub faults: BTreeMap<Fault, u64>,
    /// Records in the history.
    pub records: u64,
    /// Locks that were granted.
    pub grants: u64,
    /// Grants that came while somebody else had asked before and not had it yet, or had it.
    pub contended: u64,
    /// Wishes of which nobody knows what became of them.
    pub unknown: u64,
    /// Guards that were lost.
    pub losses: u64,
    /// Writes that the resource refused for their fence.
    pub refused_writes: u64,
    /// Control: pairs of holders at once, had none of them known a deadline.
    pub overlaps_without_deadlines: u64,
    /// Control: writes that came after one of a later holder, which a resource without a look at
    /// fences takes.
    pub stale_writes_without_fences: u64,
    /// The longest that nobody was granted a lock although somebody wanted it, in nanoseconds.
    pub longest_wait: u64,
    /// Runs that began.
    pub starts: u64,
    /// Runs by the state of their record.
    pub states: BTreeMap<String, u64>,
}

impl Verdict {
    /// How many rules' violations there were, all told.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.findings.values().map(|it| it.violations).sum()
    }

    /// Whether the faults hurt: some holder acted on when its time was over, in a world without
    /// deadlines or without fences.
    #[must_use]
    pub fn controls_saw_something(&self) -> bool {
        self.overlaps_without_deadlines + self.stale_writes_without_fences > 0
    }

    fn finding(&mut self, rule: Rule) -> &mut Finding {
        self.findings.entry(rule).or_default()
    }
}

/// Looks at one record after the other.
#[derive(Debug)]
pub struct Judge {
    leases: Leases,
    resources: Resources,
    runs: Runs,
    verdict: Verdict,
}

impl Judge {
    /// Of the history that begins so.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        let mut verdict = Verdict::default();
        for rule in Rule::ALL {
            let is_tried = match rule {
                Rule::Overlap | Rule::HonestGuards => true,
                Rule::FencedWrites | Rule::GrowingFences => head.is_fenced,
                Rule::Claims => !head.tasks.is_empty(),
            };
            if is_tried {
                verdict.finding(rule);
            }
        }
        Self {
            leases: Leases::new(head.is_fenced),
            resources: Resources::default(),
            runs: Runs::new(head),
            verdict,
        }
    }

    /// What happened next. Records must come in the order of their times.
    pub fn see(&mut self, record: &Record) {
        let verdict = &mut self.verdict;
        verdict.records += 1;
        match &record.step {
            Step::Fault { what } => *verdict.faults.entry(*what).or_default() += 1,
            Step::Write { until, asked, .. } => {
                let finding = verdict.finding(Rule::HonestGuards);
                finding.tried += 1;
                if asked > until {
                    let late = (asked - until) / 1000;
                    finding.violated(
                        record,
                        format_args!("was told that its lock may be relied on, {late} µs too late"),
                    );
                }
            }
            Step::Lost { late_us, .. } => {
                verdict.losses += 1;
                let finding = verdict.finding(Rule::HonestGuards);
                finding.tried += 1;
                if *late_us > PROMPT {
                    finding.violated(
                        record,
                        format_args!("heard of the loss of its lock {late_us} µs too late"),
                    );
                }
                self.leases.see(record, verdict);
            }
            Step::Written { .. } => self.resources.see(record, verdict),
            Step::Start { .. } | Step::Due { .. } | Step::Kept { .. } => {
                self.runs.see(record, verdict);
            }
            _ => self.leases.see(record, verdict),
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn so_far(&self) -> &Verdict {
        &self.verdict
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        self.runs.finish(&mut self.verdict);
        self.verdict
    }
}
