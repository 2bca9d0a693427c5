//! Nodes, and the tasks they can run.

use std::collections::HashSet;

use redis::Value;
use tenure_core::{
    Beat, Beaten, Definition, Generation, HolderId, NodeRecord, Registered, StoreError,
    StoreErrorKind, StoreMoment, TaskName, Token,
};

use super::control::read_pause;
use super::holder::{Details, read_node};
use super::name::read_place;
use super::row::not_ours;
use super::{BASE, TASK, millis};
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of, text_of};
use crate::store::RedisStore;

static NOW: Script = Script::new(
    "read the clock",
    &[BASE, include_str!("../scripts/run_now.lua")],
);
static BEAT: Script = Script::new("beat", &[BASE, include_str!("../scripts/run_beat.lua")]);
static LEAVE: Script = Script::new("leave", &[BASE, include_str!("../scripts/run_leave.lua")]);
static REGISTER: Script = Script::new(
    "register tasks",
    &[BASE, TASK, include_str!("../scripts/run_register.lua")],
);

static WITHDRAW: Script = Script::new(
    "withdraw tasks",
    &[BASE, include_str!("../scripts/run_withdraw.lua")],
);

impl RedisStore {
    pub(super) async fn run_moment(&self) -> Result<StoreMoment, StoreError> {
        Ok(self.moment_and_tags("0").await?.0)
    }

    /// The moment and, if `with_tags` is `1`, the tags of the nodes that live.
    pub(super) async fn moment_and_tags(
        &self,
        with_tags: &str,
    ) -> Result<(StoreMoment, HashSet<String>), StoreError> {
        let call = self
            .run_call(&NOW, 0)
            .arg(Token::random().to_string())
            .arg(with_tags);
        let mut reply = Reply::new(NOW.doing, self.send(call).await?)?;
        let moment = read_moment(&mut reply)?;
        let tags = reply.nested()?.rest().map(|tag| text_of(NOW.doing, tag));
        Ok((moment, tags.collect::<Result<_, _>>()?))
    }

    pub(super) async fn beat_node(&self, beat: &Beat) -> Result<Beaten, StoreError> {
        let details = serde_json::to_string(&Details::of(beat)).map_err(|error| {
            let message = "the node cannot be written as JSON";
            StoreError::new(StoreErrorKind::InvalidRequest, message).with_source(error)
        })?;
        let call = self
            .run_call(&BEAT, 0)
            .arg(beat.node.id.to_string())
            .arg(millis(beat.ttl))
            .arg(details)
            .arg(Token::random().to_string())
            .arg(Token::random().to_string());
        let mut reply = Reply::new(BEAT.doing, self.send(call).await?)?;
        let moment = read_moment(&mut reply)?;
        let had_lapsed = reply.number::<u8>()? == 1;
        let own = reply.number()?;
        let mut alive = Vec::new();
        let mut rest = reply.rest();
        while let (Some(_number), Some(details)) = (rest.next(), rest.next()) {
            let details = bytes_of(BEAT.doing, details)?;
            alive.push(read_node(&details, &self.run_names().of("nodes"))?);
        }
        let mut beaten = Beaten::new(moment, had_lapsed, alive);
        beaten.own = own;
        Ok(beaten)
    }

    pub(super) async fn leave_node(&self, node: HolderId) -> Result<(), StoreError> {
        let mut call = self.run_call(&LEAVE, 0).arg(node.to_string());
        self.push_hint(&mut call);
        self.send(call).await.map(drop)
    }

    pub(super) async fn node_records(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let doing = "list nodes";
        let names = self.run_names();
        let call = Call::command(doing, "HVALS").arg(names.of("ids"));
        let tags = Reply::new(doing, self.send(call).await?)?.rest();
        let mut numbers = Vec::new();
        for tag in tags {
            let tag = text_of(doing, tag)?;
            let number = tag
                .split('.')
                .next()
                .and_then(|text| text.parse::<u64>().ok());
            numbers
                .push(number.ok_or_else(|| not_ours("the tag", &names.of("ids"), tag.as_bytes()))?);
        }
        // Numbers are given in the order of joining.
        numbers.sort_unstable();
        let place = names.of("nodes");
        let mut nodes = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(1000) {
            let mut call = Call::command(doing, "HMGET").arg(&place);
            for number in some {
                call.push(number);
            }
            for details in Reply::new(doing, self.send(call).await?)?.rest() {
                if let Value::BulkString(details) = details {
                    nodes.push(read_node(&details, &place)?);
                }
            }
        }
        Ok(nodes)
    }

    pub(super) async fn register_some(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError> {
        let names = self.run_names();
        let mut call = self
            .run_call(&REGISTER, 4 + definitions.len())
            .arg(names.of("first"))
            .arg(names.of("definitions"))
            .arg(names.of("generations"));
        for definition in definitions {
            call.push(names.history(&definition.task));
        }
        call.push(names.of("renamed"));
        call.push(node.to_string());
        for definition in definitions {
            let text = serde_json::to_string(definition).map_err(|error| {
                let message = format!("the task {} cannot be written as JSON", definition.task);
                StoreError::new(StoreErrorKind::InvalidRequest, message).with_source(error)
            })?;
            call.push(definition.task.as_str());
            call.push(definition.generation.as_str());
            call.push(text);
        }
        let mut reply = Reply::new(REGISTER.doing, self.send(call).await?)?;
        if let Value::BulkString(_) = reply.next()? {
            let message = format!(
                "node {node} cannot register tasks before its first beat, nor when it was given \
                 up long ago; beat first"
            );
            return Err(StoreError::new(StoreErrorKind::InvalidRequest, message));
        }
        let sequence = reply.number()?;
        let mut registered = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let first_seen = reply.timestamp()?;
            let current = self.generation(&reply.bytes()?)?;
            let mut answer = Registered::new(first_seen, current);
            answer.sequence = sequence;
            let pause = reply.bytes()?;
            if !pause.is_empty() {
                answer.pause = Some(read_pause(&pause, &names.of("pauses"))?);
            }
            let place = reply.text()?;
            answer.last_tick = read_place(&definition.task, &place).map(|key| key.tick);
            registered.push(answer);
        }
        Ok(registered)
    }

    pub(super) async fn withdraw_some(
        &self,
        node: HolderId,
        tasks: &[TaskName],
    ) -> Result<(), StoreError> {
        let mut call = self
            .run_call(&WITHDRAW, 2)
            .arg(self.run_names().of("generations"))
            .arg(self.run_names().of("struck"))
            .arg(node.to_string());
        for task in tasks {
            call.push(task.as_str());
        }
        self.send(call).await.map(drop)
    }

    fn generation(&self, text: &[u8]) -> Result<Generation, StoreError> {
        let generation = std::str::from_utf8(text).ok().map(Generation::new);
        generation
            .and_then(Result::ok)
            .ok_or_else(|| not_ours("the generation", &self.run_names().of("lists"), text))
    }
}

/// Reads the clock, the sequence, the epoch and the count of losses.
pub(super) fn read_moment(reply: &mut Reply) -> Result<StoreMoment, StoreError> {
    let (now, sequence, epoch) = (reply.timestamp()?, reply.number()?, reply.text()?);
    let mut moment = StoreMoment::new(now, sequence, epoch);
    moment.losses = reply.number()?;
    Ok(moment)
}
