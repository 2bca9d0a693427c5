//! Leases on Redis: one script a step, and a push to the next in line.
//!
//! # Sources
//! The single-server lock is that of the Redis documentation, "Distributed locks with Redis"; the
//! queue and the hand-off inside the release are ours. C. Gray and D. Cheriton, "Leases" (1989).

mod ask;
mod cancel;
mod list;
mod people;
mod renew;
mod share;
mod step;
mod strict;
mod unanswered;
mod unheard;
mod view;

use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tenure_core::{
    Acquisition, Cancellation, Durability, Fence, ForceRequest, Forced, Grant, HandOff, Held, Key,
    LeasePage, LeasePromises, LeaseRequest, LeaseStore, LeaseView, ListQuery, Note, Occupant,
    Order, Place, Release, RenewRequest, Renewal, RunStore as _, Scope, SharedLeases, StoreError,
    StoreErrorKind, Timestamp, Token, Ttl, Wakes,
};

#[cfg(feature = "bare")]
pub(crate) use self::list::escaped;
pub(crate) use self::people::People;
pub(crate) use self::renew::Renewed;
pub(crate) use self::share::Sharers;
pub(crate) use self::step::{Step, Wording};
#[cfg(feature = "bare")]
pub(crate) use self::step::{pair_of_calls, pair_of_texts};
pub(crate) use self::unanswered::{BARRED, Unanswered};
pub(crate) use self::unheard::Unheard;
use self::view::{RawOccupant, view_of};
use crate::link::{Call, Script, Way};
use crate::options::RedisOptions;
use crate::reply::{Reply, text_of};
use crate::slots::Tags;
use crate::store::RedisStore;

pub(crate) const SHARED: &str = include_str!("../scripts/lease.lua");
const SHARING: &str = include_str!("../scripts/shared.lua");
const PLACE: &str = include_str!("../scripts/place.lua");
pub(crate) const MARK: &str = include_str!("../scripts/mark.lua");
pub(crate) const TAKEN: &str = include_str!("../scripts/taken.lua");

/// What grants a lock that is free, on the names of a script's four keys.
pub(crate) const FREE: &str = concat!(
    include_str!("../scripts/acquire_named.lua"),
    include_str!("../scripts/acquire_free.lua")
);
const ACQUIRE_PARTS: &[&str] = &[FREE, JOIN, SHARED, PLACE, ACQUIRING];
const JOIN: &str = include_str!("../scripts/acquire_join.lua");
const ACQUIRING: &str = include_str!("../scripts/acquire.lua");
const RELEASE_PARTS: &[&str] = &[
    include_str!("../scripts/release_named.lua"),
    ALONE,
    NEXT,
    SHARED,
    RELEASING,
];
const ALONE: &str = include_str!("../scripts/release_alone.lua");
const NEXT: &str = include_str!("../scripts/release_next.lua");
const RELEASING: &str = include_str!("../scripts/release.lua");
static ACQUIRE: Script = Script::urgent("acquire a lease", ACQUIRE_PARTS);
static RELEASE: Script = Script::urgent("release a lease", RELEASE_PARTS);
/// The same where one server has all keys: of one key and one text.
static ACQUIRE_PACKED: Script = Script::urgent(
    "acquire a lease",
    &[
        include_str!("../scripts/acquire_packed.lua"),
        include_str!("../scripts/acquire_free.lua"),
        include_str!("../scripts/acquire_unpack.lua"),
        JOIN,
        SHARED,
        PLACE,
        ACQUIRING,
    ],
);
static RELEASE_PACKED: Script = Script::urgent(
    "release a lease",
    &[
        include_str!("../scripts/release_packed.lua"),
        ALONE,
        include_str!("../scripts/release_unpack.lua"),
        NEXT,
        SHARED,
        RELEASING,
    ],
);
static KICK: Script = Script::new(
    "hand on a lease",
    &[SHARED, SHARING, include_str!("../scripts/kick.lua")],
);
static FORCE: Script = Script::new(
    "force a lease",
    &[
        SHARED,
        SHARING,
        MARK,
        TAKEN,
        include_str!("../scripts/force.lua"),
    ],
);
static INSPECT: Script = Script::new(
    "inspect a lease",
    &[SHARED, MARK, include_str!("../scripts/inspect.lua")],
);

