//! One server of a quorum, and what it is asked: to vote, to take its vote back, to agree.
//!
//! A vote is an ordinary lock in that server, which a client of one server sees as one. What the
//! votes of several servers come to is decided elsewhere.

use std::borrow::Cow;
use std::time::Duration;

use redis::Value;
use tenure_core::{
    Fence, Key, LeaseRequest, LeaseStore, Mark, Occupant, Place, StoreError, Timestamp, Token,
    Waiting,
};

use crate::lease::{BARRED, FREE, MARK, SHARED, TAKEN, barred, granted_at_once, push_keys};
use crate::link::{Call, Script, Way};
use crate::reply::{Reply, bytes_of, text_of, unexpected};
use crate::safety::{GUARD, LIFE, Strict};
use crate::store::RedisStore;

const QUORUM: &str = include_str!("../scripts/quorum_lease.lua");

static ACQUIRE: Script = Script::new(
    "acquire a lease",
    &[
        FREE,
        SHARED,
        QUORUM,
        include_str!("../scripts/quorum_acquire.lua"),
    ],
);
static ACQUIRE_STRICTLY: Script = Script::new(
    "acquire a lease",
    &[
        LIFE,
        GUARD,
        FREE,
        SHARED,
        QUORUM,
        include_str!("../scripts/quorum_acquire.lua"),
    ],
);
static YIELD: Script = Script::new(
    "give way",
    &[SHARED, QUORUM, include_str!("../scripts/quorum_yield.lua")],
);
static END: Script = Script::new(
    "release a lease",
    &[
        include_str!("../scripts/quorum_end_alone.lua"),
        SHARED,
        QUORUM,
        include_str!("../scripts/quorum_end.lua"),
    ],
);
static FORCE: Script = Script::new(
    "force a lease",
    &[
        SHARED,
        MARK,
        TAKEN,
        QUORUM,
        include_str!("../scripts/quorum_force.lua"),
    ],
);
static RAISE: Script = Script::new(
    "write a fence back",
    &[include_str!("../scripts/quorum_raise.lua")],
);

/// What a server says to a request for a lease.
#[derive(Debug)]
pub(super) enum Vote {
    /// It is for us.
    Ours(Ours),
    /// It is somebody else's.
    Theirs {
        now: Timestamp,
        by: Occupant,
        /// As this server knows, a majority agreed on the fence of that holder.
        is_agreed: bool,
        remaining: Option<Duration>,
        place: Option<Place>,
    },
}

/// A vote for us.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) now: Timestamp,
    pub(super) left: Duration,
    pub(super) fence: Fence,
    pub(super) kind: Kind,
}

/// How a vote for us came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// By this request, which gave up the place with this score in the server's queue.
    New { score: Vec<u8> },
    /// By an earlier request for the same token.
    Kept,
    /// So, and a majority agreed on its fence, as far as this server knows.
    Agreed,
}

/// What becomes of a vote, and of the place in a server's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Release,
    Cancel,
    Leave,
}

/// What a server knew of the token whose vote was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Released,
    Left,
    Nothing,
}

/// What a server says to a fence that it is asked to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It agrees on this one, the offered or another.
    On(Fence),
    /// It has given this token a greater one, which nobody has agreed on.
    Greater(Fence),
    /// Its vote is not for this token.
    NotOurs,
}

/// Whether a fence takes the place of a smaller one that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rise {
    OnlyFresh,
    Over,
}

impl RedisStore {
    /// Asks for this server's vote.
    pub(super) async fn vote(&self, request: &LeaseRequest) -> Result<Vote, StoreError> {
        let call = match &self.shared.strict {
            None => self.names(&request.key, &ACQUIRE),
            Some(strict) => self.strict_call(strict, &request.key),
        };
        let mut call = self.waiting_call(call, request).await;
        if let Some(strict) = &self.shared.strict {
            call.push(strict.terms.settings());
        }
        let shared = &*self.shared;
        let asking = shared.unanswered.asking(request.token, shared.link.way());
        let answer = self.introducing(&request.holder, call).await;
        asking.answered(&answer);
        let answer = answer?;
        if let Some(grant) = granted_at_once(&answer, request.ttl) {
            return Ok(Vote::Ours(Ours {
                now: grant.now,
                left: request.ttl.get(),
                fence: grant.fence,
                kind: Kind::New { score: Vec::new() },
            }));
        }
        let mut reply = Reply::new(ACQUIRE.doing, answer)?;
        let word = reply.text()?;
        if let Some(strict) = &self.shared.strict {
            match word.as_str() {
                "unmarked" => {
                    self.begin_quarantine(&request.key);
                    let now = LeaseStore::now(self).await?;
                    return Ok(in_quarantine(now, strict.terms.quarantine()));
                }
                "other" => return Err(strict.terms.disagreement(&reply.text()?)),
                _ => {}
            }
        }
        self.counted(&word, &mut reply).await
    }

