//! One lock on one server: the queue, the hand-off inside the release, and the trust window.
//!
//! [`script`] is the server, [`client`] the clients; this module is what lies between them. A
//! message may be served at any time after it was sent, and whatever happens in between happens:
//! a grant races a cancel, a process dies with a request on its way, a connection breaks before or
//! after the step, an answer comes when the lease has lapsed. The checker tries all of it.
//!
//! # What it abstracts
//! - Time is counted in ticks, and everybody counts equally fast. What is remembered is what is
//!   *left*, not when it ends, so the search ends although time does not. The margins for drift and
//!   rounding are zero here; `trust.rs` of `tenure-lock` has them.
//! - A token is a small number, and says whose it is.
//! - A process that is paused is one that does nothing while time passes ([`Network::Late`]).
//! - The first acquisitions are begun in the order of the clients, which are all alike.

pub mod client;
mod moves;
pub mod script;
pub mod watch;

use stateright::{Model, Property};

use self::client::{Client, Reply, Request, Step};
use self::moves::{is_anything_due, is_over};
use self::script::{Push, Server, Terms};
use crate::rank::Ranks;

/// A span of time.
pub type Ticks = u8;
/// One acquisition: the client's number and, in tens, which of its acquisitions.
pub type Token = u8;

/// Which client an acquisition is of.
fn owner(token: Token) -> usize {
    usize::from(token % 10)
}

/// A fault that can be planted, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Cancel leaves the queue, but does not give back a grant that was faster.
    CancelOnlyLeavesTheQueue,
    /// Release frees the lock, whoever has it.
    ReleaseDoesNotCompare,
    /// Renew keeps the lock, whoever has it, and says so.
    RenewDoesNotCompare,
    /// A lock that is handed on keeps the number of the holder before.
    HandOffKeepsTheFence,
    /// A grant that is handed on lasts a whole ttl before anybody confirmed it.
    NoClaimWindow,
    /// The lock is handed to a waiter although nobody listens on its channel.
    DeadWaitersCount,
    /// A request that is sent again takes a second place.
    ResendQueuesTwice,
    /// A request that is sent again does not find the grant it was already given.
    ResendIsAStranger,
    /// Who asks while the lock happens to be free gets it, whoever waits.
    NewcomersBarge,
    /// The trust window begins when the answer arrives, not when the question was sent.
    TrustFromTheReply,
    /// Waiters look when the lease they know of should have ended, and not before.
    NobodyLooksMeanwhile,
    /// The window of a pushed grant begins when the push arrives, not at the anchor.
    TrustFromThePush,
    /// A process that is pushed a grant that nobody in it wants does nothing about it.
    NobodyPassesOn,
    /// Passing on frees the lock, whatever has become of it since the push.
    PassOnDoesNotCompare,
}

/// How messages and timers behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// All that can happen at a moment happens before time passes, in any order. What is bounded
    /// in time is checked so.
    Prompt,
    /// Everything may take as long as it likes. What must never happen is checked so.
    Late,
}

/// Who may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mortal {
    /// Anybody.
    Everybody,
    /// Only who is in line, so that the price of a dead waiter is seen and not a dead holder's.
    Waiters,
}

/// A world of this protocol, with its bounds.
#[derive(Debug, Clone)]
pub struct HandOff {
    /// How the scripts are called, and what is planted.
    pub terms: Terms,
    /// How many clients there are.
    pub clients: u8,
    /// How many acquisitions each makes.
    pub rounds: u8,
    /// How messages and timers behave.
    pub network: Network,
    /// How many connections break.
    pub breaks: u8,
    /// How many processes die.
    pub crashes: u8,
    /// Whose.
    pub mortal: Mortal,
    /// How many requests are given up by their senders and served later all the same.
    pub strays: u8,
    /// The longest that a live waiter waits while nobody uses the lock.
    pub longest_idle: Ticks,
}

/// All there is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The server.
    pub server: Server,
    /// The clients.
    pub clients: Vec<Client>,
    /// A request that its sender has given up.
    pub stray: Option<Request>,
    /// Grants that nobody wanted where they were pushed, on their way back to be passed on.
    pub unwanted: Vec<Push>,
    /// What may still go wrong: breaks, crashes, strays.
    pub left: [u8; 3],
    /// The checker's own notes; no part of the protocol looks at them.
    pub seen: Seen,
}

