//! Definitions: which there are of a task, and which of them is in force.
//!
//! A definition is written when its generation is first registered and never changed.

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use tenure_core::{Definition, Ended, Generation, HolderId, OnChange, Pause, TaskName, Timestamp};

use super::claim::pause_of;
use crate::column;
use crate::error::unreadable;
use crate::step::{Counter, Fault, Step};

/// Definitions of one task that are remembered, so that an old one that comes back is known as old.
const GENERATIONS: i64 = 16;

/// What few definitions say, as the file keeps it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct More {
    on_change: OnChange,
    aliases: Vec<TaskName>,
    ended: Option<Ended>,
}

/// Writes a definition down when it is first seen, and forgets the oldest.
pub(super) fn remember(step: &Step<'_>, definition: &Definition) -> Result<(), Fault> {
    let task = definition.task.as_str();
    let known = step.one(
        "SELECT 1 FROM definition WHERE ns = ?1 AND task = ?2 AND generation = ?3",
        params![step.ns, task, definition.generation.as_str()],
        |_| Ok(()),
    )?;
    if known.is_some() {
        return Ok(());
    }
    let mut number = definition.number;
    if definition.ended.is_some() && number == 0 {
        // What ends a task is newer than all that there are.
        let highest = step.one(
            "SELECT max(number) FROM definition WHERE ns = ?1 AND task = ?2",
            params![step.ns, task],
            |row| Ok(row.get::<_, Option<u32>>(0)?),
        )?;
        number = highest.flatten().unwrap_or(0);
    }
    step.run(
        "INSERT INTO definition
         (ns, task, first, generation, schedule, zone, concurrency, details, number, more)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            step.ns,
            task,
            step.next(Counter::Feed)?,
            definition.generation.as_str(),
            definition.schedule,
            definition.zone,
            definition.concurrency,
            definition.details,
            number,
            more_of(definition)?,
        ],
    )?;
    step.run(
        "DELETE FROM definition WHERE ns = ?1 AND task = ?2 AND first <= (
             SELECT first FROM definition WHERE ns = ?1 AND task = ?2
             ORDER BY first DESC LIMIT 1 OFFSET ?3)",
        params![step.ns, task, GENERATIONS],
    )?;
    Ok(())
}

fn more_of(definition: &Definition) -> Result<Option<String>, Fault> {
    let more = More {
        on_change: definition.on_change,
        aliases: definition.aliases.clone(),
        ended: definition.ended.clone(),
    };
    if more == More::default() {
        return Ok(None);
    }
    let text = serde_json::to_string(&more);
    let text = text.map_err(|error| Fault::request(format!("a definition is no JSON: {error}")))?;
    Ok(Some(text))
}

/// Reads the columns `generation, schedule, zone, concurrency, details, number, more`.
pub(super) fn read(row: &Row<'_>, at: usize, task: TaskName) -> Result<Definition, Fault> {
    let schedule: String = row.get(at + 1)?;
    let mut definition = Definition::new(task, column::generation(row, at)?, schedule);
    definition.zone = row.get(at + 2)?;
    definition.concurrency = row.get(at + 3)?;
    definition.details = row.get(at + 4)?;
    definition.number = row.get(at + 5)?;
    let more = read_more(row.get(at + 6)?)?;
    definition.on_change = more.on_change;
    definition.aliases = more.aliases;
    definition.ended = more.ended;
    Ok(definition)
}

fn read_more(text: Option<String>) -> Result<More, Fault> {
    match text {
        None => Ok(More::default()),
        Some(text) => {
            serde_json::from_str(&text).map_err(|_| unreadable("a definition", &text).into())
        }
    }
}

/// What claims of a task are judged by.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// The generation with the highest number, and of those the one that was first registered last,
    /// among those that live nodes list; if none does, among all.
    pub(super) generation: Option<Generation>,
    /// The names that the task went on under, and came back from if it is claimed.
    pub(super) renamed_to: Vec<TaskName>,
}

