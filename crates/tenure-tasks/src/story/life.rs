//! What the records of a tick come to, in words.

use std::fmt::Write as _;

use tenure_core::{
    NodeRecord, Note, RunKind, RunRecord, RunState, Timestamp, about_duration, visible,
};

use super::{RunStory, Story};
use crate::attempt::NOT_BEGUN;

impl Story {
    /// What happened to one run of the tick.
    pub(super) fn run(&self, record: RunRecord, nodes: &[NodeRecord]) -> RunStory {
        let alive_besides = besides(&record, nodes);
        let life = self.life(&record, &alive_besides);
        RunStory {
            record,
            alive_besides,
            life,
        }
    }

    /// The store's own note of the pause that was in force at the tick, and when that began.
    pub(super) fn pause_at_tick(&self) -> Option<(Timestamp, &Note)> {
        let last = self
            .notes
            .iter()
            .filter(|(at, note)| {
                *at <= self.tick && matches!(note.kind.as_str(), "paused" | "resumed")
            })
            .max_by_key(|(at, _)| *at);
        last.filter(|(_, note)| note.kind == "paused")
            .map(|(at, note)| (*at, note))
    }

    /// The end of the pause that was in force at the tick.
    fn resumed_after_tick(&self) -> Option<(Timestamp, &Note)> {
        let later = self.notes.iter().filter(|(at, _)| *at > self.tick);
        let end = later.filter(|(_, note)| note.kind == "resumed");
        end.min_by_key(|(at, _)| *at).map(|(at, note)| (*at, note))
    }

    /// Why there is no record of an index, as far as that can be known.
    pub(super) fn why_none(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.tick > self.now {
            let left = about_duration(self.tick.since(self.now));
            let mut reasons = vec![format!("it is not due yet: in {left}")];
            let pause = self.task.pause.as_ref();
            if let Some(pause) = pause.filter(|pause| pause.holds_at(self.tick)) {
                let (by, why) = (visible(&pause.by), visible(&pause.why));
                reasons.push(format!("the task is paused by {by} until then: {why}"));
            }
            return reasons;
        }
        if self.task.first_seen > self.tick {
            reasons.push(format!(
                "the store first heard of the task later, at {}",
                self.task.first_seen
            ));
        }
        if let Some((_, pause)) = self.pause_at_tick() {
            reasons.push(format!("the task was {}", visible(&pause.text)));
            if let Some((at, end)) = self.resumed_after_tick() {
                reasons.push(format!("it was {} at {at}", visible(&end.text)));
                reasons.push(
                    "the last ticks of a pause have a record each; the first of these counts those \
                     before it"
                        .to_owned(),
                );
            }
        }
        if !self.is_scheduled() {
            reasons.push(format!(
                "the schedule that is in force now, `{}` in {}, has no such tick",
                visible(&self.task.definition.schedule),
                visible(&self.task.definition.zone)
            ));
        }
        match self.task.nodes {
            0 => reasons.push("no node that can run the task is alive now".to_owned()),
            nodes if reasons.is_empty() => {
                let noun = if nodes == 1 { "node" } else { "nodes" };
                reasons.push(format!(
                    "{nodes} {noun} can run the task now: the tick may still be claimed, or fell \
                     into a time in which none was there and is told when they see it"
                ));
            }
            _ => {}
        }
        reasons
    }

    /// What a waiting run waits for, as far as that can be known.
    fn waits_for(&self, run: &RunRecord) -> String {
        if let Some(due) = run.due_at.filter(|due| *due > self.now) {
            return format!(
                "waits until it is due, in {}",
                about_duration(due.since(self.now))
            );
        }
        let pause = self.task.pause.as_ref();
        if let Some(pause) = pause.filter(|pause| pause.holds_at(self.now)) {
            let by = visible(&pause.by);
            return format!("waits: the task is paused by {by}: {}", visible(&pause.why));
        }
        if self.task.nodes == 0 {
            return "waits: no node that can run the task is alive".to_owned();
        }
        // Of a tick in line, the store keeps what it waited for when it came.
        if let (RunKind::Scheduled, 0, Some(reason)) = (&run.key.kind, run.attempt, &run.reason) {
            return format!("waits in line, because when it came {}", visible(reason));
        }
        "waits to be taken: a run of the same index may be in hand, or no node has looked yet"
            .to_owned()
    }

