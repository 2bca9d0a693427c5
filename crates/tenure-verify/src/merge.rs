//! Brings what several clients tell into the order in which it happened.
//!
//! Each client tells its own steps in order and says now and then that it lives. What is older than
//! the oldest of what was last heard of everybody can have nothing before it any more. A client
//! that stands still holds back the rest for as long.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::history::Record;

/// Records on their way into order.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    waiting: BinaryHeap<Reverse<Entry>>,
    /// Up to when each client has told everything.
    heard: BTreeMap<String, u64>,
    count: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    t: u64,
    /// Of equal times the first one told comes first.
    number: u64,
    record: Record,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.t, self.number).cmp(&(other.t, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Merge {
    /// From now on `client` tells what it does.
    pub(crate) fn joined(&mut self, client: &str, t: u64) {
        self.heard.insert(client.to_owned(), t);
    }

    /// `client` tells nothing any more.
    pub(crate) fn left(&mut self, client: &str) {
        self.heard.remove(client);
    }

    /// A record of a client, or of somebody who only tells what happens now.
    pub(crate) fn push(&mut self, record: Record) {
        if let Some(heard) = self.heard.get_mut(&record.p) {
            *heard = record.t.max(*heard);
        }
        self.count += 1;
        self.waiting.push(Reverse(Entry {
            t: record.t,
            number: self.count,
            record,
        }));
    }

    /// The next record that nothing can come before any more, of those older than `now`.
    pub(crate) fn next(&mut self, now: u64) -> Option<Record> {
        let told = self.heard.values().copied().min().unwrap_or(now);
        let first = self.waiting.peek()?;
        (first.0.t < told.min(now)).then(|| self.waiting.pop().map(|entry| entry.0.record))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Step;

    fn told(merge: &mut Merge, now: u64) -> Vec<(u64, String)> {
        std::iter::from_fn(|| merge.next(now))
            .map(|record| (record.t, record.p))
            .collect()
    }

    #[test]
    fn records_wait_for_whoever_was_not_heard_since() {
        let mut merge = Merge::default();
        merge.joined("a", 0);
        merge.joined("b", 0);
        merge.push(Record::new(30, "a", Step::Alive));
        merge.push(Record::new(50, "a", Step::Alive));
        assert_eq!(told(&mut merge, 100), [], "b may still tell of earlier");
        merge.push(Record::new(20, "b", Step::Alive));
        merge.push(Record::new(40, "b", Step::Alive));
        let first: Vec<_> = [(20, "b"), (30, "a")]
            .map(|(t, p)| (t, p.to_owned()))
            .into();
        assert_eq!(told(&mut merge, 100), first);
        merge.left("b");
        merge.push(Record::new(60, "lead", Step::Alive));
        assert_eq!(told(&mut merge, 100), [(40, "b".to_owned())]);
        merge.left("a");
        let last: Vec<_> = [(50, "a"), (60, "lead")]
            .map(|(t, p)| (t, p.to_owned()))
            .into();
        assert_eq!(told(&mut merge, 100), last);
    }
}
