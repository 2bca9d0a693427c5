//! Taking runs that wait in the store: retries, requested runs, backfills.
//!
//! In two steps, because the second needs the names of the buckets it will change: one script finds
//! what may be taken, mostly nothing, and another takes it, if it is still there.

use redis::Value;
use tenure_core::{Claim, RunKey, StoreError, Take, TaskRoom};

use super::name::{RunName, read_member};
use super::row::{Row, not_ours, report};
use super::strict::{guarded, touching};
use super::{BASE, MAX_BATCH, RECORD, TAKER, TASK, first_state};
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of, text_of, unexpected};
use crate::safety::begins_with;
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

static DUE_STRICTLY: Script = touching!(
    "look for waiting runs",
    BASE,
    RECORD,
    TASK,
    TAKER,
    include_str!("../scripts/run_due.lua"),
);
static TAKE_STRICTLY: Script = guarded!(
    "take waiting runs",
    BASE,
    RECORD,
    TASK,
    TAKER,
    include_str!("../scripts/run_take.lua"),
);

/// How many waiting runs one step looks at.
const PAGE: usize = 256;
/// How many steps one request makes: what waits behind very much that nobody may take waits longer.
const MOST_STEPS: usize = 64;

/// How often others may take all that was found.
const MOST_RACES: u32 = 8;

/// What the first step found.
enum Found {
    /// The request took these before.
    Again(Vec<Waiting>),
    /// These may be taken, and whether there are more to look at.
    Due(Vec<Waiting>, bool),
    Lapsed,
}

/// A run that waits: how it is called among those that do, and which it is.
struct Waiting {
    member: String,
    key: RunKey,
}

/// Whether the request was answered before.
fn took_before(answer: &Value) -> bool {
    begins_with(answer, &["again"])
}

/// Whether anything is taken.
fn takes(answer: &Value) -> bool {
    matches!(answer, Value::Array(parts) if !parts.is_empty())
}

fn push_room(call: &mut Call, room: &[TaskRoom]) {
    call.push(room.len());
    for room in room {
        call.push(room.task.as_str());
        call.push(room.runs);
    }
}

impl RedisStore {
    pub(super) async fn take_waiting(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        let limit = take.limit.min(MAX_BATCH);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (mut offset, mut races) = (0, 0);
        for _ in 0..MOST_STEPS {
            match self.find_due(take, limit, offset).await? {
                Found::Again(waiting) => return self.taken_before(take, waiting).await,
                Found::Due(waiting, _) if !waiting.is_empty() => {
                    let claims = self.take_found(take, waiting).await?;
                    races += 1;
                    if !claims.is_empty() || races == MOST_RACES {
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
        let touches = self.touches();
        let mut call = self
            .run_call(self.by_safety(&DUE, &DUE_STRICTLY), 1 + touches.len())
            .arg(self.run_names().request(take.token));
        for key in touches {
            call.push(key);
        }
        let mut call = call
            .arg(take.node.to_string())
            .arg(limit)
            .arg(offset)
            .arg(PAGE);
        push_room(&mut call, &take.room);
        let answer = self.send_to_count(call, took_before).await?;
        let mut reply = Reply::new(DUE.doing, answer)?;
        let word = reply.text()?;
        match word.as_str() {
            "lapsed" => Ok(Found::Lapsed),
            "again" => Ok(Found::Again(self.waiting(&mut reply)?)),
            "due" => {
                let waiting = self.waiting(&mut reply)?;
                let more: u8 = reply.number()?;
                Ok(Found::Due(waiting, more == 1))
            }
            other => Err(reply.unknown(other)),
        }
    }

    /// The runs that an answer names. What names none is left where it is.
    fn waiting(&self, reply: &mut Reply) -> Result<Vec<Waiting>, StoreError> {
        let mut waiting = Vec::new();
        for member in reply.nested()?.rest() {
            let member = text_of(DUE.doing, member)?;
            match read_member(&member) {
                Some(key) => waiting.push(Waiting { member, key }),
                None => report(&not_ours(
                    "the waiting run",
                    &self.run_names().of("due"),
                    member.as_bytes(),
                )),
            }
        }
        Ok(waiting)
    }

    async fn take_found(
        &self,
        take: &Take,
        waiting: Vec<Waiting>,
    ) -> Result<Vec<Claim>, StoreError> {
        let names = self.run_names();
        let guards = self.guards();
        let own = 1 + waiting.len() + guards.len();
        let mut call = self
            .run_call(self.by_safety(&TAKE, &TAKE_STRICTLY), own)
            .arg(names.request(take.token));
        for run in &waiting {
            call.push(names.bucket(run.key.tick));
        }
        for key in guards {
            call.push(key);
        }
        call.push(take.node.to_string());
        call.push(take.token.to_string());
        call.push(first_state(take.start));
        push_room(&mut call, &take.room);
        for run in &waiting {
            let name = RunName::new(&run.key)?;
            call.push(&run.member);
            call.push(name.tick);
            call.push(name.field);
            call.push(name.kind.to_string());
            call.push(name.slot);
            call.push(run.key.task.as_str());
            call.push(name.mark);
        }
        self.push_settings(&mut call);
        let mut claims = Vec::new();
        let answer = self.send_to_count(call, takes).await?;
        let mut rest = Reply::new(TAKE.doing, answer)?.rest();
        while let (Some(number), Some(record)) = (rest.next(), rest.next()) {
            let number = match number {
                Value::Int(number) => usize::try_from(number).ok(),
                _ => None,
            };
            let run = number.and_then(|number| waiting.get(number.checked_sub(1)?));
            let run = run.ok_or_else(|| unexpected(TAKE.doing, "for a run nobody asked about"))?;
            let key = &run.key;
            let record = bytes_of(TAKE.doing, record)?;
            claims.extend(Row::read(key, &names.bucket(key.tick), &record)?.claim(key));
        }
        Ok(claims)
    }

    /// What an earlier sending of the same request took and still has in hand.
    async fn taken_before(
        &self,
        take: &Take,
        waiting: Vec<Waiting>,
    ) -> Result<Vec<Claim>, StoreError> {
        let keys: Vec<RunKey> = waiting.into_iter().map(|run| run.key).collect();
        let mut claims = Vec::new();
        for (key, row) in keys.iter().zip(self.rows(&keys).await?) {
            match row {
                Ok(row) => {
                    let own = row.filter(|row| row.token == Some(take.token));
                    claims.extend(own.and_then(|row| row.claim(key)));
                }
                Err(error) => report(&error),
            }
        }
        Ok(claims)
    }
}