    /// What a server's answer to a request for its vote says.
    async fn counted(&self, word: &str, reply: &mut Reply) -> Result<Vote, StoreError> {
        let now = reply.timestamp()?;
        match word {
            "quarantined" => {
                let left = Duration::from_millis(reply.number()?);
                Ok(in_quarantine(now, left))
            }
            "granted" => {
                let fence = Fence::new(reply.number()?);
                let left = Duration::from_millis(reply.number()?);
                let score = reply.next().ok();
                let score = score.map(|score| bytes_of(ACQUIRE.doing, score));
                let kind = Kind::New {
                    score: score.transpose()?.unwrap_or_default(),
                };
                Ok(Vote::Ours(Ours {
                    now,
                    left,
                    fence,
                    kind,
                }))
            }
            "kept" => {
                let fence = reply.text()?;
                let left = Duration::from_millis(reply.number()?);
                let kind = if fence.starts_with('0') {
                    Kind::Agreed
                } else {
                    Kind::Kept
                };
                let fence = fence_of(&fence)?;
                Ok(Vote::Ours(Ours {
                    now,
                    left,
                    fence,
                    kind,
                }))
            }
            "barred" => Err(barred()),
            "held" => {
                let pttl: i64 = reply.number()?;
                let (position, length) = (reply.number()?, reply.number()?);
                let (by, is_agreed) = self.occupant(&mut reply.nested()?).await?;
                Ok(Vote::Theirs {
                    now,
                    by,
                    is_agreed,
                    remaining: u64::try_from(pttl).ok().map(Duration::from_millis),
                    place: place_of(position, length),
                })
            }
            other => Err(reply.unknown(other)),
        }
    }

    /// Takes the vote back, but keeps the place in the queue, which `score` tells where it was
    /// given up. Without a request that waits, there is no place to keep.
    pub(super) async fn yield_vote(
        &self,
        request: &LeaseRequest,
        score: &[u8],
    ) -> Result<Option<Place>, StoreError> {
        let call = self.names(&request.key, &YIELD);
        let call = self.waiting_call(call, request).await.arg(score);
        let mut reply = Reply::new(YIELD.doing, self.shared.link.run(call).await?)?;
        Ok(place_of(reply.number()?, reply.number()?))
    }

    pub(super) async fn end_vote(
        &self,
        key: &Key,
        token: Token,
        end: End,
    ) -> Result<Ended, StoreError> {
        let how = match end {
            End::Release => "release",
            End::Cancel => "cancel",
            End::Leave => "leave",
        };
        let shared = &*self.shared;
        let way = Some(end)
            .filter(|end| *end == End::Cancel)
            .and_then(|_| shared.unanswered.way_of(token));
        let is_behind = |way: Way| way != Way::Any && shared.link.way() == way;
        let mut bars = way.is_some_and(|way| !is_behind(way));
        let mut asked = self.ask_to_end(key, token, (how, bars)).await?;
        if let Some(way) = way {
            if !bars && !is_behind(way) {
                // The connection was made anew meanwhile, and the vote may come by the old one.
                bars = true;
                let again = self.ask_to_end(key, token, (how, bars)).await?;
                asked = if asked == "nothing" { again } else { asked };
            }
            shared.unanswered.forget(token);
        }
        Ok(match asked.as_str() {
            "released" => Ended::Released,
            "left" => Ended::Left,
            _ => Ended::Nothing,
        })
    }

    /// Takes the vote back, and if it `bars` the token, no vote of it counts that comes later.
    async fn ask_to_end(
        &self,
        key: &Key,
        token: Token,
        (how, bars): (&str, bool),
    ) -> Result<String, StoreError> {
        let barred = if bars { BARRED } else { Duration::ZERO };
        let call = self
            .names(key, &END)
            .arg(&token.to_hex())
            .arg(how)
            .arg(u64::try_from(barred.as_millis()).unwrap_or(u64::MAX));
        text_of(END.doing, self.shared.link.run(call).await?)
    }

