//! Notes: what the events tell that is not the state of a run.

use rusqlite::params;
use tenure_core::Note;

use crate::step::{Counter, Fault, Step};

/// Adds a note to the events.
pub(crate) fn add_note(step: &Step<'_>, note: &Note) -> Result<(), Fault> {
    let feed = step.next(Counter::Feed)?;
    step.run(
        "INSERT INTO note (ns, feed, at, kind, task, node, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            step.ns,
            feed,
            step.wall.as_millis(),
            note.kind,
            note.task.as_ref().map(tenure_core::TaskName::as_str),
            note.node.as_ref().map(|node| node.as_bytes().as_slice()),
            note.text,
        ],
    )?;
    Ok(())
}
