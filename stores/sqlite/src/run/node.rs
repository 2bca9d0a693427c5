//! Nodes, and the tasks they can run.

use rusqlite::{Row, params};
use tenure_core::{
    Abilities, Beat, Beaten, Definition, Holder, HolderId, NodeRecord, Note, Pause, Registered,
    StoreMoment, TaskName, TaskRecord, Timestamp,
};

use super::claim::pause_of;
use super::control;
use super::definition::{self, current_generation};
use super::loss;
use super::note::add_note;
use crate::column;
use crate::step::{Counter, Fault, Step};

macro_rules! node_columns {
    () => {
        "holder, label, host, pid, joined_at, seen_at, expires_at, clock_ahead_ms, capacity, \
         version, abilities"
    };
}

/// Who a node is, while its lease lasts.
pub(super) fn alive(step: &Step<'_>, node: HolderId) -> Result<Option<Holder>, Fault> {
    step.one(
        "SELECT holder, label, host, pid FROM node
         WHERE ns = ?1 AND holder = ?2 AND expires_ms > ?3",
        params![step.ns, node.as_bytes(), step.now.as_millis()],
        |row| column::holder(row, 0),
    )
}

pub(super) fn moment(step: &Step<'_>) -> Result<StoreMoment, Fault> {
    let (sequence, losses, epoch): (i64, i64, String) = step
        .one(
            "SELECT sequence, losses, epoch FROM namespace WHERE id = ?1",
            [step.ns],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?
        .unwrap_or_default();
    let sequence = u64::try_from(sequence).unwrap_or_default();
    let mut moment = StoreMoment::new(step.wall, sequence, epoch);
    moment.losses = u64::try_from(losses).unwrap_or_default();
    Ok(moment)
}

pub(super) fn beat(step: &Step<'_>, beat: &Beat) -> Result<Beaten, Fault> {
    let id = beat.node.id;
    let before = step.one(
        "SELECT expires_ms, ended, joined_at, joined FROM node WHERE ns = ?1 AND holder = ?2",
        params![step.ns, id.as_bytes()],
        |row| {
            let expires = column::time(row, 0)?;
            let ended = row.get::<_, i64>(1)? != 0;
            Ok((expires, ended, column::time(row, 2)?, row.get(3)?))
        },
    )?;
    let had_lapsed = before
        .as_ref()
        .is_some_and(|(expires, ..)| *expires <= step.now);
    let (joined_at, joined): (Timestamp, i64) = match before {
        Some((_, _, joined_at, joined)) => (joined_at, joined),
        None => (step.wall, step.next(Counter::Feed)?),
    };
    if had_lapsed {
        forget_tasks(step, id)?;
    }
    if before.is_none_or(|(_, ended, ..)| ended) {
        let text = format!("{} joined", beat.node);
        add_note(step, &Note::new("node_joined", text).of_node(id))?;
    }
    let record = NodeRecord::of_beat(beat, joined_at, step.wall);
    write(step, &record, joined, step.now + beat.ttl)?;
    let alive = step.all(
        concat!(
            "SELECT ",
            node_columns!(),
            " FROM node WHERE ns = ?1 AND expires_ms > ?2 ORDER BY joined"
        ),
        params![step.ns, step.now.as_millis()],
        read,
    )?;
    let own = loss::seen_by(step, id)?.own;
    loss::raise_sequence(step, id)?;
    let mut beaten = Beaten::new(moment(step)?, had_lapsed, alive);
    beaten.own = own;
    Ok(beaten)
}

fn write(
    step: &Step<'_>,
    record: &NodeRecord,
    joined: i64,
    expires: Timestamp,
) -> Result<(), Fault> {
    step.run(
        "INSERT INTO node (ns, holder, label, host, pid, joined, joined_at, seen_at, expires_at,
                           expires_ms, clock_ahead_ms, capacity, version, abilities)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (ns, holder) DO UPDATE SET
             label = excluded.label, host = excluded.host, pid = excluded.pid,
             seen_at = excluded.seen_at, expires_at = excluded.expires_at,
             expires_ms = excluded.expires_ms, clock_ahead_ms = excluded.clock_ahead_ms,
             capacity = excluded.capacity, version = excluded.version,
             abilities = excluded.abilities, ended = 0",
        params![
            step.ns,
            record.node.id.as_bytes(),
            record.node.label,
            record.node.host,
            record.node.pid,
            joined,
            record.joined_at.as_millis(),
            record.seen_at.as_millis(),
            record.expires_at.as_millis(),
            expires.as_millis(),
            record.clock_ahead_ms,
            record.capacity,
            record.version,
            record.abilities.as_bytes(),
        ],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<NodeRecord, Fault> {
    let node = column::holder(row, 0)?;
    let mut beat = Beat::new(node, std::time::Duration::ZERO);
    beat.clock_ahead_ms = row.get(7)?;
    beat.capacity = row.get(8)?;
    beat.version = row.get(9)?;
    beat.abilities = Abilities::from_bytes(&row.get::<_, Vec<u8>>(10)?);
    let mut record = NodeRecord::of_beat(&beat, column::time(row, 4)?, column::time(row, 5)?);
    record.expires_at = column::time(row, 6)?;
    Ok(record)
}

pub(super) fn nodes(step: &Step<'_>) -> Result<Vec<NodeRecord>, Fault> {
    step.all(
        concat!(
            "SELECT ",
            node_columns!(),
            " FROM node WHERE ns = ?1 ORDER BY joined"
        ),
        [step.ns],
        read,
    )
}

pub(super) fn leave(step: &mut Step<'_>, node: HolderId) -> Result<(), Fault> {
    let left = step.one(
        "UPDATE node SET expires_ms = ?3, expires_at = ?4, ended = 2
         WHERE ns = ?1 AND holder = ?2 AND ended = 0
         RETURNING holder, label, host, pid",
        params![
            step.ns,
            node.as_bytes(),
            step.now.as_millis(),
            step.wall.as_millis()
        ],
        |row| column::holder(row, 0),
    )?;
    if let Some(holder) = left {
        forget_tasks(step, node)?;
        let text = format!("{holder} left");
        add_note(step, &Note::new("node_left", text).of_node(node))?;
    }
    Ok(())
}

fn forget_tasks(step: &Step<'_>, node: HolderId) -> Result<(), Fault> {
    step.checked.borrow_mut().forget_all();
    step.run(
        "UPDATE task SET listed_until = max(coalesce(listed_until, 0), (
             SELECT expires_at FROM node WHERE ns = ?1 AND holder = ?2))
         WHERE ns = ?1 AND name IN (
             SELECT task FROM node_task INDEXED BY node_task_by_node
             WHERE ns = ?1 AND holder = ?2)
           AND EXISTS (SELECT 1 FROM node WHERE ns = ?1 AND holder = ?2)",
        params![step.ns, node.as_bytes()],
    )?;
    step.run(
        // Left alone, SQLite would walk through the tasks of all nodes.
        "DELETE FROM node_task INDEXED BY node_task_by_node WHERE ns = ?1 AND holder = ?2",
        params![step.ns, node.as_bytes()],
    )?;
    Ok(())
}

