//! Giving up an acquisition, wherever its requests are: see [`super::unanswered`].

use std::time::Duration;

use tenure_core::{Cancellation, Key, StoreError, Token};

use super::{BARRED, SHARED, SHARING};
use crate::link::{Script, Way};
use crate::reply::text_of;
use crate::store::RedisStore;

static CANCEL: Script = Script::new(
    "cancel an acquisition",
    &[SHARED, SHARING, include_str!("../scripts/cancel.lua")],
);

impl RedisStore {
    pub(super) async fn cancel_all_of(
        &self,
        key: &Key,
        token: Token,
    ) -> Result<Cancellation, StoreError> {
        let shared = &*self.shared;
        let Some(way) = shared.unanswered.way_of(token) else {
            return self.cancel_once(key, token, Duration::ZERO).await;
        };
        let is_behind = || way != Way::Any && shared.link.way() == way;
        if is_behind() {
            let cancelled = self.cancel_once(key, token, Duration::ZERO).await?;
            // Numbers never come again: it went by the connection by which the request had gone.
            if is_behind() {
                shared.unanswered.forget(token);
                return Ok(cancelled);
            }
            if cancelled != Cancellation::Nothing {
                self.bar(key, token).await;
                return Ok(cancelled);
            }
        }
        let cancelled = self.cancel_once(key, token, BARRED).await?;
        shared.unanswered.forget(token);
        Ok(cancelled)
    }

    /// Ends whatever a token has, and bars it for so long from being granted anything.
    async fn cancel_once(
        &self,
        key: &Key,
        token: Token,
        barred: Duration,
    ) -> Result<Cancellation, StoreError> {
        let call = self
            .all_names(key, &CANCEL)
            // The acquisition may have been taken to be sent with others, and not have left.
            .behind()
            .arg(&token.to_hex())
            .arg(self.claim_window())
            .arg(u64::try_from(barred.as_millis()).unwrap_or(u64::MAX));
        let word = text_of(CANCEL.doing, self.shared.link.run(call).await?)?;
        self.shared.ears.sharers.forget(token);
        match word.as_str() {
            "left" => Ok(Cancellation::LeftQueue),
            "released" => Ok(Cancellation::Released),
            "more" => self.kick(key).await.map(|()| Cancellation::Released),
            _ => Ok(Cancellation::Nothing),
        }
    }

    /// Bars a token of which a request may still be on its way, though it has given back what it
    /// had. What is not barred ends by itself.
    pub(super) async fn bar(&self, key: &Key, token: Token) {
        match self.cancel_once(key, token, BARRED).await {
            Ok(_) => self.shared.unanswered.forget(token),
            Err(error) => tracing::debug!(%key, %error, "a late request is not barred"),
        }
    }
}
