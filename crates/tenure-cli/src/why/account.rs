//! What the records say of a tick, in words and as JSON.
//!
//! What the records do not say is not guessed: a reason is told as a fact only if a record or the
//! store's clock proves it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tenure::core::{NodeRecord, Note, RunKind, RunRecord, RunState, TaskRecord, Timestamp};

use super::schedule_of;
use crate::output::about;
use crate::text::visible;

/// What the records say of a tick.
pub(super) struct Account<'s> {
    pub(super) task: &'s TaskRecord,
    pub(super) tick: Timestamp,
    /// The instant that was asked about, if it is no tick.
    pub(super) asked: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// All runs of this tick, in every kind and index.
    pub(super) records: &'s [RunRecord],
    pub(super) notes: &'s [(Timestamp, Note)],
    /// Every node that is or lately was alive.
    pub(super) nodes: &'s [NodeRecord],
}

impl Account<'_> {
    fn scheduled(&self, index: u32) -> Option<&RunRecord> {
        self.records
            .iter()
            .find(|run| run.key.kind == RunKind::Scheduled && run.key.index == index)
    }

    /// The indices that the tick should have, as far as the current definition tells.
    fn missing(&self) -> Vec<u32> {
        let is_asked_for = self
            .records
            .iter()
            .any(|run| run.key.kind != RunKind::Scheduled);
        if is_asked_for && !self.is_scheduled() {
            return Vec::new();
        }
        (1..=self.task.definition.concurrency)
            .filter(|index| self.scheduled(*index).is_none())
            .collect()
    }

    fn is_scheduled(&self) -> bool {
        let at = self.tick.to_jiff();
        schedule_of(self.task)
            .and_then(|schedule| schedule.previous_at_or_before(at))
            .is_some_and(|tick| tick == at)
    }

    /// Who had paused the task at the tick, in the words of the store's own note.
    fn pause_at_tick(&self) -> Option<&str> {
        let last = self
            .notes
            .iter()
            .filter(|(at, note)| {
                *at <= self.tick && matches!(note.kind.as_str(), "paused" | "resumed")
            })
            .max_by_key(|(at, _)| *at);
        last.filter(|(_, note)| note.kind == "paused")
            .map(|(_, note)| note.text.as_str())
    }

    /// Why there is no record of an index, as far as that can be known.
    fn why_none(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.tick > self.now {
            let left = about(self.tick.since(self.now));
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
        if let Some(pause) = self.pause_at_tick() {
            reasons.push(format!("the task was {}", visible(pause)));
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

    pub(super) fn text(&self) -> String {
        let name = &self.task.definition.task;
        let mut text = format!("{name}, tick {}", self.tick);
        if let Some(local) = self.local() {
            let _ = write!(text, " ({local})");
        }
        text.push('\n');
        if let Some(remark) = self.remark() {
            let _ = writeln!(text, "{remark}");
        }
        for run in self.records {
            let _ = writeln!(text, "\n#{}{}: {}", run.key.index, kind_of(run), run.state);
            for (at, what) in self.life(run) {
                let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(at));
            }
        }
        for index in self.missing() {
            let _ = writeln!(text, "\n#{index}: no record");
            for reason in self.why_none() {
                let _ = writeln!(text, "  {reason}");
            }
        }
        let around: Vec<_> = self
            .notes
            .iter()
            .filter(|(at, _)| *at >= self.tick)
            .collect();
        if !around.is_empty() {
            let _ = writeln!(text, "\nmeanwhile");
            for (at, note) in around {
                let what = visible(&note.text);
                let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(*at));
            }
        }
        text
    }

    /// That the instant asked about is no tick, and which are around it.
    fn remark(&self) -> Option<String> {
        let asked = self.asked?;
        let schedule = schedule_of(self.task);
        let next = schedule.and_then(|schedule| schedule.next_after(asked.to_jiff()));
        let next = next.map_or_else(
            || "there is none after it".to_owned(),
            |next| format!("the next is {}", Timestamp::from(next)),
        );
        Some(format!(
            "no tick is at {asked}: this is the last before it, and {next}"
        ))
    }

    /// Who else was alive when a run was claimed, and did not win it.
    fn besides(&self, run: &RunRecord) -> Vec<String> {
        let (Some(claimed), Some(winner)) = (run.claimed_at, &run.node) else {
            return Vec::new();
        };
        let others = self.nodes.iter().filter(|other| {
            let was_alive = other.joined_at <= claimed && claimed < other.expires_at;
            was_alive && other.capacity > 0 && other.node.id != winner.id
        });
        others.map(|other| other.node.to_string()).collect()
    }

    /// What a waiting run waits for, as far as that can be known.
    fn waits_for(&self, run: &RunRecord) -> String {
        if let Some(due) = run.due_at.filter(|due| *due > self.now) {
            return format!("waits until it is due, in {}", about(due.since(self.now)));
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

    /// The tick as a clock in the task's zone shows it.
    fn local(&self) -> Option<String> {
        let zone = &self.task.definition.zone;
        if zone == "UTC" {
            return None;
        }
        let local = self.tick.to_jiff().in_tz(zone).ok()?;
        Some(format!("{} {zone}", local.strftime("%a %H:%M:%S %:z")))
    }

    fn offset(&self, at: Timestamp) -> String {
        if at < self.tick {
            format!("-{}", about(self.tick.since(at)))
        } else {
            format!("+{}", about(at.since(self.tick)))
        }
    }

    /// What happened to a run, in its order.
    fn life(&self, run: &RunRecord) -> Vec<(Timestamp, String)> {
        let mut life = Vec::new();
        match (&run.key.kind, &run.reason) {
            (RunKind::Scheduled, _) => life.push((self.tick, "due".to_owned())),
            (_, Some(reason)) if says_who_asked(reason) => {
                life.push((run.created_at, visible(reason)));
            }
            _ => life.push((run.created_at, "asked for".to_owned())),
        }
        for attempt in &run.attempts {
            let by = attempt
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" on {node}"));
            if let Some(started) = attempt.started_at {
                life.push((started, format!("attempt {} began{by}", attempt.attempt)));
            }
            let reason = attempt.reason.as_deref().map(visible).unwrap_or_default();
            let end = format!("attempt {} {}: {reason}", attempt.attempt, attempt.state);
            life.push((attempt.ended_at, end.trim_end_matches(": ").to_owned()));
        }
        if let Some(claimed) = run.claimed_at {
            let by = run
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" by {node}"));
            let fence = run
                .fence
                .map_or_else(String::new, |fence| format!(", fence {fence}"));
            let others = self.besides(run);
            let against = if others.is_empty() {
                String::new()
            } else {
                format!("; alive besides: {}", visible(&others.join(", ")))
            };
            let what = format!("attempt {} claimed{by}{fence}{against}", run.attempt);
            life.push((claimed, what));
        }
        if let Some(started) = run.started_at {
            life.push((started, format!("attempt {} began", run.attempt)));
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

    pub(super) fn json(&self) -> Value {
        let runs: Vec<Value> = self
            .records
            .iter()
            .map(|run| {
                let life: Vec<Value> = self
                    .life(run)
                    .into_iter()
                    .map(|(at, what)| json!({ "at": at.to_string(), "what": what }))
                    .collect();
                let mut value = crate::tasks::run_json(run, false);
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("alive_besides".to_owned(), json!(self.besides(run)));
                    fields.insert("timeline".to_owned(), Value::Array(life));
                }
                value
            })
            .collect();
        let missing: Vec<Value> = self
            .missing()
            .into_iter()
            .map(|index| json!({ "index": index, "why": self.why_none() }))
            .collect();
        let notes: Vec<Value> = self
            .notes
            .iter()
            .map(|(at, note)| json!({ "at": at.to_string(), "kind": note.kind, "text": note.text }))
            .collect();
        json!({
            "task": self.task.definition.task.as_str(),
            "tick": self.tick.to_string(),
            "asked": self.asked.map(|asked| asked.to_string()),
            "now": self.now.to_string(),
            "runs": runs,
            "without_record": missing,
            "notes": notes,
        })
    }
}

fn kind_of(run: &RunRecord) -> &'static str {
    match run.key.kind {
        RunKind::Manual(_) => ", asked for by hand",
        RunKind::Backfill(_) => ", of a backfill",
        _ => "",
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
    {
        let _ = write!(text, " after {}", about(ended.since(started)));
    }
    if let Some(code) = run.exit_code {
        let _ = write!(text, ", status {code}");
    }
    let is_scheduled = run.key.kind == RunKind::Scheduled;
    // What somebody asked for stands at the beginning already.
    if let Some(reason) = &run.reason
        && (is_scheduled || !says_who_asked(reason))
    {
        let _ = write!(text, ": {}", visible(reason));
    }
    text
}

/// Whether a requested run's reason is still who asked for it: a bad end takes its place.
fn says_who_asked(reason: &str) -> bool {
    reason.starts_with("asked for by ") || reason.starts_with("backfill ")
}