/// How many steps are made in a row to get past dead waiters.
const MOST_STEPS: usize = 1000;
/// How many waiters are shown.
const MOST_SHOWN: u32 = 1000;
/// How often a waiter confirms its place, whatever happens.
const REFRESH: Duration = Duration::from_secs(5);
/// How many of the first in line look for themselves when a lease should have ended, each a little
/// after the one before, so that a dead one at the head holds nobody up.
const LOOKERS: u32 = 8;
/// How many of the first in line ask once in a claim window, whatever happens: a lease that was
/// handed to somebody who vanished without a word ends unheard, and whoever comes next must have
/// seen it by then.
const NEAR: u32 = 256;
const BETWEEN_LOOKERS: Duration = Duration::from_millis(20);
/// How often a watched foreign lock is looked at in case the server did not tell.
const WATCHED: Duration = Duration::from_secs(1);

impl RedisStore {
    /// A call of `script` on the four keys of a lock.
    pub(crate) fn names(&self, key: &Key, script: &'static Script) -> Call {
        on_keys(&self.name_of(key), self.shared.options.tags(), script)
    }

    /// The lock's name in the server.
    pub(crate) fn name_of(&self, key: &Key) -> Vec<u8> {
        [self.shared.options.prefix.as_bytes(), key.as_bytes()].concat()
    }

    fn claim_window(&self) -> u64 {
        window_ms(&self.shared.options)
    }

    /// Hands a free lock on when one step was not enough.
    async fn kick(&self, key: &Key) -> Result<(), StoreError> {
        for _ in 0..MOST_STEPS {
            let call = self.all_names(key, &KICK).arg(self.claim_window());
            let word = text_of(KICK.doing, self.shared.link.run(call).await?)?;
            if word != "more" {
                break;
            }
        }
        Ok(())
    }

    /// Who has a lock, as a script of one server of a quorum says it, and whether that server knows
    /// that a majority agreed on the fence.
    pub(crate) async fn occupant(&self, reply: &mut Reply) -> Result<(Occupant, bool), StoreError> {
        let raw = RawOccupant::read(reply)?;
        let is_agreed = raw.is_agreed();
        Ok((raw.named(self).await, is_agreed))
    }

    async fn held(
        &self,
        request: &LeaseRequest,
        reply: &mut Reply,
        must_ask: bool,
    ) -> Result<Held, StoreError> {
        let now_us: i64 = reply.number()?;
        let now = Timestamp::from_millis(now_us.div_euclid(1000));
        let pttl: i64 = reply.number()?;
        let (position, length): (u32, u32) = (reply.number()?, reply.number()?);
        let raw = RawOccupant::read(&mut reply.nested()?)?;
        let remaining = u64::try_from(pttl).ok().map(Duration::from_millis);
        let is_waiting = position > 0;
        let ask_again = match &raw {
            RawOccupant::Foreign(_) if is_waiting => {
                let name = self.name_of(&request.key);
                let is_watched = self.shared.link.watch(&name).await;
                let look = if is_watched {
                    WATCHED
                } else {
                    self.shared.options.poll
                };
                remaining.map_or(look, |left| left.min(look))
            }
            RawOccupant::Free => self.shared.options.poll,
            _ if must_ask => self.shared.options.poll,
            _ => {
                let after_me = BETWEEN_LOOKERS.saturating_mul(position.saturating_sub(1));
                let most = if position <= NEAR {
                    REFRESH.min(self.shared.options.claim_window)
                } else {
                    REFRESH
                };
                let left = remaining.unwrap_or(most);
                if position <= LOOKERS {
                    left.saturating_add(after_me).min(most)
                } else {
                    most
                }
            }
        };
        // Servers count the whole millisecond in which a lease ends as still inside it, and a part
        // of the present one is over.
        let until_next = 1000 - now_us.rem_euclid(1000).unsigned_abs();
        let ask_again = ask_again.saturating_add(Duration::from_micros(until_next));
        let mut held = Held::new(now, raw.named(self).await, remaining).ask_again_after(ask_again);
        if is_waiting {
            held = held.in_place(Place::new(position, length));
        }
        Ok(held)
    }
}

