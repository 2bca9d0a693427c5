//! One lock on a primary with two replicas: fail-over, restarts without data, and strict mode.
//!
//! Replication is asynchronous: a replica copies when it likes, and never, if it is cut off. Any
//! replica may be promoted while the old primary goes on; each client may talk to either. That is
//! how plain mode comes to two holders, which is asserted in `tests/failover.rs` as what it is.
//!
//! # Strict mode
//! A grant counts when a majority has it: the primary and `WAIT 1` of its two replicas. Two
//! primaries cannot both collect that. When a primary finds that the marker in its data is not of
//! its own era, it has a majority follow it first, and then grants nothing for the longest ttl:
//! what an earlier primary granted has run out when it begins. What else that takes:
//! - a *renewal* counts only with a majority too: a cut-off primary would keep a lease alive
//!   ([`Bug::RenewalsDoNotWait`]);
//! - a *pushed grant* is only a reason to ask: the release that made it waited for nobody
//!   ([`Bug::PushIsTrusted`]);
//! - the marker must change with every *promotion*, not only with every start: a primary that was
//!   demoted and came back before it had copied anything would take its own marker for the newest
//!   ([`Bug::MarkerIsTheRunId`]);
//! - the marker is looked at *first*, also for whoever finds the lock to be its own: it may be a
//!   copy of a grant that was taken back since ([`Bug::OwnLockNeedsNoGuard`]);
//! - the quarantine is begun only in the era in which a majority was found
//!   ([`Bug::InstallDoesNotCompare`]).
//!
//! # What it assumes
//! - Clocks run equally fast, and no server's clock is stepped.
//! - A server that has heard of a newer primary never follows an older one again. With
//!   [`FailOver::may_go_back`] it may, and strict mode fails.
//! - Two grants never share a microsecond, and the servers' clocks agree that far: so the clock is
//!   greater than every fence before, and a fence that follows it grows although its counter is
//!   lost.
//!
//! # What it abstracts
//! Besides what [`handoff`](crate::handoff) does: a step and its answer are one, because how late
//! answers are is that model's matter; what takes time here is the wait for copies.

mod moves;
pub mod node;

use stateright::{Model, Property};

use self::node::{Era, Node, Terms};

/// A span of time.
pub type Ticks = u8;
/// One acquisition: the client's number and, in tens, which of its acquisitions.
pub type Token = u8;

const NODES: usize = 3;

/// Which of two promises is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// One holder, while the primary keeps what it answered.
    Plain,
    /// One holder, through restarts and fail-overs.
    Strict,
}

/// A fault that can be planted, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Grants wait for a majority, but nothing is held back after a fail-over.
    NoQuarantine,
    /// The quarantine is a tick shorter than the longest ttl.
    QuarantineIsShort,
    /// Grants do not wait for copies.
    GrantsDoNotWait,
    /// Renewals do not wait for copies.
    RenewalsDoNotWait,
    /// Who is pushed a grant relies on it.
    PushIsTrusted,
    /// The quarantine begins before anybody follows the new primary.
    InstallDoesNotWait,
    /// The quarantine begins although the server has become another meanwhile.
    InstallDoesNotCompare,
    /// The marker is the process' id alone.
    MarkerIsTheRunId,
    /// Who finds its own token in the lock gets it, before the marker is looked at.
    OwnLockNeedsNoGuard,
    /// The fence is the counter, without the clock.
    FencesOnlyCount,
}

/// A world of this protocol, with its bounds.
#[derive(Debug, Clone)]
pub struct FailOver {
    /// How the scripts are called, and what is planted.
    pub terms: Terms,
    /// How many clients there are.
    pub clients: u8,
    /// How many acquisitions each makes.
    pub rounds: u8,
    /// How often a replica is promoted.
    pub promotions: u8,
    /// How often a server loses its data: by a restart, or by an operator's command.
    pub losses: u8,
    /// Whether locks are renewed, released and handed on: if they only lapse, the search has time
    /// for more faults.
    pub has_hand_off: bool,
    /// Whether nobody has used the servers yet; else the marker is everywhere.
    pub is_fresh: bool,
    /// Whether a replica may follow an older primary again.
    pub may_go_back: bool,
}

/// All there is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The servers.
    pub nodes: [Node; NODES],
    /// The clients.
    pub clients: Vec<Client>,
    /// What may still go wrong: promotions, losses.
    pub left: [u8; 2],
    /// The greatest fence that was ever granted.
    pub greatest_fence: u8,
    /// The greatest fence that anybody ever relied on.
    pub trusted_fence: u8,
    /// A grant had a fence that was not greater than all before.
    pub grant_fell: bool,
    /// Somebody came to rely on a fence that was not greater than those before.
    pub trust_fell: bool,
}

/// A process that wants the lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// The acquisition it is at.
    pub token: Token,
    /// How many more acquisitions it may begin.
    pub rounds_left: u8,
    /// Where it is in it.
    pub step: Step,
}

