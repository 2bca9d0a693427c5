//! Reading what happened: history and events.

use std::ops::Bound;

use tenure_core::{
    Cursor, Event, EventPage, HistoryPage, HistoryQuery, RunKey, RunRecord, StoreError,
};

use super::{HistoryOrder, Run, Runs, order};
use crate::error::bad_cursor;

/// The most events a page holds.
const EVENT_PAGE: usize = 1000;

impl Runs {
    pub(super) fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
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
            None => Box::new(self.records.range(range).map(|(at, _)| at)),
            Some(task) => match self.by_task.get(task) {
                Some(keys) => Box::new(keys.range(range)),
                None => Box::new(std::iter::empty()),
            },
        };
        let found = places
            .filter_map(|at| self.records.get(at))
            .filter(|run| fits(run, query));
        let mut runs: Vec<RunRecord> = found
            .take(query.page_size() + 1)
            .map(|run| run.record.clone())
            .collect();
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
        let events: Vec<Event> = self.events.iter().skip(skip).take(limit).cloned().collect();
        let next = events
            .last()
            .map(|event| event.cursor.clone())
            .or_else(|| after.cloned());
        Ok(EventPage::new(events, next))
    }
}

fn fits(run: &Run, query: &HistoryQuery) -> bool {
    let record = &run.record;
    query.from.is_none_or(|from| record.key.tick >= from)
        && query.to.is_none_or(|to| record.key.tick <= to)
        && (query.states.is_empty() || query.states.contains(&record.state))
}
