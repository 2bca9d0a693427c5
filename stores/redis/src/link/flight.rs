//! Calls that left together: their one answer, and what becomes of each.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use redis::{ErrorKind, RedisError, Value};
use tenure_core::StoreErrorKind;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::batch::{Answers, Member};
use super::direct::Wire;
use super::joint::{Joint, Seat};
use super::{Sent, from_now};
use crate::error::{Meaning, meaning};
use crate::lease::{Step, Wording};

/// After so long a flight keeps nobody waiting any more: the way is long, and not the work.
const SLOW: Duration = Duration::from_millis(1);

/// Who waits for the answer to a call.
pub(super) struct Passenger {
    pub(super) step: Step,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Told>,
}

/// What becomes of a call that waited.
pub(super) enum Told {
    Answer(Value),
    /// It had no answer, or an error. On the heap, because it is large and rare.
    Failed(Box<(Sent, Step)>),
    /// It has not been sent, and goes by itself.
    Alone(Step),
}

impl Passenger {
    fn member(&self) -> Member {
        self.step.member()
    }

    fn tell(self, sent: Sent) {
        let told = match sent {
            Sent::Answer(value) => Told::Answer(value),
            sent => Told::Failed(Box::new((sent, self.step))),
        };
        // Who is gone needs no answer.
        let _ = self.answer.send(told);
    }

    pub(super) fn alone(self) {
        let _ = self.answer.send(Told::Alone(self.step));
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Value, RedisError>> + Send>>;

/// Calls that left together.
pub(super) struct Flight {
    /// As they stand in the request; those that gave up are gone.
    passengers: Vec<Option<Passenger>>,
    wire: Wire,
    answering: Answering,
    /// What the first look found already.
    answered: Option<Result<Value, RedisError>>,
}

impl Flight {
    /// Hands the request to the connection before it returns.
    pub(super) fn sent(
        wording: &Wording,
        passengers: [Vec<Passenger>; 2],
        brings_script: bool,
        wire: Wire,
        cx: &mut Context<'_>,
    ) -> Self {
        let [first, second] = passengers;
        let cmd = match (first.as_slice(), second.as_slice()) {
            ([only], []) | ([], [only]) => wording.call(&only.step).into_cmd(),
            (first, second) => wording.request(&steps(first), &steps(second), brings_script),
        };
        let mut connection = wire.connection.clone();
        let sending = async move { connection.send_packed_command(&cmd).await };
        // The driver takes a request when it is first asked for the answer, unless the runtime's
        // budget for this task is used up.
        let mut answering: Answering = Box::pin(tokio::task::unconstrained(sending));
        let answered = match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        Self {
            passengers: first.into_iter().chain(second).map(Some).collect(),
            wire,
            answering,
            answered,
        }
    }

    /// Waits for the answer and tells everybody theirs. Each waits until its own deadline.
    pub(super) async fn land(mut self, seat: &mut Seat) {
        if let Some(answer) = self.answered.take() {
            return self.landed(&seat.joint, answer);
        }
        if seat.looks {
            let answering = self.answering.as_mut();
            let found = seat.joint.direct.busy.look(answering).await;
            let joint = seat.joint.clone();
            seat.stop_looking(&mut joint.state(), Some(found.is_some()));
            if let Some(answer) = found {
                return self.landed(&seat.joint, answer);
            }
        }
        let slow = from_now(SLOW);
        let mut look = self.next_deadline().map_or(slow, |at| at.min(slow));
        loop {
            tokio::select! {
                biased;
                answer = &mut self.answering => return self.landed(&seat.joint, answer),
                () = seat.timer.until(look) => {}
            }
            seat.give_up();
            let now = from_now(Duration::ZERO);
            if self.expire(now) {
                // A late reply belongs to nobody; the connection may be half open.
                seat.joint.direct.retire(&self.wire);
            }
            match self.next_deadline() {
                Some(at) => look = at,
                None => return,
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let left = self.passengers.iter().flatten();
        left.map(|passenger| passenger.deadline).min()
    }

    /// Tells those whose time is over. True if there were any.
    fn expire(&mut self, now: Instant) -> bool {
        let mut is_any = false;
        for seat in &mut self.passengers {
            if let Some(passenger) = seat.take_if(|one| one.deadline <= now) {
                is_any = true;
                passenger.tell(Sent::TooLate(self.wire.at.clone()));
            }
        }
        is_any
    }

    fn landed(self, joint: &Arc<Joint>, answer: Result<Value, RedisError>) {
        let Self {
            passengers, wire, ..
        } = self;
        let answer = answer.and_then(Value::extract_error);
        let count = passengers.len();
        match answer {
            Ok(value) if count > 1 => {
                if let Some(answers) = Answers::read(value, count) {
                    if answers.is_refused {
                        joint.refuse(&wire);
                    }
                    joint.tell_each(passengers, answers, &wire);
                } else {
                    joint.refuse(&wire);
                    tell_all(passengers, &wire, &no_such_answer());
                }
            }
            Err(error) if count > 1 => joint.failed(passengers, &wire, &error),
            answer => {
                for passenger in passengers.into_iter().flatten() {
                    passenger.tell(joint.outcome(answer.clone(), &wire));
                }
            }
        }
    }
}

/// The timer of a seat. It is set once a millisecond and not for every flight: to set one often
/// wakes the thread that waits for the next, and hardly any flight takes so long.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until `look`.
    async fn until(&mut self, look: Instant) {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(look)));
        if timer.deadline() > look {
            timer.as_mut().reset(look);
        }
        loop {
            timer.as_mut().await;
            if timer.deadline() >= look {
                return;
            }
            // It was set for an earlier flight.
            timer.as_mut().reset(look);
        }
    }
}

impl Joint {
    /// From now on everybody goes alone on this connection.
    fn refuse(&self, wire: &Wire) {
        tracing::debug!(server = %wire.at, "locks are not taken and given back in batches");
        self.state().refused_by = Some(wire.number());
    }

