//! Leases under strict safety: each grant and each renewal counts when a majority has it, and a
//! server in a new life grants nothing until what it may have forgotten has run out.
//!
//! What is pushed by a release is only a reason to ask here, because the release waited for
//! nobody; the request that follows does. A renewal is not kept waiting by a quarantine: the lease
//! is there, and with a majority's word for it nobody else can have it.

use std::pin::pin;

use redis::Value;
use tenure_core::{
    Acquisition, Held, LeaseRequest, Occupant, RenewRequest, StoreError, StoreErrorKind,
};

use super::{
    ACQUIRING, FREE, JOIN, MOST_STEPS, PLACE, REFRESH, RELEASE, Renewed, SHARED, barred, granted,
    granted_at_once, push_keys, push_share_keys, share,
};
use crate::link::{Call, Kept, Script};
use crate::reply::Reply;
use crate::safety::{GUARD, LIFE, LIFE_KEYS, Strict, begins_with};
use crate::slots::Tags;
use crate::store::RedisStore;

static ACQUIRE: Script = Script::new(
    "acquire a lease",
    &[
        LIFE,
        GUARD,
        include_str!("../scripts/strict_kept.lua"),
        FREE,
        JOIN,
        SHARED,
        PLACE,
        ACQUIRING,
    ],
)
.with_last(LIFE_KEYS);
static RENEW: Script = Script::new(
    "renew leases",
    &[
        include_str!("../scripts/strict_touch.lua"),
        include_str!("../scripts/renew.lua"),
    ],
)
.of_each_key();

impl RedisStore {
    pub(super) async fn acquire_strictly(
        &self,
        strict: &Strict,
        request: &LeaseRequest,
    ) -> Result<Acquisition, StoreError> {
        strict.terms.check_ttl(request.ttl)?;
        let name = self.name_of(&request.key);
        let copies = strict.terms.copies(request.ttl.get());
        let want = share::want_of(request.sharing);
        for _ in 0..MOST_STEPS {
            let mut call = keyed(&name, self.shared.options.tags(), want.is_some());
            for key in strict.marker_keys(&name) {
                call.push(key);
            }
            let (call, must_ask) = self.asked(request, call).await;
            let call = want.iter().fold(call, Call::arg);
            let call = call.arg(strict.terms.settings());
            let asking = pin!(strict.lanes.run(&name, call, is_grant, &copies));
            let mut kept = self.introduced(&request.holder, asking).await?;
            let answer = std::mem::replace(&mut kept.answer, Value::Nil);
            let at_once = granted_at_once(&answer, request.ttl);
            if let Some(grant) = at_once.clone().filter(|_| kept.has_majority()) {
                return Ok(Acquisition::Granted(grant));
            }
            let mut reply = match at_once {
                Some(_) => Reply::of_word(ACQUIRE.doing, "granted"),
                None => Reply::new(ACQUIRE.doing, answer)?,
            };
            let word = reply.text()?;
            match word.as_str() {
                "granted" | "kept" if kept.has_majority() => {
                    return granted(&mut reply).map(Acquisition::Granted);
                }
                "granted" => {
                    let error = strict.no_quorum(ACQUIRE.doing, kept.copies);
                    let undo = self.undoing(request);
                    let undone = kept.then(&undo, self.shared.options.timeout).await;
                    self.look_for_the_primary(strict, &name, &kept);
                    return Err(match undone {
                        Ok(_) => error,
                        Err(_) => error.with_unknown_outcome(),
                    });
                }
                // It was this token's before and may be trusted, so it is not taken away.
                "kept" => {
                    self.look_for_the_primary(strict, &name, &kept);
                    return Err(strict.unconfirmed(ACQUIRE.doing, kept.copies));
                }
                "held" => {
                    drop(kept);
                    let held = self.held(request, &mut reply, must_ask).await?;
                    return Ok(Acquisition::Held(held));
                }
                "quarantined" => return quarantined(&mut reply).map(Acquisition::Held),
                "unmarked" => {
                    // The connection is needed for what comes next.
                    drop(kept);
                    strict.install(&name).await?;
                }
                "again" => {}
                "barred" => return Err(barred()),
                "other" => return Err(strict.terms.disagreement(&reply.text()?)),
                other => return Err(reply.unknown(other)),
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "acquire a lease: very many dead waiters stand in the way; try again",
        ))
    }

