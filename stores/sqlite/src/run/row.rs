//! Runs as rows.

use std::sync::Arc;

use rusqlite::{Row, params};
use tenure_core::{
    AttemptRecord, Claim, Fence, Generation, Holder, MaxRunning, OnCrash, Overlap, Refusal, RunKey,
    RunKind, RunRecord, RunRef, RunState, Timestamp, Token,
};

use crate::column;
use crate::error::unreadable;
use crate::step::{Counter, Fault, Step};

/// The columns of a run in the order in which [`RunRow::read`] expects them.
macro_rules! run_columns {
    () => {
        "id, task, tick_at, idx, kind, request, state, attempt, fence, token, \
         holder, label, host, pid, generation, overlap, max_attempts, \
         created_at, claimed_at, started_at, ended_at, due_at, keep_until, \
         blocker, reason, exit_code, changed, changed_at, max_runs, max_indices, \
         asked"
    };
}
pub(super) use run_columns;

/// A run.
#[derive(Debug, Clone)]
pub(super) struct RunRow {
    pub(super) id: i64,
    pub(super) key: RunKey,
    pub(super) state: RunState,
    pub(super) attempt: u32,
    pub(super) fence: Option<Fence>,
    /// Of the current attempt; nothing once a recovery took it away.
    pub(super) token: Option<Token>,
    pub(super) node: Option<Holder>,
    pub(super) generation: Option<Generation>,
    pub(super) overlap: Overlap,
    pub(super) max_running: Option<MaxRunning>,
    pub(super) on_crash: OnCrash,
    pub(super) created: Timestamp,
    pub(super) claimed: Option<Timestamp>,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) due: Option<Timestamp>,
    pub(super) keep_until: Timestamp,
    /// What keeps a run back that waits, or that was left out by overlap or a limit.
    pub(super) kept_back: Option<Refusal>,
    pub(super) asked: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) exit_code: Option<i32>,
    pub(super) changed: i64,
    pub(super) changed_at: Timestamp,
}

/// A kind as the file keeps it.
pub(super) fn kind_of(kind: &RunKind) -> Result<(i64, &str), Fault> {
    match kind {
        RunKind::Scheduled => Ok((0, "")),
        RunKind::Manual(id) => Ok((1, id.as_str())),
        RunKind::Backfill(id) => Ok((2, id.as_str())),
        other => Err(Fault::request(format!(
            "this store does not know runs of kind {other:?}; upgrade tenure"
        ))),
    }
}

/// From this number on an overlap rule is to queue all, and the rest says how many.
const QUEUE_ALL: i64 = 16;

fn read_overlap(number: i64) -> Overlap {
    match number {
        0 => Overlap::Skip,
        1 => Overlap::Allow,
        2 => Overlap::QueueOne,
        3 => Overlap::CancelOther,
        _ => Overlap::QueueAll {
            max: u32::try_from(number - QUEUE_ALL).unwrap_or_default(),
        },
    }
}

pub(super) fn write_overlap(overlap: Overlap) -> Result<i64, Fault> {
    match overlap {
        Overlap::Skip => Ok(0),
        Overlap::Allow => Ok(1),
        Overlap::QueueOne => Ok(2),
        Overlap::CancelOther => Ok(3),
        Overlap::QueueAll { max } => Ok(QUEUE_ALL + i64::from(max)),
        other => Err(Fault::request(format!(
            "this store does not know the overlap rule {other:?}; upgrade tenure"
        ))),
    }
}

/// Reads a run's name, `limit N`, `full N`, or `newer` and a run's name.
fn read_kept_back(text: &str) -> Option<Refusal> {
    let number_behind = |word| text.strip_prefix(word)?.parse().ok();
    if let Some(max) = number_behind("limit ") {
        return Some(Refusal::Limit { max });
    }
    if let Some(max) = number_behind("full ") {
        return Some(Refusal::QueueFull { max });
    }
    if let Some(by) = text.strip_prefix("newer ").and_then(|key| key.parse().ok()) {
        return Some(Refusal::Replaced { by });
    }
    let blocker = text.parse().ok()?;
    Some(Refusal::Overlap { blocker })
}

fn write_kept_back(because: &Refusal) -> Option<String> {
    match because {
        Refusal::Overlap { blocker } => Some(blocker.to_string()),
        Refusal::Limit { max } => Some(format!("limit {max}")),
        Refusal::QueueFull { max } => Some(format!("full {max}")),
        Refusal::Replaced { by } => Some(format!("newer {by}")),
        _ => None,
    }
}

