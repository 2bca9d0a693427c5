//! The client's side: what a waiter and holder of `tenure-lock` knows and does.
//!
//! A [`Client`] makes one acquisition after the other, each with a token of its own. It relies on
//! its own steady clock and on what it is told; it knows nothing of the server's state.

use super::script::{Acquired, Push, Terms};
use super::{Bug, Ticks, Token};

/// One process that wants the lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// The acquisition it is at.
    pub token: Token,
    /// How many more acquisitions it may begin.
    pub rounds_left: u8,
    /// Where it is in it.
    pub step: Step,
    /// Its connection.
    pub line: Line,
    /// Requests on their way to the server, in order.
    pub requests: Vec<Request>,
    /// The answer to the request it waits for, on its way back.
    pub reply: Option<Reply>,
    /// A pushed grant on its way to it.
    pub push: Option<Push>,
    /// The last acquisition that it gave back and had that confirmed.
    pub given_back: Option<Token>,
}

/// Where a client is in its acquisition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It has not begun, or is between two acquisitions.
    Idle,
    /// It asked `age` ticks ago and has no answer yet.
    Asking {
        /// How long ago.
        age: Ticks,
        /// What it knows of the server's clock from an earlier answer.
        anchor: Option<Anchor>,
    },
    /// It has been told to wait, and listens; it asks again when the timer ends.
    Waiting {
        /// How long until then.
        timer: Ticks,
        /// What it knows of the server's clock; nothing if no answer ever came.
        anchor: Option<Anchor>,
    },
    /// It has a guard, which is trusted while `trust` is not over.
    Holding {
        /// The number of the acquisition.
        fence: u8,
        /// How long the trust window still lasts.
        trust: Ticks,
        /// How long ago a renewal was sent that is not answered yet.
        renewing: Option<Ticks>,
    },
    /// It gives the lock back.
    Releasing,
    /// It gives up: it may have the lock, a place, or nothing.
    Cancelling,
    /// It needs the lock no more.
    Done,
    /// Its process has gone.
    Dead,
}

/// One comparison of the client's clock with the server's: the server read its clock this many
/// ticks after the client had read its own. What is counted from an anchor is shorter by as much.
pub type Anchor = Ticks;

/// A client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// It works.
    Open,
    /// Nothing passes, and the server has not noticed: PUBLISH still counts a receiver.
    HalfOpen,
    /// It is gone, and the server knows.
    Closed,
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// For the lock or a place, sent at first and sent again.
    Acquire(Token),
    /// To keep the lock.
    Renew(Token),
    /// To give it back.
    Release(Token),
    /// To end whatever the token has.
    Cancel(Token),
    /// To give a grant to the next that was pushed to a process where nobody wants it.
    PassOn(Push),
}

