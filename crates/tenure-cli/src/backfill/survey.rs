//! What a backfill would find and do, for people and for programs. The library counts.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tenure::Timestamp;
use tenure::core::{Backfill, RunState, RunStore, TaskRecord};
use tenure::tasks::control::{Survey, SurveyError};
use tenure::tasks::story::follow::is_chain;

use super::backfill_json;
use crate::exit::{Code, Failure};
use crate::progress::Progress;
use crate::store::failure;

/// Looks at the ticks from `from` to `to`.
pub(super) async fn survey(
    runs: &dyn RunStore,
    task: &TaskRecord,
    from: Timestamp,
    to: Timestamp,
    is_forced: bool,
    progress: &Progress,
) -> Result<Survey, Failure> {
    // The newest records come first.
    let mut looked = |tick: Timestamp| progress.done_of(to.since(tick), to.since(from));
    let survey = Survey::watched(runs, task, from, to, is_forced, &mut looked).await;
    survey.map_err(|error| {
        let message = error.to_string();
        match &error {
            SurveyError::Store(source) => failure(&message, source),
            SurveyError::TooMany { largest_to, .. } => Failure::new(Code::USAGE, message)
                .help(format!("--to {largest_to} is the largest range from there")),
            SurveyError::NoTicks { .. } if is_chain(task) => Failure::new(Code::DATA, message)
                .help("its runs follow each other's ends; `tenure trigger` asks for one more"),
            SurveyError::NoTicks { .. } => {
                Failure::new(Code::DATA, message).help("see `tenure next` for its ticks")
            }
            _ => Failure::new(Code::DATA, message).help("use the tenure that the nodes run"),
        }
    })
}

/// A survey for people.
pub(super) fn text(survey: &Survey, backfill: &Backfill) -> String {
    let noun = if survey.ticks == 1 { "tick" } else { "ticks" };
    let mut text = format!("{}: {} {noun}", survey.task, survey.ticks);
    if let (Some(first), Some(last)) = (survey.first, survey.last) {
        let _ = write!(text, ", from {first} to {last}");
    }
    if survey.indices > 1 {
        let _ = write!(text, ", {} runs each", survey.indices);
    }
    text.push('\n');
    for (state, count) in &survey.counts {
        let state_word = state.map_or("without a record", RunState::as_str);
        let fate = match (survey.runs(*state), state) {
            (true, Some(state)) if !Survey::is_gap(*state) => "to run again",
            (true, _) => "to run",
            (false, _) => "left out",
        };
        let _ = writeln!(text, "  {count:>6}  {state_word}: {fate}");
    }
    let _ = writeln!(
        text,
        "  {:>6}  runs in all{}",
        survey.to_run(),
        pace(backfill)
    );
    text
}

/// A survey for programs.
pub(super) fn json(survey: &Survey, backfill: Option<&Backfill>) -> Value {
    let counts: serde_json::Map<String, Value> = survey
        .counts
        .iter()
        .map(|(state, count)| {
            let word = state.map_or("without_record", RunState::as_str);
            (word.to_owned(), json!(count))
        })
        .collect();
    json!({
        "task": survey.task.as_str(),
        "from": survey.from.to_string(),
        "to": survey.to.to_string(),
        "ticks": survey.ticks,
        "on_record": counts,
        "runs": survey.to_run(),
        "backfill": backfill.map(backfill_json),
    })
}

/// How fast the runs are to go.
fn pace(backfill: &Backfill) -> String {
    let mut text = match backfill.parallel {
        0 | 1 => ", one at a time".to_owned(),
        most => format!(", at most {most} at once"),
    };
    match backfill.per_minute {
        0 => {}
        even if even.is_multiple_of(60) => {
            let _ = write!(text, ", at most {} a second", even / 60);
        }
        other => {
            let _ = write!(text, ", at most {other} a minute");
        }
    }
    text
}
