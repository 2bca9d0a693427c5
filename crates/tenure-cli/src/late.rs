//! Ends that came too late: what the store's feed tells of attempts that had been given up.
//!
//! A record of a run says how the run stands, which a late end does not change. That there was one
//! stands in a note, which names the run in its text.

use serde_json::Value;
use tenure::Timestamp;
use tenure::core::{EventKind, Note, RunRecord, RunState, RunStore};

use crate::exit::Failure;
use crate::store::failure;

/// How much of the store's feed is read, at most.
const MOST_EVENTS: usize = 100_000;

/// The late ends that the feed still tells of.
#[derive(Debug, Default)]
pub(crate) struct LateEnds(Vec<(Timestamp, Note)>);

impl LateEnds {
    /// Those of these runs. Reads the feed only if one of them was ever given up.
    pub(crate) async fn of_runs(
        runs: &dyn RunStore,
        records: &[RunRecord],
    ) -> Result<Self, Failure> {
        let mut found = Self::default();
        if !records.iter().any(was_given_up) {
            return Ok(found);
        }
        let (mut after, mut read) = (None, 0);
        while read < MOST_EVENTS {
            let page = runs.events(after, 1000).await;
            let page = page.map_err(|error| failure("cannot read the events", &error))?;
            read += page.events.len();
            let is_over = page.events.is_empty();
            for event in page.events {
                match event.kind {
                    EventKind::Note(note) if note.kind == "late_completion" => {
                        found.0.push((event.at, note));
                    }
                    _ => {}
                }
            }
            after = page.next;
            if is_over || after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Those of one run.
    pub(crate) fn of(&self, run: &RunRecord) -> impl Iterator<Item = &(Timestamp, Note)> {
        // With the space: the name of another run may begin with this one's.
        let name = format!(" of {} ", run.key);
        let all = self.0.iter();
        all.filter(move |(_, note)| note.text.contains(&name))
    }
}

/// One of them, for programs.
pub(crate) fn json((at, note): &(Timestamp, Note)) -> Value {
    serde_json::json!({ "at": at.to_string(), "text": note.text })
}

fn was_given_up(run: &RunRecord) -> bool {
    let mut attempts = run.attempts.iter();
    run.state == RunState::Lost || attempts.any(|attempt| attempt.state == RunState::Lost)
}