    fn tell_each(&self, passengers: Vec<Option<Passenger>>, mut answers: Answers, wire: &Wire) {
        let mut again = Vec::new();
        for (at, passenger) in passengers.into_iter().enumerate() {
            let member = passenger.as_ref().map_or(Member::First, Passenger::member);
            match (passenger, answers.next(at, member)) {
                (Some(passenger), Some(Value::Nil)) => again.push(passenger),
                (Some(passenger), Some(value)) => {
                    passenger.tell(self.outcome(value.extract_error(), wire));
                }
                (Some(passenger), None) => {
                    passenger.tell(self.outcome(Err(no_such_answer()), wire));
                }
                (None, _) => {}
            }
        }
        if !again.is_empty() {
            self.put_back(again);
        }
    }

    /// What to do about a batch of which nothing came about, or nobody knows what did.
    fn failed(&self, passengers: Vec<Option<Passenger>>, wire: &Wire, error: &RedisError) {
        match meaning(error) {
            Meaning::NoScript => {
                self.state().brings_script = true;
                self.put_back(passengers.into_iter().flatten().collect());
            }
            Meaning::Elsewhere | Meaning::Unknown => {
                self.direct.retire(wire);
                tell_all(passengers, wire, error);
            }
            // It may be the fault of one, such as a key that we have no right to.
            Meaning::Refused(kind) => {
                let is_for_good = matches!(
                    kind,
                    StoreErrorKind::Unsupported
                        | StoreErrorKind::Misconfigured
                        | StoreErrorKind::Protocol
                );
                if is_for_good {
                    self.refuse(wire);
                }
                let left = passengers.into_iter().flatten();
                left.for_each(Passenger::alone);
            }
        }
    }

    /// One call's answer, as it would be told of one that went alone.
    fn outcome(&self, answer: Result<Value, RedisError>, wire: &Wire) -> Sent {
        match answer {
            Ok(value) => Sent::Answer(value),
            Err(error) => {
                if matches!(meaning(&error), Meaning::Elsewhere | Meaning::Unknown) {
                    self.direct.retire(wire);
                }
                Sent::Failed(error, wire.at.clone())
            }
        }
    }
}

fn steps(passengers: &[Passenger]) -> impl ExactSizeIterator<Item = &Step> + Clone {
    passengers.iter().map(|passenger| &passenger.step)
}

fn no_such_answer() -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "an answer that no batch has",
    ))
}

fn tell_all(passengers: Vec<Option<Passenger>>, wire: &Wire, error: &RedisError) {
    for passenger in passengers.into_iter().flatten() {
        passenger.tell(Sent::Failed(error.clone(), wire.at.clone()));
    }
}
