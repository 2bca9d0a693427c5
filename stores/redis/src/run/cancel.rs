//! Asking runs to stop.

use tenure_core::{Cancel, Cancelling, HolderId, Note, RunState, StoreError, Token};

use super::control::Words;
use super::feed::write_note;
use super::name::{RunName, read_mark, read_slot};
use super::row::{not_ours, report, write_reason};
use super::state::state_of;
use super::{BASE, RECORD};
use crate::link::Script;
use crate::reply::{Reply, text_of, unexpected};
use crate::store::RedisStore;

static CANCEL: Script = Script::new(
    "ask a run to stop",
    &[BASE, RECORD, include_str!("../scripts/run_cancel.lua")],
);
static CANCELS: Script = Script::new(
    "look for runs that are asked to stop",
    &[BASE, include_str!("../scripts/run_cancels.lua")],
);

impl RedisStore {
    pub(super) async fn ask_to_stop(&self, cancel: &Cancel) -> Result<Cancelling, StoreError> {
        let key = &cancel.key;
        let (names, name) = (self.run_names(), RunName::new(key)?);
        let mut text = format!("{} asked to stop {key}", cancel.by);
        if !cancel.why.is_empty() {
            text.push_str(": ");
            text.push_str(&cancel.why);
        }
        let note = Note::new("cancel_requested", text).about(key.task.clone());
        let words = serde_json::json!({ "by": cancel.by, "why": cancel.why });
        let mut call = self
            .run_call(&CANCEL, 4)
            .arg(names.request(Token::random()))
            .arg(names.of("cancels"))
            .arg(names.bucket(key.tick))
            .arg(names.outputs(key.tick));
        self.push_hint(&mut call);
        call.push(name.tick);
        call.push(name.field);
        call.push(name.kind.to_string());
        call.push(name.slot);
        call.push(name.mark);
        call.push(words.to_string());
        call.push(write_reason(Some(&cancel.reason())));
        call.push(write_note(&note)?);
        let answer = text_of(CANCEL.doing, self.send(call).await?)?;
        match answer.as_str() {
            "a" => Ok(Cancelling::Asked),
            "c" => Ok(Cancelling::Cancelled),
            "u" => Ok(Cancelling::Unknown),
            "b" => Err(self.broken(key)),
            other => {
                let state: Option<RunState> = other.strip_prefix('o').and_then(state_of);
                let state = state.ok_or_else(|| unexpected(CANCEL.doing, "an unknown answer"))?;
                Ok(Cancelling::Over { state })
            }
        }
    }

    pub(super) async fn asked_to_stop(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError> {
        let call = self
            .run_call(&CANCELS, 1)
            .arg(self.run_names().of("cancels"))
            .arg(node.to_string());
        let mut rest = Reply::new(CANCELS.doing, self.send(call).await?)?.rest();
        let mut asked = Vec::new();
        while let (Some(slot), Some(mark), Some(words)) = (rest.next(), rest.next(), rest.next()) {
            let slot = text_of(CANCELS.doing, slot)?;
            let mark = text_of(CANCELS.doing, mark)?;
            let words = text_of(CANCELS.doing, words)?;
            let key = read_slot(&slot).and_then(|(task, index)| read_mark(&task, index, &mark));
            let read: Option<Words> = serde_json::from_str(&words).ok();
            match (key, read) {
                (Some(key), Some(words)) => asked.push(Cancel::new(key, words.by, words.why)),
                // The others must be heard all the same.
                _ => report(&not_ours(
                    "the request to stop",
                    &self.run_names().of("cancels"),
                    words.as_bytes(),
                )),
            }
        }
        Ok(asked)
    }
}