/// Forgets nodes that have been gone for a day and left nothing in hand.
pub(super) fn prune(step: &Step<'_>) -> Result<(), Fault> {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let gone = step.all(
        "SELECT holder FROM node AS n
         WHERE ns = ?1 AND expires_ms < ?2 AND ended <> 0 AND NOT EXISTS (
             SELECT 1 FROM run AS r
             WHERE r.ns = ?1 AND r.holder = n.holder AND r.state IN ('claimed', 'running'))
         ORDER BY expires_ms LIMIT 100",
        params![step.ns, step.now.as_millis().saturating_sub(DAY_MS)],
        |row| column::holder_id(row, 0),
    )?;
    for node in gone {
        forget_tasks(step, node)?;
        step.run(
            "DELETE FROM node_take WHERE ns = ?1 AND holder = ?2",
            params![step.ns, node.as_bytes()],
        )?;
        step.run(
            "DELETE FROM node WHERE ns = ?1 AND holder = ?2",
            params![step.ns, node.as_bytes()],
        )?;
    }
    Ok(())
}

pub(super) fn register(
    step: &Step<'_>,
    node: HolderId,
    definitions: &[Definition],
) -> Result<Vec<Registered>, Fault> {
    if !is_known(step, node)? {
        return Err(Fault::request(format!(
            "node {node} cannot register tasks before its first beat"
        )));
    }
    let (sequence, _) = loss::raise_sequence(step, node)?;
    look_at_version(step)?;
    let registered = definitions.iter().map(|definition| {
        let mut registered = register_one(step, node, definition)?;
        registered.sequence = sequence;
        Ok(registered)
    });
    registered.collect()
}

/// Forgets what was found in force before others wrote to the file.
pub(super) fn look_at_version(step: &Step<'_>) -> Result<(), Fault> {
    let version = step.one("PRAGMA data_version", [], |row| Ok(row.get(0)?))?;
    let mut checked = step.checked.borrow_mut();
    checked.at_version(version.unwrap_or_default());
    Ok(())
}

