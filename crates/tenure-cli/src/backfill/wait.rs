//! `tenure backfill --wait`: watches a backfill that was asked for to its end.
//!
//! Only looks: the nodes do the work, and go on with it whether anybody waits or not.

use std::time::Duration;

use serde_json::json;
use tenure::core::{
    Backfill, BackfillState, Clock as _, RunState, RunStore, SystemClock, TaskRecord,
    format_duration,
};
use tokio::time::sleep;

use super::backfill_json;
use super::list::{Progress, progress_of, word_of};
use crate::args::Wait;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Telling;
use crate::progress::Progress as Bar;
use crate::store::failure;

/// The least time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A look reads every record of the range. So many times as long as that took is the pause after
/// it, so that a large backfill is not held up by whoever watches it.
const PAUSE_PER_LOOK: u32 = 9;

/// How it ended.
struct End {
    state: Option<BackfillState>,
    progress: Progress,
}

/// Waits for the end of `asked`, which comes to `runs_in_all`, and tells it.
pub(super) async fn wait(
    runs: &dyn RunStore,
    asked: &Backfill,
    task: &TaskRecord,
    runs_in_all: usize,
    patience: Wait,
    is_json: bool,
) -> Outcome {
    let end = {
        let doing = format!("backfill {}", asked.id);
        let bar = Bar::of(runs_in_all, doing, is_json);
        until_ended(runs, asked, task, patience, &bar).await?
    };
    let is_well = end.state == Some(BackfillState::Done)
        && end
            .progress
            .runs
            .keys()
            .all(|it| *it == RunState::Succeeded);
    let word = end.state.map_or("gone", word_of);
    let mut telling = Telling::default();
    if is_json {
        let mut value = backfill_json(asked);
        let counts = end.progress.runs.iter();
        let counts: serde_json::Map<_, _> = counts
            .map(|(state, count)| (state.as_str().to_owned(), json!(count)))
            .collect();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("state".to_owned(), json!(word));
            fields.insert("runs".to_owned(), json!(counts));
        }
        telling.tell_json(&[value]);
    } else {
        let counts = end.progress.in_words();
        let counts = if counts.is_empty() {
            "no runs".to_owned()
        } else {
            counts
        };
        telling.tell(&format!("backfill {} is {word}: {counts}\n", asked.id));
    }
    telling.end(if is_well { Code::OK } else { Code(1) })
}

async fn until_ended(
    runs: &dyn RunStore,
    asked: &Backfill,
    task: &TaskRecord,
    patience: Wait,
    bar: &Bar,
) -> Result<End, Failure> {
    let until = match patience {
        Wait::Forever => None,
        Wait::AtMost(patience) => Some((SystemClock.now() + patience, patience)),
    };
    loop {
        let began_at = SystemClock.now();
        let all = runs.backfills().await;
        let all = all.map_err(|error| failure("cannot look at backfills", &error))?;
        let found = all.into_iter().find(|backfill| backfill.id == asked.id);
        let state = found.as_ref().map(|backfill| backfill.state);
        let backfill = found.as_ref().unwrap_or(asked);
        // Read after the state: what was done by then is on record.
        let progress = progress_of(runs, backfill, Some(task)).await?;
        bar.done(progress.ended());
        let is_open = matches!(state, Some(BackfillState::Running | BackfillState::Paused));
        if !is_open && !progress.is_going_on() {
            return Ok(End { state, progress });
        }
        let now = SystemClock.now();
        if let Some((until, patience)) = until
            && now >= until
        {
            let message = format!(
                "backfill {} has not ended within {}; it goes on",
                asked.id,
                format_duration(patience)
            );
            return Err(Failure::new(Code::NOT_YET, message).help("see `tenure backfills`"));
        }
        let pause = LOOK_EVERY.max(now.since(began_at) * PAUSE_PER_LOOK);
        sleep(until.map_or(pause, |(until, _)| pause.min(until.since(now)))).await;
    }
}
