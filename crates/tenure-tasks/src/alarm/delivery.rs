//! Tells alarms: the code of the runs that carry them, with tries, pauses and limits.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tenure_core::{OnCrash, Overlap, RunStore};
use tokio::time::{sleep, timeout};

use super::book::alarm_of;
use super::rule::{AlarmRule, PREFIX};
use super::{Alarm, AlarmTarget};
use crate::attempt::{Attempt, TaskResult};
use crate::check::{Work, check_ours};
use crate::config_error::{ConfigErrors, shown};
use crate::outcome::{TaskFailure, TaskReport};
use crate::task::Task;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The tasks whose runs tell alarms, one a rule, for the manager over `store`.
pub(crate) fn works(
    rules: &[Arc<AlarmRule>],
    manager: Option<&str>,
    store: &Arc<dyn RunStore>,
) -> Vec<Work> {
    let works = rules.iter().filter_map(|rule| {
        let work = work(rule, manager, store);
        // The check has refused whatever is refused here.
        let told = work.inspect_err(|error| {
            tracing::error!(rule = rule.name, manager, %error, "nobody will be told of an alarm");
        });
        told.ok()
    });
    works.collect()
}

/// Why the task of a rule by which its alarms are told cannot be under a manager; in words, with
/// what to do.
pub(crate) fn fault_under(rule: &AlarmRule, manager: Option<&str>) -> Option<String> {
    let faults = check_ours(&own_task(rule, manager)).err()?;
    let fault = faults.as_slice().first()?;
    let under =
        manager.map(|name| format!("; give manager `{}` another, shorter name", shown(name)));
    Some(format!(
        "it would be told by a task that cannot be: {fault}{}",
        under.unwrap_or_default()
    ))
}

/// What the task is called by whose runs the alarms of a rule are told.
pub(super) fn task_of(rule: &AlarmRule, manager: Option<&str>) -> String {
    match manager {
        None => format!("{PREFIX}{}", rule.name),
        // Names of tasks are unique over all managers.
        Some(manager) => format!("{PREFIX}{}@{manager}", rule.name),
    }
}

fn own_task(rule: &AlarmRule, manager: Option<&str>) -> Task<()> {
    Task::new(task_of(rule, manager))
        .schedule("-")
        .overlap(Overlap::Allow)
        .on_crash(OnCrash::Retry { max_attempts: 5 })
        .details("tells alarms")
}

fn work(
    rule: &Arc<AlarmRule>,
    manager: Option<&str>,
    store: &Arc<dyn RunStore>,
) -> Result<Work, ConfigErrors> {
    let spec = check_ours(&own_task(rule, manager))?;
    let (rule, store) = (rule.clone(), store.clone());
    Ok(Work {
        spec: Arc::new(spec),
        code: Arc::new(move |attempt| tell(rule.clone(), store.clone(), attempt).boxed()),
        runtime: None,
    })
}

async fn tell(rule: Arc<AlarmRule>, store: Arc<dyn RunStore>, attempt: Arc<Attempt>) -> TaskResult {
    let alarm = alarm_of(&store, &attempt.key)
        .await
        .map_err(|error| TaskFailure::new(format!("the alarm cannot be read: {error}")))?
        .ok_or_else(|| TaskFailure::new("the alarm is not on record any more"))?;
    let Some(target) = &rule.target else {
        return Ok(TaskReport::new());
    };
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let failure = match tell_once(target.as_ref(), &alarm, rule.timeout).await {
            Ok(()) => return Ok(TaskReport::new()),
            Err(failure) => failure,
        };
        tracing::warn!(rule = rule.name, alarm = alarm.text, tries, %failure,
            "an alarm could not be told");
        if failure.is_permanent || tries >= rule.attempts {
            return Err(failure);
        }
        tokio::select! {
            () = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            // Another node goes on with it.
            _ = attempt.stop.asked() => return Err(failure),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn tell_once(
    target: &dyn AlarmTarget,
    alarm: &Alarm,
    limit: Duration,
) -> Result<(), TaskFailure> {
    timeout(limit, target.tell(alarm))
        .await
        .unwrap_or_else(|_| Err(TaskFailure::new(format!("no answer within {limit:?}"))))
}
