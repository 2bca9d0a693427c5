//! What a runner tells about itself while it works: a feed for programs, and the same in the log.
//!
//! Local and at once; the lasting record is the store's. A slow reader never holds a runner up: it
//! loses events and is told how many. An observer is called in the runner's own loop and loses
//! none.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::{ClaimAnswer, Holder, Outcome, Refusal, RunKey, RunState, TaskName, Timestamp};
use tokio::sync::broadcast;

use crate::alarm::Alarm;
use crate::replacing::Replaced;

/// Something that happened in this process's runner. Instants are the store's, as this node knows
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunnerEvent {
    /// A tick is due.
    Due {
        /// The task.
        task: TaskName,
        /// The tick.
        tick: Timestamp,
    },
    /// When a task is due next; `None`: never again.
    Next {
        /// The task.
        task: TaskName,
        /// The tick.
        tick: Option<Timestamp>,
    },
    /// This node won a run.
    Claimed {
        /// The run.
        key: RunKey,
        /// The attempt.
        attempt: u32,
        /// Whether another node should have claimed it, and did not.
        in_place_of_another: bool,
    },
    /// An attempt begins here.
    Started {
        /// The run.
        key: RunKey,
        /// The attempt.
        attempt: u32,
        /// How long after its time; the task's jitter does not count.
        lateness: Duration,
        /// What it was late for, if it was.
        cause: DelayCause,
    },
    /// An attempt ended here.
    Finished {
        /// The run.
        key: RunKey,
        /// The attempt.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
        /// How late it had begun.
        lateness: Duration,
        /// How long it took.
        duration: Duration,
        /// What went wrong, if anything.
        reason: Option<String>,
        /// The exit status of its command, if it was one.
        exit_code: Option<i32>,
        /// After what delay it is tried again, if it is.
        again_after: Option<Duration>,
        /// The last line that it printed and that holds anything, if it did not end well: at most
        /// 200 characters.
        last_line: Option<String>,
    },
    /// A tick was left out by a rule.
    Skipped {
        /// The run that is not made.
        key: RunKey,
        /// By which rule.
        cause: SkipCause,
        /// Why, in words.
        reason: String,
    },
    /// A tick waits in the store, by the task's overlap rule or its limit, until somebody takes it.
    /// Told by the node that claimed it.
    Queued {
        /// The run.
        key: RunKey,
        /// What it waits for.
        reason: String,
    },
    /// Somebody wants a run of this node to stop, and it was told so.
    CancelRequested {
        /// The run.
        key: RunKey,
        /// Who asks: a person, or the newer run for which the overlap rule asks.
        by: String,
        /// Why, in their words.
        why: String,
    },
    /// Nobody ran these ticks, and nobody will.
    Missed {
        /// The task.
        task: TaskName,
        /// The latest of them.
        tick: Timestamp,
        /// How many; the least number there can be if there are very many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// A run was lost with its node. Told by one node only.
    Lost {
        /// The run.
        key: RunKey,
        /// The attempt that was lost.
        attempt: u32,
        /// The node that had it.
        node: Option<Holder>,
        /// Whether its code may have run.
        had_started: bool,
        /// Where the run stands now: lost, or waiting for another attempt.
        state: RunState,
    },
    /// An attempt that ended here had been given up for lost, so its outcome changed nothing.
    LateCompletion {
        /// The run.
        key: RunKey,
        /// The attempt that came too late.
        attempt: u32,
        /// Where the run stands.
        state: RunState,
    },
    /// A task is paused. Told once until it is resumed.
    Paused {
        /// The task.
        task: TaskName,
        /// By whom.
        by: String,
    },
    /// A paused task runs again.
    Resumed {
        /// The task.
        task: TaskName,
    },
    /// A paused task runs again since its pause is not in the store any more, which has forgotten
    /// what it had acknowledged.
    PauseLost {
        /// The task.
        task: TaskName,
        /// By whom it was paused.
        by: String,
    },
    /// Another definition of the task is current, so this node leaves its ticks to others. Told
    /// once until this node's own is current again.
    Stale {
        /// The task.
        task: TaskName,
        /// The current generation.
        current: String,
    },
    /// Another node has the very definition that this one has, but other rules for its time zone:
    /// their copies of the time-zone database are of two versions. The node that registered last
    /// fires; this one leaves the zone's tasks to it. Told once a zone.
    ZoneRules {
        /// The first task that showed it.
        task: TaskName,
        /// The zone.
        zone: String,
    },
    /// This node may not trust its lease any more: it starts nothing, and running code is stopped
    /// as its task's rule says.
    LeaseLost {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
    },
    /// The store had taken this node for dead. It has begun again.
    NodeLapsed {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
    },
    /// Another node's lease has ended without a farewell. Told by one node only.
    NodeLost {
        /// The node.
        node: Holder,
    },
    /// This machine's wall clock is wrong. The runner does not mind; other programs may.
    ClockSkew {
        /// This node.
        node: Holder,
        /// How far the clock is ahead of the store's, in milliseconds; negative: behind.
        ahead_ms: i64,
    },
    /// The store's clock was set.
    StoreClockStepped {
        /// By how much, in milliseconds; negative: back.
        by_ms: i64,
    },
    /// The store forgot something it had acknowledged.
    StoreRegressed {
        /// The manager whose store it is; `None` for the default.
        manager: Option<Arc<str>>,
        /// What shows it.
        what: String,
    },
    /// The store failed; it is asked again after growing pauses.
    StoreTrouble {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
        /// What was asked of it.
        call: &'static str,
        /// What went wrong.
        error: String,
    },
    /// The store answers again.
    StoreRecovered {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
        /// How long it did not.
        after: Duration,
    },
    /// An alarm was raised, or what it told of is right again. Told by one node only; telling it to
    /// people is a run of its own.
    Alarm {
        /// What people are told.
        alarm: Box<Alarm>,
    },
    /// Other tasks run from now on.
    Replaced {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
        /// What changed.
        replaced: Replaced,
    },
    /// The new tasks could not be read or were not taken, and the old ones run on.
    ReloadFailed {
        /// Why.
        error: String,
    },
    /// The runner stops claiming.
    Draining {
        /// The manager; `None` for the default.
        manager: Option<Arc<str>>,
        /// How many runs are going on.
        running: usize,
    },
    /// This reader was too slow and lost events.
    EventsLost {
        /// How many.
        count: u64,
    },
}

/// Something about one call that a runner made of its store, for counting.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum StoreCall<'a> {
    /// A call has ended.
    Ended {
        /// The method of [`RunStore`](tenure_core::RunStore).
        call: &'static str,
        /// How long it took.
        took: Duration,
        /// Whether there was an answer; false for an error and for none in time.
        is_answered: bool,
    },
    /// A claim was answered; each item of a batch is told.
    Decided(&'a ClaimAnswer),
}

/// The rule that left a tick out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipCause {
    /// An earlier run of the same task and index was in hand.
    Overlap,
    /// As many runs of the task were in hand as it allows.
    Limit,
    /// As many ticks waited as the task's overlap rule allows.
    QueueFull,
    /// A newer tick waited, and the task's overlap rule keeps only the newest.
    Replaced,
}

