//! Which calls go together, and when.
//!
//! A call that finds next to nothing under way leaves at once, alone. Others go together with
//! whatever else is ready at that moment, and wait only while three flights are under way: for one
//! of them, for a millisecond, or until they fill a flight, whichever is first. A flight takes no
//! more than a third of all that are under way, so that three can take turns. What the calls mean
//! is not known here; in which order they stand, the script of the batch says.
//!
//! ```text
//!       hardly anything under way
//!   call ─────────────────────→ alone ──────────────────────────→ answered
//!     │                           ↑ no connection, or the batch was refused
//!     └──────────→ waiting ───────┴───→ in flight ──────────────→ answered
//!                    ↑ │ its caller is gone │
//!                    │ ↓                    │ no time for it, or the script is missing
//!                    └──────────────────────┘
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use redis::Value;
use tenure_core::StoreError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::batch::{MOST, MOST_BYTES, Member};
use super::busy::Together;
use super::direct::Direct;
use super::flight::{Flight, Passenger, Timer, Told};
use super::{Call, Sent, send_shared};
use crate::error::too_late;
use crate::lease::{Step, Wording};

/// How many flights may be under way before others wait for one of them: one for the server to work
/// on, one that lies before it, so that it need not wait, and one that this process works on.
const FLIGHTS: usize = 3;
/// How many may be if those that wait would fill another: it has nothing to wait for, and so many
/// keep the server from others for less than a millisecond.
const FULL_FLIGHTS: usize = 4;
/// How many calls may be under way alone while no flight is: that few gain less from company than
/// they lose by gathering.
const FEW: usize = 4;
/// A flight of so many is not divided further.
const LEAST: usize = 8;

/// Where calls of a batch meet.
pub(super) struct Joint {
    pub(super) wording: Arc<Wording>,
    pub(super) direct: Arc<Direct>,
    /// Flights belong to the runtime that has the connection, not to whoever happens to call.
    home: Handle,
    /// Held from when calls are taken until they are sent. Whoever has taken it in between can be
    /// sure that what it was told to come behind has left.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The calls of the first member, and those of the second.
    waiting: [VecDeque<Passenger>; 2],
    /// How many calls are under way by themselves.
    alone: usize,
    /// How many flights are under way or about to be, those that are slow not counted.
    flying: usize,
    /// How many calls are in those flights.
    aboard: usize,
    /// How flights wait for their replies.
    pub(super) together: Option<Together>,
    /// The server does not have the script of the batch.
    pub(super) brings_script: bool,
    /// On this connection nothing goes together: the server refused that.
    pub(super) refused_by: Option<u64>,
}

impl Joint {
    /// For steps that are written so, on the connection of `direct`. Must be called inside a
    /// runtime.
    pub(super) fn new(wording: Arc<Wording>, direct: Arc<Direct>) -> Arc<Self> {
        let busy = direct.busy.is_on();
        Arc::new(Self {
            wording,
            direct,
            home: Handle::current(),
            turn: Mutex::default(),
            state: Mutex::new(State {
                together: busy.then(Together::default),
                ..State::default()
            }),
        })
    }

    /// Sends a step once, in one go with others if there are any. If it was not answered, the call
    /// that it makes alone comes back.
    ///
    /// Dropped before the step was sent, it takes it out.
    pub(super) async fn send(
        self: &Arc<Self>,
        step: Step,
        deadline: Instant,
    ) -> Result<Result<Value, Box<(Sent, Call)>>, StoreError> {
        let (step, _alone) = match self.enter(step, deadline) {
            Entered::Alone(step, alone) => (step, Some(alone)),
            Entered::Waits(answer, doing) => match answer.await {
                Ok(Told::Answer(value)) => return Ok(Ok(value)),
                Ok(Told::Failed(failed)) => {
                    let (sent, step) = *failed;
                    return Ok(Err(Box::new((sent, self.wording.call(&step)))));
                }
                Ok(Told::Alone(step)) => (step, None),
                // The runtime of the connection has shut down.
                Err(_) => return Err(too_late(doing, &self.direct.place())),
            },
        };
        // On the heap, because most of this future is the driver's, and who waits does not need it.
        Ok(Box::pin(self.send_alone(step, deadline)).await)
    }

    async fn send_alone(&self, step: Step, deadline: Instant) -> Result<Value, Box<(Sent, Call)>> {
        let call = self.wording.call(&step);
        match send_shared(&self.direct, &call, deadline).await {
            Sent::Answer(value) => {
                self.wording.prove();
                Ok(value)
            }
            sent => Err(Box::new((sent, call))),
        }
    }

