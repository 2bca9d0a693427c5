//! One step on all servers at the same time, for a short time each.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tenure_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;

/// What one server answered.
#[derive(Debug)]
pub(super) struct Answer<T> {
    /// Which server.
    pub(super) number: usize,
    pub(super) result: Result<T, StoreError>,
}

/// What the servers answered so far.
#[derive(Debug)]
pub(super) struct Answers<T> {
    all: Vec<Answer<T>>,
    servers: usize,
}

/// A step under way on every server. Dropping it leaves alone what was sent.
#[derive(Debug)]
pub(super) struct Asked<T, F> {
    pub(super) answers: Answers<T>,
    pending: FuturesUnordered<F>,
}

impl<T, F: Future<Output = Answer<T>>> Asked<T, F> {
    pub(super) fn new(steps: impl Iterator<Item = F>) -> Self {
        let pending: FuturesUnordered<F> = steps.collect();
        let servers = pending.len();
        let all = Vec::with_capacity(servers);
        let answers = Answers { all, servers };
        Self { answers, pending }
    }

    /// Waits until `is_enough`, but only until `deadline`. A server that has not answered by then
    /// has failed, for whoever does not go on waiting.
    pub(super) async fn until(
        &mut self,
        deadline: Instant,
        is_enough: impl Fn(&Answers<T>) -> bool,
    ) {
        let patience = tokio::time::sleep_until(deadline);
        let mut patience = std::pin::pin!(patience);
        while !self.pending.is_empty() && !is_enough(&self.answers) {
            tokio::select! {
                biased;
                answer = self.pending.next() => self.answers.all.extend(answer),
                () = &mut patience => break,
            }
        }
    }

    /// Takes in what has been answered by now, and wakes nobody when more is. True if nothing more
    /// is to come.
    pub(super) fn look(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        while let Poll::Ready(answer) = self.pending.poll_next_unpin(&mut nobody) {
            match answer {
                Some(answer) => self.answers.all.push(answer),
                None => return true,
            }
        }
        false
    }

    /// Waits for every server, but only until `deadline`.
    pub(super) async fn every(&mut self, deadline: Instant) {
        self.until(deadline, |_| false).await;
    }
}

/// The instant `after` from now, as the runtime's timers count it.
pub(super) fn from_now(after: Duration) -> Instant {
    Instant::now() + after // tidy: allow(clock) a deadline for timers of the same clock
}

impl<T> Answers<T> {
    /// How many answered, with a failure or not.
    pub(super) fn heard(&self) -> usize {
        self.all.len()
    }

    /// Whether all who answered gave an answer that counts.
    pub(super) fn are_good(&self) -> bool {
        self.all.iter().all(|one| one.result.is_ok())
    }

    /// How many gave an answer that counts.
    pub(super) fn answered(&self) -> usize {
        self.ok().count()
    }

    /// The answers of those that gave one.
    pub(super) fn ok(&self) -> impl Iterator<Item = &T> {
        self.all.iter().filter_map(|one| one.result.as_ref().ok())
    }

    /// The same with the servers' numbers.
    pub(super) fn by_number(&self) -> impl Iterator<Item = (usize, &T)> {
        self.all
            .iter()
            .filter_map(|one| Some((one.number, one.result.as_ref().ok()?)))
    }

    /// The servers that gave no answer that counts.
    pub(super) fn silent(&self) -> Vec<usize> {
        let answered: Vec<_> = self.by_number().map(|(number, _)| number).collect();
        (0..self.servers)
            .filter(|number| !answered.contains(number))
            .collect()
    }

    /// How many answered so.
    pub(super) fn count(&self, is_so: impl Fn(&T) -> bool) -> usize {
        self.ok().filter(|answer| is_so(answer)).count()
    }

    /// The answers of those that gave one, in the order of the servers.
    pub(super) fn into_ok(mut self) -> Vec<T> {
        self.all.sort_unstable_by_key(|one| one.number);
        self.all
            .into_iter()
            .filter_map(|one| one.result.ok())
            .collect()
    }

    /// The error to answer with when too few servers answered.
    pub(super) fn too_few(&self, doing: &str, needed: usize) -> StoreError {
        let failures = || self.all.iter().filter_map(|one| one.result.as_ref().err());
        // What a server refuses for good says more than that another is down.
        let telling = failures()
            .find(|error| !error.is_retryable())
            .or_else(|| failures().next());
        let kind = telling.map_or(StoreErrorKind::Unavailable, StoreError::kind);
        let because = match telling {
            Some(error) => format!("; of the others, one says: {error}"),
            None => "; the others were too slow".to_owned(),
        };
        let message = format!(
            "{doing}: {} of {} servers answered, and {needed} are needed{because}",
            self.answered(),
            self.servers,
        );
        StoreError::new(kind, message).with_unknown_outcome()
    }
}
