//! Putting back what a node remembers of runs that the server forgot: it restarted or failed over
//! without its last writes.

use redis::Value;
use tenure_core::{Remembered, Restore, Restored, RunState, StoreError, StoreErrorKind, Token};

use super::name::{RunName, hex, score};
use super::node::read_moment;
use super::row::{crash_of, write_reason};
use super::rule::rule_of;
use super::state::letter_of;
use super::{BASE, RECORD, millis};
use crate::link::{Call, Script};
use crate::reply::Reply;
use crate::store::RedisStore;

static RESTORE: Script = Script::new(
    "restore runs",
    &[BASE, RECORD, include_str!("../scripts/run_restore.lua")],
);

impl RedisStore {
    pub(super) async fn restore_runs(&self, restore: &Restore) -> Result<Restored, StoreError> {
        let names = self.run_names();
        let mut call = self.run_call(&RESTORE, 3 * restore.runs.len());
        for run in &restore.runs {
            call.push(names.bucket(run.key.tick));
            call.push(names.outputs(run.key.tick));
            call.push(names.history(&run.key.task));
        }
        call.push(restore.node.to_string());
        call.push(
            restore
                .noticed
                .map_or(String::new(), |known| known.to_string()),
        );
        call.push(Token::random().to_string());
        call.push(millis(restore.patience));
        self.push_hint(&mut call);
        for run in &restore.runs {
            push_run(&mut call, run)?;
        }
        let answer = self.send(call).await?;
        let is_unknown = matches!(&answer, Value::Array(parts) if parts.len() == 1);
        if is_unknown {
            let message = format!(
                "node {} cannot restore runs before its first beat",
                restore.node
            );
            return Err(StoreError::new(StoreErrorKind::InvalidRequest, message));
        }
        let mut reply = Reply::new(RESTORE.doing, answer)?;
        let moment = read_moment(&mut reply)?;
        let is_first = reply.number::<u8>()? == 1;
        let put_back: Vec<bool> = reply.rest().map(|answer| answer == Value::Int(1)).collect();
        Ok(Restored::new(moment, is_first, put_back))
    }
}

fn push_run(call: &mut Call, run: &Remembered) -> Result<(), StoreError> {
    let name = RunName::new(&run.key)?;
    let state = |state: RunState| letter_of(state).map(|letter| letter.to_string());
    call.push(name.tick);
    call.push(score(run.key.tick));
    call.push(name.field);
    call.push(name.place);
    call.push(name.slot);
    call.push(name.mark);
    call.push(if run.is_own() { "1" } else { "0" });
    call.push(state(run.state)?);
    call.push(state(run.state_without_node())?);
    call.push(run.attempt);
    call.push(run.claimed_at.as_millis());
    call.push(
        run.fence
            .map_or("*".to_owned(), |fence| fence.get().to_string()),
    );
    call.push(run.token.map_or("*".to_owned(), hex));
    let generation = run.generation.as_ref();
    call.push(generation.map_or("*", tenure_core::Generation::as_str));
    call.push(crash_of(run.on_crash)?);
    call.push(rule_of(run.overlap, run.max_running)?);
    call.push(millis(run.keep_for));
    call.push(write_reason(run.reason.as_deref()));
    call.push(
        run.node
            .as_ref()
            .map_or(String::new(), |node| node.id.to_string()),
    );
    call.push(write_reason(run.asked.as_deref()));
    Ok(())
}
