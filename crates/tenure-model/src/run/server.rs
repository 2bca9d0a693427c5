//! The server's side of a run: what the scripts do to its record.

use super::{Attempt, Bug, How, Record, Reply, Request, Runs, State, World};

impl Runs {
    /// The server's steps.
    pub(super) fn serve(&self, world: &mut World, number: usize, request: Request) -> Reply {
        let is_alive = world.nodes[number].lease > 0;
        match (request, world.record) {
            (Request::Claim(token), None) if is_alive && world.age <= self.window => {
                self.make(world, number, token)
            }
            (Request::Claim(token), Some(_)) if self.bug == Some(Bug::ClaimOverwrites) => {
                self.make(world, number, token)
            }
            // Asked again: perhaps its own.
            (Request::Claim(token) | Request::Take(token), Some(record))
                if record.token == Some(token) =>
            {
                let attempt = Attempt {
                    number: record.attempt,
                    token,
                };
                match record.state {
                    State::Claimed => Reply::Won(attempt, false),
                    State::Running => Reply::Won(attempt, true),
                    State::Waiting | State::Done | State::Lost => Reply::No,
                }
            }
            (Request::Take(token), Some(record)) if record.state == State::Waiting && is_alive => {
                let attempt = record.attempt + 1;
                self.give(world, number, token, attempt)
            }
            (Request::Start(attempt), Some(record)) => {
                let is_in_hand = record.attempt == attempt.number
                    && record.token == Some(attempt.token)
                    && matches!(record.state, State::Claimed | State::Running);
                if !is_in_hand && self.bug != Some(Bug::StartDoesNotCompare) {
                    return Reply::No;
                }
                let state = State::Running;
                world.record = Some(Record { state, ..record });
                Reply::Begins
            }
            (Request::Finish(attempt, how), Some(record)) => {
                let is_in_hand = record.attempt == attempt.number
                    && record.token == Some(attempt.token)
                    && matches!(record.state, State::Claimed | State::Running);
                if is_in_hand || self.has(Bug::FinishDoesNotCompare) {
                    let state = match how {
                        How::Done => State::Done,
                        How::NotBegun => State::Waiting,
                        How::Stopped if self.may_retry(record) => State::Waiting,
                        How::Stopped => State::Lost,
                    };
                    world.record = Some(Record { state, ..record });
                }
                Reply::Ended
            }
            (Request::Finish(..), None) => Reply::Ended,
            _ => Reply::No,
        }
    }

    fn make(&self, world: &mut World, number: usize, token: u8) -> Reply {
        self.give(world, number, token, 1)
    }

    fn give(&self, world: &mut World, node: usize, token: u8, attempt: u8) -> Reply {
        let state = if self.begins_with_claim {
            State::Running
        } else {
            State::Claimed
        };
        world.record = Some(Record {
            state,
            attempt,
            node,
            token: Some(token),
        });
        let attempt = Attempt {
            number: attempt,
            token,
        };
        Reply::Won(attempt, self.begins_with_claim)
    }

    /// Takes from a node that is gone what it has in hand.
    pub(super) fn recover(&self, world: &mut World, number: usize) {
        let Some(record) = &mut world.record else {
            return;
        };
        if record.node != number {
            return;
        }
        let may_retry = self.may_retry(*record);
        record.state = match record.state {
            // What was claimed and did not begin provably never ran.
            State::Claimed => State::Waiting,
            State::Running if may_retry => State::Waiting,
            State::Running => State::Lost,
            over => over,
        };
        // By its token a late end would be taken for the attempt's own.
        record.token = None;
    }

    fn may_retry(&self, record: Record) -> bool {
        record.attempt < self.most_attempts || self.has(Bug::LostIsTriedAgain)
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
