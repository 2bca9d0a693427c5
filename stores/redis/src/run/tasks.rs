//! The tasks that the store knows, each in the definition in force.
//!
//! A listing is read page by page; what changes meanwhile is shown as it was before or after.

use std::collections::{BTreeMap, HashMap, HashSet};

use redis::Value;
use tenure_core::{Definition, StoreError, TaskName, TaskRecord, Timestamp};

use super::control::{fields_of, read_pause};
use super::holder::read_node;
use super::name::read_place;
use super::row::not_ours;
use crate::link::Call;
use crate::reply::{Reply, text_of, unexpected};
use crate::store::RedisStore;

/// How many tasks are read at once.
const PAGE: u32 = 500;
const DOING: &str = "list tasks";

impl RedisStore {
    pub(super) async fn task_records(&self) -> Result<Vec<TaskRecord>, StoreError> {
        let (moment, tags) = self.moment_and_tags("1").await?;
        let mut tasks = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let call = Call::command(DOING, "HSCAN")
                .arg(self.run_names().of("lists"))
                .arg(&cursor)
                .arg("COUNT")
                .arg(PAGE);
            let mut reply = Reply::new(DOING, self.send(call).await?)?;
            cursor = reply.text()?;
            let page = fields_of(DOING, reply.next()?)?;
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
        let names = self.run_names();
        let mut listed = Vec::new();
        for pair in page.chunks_exact(2) {
            let [name, list] = pair else { continue };
            let task = std::str::from_utf8(name).ok().map(TaskName::new);
            let task = task
                .and_then(Result::ok)
                .ok_or_else(|| not_ours("the task", &names.of("lists"), name))?;
            listed.push((task, in_force(&String::from_utf8_lossy(list), tags)));
        }
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let mut first = Call::command(DOING, "HMGET").arg(names.of("first"));
        let mut pauses = Call::command(DOING, "HMGET").arg(names.of("pauses"));
        let mut definitions = Call::command(DOING, "HMGET").arg(names.of("definitions"));
        let mut struck = Call::command(DOING, "HMGET").arg(names.of("struck"));
        let mut calls = Vec::with_capacity(listed.len() + 4);
        for (task, Listing { current, .. }) in &listed {
            first.push(task.as_str());
            pauses.push(task.as_str());
            struck.push(task.as_str());
            definitions.push(format!("{current} {}", task.as_str()));
            let latest = Call::command(DOING, "ZRANGE").arg(names.history(task));
            calls.push(latest.arg(0).arg(15));
        }
        calls.extend([first, pauses, definitions, struck]);
        let mut answers = self.shared.link.run_all(calls).await;
        let tail = answers.split_off(answers.len().saturating_sub(4));
        let mut columns = Vec::new();
        for answer in tail {
            columns.push(Reply::new(DOING, answer?)?.rest());
        }
        let [first, pauses, definitions, struck] = columns.as_mut_slice() else {
            return Err(unexpected(DOING, "too little"));
        };
        let mut records = Vec::with_capacity(listed.len());
        let ends = self.ends_of(&listed).await?;
        for ((task, listing), latest) in listed.into_iter().zip(answers) {
            let parts = [first.next(), pauses.next(), definitions.next()];
            let struck = struck.next().and_then(|at| read_instant(&at));
            let latest = Reply::new(DOING, latest?)?;
            let record = self.task_record(now, &task, listing.nodes, parts, latest)?;
            records.extend(record.map(|mut record| {
                let ended = listing.dead.iter().filter_map(|number| ends.get(number));
                let unlisted = ended.copied().max().max(struck);
                let unlisted = unlisted.filter(|_| listing.nodes == 0);
                record.unlisted_since = unlisted.map(|since| since.min(now));
                record
            }));
        }
        Ok(records)
    }

    /// When the leases ended of nodes that listed tasks which no live node lists.
    async fn ends_of(
        &self,
        listed: &[(TaskName, Listing)],
    ) -> Result<HashMap<String, Timestamp>, StoreError> {
        let place = self.run_names().of("nodes");
        let dead: HashSet<&String> = listed
            .iter()
            .flat_map(|(_, listing)| &listing.dead)
            .collect();
        let dead: Vec<&String> = dead.into_iter().collect();
        let mut ends = HashMap::new();
        for some in dead.chunks(1000) {
            let mut call = Call::command(DOING, "HMGET").arg(&place);
            for number in some {
                call.push(number);
            }
            let answers = Reply::new(DOING, self.send(call).await?)?.rest();
            for (number, details) in some.iter().zip(answers) {
                // One that cannot be read is told by those who list nodes.
                if let Value::BulkString(details) = details
                    && let Ok(node) = read_node(&details, &place)
                {
                    ends.insert((*number).clone(), node.expires_at);
                }
            }
        }
        Ok(ends)
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
            let key = read_place(task, &text_of(DOING, place)?);
            let scheduled = key.filter(|key| key.kind == tenure_core::RunKind::Scheduled);
            if let Some(key) = scheduled {
                record.last_tick = Some(key.tick);
                break;
            }
        }
        Ok(Some(record))
    }
}

/// What a list says of a task.
#[derive(Debug, PartialEq, Eq)]
struct Listing {
    /// The newest generation that a live node lists, or else the newest.
    current: String,
    /// How many live nodes list any.
    nodes: u32,
    /// If none does, the numbers of those that did.
    dead: Vec<String>,
}

/// Reads `GEN TAG TAG;GEN TAG`.
fn in_force(list: &str, tags: &HashSet<String>) -> Listing {
    let mut nodes = 0;
    let mut current = None;
    let mut newest = None;
    let mut dead = Vec::new();
    for part in list.split(';') {
        let mut words = part.split(' ');
        let generation = words.next().unwrap_or_default();
        let (live, gone): (Vec<_>, Vec<_>) = words.partition(|tag| tags.contains(*tag));
        newest = newest.or(Some(generation));
        if !live.is_empty() {
            current = current.or(Some(generation));
            nodes += u32::try_from(live.len()).unwrap_or(u32::MAX);
        }
        let numbers = gone.into_iter().filter_map(|tag| tag.split('.').next());
        dead.extend(
            numbers
                .filter(|number| !number.is_empty())
                .map(str::to_owned),
        );
    }
    if nodes > 0 {
        dead.clear();
    }
    let current = current.or(newest).unwrap_or_default().to_owned();
    Listing {
        current,
        nodes,
        dead,
    }
}

fn read_instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::BulkString(text) => {
            let ms = std::str::from_utf8(text).ok()?.parse().ok()?;
            Some(Timestamp::from_millis(ms))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s53_the_newest_generation_that_a_live_node_lists_is_in_force() {
        let tags: HashSet<String> = ["1.0", "2.1"].map(str::to_owned).into();
        for (list, current, nodes, dead) in [
            ("g1 1.0", "g1", 1, &[][..]),
            ("g2 3.0;g1 1.0 2.0", "g1", 1, &[]),
            ("g2 2.1;g1 1.0", "g2", 2, &[]),
            ("g2 2.0;g1 3.0", "g2", 0, &["2", "3"]),
            ("g1 ", "g1", 0, &[]),
        ] {
            let expected = Listing {
                current: current.to_owned(),
                nodes,
                dead: dead.iter().map(|number| (*number).to_owned()).collect(),
            };
            assert_eq!(in_force(list, &tags), expected, "{list}");
        }
    }
}
