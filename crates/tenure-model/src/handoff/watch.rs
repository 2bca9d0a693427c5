//! What must always hold, and what the checker notes to be able to say so.

use stateright::Property;

use super::client::{Client, Line, Request, Step};
use super::script::{Lease, Server};
use super::{Bug, HandOff, Network, Sight, Token, World, Wrong, owner};

/// L: no two guards are trusted at a time.
pub const ONE_HOLDER: &str = "at most one trusted holder";
/// A guard that is trusted has the lock in the server.
pub const TRUST_IS_TRUE: &str = "who trusts its guard has the lock";
/// F: each grant has a fence greater than all before, so it belongs to one acquisition.
pub const FENCES_GROW: &str = "fences strictly grow";
/// Nobody is granted the lock before a live waiter that came earlier.
pub const IN_ORDER: &str = "live waiters are served in order";
/// A waiter whose connection the server knows to be gone is not handed the lock.
pub const DEAD_ARE_SKIPPED: &str = "nobody known to be gone is handed the lock";
/// A lease lasts longer only because its own holder asked.
pub const ONLY_OWN_GROW: &str = "nobody lengthens another's lease";
/// A waiter stands in the queue once.
pub const ONE_PLACE: &str = "a waiter has one place";
/// An acquisition whose end was confirmed has neither the lock nor a place.
pub const GIVEN_BACK_IS_GONE: &str = "what was given back is gone";
/// A waiter that listens has a place, the lock, or a message on its way.
pub const NOBODY_FORGOTTEN: &str = "no live waiter is forgotten";
/// A grant that is pushed where nobody wants it is passed on before time passes.
pub const PASSED_ON: &str = "nobody keeps a grant that it does not want";
/// While a live waiter waits, the lock lies idle for a bounded time only.
pub const SHORT_WAITS: &str = "the lock lies idle for a bounded time";

pub(super) fn properties(model: &HandOff) -> Vec<Property<HandOff>> {
    let mut properties = vec![
        Property::always(ONE_HOLDER, |_, world: &World| {
            world.clients.iter().filter(|c| c.is_trusted()).count() <= 1
        }),
        Property::always(TRUST_IS_TRUE, |_, world: &World| {
            let mut trusted = world.clients.iter().filter(|c| c.is_trusted());
            trusted.all(|client| is_holder(world, client))
        }),
        Property::always(FENCES_GROW, |_, world| never(world, Wrong::FenceFell)),
        Property::always(IN_ORDER, |_, world| never(world, Wrong::OutOfTurn)),
        Property::always(DEAD_ARE_SKIPPED, |_, world| never(world, Wrong::ToTheDead)),
        Property::always(ONLY_OWN_GROW, |_, world| {
            never(world, Wrong::GrewForAnother)
        }),
        Property::always(ONE_PLACE, |_, world: &World| {
            let places = &world.server.queue;
            let twice = |at: usize| places[at + 1..].iter().any(|p| p.token == places[at].token);
            !(0..places.len()).any(twice)
        }),
        Property::always(GIVEN_BACK_IS_GONE, |_, world: &World| {
            let mut clients = world.clients.iter();
            clients.all(|client| keeps_nothing(world, client))
        }),
        Property::sometimes("every client has its turn", |_, world: &World| {
            let is_served = |c: &Client| c.step == Step::Done && c.given_back.is_some();
            world.clients.iter().all(is_served)
        }),
        Property::sometimes("a cancel passes a grant on", |_, world: &World| {
            world.seen.sight == Some(Sight::PassedOn)
        }),
    ];
    if model.crashes + model.breaks > 0 {
        let is_skipped = |_: &HandOff, world: &World| world.seen.sight == Some(Sight::Skipped);
        properties.push(Property::sometimes("a dead waiter is skipped", is_skipped));
    }
    if model.strays > 0 && model.clients > 2 && model.terms.bug != Some(Bug::NobodyPassesOn) {
        let is_passed = |_: &HandOff, world: &World| world.seen.sight == Some(Sight::Unwanted);
        let name = "a grant that nobody wants is passed on";
        properties.push(Property::sometimes(name, is_passed));
    }
    if model.network == Network::Prompt {
        properties.push(Property::always(NOBODY_FORGOTTEN, |_, world: &World| {
            let mut clients = world.clients.iter();
            clients.all(|client| is_expected(world, client))
        }));
        let is_short = |model: &HandOff, world: &World| world.seen.idle <= model.longest_idle;
        properties.push(Property::always(SHORT_WAITS, is_short));
        let is_passed_on = |_: &HandOff, world: &World| never(world, Wrong::Kept);
        properties.push(Property::always(PASSED_ON, is_passed_on));
    }
    properties
}

/// Notes whether a step granted the lock, and whether it should have.
pub(super) fn note(world: &mut World, before: &Server, request: Request) {
    let Some(lock) = world.server.lock else {
        return;
    };
    let is_same = |old: &Lease| old.token == lock.token && old.fence == lock.fence;
    if let Some(old) = before.lock.filter(is_same) {
        if lock.left > old.left && request.token() != lock.token {
            world.seen.wrongs.push(Wrong::GrewForAnother);
        }
        return;
    }
    if lock.fence <= world.seen.fence {
        world.seen.wrongs.push(Wrong::FenceFell);
    }
    world.seen.fence = world.seen.fence.max(lock.fence);
    let queue = &before.queue;
    let place = queue.iter().position(|place| place.token == lock.token);
    let ahead = &queue[..place.unwrap_or(queue.len())];
    let is_alive = |token: Token| {
        let client = &world.clients[owner(token)];
        client.token == token && client.is_waiting() && client.line == Line::Open
    };
    if ahead.iter().any(|p| p.left > 0 && is_alive(p.token)) {
        world.seen.wrongs.push(Wrong::OutOfTurn);
    } else if !ahead.is_empty() {
        world.seen.sight = Some(Sight::Skipped);
    } else if matches!(request, Request::Cancel(_)) {
        world.seen.sight = Some(Sight::PassedOn);
    } else if matches!(request, Request::PassOn(_)) {
        world.seen.sight = Some(Sight::Unwanted);
    }
    let is_handed = place.is_some() && request != Request::Acquire(lock.token);
    if is_handed && world.clients[owner(lock.token)].line == Line::Closed {
        world.seen.wrongs.push(Wrong::ToTheDead);
    }
}

fn never(world: &World, wrong: Wrong) -> bool {
    !world.seen.wrongs.contains(&wrong)
}

fn is_holder(world: &World, client: &Client) -> bool {
    let Step::Holding { fence, .. } = client.step else {
        return false;
    };
    let lock = world.server.lock;
    lock.is_some_and(|lock| lock.token == client.token && lock.fence == fence)
}

fn keeps_nothing(world: &World, client: &Client) -> bool {
    let Some(token) = client
        .given_back
        .filter(|token| world.seen.revived != Some(*token))
    else {
        return true;
    };
    let has_lock = world.server.lock.is_some_and(|lock| lock.token == token);
    let has_place = world.server.queue.iter().any(|place| place.token == token);
    !has_lock && !has_place
}

/// A waiter that hears nothing has reason to wait.
fn is_expected(world: &World, client: &Client) -> bool {
    let is_listening = matches!(client.step, Step::Waiting { timer, .. } if timer > 0)
        && client.line == Line::Open
        && client.is_quiet();
    let has_lock = world
        .server
        .lock
        .is_some_and(|lock| lock.token == client.token);
    let mut places = world.server.queue.iter();
    !is_listening || has_lock || places.any(|p| p.token == client.token && p.left > 0)
}
