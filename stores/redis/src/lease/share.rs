//! Leases that several hold at once: their requests, and who of this process asks for them.
//!
//! Who goes with whom is decided by the scripts: see `scripts/shared.lua`. They are sent alone, so
//! that what exclusive leases send is as short as ever.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;
use tenure_core::{
    Acquisition, Clock as _, Fence, Grant, Key, LeaseRequest, Moment, Release, RenewRequest,
    Renewal, Sharing, StoreError, StoreErrorKind, SystemClock, Token, Ttl,
};

use super::view::RawOccupant;
use super::{MOST_STEPS, PLACE, Renewed, SHARED, SHARING, barred, granted, push_share_keys};
use crate::link::{Call, Script};
use crate::reply::{Reply, text_of};
use crate::safety::{GUARD, LIFE, LIFE_KEYS, Strict};
use crate::store::RedisStore;

const ACQUIRING: &str = include_str!("../scripts/shared_acquire.lua");
const RENEWING: &str = include_str!("../scripts/shared_renew.lua");

static ACQUIRE: Script = Script::urgent("acquire a lease", &[SHARED, SHARING, PLACE, ACQUIRING]);
pub(super) static ACQUIRE_STRICTLY: Script = Script::new(
    "acquire a lease",
    &[LIFE, GUARD, SHARED, SHARING, PLACE, ACQUIRING],
)
.with_last(LIFE_KEYS);
pub(super) static RELEASE: Script = Script::urgent(
    "release a lease",
    &[
        SHARED,
        SHARING,
        include_str!("../scripts/shared_release.lua"),
    ],
);
static RENEW: Script = Script::new("renew leases", &[SHARED, SHARING, RENEWING]);
static RENEW_STRICTLY: Script = Script::new(
    "renew leases",
    &[
        include_str!("../scripts/strict_touch.lua"),
        SHARED,
        SHARING,
        RENEWING,
    ],
)
.with_last(1);

/// How many tokens are remembered. Those beyond go round by way of the ordinary scripts.
const MOST: usize = 65_536;

/// The tokens of this process that asked for a share.
///
/// It spares a request: the ordinary scripts say of a lock that is shared that it is, and then the
/// right one is sent.
#[derive(Debug, Default)]
pub(crate) struct Sharers {
    /// Spares those who ask the lock as long as there are none.
    is_any: AtomicBool,
    since: Mutex<HashMap<Token, Moment>>,
}

impl Sharers {
    pub(crate) fn has(&self, token: Token) -> bool {
        self.is_any.load(Ordering::Acquire) && self.since().contains_key(&token)
    }

    fn add(&self, token: Token) {
        let now = SystemClock.now();
        let mut since = self.since();
        if since.len() >= MOST {
            // Whoever still holds one has renewed it.
            since.retain(|_, at| now.since(*at) < Ttl::MAX);
        }
        if since.len() < MOST {
            since.insert(token, now);
            self.is_any.store(true, Ordering::Release);
        }
    }

    pub(super) fn forget(&self, token: Token) {
        if !self.is_any.load(Ordering::Acquire) {
            return;
        }
        let mut since = self.since();
        since.remove(&token);
        self.is_any.store(!since.is_empty(), Ordering::Release);
    }

    fn since(&self) -> MutexGuard<'_, HashMap<Token, Moment>> {
        // A panic elsewhere leaves the map whole.
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a script is told of how a lease is shared; nothing of one that is not.
pub(super) fn want_of(sharing: Sharing) -> Option<String> {
    let most = |most: NonZeroU32| most.to_string();
    match sharing {
        Sharing::Shared { at_most } => Some(at_most.map_or_else(|| "r".to_owned(), most)),
        _ => None,
    }
}

/// How a lease is shared of which a script says this.
pub(super) fn sharing_of(want: &str) -> Sharing {
    match want {
        "r" => Sharing::READ,
        most => most.parse().map_or(Sharing::Exclusive, Sharing::permit),
    }
}

impl RedisStore {
    /// A call of `script` on the six keys of a lock that may be shared.
    pub(super) fn all_names(&self, key: &Key, script: &'static Script) -> Call {
        let mut call = script.call(6);
        push_share_keys(&mut call, &self.name_of(key), self.shared.options.tags());
        call
    }

    /// Remembers who asks for a share.
    pub(super) fn expect_share(&self, request: &LeaseRequest) {
        if request.sharing.is_shared() {
            self.shared.ears.sharers.add(request.token);
        }
    }

