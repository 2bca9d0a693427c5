//! One run, (task, tick, index), among nodes that die, freeze and lose answers.
//!
//! The server keeps a record of the run. A claim makes it, if there is none and the tick is inside
//! the window; an attempt begins, ends or is taken for lost only if it is still the one in hand,
//! which its number and its random token say. Whoever asks again with the same token gets the same
//! answer. Each step of the server is one script of `stores/redis/src/scripts`: `run_claim`,
//! `run_start`, `run_finish`, `run_recover` and `run_take`.
//!
//! No claim depends on who is thought to be alive: a node's lease decides only when what it has in
//! hand may be given to another. It stops what it runs when that lease ends by its own clock.
//!
//! # What it abstracts
//! - Time is counted in ticks from the tick's own instant; after the record's end nothing changes
//!   any more, so it stops counting there.
//! - One run and one task: pauses, generations, overlap and history are left out.
//! - A renewal of a node's lease is one step. How a late answer shortens trust, the model of the
//!   hand-off shows.
//! - A node that dies takes its commands with it (`tenure run` sees to that).

mod server;

use stateright::{Model, Property};

/// A span of time.
pub type Ticks = u8;

const NODES: usize = 2;

/// A fault that can be planted, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The record ends inside the window in which its tick can be claimed.
    RecordEndsTooSoon,
    /// A claim does not look whether there is a record.
    ClaimOverwrites,
    /// An attempt begins although it is not the one in hand any more.
    StartDoesNotCompare,
    /// An attempt that was taken for lost ends the one in hand.
    FinishDoesNotCompare,
    /// What a node has in hand is recovered while its lease lasts.
    RecoveryIsTooSoon,
    /// A node begins what it is told that it won if its lease can be trusted now, although it had
    /// lapsed since the question.
    OldAnswersAreBelieved,
    /// A run that was begun is tried again although it must not be.
    LostIsTriedAgain,
}

/// A world of this protocol, with its bounds.
#[derive(Debug, Clone)]
pub struct Runs {
    /// How long after its instant a tick can be claimed.
    pub window: Ticks,
    /// How long a node's lease lasts.
    pub lease: Ticks,
    /// How often a run is tried if its node dies: once is `on_crash = "lost"`.
    pub most_attempts: u8,
    /// How often somebody asks for the run, besides asking again.
    pub asks: u8,
    /// Whether a claim says at once that the attempt begins.
    pub begins_with_claim: bool,
    /// How many nodes die.
    pub crashes: u8,
    /// How many answers and questions are lost.
    pub losses: u8,
    /// How often the store forgets the run, as a server does that loses its data.
    pub forgets: u8,
    /// A fault planted to see whether it is found.
    pub bug: Option<Bug>,
}

/// All there is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// How long ago the tick was.
    pub age: Ticks,
    /// What the server keeps of the run.
    pub record: Option<Record>,
    /// The nodes.
    pub nodes: [Node; NODES],
    /// What may still go wrong: crashes, losses, forgetting.
    pub left: [u8; 3],
    /// Which token is new.
    pub next_token: u8,
    /// How often a command was started.
    pub started: u8,
    /// Which attempt's command came to its end.
    pub ended: u8,
}

/// The record of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// How it stands.
    pub state: State,
    /// Which attempt is in hand, or was the last.
    pub attempt: u8,
    /// Whose that is.
    pub node: usize,
    /// Its token; none when it was taken for lost.
    pub token: Option<u8>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Claimed, and not begun.
    Claimed,
    /// Begun.
    Running,
    /// To be taken by whoever comes.
    Waiting,
    /// It ended.
    Done,
    /// Its node was gone.
    Lost,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// How long its lease lasts, in the server and by its own clock.
    pub lease: Ticks,
    /// Whether that has ended since it last asked for a run.
    pub has_lapsed: bool,
    /// What it does.
    pub step: Step,
    /// What it asks, on its way.
    pub request: Option<Request>,
    /// What it is told, on its way.
    pub reply: Option<Reply>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It has nothing.
    Idle,
    /// It claims, or takes what waits, with this token.
    Claims(Request),
    /// It says that its attempt begins.
    Starts(Attempt),
    /// Its command runs.
    Runs(Attempt),
    /// It reports the end.
    Finishes(Attempt, How),
    /// Its process has gone.
    Dead,
}

/// One try of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Which.
    pub number: u8,
    /// Its token.
    pub token: u8,
}

/// What a node asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// For the run of a tick that nobody has, with this token.
    Claim(u8),
    /// For a run that waits, with this token.
    Take(u8),
    /// That its attempt is in hand and begins.
    Start(Attempt),
    /// To write down how its attempt ended.
    Finish(Attempt, How),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Its command came to its end.
    Done,
    /// Its command was stopped because the node's lease could not be trusted any more.
    Stopped,
    /// It was won and not begun, so another may have it whatever is said about crashes.
    NotBegun,
}

