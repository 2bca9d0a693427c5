//! Records made without a claim: ticks that are passed over, and runs that somebody asked for.

use redis::Value;
use tenure_core::{
    Enqueue, Enqueued, Pass, RunKey, RunKind, RunState, StoreError, StoreErrorKind, Token,
};

use super::name::{RunName, score};
use super::row::{crash_of, report, write_reason};
use super::rule::rule_of;
use super::state::{letter_of, state_of};
use super::{BASE, RECORD, millis};
use crate::link::{Call, Script};
use crate::reply::Reply;
use crate::store::RedisStore;

static PASS: Script = Script::new(
    "pass over ticks",
    &[BASE, RECORD, include_str!("../scripts/run_pass.lua")],
);
static ENQUEUE: Script = Script::new(
    "put runs into the store",
    &[BASE, RECORD, include_str!("../scripts/run_enqueue.lua")],
);

fn check_pass(pass: &Pass) -> Result<(), StoreError> {
    if matches!(pass.state, RunState::Skipped | RunState::Missed) {
        return Ok(());
    }
    let message = format!(
        "a tick can be passed over as skipped or missed, not as {}",
        pass.state
    );
    Err(StoreError::new(StoreErrorKind::InvalidRequest, message))
}

fn check_order(order: &Enqueue) -> Result<(), StoreError> {
    if matches!(order.key.kind, RunKind::Manual(_) | RunKind::Backfill(_)) {
        return Ok(());
    }
    let key = order.key.to_string();
    let message = format!(
        "{} is a scheduled run; only manual and backfill runs can be put into the store",
        key.escape_debug()
    );
    Err(StoreError::new(StoreErrorKind::InvalidRequest, message))
}

impl RedisStore {
    pub(super) async fn pass_ticks(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError> {
        passes.iter().try_for_each(check_pass)?;
        if passes.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.run_call(&PASS, 3 * passes.len());
        for pass in passes {
            self.push_places(&mut call, &pass.key);
        }
        for pass in passes {
            let name = RunName::new(&pass.key)?;
            call.push(name.tick);
            call.push(score(pass.key.tick));
            call.push(name.field);
            call.push(name.place);
            call.push(letter_of(pass.state)?.to_string());
            call.push(millis(pass.keep_for));
            // By it the record is known again if the request is sent twice.
            call.push(Token::random().to_string());
            call.push(write_reason(Some(&pass.reason)));
        }
        let reply = Reply::new(PASS.doing, self.send(call).await?)?;
        let answers: Vec<bool> = reply.rest().map(|answer| answer == Value::Int(1)).collect();
        Ok(answers)
    }

    pub(super) async fn enqueue_runs(
        &self,
        orders: &[Enqueue],
    ) -> Result<Vec<Enqueued>, StoreError> {
        orders.iter().try_for_each(check_order)?;
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.run_call(&ENQUEUE, 3 * orders.len());
        for order in orders {
            self.push_places(&mut call, &order.key);
        }
        self.push_hint(&mut call);
        for order in orders {
            let name = RunName::new(&order.key)?;
            call.push(name.tick);
            call.push(score(order.key.tick));
            call.push(name.field);
            call.push(name.place);
            // The scheduled run of the same tick and index is called as their slot is.
            call.push(if order.only_missing { &*name.slot } else { "" });
            call.push(millis(order.due_in));
            call.push(Token::random().to_string());
            call.push(crash_of(order.on_crash)?);
            call.push(rule_of(order.overlap, order.max_running)?);
            let asked = Some(order.reason.as_str()).filter(|asked| !asked.is_empty());
            call.push(write_reason(asked));
        }
        let mut reply = Reply::new(ENQUEUE.doing, self.send(call).await?)?;
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            let answer = reply.text()?;
            let (letter, state) = answer.split_at_checked(1).unwrap_or_default();
            answers.push(match (letter, state_of(state)) {
                ("w", _) => Enqueued::Waiting,
                ("x", Some(state)) => Enqueued::Exists { state },
                ("n", Some(state)) => Enqueued::NotMissing { state },
                ("x" | "n", None) => {
                    report(&self.broken(&order.key));
                    let state = RunState::Lost;
                    Enqueued::Exists { state }
                }
                _ => return Err(reply.unknown(&answer)),
            });
        }
        Ok(answers)
    }

    /// Adds the keys where a new record is entered.
    fn push_places(&self, call: &mut Call, key: &RunKey) {
        let names = self.run_names();
        call.push(names.bucket(key.tick));
        call.push(names.outputs(key.tick));
        call.push(names.history(&key.task));
    }
}