    /// What happened to a run, in its order.
    fn life(&self, run: &RunRecord, others: &[String]) -> Vec<(Timestamp, String)> {
        let mut life = Vec::new();
        match (&run.key.kind, &run.asked) {
            (RunKind::Scheduled, _) => life.push((self.tick, "due".to_owned())),
            (_, Some(asked)) => life.push((run.created_at, visible(asked))),
            // A run that was put back after its store forgot it may have lost who asked.
            _ if run.key.is_following() => {
                life.push((run.created_at, "due after the run before".to_owned()));
            }
            _ => life.push((run.created_at, "asked for".to_owned())),
        }
        // Of an attempt that has ended already, if the run waits for its next one.
        let mut claim = claim_of(run, others);
        for attempt in &run.attempts {
            if attempt.attempt == run.attempt {
                life.extend(claim.take());
            }
            let by = attempt
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" on {node}"));
            if let Some(started) = attempt.started_at {
                let did = did_begin(attempt.state, attempt.reason.as_deref());
                life.push((started, format!("attempt {} {did}{by}", attempt.attempt)));
            }
            let reason = attempt.reason.as_deref().map(visible).unwrap_or_default();
            let end = format!("attempt {} {}: {reason}", attempt.attempt, attempt.state);
            life.push((attempt.ended_at, end.trim_end_matches(": ").to_owned()));
        }
        life.extend(claim.take());
        if let Some(started) = run.started_at {
            let did = did_begin(run.state, run.reason.as_deref());
            life.push((started, format!("attempt {} {did}", run.attempt)));
        }
        if let (RunState::Waiting, Some(due)) = (run.state, run.due_at) {
            life.push((due, "may be taken from here on".to_owned()));
            life.push((self.now.max(due), self.waits_for(run)));
        }
        if let Some(ended) = run.ended_at {
            life.push((ended, end_of(run)));
        }
        life.sort_by_key(|(at, _)| *at);
        life
    }
}

/// Who claimed the current attempt, and when.
fn claim_of(run: &RunRecord, others: &[String]) -> Option<(Timestamp, String)> {
    let by = run
        .node
        .as_ref()
        .map_or_else(String::new, |node| format!(" by {node}"));
    let fence = run
        .fence
        .map_or_else(String::new, |fence| format!(", fence {fence}"));
    let against = if others.is_empty() {
        String::new()
    } else {
        format!("; alive besides: {}", visible(&others.join(", ")))
    };
    let what = format!("attempt {} claimed{by}{fence}{against}", run.attempt);
    run.claimed_at.map(|claimed| (claimed, what))
}

/// Who else was alive when a run was claimed, and did not win it.
fn besides(run: &RunRecord, nodes: &[NodeRecord]) -> Vec<String> {
    let (Some(claimed), Some(winner)) = (run.claimed_at, &run.node) else {
        return Vec::new();
    };
    let others = nodes.iter().filter(|other| {
        let was_alive = other.joined_at <= claimed && claimed < other.expires_at;
        was_alive && other.capacity > 0 && other.node.id != winner.id
    });
    others.map(|other| other.node.to_string()).collect()
}

const BEGAN: &str = "began";

/// What an attempt did of which the store was told that it begins. A claim says so for a run that
/// is to begin at once, and its node may then find that nobody wants it any more.
fn did_begin(state: RunState, reason: Option<&str>) -> &'static str {
    // The words of a failure are the code's own, and a record keeps those of the attempt before as
    // long as the next one goes on.
    let is_over = matches!(
        state,
        RunState::Cancelled | RunState::Interrupted | RunState::Lost
    );
    if is_over && reason.is_some_and(|reason| reason.starts_with(NOT_BEGUN)) {
        "was given out to begin, but its code did not"
    } else {
        BEGAN
    }
}