pub(super) fn in_force(step: &Step<'_>, task: &TaskName) -> Result<InForce, Fault> {
    let read = |row: &Row<'_>| {
        let more: Option<String> = row.get(1)?;
        Ok((column::generation(row, 0)?, more))
    };
    let listed = step.one(
        "SELECT generation,
             (SELECT group_concat(more, char(10)) FROM definition WHERE ns = ?1 AND task = ?2)
         FROM definition AS d
         WHERE ns = ?1 AND task = ?2 AND EXISTS (
             SELECT 1 FROM node_task AS t
             JOIN node AS n ON n.ns = t.ns AND n.holder = t.holder
             WHERE t.ns = ?1 AND t.task = ?2 AND t.generation = d.generation
               AND n.expires_ms > ?3)
         ORDER BY number DESC, first DESC LIMIT 1",
        params![step.ns, task.as_str(), step.now.as_millis()],
        read,
    )?;
    let newest = match listed {
        Some(listed) => Some(listed),
        None => step.one(
            "SELECT generation,
                 (SELECT group_concat(more, char(10)) FROM definition WHERE ns = ?1 AND task = ?2)
             FROM definition WHERE ns = ?1 AND task = ?2
             ORDER BY number DESC, first DESC LIMIT 1",
            params![step.ns, task.as_str()],
            read,
        )?,
    };
    let Some((generation, more)) = newest else {
        return Ok(InForce::default());
    };
    let mut renamed_to = Vec::new();
    for line in more.iter().flat_map(|more| more.lines()) {
        if let Some(Ended::Renamed(name)) = read_more(Some(line.to_owned()))?.ended {
            renamed_to.push(name);
        }
    }
    Ok(InForce {
        generation: Some(generation),
        renamed_to,
    })
}

/// Whether a generation is the newest of its task and listed by this node, and no definition of the
/// task says more. Then it is in force while the node lives; if it is not so, it may be all the
/// same.
pub(super) fn is_newest_of(
    step: &Step<'_>,
    node: HolderId,
    task: &TaskName,
    generation: &Generation,
) -> Result<bool, Fault> {
    let newest = step.one(
        "SELECT generation, EXISTS (
             SELECT 1 FROM node_task AS t
             WHERE t.ns = ?1 AND t.task = ?2 AND t.holder = ?3 AND t.generation = d.generation)
             AND NOT EXISTS (
             SELECT 1 FROM definition WHERE ns = ?1 AND task = ?2 AND more IS NOT NULL)
         FROM definition AS d WHERE ns = ?1 AND task = ?2
         ORDER BY number DESC, first DESC LIMIT 1",
        params![step.ns, task.as_str(), node.as_bytes()],
        |row| Ok((column::generation(row, 0)?, row.get(1)?)),
    )?;
    let is_so = newest.is_some_and(|(newest, is_listed)| is_listed && newest == *generation);
    if is_so {
        step.checked.borrow_mut().found(node, task, generation);
    }
    Ok(is_so)
}

pub(super) fn current_generation(
    step: &Step<'_>,
    task: &TaskName,
) -> Result<Option<Generation>, Fault> {
    Ok(in_force(step, task)?.generation)
}

/// Whether the definition in force lets claims under other definitions be.
pub(super) fn allows_others(
    step: &Step<'_>,
    task: &TaskName,
    current: &Generation,
) -> Result<bool, Fault> {
    let more = step.one(
        "SELECT more FROM definition WHERE ns = ?1 AND task = ?2 AND generation = ?3",
        params![step.ns, task.as_str(), current.as_str()],
        |row| read_more(row.get(0)?),
    )?;
    Ok(more.is_some_and(|more| more.on_change == OnChange::Union))
}

/// When the first of the task's aliases that is known was first seen, and its pause.
pub(super) fn inherited(
    step: &Step<'_>,
    definition: &Definition,
) -> Result<Option<(Timestamp, Option<Pause>)>, Fault> {
    for alias in &definition.aliases {
        let first_seen = step.one(
            "SELECT first_seen_at FROM task WHERE ns = ?1 AND name = ?2",
            params![step.ns, alias.as_str()],
            |row| column::time(row, 0),
        )?;
        if let Some(first_seen) = first_seen {
            return Ok(Some((first_seen, pause_of(step, alias)?)));
        }
    }
    Ok(None)
}
