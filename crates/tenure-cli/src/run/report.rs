//! Tells what the runner does: a line for people, or a JSON object a line for programs.
//!
//! A reader that goes away does not stop the tasks: their outcomes are in the store.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use tenure::core::{Clock as _, Holder, Outcome, RunKey, SystemClock, TaskName, Timestamp};
use tenure::tasks::{Drained, RunnerEvent};

use crate::locks::{holder_json, millis};
use crate::output::about;
use crate::store::Chosen;
use crate::text::visible;

/// Prints events.
pub(crate) struct Reporter {
    is_json: bool,
    is_quiet: bool,
    is_gone: bool,
    node: Holder,
    /// When each task is due next, as the runner last said.
    next: HashMap<TaskName, Option<Timestamp>>,
}

/// How many tasks are listed at the start.
const NEXT_SHOWN: usize = 10;
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

impl Reporter {
    pub(crate) fn new(is_json: bool, is_quiet: bool, node: Holder) -> Self {
        Self {
            is_json,
            is_quiet,
            is_gone: false,
            node,
            next: HashMap::new(),
        }
    }

    /// Where, who, and when each task is due next.
    pub(crate) fn begin(&mut self, store: &Chosen, next: &[(TaskName, Option<Timestamp>)]) {
        if self.is_json {
            let due: Vec<Value> = next
                .iter()
                .map(|(task, tick)| {
                    json!({ "task": task.as_str(), "tick": tick.map(|tick| tick.to_string()) })
                })
                .collect();
            self.line(
                &json!({
                    "event": "ready",
                    "at": SystemClock.wall().to_string(),
                    "store": store.shown(),
                    "node": holder_json(&self.node),
                    "tasks": next.len(),
                    "next": due,
                })
                .to_string(),
            );
            return;
        }
        if self.is_quiet {
            return;
        }
        let noun = if next.len() == 1 { "task" } else { "tasks" };
        let tasks = next.len();
        self.line(&format!(
            "{tasks} {noun} on {}, as {}; Ctrl-C ends it",
            store.shown(),
            self.node
        ));
        let now = SystemClock.wall();
        for (task, tick) in next.iter().take(NEXT_SHOWN) {
            let due = match tick {
                Some(tick) => format!("{tick} (in {})", about(tick.since(now))),
                None => "never".to_owned(),
            };
            self.line(&format!("  next {due}  {task}"));
        }
        if next.len() > NEXT_SHOWN {
            self.line(&format!("  … and {} more", next.len() - NEXT_SHOWN));
        }
    }

    pub(crate) fn tell(&mut self, event: &RunnerEvent) {
        if let RunnerEvent::Next { task, tick } = event {
            self.next.insert(task.clone(), *tick);
        }
        if self.is_json {
            if let Some(line) = as_json(event) {
                self.line(&line.to_string());
            }
        } else if let Some((text, is_bad)) = self.in_words(event)
            && (is_bad || !self.is_quiet)
        {
            self.line(&text);
        }
    }

    pub(crate) fn end(&mut self, drained: &Drained) {
        let stopped: Vec<String> = drained
            .interrupted
            .iter()
            .map(ToString::to_string)
            .collect();
        if self.is_json {
            self.line(
                &json!({
                    "event": "ended",
                    "at": SystemClock.wall().to_string(),
                    "finished": drained.finished,
                    "interrupted": stopped,
                    "unreported": drained.unreported,
                })
                .to_string(),
            );
        } else if !stopped.is_empty() || drained.unreported > 0 {
            self.line(&format!(
                "stopped before their end: {}; not reported to the store: {}",
                visible(&stopped.join(", ")),
                drained.unreported
            ));
        }
    }

