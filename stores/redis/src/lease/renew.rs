//! Renewals: many leases in one request, and one answer each.
//!
//! Who may hold a lease is not decided here; a renewal only keeps what is there.

use std::str::FromStr;
use std::time::Duration;

use redis::Value;
use tenure_core::{Fence, Grant, RenewRequest, Renewal, StoreError, Timestamp};

use super::view::RawOccupant;
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of, unexpected};
use crate::slots::slot_of;
use crate::store::RedisStore;

static RENEW: Script =
    Script::new("renew leases", &[include_str!("../scripts/renew.lua")]).of_each_key();

/// How many leases one request renews.
const RENEWALS: usize = 256;

/// What one server says to a renewal.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) renewal: Renewal,
    /// A majority of a quorum agreed on the fence, this one's or that of whoever has the lock
    /// instead, as this server knows.
    pub(crate) is_agreed: bool,
}

impl RedisStore {
    /// Renews, and says of each lease whether the servers of a quorum agreed on its fence.
    pub(crate) async fn renew_votes(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        let known = &self.shared.ears.sharers;
        let is_share = |request: &RenewRequest| known.has(request.token);
        if !requests.iter().any(is_share) {
            return self.renew_usual(requests).await;
        }
        let kinds: Vec<_> = requests.iter().map(is_share).collect();
        let those = |wanted: bool| {
            let both = kinds.iter().zip(requests);
            let those = both.filter(move |(kind, _)| **kind == wanted);
            those.map(|(_, one)| one.clone()).collect::<Vec<_>>()
        };
        let (ours, others) = (those(true), those(false));
        let usual = async {
            if others.is_empty() {
                Ok(Vec::new())
            } else {
                self.renew_usual(&others).await
            }
        };
        let (shared, usual) = tokio::join!(Box::pin(self.renew_shares(&ours)), usual);
        let (mut shared, mut usual) = (shared.into_iter(), usual?.into_iter());
        let merged = kinds.iter().filter_map(|is_share| {
            if *is_share {
                shared.next()
            } else {
                usual.next()
            }
        });
        Ok(merged.collect())
    }

    async fn renew_usual(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        if self.shared.link.joins_slots() {
            return self
                .renew_batches(requests.chunks(RENEWALS).collect())
                .await;
        }
        // In a cluster the keys of one request must share a slot.
        let slot = |request: &RenewRequest| slot_of(&self.name_of(&request.key));
        let mut by_slot: Vec<_> = requests
            .iter()
            .map(slot)
            .zip(requests)
            .enumerate()
            .collect();
        by_slot.sort_by_key(|(_, (slot, _))| *slot);
        let sorted: Vec<_> = by_slot.iter().map(|(_, (_, one))| (*one).clone()).collect();
        let mut batches = Vec::new();
        let mut rest = sorted.as_slice();
        for of_slot in by_slot.chunk_by(|(_, (one, _)), (_, (next, _))| one == next) {
            let (these, others) = rest.split_at(of_slot.len());
            batches.extend(these.chunks(RENEWALS));
            rest = others;
        }
        let results = self.renew_batches(batches).await?;
        let places = by_slot.iter().map(|(place, _)| *place);
        let mut results: Vec<_> = places.zip(results).collect();
        results.sort_unstable_by_key(|(place, _)| *place);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    async fn renew_batches(
        &self,
        batches: Vec<&[RenewRequest]>,
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        let answers = if let Some(strict) = &self.shared.strict {
            self.renewals_strictly(strict, &batches).await
        } else {
            let calls = batches
                .iter()
                .map(|batch| self.renewal(&RENEW, batch, None));
            self.shared.link.run_all(calls.collect()).await
        };
        let mut results = Vec::with_capacity(batches.iter().map(|batch| batch.len()).sum());
        for (batch, answer) in batches.into_iter().zip(answers) {
            match answer {
                Ok(value) => self.read_renewals(batch, value, &mut results).await?,
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
        let tokens = batch.iter().map(|request| request.token.to_hex());
        call.push_pieces(tokens);
        let mut ttls = batch.iter().map(|request| request.ttl);
        if let Some(first) = ttls.next() {
            call.push(first.as_millis());
            if !ttls.clone().all(|ttl| ttl == first) {
                ttls.for_each(|ttl| call.push(ttl.as_millis()));
            }
        }
        call
    }

    /// Adds the answers to a batch, of which the script says in one line what is usual.
    async fn read_renewals(
        &self,
        batch: &[RenewRequest],
        answer: Value,
        results: &mut Vec<Result<Renewed, StoreError>>,
    ) -> Result<(), StoreError> {
        let (line, mut others) = match answer {
            Value::Array(_) => {
                let mut others = Reply::new(RENEW.doing, answer)?;
                (others.bytes()?, Some(others))
            }
            line => (bytes_of(RENEW.doing, line)?, None),
        };
        let too_short = || unexpected(RENEW.doing, "an answer that is too short");
        let mut words = line.split(|byte| *byte == b' ');
        let now: i64 = words.next().and_then(number_of).ok_or_else(too_short)?;
        let now = Timestamp::from_millis(now);
        for request in batch {
            let word = words.next().ok_or_else(too_short)?;
            results.push(if let Some(fence) = number_of(word) {
                Ok(Renewed {
                    renewal: Renewal::Renewed(Grant::new(
                        Fence::new(fence),
                        now,
                        now + request.ttl.get(),
                    )),
                    is_agreed: word.starts_with(b"0"),
                })
            } else {
                let mut other = others.as_mut().ok_or_else(too_short)?.nested()?;
                Box::pin(self.renewed(request, now, &mut other)).await
            });
        }
        Ok(())
    }

    async fn renewed(
        &self,
        request: &RenewRequest,
        now: Timestamp,
        answer: &mut Reply,
    ) -> Result<Renewed, StoreError> {
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
            "shared" => {
                // Asked for by another process, or so long ago that it is not remembered here.
                let renewing = self.renew_shares(std::slice::from_ref(request));
                let mut renewed = renewing.await.into_iter();
                let none = || unexpected(RENEW.doing, "no answer");
                return renewed.next().unwrap_or_else(|| Err(none()));
            }
            "foreign" => Some(RawOccupant::Foreign(answer.text()?)),
            "lost" => Some(RawOccupant::read_ours(answer)?),
            other => return Err(answer.unknown(other)),
        };
        let is_agreed = by.as_ref().is_some_and(RawOccupant::is_agreed);
        let by = match by {
            Some(raw) => Some(raw.named(self).await),
            None => None,
        };
        Ok(Renewed {
            renewal: Renewal::Lost { now, by },
            is_agreed,
        })
    }
}

fn number_of<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
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
