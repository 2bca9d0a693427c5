//! Alarms: what people are told when tasks do not run as they should, once per cluster.
//!
//! ```text
//!   events of this node ──→ warden ──reads the records──→ standing: good or bad?
//!                              │ changed
//!                              ▼
//!                            book: one record a change, made by whoever is first
//!                              │
//!                              ▼
//!               a run of the task `tenure.alarm.RULE`, taken by any node ──→ target
//! ```
//!
//! Events of a node only say where to look; whether an alarm is due is read from the store's
//! records, so it does not matter which node looks or how often. Each change, raised or recovered,
//! is a record whose name follows from the change before it, so of all nodes that see it one makes
//! it. Telling people is a run like any other: kept, tried again, handed over when its node dies.
//!
//! Knows neither commands nor HTTP: a target is given.

mod book;
mod delivery;
mod nodes;
mod rule;
mod standing;
mod warden;
mod watch;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tenure_core::{TaskName, Timestamp};

pub(crate) use self::delivery::{fault_under, works};
pub use self::rule::{AlarmRule, tells_alarms};
pub(crate) use self::rule::{PREFIX, check_rules};
pub(crate) use self::warden::{Specs, Warden, WardenParts, specs_of};
pub(crate) use self::watch::Watch;
use crate::outcome::TaskFailure;

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlarmKind {
    /// A tick was missed: nobody ran it within its window.
    Missed,
    /// A run began later after its time than [`AlarmRule::late_after`] allows.
    Late,
    /// A run takes, or took, longer than [`AlarmRule::longer_than`] allows.
    TooLong,
    /// The last [`AlarmRule::after`] runs failed or took longer than their timeout, with no attempt
    /// left.
    Failing,
    /// A run was lost with its node.
    Lost,
    /// The wall clock of a node is wrong by more than [`AlarmRule::skew_over`].
    ClockSkew,
    /// The store forgot what it had acknowledged.
    StoreLoss,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Missed,
        Self::Late,
        Self::TooLong,
        Self::Failing,
        Self::Lost,
        Self::ClockSkew,
        Self::StoreLoss,
    ];

    /// The word that stands for it in settings, such as `too_long`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Late => "late",
            Self::TooLong => "too_long",
            Self::Failing => "failing",
            Self::Lost => "lost",
            Self::ClockSkew => "clock_skew",
            Self::StoreLoss => "store_loss",
        }
    }

    /// Whether it is about a task; the others are about a node or the store.
    #[must_use]
    pub fn is_of_task(self) -> bool {
        !matches!(self, Self::ClockSkew | Self::StoreLoss)
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether something went wrong or is right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlarmState {
    /// It went wrong. Nothing more is told of it until it has recovered.
    Raised,
    /// It is right again.
    Recovered,
}

impl AlarmState {
    /// The word that stands for it, such as `raised`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Recovered => "recovered",
        }
    }
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alarm {
    /// Its name: the same each time it is told, so that a receiver can leave out repetitions.
    pub id: String,
    /// The rule it was raised by.
    pub rule: String,
    /// What it is about.
    pub kind: AlarmKind,
    /// Whether something went wrong or is right again.
    pub state: AlarmState,
    /// The task it is about, if it is about one.
    pub task: Option<TaskName>,
    /// The run that made it so, if one did.
    pub run: Option<String>,
    /// The node it is about, or that had the run.
    pub node: Option<String>,
    /// When it was noticed, by the store's clock.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
    /// How many runs in a row were so, as far as they were looked at.
    pub count: u32,
    /// All of it in words: one line.
    pub text: String,
}

/// Whom alarms are told to.
///
/// An alarm is told at least once, unless every try fails: a node that dies while it tells one
/// leaves it to another, which tells it again with the same [`Alarm::id`].
#[async_trait]
pub trait AlarmTarget: fmt::Debug + Send + Sync + 'static {
    /// Tells one alarm. A failure is tried again after growing pauses, as often as
    /// [`AlarmRule::attempts`] says; one that is permanent is not.
    ///
    /// # Errors
    /// [`TaskFailure`] if nobody heard it. The store keeps the message, so it must hold no secret.
    async fn tell(&self, alarm: &Alarm) -> Result<(), TaskFailure>;
}