    fn line(&mut self, text: &str) {
        if self.is_gone {
            return;
        }
        let mut stdout = anstream::stdout().lock();
        if writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            self.is_gone = true;
            if std::io::stderr().is_terminal() {
                crate::notice::notice(format_args!(
                    "nobody reads the output any more; the tasks go on"
                ));
            }
        }
    }

    /// The event in words, and whether it is bad news. `None` if it is no news.
    fn in_words(&self, event: &RunnerEvent) -> Option<(String, bool)> {
        let now = clock_time(SystemClock.wall());
        let (text, is_bad) = match event {
            RunnerEvent::Finished {
                key,
                attempt,
                outcome,
                lateness,
                duration,
                reason,
                again_after,
                ..
            } => {
                let (word, style) = word_of(*outcome);
                let took = format!("{} late, took {}", about(*lateness), about(*duration));
                let mut parts = vec![format!(
                    "{style}{word:<9}{style:#} {} {DIM}tick {}, {took}{DIM:#}",
                    run_of(key),
                    clock_time(key.tick),
                )];
                if *attempt > 1 {
                    parts.push(format!(", attempt {attempt}"));
                }
                if let Some(reason) = reason {
                    parts.push(format!(": {}", visible(reason)));
                }
                if let Some(after) = again_after {
                    parts.push(format!("; again in {}", about(*after)));
                }
                if let Some(Some(next)) = self.next.get(&key.task) {
                    parts.push(format!("{DIM}; next {}{DIM:#}", clock_time(*next)));
                }
                (parts.concat(), *outcome != Outcome::Succeeded)
            }
            RunnerEvent::Skipped { key, reason } => {
                let tick = clock_time(key.tick);
                let reason = visible(reason);
                (
                    format!("skipped   {} tick {tick}: {reason}", run_of(key)),
                    true,
                )
            }
            RunnerEvent::Lost {
                key,
                attempt,
                node,
                state,
                ..
            } => {
                let node = node
                    .as_ref()
                    .map_or_else(String::new, |node| format!(" of {node}"));
                let tick = clock_time(key.tick);
                let run = run_of(key);
                let what = format!("{run} tick {tick}, attempt {attempt}{node}; now {state}");
                (format!("{BAD}lost{BAD:#}      {what}"), true)
            }
            RunnerEvent::LateCompletion { key, state, .. } => {
                let run = run_of(key);
                (
                    format!("too late  {run} ended after it was given up; it is {state}"),
                    true,
                )
            }
            other => task_or_node(other)?,
        };
        Some((format!("{DIM}{now}{DIM:#} {text}"), is_bad))
    }
}

/// Events that are not about one run, in words.
fn task_or_node(event: &RunnerEvent) -> Option<(String, bool)> {
    let text = match event {
        RunnerEvent::Missed {
            task,
            tick,
            count,
            reason,
        } => format!(
            "missed    {task}: {count} up to {tick}: {}",
            visible(reason)
        ),
        RunnerEvent::Paused { task, by } => {
            return Some((format!("paused    {task} by {}", visible(by)), false));
        }
        RunnerEvent::Resumed { task } => return Some((format!("resumed   {task}"), false)),
        RunnerEvent::Stale { task, .. } => {
            format!("stale     {task}: another node has a newer definition, so it runs there")
        }
        RunnerEvent::LeaseLost { .. } => {
            format!("{BAD}cut off{BAD:#}   the store was not heard of in time; starting nothing")
        }
        RunnerEvent::NodeLapsed { .. } => {
            "back      the store had given this process up; it has begun again".to_owned()
        }
        RunnerEvent::NodeLost { node } => format!("gone      {node} ended without a word"),
        RunnerEvent::ClockSkew { ahead_ms, .. } => {
            format!("clock     this machine's clock is {ahead_ms} ms ahead of the store's")
        }
        RunnerEvent::StoreClockStepped { by_ms } => {
            format!("clock     the store's clock was set by {by_ms} ms")
        }
        RunnerEvent::StoreRegressed { what } => {
            let what = visible(what);
            format!("{BAD}forgot{BAD:#}    the store lost acknowledged facts: {what}")
        }
        RunnerEvent::StoreTrouble { call, error, .. } => {
            format!(
                "{BAD}store{BAD:#}     {call}: {}; trying again",
                visible(error)
            )
        }
        RunnerEvent::StoreRecovered { after, .. } => {
            format!("store     answers again, after {}", about(*after))
        }
        RunnerEvent::EventsLost { count } => {
            format!("          {count} events were too fast to be printed")
        }
        _ => return None,
    };
    Some((text, true))
}

fn word_of(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Succeeded => ("ok", GOOD),
        Outcome::Failed => ("failed", BAD),
        Outcome::TimedOut => ("timed out", BAD),
        Outcome::Cancelled => ("cancelled", BAD),
        Outcome::Interrupted => ("stopped", BAD),
        _ => ("lost", BAD),
    }
}

fn run_of(key: &RunKey) -> String {
    format!("{}#{}", key.task, key.index)
}

/// The time of day in UTC; the date is in the records.
fn clock_time(at: Timestamp) -> String {
    at.to_string()
        .split_once('T')
        .map_or_else(String::new, |(_, time)| time.to_owned())
}

