//! One step of a backfill: reads what is on record, puts the next runs into the store, and moves
//! the cursor on.
//!
//! Any node may take a step at any moment, also several at once: each reads the cursor before it
//! counts what is in hand, begins at that cursor, and makes runs whose names follow from the ticks.
//! So two nodes put the same runs, which makes them once, and never more than the backfill's cap.
//! The cursor moves last, and only from where it was read: a crash in between repeats a step.

use std::collections::HashMap;
use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, ClaimBatch, Enqueue, HistoryQuery, Note, Overlap, Pass, RunKey,
    RunKind, RunRecord, RunState, StoreError, Timestamp,
};

use super::calls::{Calls, Done};
use crate::spec::TaskSpec;

/// How many ticks one step looks at.
const SCAN: usize = 256;

/// How many pages of records one question reads, at most.
const MAX_PAGES: usize = 40;

/// Ticks younger than this are left to the schedule.
const FRESH: Duration = Duration::from_secs(5);

/// A tick that can still be claimed, or could be by a clock that is so far off, is closed first.
const DOUBT: Duration = Duration::from_secs(60);

/// When to take the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    After(Duration),
    /// When one of its runs ends; beats look as well.
    Waits,
    /// Its last tick has its runs.
    Over,
}

/// What is on record of one tick and index.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// This backfill's own run is in the store.
    is_ours: bool,
    has_scheduled: bool,
    /// Some run of it ended well, waits or is in hand.
    is_no_gap: bool,
}

type Records = HashMap<(Timestamp, u32), Known>;

/// The next runs, the ticks to close to the schedule, and up to where that deals with all.
#[derive(Debug, Default)]
struct Plan {
    runs: Vec<Enqueue>,
    passes: Vec<Pass>,
    cursor: Option<Timestamp>,
    is_cut_short: bool,
}

impl Calls {
    pub(super) async fn expand(
        self,
        backfill: Backfill,
        spec: std::sync::Arc<TaskSpec>,
        now: Timestamp,
    ) -> Done {
        let answer = self.step(&backfill, &spec, now).await;
        Done::Expanded(backfill.id, answer)
    }

    async fn step(
        &self,
        backfill: &Backfill,
        spec: &TaskSpec,
        now: Timestamp,
    ) -> Result<Next, StoreError> {
        let parallel = usize::try_from(backfill.parallel.max(1)).unwrap_or(usize::MAX);
        let mut room = parallel.saturating_sub(self.in_hand(backfill).await?);
        if room == 0 {
            return Ok(Next::Waits);
        }
        let pace = Pace::of(backfill.per_minute);
        if let Some(pace) = pace {
            let recent = self.made_since(backfill, now - pace.window).await?;
            let left = pace.runs.saturating_sub(recent.len());
            if let (0, Some(oldest)) = (left, recent.last()) {
                return Ok(Next::After((*oldest + pace.window).since(now)));
            }
            room = room.min(left);
        }
        let reach = backfill.to.min(now - FRESH);
        let after = backfill.cursor.max(backfill.from);
        let ticks: Vec<Timestamp> = spec
            .schedule()
            .ticks_between(after.to_jiff(), reach.to_jiff())
            .take(SCAN)
            .map(Timestamp::from)
            .collect();
        let records = self.on_record(backfill, &ticks).await?;
        let plan = plan(backfill, spec, &ticks, &records, room, now);
        let is_dry = plan.runs.is_empty();
        let is_all = !plan.is_cut_short && ticks.len() < SCAN && reach >= backfill.to;
        for chunk in plan.passes.chunks(self.max_batch) {
            self.bounded("pass", self.store.pass(chunk)).await?;
        }
        for chunk in plan.runs.chunks(self.max_batch) {
            self.bounded("enqueue", self.store.enqueue(chunk)).await?;
        }
        let mut moved = backfill.clone();
        if is_all {
            moved.cursor = backfill.to;
            moved.state = BackfillState::Done;
        } else if let Some(cursor) = plan.cursor {
            moved.cursor = cursor;
        }
        if moved != *backfill {
            let saved = self.store.save_backfill(&moved, Some(backfill.cursor));
            if self.bounded("save_backfill", saved).await? && is_all {
                self.tell_done(backfill).await;
            }
        }
        Ok(if is_all {
            Next::Over
        } else if let (Some(pace), false) = (pace, is_dry) {
            Next::After(pace.window)
        } else if plan.is_cut_short {
            Next::Waits
        } else if ticks.len() == SCAN {
            Next::Now
        } else {
            Next::After(FRESH)
        })
    }