impl Request {
    /// Which acquisition it is about.
    pub(super) fn token(self) -> Token {
        match self {
            Self::Acquire(token)
            | Self::Renew(token)
            | Self::Release(token)
            | Self::Cancel(token)
            | Self::PassOn(Push { token, .. }) => token,
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// About an acquisition.
    Acquired {
        /// The answer.
        what: Acquired,
        /// How long after the question was sent the server read its clock.
        anchor: Anchor,
    },
    /// The lock was kept for so long from the moment of the step, or is the client's no more.
    Renewed(Option<Ticks>),
    /// It has nothing any more.
    GivenBack,
}

impl Client {
    /// One that has not begun.
    pub(super) fn new(token: Token, rounds: u8) -> Self {
        Self {
            token,
            rounds_left: rounds,
            step: Step::Idle,
            line: Line::Open,
            requests: Vec::new(),
            reply: None,
            push: None,
            given_back: None,
        }
    }

    /// Whether it has a guard that it would act on.
    pub(super) fn is_trusted(&self) -> bool {
        matches!(self.step, Step::Holding { trust, .. } if trust > 0)
    }

    /// Whether it waits for the lock, whatever its connection does.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.step, Step::Asking { .. } | Step::Waiting { .. })
    }

    /// Whether nothing is on its way to it or from it.
    pub(super) fn is_quiet(&self) -> bool {
        self.requests.is_empty() && self.reply.is_none() && self.push.is_none()
    }

    /// Sends the acquisition's request, for the first time or again. The clock is read first.
    pub(super) fn ask(&mut self) {
        let anchor = match self.step {
            Step::Waiting { anchor, .. } => anchor,
            _ => None,
        };
        self.step = Step::Asking { age: 0, anchor };
        self.requests.push(Request::Acquire(self.token));
    }

    /// An answer arrives.
    pub(super) fn hear(&mut self, reply: Reply, terms: Terms) {
        let bug = terms.bug;
        match (reply, self.step) {
            (Reply::Acquired { what, anchor }, Step::Asking { age, .. }) => match what {
                Acquired::Granted { fence, span } => {
                    // Counted from before the request left, not from now.
                    let late = if bug == Some(Bug::TrustFromTheReply) {
                        0
                    } else {
                        age
                    };
                    self.accept(fence, span.saturating_sub(late));
                }
                Acquired::Held { pttl, position } => {
                    // Each of the first in line looks a little after the one before; and not only
                    // when this lease should have ended: it may be handed on meanwhile, to somebody
                    // who dies, and that lease ends sooner.
                    let look = if bug == Some(Bug::NobodyLooksMeanwhile) {
                        pttl
                    } else {
                        pttl.min(terms.claim_window)
                    };
                    let timer = look + position - 1;
                    let anchor = Some(anchor);
                    self.step = Step::Waiting { timer, anchor };
                }
            },
            (
                Reply::Renewed(kept),
                Step::Holding {
                    fence,
                    trust,
                    renewing,
                },
            ) => {
                let grown = match (kept, renewing) {
                    // An answer that comes after the window cannot bring trust back.
                    (Some(span), Some(age)) if trust > 0 => trust.max(span.saturating_sub(age)),
                    _ => 0,
                };
                self.step = Step::Holding {
                    fence,
                    trust: grown,
                    renewing: None,
                };
            }
            (Reply::GivenBack, Step::Releasing | Step::Cancelling) => {
                self.given_back = Some(self.token);
                self.finish();
            }
            _ => {}
        }
    }

    /// A pushed grant arrives at one that waits.
    pub(super) fn hear_push(&mut self, push: Push, bug: Option<Bug>) {
        let Step::Waiting { anchor, .. } = self.step else {
            return;
        };
        let trust = match (anchor, bug) {
            (_, Some(Bug::TrustFromThePush)) => push.span,
            (Some(anchor), _) => push.left.saturating_sub(anchor),
            // Without an anchor the grant's end means nothing: the server is asked.
            (None, _) => 0,
        };
        if trust > 0 {
            self.accept(push.fence, trust);
        } else {
            self.step = Step::Waiting { timer: 0, anchor };
        }
    }

    fn accept(&mut self, fence: u8, trust: Ticks) {
        if trust == 0 {
            // Too late to be of use: given back, whatever became of it meanwhile.
            self.give_up();
            return;
        }
        self.push = None;
        self.step = Step::Holding {
            fence,
            trust,
            renewing: None,
        };
    }

    /// Sends a renewal.
    pub(super) fn renew(&mut self) {
        if let Step::Holding { renewing, .. } = &mut self.step {
            *renewing = Some(0);
            self.requests.push(Request::Renew(self.token));
        }
    }

    /// Gives a guard back; sent again until it is answered.
    pub(super) fn release(&mut self) {
        self.step = Step::Releasing;
        self.reply = None;
        self.requests.push(Request::Release(self.token));
    }

    /// Stops waiting, with whatever may have been granted meanwhile; sent again until answered.
    pub(super) fn give_up(&mut self) {
        self.step = Step::Cancelling;
        self.reply = None;
        self.push = None;
        self.requests.push(Request::Cancel(self.token));
    }

    /// The acquisition is over.
    pub(super) fn finish(&mut self) {
        self.requests.clear();
        self.reply = None;
        self.push = None;
        self.step = if self.rounds_left > 0 {
            Step::Idle
        } else {
            // What its connection does from now on makes no difference.
            self.line = Line::Open;
            Step::Done
        };
    }

    /// What was on its way is lost. The client learns that nothing is known of it, and asks again.
    pub(super) fn lose_messages(&mut self) {
        self.requests.clear();
        self.reply = None;
        self.push = None;
        match &mut self.step {
            Step::Asking { anchor, .. } => {
                let anchor = *anchor;
                self.step = Step::Waiting { timer: 0, anchor };
            }
            Step::Holding { renewing, .. } => *renewing = None,
            _ => {}
        }
    }

    /// Time passes: its own steady clock.
    pub(super) fn tick(&mut self, longest: Ticks) {
        let older = |age: Ticks| (age + 1).min(longest);
        match &mut self.step {
            Step::Asking { age, .. } => *age = older(*age),
            Step::Waiting { timer, .. } => *timer = timer.saturating_sub(1),
            Step::Holding {
                trust, renewing, ..
            } => {
                *trust = trust.saturating_sub(1);
                *renewing = renewing.map(older);
            }
            _ => {}
        }
        if let Some(push) = &mut self.push {
            push.left = push.left.saturating_sub(1);
        }
    }
}
