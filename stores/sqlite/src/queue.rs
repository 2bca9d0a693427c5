//! The requests that wait for one of the store's threads.
//!
//! Bounded: a full queue refuses at once, so that a stuck file cannot make memory grow. Knows
//! nothing of SQLite.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Clock, Moment, StoreError, StoreErrorKind, SystemClock};
use tokio::sync::oneshot;

use crate::step::{Fault, Step};

/// More than this many waiting requests mean that something is stuck.
const CAPACITY: usize = 65_536;

/// One request, from the queue to its answer.
pub(crate) trait Request: Send {
    /// When waiting for the file must end.
    fn deadline(&self) -> Moment;
    /// Whether nobody waits for the answer and nothing is lost if the step never happens.
    fn is_abandoned(&self) -> bool;
    /// Does the step and keeps the answer. After an error the step is rolled back.
    fn run(&mut self, step: &mut Step<'_>) -> Result<(), Fault>;
    /// Hands out the kept answer, after the commit.
    fn answer(self: Box<Self>);
    /// Hands out an error instead.
    fn fail(self: Box<Self>, error: StoreError);
}

/// What becomes of a step that has not begun when its caller goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// It is dropped: it would only take something for nobody.
    Drop,
    /// It is done: it gives something back, or records what happened.
    Do,
}

struct Asked<F, T> {
    work: Option<F>,
    kept: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    deadline: Moment,
    unwanted: Unwanted,
}

impl<F, T> Request for Asked<F, T>
where
    F: FnOnce(&mut Step<'_>) -> Result<T, Fault> + Send,
    T: Send,
{
    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.unwanted == Unwanted::Drop && self.reply.is_closed()
    }

    fn run(&mut self, step: &mut Step<'_>) -> Result<(), Fault> {
        if let Some(work) = self.work.take() {
            self.kept = Some(work(step)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>) {
        let answer = self.kept.ok_or_else(stopped);
        // A caller that went away is no fault of the store's.
        let _ = self.reply.send(answer);
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

/// Requests in the order of their arrival.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    patience: Duration,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Box<dyn Request>>,
    closed: bool,
    chore: bool,
}

/// Why a thread woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Requests wait.
    Requests,
    /// No request waits, but the chore does.
    Chore,
    /// The queue is closed and empty.
    Closed,
}

impl Queue {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            patience,
        }
    }

    /// Queues a step and waits for its answer.
    pub(crate) async fn ask<T, F>(&self, unwanted: Unwanted, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Step<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.push(Box::new(Asked {
            work: Some(work),
            kept: None,
            reply,
            deadline: SystemClock.now() + self.patience,
            unwanted,
        }))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn push(&self, request: Box<dyn Request>) -> Result<(), StoreError> {
        let mut state = self.locked();
        if state.closed {
            return Err(stopped());
        }
        if state.requests.len() >= CAPACITY {
            let message = format!("{CAPACITY} requests wait for the SQLite file already");
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        state.requests.push_back(request);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Moves what waits into `group`, up to `most` altogether.
    pub(crate) fn top_up(&self, group: &mut Vec<Box<dyn Request>>, most: usize) {
        let mut state = self.locked();
        let room = most.saturating_sub(group.len()).min(state.requests.len());
        group.extend(state.requests.drain(..room));
    }

    /// Waits for something to do.
    pub(crate) fn wait(&self) -> Woken {
        let mut state = self.locked();
        loop {
            if !state.requests.is_empty() {
                return Woken::Requests;
            }
            if state.closed {
                return Woken::Closed;
            }
            if std::mem::take(&mut state.chore) {
                return Woken::Chore;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks the thread for its one chore, once it has nothing better to do.
    pub(crate) fn ask_for_chore(&self) {
        self.locked().chore = true;
        self.arrived.notify_one();
    }

    /// Accepts nothing more; what waits is still done.
    pub(crate) fn close(&self) {
        self.locked().closed = true;
        self.arrived.notify_all();
    }

    /// A panic elsewhere leaves the queue whole: every change to it is a single call.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopped() -> StoreError {
    let message = "the SQLite store's thread has stopped; open the store again";
    StoreError::new(StoreErrorKind::Unavailable, message).with_unknown_outcome()
}