fn as_json(event: &RunnerEvent) -> Option<Value> {
    let run = |name: &str, key: &RunKey, mut more: Value| {
        if let Some(fields) = more.as_object_mut() {
            fields.insert("event".to_owned(), name.into());
            fields.insert("task".to_owned(), key.task.as_str().into());
            fields.insert("tick".to_owned(), key.tick.to_string().into());
            fields.insert("index".to_owned(), key.index.into());
            fields.insert("run_id".to_owned(), key.to_string().into());
        }
        more
    };
    let ms = |duration: &Duration| millis(*duration);
    let mut value = match event {
        RunnerEvent::Due { task, tick } => {
            json!({ "event": "due", "task": task.as_str(), "tick": tick.to_string() })
        }
        RunnerEvent::Next { task, tick } => json!({
            "event": "next", "task": task.as_str(), "tick": tick.map(|tick| tick.to_string()),
        }),
        RunnerEvent::Claimed {
            key,
            attempt,
            in_place_of_another,
        } => run(
            "claimed",
            key,
            json!({ "attempt": attempt, "in_place_of_another": in_place_of_another }),
        ),
        RunnerEvent::Started {
            key,
            attempt,
            lateness,
        } => run(
            "started",
            key,
            json!({ "attempt": attempt, "lateness_ms": ms(lateness) }),
        ),
        RunnerEvent::Finished {
            key,
            attempt,
            outcome,
            lateness,
            duration,
            reason,
            exit_code,
            again_after,
        } => run(
            "finished",
            key,
            json!({
                "attempt": attempt,
                "outcome": outcome.state().as_str(),
                "lateness_ms": ms(lateness),
                "duration_ms": ms(duration),
                "reason": reason,
                "exit_code": exit_code,
                "again_after_ms": again_after.as_ref().map(ms),
            }),
        ),
        RunnerEvent::Skipped { key, reason } => run("skipped", key, json!({ "reason": reason })),
        RunnerEvent::Missed {
            task,
            tick,
            count,
            reason,
        } => json!({
            "event": "missed", "task": task.as_str(), "tick": tick.to_string(),
            "count": count, "reason": reason,
        }),
        RunnerEvent::Lost {
            key,
            attempt,
            node,
            had_started,
            state,
        } => run(
            "lost",
            key,
            json!({
                "attempt": attempt,
                "node": node.as_ref().map(holder_json),
                "had_started": had_started,
                "state": state.as_str(),
            }),
        ),
        RunnerEvent::LateCompletion {
            key,
            attempt,
            state,
        } => run(
            "late_completion",
            key,
            json!({ "attempt": attempt, "state": state.as_str() }),
        ),
        other => plain(other)?,
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("at".to_owned(), SystemClock.wall().to_string().into());
    }
    Some(value)
}

/// Events that are not about one run.
fn plain(event: &RunnerEvent) -> Option<Value> {
    Some(match event {
        RunnerEvent::Paused { task, by } => {
            json!({ "event": "paused", "task": task.as_str(), "by": by })
        }
        RunnerEvent::Resumed { task } => json!({ "event": "resumed", "task": task.as_str() }),
        RunnerEvent::Stale { task, current } => {
            json!({ "event": "stale", "task": task.as_str(), "current": current })
        }
        RunnerEvent::LeaseLost { .. } => json!({ "event": "lease_lost" }),
        RunnerEvent::NodeLapsed { .. } => json!({ "event": "node_lapsed" }),
        RunnerEvent::NodeLost { node } => {
            json!({ "event": "node_lost", "node": holder_json(node) })
        }
        RunnerEvent::ClockSkew { ahead_ms, .. } => {
            json!({ "event": "clock_skew", "ahead_ms": ahead_ms })
        }
        RunnerEvent::StoreClockStepped { by_ms } => {
            json!({ "event": "store_clock_stepped", "by_ms": by_ms })
        }
        RunnerEvent::StoreRegressed { what } => {
            json!({ "event": "store_regressed", "what": what })
        }
        RunnerEvent::StoreTrouble { call, error, .. } => {
            json!({ "event": "store_trouble", "call": call, "error": error })
        }
        RunnerEvent::StoreRecovered { after, .. } => {
            json!({ "event": "store_recovered", "after_ms": millis(*after) })
        }
        RunnerEvent::Draining { running, .. } => {
            json!({ "event": "draining", "running": running })
        }
        RunnerEvent::EventsLost { count } => json!({ "event": "events_lost", "count": count }),
        _ => return None,
    })
}
