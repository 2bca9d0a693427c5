//! What becomes of a grant that is pushed where nobody listens for it any more.
//!
//! After a fail-over the queue may hold places that were given up, because the new primary had not
//! heard of that. Their waiters' processes still listen, so a release takes them for alive. Whoever
//! is pushed such a grant passes it on; without that the next in line waits for a claim window.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, Weak};

use tenure_core::{Grant, Key, StoreError, Token};

use super::{SHARED, SHARING};
use crate::link::Script;
use crate::reply::text_of;
use crate::store::{RedisStore, Shared};

static PASS_ON: Script = Script::new(
    "pass on a lease",
    &[SHARED, SHARING, include_str!("../scripts/pass_on.lua")],
);

/// How many grants are passed on at a time. The others end with their claim window: anybody who may
/// publish can make up grants, and must not keep us busy with them.
const MOST: usize = 16;

/// Passes on what nobody here wants.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    store: OnceLock<Weak<Shared>>,
    under_way: AtomicUsize,
}

impl Unheard {
    /// Through which store.
    pub(crate) fn serve(&self, store: Weak<Shared>) {
        // A second time there is nothing to say.
        let _ = self.store.set(store);
    }

    /// Passes the grant on, unless its token collected it meanwhile.
    pub(crate) fn pass_on(&self, key: &Key, token: Token, grant: &Grant) {
        let shared = self.store.get().and_then(Weak::upgrade);
        let (Some(shared), Ok(runtime)) = (shared, tokio::runtime::Handle::try_current()) else {
            return;
        };
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (store, key, grant) = (RedisStore { shared }, key.clone(), grant.clone());
        // It ends with its one request, which has a deadline.
        drop(runtime.spawn(async move {
            let passed = store.pass_on(&key, token, &grant).await;
            tracing::debug!(%key, fence = %grant.fence, ?passed, "pushed to nobody");
            let unheard = &store.shared.ears.unheard;
            unheard.under_way.fetch_sub(1, Ordering::Relaxed);
        }));
    }
}

impl RedisStore {
    async fn pass_on(&self, key: &Key, token: Token, grant: &Grant) -> Result<bool, StoreError> {
        let call = self
            .all_names(key, &PASS_ON)
            .arg(&token.to_hex())
            .arg(grant.fence.get())
            .arg(grant.expires_at.as_millis())
            .arg(self.claim_window());
        let word = text_of(PASS_ON.doing, self.shared.link.run(call).await?)?;
        if word == "more" {
            self.kick(key).await?;
        }
        Ok(word != "other")
    }
}