    async fn tell_done(&self, backfill: &Backfill) {
        let text = format!("all ticks of backfill {} are in the store", backfill.id);
        let note = Note::new("backfill_done", text).about(backfill.task.clone());
        // The backfill itself says the same.
        if let Err(error) = self.bounded("note", self.store.note(&note)).await {
            tracing::debug!(%error, "a note was not kept");
        }
    }

    /// How many of its runs wait or are in hand.
    async fn in_hand(&self, backfill: &Backfill) -> Result<usize, StoreError> {
        let mut query = range_of(backfill);
        query.states = vec![RunState::Waiting, RunState::Claimed, RunState::Running];
        let mut count = 0;
        self.read(query, |record| {
            count += usize::from(is_ours(backfill, &record));
            true
        })
        .await?;
        Ok(count)
    }

    /// When its runs were made, those made after `since`, the newest first. They are made in the
    /// order of their ticks.
    async fn made_since(
        &self,
        backfill: &Backfill,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let mut made = Vec::new();
        self.read(range_of(backfill), |record| {
            if !is_ours(backfill, &record) {
                return true;
            }
            let is_recent = record.created_at > since;
            if is_recent {
                made.push(record.created_at);
            }
            is_recent
        })
        .await?;
        Ok(made)
    }

    async fn on_record(
        &self,
        backfill: &Backfill,
        ticks: &[Timestamp],
    ) -> Result<Records, StoreError> {
        let mut records = Records::new();
        let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else {
            return Ok(records);
        };
        let mut query = HistoryQuery::of(backfill.task.clone());
        (query.from, query.to) = (Some(*first), Some(*last));
        self.read(query, |record| {
            let known: &mut Known = records
                .entry((record.key.tick, record.key.index))
                .or_default();
            known.is_ours |= is_ours(backfill, &record);
            known.has_scheduled |= record.key.kind == RunKind::Scheduled;
            known.is_no_gap |= record.state == RunState::Succeeded || !record.state.is_final();
            true
        })
        .await?;
        Ok(records)
    }