/// What the checker remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The greatest fence that was granted.
    pub fence: u8,
    /// What should not have happened and did.
    pub wrongs: Vec<Wrong>,
    /// What the last step showed that should be seen sometimes.
    pub sight: Option<Sight>,
    /// An acquisition that a stray request began again after it had been given back.
    pub revived: Option<Token>,
    /// For how long a live waiter has waited while nobody used the lock.
    pub idle: Ticks,
    /// The fence of the last grant that was pushed where nobody wants it.
    pub unwanted: Option<u8>,
}

/// What no step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A grant had a fence that was not greater than all before.
    FenceFell,
    /// A grant went past a live waiter that was first.
    OutOfTurn,
    /// The lock was handed to a waiter that the server knew to be gone.
    ToTheDead,
    /// A lease was lengthened by somebody else's request.
    GrewForAnother,
    /// Time passed while the lock was in hands that do not want it, in a process that was told.
    Kept,
}

/// What a model must show now and then, or it shows too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// A cancel found that the lock had just been granted, and passed it on.
    PassedOn,
    /// A waiter that was gone was skipped.
    Skipped,
    /// A grant that nobody wanted was passed on by the process it was pushed to.
    Unwanted,
}

/// What can happen; numbers are clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It begins an acquisition, or asks again.
    Ask(usize),
    /// The server runs its next request.
    Serve(usize),
    /// It hears the answer.
    Hear(usize),
    /// It hears a pushed grant.
    HearPush(usize),
    /// It waits no longer.
    GiveUp(usize),
    /// It sends a renewal.
    Renew(usize),
    /// It gives the lock back.
    Release(usize),
    /// It forgets a guard that is not trusted any more.
    Forget(usize),
    /// It sends its release or cancel again.
    Repeat(usize),
    /// Its connection breaks, and both sides know.
    Break(usize),
    /// Its connection passes nothing any more, and nobody knows.
    Blackhole(usize),
    /// It gives up waiting for an answer; the request stays on its way.
    TimeOut(usize),
    /// It has a new connection.
    Reconnect(usize),
    /// Its process dies, and the server sees it.
    Crash(usize),
    /// Its machine dies, and the server sees nothing.
    PowerCut(usize),
    /// The server runs a request that its sender has given up.
    ServeStray,
    /// The server is asked to pass on a grant that nobody wanted.
    PassOn,
    /// Time passes.
    Tick,
}

const BREAKS: usize = 0;
const CRASHES: usize = 1;
const STRAYS: usize = 2;

impl Model for HandOff {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let clients = (0..self.clients).map(|token| Client::new(token, self.rounds));
        vec![World {
            server: Server::default(),
            clients: clients.collect(),
            stray: None,
            unwanted: Vec::new(),
            left: [self.breaks, self.crashes, self.strays],
            seen: Seen::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (number, client) in world.clients.iter().enumerate() {
            self.client_actions(world, number, client, actions);
        }
        if world.stray.is_some() {
            actions.push(Action::ServeStray);
        }
        if !world.unwanted.is_empty() {
            actions.push(Action::PassOn);
        }
        let is_busy = self.network == Network::Prompt && is_anything_due(world);
        if !is_busy && world.clients.iter().any(|c| !is_over(c)) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        world.seen.sight = None;
        match action {
            Action::Tick => self.tick(&mut world),
            Action::ServeStray => self.serve_stray(&mut world),
            Action::PassOn => self.pass_on(&mut world),
            Action::Serve(number) => self.serve(&mut world, number),
            _ => self.act(&mut world, action),
        }
        world.renumber();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        watch::properties(self)
    }
}

impl World {
    /// Only the order of fences matters, so they are numbered anew.
    fn renumber(&mut self) {
        let mut ranks = Ranks::new();
        self.each_fence(&mut |fence| ranks.note(*fence));
        self.each_fence(&mut |fence| *fence = ranks.of(*fence));
    }

    fn each_fence(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.server.last_fence);
        visit(&mut self.seen.fence);
        if let Some(fence) = &mut self.seen.unwanted {
            visit(fence);
        }
        if let Some(lock) = &mut self.server.lock {
            visit(&mut lock.fence);
        }
        for push in &mut self.unwanted {
            visit(&mut push.fence);
        }
        for client in &mut self.clients {
            if let Some(push) = &mut client.push {
                visit(&mut push.fence);
            }
            if let Step::Holding { fence, .. } = &mut client.step {
                visit(fence);
            }
            if let Some(Reply::Acquired { what, .. }) = &mut client.reply
                && let script::Acquired::Granted { fence, .. } = what
            {
                visit(fence);
            }
        }
    }
}
