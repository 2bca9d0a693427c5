//! Reading what happened: history and events.

use std::ops::Bound;

use tenure_core::{
    Cursor, Event, EventKind, EventPage, HistoryPage, HistoryQuery, RunKey, RunRecord, StoreError,
    Timestamp,
};

use super::{HistoryOrder, Run, Runs, Told, key_of, order};
use crate::error::bad_cursor;

/// The most events a page holds.
const EVENT_PAGE: usize = 1000;

impl Runs {
    pub(super) fn history(&mut self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.bring_in_order(usize::MAX);
        let after = match &query.after {
            None => Bound::Unbounded,
            Some(cursor) => {
                let key: RunKey = cursor
                    .as_str()
                    .parse()
                    .map_err(|_| bad_cursor(cursor.as_str()))?;
                Bound::Excluded(order(&key))
            }
        };
        let range = (after, Bound::Unbounded);
        let places: Box<dyn Iterator<Item = &HistoryOrder>> = match &query.task {
            None => Box::new(self.history.range(range)),
            Some(task) => match self.by_task.get(task) {
                Some(keys) => Box::new(keys.range(range)),
                None => Box::new(std::iter::empty()),
            },
        };
        let found = places
            .filter_map(|at| self.get(&key_of(at)))
            .filter(|run| fits(run, query));
        let mut runs: Vec<RunRecord> = found.take(query.page_size() + 1).map(Run::told).collect();
        let more = runs.len() > query.page_size();
        runs.truncate(query.page_size());
        let last = runs
            .last()
            .filter(|_| more)
            .map(|run| Cursor::new(run.key.to_string()));
        Ok(HistoryPage::new(runs, last))
    }

    pub(super) fn events(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let seen: u64 = match after {
            None => 0,
            Some(cursor) => cursor
                .as_str()
                .parse()
                .map_err(|_| bad_cursor(cursor.as_str()))?,
        };
        let oldest = self.event_count - self.events.len() as u64;
        let skip = usize::try_from(seen.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let limit = limit.clamp(1, EVENT_PAGE);
        let events = (seen.max(oldest) + 1..).zip(self.events.iter().skip(skip));
        let events: Vec<Event> = events.take(limit).map(event).collect();
        let next = events
            .last()
            .map(|event| event.cursor.clone())
            .or_else(|| after.cloned());
        Ok(EventPage::new(events, next))
    }
}

fn event((number, (at, told)): (u64, &(Timestamp, Told))) -> Event {
    let kind = match told {
        Told::Run(run) => EventKind::Run(Box::new(run.told())),
        Told::Note(note) => EventKind::Note(note.clone()),
    };
    Event::new(Cursor::new(number.to_string()), *at, kind)
}

fn fits(run: &Run, query: &HistoryQuery) -> bool {
    let record = &run.record;
    query.from.is_none_or(|from| record.key.tick >= from)
        && query.to.is_none_or(|to| record.key.tick <= to)
        && (query.states.is_empty() || query.states.contains(&record.state))
}