    fn enter(self: &Arc<Self>, step: Step, deadline: Instant) -> Entered<'_> {
        let mut state = self.state();
        if state.has_room_alone() {
            state.alone += 1;
            return Entered::Alone(step, Alone(self));
        }
        let doing = step.doing();
        let (answer, told) = oneshot::channel();
        state.queue(step.member()).push_back(Passenger {
            step,
            deadline,
            answer,
        });
        let begins = state.has_room_to_fly();
        state.flying += usize::from(begins);
        drop(state);
        if begins {
            self.begin();
        }
        Entered::Waits(told, doing)
    }

    /// Returns when everything has left that was taken to be sent.
    pub(super) fn await_turn(&self) {
        drop(self.turn());
    }

    /// Begins a flight, which is counted already. It ends with its requests, and those have
    /// deadlines.
    fn begin(self: &Arc<Self>) {
        let seat = Seat {
            joint: self.clone(),
            is_counted: true,
            aboard: 0,
            timer: Timer::default(),
            looks: false,
        };
        drop(self.home.spawn(seat.fly()));
    }

    /// Takes who waits, and sends it.
    fn depart(&self, seat: &mut Seat, cx: &mut Context<'_>) -> Departure {
        let _turn = self.turn();
        let (passengers, brings_script, refused_by) = {
            let mut state = self.state();
            if !seat.is_taken(&mut state) {
                return Departure::Nobody;
            }
            if state.flying > FLIGHTS && !state.has_full_flight() {
                // Others are under way, and take along whoever waits.
                seat.leave(&mut state);
                return Departure::Nobody;
            }
            let taken = state.take(&self.wording);
            let count = taken.iter().map(Vec::len).sum::<usize>();
            if count == 0 {
                seat.leave(&mut state);
                return Departure::Nobody;
            }
            seat.board(&mut state, count);
            seat.looks = count < MOST && state.together.as_mut().is_some_and(Together::looks);
            let brings_script = count > 1 && std::mem::take(&mut state.brings_script);
            let begins = !state.is_empty() && state.has_room_to_fly();
            state.flying += usize::from(begins);
            let refused_by = state.refused_by;
            drop(state);
            if begins {
                seat.joint.begin();
            }
            (taken, brings_script, refused_by)
        };
        let wire = self.direct.wire_now();
        let Some(wire) = wire.filter(|wire| Some(wire.number()) != refused_by) else {
            passengers.into_iter().flatten().for_each(Passenger::alone);
            return Departure::Grounded;
        };
        Departure::Flight(Flight::sent(
            &self.wording,
            passengers,
            brings_script,
            wire,
            cx,
        ))
    }

    /// Puts back who has to come along once more.
    pub(super) fn put_back(&self, passengers: Vec<Passenger>) {
        let mut state = self.state();
        for passenger in passengers.into_iter().rev() {
            state.queue(passenger.step.member()).push_front(passenger);
        }
    }

    /// A panic elsewhere leaves the lists whole.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entered<'a> {
    Alone(Step, Alone<'a>),
    Waits(oneshot::Receiver<Told>, &'static str),
}

/// A call that is under way by itself.
struct Alone<'a>(&'a Joint);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

impl State {
    fn has_room_alone(&self) -> bool {
        self.alone < FEW && self.flying == 0 && self.is_empty()
    }

    fn has_room_to_fly(&self) -> bool {
        self.flying < FLIGHTS || self.flying < FULL_FLIGHTS && self.has_full_flight()
    }

    fn has_full_flight(&self) -> bool {
        self.waiting.iter().map(VecDeque::len).sum::<usize>() >= MOST
    }

    fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    fn queue(&mut self, member: Member) -> &mut VecDeque<Passenger> {
        let [first, second] = &mut self.waiting;
        match member {
            Member::First => first,
            Member::Second => second,
        }
    }

    /// How many of those that wait go in the next flight: no more than a third of all that are
    /// under way. Otherwise flights that meet would join and stay together, and the server and this
    /// process would wait for each other in turn.
    fn share(&self) -> usize {
        self.share_of(self.waiting.iter().map(VecDeque::len).sum())
    }

    fn share_of(&self, waiting: usize) -> usize {
        (self.aboard + waiting).div_ceil(FLIGHTS).clamp(LEAST, MOST)
    }

    /// As many as go in one flight, in the order of the members. Whose caller is gone, goes too.
    fn take(&mut self, wording: &Wording) -> [Vec<Passenger>; 2] {
        let (mut places, mut bytes) = (self.share(), 0);
        self.waiting.each_mut().map(|queue| {
            let mut taken = Vec::with_capacity(queue.len().min(places));
            while places > 0 && bytes < MOST_BYTES {
                let Some(passenger) = queue.pop_front() else {
                    break;
                };
                if !passenger.answer.is_closed() {
                    bytes += wording.size(&passenger.step);
                    places -= 1;
                    taken.push(passenger);
                }
            }
            taken
        })
    }
}

