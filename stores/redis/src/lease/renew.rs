//! Renewals: many leases in one request, and one answer each.
//!
//! Who may hold a lease is not decided here; a renewal only keeps what is there.

use std::time::Duration;

use redis::Value;
use tenure_core::{Fence, Grant, RenewRequest, Renewal, StoreError, Timestamp, Ttl};

use super::view::RawOccupant;
use crate::link::{Call, Script};
use crate::reply::Reply;
use crate::store::RedisStore;

static RENEW: Script = Script::new("renew leases", &[include_str!("../scripts/renew.lua")]);

/// How many leases one request renews.
const RENEWALS: usize = 256;

/// What one server says to a renewal.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) renewal: Renewal,
    /// A majority of a quorum agreed on the fence, as this server knows.
    pub(crate) is_agreed: bool,
}

impl RedisStore {
    /// Renews, and says of each lease whether the servers of a quorum agreed on its fence.
    pub(crate) async fn renew_votes(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        // In a cluster the keys of one request must share a slot.
        let most = if self.shared.link.joins_slots() {
            RENEWALS
        } else {
            1
        };
        let batches: Vec<&[RenewRequest]> = requests.chunks(most).collect();
        let answers = if let Some(strict) = &self.shared.strict {
            self.renewals_strictly(strict, &batches).await
        } else {
            let calls = batches
                .iter()
                .map(|batch| self.renewal(&RENEW, batch, None));
            self.shared.link.run_all(calls.collect()).await
        };
        let mut results = Vec::with_capacity(requests.len());
        for (batch, answer) in batches.into_iter().zip(answers) {
            match answer {
                Ok(value) => {
                    let mut reply = Reply::new(RENEW.doing, value)?;
                    let now = reply.timestamp()?;
                    for request in batch {
                        let answer = reply.next()?;
                        results.push(if let Some(renewed) = kept(now, &answer, request.ttl) {
                            Ok(renewed)
                        } else {
                            let mut answer = Reply::new(RENEW.doing, answer)?;
                            Box::pin(self.renewed(now, &mut answer)).await
                        });
                    }
                }
                // Nobody's renewal may be kept from its neighbours' answers.
                Err(error) => results.extend(same_for_all(batch.len(), error)),
            }
        }
        Ok(results)
    }

    /// A call of a script that renews, on the locks and one more key if it needs that.
    pub(super) fn renewal(
        &self,
        script: &'static Script,
        batch: &[RenewRequest],
        more: Option<String>,
    ) -> Call {
        let mut call = script.call(batch.len() + usize::from(more.is_some()));
        for request in batch {
            let prefix = self.shared.options.prefix.as_bytes();
            call.push_joined(&[prefix, request.key.as_bytes()]);
        }
        if let Some(more) = more {
            call.push(more);
        }
        for request in batch {
            call.push(&request.token.to_hex());
            call.push(request.ttl.as_millis());
        }
        call
    }

    async fn renewed(&self, now: Timestamp, answer: &mut Reply) -> Result<Renewed, StoreError> {
        let word = answer.text()?;
        let by = match word.as_str() {
            "renewed" => {
                let digits = answer.text()?;
                let fence = digits.parse().map_err(|_| answer.unknown(&digits))?;
                let left = Duration::from_millis(answer.number()?);
                let grant = Grant::new(Fence::new(fence), now, now + left);
                return Ok(Renewed {
                    renewal: Renewal::Renewed(grant),
                    is_agreed: digits.starts_with('0'),
                });
            }
            "free" => None,
            "foreign" => Some(RawOccupant::Foreign(answer.text()?)),
            "lost" => Some(RawOccupant::Ours {
                holder: answer.parse()?,
                fence: Fence::new(answer.number()?),
                since: answer.timestamp()?,
            }),
            other => return Err(answer.unknown(other)),
        };
        let by = match by {
            Some(raw) => Some(raw.named(self).await),
            None => None,
        };
        Ok(Renewed {
            renewal: Renewal::Lost { now, by },
            is_agreed: false,
        })
    }
}

/// A lease that is kept for as long as was asked for, of which the script says the fence alone.
fn kept(now: Timestamp, answer: &Value, ttl: Ttl) -> Option<Renewed> {
    let Value::BulkString(digits) = answer else {
        return None;
    };
    let fence = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Renewed {
        renewal: Renewal::Renewed(Grant::new(Fence::new(fence), now, now + ttl.get())),
        is_agreed: digits.starts_with(b"0"),
    })
}

/// One failure of several requests: the first carries it whole.
fn same_for_all<T>(count: usize, error: StoreError) -> impl Iterator<Item = Result<T, StoreError>> {
    let (kind, text) = (error.kind(), error.to_string());
    let is_unknown = error.outcome_is_unknown();
    let again = move || {
        let error = StoreError::new(kind, text.clone());
        if is_unknown {
            error.with_unknown_outcome()
        } else {
            error
        }
    };
    std::iter::once(error)
        .chain(std::iter::repeat_with(again))
        .take(count)
        .map(Err)
}
