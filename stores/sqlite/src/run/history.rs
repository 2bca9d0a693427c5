//! Reading what happened: one run, the history, the events.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};
use tenure_core::{
    Cursor, Event, EventKind, EventPage, HistoryPage, HistoryQuery, Note, RunKey, RunRecord,
    RunState,
};

use super::find;
use super::row::{RunRow, kind_of, run_columns};
use crate::column;
use crate::step::{Fault, Step};

pub(super) fn run(step: &Step<'_>, key: &RunKey) -> Result<Option<RunRecord>, Fault> {
    find::find(step, key)?
        .map(|run| run.into_record(step))
        .transpose()
}

/// Which of these runs are on record.
pub(super) fn known(step: &Step<'_>, keys: &[RunKey]) -> Result<Vec<bool>, Fault> {
    keys.iter()
        .map(|key| Ok(find::find(step, key)?.is_some()))
        .collect()
}

/// A position in the history is the identity of the last run of the page before.
pub(super) fn history(step: &Step<'_>, query: &HistoryQuery) -> Result<HistoryPage, Fault> {
    let after = match &query.after {
        None => None,
        Some(cursor) => Some(cursor.as_str().parse::<RunKey>().map_err(|_| bad(cursor))?),
    };
    let limit = query.page_size();
    let (sql, values) = statement(step, query, after.as_ref(), limit + 1)?;
    let mut rows = step.all(&sql, params_from_iter(values), RunRow::read)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|run| Cursor::new(run.key.to_string()));
    let runs = rows.into_iter().map(|run| run.into_record(step));
    Ok(HistoryPage::new(runs.collect::<Result<_, _>>()?, next))
}

/// The statement for a query. Its text depends on which filters are set, never on their values,
/// but for states, whose names are ours.
fn statement(
    step: &Step<'_>,
    query: &HistoryQuery,
    after: Option<&RunKey>,
    limit: usize,
) -> Result<(String, Vec<Value>), Fault> {
    let mut values = vec![Value::Integer(step.ns)];
    let mut sql = format!("SELECT {} FROM run", run_columns!());
    // Whoever looks for trouble must not wade through every success.
    let quiet = [RunState::Succeeded, RunState::Skipped];
    let is_notable = !query.states.is_empty() && !query.states.iter().any(|s| quiet.contains(s));
    sql.push_str(match (&query.task, is_notable) {
        (Some(_), _) => " INDEXED BY run_by_key WHERE ns = ?1",
        (None, true) => {
            " INDEXED BY run_notable WHERE ns = ?1 AND state NOT IN ('succeeded', 'skipped')"
        }
        (None, false) => " INDEXED BY run_by_tick WHERE ns = ?1",
    });
    let mut bind = |value: Value| {
        values.push(value);
        values.len()
    };
    // Writing to a string cannot fail.
    if let Some(task) = &query.task {
        let at = bind(Value::Text(task.as_str().to_owned()));
        let _ = write!(sql, " AND task = ?{at}");
    }
    if let Some(from) = query.from {
        let at = bind(Value::Integer(from.as_millis()));
        let _ = write!(sql, " AND tick_at >= ?{at}");
    }
    if let Some(to) = query.to {
        let at = bind(Value::Integer(to.as_millis()));
        let _ = write!(sql, " AND tick_at <= ?{at}");
    }
    if !query.states.is_empty() {
        let names: Vec<_> = query.states.iter().map(|s| format!("'{s}'")).collect();
        let _ = write!(sql, " AND state IN ({})", names.join(", "));
    }
    if let Some(after) = after {
        let (kind, request) = kind_of(&after.kind)?;
        let tick = bind(Value::Integer(after.tick.as_millis()));
        let task = bind(Value::Text(after.task.as_str().to_owned()));
        let index = bind(Value::Integer(i64::from(after.index)));
        let kind = bind(Value::Integer(kind));
        let request = bind(Value::Text(request.to_owned()));
        let _ = write!(
            sql,
            " AND tick_at <= ?{tick} AND (tick_at < ?{tick} OR (task, idx, kind, request) > \
             (?{task}, ?{index}, ?{kind}, ?{request}))"
        );
    }
    let at = bind(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let _ = write!(
        sql,
        " ORDER BY tick_at DESC, task, idx, kind, request LIMIT ?{at}"
    );
    Ok((sql, values))
}

/// A position in the events is a value of the namespace's feed counter.
pub(super) fn events(
    step: &Step<'_>,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<EventPage, Fault> {
    let limit = if limit == 0 { 100 } else { limit.min(1000) };
    let from = match after {
        None => 0,
        Some(cursor) => position(step, cursor)?,
    };
    let values = params![step.ns, from, i64::try_from(limit).unwrap_or(i64::MAX)];
    let runs = step.all(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND changed > ?2 ORDER BY changed LIMIT ?3"
        ),
        values,
        RunRow::read,
    )?;
    let mut events = Vec::with_capacity(limit);
    for run in runs {
        let (at, when) = (run.changed, run.changed_at);
        let record = Box::new(run.into_record(step)?);
        events.push((at, when, EventKind::Run(record)));
    }
    events.extend(step.all(
        "SELECT feed, at, kind, task, node, text FROM note
         WHERE ns = ?1 AND feed > ?2 ORDER BY feed LIMIT ?3",
        values,
        |row| {
            let kind: String = row.get(2)?;
            let text: String = row.get(5)?;
            let mut note = Note::new(kind, text);
            if row.get_ref(3)?.data_type() != rusqlite::types::Type::Null {
                note = note.about(column::task(row, 3)?);
            }
            if row.get_ref(4)?.data_type() != rusqlite::types::Type::Null {
                note = note.of_node(column::holder_id(row, 4)?);
            }
            Ok((row.get(0)?, column::time(row, 1)?, EventKind::Note(note)))
        },
    )?);
    events.sort_by_key(|(at, ..)| *at);
    events.truncate(limit);
    let next = events.last().map_or(from, |(at, ..)| *at);
    let events = events
        .into_iter()
        .map(|(at, when, kind)| Event::new(Cursor::new(at.to_string()), when, kind));
    Ok(EventPage::new(
        events.collect(),
        Some(Cursor::new(next.to_string())),
    ))
}

fn position(step: &Step<'_>, cursor: &Cursor) -> Result<i64, Fault> {
    let text = cursor.as_str();
    let position = text
        .parse::<i64>()
        .ok()
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| bad(cursor))?;
    let last: Option<i64> = step.one(
        "SELECT feed FROM namespace WHERE id = ?1",
        [step.ns],
        |row| Ok(row.get(0)?),
    )?;
    if position > last.unwrap_or_default() {
        return Err(bad(cursor));
    }
    Ok(position)
}

fn bad(cursor: &Cursor) -> Fault {
    let shown: String = cursor
        .as_str()
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    Fault::request(format!(
        "`{shown}` is no position of this store; read from the beginning"
    ))
}
