//! Recovery: what becomes of runs whose nodes' leases ended.
//!
//! In three parts: a script finds nodes that are gone, mostly none; then what is in hand is read
//! through for theirs, so that claims need not keep a list for each node; and a script takes the
//! runs from nodes that are still gone by then.

use std::collections::{HashMap, HashSet};

use tenure_core::{
    Holder, Recovered, RecoveredRun, Recovery, RunKey, StoreError, Timestamp, Token,
};

use super::control::fields_of;
use super::holder::read_node;
use super::name::{RunName, read_mark, read_slot};
use super::row::{Row, not_ours, report, write_reason};
use super::{BASE, MAX_BATCH, RECORD, millis};
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of};
use crate::store::RedisStore;

static GONE: Script = Script::new(
    "look for nodes that are gone",
    &[BASE, include_str!("../scripts/run_gone.lua")],
);
static RECOVER: Script = Script::new(
    "recover runs",
    &[BASE, RECORD, include_str!("../scripts/run_recover.lua")],
);

/// How many nodes are looked at in one call.
const MOST_NODES: usize = 64;
/// How many slots are read at once.
const PAGE: u32 = 1000;

/// A node that is gone.
struct Gone {
    tag: String,
    number: String,
    holder: Option<Holder>,
}

impl Gone {
    fn name(&self) -> String {
        match &self.holder {
            Some(holder) => holder.to_string(),
            None => "its node".to_owned(),
        }
    }
}

/// A run that a node left behind.
struct Left {
    key: RunKey,
    /// The node's place among those that are gone.
    node: usize,
}

impl RedisStore {
    pub(super) async fn recover_runs(&self, recovery: &Recovery) -> Result<Recovered, StoreError> {
        let (now, gone) = self.gone_nodes(recovery).await?;
        if gone.is_empty() {
            return Ok(Recovered::new(now, Vec::new(), Vec::new()));
        }
        let most = recovery.limit.min(MAX_BATCH);
        let (left, is_all) = self.left_behind(&gone, most).await?;
        let call = self.recover_call(recovery, &gone, &left, is_all)?;
        let mut reply = Reply::new(RECOVER.doing, self.send(call).await?)?;
        let now = reply.timestamp()?;
        let mut nodes = Vec::new();
        for _ in 0..reply.number::<usize>()? {
            let tag = reply.text()?;
            let node = gone.iter().find(|node| node.tag == tag);
            nodes.extend(node.and_then(|node| node.holder.clone()));
        }
        let mut moved = Vec::new();
        let mut details = Vec::new();
        let mut rest = reply.rest();
        while let Some(number) = rest.next() {
            let parts = [Some(number), rest.next(), rest.next(), rest.next()];
            let parts = parts.into_iter().flatten().collect();
            let mut parts = Reply::new(RECOVER.doing, redis::Value::Array(parts))?;
            let number: usize = parts.number()?;
            let (attempt, state): (u32, String) = (parts.number()?, parts.text()?);
            let run = number.checked_sub(1).and_then(|at| left.get(at));
            let key = &run
                .ok_or_else(|| parts.unknown("a run that was not asked for"))?
                .key;
            if state == "b" {
                report(&self.broken(key));
                continue;
            }
            let record = bytes_of(RECOVER.doing, parts.next()?)?;
            let row = Row::read(key, &self.run_names().bucket(key.tick), &record)?;
            moved.push((key.clone(), row));
            details.push((attempt, state == "r"));
        }
        // Nobody else will report these runs, so they are told with less if more cannot be read.
        let records = self.records(moved.clone()).await.unwrap_or_else(|error| {
            report(&error);
            let bare = moved.into_iter();
            bare.map(|(key, row)| row.into_record(key, None, |_| None))
                .collect()
        });
        let runs = records.into_iter().zip(details);
        let runs = runs.map(|(record, (attempt, had_started))| {
            RecoveredRun::new(record, attempt, had_started)
        });
        Ok(Recovered::new(now, nodes, runs.collect()))
    }

