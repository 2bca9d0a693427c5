//! Nodes, and the tasks they can run.

use std::collections::{BTreeMap, HashSet};

use redis::Value;
use tenure_core::{
    Beat, Beaten, Definition, Generation, HolderId, NodeRecord, Registered, StoreError,
    StoreErrorKind, StoreMoment, TaskName, TaskRecord, Timestamp, Token,
};

use super::control::{fields_of, read_pause};
use super::holder::{Details, read_node};
use super::name::read_place;
use super::row::not_ours;
use super::{BASE, TASK, millis};
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of, text_of, unexpected};
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

/// How many tasks are read at once.
const PAGE: u32 = 500;

impl RedisStore {
    pub(super) async fn run_moment(&self) -> Result<StoreMoment, StoreError> {
        Ok(self.moment_and_tags("0").await?.0)
    }

    /// The moment and, if `with_tags` is `1`, the tags of the nodes that live.
    async fn moment_and_tags(
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
            .run_call(&REGISTER, 3 + definitions.len())
            .arg(names.of("first"))
            .arg(names.of("definitions"))
            .arg(names.of("generations"));
        for definition in definitions {
            call.push(names.history(&definition.task));
        }
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
            .run_call(&WITHDRAW, 1)
            .arg(self.run_names().of("generations"))
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

    pub(super) async fn task_records(&self) -> Result<Vec<TaskRecord>, StoreError> {
        let doing = "list tasks";
        let (moment, tags) = self.moment_and_tags("1").await?;
        let mut tasks = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let call = Call::command(doing, "HSCAN")
                .arg(self.run_names().of("lists"))
                .arg(&cursor)
                .arg("COUNT")
                .arg(PAGE);
            let mut reply = Reply::new(doing, self.send(call).await?)?;
            cursor = reply.text()?;
            let page = fields_of(doing, reply.next()?)?;
            for task in self.page_of_tasks(moment.now, &tags, &page).await? {
                tasks.insert(task.definition.task.clone(), task);
            }
            if cursor == "0" {
                return Ok(tasks.into_values().collect());
            }
        }
    }

    /// The tasks of a page of `lists`: names and lists in turn.
    async fn page_of_tasks(
        &self,
        now: Timestamp,
        tags: &HashSet<String>,
        page: &[Vec<u8>],
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let doing = "list tasks";
        let names = self.run_names();
        let mut listed = Vec::new();
        for pair in page.chunks_exact(2) {
            let [name, list] = pair else { continue };
            let task = std::str::from_utf8(name).ok().map(TaskName::new);
            let task = task
                .and_then(Result::ok)
                .ok_or_else(|| not_ours("the task", &names.of("lists"), name))?;
            let (current, nodes) = in_force(&String::from_utf8_lossy(list), tags);
            listed.push((task, current, nodes));
        }
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let mut first = Call::command(doing, "HMGET").arg(names.of("first"));
        let mut pauses = Call::command(doing, "HMGET").arg(names.of("pauses"));
        let mut definitions = Call::command(doing, "HMGET").arg(names.of("definitions"));
        let mut calls = Vec::with_capacity(listed.len() + 3);
        for (task, current, _) in &listed {
            first.push(task.as_str());
            pauses.push(task.as_str());
            definitions.push(format!("{current} {}", task.as_str()));
            let latest = Call::command(doing, "ZRANGE").arg(names.history(task));
            calls.push(latest.arg(0).arg(15));
        }
        calls.extend([first, pauses, definitions]);
        let mut answers = self.shared.link.run_all(calls).await;
        let tail = answers.split_off(answers.len().saturating_sub(3));
        let mut columns = Vec::new();
        for answer in tail {
            columns.push(Reply::new(doing, answer?)?.rest());
        }
        let [first, pauses, definitions] = columns.as_mut_slice() else {
            return Err(unexpected(doing, "too little"));
        };
        let mut records = Vec::with_capacity(listed.len());
        for ((task, _, nodes), latest) in listed.into_iter().zip(answers) {
            let parts = [first.next(), pauses.next(), definitions.next()];
            let latest = Reply::new(doing, latest?)?;
            records.extend(self.task_record(now, &task, nodes, parts, latest)?);
        }
        Ok(records)
    }

    /// `None` for a task that was forgotten as it was read.
    fn task_record(
        &self,
        now: Timestamp,
        task: &TaskName,
        nodes: u32,
        [first, pause, definition]: [Option<Value>; 3],
        latest: Reply,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let doing = "list tasks";
        let (Some(Value::BulkString(first)), Some(Value::BulkString(text))) = (first, definition)
        else {
            return Ok(None);
        };
        let place = self.run_names().of("definitions");
        let definition: Definition =
            serde_json::from_slice(&text).map_err(|_| not_ours("the definition", &place, &text))?;
        let first_seen = String::from_utf8_lossy(&first).parse();
        let first_seen = first_seen
            .map_err(|_| not_ours("the instant", &self.run_names().of("first"), &first))?;
        let mut record = TaskRecord::new(definition, Timestamp::from_millis(first_seen));
        record.nodes = nodes;
        if let Some(Value::BulkString(pause)) = pause {
            let pause = read_pause(&pause, &self.run_names().of("pauses"))?;
            record.pause = Some(pause).filter(|pause| pause.holds_at(now));
        }
        for place in latest.rest() {
            let key = read_place(task, &text_of(doing, place)?);
            let scheduled = key.filter(|key| key.kind == tenure_core::RunKind::Scheduled);
            if let Some(key) = scheduled {
                record.last_tick = Some(key.tick);
                break;
            }
        }
        Ok(Some(record))
    }
}

/// Reads the clock, the sequence, the epoch and the count of losses.
pub(super) fn read_moment(reply: &mut Reply) -> Result<StoreMoment, StoreError> {
    let (now, sequence, epoch) = (reply.timestamp()?, reply.number()?, reply.text()?);
    let mut moment = StoreMoment::new(now, sequence, epoch);
    moment.losses = reply.number()?;
    Ok(moment)
}

/// Of `GEN TAG TAG;GEN TAG`: the newest generation that a live node lists, or else the newest, and
/// how many live nodes list any.
fn in_force(list: &str, tags: &HashSet<String>) -> (String, u32) {
    let mut nodes = 0;
    let mut current = None;
    let mut newest = None;
    for part in list.split(';') {
        let mut words = part.split(' ');
        let generation = words.next().unwrap_or_default();
        let live = words.filter(|tag| tags.contains(*tag)).count();
        newest = newest.or(Some(generation));
        if live > 0 {
            current = current.or(Some(generation));
            nodes += u32::try_from(live).unwrap_or(u32::MAX);
        }
    }
    let current = current.or(newest).unwrap_or_default();
    (current.to_owned(), nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s53_the_newest_generation_that_a_live_node_lists_is_in_force() {
        let tags: HashSet<String> = ["1.0", "2.1"].map(str::to_owned).into();
        for (list, current, nodes) in [
            ("g1 1.0", "g1", 1),
            ("g2 3.0;g1 1.0 2.0", "g1", 1),
            ("g2 2.1;g1 1.0", "g2", 2),
            ("g2 2.0;g1 3.0", "g2", 0),
            ("g1 ", "g1", 0),
        ] {
            assert_eq!(in_force(list, &tags), (current.to_owned(), nodes), "{list}");
        }
    }
}
