//! The request of an acquisition: what it says, which way it goes, and who asks.
//!
//! What the answers mean is not known here.

use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::time::Duration;

use redis::Value;
use tenure_core::{Holder, LeaseRequest, StoreError, Waiting};

use super::{ACQUIRE, Step};
use crate::link::Call;
use crate::store::RedisStore;

impl RedisStore {
    /// Asks once. Besides the answer: whether nobody can push to us, so that we must ask again.
    pub(super) async fn ask(&self, request: &LeaseRequest) -> Result<(Value, bool), StoreError> {
        let (link, token) = (&self.shared.link, request.token);
        let asking = self.shared.unanswered.asking(token, link.way());
        if !link.has_one_way_back() {
            let call = self.names(&request.key, &ACQUIRE);
            let (call, must_ask) = self.asked(request, call).await;
            let answer = self.introducing(&request.holder, call).await;
            asking.answered(&answer);
            return Ok((answer?, must_ask));
        }
        let (key, holder) = (&request.key, &request.holder);
        let (keep, is_heard) = match request.waiting {
            Waiting::InLine { keep } => (keep, !link.way_back(key.as_bytes()).await.is_empty()),
            _ => (Duration::ZERO, false),
        };
        let step = Step::acquire(key, token, (holder.id, request.ttl), keep, is_heard);
        let answer = self.introduced(holder, pin!(link.make(step))).await;
        asking.answered(&answer);
        Ok((answer?, !keep.is_zero() && !is_heard))
    }

    /// A call with what is asked behind its keys, and whether nobody can push to us.
    pub(super) async fn asked(&self, request: &LeaseRequest, call: Call) -> (Call, bool) {
        let (keep, channel) = match request.waiting {
            Waiting::InLine { keep } => {
                let name = self.name_of(&request.key);
                (keep, self.shared.link.way_back(&name).await)
            }
            _ => (Duration::ZERO, Cow::Borrowed("")),
        };
        let mut call = call
            .arg(&request.token.to_hex())
            .arg(&request.holder.id.to_hex())
            .arg(request.ttl.as_millis());
        let (keep_ms, window_ms) = (keep.as_millis(), self.claim_window());
        let most = self.shared.options.max_waiters;
        call.push_text(format_args!("{keep_ms} {window_ms} {most} {channel}"));
        (call, !keep.is_zero() && channel.is_empty())
    }

    /// Runs a call that makes `holder` known by its id, and says who that is if it is time to.
    pub(crate) async fn introducing(
        &self,
        holder: &Holder,
        call: Call,
    ) -> Result<Value, StoreError> {
        let asking = pin!(self.shared.link.run(call));
        self.introduced(holder, asking).await
    }

    /// Awaits `asking`, and meanwhile says who `holder` is if it is time to.
    pub(super) async fn introduced<T>(
        &self,
        holder: &Holder,
        asking: Pin<&mut impl Future<Output = Result<T, StoreError>>>,
    ) -> Result<T, StoreError> {
        let shared = &*self.shared;
        let Some(introduction) = shared.people.introduction(holder) else {
            return asking.await;
        };
        let introducing = Box::pin(shared.link.run(introduction));
        let (answer, introduced) = tokio::join!(asking, introducing);
        if introduced.is_err() {
            shared.people.not_introduced(holder.id);
        }
        answer
    }
}