    pub(super) async fn acquire_share(
        &self,
        request: &LeaseRequest,
        want: &str,
    ) -> Result<Acquisition, StoreError> {
        for _ in 0..MOST_STEPS {
            let shared = &*self.shared;
            let asking = shared.unanswered.asking(request.token, shared.link.way());
            let call = self.all_names(&request.key, &ACQUIRE);
            let (call, must_ask) = self.asked(request, call).await;
            let answer = self.introducing(&request.holder, call.arg(want)).await;
            asking.answered(&answer);
            let mut reply = Reply::new(ACQUIRE.doing, answer?)?;
            let word = reply.text()?;
            match word.as_str() {
                "granted" | "kept" => return granted(&mut reply).map(Acquisition::Granted),
                "held" => {
                    let held = self.held(request, &mut reply, must_ask).await?;
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

    pub(super) async fn release_share(
        &self,
        key: &Key,
        token: Token,
    ) -> Result<Release, StoreError> {
        let call = self
            .all_names(key, &RELEASE)
            .behind()
            .arg(&token.to_hex())
            .arg(self.claim_window());
        let word = text_of(RELEASE.doing, self.shared.link.run(call).await?)?;
        if self.shared.unanswered.way_of(token).is_some() {
            self.bar(key, token).await;
        }
        self.shared.ears.sharers.forget(token);
        match word.as_str() {
            "freed" => Ok(Release::Freed),
            "handed" => Ok(Release::HandedOn),
            "others" => Ok(Release::OthersHold),
            "more" => self.kick(key).await.map(|()| Release::Freed),
            _ => Ok(Release::NotHeld),
        }
    }

    /// Renews shares, each with a request of its own, sent together.
    pub(super) async fn renew_shares(
        &self,
        requests: &[RenewRequest],
    ) -> Vec<Result<Renewed, StoreError>> {
        let answers = if let Some(strict) = &self.shared.strict {
            let renewing = requests
                .iter()
                .map(|request| self.renew_share_strictly(strict, request));
            join_all(renewing).await
        } else {
            let calls = requests.iter().map(|request| {
                let call = self.all_names(&request.key, &RENEW);
                self.renewal_of_share(call, request)
            });
            self.shared.link.run_all(calls.collect()).await
        };
        let read = requests.iter().zip(answers).map(async |(request, answer)| {
            let renewal = self.read_share(answer?).await?;
            if matches!(renewal, Renewal::Lost { .. }) {
                self.shared.ears.sharers.forget(request.token);
            } else {
                self.shared.ears.sharers.add(request.token);
            }
            Ok(Renewed {
                renewal,
                is_agreed: false,
            })
        });
        join_all(read).await
    }

    fn renewal_of_share(&self, call: Call, request: &RenewRequest) -> Call {
        call.arg(&request.token.to_hex())
            .arg(request.ttl.as_millis())
            .arg(self.claim_window())
    }

    async fn renew_share_strictly(
        &self,
        strict: &Strict,
        request: &RenewRequest,
    ) -> Result<Value, StoreError> {
        let name = self.name_of(&request.key);
        let mut call = RENEW_STRICTLY.call(7);
        push_share_keys(&mut call, &name, self.shared.options.tags());
        call.push(strict.key("touch", &name));
        let call = self.renewal_of_share(call, request);
        let copies = strict.terms.copies(request.ttl.get());
        let kept = strict.lanes.run(&name, call, |_| true, &copies).await?;
        if kept.has_majority() {
            return Ok(kept.answer);
        }
        self.look_for_the_primary(strict, &name, &kept);
        let error = strict.no_quorum(RENEW.doing, kept.copies);
        Err(error.with_unknown_outcome())
    }

    async fn read_share(&self, answer: Value) -> Result<Renewal, StoreError> {
        let mut reply = Reply::new(RENEW.doing, answer)?;
        let word = reply.text()?;
        let now = reply.timestamp()?;
        if word == "renewed" {
            let fence = Fence::new(reply.number()?);
            let left = Duration::from_millis(reply.number()?);
            return Ok(Renewal::Renewed(Grant::new(fence, now, now + left)));
        }
        let by = match RawOccupant::read(&mut reply.nested()?)? {
            RawOccupant::Free => None,
            raw => Some(raw.named(self).await),
        };
        Ok(Renewal::Lost { now, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r68_r69_what_is_wanted_is_read_as_it_is_written() {
        let seven = NonZeroU32::new(7).unwrap();
        for sharing in [Sharing::READ, Sharing::permit(seven)] {
            let want = want_of(sharing).unwrap();
            assert_eq!(sharing_of(&want), sharing);
        }
        assert_eq!(want_of(Sharing::Exclusive), None);
        for other in ["x", "", "0", "-1", "4294967296"] {
            assert_eq!(sharing_of(other), Sharing::Exclusive, "{other}");
        }
    }

    #[test]
    fn tokens_are_remembered_until_they_are_forgotten() {
        let (sharers, token) = (Sharers::default(), Token::random());
        assert!(!sharers.has(token));
        sharers.add(token);
        assert!(sharers.has(token) && !sharers.has(Token::random()));
        sharers.forget(token);
        assert!(!sharers.has(token));
    }
}
