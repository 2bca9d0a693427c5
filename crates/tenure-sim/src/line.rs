//! The state of one node's way to the store: what becomes of the next message, drawn from a seed.
//!
//! It knows no message; the calls themselves stand in `link`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::HolderId;
use tokio::sync::Notify;

use crate::judge::Judge;

/// From so much on, a delay counts as a disturbance.
const LONG: Duration = Duration::from_millis(200);

/// How a partition behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// Requests fail at once: the other side is known to be out of reach.
    Refuses,
    /// Requests vanish and are never answered.
    Swallows,
    /// Requests arrive, answers vanish.
    SwallowsAnswers,
}

/// The state of one node's way to the store.
#[derive(Debug)]
pub(crate) struct Line {
    node: HolderId,
    pub(crate) judge: Arc<Judge>,
    state: Mutex<LineState>,
    // Wakes in the order of waiting, unlike a watch channel, so that a seed repeats exactly.
    thaws: Notify,
}

#[derive(Debug)]
struct LineState {
    rng: fastrand::Rng,
    /// How long a message takes, in milliseconds.
    delay_ms: (u64, u64),
    cut: Option<Cut>,
    lose_requests: u32,
    lose_answers: u32,
    duplicate: u32,
    is_frozen: bool,
    is_dead: bool,
}

/// What becomes of one call.
pub(crate) struct Fate {
    pub(crate) there: Duration,
    pub(crate) back: Duration,
    pub(crate) loses_request: bool,
    pub(crate) loses_answer: bool,
    /// Whether a loss shows at once, as a broken connection does.
    pub(crate) breaks: bool,
    /// How much later the request arrives a second time.
    pub(crate) again_after: Option<Duration>,
}

impl Line {
    pub(crate) fn new(node: HolderId, judge: Arc<Judge>, seed: u64, delay_ms: (u64, u64)) -> Self {
        Self {
            node,
            judge,
            state: Mutex::new(LineState {
                rng: fastrand::Rng::with_seed(seed),
                delay_ms,
                cut: None,
                lose_requests: 0,
                lose_answers: 0,
                duplicate: 0,
                is_frozen: false,
                is_dead: false,
            }),
            thaws: Notify::new(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut LineState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.change(|state| state.is_frozen = is_frozen);
        if !is_frozen {
            self.thaws.notify_waiters();
        }
    }

    /// Waits until the machine is not frozen.
    pub(crate) async fn thawed(&self) {
        loop {
            let thaw = self.thaws.notified();
            if !self.is_frozen() {
                return;
            }
            thaw.await;
        }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.change(|state| state.is_frozen)
    }

    /// The node is dead: nothing more leaves it.
    pub(crate) fn die(&self) {
        self.change(|state| state.is_dead = true);
    }

    pub(crate) fn cut(&self, cut: Option<Cut>) {
        self.change(|state| state.cut = cut);
    }

    pub(crate) fn set_delay(&self, delay_ms: (u64, u64)) {
        self.change(|state| state.delay_ms = delay_ms);
    }

    pub(crate) fn lose_requests(&self, count: u32) {
        self.change(|state| state.lose_requests += count);
    }

    pub(crate) fn lose_answers(&self, count: u32) {
        self.change(|state| state.lose_answers += count);
    }

    pub(crate) fn duplicate(&self, count: u32) {
        self.change(|state| state.duplicate += count);
    }

    /// Nothing more goes wrong, apart from ordinary delays.
    pub(crate) fn heal(&self, delay_ms: (u64, u64)) {
        self.change(|state| {
            state.cut = None;
            state.delay_ms = delay_ms;
            state.lose_requests = 0;
            state.lose_answers = 0;
            state.duplicate = 0;
        });
    }

    pub(crate) fn draw(&self) -> Fate {
        let fate = self.change(|state| {
            let (least, most) = state.delay_ms;
            let mut delay = || Duration::from_millis(state.rng.u64(least..=most.max(least)));
            let (there, back) = (delay(), delay());
            let again_after = Duration::from_millis(state.rng.u64(0..3_000));
            Fate {
                there,
                back,
                loses_request: used(&mut state.lose_requests),
                loses_answer: used(&mut state.lose_answers),
                breaks: state.rng.bool(),
                again_after: used(&mut state.duplicate).then_some(again_after),
            }
        });
        if fate.loses_request || fate.loses_answer || fate.there.max(fate.back) >= LONG {
            self.judge.disturbed(self.node);
        }
        fate
    }

    pub(crate) fn cut_now(&self) -> Option<Cut> {
        let cut = self.change(|state| state.cut);
        if cut.is_some() {
            self.judge.disturbed(self.node);
        }
        cut
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.change(|state| state.is_dead)
    }
}

fn used(count: &mut u32) -> bool {
    let is_used = *count > 0;
    *count = count.saturating_sub(1);
    is_used
}
