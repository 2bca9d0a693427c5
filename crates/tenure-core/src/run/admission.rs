//! Whether a tick may begin beside what the task has in hand: the same rule for all stores.
//!
//! A store finds out what there is ([`Crowd`]) and does what [`ClaimItem::admit`] says, both in the
//! claim's own step. Pure; it knows neither records nor time.

use serde::{Deserialize, Serialize};

use super::claim::{ClaimItem, Refusal};
use super::key::RunKey;
use super::record::Overlap;

/// A limit on how many runs of a task may be in hand at one moment, anywhere in the cluster.
///
/// It counts runs of every kind and of the indices `1..=indices`: those that a newer definition no
/// longer has are left to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MaxRunning {
    /// The most runs in hand.
    pub runs: u32,
    /// How many indices the task has.
    pub indices: u32,
}

impl MaxRunning {
    /// At most `runs` runs of a task with `indices` indices.
    #[must_use]
    pub fn new(runs: u32, indices: u32) -> Self {
        Self { runs, indices }
    }
}

/// What a store finds around a claim, in the claim's own step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Crowd {
    /// The scheduled run of the same task and index that is in hand; the oldest, if there are more.
    pub blocker: Option<RunKey>,
    /// The newest scheduled run of the same task and index that waits for its first attempt.
    pub queued: Option<RunKey>,
    /// How many such runs there are.
    pub queue_len: u32,
    /// How many runs the task's limit counts. Read only if the claim has one.
    pub in_hand: u32,
    /// How many of them are scheduled runs.
    pub scheduled: u32,
}

/// What becomes of a claim that nothing else refuses. A store does each of these or does not
/// compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The node has it.
    Begin,
    /// It waits in the store until somebody may take it.
    Wait {
        /// What it waits for.
        because: Refusal,
        /// Whether the runs that waited so far are skipped in its favour.
        replaces: bool,
        /// Whether the scheduled run in its way is asked to stop: that of the same index, or, for
        /// a limit, the oldest of the task.
        cancels: bool,
    },
    /// It is recorded as skipped.
    Skip(Refusal),
}

impl ClaimItem {
    /// What becomes of this claim, for a store that found `crowd`.
    ///
    /// Scheduled runs mind scheduled runs only, and the limit counts all. Where it is reached by
    /// runs that somebody asked for, the tick waits under every rule, so that a requested run
    /// never costs a tick and the limit still holds.
    #[must_use]
    pub fn admit(&self, crowd: &Crowd) -> Admission {
        let limit = self.max_running.filter(|max| crowd.in_hand >= max.runs);
        let Some(because) = self.obstacle(crowd, limit) else {
            return Admission::Begin;
        };
        let is_crowded_by_requests = matches!(because, Refusal::Limit { .. })
            && limit.is_some_and(|max| crowd.scheduled < max.runs);
        let only_newest_waits = match self.overlap {
            Overlap::QueueOne | Overlap::CancelOther => true,
            Overlap::Skip | Overlap::Allow => is_crowded_by_requests,
            Overlap::QueueAll { .. } => false,
        };
        let newer = crowd.queued.as_ref().filter(|key| key.tick > self.tick);
        if let Some(by) = newer.filter(|_| only_newest_waits) {
            return Admission::Skip(Refusal::Replaced { by: by.clone() });
        }
        match self.overlap {
            Overlap::QueueAll { max } if crowd.queue_len >= max => {
                Admission::Skip(Refusal::QueueFull { max })
            }
            Overlap::QueueAll { .. } => Admission::Wait {
                because,
                replaces: false,
                cancels: false,
            },
            Overlap::QueueOne | Overlap::CancelOther => Admission::Wait {
                because,
                replaces: true,
                cancels: self.overlap == Overlap::CancelOther,
            },
            Overlap::Skip | Overlap::Allow if is_crowded_by_requests => Admission::Wait {
                because,
                replaces: true,
                cancels: false,
            },
            Overlap::Skip | Overlap::Allow => Admission::Skip(because),
        }
    }

    fn obstacle(&self, crowd: &Crowd, limit: Option<MaxRunning>) -> Option<Refusal> {
        let in_the_way = match self.overlap {
            Overlap::Allow => None,
            Overlap::Skip => crowd.blocker.clone(),
            // What waits is ahead in the line.
            _ => crowd.blocker.clone().or_else(|| crowd.queued.clone()),
        };
        in_the_way
            .map(|blocker| Refusal::Overlap { blocker })
            .or_else(|| limit.map(|max| Refusal::Limit { max: max.runs }))
    }
}