/// The answer to an acquisition that was cancelled before it arrived. Nobody awaits it any more.
pub(crate) fn barred() -> StoreError {
    StoreError::new(
        StoreErrorKind::InvalidRequest,
        "acquire a lease: this acquisition was cancelled; begin another, with a token of its own",
    )
}

fn window_ms(options: &RedisOptions) -> u64 {
    u64::try_from(options.claim_window.as_millis()).unwrap_or(u64::MAX)
}

/// A call of `script` on the four keys of the lock that is called `name` in the server.
fn on_keys(name: &[u8], tags: Tags, script: &'static Script) -> Call {
    let mut call = script.call(4);
    push_keys(&mut call, name, tags);
    call
}

/// Adds the six keys of a lock that may be shared: those of [`push_keys`], when each share ends,
/// and whose they are.
fn push_share_keys(call: &mut Call, name: &[u8], tags: Tags) {
    push_keys(call, name, tags);
    let tag = tags.of(name).as_bytes();
    call.push_joined(&[b"tenure:{", tag, b"}:e:", name]);
    call.push_joined(&[b"tenure:{", tag, b"}:d:", name]);
}

/// Adds the four keys of the lock that is called `name`: itself, its queue, its waiters, and the
/// fence counter of its tag.
pub(crate) fn push_keys(call: &mut Call, name: &[u8], tags: Tags) {
    let tag = tags.of(name).as_bytes();
    call.push(name);
    call.push_joined(&[b"tenure:{", tag, b"}:q:", name]);
    call.push_joined(&[b"tenure:{", tag, b"}:w:", name]);
    call.push_joined(&[b"tenure:{", tag, b"}:f"]);
}