    async fn gone_nodes(&self, recovery: &Recovery) -> Result<(Timestamp, Vec<Gone>), StoreError> {
        let call = self
            .run_call(&GONE, 0)
            .arg(millis(recovery.grace))
            .arg(MOST_NODES);
        let mut reply = Reply::new(GONE.doing, self.send(call).await?)?;
        let now = reply.timestamp()?;
        let mut gone = Vec::new();
        let mut rest = reply.rest();
        while let (Some(tag), Some(details)) = (rest.next(), rest.next()) {
            let tag = bytes_of(GONE.doing, tag)?;
            let details = bytes_of(GONE.doing, details)?;
            let tag = String::from_utf8(tag).map_err(|error| {
                not_ours("the tag", &self.run_names().of("alive"), error.as_bytes())
            })?;
            // A node that cannot be read must be recovered all the same.
            let node = read_node(&details, &self.run_names().of("nodes"));
            gone.push(Gone {
                number: tag.split('.').next().unwrap_or_default().to_owned(),
                tag,
                holder: node.ok().map(|node| node.node),
            });
        }
        Ok((now, gone))
    }

    /// What these nodes have in hand, and whether that is all.
    async fn left_behind(
        &self,
        gone: &[Gone],
        most: usize,
    ) -> Result<(Vec<Left>, bool), StoreError> {
        let doing = "read what is in hand";
        let numbers: HashMap<&str, usize> = gone
            .iter()
            .enumerate()
            .map(|(at, node)| (node.number.as_str(), at))
            .collect();
        let place = self.run_names().of("slots");
        let (mut left, mut seen) = (Vec::new(), HashSet::new());
        let mut cursor = "0".to_owned();
        loop {
            let call = Call::command(doing, "HSCAN").arg(&place).arg(&cursor);
            let answer = self.send(call.arg("COUNT").arg(PAGE)).await?;
            let mut reply = Reply::new(doing, answer)?;
            cursor = reply.text()?;
            for pair in fields_of(doing, reply.next()?)?.chunks_exact(2) {
                let [slot, runs] = pair else { continue };
                let (slot, runs) = (String::from_utf8_lossy(slot), String::from_utf8_lossy(runs));
                for run in runs.split(' ') {
                    let Some((mark, number)) = run.split_once('@') else {
                        continue;
                    };
                    let Some(node) = numbers.get(number) else {
                        continue;
                    };
                    let key =
                        read_slot(&slot).and_then(|(task, index)| read_mark(&task, index, mark));
                    let key = key.ok_or_else(|| not_ours("the run", &place, run.as_bytes()))?;
                    // A scan may show what moves twice.
                    if seen.insert(key.clone()) {
                        if left.len() == most {
                            return Ok((left, false));
                        }
                        left.push(Left { key, node: *node });
                    }
                }
            }
            if cursor == "0" {
                return Ok((left, true));
            }
        }
    }

    fn recover_call(
        &self,
        recovery: &Recovery,
        gone: &[Gone],
        left: &[Left],
        is_all: bool,
    ) -> Result<Call, StoreError> {
        let names = self.run_names();
        let mut call = self.run_call(&RECOVER, 2 + 2 * left.len());
        call.push(names.request(Token::random()));
        call.push(names.of("cancels"));
        for run in left {
            call.push(names.bucket(run.key.tick));
            call.push(names.outputs(run.key.tick));
        }
        self.push_hint(&mut call);
        call.push(millis(recovery.grace));
        call.push(gone.len());
        for node in gone {
            call.push(&node.tag);
            call.push(u8::from(is_all));
        }
        for run in left {
            let name = RunName::new(&run.key)?;
            let who = gone.get(run.node).map_or_else(String::new, Gone::name);
            call.push(run.node + 1);
            call.push(name.tick);
            call.push(name.field);
            call.push(name.slot);
            call.push(name.mark);
            call.push(write_reason(Some(&format!("{who} was lost"))));
        }
        Ok(call)
    }
}
