//! What a backfill would find and do: its ticks, and what is on record of each.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Value, json};
use tenure::Timestamp;
use tenure::core::{Backfill, HistoryQuery, RunKind, RunState, RunStore, TaskRecord};

use super::{MAX_RUNS, backfill_json};
use crate::exit::{Code, Failure};
use crate::store::failure;
use crate::text::visible;
use crate::why::schedule_of;

/// How many pages of a thousand records are read.
const MAX_PAGES: usize = 500;

/// What is on record of the ticks in a range.
pub(super) struct Survey {
    task: String,
    from: Timestamp,
    to: Timestamp,
    ticks: usize,
    indices: u32,
    is_forced: bool,
    /// How many (tick, index) stand how; `None`: without a record.
    counts: BTreeMap<Option<RunState>, usize>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Survey {
    /// Looks at the ticks from `from` to `to`.
    pub(super) async fn of(
        runs: &dyn RunStore,
        task: &TaskRecord,
        from: Timestamp,
        to: Timestamp,
        is_forced: bool,
    ) -> Result<Self, Failure> {
        let ticks = ticks_of(task, from, to)?;
        let indices = task.definition.concurrency;
        let states = states_of(runs, task, from, to).await?;
        let mut counts = BTreeMap::new();
        for tick in &ticks {
            for index in 1..=indices {
                let state = states.get(&(*tick, index)).copied();
                *counts.entry(state).or_default() += 1;
            }
        }
        Ok(Self {
            task: task.definition.task.to_string(),
            from,
            to,
            ticks: ticks.len(),
            indices,
            is_forced,
            counts,
            first: ticks.first().copied(),
            last: ticks.last().copied(),
        })
    }

    /// How many runs it comes to.
    pub(super) fn to_run(&self) -> usize {
        let wanted = self.counts.iter().filter(|(state, _)| self.runs(**state));
        wanted.map(|(_, count)| count).sum()
    }

    fn runs(&self, state: Option<RunState>) -> bool {
        self.is_forced || state.is_none_or(is_gap)
    }

    pub(super) fn text(&self, backfill: &Backfill) -> String {
        let noun = if self.ticks == 1 { "tick" } else { "ticks" };
        let mut text = format!("{}: {} {noun}", self.task, self.ticks);
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let _ = write!(text, ", from {first} to {last}");
        }
        if self.indices > 1 {
            let _ = write!(text, ", {} runs each", self.indices);
        }
        text.push('\n');
        for (state, count) in &self.counts {
            let state_word = state.map_or("without a record", RunState::as_str);
            let fate = match (self.runs(*state), state) {
                (true, Some(state)) if !is_gap(*state) => "to run again",
                (true, _) => "to run",
                (false, _) => "left out",
            };
            let _ = writeln!(text, "  {count:>6}  {state_word}: {fate}");
        }
        let _ = writeln!(
            text,
            "  {:>6}  runs in all{}",
            self.to_run(),
            pace(backfill)
        );
        text
    }

    pub(super) fn json(&self, backfill: Option<&Backfill>) -> Value {
        let counts: serde_json::Map<String, Value> = self
            .counts
            .iter()
            .map(|(state, count)| {
                let word = state.map_or("without_record", RunState::as_str);
                (word.to_owned(), json!(count))
            })
            .collect();
        json!({
            "task": self.task,
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "ticks": self.ticks,
            "on_record": counts,
            "runs": self.to_run(),
            "backfill": backfill.map(backfill_json),
        })
    }
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

/// Whether a tick whose runs came to this is to be filled.
fn is_gap(state: RunState) -> bool {
    state.is_final() && state != RunState::Succeeded
}

/// The ticks of the schedule in force, if they are not too many.
fn ticks_of(task: &TaskRecord, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>, Failure> {
    let definition = &task.definition;
    let (name, text) = (&definition.task, visible(&definition.schedule));
    let schedule = schedule_of(task).ok_or_else(|| {
        let message = format!("the schedule `{text}` of task `{name}` cannot be read here");
        Failure::new(Code::DATA, message).help("use the tenure that the nodes run")
    })?;
    let indices = usize::try_from(definition.concurrency.max(1)).unwrap_or(usize::MAX);
    let most = MAX_RUNS / indices;
    let after = from - std::time::Duration::from_millis(1);
    let ticks: Vec<Timestamp> = schedule
        .ticks_between(after.to_jiff(), to.to_jiff())
        .take(most + 1)
        .map(Timestamp::from)
        .collect();
    if ticks.is_empty() {
        let message = format!("`{text}` of task `{name}` has no tick from {from} to {to}");
        return Err(Failure::new(Code::DATA, message).help("see `tenure next` for its ticks"));
    }
    if ticks.len() > most {
        let message = format!(
            "too many: from {from} to {to} task `{name}` has more than the {MAX_RUNS} runs that \
             one backfill may have"
        );
        let end = ticks.iter().rev().nth(1).copied().unwrap_or(to);
        return Err(Failure::new(Code::USAGE, message)
            .help(format!("--to {end} is the largest range from there")));
    }
    Ok(ticks)
}

/// How each tick and index stands: well if any of its runs went well, in hand if any is.
async fn states_of(
    runs: &dyn RunStore,
    task: &TaskRecord,
    from: Timestamp,
    to: Timestamp,
) -> Result<HashMap<(Timestamp, u32), RunState>, Failure> {
    let mut query = HistoryQuery::of(task.definition.task.clone());
    (query.from, query.to, query.limit) = (Some(from), Some(to), 1000);
    let mut states: HashMap<(Timestamp, u32), RunState> = HashMap::new();
    for _ in 0..MAX_PAGES {
        let page = runs.history(&query).await;
        let page = page.map_err(|error| failure("cannot read the history", &error))?;
        for run in page.runs {
            if matches!(run.key.kind, RunKind::Manual(_)) {
                continue;
            }
            let rank = |state: RunState| (state == RunState::Succeeded, !state.is_final());
            let place = (run.key.tick, run.key.index);
            let best = states.entry(place).or_insert(run.state);
            if rank(run.state) > rank(*best) {
                *best = run.state;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(states)
}
