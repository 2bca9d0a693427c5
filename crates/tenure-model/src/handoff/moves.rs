//! What can happen at a moment, and what it does to the world.
//!
//! The server's steps are [`script`]'s and the clients' are [`client`](super::client)'s; here are
//! the messages between them, the faults, and time.

use super::client::{Client, Line, Reply, Request, Step};
use super::{
    Action, BREAKS, Bug, CRASHES, HandOff, Mortal, Network, STRAYS, Ticks, Token, World, Wrong,
    owner, script, watch,
};

impl HandOff {
    pub(super) fn client_actions(
        &self,
        world: &World,
        number: usize,
        client: &Client,
        actions: &mut Vec<Action>,
    ) {
        if client.line == Line::Open || client.step == Step::Dead {
            // What a process sent before it died may still be served.
            if !client.requests.is_empty() {
                actions.push(Action::Serve(number));
            }
        }
        if matches!(client.step, Step::Dead | Step::Done) {
            return;
        }
        self.fault_actions(world, number, client, actions);
        if client.line != Line::Open {
            actions.push(Action::Reconnect(number));
            return;
        }
        if client.reply.is_some() {
            actions.push(Action::Hear(number));
        }
        let is_unanswered = client.requests.is_empty() && client.reply.is_none();
        match client.step {
            Step::Idle => {
                let others = &world.clients[..number];
                if others.iter().all(|other| other.rounds_left < self.rounds) {
                    actions.push(Action::Ask(number));
                }
            }
            Step::Asking { .. } => actions.push(Action::GiveUp(number)),
            Step::Waiting { timer, .. } => {
                if client.push.is_some() {
                    actions.push(Action::HearPush(number));
                } else if timer == 0 {
                    actions.push(Action::Ask(number));
                }
                actions.push(Action::GiveUp(number));
            }
            Step::Holding { trust: 0, .. } => {
                actions.push(Action::Release(number));
                actions.push(Action::Forget(number));
            }
            Step::Holding { renewing, .. } => {
                actions.push(Action::Release(number));
                if renewing.is_none() {
                    actions.push(Action::Renew(number));
                }
            }
            Step::Releasing | Step::Cancelling if is_unanswered => {
                actions.push(Action::Repeat(number));
            }
            Step::Releasing | Step::Cancelling | Step::Done | Step::Dead => {}
        }
    }

    fn fault_actions(
        &self,
        world: &World,
        number: usize,
        client: &Client,
        actions: &mut Vec<Action>,
    ) {
        if client.step == Step::Idle {
            return;
        }
        if world.left[BREAKS] > 0 && client.line == Line::Open {
            actions.push(Action::Break(number));
            actions.push(Action::Blackhole(number));
        }
        let may_die = match self.mortal {
            Mortal::Everybody => true,
            Mortal::Waiters => matches!(client.step, Step::Waiting { .. }),
        };
        if may_die && world.left[CRASHES] > 0 {
            actions.push(Action::Crash(number));
            actions.push(Action::PowerCut(number));
        }
        let is_waiting_for_the_server = !client.requests.is_empty();
        if world.left[STRAYS] > 0 && world.stray.is_none() && is_waiting_for_the_server {
            actions.push(Action::TimeOut(number));
        }
    }

    /// What clients and faults do. The server is not touched.
    pub(super) fn act(&self, world: &mut World, action: Action) {
        let bug = self.terms.bug;
        match action {
            Action::Ask(number) => {
                let client = &mut world.clients[number];
                if client.step == Step::Idle {
                    client.token += 10 * u8::from(client.rounds_left < self.rounds);
                    client.rounds_left -= 1;
                }
                client.ask();
            }
            Action::Hear(number) => {
                let client = &mut world.clients[number];
                if let Some(reply) = client.reply.take() {
                    client.hear(reply, self.terms);
                }
            }
            Action::HearPush(number) => {
                let client = &mut world.clients[number];
                if let Some(push) = client.push.take() {
                    client.hear_push(push, bug);
                }
            }
            Action::GiveUp(number) => world.clients[number].give_up(),
            Action::Renew(number) => world.clients[number].renew(),
            Action::Release(number) => world.clients[number].release(),
            Action::Forget(number) => world.clients[number].finish(),
            Action::Repeat(number) => {
                let client = &mut world.clients[number];
                let token = client.token;
                client.requests.push(match client.step {
                    Step::Releasing => Request::Release(token),
                    _ => Request::Cancel(token),
                });
            }
            Action::Break(number) => cut(world, number, Line::Closed),
            Action::Blackhole(number) => cut(world, number, Line::HalfOpen),
            Action::TimeOut(number) => {
                world.left[STRAYS] -= 1;
                let client = &mut world.clients[number];
                world.stray = Some(client.requests.remove(0));
                client.lose_messages();
            }
            Action::Reconnect(number) => {
                let client = &mut world.clients[number];
                client.line = Line::Open;
                client.lose_messages();
                // Whoever waits asks at once: it may have missed a push.
                if let Step::Waiting { timer, .. } = &mut client.step {
                    *timer = 0;
                }
            }
            Action::Crash(number) => die(world, number, Line::Closed),
            Action::PowerCut(number) => die(world, number, Line::HalfOpen),
            Action::Serve(_) | Action::ServeStray | Action::PassOn | Action::Tick => {}
        }
    }