impl Refusal {
    /// Why a run that this refusal keeps back does not begin; nothing for refusals that leave no
    /// record.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::Overlap { blocker } => Some(format!("{blocker} is still running")),
            Self::Limit { max } => Some(format!(
                "limit: as many runs of the task as max_running allows ({max}) are in hand"
            )),
            Self::QueueFull { max } => {
                Some(format!("queue_full: {max} ticks wait already (queue_max)"))
            }
            Self::Replaced { by } => Some(format!("replaced by {by}, which is newer")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generation, TaskName, Timestamp};

    fn key(tick: i64) -> RunKey {
        RunKey::scheduled(TaskName::new("t").unwrap(), Timestamp::from_millis(tick), 1)
    }

    fn item(overlap: Overlap, limit: Option<u32>) -> ClaimItem {
        let generation = Generation::new("g").unwrap();
        let mut item = ClaimItem::new(key(9).task, Timestamp::from_millis(9), 1, generation);
        item.overlap = overlap;
        item.max_running = limit.map(|runs| MaxRunning::new(runs, 1));
        item
    }

    #[test]
    fn s38_each_rule_says_what_becomes_of_a_tick_whose_like_is_in_hand() {
        let because = Refusal::Overlap { blocker: key(1) };
        let wait = |replaces, cancels| Admission::Wait {
            because: because.clone(),
            replaces,
            cancels,
        };
        for (overlap, queue_len, expected) in [
            (Overlap::Skip, 0, Admission::Skip(because.clone())),
            (Overlap::Allow, 0, Admission::Begin),
            (Overlap::QueueOne, 1, wait(true, false)),
            (Overlap::CancelOther, 1, wait(true, true)),
            (Overlap::QueueAll { max: 2 }, 1, wait(false, false)),
            (
                Overlap::QueueAll { max: 2 },
                2,
                Admission::Skip(Refusal::QueueFull { max: 2 }),
            ),
        ] {
            let crowd = Crowd {
                blocker: Some(key(1)),
                queued: (queue_len > 0).then(|| key(2)),
                queue_len,
                in_hand: 1,
                scheduled: 1,
            };
            assert_eq!(item(overlap, None).admit(&crowd), expected, "{overlap:?}");
        }
    }

    #[test]
    fn s39_what_waits_is_ahead_in_the_line_under_the_rules_that_queue() {
        let crowd = Crowd {
            queued: Some(key(2)),
            queue_len: 1,
            ..Crowd::default()
        };
        for (overlap, begins) in [
            (Overlap::Skip, true),
            (Overlap::Allow, true),
            (Overlap::QueueOne, false),
            (Overlap::QueueAll { max: 5 }, false),
            (Overlap::CancelOther, false),
        ] {
            let answer = item(overlap, None).admit(&crowd);
            assert_eq!(answer == Admission::Begin, begins, "{overlap:?}");
        }
    }

    #[test]
    fn s39_an_older_tick_that_comes_late_does_not_replace_the_newer_that_waits() {
        let crowd = Crowd {
            blocker: Some(key(1)),
            queued: Some(key(10)),
            queue_len: 1,
            ..Crowd::default()
        };
        let skipped = Admission::Skip(Refusal::Replaced { by: key(10) });
        assert_eq!(item(Overlap::QueueOne, None).admit(&crowd), skipped);
        assert_eq!(item(Overlap::CancelOther, None).admit(&crowd), skipped);
        let all = item(Overlap::QueueAll { max: 5 }, None).admit(&crowd);
        assert!(matches!(all, Admission::Wait { .. }), "{all:?}");
    }

    #[test]
    fn s60_a_limit_that_requested_runs_reach_makes_a_tick_wait_and_costs_none() {
        let crowd = |in_hand, scheduled| Crowd {
            in_hand,
            scheduled,
            ..Crowd::default()
        };
        let limit = Refusal::Limit { max: 2 };
        let waits = Admission::Wait {
            because: limit.clone(),
            replaces: true,
            cancels: false,
        };
        for overlap in [Overlap::Skip, Overlap::Allow] {
            let item = item(overlap, Some(2));
            assert_eq!(item.admit(&crowd(1, 1)), Admission::Begin);
            assert_eq!(item.admit(&crowd(2, 2)), Admission::Skip(limit.clone()));
            assert_eq!(item.admit(&crowd(2, 1)), waits.clone());
        }
    }
}
