//! Deleting what is no longer needed, a bounded number at a time.
//!
//! The server forgets the records of a tick by itself; this is for those who want to keep less. It
//! goes through the ticks, oldest first, and goes on at its next call where it stopped.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use redis::Value;
use tenure_core::{Prune, RunKey, RunStore as _, StoreError, TaskName, Timestamp};

use super::control::fields_of;
use super::holder::read_node;
use super::name::{RunName, read_tick};
use super::row::{Row, not_ours};
use super::{BASE, MAX_BATCH, RECORD};
use crate::link::{Call, Script};
use crate::reply::{Reply, text_of, unexpected};
use crate::store::RedisStore;

static PRUNE: Script = Script::new(
    "delete old runs",
    &[BASE, RECORD, include_str!("../scripts/run_prune.lua")],
);
static FORGET: Script = Script::new(
    "forget old nodes",
    &[BASE, include_str!("../scripts/run_forget.lua")],
);

const MOST: usize = 1000;
/// How many ticks one call looks at, and how many runs at least.
const MOST_TICKS: usize = 2000;
const MOST_LOOKED_AT: usize = 20_000;
/// How many ticks are read at once.
const TICKS: usize = 32;
/// A tick may be claimed this much before its time, so its runs may end before it.
const EARLY: Duration = Duration::from_secs(2);
/// How long nodes are listed after they were last heard of, and how long records can name them.
const LISTED: Duration = Duration::from_secs(24 * 3600);
const NAMED: Duration = Duration::from_secs(60 * 24 * 3600);

/// What one call deletes, and what it has looked at.
struct Sweep<'p> {
    prune: &'p Prune,
    room: usize,
    looked_at: usize,
    /// Of each task, the runs that stay in any case.
    newest: HashMap<TaskName, HashSet<String>>,
}

impl RedisStore {
    pub(super) async fn prune_runs(&self, prune: &Prune) -> Result<u64, StoreError> {
        let most = prune.limit.min(MOST);
        if let Some(task) = &prune.task {
            return self.prune_task(prune, task, most).await;
        }
        let mut sweep = Sweep {
            prune,
            room: most,
            looked_at: 0,
            newest: HashMap::new(),
        };
        let from = *self.pruned_to();
        let mut reached = self.prune_from(&mut sweep, from).await?;
        if reached.is_none() && from.is_some() {
            // What was passed by on the way here may be old enough by now.
            reached = self.prune_from(&mut sweep, None).await?;
        }
        *self.pruned_to() = reached;
        self.prune_events(prune.before).await?;
        self.forget_nodes().await?;
        Ok((most - sweep.room) as u64)
    }

    fn pruned_to(&self) -> std::sync::MutexGuard<'_, Option<Timestamp>> {
        let pruned_to = self.shared.runs.pruned_to.lock();
        pruned_to.unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes through ticks after `from`. `None` if there are no more, else the last that is done.
    async fn prune_from(
        &self,
        sweep: &mut Sweep<'_>,
        mut from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let latest = sweep.prune.before + EARLY;
        for _ in 0..MOST_TICKS / TICKS {
            let ticks = self.ticks_between(from, latest).await?;
            for (tick, keys) in self.runs_of(&ticks).await? {
                if sweep.room == 0 || sweep.looked_at >= MOST_LOOKED_AT {
                    return Ok(from);
                }
                if !self.prune_tick(sweep, tick, keys).await? {
                    return Ok(from);
                }
                from = Some(tick);
            }
            if ticks.len() < TICKS {
                return Ok(None);
            }
        }
        Ok(from)
    }

    async fn ticks_between(
        &self,
        from: Option<Timestamp>,
        to: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let place = self.run_names().of("ticks");
        let from = from.map_or_else(
            || "-inf".to_owned(),
            |from| format!("({}", from.as_millis()),
        );
        let call = Call::command(PRUNE.doing, "ZRANGEBYSCORE")
            .arg(&place)
            .arg(from)
            .arg(to.as_millis())
            .arg("LIMIT")
            .arg(0)
            .arg(TICKS);
        let members = Reply::new(PRUNE.doing, self.send(call).await?)?.rest();
        let ticks = members.map(|member| {
            let text = text_of(PRUNE.doing, member)?;
            read_tick(&text).ok_or_else(|| not_ours("the tick", &place, text.as_bytes()))
        });
        ticks.collect()
    }