    /// The server runs a client's next request; the answer goes to the one who waits for it.
    pub(super) fn serve(&self, world: &mut World, number: usize) {
        let request = world.clients[number].requests.remove(0);
        let age = match world.clients[number].step {
            Step::Asking { age, .. } => age,
            _ => 0,
        };
        let reply = self.run(world, request, age);
        let client = &mut world.clients[number];
        let is_awaited = matches!(
            (request, client.step),
            (Request::Acquire(_), Step::Asking { .. })
                | (Request::Renew(_), Step::Holding { .. })
                | (Request::Release(_), Step::Releasing)
                | (Request::Cancel(_), Step::Cancelling)
        );
        if is_awaited {
            client.reply = Some(reply);
        }
    }

    pub(super) fn serve_stray(&self, world: &mut World) {
        if let Some(request) = world.stray.take() {
            if let Request::Acquire(token) = request {
                let client = &world.clients[owner(token)];
                let is_past = client.token != token || !client.is_waiting();
                world.seen.revived = is_past.then_some(token);
            }
            self.run(world, request, 0);
        }
    }

    /// A process sends back what nobody in it wants.
    pub(super) fn pass_on(&self, world: &mut World) {
        let push = world.unwanted.remove(0);
        self.run(world, Request::PassOn(push), 0);
    }

    /// Runs one script, and notes what the checker wants to know of it.
    fn run(&self, world: &mut World, request: Request, age: Ticks) -> Reply {
        let before = world.server.clone();
        let clients = &world.clients;
        let is_heard = |token: Token| clients[owner(token)].line != Line::Closed;
        let mut step = script::Step {
            server: &mut world.server,
            terms: self.terms,
            is_heard: &is_heard,
            pushed: Vec::new(),
        };
        let reply = match request {
            Request::Acquire(token) => Reply::Acquired {
                what: step.acquire(token),
                anchor: age,
            },
            Request::Renew(token) => Reply::Renewed(step.renew(token)),
            Request::Release(token) => {
                step.release(token);
                Reply::GivenBack
            }
            Request::Cancel(token) => {
                step.cancel(token);
                Reply::GivenBack
            }
            Request::PassOn(push) => {
                step.pass_on(push);
                Reply::GivenBack
            }
        };
        let pushed = step.pushed;
        watch::note(world, &before, request);
        for push in pushed {
            let client = &mut world.clients[owner(push.token)];
            if client.line != Line::Open {
                continue;
            }
            if client.token == push.token && client.is_waiting() {
                client.push = Some(push);
                continue;
            }
            // Its process listens, and nobody in it for an acquisition that is over.
            world.seen.unwanted = Some(push.fence);
            if self.terms.bug != Some(Bug::NobodyPassesOn) {
                world.unwanted.push(push);
            }
        }
        reply
    }

    pub(super) fn tick(&self, world: &mut World) {
        let lock = world.server.lock;
        let is_kept = lock.is_some_and(|lock| world.seen.unwanted == Some(lock.fence));
        if self.network == Network::Prompt && is_kept {
            world.seen.wrongs.push(Wrong::Kept);
        }
        world.seen.unwanted = None;
        world.server.tick();
        for client in &mut world.clients {
            client.tick(self.terms.ttl);
        }
        for push in &mut world.unwanted {
            push.left = push.left.saturating_sub(1);
        }
        if self.network == Network::Prompt {
            let mut clients = world.clients.iter();
            let is_wanted = clients.any(|c| c.is_waiting() && c.line == Line::Open);
            let is_used = world.clients.iter().any(Client::is_trusted);
            world.seen.idle = if is_wanted && !is_used {
                (world.seen.idle + 1).min(self.longest_idle + 1)
            } else {
                0
            };
        }
    }
}

fn cut(world: &mut World, number: usize, line: Line) {
    world.left[BREAKS] -= 1;
    let client = &mut world.clients[number];
    client.line = line;
    client.lose_messages();
}

fn die(world: &mut World, number: usize, line: Line) {
    world.left[CRASHES] -= 1;
    let client = &mut world.clients[number];
    if client.line != Line::Closed {
        client.line = line;
    }
    client.step = Step::Dead;
    client.reply = None;
    client.push = None;
}

pub(super) fn is_over(client: &Client) -> bool {
    matches!(client.step, Step::Done | Step::Dead)
}

/// Whether somebody has something to do before time may pass.
pub(super) fn is_anything_due(world: &World) -> bool {
    let is_due = |client: &Client| {
        let has_messages = !client.is_quiet();
        match (client.step, client.line) {
            (Step::Dead, _) => !client.requests.is_empty(),
            (Step::Done, _) => false,
            // It notices when it wants something.
            (Step::Waiting { timer, .. }, Line::HalfOpen) => timer == 0,
            (Step::Waiting { timer, .. }, Line::Open) => timer == 0 || has_messages,
            (_, Line::Closed) | (Step::Releasing | Step::Cancelling | Step::Asking { .. }, _) => {
                true
            }
            (Step::Idle | Step::Holding { .. }, _) => has_messages,
        }
    };
    world.stray.is_some() || !world.unwanted.is_empty() || world.clients.iter().any(is_due)
}
