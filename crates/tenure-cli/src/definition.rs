//! What a task of a file is to the store: its definition, with its settings in words.
//!
//! A change of anything here is a new generation. The folder and the values of variables are left
//! out: they may differ from machine to machine for one and the same definition.

use serde_json::{Map, Value, json};
use tenure::Task;
use tenure::core::{OnCrash, Overlap, format_duration};
use tenure::tasks::OnLeaseLoss;
use tenure::tasks::control::MAX_RUNNING;

use crate::file::{Action, Crash, TaskEntry};

/// How many attempts `on_crash = "retry"` means where `retry` does not say.
const CRASH_ATTEMPTS: u32 = 3;
/// How much of a definition's rest is kept in words; of a longer one, a hash of the whole as well.
const DETAILS: usize = 8 * 1024;

/// The task without its code.
pub(crate) fn task_of(entry: &TaskEntry) -> Task<()> {
    let mut task = Task::new(entry.name.as_str())
        .schedule(entry.schedule.clone())
        .concurrency(entry.concurrency)
        .overlap(entry.beside.overlap)
        .catch_up(entry.catch_up)
        .on_lease_loss(entry.on_lease_loss)
        .affinity(entry.affinity)
        .jitter(entry.jitter)
        .aliases(entry.lineage.aliases.iter().map(|(name, _)| name.as_str()))
        .on_change(entry.lineage.on_change)
        .details(details(entry));
    if let Some(runs) = entry.beside.max_running {
        task = task.max_running(runs);
    }
    if let Some(runs) = entry.beside.max_running_per_node {
        task = task.max_running_per_node(runs);
    }
    if let Some(keep) = entry.keep {
        task = task.keep(keep);
    }
    if let Some(number) = entry.lineage.generation {
        task = task.generation(number);
    }
    if let Some(timeout) = entry.timeout {
        task = task.timeout(timeout);
    }
    if let Some(window) = entry.catch_up_window {
        task = task.catch_up_window(window);
    }
    if let Some(most) = entry.catch_up_max {
        task = task.catch_up_max(most);
    }
    if let Some(retry) = entry.retry {
        task = task.retry(retry);
    }
    if entry.on_crash == Crash::Retry {
        let attempts = entry.retry.map_or(0, |retry| retry.attempts());
        let max_attempts = if attempts < 2 {
            CRASH_ATTEMPTS
        } else {
            attempts
        };
        task = task.on_crash(OnCrash::Retry { max_attempts });
    }
    task
}

/// The settings that stand in no field of a definition, in words; those left out are not named.
fn settings(entry: &TaskEntry) -> Map<String, Value> {
    let words: Vec<&str> = match &entry.action {
        Action::Shell(text) => vec!["sh", "-c", text],
        Action::Command(words) => words.iter().map(String::as_str).collect(),
    };
    let names: Vec<&str> = entry.env.iter().map(|(name, _)| name.as_str()).collect();
    let on_crash = match entry.on_crash {
        Crash::Lose => "lost",
        Crash::Retry => "retry",
    };
    let on_lease_loss = match entry.on_lease_loss {
        OnLeaseLoss::Continue => "continue",
        _ => "stop",
    };
    let retry = entry.retry.map(|retry| {
        let mut told = json!({
            "attempts": retry.attempts(),
            "most": format_duration(retry.longest_delay()),
            "past_next_tick": retry.goes_past_next_tick(),
        });
        if let (Some(time), Some(told)) = (retry.time(), told.as_object_mut()) {
            told.insert("within".to_owned(), json!(format_duration(time)));
        }
        told
    });
    let (overlap, queue_max) = match entry.beside.overlap {
        Overlap::QueueAll { max } => (json!("queue_all"), Some(max)),
        other => (serde_json::to_value(other).unwrap_or_default(), None),
    };
    let all = [
        ("command", json!(words)),
        ("env", json!(names)),
        ("success_codes", json!(entry.success_codes)),
        ("timeout", json!(entry.timeout.map(format_duration))),
        ("retry", json!(retry)),
        ("overlap", overlap),
        ("queue_max", json!(queue_max)),
        (MAX_RUNNING, json!(entry.beside.max_running)),
        (
            "max_running_per_node",
            json!(entry.beside.max_running_per_node),
        ),
        ("catch_up", json!(entry.catch_up.as_str())),
        (
            "catch_up_window",
            json!(entry.catch_up_window.map(format_duration)),
        ),
        ("catch_up_max", json!(entry.catch_up_max)),
        ("on_crash", json!(on_crash)),
        ("on_lease_loss", json!(on_lease_loss)),
        ("affinity", json!(entry.affinity.as_str())),
        ("jitter", json!(format_duration(entry.jitter))),
        ("dst_gap", json!(entry.schedule.gap().as_str())),
        ("dst_overlap", json!(entry.schedule.overlap().as_str())),
    ];
    let given = all.into_iter().filter(|(_, value)| !value.is_null());
    given
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The rest of a definition.
fn details(entry: &TaskEntry) -> String {
    let text = Value::Object(settings(entry)).to_string();
    if text.len() <= DETAILS {
        return text;
    }
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let shown: String = text.chars().take(DETAILS / 4).collect();
    format!("{shown}… ({sum:016x})")
}