enum Departure {
    Nobody,
    /// There is no connection for a batch; who waited goes alone.
    Grounded,
    Flight(Flight),
}

/// The right to take off, counted in [`State::flying`].
pub(super) struct Seat {
    pub(super) joint: Arc<Joint>,
    is_counted: bool,
    /// How many calls of this flight are counted in [`State::aboard`].
    aboard: usize,
    pub(super) timer: Timer,
    /// Whether this flight goes on looking for its answer: see [`super::busy`].
    pub(super) looks: bool,
}

impl Seat {
    async fn fly(mut self) {
        let joint = self.joint.clone();
        loop {
            // Whoever can go on at this moment comes along.
            tokio::task::yield_now().await;
            let departure = poll_fn(|cx| Poll::Ready(joint.depart(&mut self, cx))).await;
            match departure {
                Departure::Nobody => return,
                Departure::Grounded => {}
                Departure::Flight(flight) => flight.land(&mut self).await,
            }
            self.disembark(&mut joint.state());
        }
    }

    /// Takes the seat again if it was given up.
    fn is_taken(&mut self, state: &mut State) -> bool {
        if !self.is_counted && state.flying < FLIGHTS {
            state.flying += 1;
            self.is_counted = true;
        }
        self.is_counted
    }

    fn board(&mut self, state: &mut State, count: usize) {
        self.aboard = count;
        state.aboard += count;
    }

    fn disembark(&mut self, state: &mut State) {
        state.aboard -= std::mem::take(&mut self.aboard);
        self.stop_looking(state, None);
    }

    /// This flight has met its reply or not; or it has not looked, which tells nothing.
    pub(super) fn stop_looking(&mut self, state: &mut State, found: Option<bool>) {
        if std::mem::take(&mut self.looks)
            && let Some(together) = &mut state.together
        {
            together.record(found);
        }
    }

    fn leave(&mut self, state: &mut State) {
        self.disembark(state);
        if std::mem::replace(&mut self.is_counted, false) {
            state.flying -= 1;
        }
    }

    /// Lets others go before this flight has landed.
    pub(super) fn give_up(&mut self) {
        let joint = self.joint.clone();
        let mut state = joint.state();
        self.disembark(&mut state);
        if state.is_empty() {
            self.leave(&mut state);
        } else if std::mem::replace(&mut self.is_counted, false) {
            // Whoever takes the seat is counted instead.
            drop(state);
            joint.begin();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let joint = self.joint.clone();
        let waiting = {
            let mut state = joint.state();
            if !self.is_counted {
                self.disembark(&mut state);
                return;
            }
            // The runtime shuts down. Who waits has nobody to wait for.
            self.leave(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().flatten().for_each(Passenger::alone);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_core::{Key, Token};

    use super::super::from_now;
    use super::super::pool::Deaf;
    use super::*;
    use crate::options::RedisOptions;

    fn share(aboard: usize, waiting: usize) -> usize {
        let state = State {
            aboard,
            ..State::default()
        };
        state.share_of(waiting)
    }

    #[test]
    fn r39_a_flight_takes_no_more_than_its_part_of_all_calls_so_that_three_take_turns() {
        assert_eq!(share(0, 64), 22);
        assert_eq!(share(22, 42), 22);
        assert_eq!(share(44, 20), 22);
        // Flights that met come apart again.
        assert_eq!(share(60, 4), 22);
        assert_eq!(share(0, 10), LEAST, "few stay together");
        assert_eq!(share(128, 896), MOST, "and many fill their flights");
    }
    #[tokio::test]
    async fn r39_who_cannot_board_for_want_of_a_connection_is_not_counted_aboard() {
        let mut options = RedisOptions::from_url("redis://127.0.0.1:1").unwrap();
        // So that nobody waits for the connection, which nobody accepts.
        options.is_vote = true;
        let direct = Direct::connect(&options, Arc::new(Deaf), Vec::new());
        let wording = Arc::new(Wording::new(&options, String::new()));
        let joint = Joint::new(wording, direct.await.unwrap());
        let key = Key::new("k").unwrap();
        let sends = (0..8 * MOST).map(|_| {
            let (joint, step) = (joint.clone(), Step::release(&key, Token::random()));
            let until = from_now(Duration::from_millis(20));
            tokio::spawn(async move { joint.send(step, until).await })
        });
        for sent in sends.collect::<Vec<_>>() {
            assert!(!matches!(sent.await.unwrap(), Ok(Ok(_))));
        }
        while joint.state().flying > 0 {
            tokio::task::yield_now().await;
        }
        let state = joint.state();
        assert_eq!((state.alone, state.aboard), (0, 0));
        assert!(state.is_empty());
    }
}