    /// Reads records, the newest tick first, until `each` says that it has enough.
    async fn read(
        &self,
        mut query: HistoryQuery,
        mut each: impl FnMut(RunRecord) -> bool,
    ) -> Result<(), StoreError> {
        query.limit = 1000;
        for _ in 0..MAX_PAGES {
            let page = self.bounded("history", self.store.history(&query)).await?;
            for record in page.runs {
                if !each(record) {
                    return Ok(());
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        Ok(())
    }
}

fn range_of(backfill: &Backfill) -> HistoryQuery {
    let mut query = HistoryQuery::of(backfill.task.clone());
    query.from = Some(backfill.from + Duration::from_millis(1));
    query.to = Some(backfill.to);
    query
}

fn is_ours(backfill: &Backfill, record: &RunRecord) -> bool {
    matches!(&record.key.kind, RunKind::Backfill(id) if *id == backfill.id)
}

/// How fast runs may be put into the store: so many in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    runs: usize,
    window: Duration,
}

impl Pace {
    /// The shortest window in which the rate is a whole number, or nearly so for high rates.
    fn of(per_minute: u32) -> Option<Self> {
        let (runs, window) = match per_minute {
            0 => return None,
            slow @ 1..60 => (1, Duration::from_secs(60) / slow),
            even if even % 60 == 0 => (even / 60, Duration::from_secs(1)),
            other => (other / 6, Duration::from_secs(10)),
        };
        let runs = usize::try_from(runs).unwrap_or(usize::MAX);
        Some(Self { runs, window })
    }
}

/// Puts as many runs as there is `room` for into a plan, tick by tick.
fn plan(
    backfill: &Backfill,
    spec: &TaskSpec,
    ticks: &[Timestamp],
    records: &Records,
    mut room: usize,
    now: Timestamp,
) -> Plan {
    let closed = now - spec.claim_window() - ClaimBatch::SLACK - DOUBT;
    let runs_beside = backfill.parallel > 1 || spec.overlap() == Overlap::Allow;
    let mut plan = Plan::default();
    for tick in ticks {
        for index in 1..=spec.concurrency() {
            let known = records.get(&(*tick, index)).copied().unwrap_or_default();
            if known.is_ours || (backfill.only_missing && known.is_no_gap) {
                continue;
            }
            if room == 0 {
                plan.is_cut_short = true;
                return plan;
            }
            room -= 1;
            // A tick that the schedule could still run would be run twice.
            if backfill.only_missing && !known.has_scheduled && *tick >= closed {
                plan.passes.push(pass(backfill, spec, *tick, index));
            }
            let id = backfill.id.clone();
            let key = RunKey::backfill(backfill.task.clone(), *tick, index, id);
            let mut run = Enqueue::new(key, reason(backfill));
            if runs_beside {
                run.overlap = Overlap::Allow;
            }
            run.max_running = spec.limit();
            run.on_crash = spec.on_crash();
            run.only_missing = backfill.only_missing;
            plan.runs.push(run);
        }
        plan.cursor = Some(*tick);
    }
    plan
}

fn pass(backfill: &Backfill, spec: &TaskSpec, tick: Timestamp, index: u32) -> Pass {
    let key = RunKey::scheduled(backfill.task.clone(), tick, index);
    let mut pass = Pass::skipped(key, format!("left to backfill {}", backfill.id));
    pass.keep_for = spec.claim_window() * 2 + Duration::from_secs(25 * 3600);
    pass
}

fn reason(backfill: &Backfill) -> String {
    let (id, by) = (&backfill.id, &backfill.by);
    match backfill.why.as_str() {
        "" => format!("backfill {id} by {by}"),
        why => format!("backfill {id} by {by}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::RequestId;

    use super::*;
    use crate::task::Task;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + s * 1000)
    }

    #[test]
    fn s61_a_rate_is_kept_in_the_shortest_window_that_can_tell_it() {
        for (per_minute, runs, ms) in [
            (1, 1, 60_000),
            (12, 1, 5_000),
            (60, 1, 1_000),
            (300, 5, 1_000),
            (90, 15, 10_000),
        ] {
            let pace = Pace::of(per_minute).unwrap();
            let expected = (runs, Duration::from_millis(ms));
            assert_eq!((pace.runs, pace.window), expected, "{per_minute}");
        }
        assert_eq!(Pace::of(0), None);
    }

    #[test]
    fn s61_a_plan_fills_the_room_and_passes_over_what_is_there() {
        let task: Task<()> = Task::new("t").schedule("@every 10s").concurrency(2);
        let spec = task.check().unwrap();
        let id = RequestId::new("b").unwrap();
        let mut backfill = Backfill::new(id, spec.name().clone(), at(0), at(40));
        let ticks = [at(10), at(20), at(30), at(40)];
        let no_gap = Known {
            is_no_gap: true,
            has_scheduled: true,
            ..Known::default()
        };
        let ours = Known {
            is_ours: true,
            is_no_gap: true,
            has_scheduled: false,
        };
        let records = Records::from([
            ((at(10), 1), no_gap),
            ((at(10), 2), no_gap),
            ((at(20), 1), ours),
            ((at(40), 1), no_gap),
        ]);
        let placed = |backfill: &Backfill, room| {
            let plan = plan(backfill, &spec, &ticks, &records, room, at(86_400));
            let runs: Vec<_> = plan
                .runs
                .iter()
                .map(|run| (run.key.tick, run.key.index))
                .collect();
            assert!(plan.passes.is_empty(), "long past");
            (runs, plan.cursor, plan.is_cut_short)
        };
        let all = [(at(20), 2), (at(30), 1), (at(30), 2), (at(40), 2)];
        for (room, count, cursor, is_cut_short) in [
            (1, 1, Some(at(20)), true),
            (2, 2, Some(at(20)), true),
            (3, 3, Some(at(30)), true),
            (4, 4, Some(at(40)), false),
            (9, 4, Some(at(40)), false),
        ] {
            let expected = (all[..count].to_vec(), cursor, is_cut_short);
            assert_eq!(placed(&backfill, room), expected, "{room}");
        }
        backfill.only_missing = false;
        assert_eq!(placed(&backfill, 100).0.len(), 7);
        assert_eq!(
            placed(&backfill, 1),
            (vec![(at(10), 1)], None, true),
            "a tick that is not whole keeps the cursor before it"
        );
        backfill.only_missing = true;
        let soon = plan(&backfill, &spec, &ticks, &records, 9, at(60));
        assert_eq!(soon.passes.len(), 4, "these could still be claimed");
    }
}