#[async_trait]
impl LeaseStore for RedisStore {
    fn promises(&self) -> LeasePromises {
        let mut promises = LeasePromises::new("redis", Scope::Cluster, Durability::Nothing);
        promises.hand_off = if self.shared.link.pushes() {
            HandOff::Pushed
        } else {
            HandOff::AskAgain(self.shared.options.poll)
        };
        promises.order = Order::Fifo;
        promises.shared = SharedLeases::Kept;
        promises.claim_window = self.shared.options.claim_window;
        promises.wall_clock_steps_end_leases = true;
        promises.forgets = "leases granted since the last write to disk or to a replica, when the \
                            server restarts or fails over; fences still grow";
        // Whoever finds a lock held may also have to connect, to watch it and to ask for a name.
        promises.answers_within = self.shared.link.limit().map(|limit| limit * 4);
        if self.shared.strict.is_some() {
            promises.answers_within = None;
            // A release that hands on waits for no replica, so its waiter has to ask.
            promises.hand_off = HandOff::AskAgain(self.shared.options.poll);
            promises.forgets = "leases granted since the last write to disk or to a replica, when \
                                the server restarts or fails over; it then grants nothing for the \
                                longest ttl, so that no lock has two holders";
        }
        promises
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        self.shared.ears.leases.listen(key, token)
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        self.expect_share(request);
        if let Some(strict) = &self.shared.strict {
            let asking = self.shared.unanswered.asking(request.token, Way::Any);
            let answer = Box::pin(self.acquire_strictly(strict, request)).await;
            asking.answered(&answer);
            return answer;
        }
        if let Some(want) = share::want_of(request.sharing) {
            return Box::pin(self.acquire_share(request, &want)).await;
        }
        for _ in 0..MOST_STEPS {
            let (answer, must_ask) = self.ask(request).await?;
            if let Some(grant) = granted_at_once(&answer, request.ttl) {
                return Ok(Acquisition::Granted(grant));
            }
            let mut reply = Reply::new(ACQUIRE.doing, answer)?;
            let word = reply.text()?;
            match word.as_str() {
                "granted" => return granted(&mut reply).map(Acquisition::Granted),
                "held" => {
                    let held = Box::pin(self.held(request, &mut reply, must_ask)).await?;
                    return Ok(Acquisition::Held(held));
                }
                "again" => {}
                "barred" => return Err(barred()),
                other => return Err(reply.unknown(other)),
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "acquire a lease: very many dead waiters stand in the way; try again",
        ))
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        let results = match &self.shared.strict {
            Some(strict) => self.renew_within(strict, requests).await?,
            None => self.renew_votes(requests).await?,
        };
        let renewal = |result: Result<Renewed, StoreError>| result.map(|one| one.renewal);
        Ok(results.into_iter().map(renewal).collect())
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        if self.shared.ears.sharers.has(token) {
            return Box::pin(self.release_share(key, token)).await;
        }
        let answer = self.shared.link.make(Step::release(key, token)).await?;
        if self.shared.unanswered.way_of(token).is_some() {
            Box::pin(self.bar(key, token)).await;
        }
        if matches!(answer, Value::Okay) {
            return Ok(Release::Freed);
        }
        let word = text_of(RELEASE.doing, answer)?;
        match word.as_str() {
            "freed" => Ok(Release::Freed),
            "handed" => Ok(Release::HandedOn),
            "more" => Box::pin(self.kick(key)).await.map(|()| Release::Freed),
            "shared" => Box::pin(self.release_share(key, token)).await,
            _ => Ok(Release::NotHeld),
        }
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        self.cancel_all_of(key, token).await
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        match self.look(key, MOST_SHOWN).await? {
            Some(raw) => Ok(Some(view_of(self, key.clone(), raw).await)),
            None => Ok(None),
        }
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        self.list_leases(query).await
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        let call = self
            .all_names(&request.key, &FORCE)
            .arg(request.expected.as_str())
            .arg(self.claim_window());
        let mut reply = Reply::new(FORCE.doing, self.shared.link.run(call).await?)?;
        let word = reply.text()?;
        match word.as_str() {
            "none" => return Ok(Forced::NotHeld),
            "changed" => {
                let view = self.inspect(&request.key).await?;
                return Ok(view.map_or(Forced::NotHeld, |current| Forced::Changed { current }));
            }
            "more" => self.kick(&request.key).await?,
            _ => {}
        }
        let from = RawOccupant::read(&mut reply.nested()?)?.named(self).await;
        self.record_force(request, &from).await;
        Ok(Forced::Done { from })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let doing = "read the clock";
        let call = Call::command(doing, "TIME");
        let mut reply = Reply::new(doing, self.shared.link.run(call).await?)?;
        let (seconds, micros): (i64, i64) = (reply.number()?, reply.number()?);
        Ok(Timestamp::from_millis(seconds * 1000 + micros / 1000))
    }
}

impl RedisStore {
    /// The audit record of a forced release. The lock is free by then, so a failure is only logged.
    async fn record_force(&self, request: &ForceRequest, from: &Occupant) {
        let key = &request.key;
        let mut text = format!("{} took `{key}` from {from}", request.by);
        if !request.why.is_empty() {
            text.push_str(": ");
            text.push_str(&request.why);
        }
        if let Err(error) = self.note(&Note::new("lease_forced", text)).await {
            tracing::warn!(%key, %error, "a forced release was not recorded");
        }
    }
}

/// The grant of a lock that was free and that nobody waited for, of which a script says the fence
/// alone: microseconds of the server's clock.
pub(crate) fn granted_at_once(answer: &Value, ttl: Ttl) -> Option<Grant> {
    let micros: i64 = match answer {
        // As the script of a batch says it of many.
        Value::Int(micros) => *micros,
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    let now = Timestamp::from_millis(micros / 1000);
    let fence = Fence::new(micros.try_into().ok()?);
    Some(Grant::new(fence, now, now + ttl.get()))
}

fn granted(reply: &mut Reply) -> Result<Grant, StoreError> {
    let now = reply.timestamp()?;
    let fence = Fence::new(reply.number()?);
    let left = Duration::from_millis(reply.number()?);
    Ok(Grant::new(fence, now, now + left))
}
