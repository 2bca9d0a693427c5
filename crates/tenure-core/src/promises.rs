//! What a store can and cannot promise, as data: the suites check it and the docs print it.

use std::time::Duration;

/// How far apart the processes may be that a store keeps from each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Tasks of one process.
    Process,
    /// Processes of one machine.
    Machine,
    /// Processes of any number of machines.
    Cluster,
}

impl Scope {
    /// What it reaches, in words, such as `processes of one machine`.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Process => "tasks of one process",
            Self::Machine => "processes of one machine",
            Self::Cluster => "every process that reaches the store",
        }
    }
}

/// What an acknowledged step survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: the facts end with the store's process.
    Nothing,
    /// The death of any process at any point, but perhaps not a power cut of the machine.
    ProcessCrash,
    /// A power cut of the machine.
    PowerCut,
}

impl Durability {
    /// What locks and claims survive, in one sentence.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::PowerCut => "Locks and claims that were acknowledged survive a power cut.",
            Self::ProcessCrash => {
                "Locks and claims survive the death of any process; a power cut may lose the last \
                 ones."
            }
            Self::Nothing => "Locks and claims end with this process.",
        }
    }
}

/// How a released lease reaches the next waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOff {
    /// The store pushes the grant as the release happens.
    Pushed,
    /// The grant is made at the release; a waiter elsewhere sees it within this time.
    Noticed(Duration),
    /// Nobody is told: waiters ask again, and the first in line is then granted what was released.
    AskAgain(Duration),
}

/// In which order waiters are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// In the order in which their first requests arrived.
    Fifo,
    /// In any order.
    Any,
}

/// What becomes of steps that arrive at the same moment and of which one should win: requests for
/// one free key, two orders to end a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ties {
    /// One of them wins.
    Never,
    /// Perhaps none does. Each request is told to ask again a little later, and one soon wins; a
    /// lease that two end at once has ended, though neither is told that it was the one.
    AskAgain,
}

/// Whether a store keeps leases that several may hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedLeases {
    /// It does: it has read-write locks and semaphores.
    Kept,
    /// It refuses requests for them as [`Sharing::refused_by`](crate::Sharing::refused_by) says.
    Refused,
}

/// Whether grants carry a fencing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fences {
    /// Each grant of a key has a greater fence than all before it.
    Growing,
    /// No grant has one: every fence is [`Fence::NONE`](crate::Fence::NONE).
    None,
}

/// By what a run store judges whether a tick may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreClock {
    /// By its own clock, in the claim's atomic step.
    Own,
    /// By a floor that only rises, for stores without a usable clock.
    Floor,
}

/// What a store's event feed shows of a record that changed several times between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventDetail {
    /// Every state.
    Every,
    /// At least the last state.
    Latest,
}

/// What a store promises of its leases.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LeasePromises {
    /// The store's name, as it begins its URLs.
    pub store: &'static str,
    /// How far its locks reach.
    pub scope: Scope,
    /// What acknowledged leases survive.
    pub durability: Durability,
    /// How waiters learn of their turn.
    pub hand_off: HandOff,
    /// In which order waiters are served.
    pub order: Order,
    /// What becomes of steps that arrive at the same moment.
    pub ties: Ties,
    /// Whether grants carry a fencing token.
    pub fences: Fences,
    /// Whether it keeps leases that several may hold at once.
    pub shared: SharedLeases,
    /// The shortest ttl it keeps.
    pub min_ttl: Duration,
    /// How long a waiter that died can delay those behind it.
    pub claim_window: Duration,
    /// Whether a step of the store machine's wall clock can end a lease early.
    pub wall_clock_steps_end_leases: bool,
    /// What it forgets, and when: one sentence for people.
    pub forgets: &'static str,
    /// After how long, at the most, taking or giving back a lease ends by itself, with an answer or
    /// with an error that says that the outcome is unknown. `None` if callers must stop waiting.
    pub answers_within: Option<Duration>,
}

impl LeasePromises {
    /// What nearly every store promises at least; set what differs.
    #[must_use]
    pub fn new(store: &'static str, scope: Scope, durability: Durability) -> Self {
        Self {
            store,
            scope,
            durability,
            hand_off: HandOff::AskAgain(Duration::from_millis(50)),
            order: Order::Any,
            ties: Ties::Never,
            fences: Fences::Growing,
            shared: SharedLeases::Refused,
            min_ttl: crate::Ttl::MIN,
            claim_window: Duration::from_secs(2),
            wall_clock_steps_end_leases: true,
            forgets: "",
            answers_within: None,
        }
    }
}

/// What a store promises of its runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunPromises {
    /// The store's name, as it begins its URLs.
    pub store: &'static str,
    /// How far its claims reach.
    pub scope: Scope,
    /// What acknowledged claims survive.
    pub durability: Durability,
    /// By what it judges the window of a claim.
    pub clock: StoreClock,
    /// The most claims it decides in one atomic step; larger batches are refused.
    pub max_batch: usize,
    /// What its event feed shows.
    pub events: EventDetail,
    /// What it forgets, and when: one sentence for people.
    pub forgets: &'static str,
}

impl RunPromises {
    /// The least a store can promise; set what is better.
    #[must_use]
    pub fn new(store: &'static str, scope: Scope, durability: Durability) -> Self {
        Self {
            store,
            scope,
            durability,
            clock: StoreClock::Own,
            max_batch: 256,
            events: EventDetail::Latest,
            forgets: "",
        }
    }
}
