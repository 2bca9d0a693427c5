//! Tells alarms by a command; the library has webhooks.
//!
//! A try that fails says why without naming what it was sent with, which may be secret.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tenure::tasks::{Alarm, AlarmRule, AlarmTarget, TaskFailure};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::command::{Leash, Shared, environment, piped};
use crate::child::{Capture, Group, code_of, spawn_failure};
use crate::file::{AlarmEntry, Target};

/// The rule that an entry of a file describes.
pub(super) fn rule_of(entry: AlarmEntry, shared: &Arc<Shared>) -> AlarmRule {
    let mut rule = AlarmRule::new(entry.name)
        .on(entry.on)
        .tasks(entry.tasks.into_iter().map(|(pattern, _)| pattern));
    if let Some(after) = entry.after {
        rule = rule.after(after);
    }
    if let Some(bound) = entry.late_after {
        rule = rule.late_after(bound);
    }
    if let Some(bound) = entry.longer_than {
        rule = rule.longer_than(bound);
    }
    if let Some(bound) = entry.skew_over {
        rule = rule.skew_over(bound);
    }
    if let Some(attempts) = entry.attempts {
        rule = rule.attempts(attempts);
    }
    let timeout = entry.timeout.unwrap_or(TIMEOUT);
    rule = rule.timeout(timeout);
    match entry.target {
        Target::Command(words) => rule.tell(CommandTarget {
            words,
            shared: shared.clone(),
        }),
        Target::Webhook(webhook) => rule.tell(webhook.timeout(timeout)),
    }
}

/// How long one try may take if the file does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of what a command prints is kept for its failure.
const SAID: usize = 2048;

#[derive(Debug)]
struct CommandTarget {
    words: Vec<String>,
    shared: Arc<Shared>,
}

#[async_trait]
impl AlarmTarget for CommandTarget {
    async fn tell(&self, alarm: &Alarm) -> Result<(), TaskFailure> {
        let program = self.words.first().cloned().unwrap_or_default();
        let mut command = Command::new(&program);
        command
            .args(self.words.iter().skip(1))
            .env_clear()
            .envs(environment(
                false,
                &self.shared.withheld,
                std::env::vars_os(),
            ))
            .envs(facts(alarm))
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut pipe = piped(&mut command)?;
        let spawned = command.spawn();
        // Its own ends of the pipe go with it; ours would keep the pipe open.
        drop(command);
        let mut child = spawned.map_err(|error| {
            let failure = spawn_failure(program.as_ref(), &error);
            TaskFailure::new(failure.to_string().replace("\n  help: ", "; "))
        })?;
        let group = child.id().and_then(Group::led_by);
        // Dropped when the time is up: the whole group goes with it.
        let _leash = Leash::over(group, &self.shared.guardian);
        let mut capture = Capture::default();
        let mut buffer = vec![0; 4096];
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                read = pipe.read(&mut buffer), if !buffer.is_empty() => match read {
                    Ok(0) | Err(_) => buffer.clear(),
                    Ok(count) => capture.push(buffer.get(..count).unwrap_or_default()),
                },
            }
        };
        if let Some(group) = group {
            group.signal(Signal::SIGKILL);
        }
        if status.success() {
            return Ok(());
        }
        let said = capture.into_text().unwrap_or_default();
        let said: String = said.chars().take(SAID).collect();
        let said = if said.is_empty() {
            said
        } else {
            format!(": {said}")
        };
        let code = i32::from(code_of(status).0);
        Err(TaskFailure::new(format!("{program} ended with {status}{said}")).exit_code(code))
    }
}

/// What a command is told of the alarm.
fn facts(alarm: &Alarm) -> Vec<(&'static str, String)> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let json = serde_json::to_string(alarm).unwrap_or_default();
    let mut facts = vec![
        ("TENURE_ALARM", json),
        ("TENURE_ALARM_ID", alarm.id.clone()),
        ("TENURE_ALARM_RULE", alarm.rule.clone()),
        ("TENURE_ALARM_KIND", alarm.kind.to_string()),
        ("TENURE_ALARM_STATE", alarm.state.as_str().to_owned()),
        ("TENURE_ALARM_TEXT", alarm.text.clone()),
        ("TENURE_ALARM_AT", alarm.at.to_string()),
        ("TENURE_ALARM_COUNT", alarm.count.to_string()),
        (
            "TENURE_TASK",
            text(alarm.task.as_ref().map(tenure::core::TaskName::as_str)),
        ),
        ("TENURE_RUN_ID", text(alarm.run.as_deref())),
        ("TENURE_NODE", text(alarm.node.as_deref())),
    ];
    // A variable cannot hold a NUL; text from outside may.
    for (_, value) in &mut facts {
        value.retain(|c| c != '\0');
    }
    facts
}