impl SkipCause {
    /// The cause's name in JSON and in figures, such as `queue_full`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Limit => "limit",
            Self::QueueFull => "queue_full",
            Self::Replaced => "replaced",
        }
    }

    /// The rule behind a refusal that leaves a tick out; nothing for any other.
    pub(crate) fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::Overlap { .. } => Some(Self::Overlap),
            Refusal::Limit { .. } => Some(Self::Limit),
            Refusal::QueueFull { .. } => Some(Self::QueueFull),
            Refusal::Replaced { .. } => Some(Self::Replaced),
            _ => None,
        }
    }
}

/// Why a run began after its time, if it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DelayCause {
    /// Nothing was in its way but the system: clocks, the store, the node.
    System,
    /// It waited in line for other runs: its task's overlap rule or limit.
    Line,
    /// It is another attempt, after a pause or a crash.
    Retry,
    /// Somebody asked for it, so it had no time of its own.
    Request,
}

impl DelayCause {
    /// The word that stands for it in metrics, such as `line`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Line => "line",
            Self::Retry => "retry",
            Self::Request => "request",
        }
    }
}

/// What is called with every call of a store.
pub(crate) type CallObserver = Arc<dyn Fn(StoreCall<'_>) + Send + Sync>;

/// What is called with every event, in the runner's loop.
pub(crate) type Observer = Arc<dyn Fn(&RunnerEvent) + Send + Sync>;

/// The sending end; cheap to copy, and free of cost while nobody listens.
#[derive(Clone)]
pub(crate) struct EventSender {
    sender: broadcast::Sender<RunnerEvent>,
    /// How many readers there are. The channel knows too, but behind a lock, and a run asks often.
    readers: Arc<AtomicUsize>,
    observers: Arc<[Observer]>,
    call_observers: Arc<[CallObserver]>,
}

impl EventSender {
    pub(crate) fn new(capacity: usize, observers: Vec<Observer>) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity),
            readers: Arc::default(),
            observers: observers.into(),
            call_observers: Arc::default(),
        }
    }

    /// With observers of the store's calls.
    pub(crate) fn observing_calls(mut self, observers: Vec<CallObserver>) -> Self {
        self.call_observers = observers.into();
        self
    }

    /// Tells of a call, if anybody counts them.
    pub(crate) fn called<'a>(&self, call: impl Fn() -> StoreCall<'a>) {
        for observer in self.call_observers.iter() {
            if catch_unwind(AssertUnwindSafe(|| observer(call()))).is_err() {
                tracing::error!("an observer of the store's calls panicked");
            }
        }
    }

    /// Makes and sends an event, if anybody listens. An observer that panics is told of in the log
    /// and harms nobody else.
    pub(crate) fn tell(&self, event: impl FnOnce() -> RunnerEvent) {
        let has_readers = self.readers.load(Ordering::Acquire) > 0;
        if !has_readers && self.observers.is_empty() {
            return;
        }
        let event = event();
        for observer in self.observers.iter() {
            if catch_unwind(AssertUnwindSafe(|| observer(&event))).is_err() {
                tracing::error!("an observer of the runner's events panicked");
            }
        }
        if has_readers {
            // It fails only if the last reader left just now.
            let _ = self.sender.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> Events {
        let receiver = self.sender.subscribe();
        self.readers.fetch_add(1, Ordering::AcqRel);
        Events {
            receiver,
            _reader: Reader(self.readers.clone()),
        }
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSender")
            .field("readers", &self.readers.load(Ordering::Acquire))
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

/// The events of a scheduling from the moment this was made.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<RunnerEvent>,
    _reader: Reader,
}

/// One who is counted as a reader for as long as this lives.
#[derive(Debug)]
struct Reader(Arc<AtomicUsize>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Events {
    /// The next event; `None` when the scheduling has ended and all events were read.
    ///
    /// # Cancel safety
    /// Safe: no event is lost by dropping the call.
    pub async fn next(&mut self) -> Option<RunnerEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                Some(RunnerEvent::EventsLost { count })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_loses_events_and_is_told_how_many() {
        let sender = EventSender::new(4, Vec::new());
        sender.tell(|| unreachable!("nobody listens"));
        let mut events = sender.subscribe();
        for by_ms in 0..10 {
            sender.tell(|| RunnerEvent::StoreClockStepped { by_ms });
        }
        assert_eq!(
            events.next().await,
            Some(RunnerEvent::EventsLost { count: 6 })
        );
        for by_ms in 6..10 {
            assert_eq!(
                events.next().await,
                Some(RunnerEvent::StoreClockStepped { by_ms })
            );
        }
        drop(sender.subscribe());
        sender.tell(|| RunnerEvent::StoreClockStepped { by_ms: 10 });
        assert!(events.next().await.is_some());
        drop(sender);
        assert_eq!(events.next().await, None);
    }

    #[test]
    fn s45_an_observer_that_panics_keeps_no_event_from_the_others() {
        let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counts = seen.clone();
        let sender = EventSender::new(
            4,
            vec![
                Arc::new(|_: &RunnerEvent| panic!("an observer's own fault")),
                Arc::new(move |_: &RunnerEvent| {
                    counts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }),
            ],
        );
        for by_ms in 0..10 {
            sender.tell(|| RunnerEvent::StoreClockStepped { by_ms });
        }
        assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 10);
    }
}
