//! `tenure backfills`: which there are, how far each is, and ending or pausing one.

use std::collections::BTreeMap;

use serde_json::json;
use tenure::core::{
    Backfill, BackfillState, HistoryQuery, RunKind, RunState, RunStore, TaskRecord, Timestamp,
};
use tenure::tasks::control::{BackfillChange, change_backfill};

use super::{BackfillChangeArgs, BackfillsListArgs, MAX_RUNS, backfill_json, first_instant};
use crate::control::who;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{print, print_json, print_table};
use crate::progress::Progress as Bar;
use crate::store::{Chosen, failure};
use crate::text::visible;
use crate::why::schedule_of;

/// How many pages of a thousand records are read for one backfill.
const MAX_PAGES: usize = 200;

/// How far a backfill is.
pub(super) struct Progress {
    /// Ticks in its range, and those whose runs are in the store or were left out.
    ticks: Option<(usize, usize)>,
    pub(super) runs: BTreeMap<RunState, usize>,
}

impl Progress {
    /// Whether some of its runs have not ended.
    pub(super) fn is_going_on(&self) -> bool {
        self.runs.keys().any(|state| !state.is_final())
    }

    /// How many runs have ended.
    pub(super) fn ended(&self) -> usize {
        let ended = self.runs.iter().filter(|(state, _)| state.is_final());
        ended.map(|(_, count)| count).sum()
    }

    /// Its runs by state, in words.
    pub(super) fn in_words(&self) -> String {
        let runs = self.runs.iter();
        let runs: Vec<String> = runs
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        runs.join(", ")
    }
}

pub(super) async fn list(args: BackfillsListArgs) -> Outcome {
    let store = Chosen::of_tasks(&args.store)?;
    let runs = store.open_existing().await?.runs();
    let trouble = |error| failure("cannot look at backfills", &error);
    let tasks = runs.tasks().await.map_err(trouble)?;
    let all = runs.backfills().await.map_err(trouble)?;
    let mut found = Vec::new();
    let bar = Bar::of(all.len(), "looking at the backfills", args.json);
    for (at, backfill) in all.into_iter().enumerate() {
        bar.done(at);
        let task = tasks
            .iter()
            .find(|task| task.definition.task == backfill.task);
        let progress = progress_of(&*runs, &backfill, task).await?;
        found.push((backfill, progress));
    }
    drop(bar);
    if args.json {
        let lines: Vec<_> = found
            .iter()
            .map(|(backfill, progress)| {
                let mut value = backfill_json(backfill);
                let runs: BTreeMap<_, _> = (progress.runs.iter())
                    .map(|(state, count)| (state.as_str(), count))
                    .collect();
                if let Some(fields) = value.as_object_mut() {
                    let ticks = progress.ticks;
                    fields.insert("ticks".to_owned(), json!(ticks.map(|(all, _)| all)));
                    fields.insert("ticks_dealt_with".to_owned(), json!(ticks.map(|(_, n)| n)));
                    fields.insert("runs".to_owned(), json!(runs));
                }
                value
            })
            .collect();
        print_json(&lines)?;
        return Ok(Code::OK);
    }
    if found.is_empty() {
        print(&format!(
            "{} has no backfills; `tenure backfill TASK` asks for one\n",
            store.told()
        ))?;
        return Ok(Code::OK);
    }
    let rows = found
        .iter()
        .map(|(backfill, progress)| row(backfill, progress));
    let heading = ["id", "task", "from", "to", "state", "ticks", "runs", "by"];
    print_table(&heading, rows.collect())?;
    Ok(Code::OK)
}