/// Where a client is in its acquisition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It wants the lock, and may have a place.
    Wants,
    /// It found that the primary must begin a quarantine, and waits for copies of a probe.
    Installs(Pending, Era),
    /// It was granted the lock, and waits for copies.
    Granted(Pending, u8),
    /// A push on its way tells it that it is its turn: the fence, and how long it lasts.
    Pushed(u8, Ticks),
    /// It has a guard, which is trusted while `trust` is not over.
    Holds {
        /// The number of the acquisition.
        fence: u8,
        /// How long the trust window still lasts.
        trust: Ticks,
        /// A renewal that waits for copies.
        renewal: Option<Pending>,
    },
    /// It needs the lock no more.
    Done,
}

/// Something written that waits to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Where it was written.
    pub node: usize,
    /// How long ago.
    pub age: Ticks,
    /// Whether one of the replicas has copied it: with the primary, a majority.
    pub is_copied: bool,
}

/// What can happen; the first number is a client or a server, the second a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client asks a primary for the lock.
    Ask(usize, usize),
    /// A client begins the quarantine.
    Install(usize),
    /// A client has its grant acknowledged.
    Accept(usize),
    /// A client gives up waiting for copies.
    Undo(usize),
    /// A client hears that it is its turn.
    HearPush(usize),
    /// A client renews at a primary.
    Renew(usize, usize),
    /// A client has its renewal acknowledged.
    Renewed(usize),
    /// A client releases at a primary.
    Release(usize, usize),
    /// A replica becomes a primary.
    Promote(usize),
    /// A server is told to follow another; it still has what it had.
    Follow(usize, usize),
    /// A replica copies what its primary has.
    Copy(usize),
    /// A server starts anew, without data.
    Restart(usize),
    /// An operator deletes all data of a primary.
    Flush(usize),
    /// Time passes.
    Tick,
}

const PROMOTIONS: usize = 0;
const LOSSES: usize = 1;

/// L: no two guards are trusted at a time.
pub const ONE_HOLDER: &str = "at most one trusted holder";
/// F: each grant has a fence greater than all before, on whatever server.
pub const FENCES_GROW: &str = "fences strictly grow";
/// Who comes to rely on a lock has a fence greater than all that were relied on before, so no
/// resource refuses it.
pub const TRUST_GROWS: &str = "who relies on a lock has the greatest fence";

impl Model for FailOver {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut nodes = [0, 1, 2].map(Node::new);
        let era = nodes[0].era;
        for node in &mut nodes {
            node.data.marker = (!self.is_fresh).then_some(era);
        }
        let client = |token| Client {
            token,
            rounds_left: self.rounds - 1,
            step: Step::Wants,
        };
        vec![World {
            nodes,
            clients: (0..self.clients).map(client).collect(),
            left: [self.promotions, self.losses],
            greatest_fence: 0,
            trusted_fence: 0,
            grant_fell: false,
            trust_fell: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.clients.iter().all(|c| c.step == Step::Done) {
            return;
        }
        for number in 0..world.clients.len() {
            self.client_actions(world, number, actions);
        }
        for number in 0..world.nodes.len() {
            self.node_actions(world, number, actions);
        }
        actions.push(Action::Tick);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Promote(_)
            | Action::Follow(..)
            | Action::Copy(_)
            | Action::Restart(_)
            | Action::Flush(_) => world.harm(action),
            Action::Tick => world.tick(self.terms.ttl),
            _ => self.act(&mut world, action),
        }
        world.renumber();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_HOLDER, |_, world: &World| {
                world.clients.iter().filter(|c| c.is_trusted()).count() <= 1
            }),
            Property::always(FENCES_GROW, |_, world: &World| !world.grant_fell),
        ];
        if self.promotions > 0 {
            properties.push(Property::sometimes(
                "a later primary serves",
                |_, world: &World| {
                    let mut nodes = world.nodes.iter();
                    nodes.any(|node| node.epoch > 0 && world.is_trusted_at(node))
                },
            ));
        }
        if self.terms.safety == Safety::Strict {
            let grows = |_: &Self, world: &World| !world.trust_fell;
            properties.push(Property::always(TRUST_GROWS, grows));
        }
        properties
    }
}

impl World {
    /// Whether the lock that this primary knows of is relied on.
    fn is_trusted_at(&self, node: &Node) -> bool {
        let lock = node.data.lock.filter(|_| node.follows.is_none());
        let is_its = |c: &Client| lock.is_some_and(|lock| lock.token == c.token);
        self.clients.iter().any(|c| c.is_trusted() && is_its(c))
    }
}

impl Client {
    fn is_trusted(&self) -> bool {
        matches!(self.step, Step::Holds { trust, .. } if trust > 0)
    }

    /// The acquisition is over.
    fn finish(&mut self) {
        self.step = Step::Done;
        if self.rounds_left > 0 {
            self.rounds_left -= 1;
            self.token += 10;
            self.step = Step::Wants;
        }
    }

    /// What waits for copies of what it wrote.
    fn pending(&mut self) -> Option<&mut Pending> {
        match &mut self.step {
            Step::Installs(pending, _) | Step::Granted(pending, _) => Some(pending),
            Step::Holds { renewal, .. } => renewal.as_mut(),
            _ => None,
        }
    }
}
