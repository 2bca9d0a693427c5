//! What the runner does, in words: one line an event, with bad news marked as such.

use std::collections::HashMap;

use anstyle::{AnsiColor, Style};
use tenure::core::{Outcome, RunKey, TaskName, Timestamp};
use tenure::tasks::{Alarm, AlarmState, Replaced, RunnerEvent, tells_alarms};

use crate::output::about;
use crate::text::{shown, visible};

/// When each task is due next, as the runner last said.
pub(super) type Next = HashMap<TaskName, Option<Timestamp>>;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

/// Whether an event is bad news: all that is told to those who want quiet.
pub(super) fn is_bad(event: &RunnerEvent) -> bool {
    of_event(event, None, Timestamp::EPOCH).is_some_and(|(_, is_bad)| is_bad)
}

/// The event in words, and whether it is bad news. `None` if it is no news.
pub(super) fn of_event(
    event: &RunnerEvent,
    next: Option<&Next>,
    now: Timestamp,
) -> Option<(String, bool)> {
    let (text, is_bad) = match event {
        event if is_routine(event) => return None,
        RunnerEvent::Finished {
            key,
            attempt,
            outcome,
            lateness,
            duration,
            reason,
            again_after,
            last_line,
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
            if let Some(line) = last_line {
                parts.push(format!("; it printed last: {}", shown(line)));
            }
            if let Some(after) = again_after {
                parts.push(format!("; again in {}", about(*after)));
            }
            if let Some(Some(next)) = next.and_then(|next| next.get(&key.task))
                && *next > now
            {
                parts.push(format!("{DIM}; next {}{DIM:#}", clock_time(*next)));
            }
            (parts.concat(), *outcome != Outcome::Succeeded)
        }
        other => of_run(other).or_else(|| task_or_node(other))?,
    };
    Some((format!("{DIM}{}{DIM:#} {text}", clock_time(now)), is_bad))
}

/// Events about one run, besides its end, in words.
fn of_run(event: &RunnerEvent) -> Option<(String, bool)> {
    Some(match event {
        RunnerEvent::Skipped { key, reason, .. } => {
            let (run, tick, reason) = (run_of(key), clock_time(key.tick), visible(reason));
            (format!("skipped   {run} tick {tick}: {reason}"), true)
        }
        RunnerEvent::Queued { key, reason } => {
            let (run, tick, reason) = (run_of(key), clock_time(key.tick), visible(reason));
            (format!("waits     {run} tick {tick}: {reason}"), false)
        }
        RunnerEvent::CancelRequested { key, by, why } => {
            let (run, tick, by) = (run_of(key), clock_time(key.tick), visible(by));
            let why = match why.as_str() {
                "" => String::new(),
                why => format!(": {}", visible(why)),
            };
            (
                format!("stopping  {run} tick {tick}, asked by {by}{why}"),
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
        _ => return None,
    })
}

/// Whether an alarm was told: that is no news, only that it was not would be.
fn is_routine(event: &RunnerEvent) -> bool {
    let RunnerEvent::Finished { key, outcome, .. } = event else {
        return false;
    };
    tells_alarms(&key.task) && *outcome == Outcome::Succeeded
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
        RunnerEvent::Replaced { replaced, .. } => {
            return Some((format!("reloaded  {}", changes(replaced)), false));
        }
        RunnerEvent::Resumed { task } => return Some((format!("resumed   {task}"), false)),
        RunnerEvent::PauseLost { task, by } => format!(
            "{BAD}unpaused{BAD:#}  {task}: the store forgot that {} paused it; pause it again",
            visible(by)
        ),
        RunnerEvent::Stale { task, .. } => {
            format!("stale     {task}: another node has a newer definition, so it runs there")
        }
        RunnerEvent::ZoneRules { zone, .. } => {
            format!(
                "{BAD}zone{BAD:#}      another node has other rules for {zone}; bring the \
                 time-zone data of both machines to one version"
            )
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
        RunnerEvent::StoreRegressed { what, .. } => {
            let what = visible(what);
            format!("{BAD}forgot{BAD:#}    the store lost acknowledged facts: {what}")
        }
        RunnerEvent::Alarm { alarm } => return Some(alarm_in_words(alarm)),
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

fn alarm_in_words(alarm: &Alarm) -> (String, bool) {
    let (rule, text) = (visible(&alarm.rule), visible(&alarm.text));
    match alarm.state {
        AlarmState::Recovered => (format!("{GOOD}right{GOOD:#}     {text} ({rule})"), false),
        _ => (format!("{BAD}alarm{BAD:#}     {text} ({rule})"), true),
    }
}

/// What reading the files again has changed.
fn changes(replaced: &Replaced) -> String {
    let parts: Vec<String> = [
        ("added", &replaced.added),
        ("removed", &replaced.removed),
        ("changed", &replaced.changed),
    ]
    .into_iter()
    .filter(|(_, tasks)| !tasks.is_empty())
    .map(|(word, tasks)| {
        let names: Vec<String> = tasks.iter().take(5).map(ToString::to_string).collect();
        let more = match tasks.len().saturating_sub(names.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{word} {}{more}", names.join(", "))
    })
    .collect();
    if parts.is_empty() {
        return "no definition has changed".to_owned();
    }
    parts.join("; ")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_names_the_next_tick_only_if_it_is_still_to_come() {
        let key = RunKey::scheduled(TaskName::new("t").unwrap(), Timestamp::EPOCH, 1);
        let event = RunnerEvent::Finished {
            key: key.clone(),
            attempt: 1,
            outcome: Outcome::Succeeded,
            lateness: Duration::ZERO,
            duration: Duration::ZERO,
            reason: None,
            exit_code: None,
            again_after: None,
            last_line: None,
        };
        let at = Timestamp::from_millis;
        let told = |next: Option<Timestamp>| {
            let next = Next::from([(key.task.clone(), next)]);
            of_event(&event, Some(&next), at(60_000)).unwrap().0
        };
        assert!(told(Some(at(61_000))).contains("; next 00:01:01.000Z"));
        for past in [Some(at(60_000)), Some(at(1_000)), None] {
            assert!(!told(past).contains("next"), "{past:?}");
        }
    }
}