fn row(backfill: &Backfill, progress: &Progress) -> Vec<String> {
    let ticks = match progress.ticks {
        Some((all, dealt_with)) => format!("{dealt_with} of {all}"),
        None => "–".to_owned(),
    };
    let runs = progress.in_words();
    let is_ending = backfill.state == BackfillState::Done && progress.is_going_on();
    let state = if is_ending {
        "ending"
    } else {
        word_of(backfill.state)
    };
    let by = match backfill.why.as_str() {
        "" => visible(&backfill.by),
        why => format!("{}: {}", visible(&backfill.by), visible(why)),
    };
    vec![
        backfill.id.to_string(),
        backfill.task.to_string(),
        first_instant(backfill).to_string(),
        backfill.to.to_string(),
        state.to_owned(),
        ticks,
        if runs.is_empty() {
            "–".to_owned()
        } else {
            runs
        },
        by,
    ]
}

pub(super) fn word_of(state: BackfillState) -> &'static str {
    match state {
        BackfillState::Running => "running",
        BackfillState::Paused => "paused",
        BackfillState::Done => "done",
        BackfillState::Cancelled => "cancelled",
        _ => "unknown",
    }
}

pub(super) async fn progress_of(
    runs: &dyn RunStore,
    backfill: &Backfill,
    task: Option<&TaskRecord>,
) -> Result<Progress, Failure> {
    let schedule = task.and_then(schedule_of);
    let count = |to: Timestamp| {
        let schedule = schedule.as_ref()?;
        let ticks = schedule.ticks_between(backfill.from.to_jiff(), to.to_jiff());
        Some(ticks.take(MAX_RUNS).count())
    };
    let mut query = HistoryQuery::of(backfill.task.clone());
    query.from = Some(first_instant(backfill));
    (query.to, query.limit) = (Some(backfill.to), 1000);
    let mut states = BTreeMap::new();
    for _ in 0..MAX_PAGES {
        let page = runs.history(&query).await;
        let page = page.map_err(|error| failure("cannot read the history", &error))?;
        for run in &page.runs {
            if matches!(&run.key.kind, RunKind::Backfill(id) if *id == backfill.id) {
                *states.entry(run.state).or_default() += 1;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(Progress {
        ticks: count(backfill.to).zip(count(backfill.cursor.max(backfill.from))),
        runs: states,
    })
}

/// Puts a backfill into another state, however fast the nodes move it on meanwhile.
pub(super) async fn change(args: BackfillChangeArgs, state: BackfillState) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let trouble = |error| failure("cannot change the backfill", &error);
    let all = runs.backfills().await.map_err(trouble)?;
    let id = &named(&all, &args.id, &store)?.id;
    let by = who(tenure.holder());
    let changed = change_backfill(&*runs, id, state, &by, &args.why).await;
    match changed.map_err(trouble)? {
        BackfillChange::Done { text } => print(&format!("{}\n", visible(&text)))?,
        BackfillChange::Already => {
            print(&format!("backfill {id} is {} already\n", word_of(state)))?;
        }
        BackfillChange::Over { state } => {
            let message = format!("backfill {id} is over: it is {}", word_of(state));
            return Err(Failure::new(Code::DATA, message)
                .help("`tenure backfill` asks for another; what ran well is left out"));
        }
        _ => {
            let message = "the backfill moved on each time it was about to be changed";
            return Err(Failure::new(Code::NOT_YET, message).help("try again"));
        }
    }
    Ok(Code::OK)
}

/// The one backfill whose id begins so.
fn named<'b>(all: &'b [Backfill], id: &str, store: &Chosen) -> Result<&'b Backfill, Failure> {
    if let Some(exact) = all.iter().find(|backfill| backfill.id.as_str() == id) {
        return Ok(exact);
    }
    let mut alike = all
        .iter()
        .filter(|backfill| !id.is_empty() && backfill.id.as_str().starts_with(id));
    match (alike.next(), alike.next()) {
        (Some(found), None) => Ok(found),
        (Some(first), Some(second)) => {
            let shown = visible(id);
            let message = format!(
                "`{shown}` may be {}, {} or another backfill",
                first.id, second.id
            );
            Err(Failure::new(Code::USAGE, message).help("type more of the id"))
        }
        (None, _) => {
            let message = format!("{} has no backfill `{}`", store.told(), visible(id));
            Err(Failure::new(Code::NO_INPUT, message).help("see `tenure backfills`"))
        }
    }
}
