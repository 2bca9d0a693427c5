//! Reads from a task's records whether an alarm is due: pure, so that every node reads alike.

use std::time::Duration;

use tenure_core::{HistoryQuery, RunKind, RunRecord, RunState, TaskName, Timestamp};

use super::AlarmKind;
use super::rule::AlarmRule;
use crate::spec::TaskSpec;

/// How a task stands in one respect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its latest run that says anything was good.
    Good(Box<RunRecord>),
    /// As many of its latest runs as the rule wants were bad; the latest of them.
    Bad(Box<RunRecord>, u32),
    /// Neither: no run says anything, or too few were bad.
    Open,
}

/// The records that say something about alarms of this kind, newest first.
pub(super) fn query(kind: AlarmKind, rule: &AlarmRule, task: &TaskName) -> HistoryQuery {
    use RunState::{
        Cancelled, Claimed, Failed, Interrupted, Lost, Missed, Running, Succeeded, TimedOut,
        Waiting,
    };
    let mut query = HistoryQuery::of(task.clone());
    query.states = match kind {
        AlarmKind::Failing => vec![Succeeded, Failed, TimedOut],
        AlarmKind::Lost => vec![Succeeded, Failed, TimedOut, Lost, Waiting, Running],
        AlarmKind::TooLong => vec![Running, Succeeded, Failed, TimedOut, Cancelled],
        _ => vec![
            Claimed,
            Running,
            Succeeded,
            Failed,
            TimedOut,
            Cancelled,
            Interrupted,
            Lost,
            Missed,
        ],
    };
    // Some say nothing; and other nodes may be ahead by some.
    query.limit = usize::try_from(rule.after).unwrap_or(100) + 50;
    query
}

/// How a task stands, by its records, newest first, at the store's `now`.
pub(super) fn standing(
    kind: AlarmKind,
    rule: &AlarmRule,
    spec: Option<&TaskSpec>,
    records: impl IntoIterator<Item = RunRecord>,
    now: Timestamp,
) -> Standing {
    let (mut count, mut latest) = (0, None);
    for record in records {
        match is_bad(kind, rule, spec, &record, now) {
            None => {}
            Some(true) => {
                count += 1;
                latest.get_or_insert(record);
            }
            Some(false) if latest.is_none() => return Standing::Good(Box::new(record)),
            Some(false) => break,
        }
    }
    match latest {
        Some(latest) if count >= rule.after => Standing::Bad(Box::new(latest), count),
        _ => Standing::Open,
    }
}

/// Whether a run is bad in this respect; `None` if it says nothing.
fn is_bad(
    kind: AlarmKind,
    rule: &AlarmRule,
    spec: Option<&TaskSpec>,
    record: &RunRecord,
    now: Timestamp,
) -> Option<bool> {
    match kind {
        AlarmKind::Missed => {
            (record.key.kind == RunKind::Scheduled).then_some(record.state == RunState::Missed)
        }
        AlarmKind::Late => Some(lateness(spec, record)? > rule.late_after),
        AlarmKind::TooLong => {
            let took = record.ended_at.unwrap_or(now).since(record.started_at?);
            let is_over = took > rule.longer_than?;
            (is_over || record.state.is_final()).then_some(is_over)
        }
        AlarmKind::Failing => match record.state {
            RunState::Succeeded => Some(false),
            RunState::Failed | RunState::TimedOut => Some(true),
            _ => None,
        },
        AlarmKind::Lost => {
            let mut attempts = record.attempts.iter();
            if record.state == RunState::Lost || attempts.any(|it| it.state == RunState::Lost) {
                return Some(true);
            }
            record.state.is_final().then_some(false)
        }
        AlarmKind::ClockSkew | AlarmKind::StoreLoss => None,
    }
}

/// How late a scheduled run began: its first attempt counts, and the task's jitter does not.
fn lateness(spec: Option<&TaskSpec>, record: &RunRecord) -> Option<Duration> {
    if record.key.kind != RunKind::Scheduled {
        return None;
    }
    let began = match record.attempts.first() {
        Some(first) => first.started_at?,
        None => record.started_at?,
    };
    let due = spec.map_or(record.key.tick, |spec| spec.fires_at(record.key.tick));
    Some(began.since(due))
}