fn read_key(row: &Row<'_>) -> Result<RunKey, Fault> {
    let task = column::task(row, 1)?;
    let tick = column::time(row, 2)?;
    let index = row.get(3)?;
    let kind: i64 = row.get(4)?;
    match kind {
        0 => Ok(RunKey::scheduled(task, tick, index)),
        1 => Ok(RunKey::manual(task, tick, index, column::request(row, 5)?)),
        2 => Ok(RunKey::backfill(
            task,
            tick,
            index,
            column::request(row, 5)?,
        )),
        _ => Err(unreadable("a kind of run", &kind.to_string()).into()),
    }
}

pub(super) fn state(row: &Row<'_>, at: usize) -> Result<RunState, Fault> {
    column::word(row, at, "a run state", RunState::from_name)
}

impl RunRow {
    /// A row that is not in the file yet.
    pub(super) fn new(step: &Step<'_>, key: RunKey, state: RunState) -> Self {
        Self {
            id: 0,
            key,
            state,
            attempt: 0,
            fence: None,
            token: None,
            node: None,
            generation: None,
            overlap: Overlap::Skip,
            max_running: None,
            on_crash: OnCrash::Lose,
            created: step.wall,
            claimed: None,
            started: None,
            ended: None,
            due: None,
            keep_until: step.wall,
            kept_back: None,
            asked: None,
            reason: None,
            exit_code: None,
            changed: 0,
            changed_at: step.wall,
        }
    }