    /// The release of what was granted without a majority.
    fn undoing(&self, request: &LeaseRequest) -> Call {
        let call = if request.sharing.is_shared() {
            self.all_names(&request.key, &share::RELEASE)
        } else {
            self.names(&request.key, &RELEASE)
        };
        call.arg(&request.token.to_hex()).arg(self.claim_window())
    }

    /// Renews those that are short enough, and says of the others that they are not.
    pub(super) async fn renew_within(
        &self,
        strict: &Strict,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        if requests
            .iter()
            .all(|request| strict.terms.check_ttl(request.ttl).is_ok())
        {
            return self.renew_votes(requests).await;
        }
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            match strict.terms.check_ttl(request.ttl) {
                Ok(()) => results.extend(self.renew_votes(std::slice::from_ref(request)).await?),
                Err(error) => results.push(Err(error)),
            }
        }
        Ok(results)
    }

    /// The answers to batches of renewals, each an error if too few replicas have it.
    pub(super) async fn renewals_strictly(
        &self,
        strict: &Strict,
        batches: &[&[RenewRequest]],
    ) -> Vec<Result<Value, StoreError>> {
        let renewing = batches.iter().map(|batch| self.renew_batch(strict, batch));
        futures_util::future::join_all(renewing).await
    }

    async fn renew_batch(
        &self,
        strict: &Strict,
        batch: &[RenewRequest],
    ) -> Result<Value, StoreError> {
        let name = batch.first().map(|first| self.name_of(&first.key));
        let name = name.unwrap_or_default();
        let ttl = batch.iter().map(|request| request.ttl.get()).min();
        let copies = strict.terms.copies(ttl.unwrap_or_default());
        let call = self.renewal(&RENEW, batch, Some(strict.key("touch", &name)));
        let kept = strict.lanes.run(&name, call, |_| true, &copies).await?;
        if kept.has_majority() {
            return Ok(kept.answer);
        }
        self.look_for_the_primary(strict, &name, &kept);
        let error = strict.no_quorum(RENEW.doing, kept.copies);
        Err(error.with_unknown_outcome())
    }

    /// Who cannot reach its replicas may no longer be the primary.
    pub(crate) fn look_for_the_primary(&self, strict: &Strict, lock: &[u8], kept: &Kept) {
        kept.leave();
        strict.lanes.forget(lock);
        self.shared.link.leave();
    }
}

/// The request for a lock with its own keys; the markers' are to follow.
fn keyed(name: &[u8], tags: Tags, is_shared: bool) -> Call {
    if is_shared {
        let mut call = share::ACQUIRE_STRICTLY.call(8);
        push_share_keys(&mut call, name, tags);
        return call;
    }
    let mut call = ACQUIRE.call(6);
    push_keys(&mut call, name, tags);
    call
}

fn is_grant(answer: &Value) -> bool {
    matches!(answer, Value::BulkString(_)) || begins_with(answer, &["granted", "kept"])
}

fn quarantined(reply: &mut Reply) -> Result<Held, StoreError> {
    let now = reply.timestamp()?;
    let left = std::time::Duration::from_millis(reply.number()?);
    let by = Occupant::Foreign {
        what: "nobody: the server began a new life, by a restart or a fail-over, and grants \
               nothing until the leases that it may have forgotten have ended"
            .to_owned(),
    };
    // Servers count the end of a key as still inside it.
    let ask_again = left.min(REFRESH) + std::time::Duration::from_millis(1);
    Ok(Held::new(now, by, Some(left)).ask_again_after(ask_again))
}