/// One line that says what is wrong.
pub(super) fn in_words(kind: AlarmKind, record: &RunRecord, count: u32, now: Timestamp) -> String {
    let (task, tick) = (&record.key.task, record.key.tick);
    let times = match count {
        0 | 1 => String::new(),
        _ => format!("; {count} in a row"),
    };
    let reason = record.reason.as_deref().unwrap_or_default();
    let reason = reason.lines().next().unwrap_or_default();
    let because = if reason.is_empty() {
        String::new()
    } else {
        format!(": {}", crate::config_error::shown(reason))
    };
    let what = match kind {
        AlarmKind::Missed => format!("missed its tick {tick}{times}{because}"),
        AlarmKind::Late => {
            let late = record.first_started_at().unwrap_or(tick).since(tick);
            format!("began {late:?} after its tick {tick}{times}")
        }
        AlarmKind::TooLong => {
            let began = record.started_at.unwrap_or(tick);
            let took = record.ended_at.unwrap_or(now).since(began);
            let verb = if record.ended_at.is_some() {
                "took"
            } else {
                "has been running for"
            };
            format!("{verb} {took:?} for its tick {tick}{times}")
        }
        AlarmKind::Lost => format!("was lost with its node in its tick {tick}{times}{because}"),
        _ => format!("failed in its tick {tick}{times}{because}"),
    };
    format!("{task} {what}")
}

#[cfg(test)]
mod tests {
    use tenure_core::RunKey;

    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + s * 1000)
    }

    fn record(s: i64, state: RunState, began: i64, ended: Option<i64>) -> RunRecord {
        let task = TaskName::new("t").unwrap();
        let mut record = RunRecord::new(RunKey::scheduled(task, at(s), 1), state, at(s));
        record.started_at = Some(at(s + began));
        record.ended_at = ended.map(|ended| at(s + began + ended));
        record
    }

    fn counted(kind: AlarmKind, after: u32, records: Vec<RunRecord>) -> Option<u32> {
        let rule = AlarmRule::new("r")
            .after(after)
            .late_after(Duration::from_secs(5))
            .longer_than(Duration::from_secs(5));
        match standing(kind, &rule, None, records, at(100)) {
            Standing::Good(_) => Some(0),
            Standing::Bad(_, count) => Some(count),
            Standing::Open => None,
        }
    }

    #[test]
    fn an_alarm_of_a_late_run_that_was_tried_again_tells_how_late_the_first_attempt_was() {
        let mut run = record(0, RunState::Failed, 19, Some(1));
        let mut first = tenure_core::AttemptRecord::new(1, RunState::Failed, at(9));
        first.started_at = Some(at(6));
        run.attempts.push(first);
        let told = in_words(AlarmKind::Late, &run, 1, at(30));
        assert!(told.starts_with("t began 6s after its tick"), "{told}");
    }

    #[test]
    fn s40_s44_standings_are_read_from_the_newest_runs_that_say_anything() {
        use RunState::{Failed, Interrupted, Lost, Missed, Running, Succeeded, TimedOut};
        let of = |states: &[RunState]| -> Vec<RunRecord> {
            let records = states.iter().zip(0..);
            records
                .map(|(state, n)| record(50 - n * 10, *state, 0, Some(1)))
                .collect()
        };
        for (kind, after, records, expected) in [
            (AlarmKind::Failing, 1, of(&[]), None),
            (AlarmKind::Failing, 1, of(&[Failed, Succeeded]), Some(1)),
            (AlarmKind::Failing, 2, of(&[Failed, Succeeded]), None),
            (
                AlarmKind::Failing,
                2,
                of(&[TimedOut, Interrupted, Failed, Succeeded, Failed]),
                Some(2),
            ),
            (AlarmKind::Failing, 1, of(&[Succeeded, Failed]), Some(0)),
            (AlarmKind::Missed, 1, of(&[Missed, Missed]), Some(2)),
            (AlarmKind::Missed, 1, of(&[Running, Missed]), Some(0)),
            (AlarmKind::Lost, 1, of(&[Lost, Succeeded]), Some(1)),
            (AlarmKind::Lost, 1, of(&[Failed, Lost]), Some(0)),
        ] {
            assert_eq!(counted(kind, after, records), expected, "{kind} {after}");
        }
        for (kind, began, ended, expected) in [
            (AlarmKind::Late, 5, Some(1), Some(0)),
            (AlarmKind::Late, 6, Some(1), Some(1)),
            (AlarmKind::TooLong, 0, Some(5), Some(0)),
            (AlarmKind::TooLong, 0, Some(6), Some(1)),
            (AlarmKind::TooLong, 0, None, Some(1)),
            (AlarmKind::TooLong, 96, None, None),
        ] {
            let state = ended.map_or(Running, |_| Succeeded);
            let records = vec![record(0, state, began, ended)];
            assert_eq!(
                counted(kind, 1, records),
                expected,
                "{kind} {began} {ended:?}"
            );
        }
    }
}