/// How a run ended, in words.
fn end_of(run: &RunRecord) -> String {
    let mut text = match run.state {
        RunState::Skipped | RunState::Missed => format!("recorded as {}", run.state),
        state => format!("{state}"),
    };
    if let Some(started) = run.started_at
        && let Some(ended) = run.ended_at
        && did_begin(run.state, run.reason.as_deref()) == BEGAN
    {
        let _ = write!(text, " after {}", about_duration(ended.since(started)));
    }
    if let Some(code) = run.exit_code {
        let _ = write!(text, ", status {code}");
    }
    if let Some(reason) = &run.reason {
        let _ = write!(text, ": {}", visible(reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use tenure_core::{
        AttemptRecord, Definition, Generation, Holder, RunKey, TaskName, TaskRecord,
    };

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + ms)
    }

    /// An attempt of a node `a` that began at a moment and ended at another.
    fn ended(attempt: u32, began: i64, ended: i64) -> AttemptRecord {
        let mut record = AttemptRecord::new(attempt, RunState::Failed, at(ended));
        record.node = Some(Holder::new("a").with_pid(0));
        record.started_at = Some(at(began));
        record
    }

    /// The first words of each line of a run's life, with the milliseconds after its tick.
    fn life_of(run: &RunRecord) -> Vec<(i64, String)> {
        let task = run.key.task.clone();
        let definition = Definition::new(task, Generation::new("g").unwrap(), "@every 1m");
        let story = Story {
            task: TaskRecord::new(definition, at(-1_000)),
            tick: at(0),
            asked: None,
            now: at(60_000),
            runs: Vec::new(),
            missing: Vec::new(),
            notes: Vec::new(),
        };
        let told = story.life(run, &[]).into_iter().map(|(when, what)| {
            let words: Vec<_> = what.split([' ', ',', ':']).take(3).collect();
            (when.as_millis() - at(0).as_millis(), words.join(" "))
        });
        told.collect()
    }

    #[test]
    fn s60_who_asked_is_told_beside_how_the_run_ended() {
        let id = tenure_core::RequestId::new("r1").unwrap();
        let key = RunKey::manual(TaskName::new("t").unwrap(), at(0), 1, id);
        for state in [RunState::Failed, RunState::TimedOut, RunState::Lost] {
            let mut run = RunRecord::new(key.clone(), state, at(0));
            (run.asked, run.reason) = (Some("ann: ticket 99".into()), Some("due to rain".into()));
            run.ended_at = Some(at(5));
            // The first three words of each line; a colon stands for one.
            let told = [(0, "ann  ticket".to_owned()), (5, format!("{state}  due"))];
            assert_eq!(life_of(&run), told);
        }
    }

    #[test]
    fn s40_s44_each_attempt_is_claimed_before_it_begins_whatever_their_clock_readings_share() {
        let key = RunKey::scheduled(TaskName::new("t").unwrap(), at(0), 1);
        let record = |state, attempt, claimed: i64| {
            let mut run = RunRecord::new(key.clone(), state, at(0));
            run.attempt = attempt;
            run.claimed_at = Some(at(claimed));
            run
        };
        let mut once = record(RunState::Running, 1, 3);
        once.started_at = Some(at(3));
        // Claimed and begun in the same step, as nearly all are, and over: the next one waits.
        let mut waits = record(RunState::Waiting, 1, 3);
        waits.attempts = vec![ended(1, 3, 9)];
        waits.due_at = Some(at(70_000));
        // The second attempt goes on; the record keeps only its own claim.
        let mut again = record(RunState::Running, 2, 20);
        again.attempts = vec![ended(1, 3, 9)];
        again.started_at = Some(at(20));
        // Claimed ahead of its tick.
        let mut ahead = record(RunState::Running, 1, -200);
        ahead.started_at = Some(at(0));
        for (run, expected) in [
            (
                once,
                vec![(0, "due"), (3, "attempt 1 claimed"), (3, "attempt 1 began")],
            ),
            (
                waits,
                vec![
                    (0, "due"),
                    (3, "attempt 1 claimed"),
                    (3, "attempt 1 began"),
                    (9, "attempt 1 failed"),
                    (70_000, "may be taken"),
                    (70_000, "waits until it"),
                ],
            ),
            (
                again,
                vec![
                    (0, "due"),
                    (3, "attempt 1 began"),
                    (9, "attempt 1 failed"),
                    (20, "attempt 2 claimed"),
                    (20, "attempt 2 began"),
                ],
            ),
            (
                ahead,
                vec![
                    (-200, "attempt 1 claimed"),
                    (0, "due"),
                    (0, "attempt 1 began"),
                ],
            ),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(when, what)| (when, what.to_owned()))
                .collect();
            assert_eq!(life_of(&run), expected);
        }
    }
}
