//! Taking runs that wait in the store: retries, requested runs, backfills.
//!
//! In two steps, because the second needs the names of the buckets it will change: one script finds
//! what may be taken, mostly nothing, and another takes it, if it is still there.

use redis::Value;
use tenure_core::{Claim, RunKey, StoreError, StoreErrorKind, Take};

use super::name::{RunName, read_reference};
use super::row::{Row, not_ours};
use super::{BASE, MAX_BATCH, RECORD, TAKER, TASK, first_state};
use crate::link::Script;
use crate::reply::{Reply, bytes_of, text_of};
use crate::store::RedisStore;

static DUE: Script = Script::new(
    "look for waiting runs",
    &[
        BASE,
        RECORD,
        TASK,
        TAKER,
        include_str!("../scripts/run_due.lua"),
    ],
);
static TAKE: Script = Script::new(
    "take waiting runs",
    &[
        BASE,
        RECORD,
        TASK,
        TAKER,
        include_str!("../scripts/run_take.lua"),
    ],
);

/// How many waiting runs one step looks at.
const PAGE: usize = 256;
/// How many steps one request makes: what waits behind very much that nobody may take waits longer.
const MOST_STEPS: usize = 64;

/// What the first step found.
enum Found {
    /// The request took these before.
    Again(Vec<String>),
    Due(Vec<String>, bool),
    Lapsed,
}

impl RedisStore {
    pub(super) async fn take_waiting(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        let limit = take.limit.min(MAX_BATCH);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut offset = 0;
        for _ in 0..MOST_STEPS {
            match self.find_due(take, limit, offset).await? {
                Found::Again(members) => return self.taken_before(take, members).await,
                Found::Due(members, _) if !members.is_empty() => {
                    let claims = self.take_found(take, members).await?;
                    if !claims.is_empty() {
                        return Ok(claims);
                    }
                    // Others took them all; there may be more.
                    offset = 0;
                }
                Found::Due(_, true) => offset += PAGE,
                Found::Lapsed | Found::Due(_, false) => return Ok(Vec::new()),
            }
        }
        Ok(Vec::new())
    }

    async fn find_due(
        &self,
        take: &Take,
        limit: usize,
        offset: usize,
    ) -> Result<Found, StoreError> {
        let call = self
            .run_call(&DUE, 1)
            .arg(self.run_names().request(take.token))
            .arg(take.node.to_string())
            .arg(limit)
            .arg(offset)
            .arg(PAGE);
        let mut reply = Reply::new(DUE.doing, self.send(call).await?)?;
        let word = reply.text()?;
        match word.as_str() {
            "lapsed" => Ok(Found::Lapsed),
            "again" => Ok(Found::Again(members_of(&mut reply)?)),
            "due" => {
                let members = members_of(&mut reply)?;
                let more: u8 = reply.number()?;
                Ok(Found::Due(members, more == 1))
            }
            other => Err(reply.unknown(other)),
        }
    }

    async fn take_found(
        &self,
        take: &Take,
        members: Vec<String>,
    ) -> Result<Vec<Claim>, StoreError> {
        let names = self.run_names();
        let keys = self.keys_of(&members)?;
        let mut call = self
            .run_call(&TAKE, 1 + members.len())
            .arg(names.request(take.token));
        for key in &keys {
            call.push(names.bucket(key.tick));
        }
        call.push(take.node.to_string());
        call.push(take.token.to_string());
        call.push(first_state(take.start));
        for (member, key) in members.iter().zip(&keys) {
            let name = RunName::new(key)?;
            call.push(member);
            call.push(name.tick);
            call.push(name.field);
            call.push(name.kind.to_string());
            call.push(name.slot);
            call.push(key.task.as_str());
            call.push(name.mark);
        }
        let mut reply = Reply::new(TAKE.doing, self.send(call).await?)?;
        if reply.text()? == "again" {
            let members = members_of(&mut reply)?;
            return self.taken_before(take, members).await;
        }
        let mut claims = Vec::new();
        let mut rest = reply.rest();
        while let (Some(number), Some(record)) = (rest.next(), rest.next()) {
            let key = match number {
                Value::Int(number) => usize::try_from(number).ok(),
                _ => None,
            };
            let key = key.and_then(|number| keys.get(number.checked_sub(1)?));
            let key = key.ok_or_else(|| {
                let message = format!("{}: the server answered for an unasked run", TAKE.doing);
                StoreError::new(StoreErrorKind::Protocol, message)
            })?;
            let record = bytes_of(TAKE.doing, record)?;
            claims.extend(Row::read(key, &names.bucket(key.tick), &record)?.claim(key));
        }
        Ok(claims)
    }

    /// What an earlier sending of the same request took and still has in hand.
    async fn taken_before(
        &self,
        take: &Take,
        members: Vec<String>,
    ) -> Result<Vec<Claim>, StoreError> {
        let keys = self.keys_of(&members)?;
        let rows = self.rows(&keys).await?;
        let found = keys.iter().zip(rows);
        let own = found
            .filter_map(|(key, row)| row.filter(|row| row.token == Some(take.token))?.claim(key));
        Ok(own.collect())
    }

    fn keys_of(&self, members: &[String]) -> Result<Vec<RunKey>, StoreError> {
        let read = |member: &String| {
            let reference = member.get(1..).and_then(read_reference);
            reference.ok_or_else(|| {
                not_ours(
                    "the waiting run",
                    &self.run_names().of("due"),
                    member.as_bytes(),
                )
            })
        };
        members.iter().map(read).collect()
    }
}

fn members_of(reply: &mut Reply) -> Result<Vec<String>, StoreError> {
    let members = reply.nested()?.rest();
    members.map(|member| text_of(DUE.doing, member)).collect()
}