/// What a node is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The run is its own; whether it has begun by that.
    Won(Attempt, bool),
    /// The attempt begins.
    Begins,
    /// The end is written.
    Ended,
    /// No: taken, too late, not in hand any more.
    No,
}

/// What can happen; numbers are nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It claims the tick.
    Claim(usize),
    /// It takes what waits.
    Take(usize),
    /// It asks again what was not answered.
    Repeat(usize),
    /// The server runs its request.
    Serve(usize),
    /// It hears the answer.
    Hear(usize),
    /// What is on its way to it or from it is lost.
    Lose(usize),
    /// Its command ends.
    End(usize),
    /// It renews its lease.
    Beat(usize),
    /// The server gives away what this node has in hand.
    Recover(usize),
    /// It dies, with its command.
    Crash(usize),
    /// The store forgets the run.
    Forget,
    /// Time passes.
    Tick,
}

const CRASHES: usize = 0;
const LOSSES: usize = 1;
const FORGETS: usize = 2;

/// A run is executed at most as often as it may be tried; once, if a crash loses it.
pub const FEW_STARTS: &str = "a run is executed no more often than it may be";
/// Two commands of one run are never under way at a time.
pub const ONE_AT_A_TIME: &str = "one command at a time";
/// A run that is written down as done came to its end in that very attempt.
pub const DONE_IS_DONE: &str = "what is done has been done";

impl Model for Runs {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let node = Node {
            lease: self.lease,
            has_lapsed: false,
            step: Step::Idle,
            request: None,
            reply: None,
        };
        vec![World {
            age: 0,
            record: None,
            nodes: [node; NODES],
            left: [self.crashes, self.losses, self.forgets],
            next_token: 0,
            started: 0,
            ended: 0,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (number, node) in world.nodes.iter().enumerate() {
            self.node_actions(world, number, node, actions);
        }
        if world.left[FORGETS] > 0 && world.record.is_some() {
            actions.push(Action::Forget);
        }
        actions.push(Action::Tick);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Tick => self.tick(&mut world),
            Action::Serve(number) => {
                let node = &mut world.nodes[number];
                if let Some(request) = node.request.take() {
                    let reply = self.serve(&mut world, number, request);
                    world.nodes[number].reply = Some(reply);
                }
            }
            Action::Recover(number) => self.recover(&mut world, number),
            _ => self.act(&mut world, action),
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(FEW_STARTS, |model: &Self, world: &World| {
                world.started <= model.most_attempts
            }),
            Property::always(ONE_AT_A_TIME, |_, world: &World| {
                let runs = |node: &&Node| matches!(node.step, Step::Runs(_));
                world.nodes.iter().filter(runs).count() <= 1
            }),
            Property::always(DONE_IS_DONE, |_, world: &World| {
                let is_done = |record: &Record| record.state == State::Done;
                let done = world.record.filter(is_done);
                done.is_none_or(|record| world.ended & (1 << record.attempt) != 0)
            }),
            Property::sometimes("a run is done", |_, world| is_in(world, State::Done)),
            Property::sometimes("a run is lost", |_, world| is_in(world, State::Lost)),
            Property::sometimes(
                "a late claim finds the record",
                |model: &Self, world: &World| {
                    world.age == model.window && is_in(world, State::Done)
                },
            ),
        ];
        if self.most_attempts > 1 {
            properties.push(Property::sometimes(
                "a second attempt is done",
                |_, world: &World| {
                    is_in(world, State::Done) && world.record.is_some_and(|r| r.attempt == 2)
                },
            ));
        }
        properties
    }
}

impl Runs {
    /// When the record of a run goes that is over.
    fn kept_until(&self) -> Ticks {
        match self.bug {
            Some(Bug::RecordEndsTooSoon) => self.window - 1,
            _ => self.window + 1,
        }
    }

    fn node_actions(&self, world: &World, number: usize, node: &Node, actions: &mut Vec<Action>) {
        let is_gone = node.lease == 0 || self.bug == Some(Bug::RecoveryIsTooSoon);
        if is_gone && world.has_in_hand(number) {
            actions.push(Action::Recover(number));
        }
        if node.request.is_some() {
            actions.push(Action::Serve(number));
        }
        if node.step == Step::Dead {
            return;
        }
        if world.left[CRASHES] > 0 {
            actions.push(Action::Crash(number));
        }
        if node.lease < self.lease {
            actions.push(Action::Beat(number));
        }
        let is_on_its_way = node.request.is_some() || node.reply.is_some();
        if is_on_its_way && world.left[LOSSES] > 0 {
            actions.push(Action::Lose(number));
        }
        if node.reply.is_some() {
            actions.push(Action::Hear(number));
        }
        match node.step {
            // The nodes are alike: the first one to ask is called 0.
            Step::Idle if world.next_token == 0 && number > 0 => {}
            Step::Idle if world.next_token < self.asks => {
                if world.age <= self.window + 1 {
                    actions.push(Action::Claim(number));
                }
                if world
                    .record
                    .is_some_and(|record| record.state == State::Waiting)
                {
                    actions.push(Action::Take(number));
                }
            }
            Step::Claims(_) | Step::Starts(_) | Step::Finishes(..) if !is_on_its_way => {
                actions.push(Action::Repeat(number));
            }
            Step::Runs(_) => actions.push(Action::End(number)),
            _ => {}
        }
    }