/// Whether a node ever beat, as far as the file remembers.
pub(super) fn is_known(step: &Step<'_>, node: HolderId) -> Result<bool, Fault> {
    let known = step.one(
        "SELECT 1 FROM node WHERE ns = ?1 AND holder = ?2",
        params![step.ns, node.as_bytes()],
        |_| Ok(()),
    )?;
    Ok(known.is_some())
}

pub(super) fn withdraw(step: &Step<'_>, node: HolderId, tasks: &[TaskName]) -> Result<(), Fault> {
    for task in tasks {
        step.checked.borrow_mut().forget(task);
        let struck = step.run(
            "DELETE FROM node_task WHERE ns = ?1 AND task = ?2 AND holder = ?3",
            params![step.ns, task.as_str(), node.as_bytes()],
        )?;
        if struck > 0 {
            step.run(
                "UPDATE task SET listed_until = max(coalesce(listed_until, 0), ?3)
                 WHERE ns = ?1 AND name = ?2",
                params![step.ns, task.as_str(), step.wall.as_millis()],
            )?;
        }
    }
    Ok(())
}

fn register_one(
    step: &Step<'_>,
    node: HolderId,
    definition: &Definition,
) -> Result<Registered, Fault> {
    let task = definition.task.as_str();
    let own_pause = pause_of(step, &definition.task)?;
    let added = step.run(
        "INSERT INTO task (ns, name, first_seen_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (ns, name) DO NOTHING",
        params![step.ns, task, step.wall.as_millis()],
    )?;
    if added > 0
        && let Some((first_seen, pause)) = definition::inherited(step, definition)?
    {
        step.run(
            "UPDATE task SET first_seen_at = ?3 WHERE ns = ?1 AND name = ?2",
            params![step.ns, task, first_seen.as_millis()],
        )?;
        if let Some(pause) = pause.filter(|_| own_pause.is_none()) {
            control::keep_pause(step, &definition.task, &pause)?;
        }
    }
    step.checked.borrow_mut().forget(&definition.task);
    definition::remember(step, definition)?;
    step.run(
        "INSERT INTO node_task (ns, task, holder, generation) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (ns, task, holder) DO UPDATE SET generation = excluded.generation",
        params![
            step.ns,
            task,
            node.as_bytes(),
            definition.generation.as_str()
        ],
    )?;
    let first_seen = step
        .one(
            "SELECT first_seen_at FROM task WHERE ns = ?1 AND name = ?2",
            params![step.ns, task],
            |row| column::time(row, 0),
        )?
        .unwrap_or(step.wall);
    let current = current_generation(step, &definition.task)?;
    let current = current.unwrap_or_else(|| definition.generation.clone());
    let mut registered = Registered::new(first_seen, current);
    registered.last_tick = last_tick(step, &definition.task)?;
    registered.pause = pause_of(step, &definition.task)?;
    // So that the first tick of very many tasks need not look.
    definition::is_newest_of(step, node, &definition.task, &definition.generation)?;
    Ok(registered)
}

fn last_tick(step: &Step<'_>, task: &TaskName) -> Result<Option<Timestamp>, Fault> {
    step.one(
        "SELECT tick_at FROM run WHERE ns = ?1 AND task = ?2 AND kind = 0
         ORDER BY tick_at DESC LIMIT 1",
        params![step.ns, task.as_str()],
        |row| column::time(row, 0),
    )
}

pub(super) fn tasks(step: &Step<'_>) -> Result<Vec<TaskRecord>, Fault> {
    step.all(
        include_str!("tasks.sql"),
        params![step.ns, step.now.as_millis()],
        |row| {
            let definition = definition::read(row, 1, column::task(row, 0)?)?;
            let mut record = TaskRecord::new(definition, column::time(row, 8)?);
            record.nodes = row.get(9)?;
            record.unlisted_since = column::maybe_time(row, 10)?.filter(|_| record.nodes == 0);
            record.unlisted_since = record.unlisted_since.map(|since| since.min(step.wall));
            record.last_tick = column::maybe_time(row, 11)?;
            if let Some(by) = row.get::<_, Option<String>>(12)? {
                let mut pause = Pause::new(by, row.get::<_, String>(13)?);
                pause.until = column::maybe_time(row, 14)?;
                record.pause = Some(pause).filter(|pause| pause.holds_at(step.wall));
            }
            Ok(record)
        },
    )
}
