//! A lock on a majority of three independent servers, which forget everything when they restart.
//!
//! A client asks every server for its vote and has the lock if two of three gave it. What makes
//! that safe is that any two majorities share a server, and that a server keeps its word: one that
//! has restarted has forgotten it, so it votes for nobody until every lease it may have voted for
//! has run out. Without that quarantine a restart gives the lock away, which `tests/quorum.rs`
//! asserts.
//!
//! Each server numbers its own votes, so the next majority could know of smaller numbers only. A
//! fence therefore counts once a majority has written down the greatest that any voter named. (A
//! counter that a restart loses begins again; the clock carries a real one past that, and fences
//! are looked at without restarts here.)
//!
//! # What it abstracts
//! Besides what [`handoff`](crate::handoff) does: a server's step and the client's hearing of it
//! are one, because a late vote counts as late anyway (the window begins before the first
//! question); queues, which here only say whom to tell; and resends, for which the fence's
//! agreement has rules of its own. Servers are alike and sorted, so that worlds which differ in
//! their order only are one.

use stateright::{Model, Property};

use crate::rank::Ranks;

/// A span of time.
pub type Ticks = u8;

const SERVERS: usize = 3;
const CLIENTS: usize = 2;
const MAJORITY: usize = 2;

/// A fault that can be planted, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The quarantine is a tick shorter than the ttl.
    QuarantineIsShort,
    /// Half of the servers, rounded down, are taken for a majority.
    HalfIsEnough,
    /// The trust window begins with the last vote, not before the first question.
    TrustFromTheVotes,
    /// The greatest fence of the voters is used without having a majority write it down.
    FenceIsNotAgreed,
}

/// A world of this protocol, with its bounds.
#[derive(Debug, Clone)]
pub struct Quorum {
    /// How long a lease lasts.
    pub ttl: Ticks,
    /// Whether a server that has restarted votes for nobody for one ttl.
    pub has_quarantine: bool,
    /// How many acquisitions each client makes.
    pub rounds: [u8; CLIENTS],
    /// How many restarts there are.
    pub restarts: u8,
    /// Whether a majority agrees on a fence: without, the search has time for more faults.
    pub is_fenced: bool,
    /// A fault planted to see whether it is found.
    pub bug: Option<Bug>,
}

/// All there is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The servers.
    pub servers: [Server; SERVERS],
    /// The clients.
    pub clients: [Client; CLIENTS],
    /// How many restarts are left.
    pub restarts: u8,
    /// The greatest fence that anybody ever relied on.
    pub greatest: u8,
    /// Somebody came to rely on one that was not greater.
    pub fence_fell: bool,
}

/// A server, and what each client has heard from it in its present question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// For whom it voted.
    pub vote: Option<Vote>,
    /// How long it votes for nobody.
    pub quarantine: Ticks,
    /// Its fence counter.
    pub last_fence: u8,
    /// What it told each client.
    pub told: [Told; CLIENTS],
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// For which acquisition.
    pub token: u8,
    /// Its number on this server.
    pub fence: u8,
    /// How long it lasts.
    pub left: Ticks,
}

/// What a client has heard from one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Yes, with a fence.
    Yes(u8),
    /// No.
    No,
}

/// A process that wants the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// The acquisition it is at.
    pub token: u8,
    /// How many more it may begin.
    pub rounds_left: u8,
    /// Where it is in it.
    pub step: Step,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It has not begun, or is between two acquisitions.
    Idle,
    /// It collects votes, for so long already.
    Asks(Ticks),
    /// It has a majority, and has this fence written down.
    Agrees(Ticks, u8),
    /// It has a guard; the last is the age of a renewal under way.
    Holds(Ticks, Option<Ticks>),
    /// It needs the lock no more.
    Done,
}

/// What can happen; the first number is a client, the second a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client reads its clock and asks all.
    Ask(usize),
    /// A server answers a client's question.
    Answer(usize, usize),
    /// A client counts the answers.
    Count(usize),
    /// A client has not won; if it asks again it begins anew.
    Yield(usize),
    /// A client begins a renewal.
    Renew(usize),
    /// A client gives the lock back.
    Release(usize),
    /// A server hears that an acquisition ended.
    End(usize, usize),
    /// A server starts anew, without data.
    Restart(usize),
    /// Time passes.
    Tick,
}