    fn tick(&self, world: &mut World) {
        // After the record's end, how late it is makes no difference.
        world.age = (world.age + 1).min(self.window + 2);
        for node in &mut world.nodes {
            node.lease = node.lease.saturating_sub(1);
            if node.lease > 0 {
                continue;
            }
            node.has_lapsed = true;
            // By its own clock its lease is over: it stops what it runs.
            if let Step::Runs(attempt) = node.step {
                node.finish(attempt, How::Stopped);
            }
        }
        let is_over = |r: &Record| matches!(r.state, State::Done | State::Lost);
        if world.age > self.kept_until() && world.record.is_some_and(|r| is_over(&r)) {
            world.record = None;
        }
    }
}

impl Runs {
    /// What nodes do, and what is done to them.
    fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Claim(number) => {
                let request = Request::Claim(world.next_token);
                world.begin(number, request);
            }
            Action::Take(number) => {
                let request = Request::Take(world.next_token);
                world.begin(number, request);
            }
            Action::Repeat(number) => {
                let node = &mut world.nodes[number];
                node.request = match node.step {
                    Step::Claims(request) => Some(request),
                    Step::Starts(attempt) => Some(Request::Start(attempt)),
                    Step::Finishes(attempt, how) => Some(Request::Finish(attempt, how)),
                    Step::Idle | Step::Runs(_) | Step::Dead => None,
                };
            }
            Action::Hear(number) => {
                let node = world.nodes[number];
                let is_too_old = node.has_lapsed && !self.has(Bug::OldAnswersAreBelieved);
                world.hear(number, node.lease == 0 || is_too_old);
            }
            Action::Lose(number) => {
                world.left[LOSSES] -= 1;
                world.nodes[number].request = None;
                world.nodes[number].reply = None;
            }
            Action::End(number) => {
                let node = &mut world.nodes[number];
                if let Step::Runs(attempt) = node.step {
                    world.ended |= 1 << attempt.number;
                    node.finish(attempt, How::Done);
                }
            }
            Action::Beat(number) => {
                // What was not taken from it meanwhile it keeps.
                world.nodes[number].lease = self.lease;
            }
            Action::Crash(number) => {
                world.left[CRASHES] -= 1;
                world.nodes[number].step = Step::Dead;
                world.nodes[number].reply = None;
            }
            Action::Forget => {
                world.left[FORGETS] -= 1;
                world.record = None;
            }
            Action::Serve(_) | Action::Recover(_) | Action::Tick => {}
        }
    }
}

fn is_in(world: &World, state: State) -> bool {
    world.record.is_some_and(|record| record.state == state)
}

impl World {
    fn has_in_hand(&self, number: usize) -> bool {
        self.record.is_some_and(|record| {
            record.node == number && matches!(record.state, State::Claimed | State::Running)
        })
    }

    fn begin(&mut self, number: usize, request: Request) {
        self.next_token += 1;
        let node = &mut self.nodes[number];
        node.has_lapsed = false;
        node.step = Step::Claims(request);
        node.request = Some(request);
    }

    /// An answer arrives, and whether it is too old to begin anything on.
    fn hear(&mut self, number: usize, is_too_old: bool) {
        let node = &mut self.nodes[number];
        match (node.step, node.reply.take()) {
            // Whether it is still in hand will be asked now, so this answer may be old.
            (Step::Claims(_), Some(Reply::Won(attempt, false))) if node.lease > 0 => {
                node.has_lapsed = false;
                node.step = Step::Starts(attempt);
                node.request = Some(Request::Start(attempt));
            }
            (Step::Claims(_), Some(Reply::Won(attempt, is_begun))) if is_too_old || !is_begun => {
                node.finish(attempt, How::NotBegun);
            }
            (Step::Starts(attempt), Some(Reply::Begins)) if is_too_old => {
                node.finish(attempt, How::NotBegun);
            }
            (Step::Claims(_), Some(Reply::Won(attempt, _)))
            | (Step::Starts(attempt), Some(Reply::Begins)) => {
                node.step = Step::Runs(attempt);
                self.started += 1;
            }
            (_, Some(_)) => node.step = Step::Idle,
            (_, None) => {}
        }
    }
}

impl Node {
    fn finish(&mut self, attempt: Attempt, how: How) {
        self.step = Step::Finishes(attempt, how);
        self.request = Some(Request::Finish(attempt, how));
    }
}