    /// Asks the server to agree on a fence.
    pub(super) async fn agree(
        &self,
        request: &LeaseRequest,
        fence: Fence,
        rise: Rise,
    ) -> Result<Agreement, StoreError> {
        let is_waiting = request.waiting != Waiting::No;
        let call = self
            .names(&request.key, &RAISE)
            .arg(&request.token.to_hex())
            .arg(fence.get())
            .arg(u8::from(rise == Rise::Over))
            .arg(u8::from(is_waiting));
        let answer = text_of(RAISE.doing, self.shared.link.run(call).await?)?;
        Ok(match answer.strip_prefix('-') {
            Some(greater) => Agreement::Greater(fence_of(greater)?),
            None if answer.is_empty() => Agreement::NotOurs,
            None => Agreement::On(fence_of(&answer)?),
        })
    }

    /// Takes the vote from the holding that an operator saw. False if that is not there.
    pub(super) async fn force_vote(&self, key: &Key, holding: &Mark) -> Result<bool, StoreError> {
        let call = self.names(key, &FORCE).arg(holding.as_str());
        Ok(self.shared.link.run(call).await? == Value::Int(1))
    }

    /// What tells this server's process from every other.
    pub(super) async fn run_id(&self) -> Result<String, StoreError> {
        let doing = "ask the server who it is";
        let call = Call::command(doing, "INFO").arg("server");
        let text = text_of(doing, self.shared.link.run(call).await?)?;
        let id = text.lines().find_map(|line| line.strip_prefix("run_id:"));
        id.map(|id| id.trim().to_owned())
            .ok_or_else(|| unexpected(doing, "no run_id"))
    }

    /// Spares the first requests, which have little time, that they bring their scripts along. A
    /// server that refuses gets them so.
    pub(super) async fn load_scripts(&self) {
        let load = |script: &Script| {
            let call = Call::command("load a script", "SCRIPT").arg("LOAD");
            call.arg(script.text())
        };
        let calls = [&ACQUIRE, &RAISE, &END].map(load).to_vec();
        let _ = self.shared.link.run_all(calls).await;
    }

    /// A call that grants nothing while the server may have forgotten leases.
    fn strict_call(&self, strict: &Strict, key: &Key) -> Call {
        let mut call = ACQUIRE_STRICTLY.call(6);
        let name = self.name_of(key);
        push_keys(&mut call, &name, self.shared.options.tags());
        for name in strict.marker_keys(&name) {
            call.push(name);
        }
        call
    }

    /// Begins the quarantine of a server in a new life. Whoever asked does not wait for that.
    fn begin_quarantine(&self, key: &Key) {
        let (node, lock) = (self.clone(), self.name_of(key));
        tokio::spawn(async move {
            if let Some(strict) = &node.shared.strict
                && let Err(error) = strict.install(&lock).await
            {
                tracing::warn!(%error, "the quarantine of a server of the quorum did not begin");
            }
        });
    }

    /// Adds what a place in the queue needs.
    async fn waiting_call(&self, call: Call, request: &LeaseRequest) -> Call {
        let (keep, channel) = match request.waiting {
            Waiting::InLine { keep } => {
                let name = self.name_of(&request.key);
                (keep, self.shared.link.way_back(&name).await)
            }
            _ => (Duration::ZERO, Cow::Borrowed("")),
        };
        call.arg(&request.token.to_hex())
            .arg(&request.holder.id.to_hex())
            .arg(request.ttl.as_millis())
            .arg(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX))
            .arg(&*channel)
            .arg(self.shared.options.max_waiters)
    }
}

/// A server that may have forgotten leases votes for nobody.
fn in_quarantine(now: Timestamp, left: Duration) -> Vote {
    Vote::Theirs {
        now,
        by: Occupant::Foreign {
            what: "nobody: servers began a new life and have no vote until the leases that they \
                   may have forgotten have ended"
                .to_owned(),
        },
        is_agreed: false,
        remaining: Some(left),
        place: None,
    }
}

fn place_of(position: u32, length: u32) -> Option<Place> {
    (position > 0).then(|| Place::new(position, length))
}

fn fence_of(digits: &str) -> Result<Fence, StoreError> {
    let number = digits.parse();
    number
        .map(Fence::new)
        .map_err(|_| unexpected(RAISE.doing, "a fence that is no number"))
}