/// L: no two guards are trusted at a time.
pub const ONE_HOLDER: &str = "at most one trusted holder";
/// F: who comes to rely on the lock has a fence greater than all before.
pub const FENCES_GROW: &str = "fences strictly grow across majorities";

impl Model for Quorum {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let client = |token| Client {
            token,
            rounds_left: self.rounds[usize::from(token)] - 1,
            step: Step::Idle,
        };
        vec![World {
            servers: [Server::default(); SERVERS],
            clients: [client(0), client(1)],
            restarts: self.restarts,
            greatest: 0,
            fence_fell: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.clients.iter().all(|c| c.step == Step::Done) {
            return;
        }
        for (number, client) in world.clients.iter().enumerate() {
            let told = world.servers.iter().map(|server| server.told[number]);
            match client.step {
                Step::Idle => actions.push(Action::Ask(number)),
                Step::Asks(_) | Step::Agrees(..) | Step::Holds(_, Some(_)) => {
                    actions.push(Action::Count(number));
                    for (server, told) in told.enumerate() {
                        if told == Told::Nothing {
                            actions.push(Action::Answer(number, server));
                        }
                    }
                }
                Step::Holds(_, None) => actions.push(Action::Renew(number)),
                Step::Done => {}
            }
            match client.step {
                Step::Asks(_) | Step::Agrees(..) => actions.push(Action::Yield(number)),
                Step::Holds(..) => actions.push(Action::Release(number)),
                Step::Idle | Step::Done => {}
            }
            for server in 0..SERVERS {
                if world.is_left_over(number, server) {
                    actions.push(Action::End(number, server));
                }
            }
        }
        if world.restarts > 0 {
            actions.extend((0..SERVERS).map(Action::Restart));
        }
        actions.push(Action::Tick);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Ask(number) => {
                world.clients[number].step = Step::Asks(0);
                world.ask_anew(number);
            }
            Action::Answer(number, server) => self.answer(&mut world, number, server),
            Action::Count(number) => self.count(&mut world, number),
            Action::Renew(number) => {
                if let Step::Holds(_, renewal) = &mut world.clients[number].step {
                    *renewal = Some(0);
                }
                world.ask_anew(number);
            }
            Action::Yield(number) | Action::Release(number) => world.finish(number),
            Action::End(_, server) => world.servers[server].vote = None,
            Action::Restart(server) => {
                world.restarts -= 1;
                let quarantine = match self.bug {
                    _ if !self.has_quarantine => 0,
                    Some(Bug::QuarantineIsShort) => self.ttl - 1,
                    _ => self.ttl,
                };
                // What it has told the clients is told.
                world.servers[server].vote = None;
                world.servers[server].last_fence = 0;
                world.servers[server].quarantine = quarantine;
            }
            Action::Tick => world.tick(self.ttl),
        }
        world.tidy();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_HOLDER, |_, world: &World| {
                let is_trusted = |c: &&Client| matches!(c.step, Step::Holds(..));
                world.clients.iter().filter(is_trusted).count() <= 1
            }),
            Property::sometimes("all have their turn", |_, world: &World| {
                world.clients.iter().all(|c| c.step == Step::Done)
            }),
        ];
        if self.is_fenced {
            let grows = |_: &Self, world: &World| !world.fence_fell;
            properties.push(Property::always(FENCES_GROW, grows));
        }
        properties
    }
}

impl Quorum {
    /// One server's step for whatever a client asks at the moment.
    fn answer(&self, world: &mut World, number: usize, server: usize) {
        let client = world.clients[number];
        let server = &mut world.servers[server];
        let own = server.vote.filter(|vote| vote.token == client.token);
        server.told[number] = match (client.step, own) {
            (Step::Asks(_), None) if server.vote.is_none() && server.quarantine == 0 => {
                server.last_fence += u8::from(self.is_fenced);
                server.vote = Some(Vote {
                    token: client.token,
                    fence: server.last_fence,
                    left: self.ttl,
                });
                Told::Yes(server.last_fence)
            }
            (Step::Asks(_) | Step::Holds(..), Some(vote)) => {
                server.vote = Some(Vote {
                    left: self.ttl,
                    ..vote
                });
                Told::Yes(vote.fence)
            }
            // The agreement: the counter first, then the vote.
            (Step::Agrees(_, fence), Some(vote)) if vote.fence <= fence => {
                server.last_fence = server.last_fence.max(fence);
                server.vote = Some(Vote { fence, ..vote });
                Told::Yes(fence)
            }
            _ => Told::No,
        };
    }