    /// Deletes what may go of one tick. False if there was no room for all of it.
    async fn prune_tick(
        &self,
        sweep: &mut Sweep<'_>,
        tick: Timestamp,
        keys: Vec<RunKey>,
    ) -> Result<bool, StoreError> {
        sweep.looked_at += keys.len();
        for some in keys.chunks(MAX_BATCH) {
            let rows = self.rows(some).await?;
            let mut old = Vec::new();
            for (key, row) in some.iter().zip(rows) {
                if let Ok(Some(row)) = row
                    && may_go(&row, sweep.prune)
                    && !self.is_among_newest(sweep, key).await?
                {
                    old.push(key.clone());
                }
            }
            let has_room = old.len() <= sweep.room;
            old.truncate(sweep.room);
            if !old.is_empty() {
                let gone = self.delete(tick, &old).await?;
                sweep.room = sweep.room.saturating_sub(gone);
            }
            if !has_room {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_among_newest(
        &self,
        sweep: &mut Sweep<'_>,
        key: &RunKey,
    ) -> Result<bool, StoreError> {
        if sweep.prune.keep_newest == 0 {
            return Ok(false);
        }
        if !sweep.newest.contains_key(&key.task) {
            let call = Call::command(PRUNE.doing, "ZRANGE")
                .arg(self.run_names().history(&key.task))
                .arg(0)
                .arg(sweep.prune.keep_newest - 1);
            let members = Reply::new(PRUNE.doing, self.send(call).await?)?.rest();
            let members = members.map(|member| text_of(PRUNE.doing, member));
            let members = members.collect::<Result<_, _>>()?;
            sweep.newest.insert(key.task.clone(), members);
        }
        let name = RunName::new(key)?;
        let place = format!("{}/{}", name.tick, name.place);
        let newest = sweep.newest.get(&key.task);
        Ok(newest.is_some_and(|newest| newest.contains(&place)))
    }

    /// Deletes records of one tick that did not change since they were looked at.
    pub(super) async fn delete(
        &self,
        tick: Timestamp,
        keys: &[RunKey],
    ) -> Result<usize, StoreError> {
        let names = self.run_names();
        let mut call = self
            .run_call(&PRUNE, 2 + keys.len())
            .arg(names.bucket(tick))
            .arg(names.outputs(tick));
        for key in keys {
            call.push(names.history(&key.task));
        }
        call.push(tick.as_millis());
        for key in keys {
            let name = RunName::new(key)?;
            call.push(name.field);
            call.push(name.place);
        }
        match self.send(call).await? {
            Value::Int(gone) => Ok(usize::try_from(gone).unwrap_or_default()),
            _ => Err(unexpected(PRUNE.doing, "no number")),
        }
    }

    async fn prune_events(&self, before: Timestamp) -> Result<(), StoreError> {
        let call = Call::command("delete old events", "XTRIM")
            .arg(self.run_names().of("events"))
            .arg("MINID")
            .arg("=")
            .arg(before.as_millis().max(0));
        match self.send(call).await {
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                // Servers before Redis 6.2 cannot; the feed is bounded all the same.
                tracing::debug!(%error, "old events were not deleted");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn forget_nodes(&self) -> Result<(), StoreError> {
        let now = self.now().await?.now;
        let place = self.run_names().of("nodes");
        let mut cursor = "0".to_owned();
        loop {
            let call = Call::command(FORGET.doing, "HSCAN")
                .arg(&place)
                .arg(&cursor);
            let answer = self.send(call.arg("COUNT").arg(500)).await?;
            let mut reply = Reply::new(FORGET.doing, answer)?;
            cursor = reply.text()?;
            let mut call = self
                .run_call(&FORGET, 0)
                .arg((now - LISTED).as_millis())
                .arg((now - NAMED).as_millis());
            let mut some = false;
            for pair in fields_of(FORGET.doing, reply.next()?)?.chunks_exact(2) {
                let [number, details] = pair else { continue };
                // One that cannot be read is told by those who list nodes.
                if let Ok(node) = read_node(details, &place)
                    && node.seen_at < now - LISTED
                {
                    call.push(number);
                    call.push(node.node.id.to_string());
                    some = true;
                }
            }
            if some {
                self.send(call).await?;
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }
}

fn may_go(row: &Row, prune: &Prune) -> bool {
    row.state.is_final()
        && (prune.states.is_empty() || prune.states.contains(&row.state))
        && row.ended.is_some_and(|ended| ended < prune.before)
}
