//! What the runner does, as JSON: an object an event, with field names that stay.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::core::{Clock as _, RunKey, SystemClock, TaskName};
use tenure::tasks::RunnerEvent;

use crate::locks::{holder_json, millis};

/// The event for programs. `None` if this version has no words for it.
pub(super) fn of_event(event: &RunnerEvent) -> Option<Value> {
    let mut value = of_run(event)
        .or_else(|| of_task(event))
        .or_else(|| of_node(event))?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("at".to_owned(), SystemClock.wall().to_string().into());
    }
    Some(value)
}

fn run(name: &str, key: &RunKey, mut more: Value) -> Value {
    if let Some(fields) = more.as_object_mut() {
        fields.insert("event".to_owned(), name.into());
        fields.insert("task".to_owned(), key.task.as_str().into());
        fields.insert("tick".to_owned(), key.tick.to_string().into());
        fields.insert("index".to_owned(), key.index.into());
        fields.insert("run_id".to_owned(), key.to_string().into());
    }
    more
}

fn ms(duration: &Duration) -> u64 {
    millis(*duration)
}

/// Events about one run.
fn of_run(event: &RunnerEvent) -> Option<Value> {
    Some(match event {
        RunnerEvent::Claimed {
            key,
            attempt,
            in_place_of_another,
        } => {
            let more = json!({ "attempt": attempt, "in_place_of_another": in_place_of_another });
            run("claimed", key, more)
        }
        RunnerEvent::Started {
            key,
            attempt,
            lateness,
            cause,
        } => {
            let (late, cause) = (ms(lateness), cause.as_str());
            let more = json!({ "attempt": attempt, "lateness_ms": late, "cause": cause });
            run("started", key, more)
        }
        RunnerEvent::Finished {
            key,
            attempt,
            outcome,
            lateness,
            duration,
            reason,
            exit_code,
            again_after,
            last_line,
        } => {
            let more = json!({
                "attempt": attempt,
                "outcome": outcome.state().as_str(),
                "lateness_ms": ms(lateness),
                "duration_ms": ms(duration),
                "reason": reason,
                "exit_code": exit_code,
                "again_after_ms": again_after.as_ref().map(ms),
                "last_line": last_line,
            });
            run("finished", key, more)
        }
        RunnerEvent::Skipped { key, cause, reason } => {
            let facts = json!({ "cause": cause.as_str(), "reason": reason });
            run("skipped", key, facts)
        }
        RunnerEvent::Queued { key, reason } => run("queued", key, json!({ "reason": reason })),
        RunnerEvent::CancelRequested { key, by, why } => {
            run("cancel_requested", key, json!({ "by": by, "why": why }))
        }
        other => return of_loss(other),
    })
}

/// Runs that were lost, or given up for lost.
fn of_loss(event: &RunnerEvent) -> Option<Value> {
    Some(match event {
        RunnerEvent::Lost {
            key,
            attempt,
            node,
            had_started,
            state,
        } => {
            let more = json!({
                "attempt": attempt,
                "node": node.as_ref().map(holder_json),
                "had_started": had_started,
                "state": state.as_str(),
            });
            run("lost", key, more)
        }
        RunnerEvent::LateCompletion {
            key,
            attempt,
            state,
        } => {
            let more = json!({ "attempt": attempt, "state": state.as_str() });
            run("late_completion", key, more)
        }
        _ => return None,
    })
}

/// Events about one task.
fn of_task(event: &RunnerEvent) -> Option<Value> {
    Some(match event {
        RunnerEvent::Due { task, tick } => {
            json!({ "event": "due", "task": task.as_str(), "tick": tick.to_string() })
        }
        RunnerEvent::Next { task, tick } => json!({
            "event": "next", "task": task.as_str(), "tick": tick.map(|tick| tick.to_string()),
        }),
        RunnerEvent::Missed {
            task,
            tick,
            count,
            reason,
        } => json!({
            "event": "missed", "task": task.as_str(), "tick": tick.to_string(),
            "count": count, "reason": reason,
        }),
        RunnerEvent::Paused { task, by } => {
            json!({ "event": "paused", "task": task.as_str(), "by": by })
        }
        RunnerEvent::PauseLost { task, by } => {
            json!({ "event": "pause_lost", "task": task.as_str(), "by": by })
        }
        RunnerEvent::Resumed { task } => json!({ "event": "resumed", "task": task.as_str() }),
        RunnerEvent::Stale { task, current } => {
            json!({ "event": "stale", "task": task.as_str(), "current": current })
        }
        RunnerEvent::ZoneRules { task, zone } => {
            json!({ "event": "zone_rules", "task": task.as_str(), "zone": zone })
        }
        _ => return None,
    })
}

/// Events about this process, another one, or the store.
fn of_node(event: &RunnerEvent) -> Option<Value> {
    Some(match event {
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
        RunnerEvent::StoreRegressed { what, .. } => {
            json!({ "event": "store_regressed", "what": what })
        }
        RunnerEvent::StoreTrouble { call, error, .. } => {
            json!({ "event": "store_trouble", "call": call, "error": error })
        }
        RunnerEvent::StoreRecovered { after, .. } => {
            json!({ "event": "store_recovered", "after_ms": millis(*after) })
        }
        RunnerEvent::Replaced { replaced, .. } => {
            let names = |tasks: &[tenure::core::TaskName]| -> Vec<String> {
                tasks.iter().map(|task| task.as_str().to_owned()).collect()
            };
            json!({
                "event": "reloaded",
                "added": names(&replaced.added),
                "removed": names(&replaced.removed),
                "changed": names(&replaced.changed),
                "unchanged": replaced.unchanged,
            })
        }
        RunnerEvent::Draining { running, .. } => {
            json!({ "event": "draining", "running": running })
        }
        RunnerEvent::Alarm { alarm } => json!({
            "event": "alarm", "id": alarm.id, "rule": alarm.rule, "kind": alarm.kind.as_str(),
            "state": alarm.state.as_str(), "task": alarm.task.as_ref().map(TaskName::as_str),
            "run": alarm.run, "node": alarm.node, "count": alarm.count, "text": alarm.text,
        }),
        RunnerEvent::EventsLost { count } => json!({ "event": "events_lost", "count": count }),
        _ => return None,
    })
}