    fn count(&self, world: &mut World, number: usize) {
        let needed = match self.bug {
            Some(Bug::HalfIsEnough) => SERVERS / 2,
            _ => MAJORITY,
        };
        let told = world.servers.iter().map(|server| server.told[number]);
        let fences: Vec<u8> = told
            .filter_map(|told| match told {
                Told::Yes(fence) => Some(fence),
                Told::Nothing | Told::No => None,
            })
            .collect();
        if fences.len() < needed {
            return;
        }
        let greatest = fences.into_iter().max().unwrap_or_default();
        match world.clients[number].step {
            Step::Asks(age) => {
                let age = if self.bug == Some(Bug::TrustFromTheVotes) {
                    0
                } else {
                    age
                };
                if !self.is_fenced || self.bug == Some(Bug::FenceIsNotAgreed) {
                    world.accept(number, self.ttl.saturating_sub(age), greatest);
                } else {
                    world.clients[number].step = Step::Agrees(age, greatest);
                    world.ask_anew(number);
                }
            }
            Step::Agrees(age, fence) => {
                world.accept(number, self.ttl.saturating_sub(age), fence);
            }
            Step::Holds(trust, Some(age)) => {
                let trust = trust.max(self.ttl.saturating_sub(age));
                world.clients[number].step = Step::Holds(trust, None);
            }
            Step::Holds(..) | Step::Idle | Step::Done => {}
        }
    }
}

impl World {
    fn ask_anew(&mut self, number: usize) {
        for server in &mut self.servers {
            server.told[number] = Told::Nothing;
        }
    }

    fn accept(&mut self, number: usize, trust: Ticks, fence: u8) {
        self.ask_anew(number);
        if trust == 0 {
            self.finish(number);
            return;
        }
        self.fence_fell |= fence <= self.greatest;
        self.greatest = self.greatest.max(fence);
        self.clients[number].step = Step::Holds(trust, None);
    }

    fn finish(&mut self, number: usize) {
        self.ask_anew(number);
        let client = &mut self.clients[number];
        client.step = Step::Done;
        if client.rounds_left > 0 {
            client.rounds_left -= 1;
            client.token += 2;
            client.step = Step::Idle;
        }
    }

    /// Whether a server has a vote that its client does not want any more.
    fn is_left_over(&self, number: usize, server: usize) -> bool {
        let client = &self.clients[number];
        let is_over = matches!(client.step, Step::Idle | Step::Done);
        let vote = self.servers[server].vote;
        vote.is_some_and(|vote| {
            let is_of_this = usize::from(vote.token) % CLIENTS == number;
            is_of_this && (is_over || vote.token != client.token)
        })
    }

    fn tick(&mut self, longest: Ticks) {
        for server in &mut self.servers {
            server.quarantine = server.quarantine.saturating_sub(1);
            if let Some(vote) = &mut server.vote {
                vote.left -= 1;
            }
            server.vote = server.vote.filter(|vote| vote.left > 0);
        }
        for number in 0..CLIENTS {
            match &mut self.clients[number].step {
                Step::Holds(1, _) => self.finish(number),
                Step::Holds(trust, renewal) => {
                    *trust -= 1;
                    *renewal = renewal.map(|age| (age + 1).min(longest));
                }
                Step::Asks(age) | Step::Agrees(age, _) => *age = (*age + 1).min(longest),
                Step::Idle | Step::Done => {}
            }
        }
    }

    /// Servers are alike, and of fences only the order matters.
    fn tidy(&mut self) {
        let mut ranks = Ranks::new();
        self.each_fence(&mut |fence| ranks.note(*fence));
        self.each_fence(&mut |fence| *fence = ranks.of(*fence));
        self.servers.sort_unstable();
    }

    fn each_fence(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.greatest);
        for server in &mut self.servers {
            visit(&mut server.last_fence);
            if let Some(vote) = &mut server.vote {
                visit(&mut vote.fence);
            }
            for told in &mut server.told {
                if let Told::Yes(fence) = told {
                    visit(fence);
                }
            }
        }
        for client in &mut self.clients {
            if let Step::Agrees(_, fence) = &mut client.step {
                visit(fence);
            }
        }
    }
}
