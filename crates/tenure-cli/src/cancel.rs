//! `tenure cancel TASK [RUN]`: asks runs to stop, on whatever node they are.

use serde_json::json;
use tenure::core::{Cancel, Cancelling, HistoryQuery, RunKey, RunState, RunStore, TaskName};
use tokio::runtime::Builder;

use crate::args::{Asked, CancelArgs};
use crate::control::{known, who};
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::output::Telling;
use crate::store::{Chosen, failure};
use crate::text::visible;

pub(crate) fn run(args: CancelArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(cancel(args))
}

async fn cancel(args: CancelArgs) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let (task, _) = known(&*runs, &args.task, &store).await?;
    let name = task.definition.task;
    let keys = which(&*runs, &name, args.run.as_ref()).await?;
    let by = who(tenure.holder());
    let mut told = Vec::with_capacity(keys.len());
    for key in keys {
        let request = Cancel::new(key.clone(), by.clone(), args.why.clone());
        let answer = runs.cancel_run(&request).await;
        let answer = answer.map_err(|error| failure("cannot ask the run to stop", &error))?;
        told.push((key, answer));
    }
    let is_done = told
        .iter()
        .any(|(_, answer)| matches!(answer, Cancelling::Asked | Cancelling::Cancelled));
    let mut telling = Telling::default();
    if args.json {
        let lines: Vec<_> = told
            .iter()
            .map(|(key, answer)| json!({ "run_id": key.to_string(), "answer": word(*answer) }))
            .collect();
        telling.tell_json(&lines);
    } else {
        let lines: Vec<String> = told
            .iter()
            .map(|(key, answer)| format!("{}: {}\n", visible(&key.to_string()), sentence(*answer)))
            .collect();
        telling.tell(&lines.concat());
    }
    telling.end(if is_done { Code::OK } else { Code::CONFLICT })
}

/// The runs that are meant: one by its id, those of a tick, or all that are in hand.
async fn which(
    runs: &dyn RunStore,
    task: &TaskName,
    run: Option<&Asked>,
) -> Result<Vec<RunKey>, Failure> {
    let mut query = HistoryQuery::of(task.clone());
    query.limit = 1000;
    match run {
        None => query.states = vec![RunState::Claimed, RunState::Running],
        Some(Asked::Run(key)) if key.task != *task => {
            let message = format!(
                "run `{}` is not of task `{task}`",
                visible(&key.to_string())
            );
            return Err(Failure::new(Code::USAGE, message)
                .help(format!("write tenure cancel '{}' …", key.task)));
        }
        Some(Asked::Run(key)) => return Ok(vec![key.clone()]),
        Some(Asked::At(tick)) => (query.from, query.to) = (Some(*tick), Some(*tick)),
    }
    let page = runs.history(&query).await;
    let page = page.map_err(|error| failure("cannot read the history", &error))?;
    if page.runs.is_empty() {
        let message = match query.from {
            None => format!("no run of task `{task}` is in hand"),
            Some(tick) => format!("task `{task}` has no run of the tick {tick}"),
        };
        return Err(Failure::new(Code::CONFLICT, message).help("see `tenure history`"));
    }
    Ok(page.runs.into_iter().map(|run| run.key).collect())
}

fn word(answer: Cancelling) -> String {
    match answer {
        Cancelling::Asked => "asked".to_owned(),
        Cancelling::Cancelled => "cancelled".to_owned(),
        Cancelling::Over { state } => state.to_string(),
        _ => "unknown".to_owned(),
    }
}

fn sentence(answer: Cancelling) -> String {
    match answer {
        Cancelling::Asked => "its node is asked to stop it".to_owned(),
        Cancelling::Cancelled => "it waited, and is cancelled".to_owned(),
        Cancelling::Over { state } => format!("it is over already: {state}"),
        _ => "the store has no record of it".to_owned(),
    }
}
