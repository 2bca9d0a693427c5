//! The lease half of the contract: each method is one step in the file.

mod holders;
mod row;
mod step;
mod view;

use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Acquisition, Cancellation, ForceRequest, Forced, Key, LeasePage, LeasePromises, LeaseRequest,
    LeaseStore, LeaseView, ListQuery, Release, RenewRequest, Renewal, StoreError, Timestamp, Token,
    Wakes,
};

use crate::queue::Unwanted;
use crate::store::SqliteStore;

/// How long a lease lasts that was handed to a waiter who has not collected it, at most.
pub(crate) const CLAIM_WINDOW: Duration = Duration::from_secs(2);

#[async_trait]
impl LeaseStore for SqliteStore {
    fn promises(&self) -> LeasePromises {
        self.lease_promises()
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        self.listen_for_lease(key, token)
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        let request = request.clone();
        self.write(Unwanted::Drop, move |step| step::acquire(step, &request))
            .await
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        let requests = requests.to_vec();
        self.write(Unwanted::Drop, move |step| {
            requests
                .iter()
                .map(|request| step.part(|step| step::renew(step, request)))
                .collect()
        })
        .await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        let key = key.clone();
        self.write(Unwanted::Do, move |step| step::release(step, &key, token))
            .await
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        let key = key.clone();
        self.write(Unwanted::Do, move |step| step::cancel(step, &key, token))
            .await
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        let wanted = key.clone();
        let seen = self.read(move |step| view::look(step, &wanted)).await?;
        if !seen.is_stale {
            return Ok(seen.view);
        }
        // A lease has lapsed and somebody waits: whoever notices hands it on.
        let key = key.clone();
        self.write(Unwanted::Drop, move |step| {
            step::settle(step, &key)?;
            Ok(view::look(step, &key)?.view)
        })
        .await
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        let query = query.clone();
        self.read(move |step| view::list(step, &query)).await
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        let request = request.clone();
        self.write(Unwanted::Drop, move |step| step::force(step, &request))
            .await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.time().now())
    }
}