    pub(super) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let token = match row.get_ref(9)?.data_type() {
            rusqlite::types::Type::Null => None,
            _ => Some(column::token(row, 9)?),
        };
        let fence: Option<i64> = row.get(8)?;
        let generation = match row.get_ref(14)?.data_type() {
            rusqlite::types::Type::Null => None,
            _ => Some(column::generation(row, 14)?),
        };
        let max_attempts: Option<u32> = row.get(16)?;
        Ok(Self {
            id: row.get(0)?,
            key: read_key(row)?,
            state: state(row, 6)?,
            attempt: row.get(7)?,
            fence: fence.map(column::fence_of).transpose()?,
            token,
            node: column::maybe_holder(row, 10)?,
            generation,
            overlap: read_overlap(row.get(15)?),
            max_running: match (row.get(28)?, row.get(29)?) {
                (Some(runs), Some(indices)) => Some(MaxRunning::new(runs, indices)),
                _ => None,
            },
            on_crash: max_attempts.map_or(OnCrash::Lose, |max_attempts| OnCrash::Retry {
                max_attempts,
            }),
            created: column::time(row, 17)?,
            claimed: column::maybe_time(row, 18)?,
            started: column::maybe_time(row, 19)?,
            ended: column::maybe_time(row, 20)?,
            due: column::maybe_time(row, 21)?,
            keep_until: column::time(row, 22)?,
            kept_back: row
                .get_ref(23)?
                .as_str_or_null()
                .ok()
                .flatten()
                .and_then(read_kept_back),
            asked: row.get(30)?,
            reason: row.get(24)?,
            exit_code: row.get(25)?,
            changed: row.get(26)?,
            changed_at: column::time(row, 27)?,
        })
    }

    /// Whether `run` names the attempt that this row is at.
    pub(super) fn is_at(&self, run: &RunRef) -> bool {
        self.attempt == run.attempt && self.token == Some(run.token)
    }

    /// The claim as its node knows it; nothing for a run that nobody has.
    pub(super) fn claim(&self) -> Option<Claim> {
        let run = RunRef::new(self.key.clone(), self.attempt, self.token?);
        let mut claim = Claim::new(run, self.fence?, self.claimed?, self.on_crash);
        claim.asked = self.asked.as_deref().map(Arc::from);
        Some(claim)
    }

    /// Gives the run to a node, for its next attempt.
    pub(super) fn give(
        &mut self,
        step: &Step<'_>,
        node: &Holder,
        token: Token,
        begins: bool,
    ) -> Result<(), Fault> {
        self.attempt += 1;
        self.fence = Some(column::fence_of(step.next(Counter::Fence)?)?);
        self.token = Some(token);
        self.node = Some(node.clone());
        self.claimed = Some(step.wall);
        self.started = begins.then_some(step.wall);
        self.state = if begins {
            RunState::Running
        } else {
            RunState::Claimed
        };
        self.ended = None;
        self.due = None;
        if self.kept_back.take().is_some() {
            self.reason = None;
        }
        Ok(())
    }

    /// Files the attempt that is over and lets the run wait for another.
    pub(super) fn wait_again(
        &mut self,
        step: &Step<'_>,
        over: RunState,
        reason: Option<&str>,
        due: Timestamp,
    ) -> Result<(), Fault> {
        let node = self.node.as_ref();
        step.run(
            "INSERT INTO run_attempt
             (run, attempt, state, holder, label, host, pid, started_at, ended_at, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (run, attempt) DO NOTHING",
            params![
                self.id,
                self.attempt,
                over.as_str(),
                node.map(|node| node.id.as_bytes().as_slice()),
                node.map(|node| &node.label),
                node.map(|node| &node.host),
                node.map(|node| node.pid),
                self.started.map(Timestamp::as_millis),
                step.wall.as_millis(),
                reason,
            ],
        )?;
        self.state = RunState::Waiting;
        self.due = Some(due);
        self.started = None;
        self.ended = None;
        Ok(())
    }

    /// Writes a new run; the file must not have it.
    pub(super) fn insert(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        self.changed = step.next(Counter::Feed)?;
        self.changed_at = step.wall;
        let (kind, request) = kind_of(&self.key.kind)?;
        step.run(
            include_str!("insert_run.sql"),
            params![
                step.ns,
                self.key.task.as_str(),
                self.key.tick.as_millis(),
                self.key.index,
                kind,
                request,
                self.state.as_str(),
                self.attempt,
                self.fence_column(),
                self.token_column(),
                self.node.as_ref().map(|node| node.id.as_bytes().as_slice()),
                self.node.as_ref().map(|node| &node.label),
                self.node.as_ref().map(|node| &node.host),
                self.node.as_ref().map(|node| node.pid),
                self.generation.as_ref().map(Generation::as_str),
                write_overlap(self.overlap)?,
                self.max_attempts_column(),
                self.created.as_millis(),
                self.claimed.map(Timestamp::as_millis),
                self.started.map(Timestamp::as_millis),
                self.ended.map(Timestamp::as_millis),
                self.due.map(Timestamp::as_millis),
                self.keep_until.as_millis(),
                self.kept_back.as_ref().and_then(write_kept_back),
                self.reason,
                self.changed,
                self.changed_at.as_millis(),
                self.max_running.map(|max| max.runs),
                self.max_running.map(|max| max.indices),
                self.asked,
            ],
        )?;
        self.id = step.file.last_insert_rowid();
        Ok(())
    }

    /// Writes what changed, and shows it in the events.
    pub(super) fn save(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        self.changed = step.next(Counter::Feed)?;
        self.changed_at = step.wall;
        step.run(
            include_str!("update_run.sql"),
            params![
                self.id,
                self.state.as_str(),
                self.attempt,
                self.fence_column(),
                self.token_column(),
                self.node.as_ref().map(|node| node.id.as_bytes().as_slice()),
                self.node.as_ref().map(|node| &node.label),
                self.node.as_ref().map(|node| &node.host),
                self.node.as_ref().map(|node| node.pid),
                self.generation.as_ref().map(Generation::as_str),
                self.claimed.map(Timestamp::as_millis),
                self.started.map(Timestamp::as_millis),
                self.ended.map(Timestamp::as_millis),
                self.due.map(Timestamp::as_millis),
                self.reason,
                self.exit_code,
                self.changed,
                self.changed_at.as_millis(),
                self.kept_back.as_ref().and_then(write_kept_back),
            ],
        )?;
        Ok(())
    }

    fn fence_column(&self) -> Option<i64> {
        self.fence.and_then(|fence| i64::try_from(fence.get()).ok())
    }

    fn token_column(&self) -> Option<&[u8]> {
        self.token.as_ref().map(|token| token.as_bytes().as_slice())
    }

    fn max_attempts_column(&self) -> Option<u32> {
        match self.on_crash {
            OnCrash::Retry { max_attempts } => Some(max_attempts),
            _ => None,
        }
    }

    /// The whole record, with its output and its earlier attempts.
    pub(super) fn into_record(self, step: &Step<'_>) -> Result<RunRecord, Fault> {
        let mut record = RunRecord::new(self.key, self.state, self.created);
        record.attempt = self.attempt;
        record.fence = self.fence;
        record.node = self.node;
        record.generation = self.generation;
        record.on_crash = self.on_crash;
        record.claimed_at = self.claimed;
        record.ended_at = self.ended;
        record.set_started(self.started);
        record.due_at = self.due;
        record.asked = self.asked;
        record.reason = self.reason;
        record.exit_code = self.exit_code;
        record.output = step.one(
            "SELECT text FROM run_output WHERE run = ?1",
            [self.id],
            |row| Ok(row.get(0)?),
        )?;
        record.attempts = step.all(
            "SELECT attempt, state, holder, label, host, pid, started_at, ended_at, reason
             FROM run_attempt WHERE run = ?1 ORDER BY attempt",
            [self.id],
            |row| {
                let ended = column::time(row, 7)?;
                let mut attempt = AttemptRecord::new(row.get(0)?, state(row, 1)?, ended);
                attempt.node = column::maybe_holder(row, 2)?;
                attempt.started_at = column::maybe_time(row, 6)?;
                attempt.reason = row.get(8)?;
                Ok(attempt)
            },
        )?;
        Ok(record)
    }
}
