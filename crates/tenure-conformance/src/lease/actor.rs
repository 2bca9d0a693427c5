//! A process instance that uses leases, as the cases see it.
//!
//! Everything here fails the case when the store answers something else than the name of the
//! function says. It relies on the contract alone and knows no store; it trusts no lease and renews
//! nothing by itself.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Acquisition, Cancellation, Clock as _, Fence, Fences, Grant, Held, Holder, Key, LeaseRequest,
    LeaseStore, LeaseView, Moment, Occupant, Place, Release, RenewRequest, Renewal, StoreError,
    SystemClock, Ties, Token, Ttl, Wake, Wakes,
};

use super::cases::Shared;

/// A ttl that never ends during a case, however slow the machine is.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// How long a case waits for what must happen soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

pub(super) fn ttl(ttl: Duration) -> Ttl {
    Ttl::new(ttl).unwrap()
}

/// Waits for `future`, but not for ever.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Calls until the store answers: where a connection was cut, and where the ttl is so short that a
/// store which gives its servers a part of it may have to say that they were too slow.
pub(super) async fn insist<T, F>(mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    soon("an answer", async {
        loop {
            beat.tick().await;
            match call().await {
                Ok(answer) => return answer,
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("neither a cut connection nor haste is a reason: {error:?}"),
            }
        }
    })
    .await
}

/// Lets time pass in steps that every harness accepts.
pub(super) async fn pass(harness: &Shared, time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(Duration::from_secs(2));
        harness.pass_time(step).await;
        left -= step;
    }
}

/// Does two things at once, each in a task of its own, the first one started first.
pub(super) async fn at_once<A, B>(
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let (first, second) = (tokio::spawn(first), tokio::spawn(second));
    soon("two things at once", async {
        (first.await.unwrap(), second.await.unwrap())
    })
    .await
}

/// A process instance with a view of the store of its own.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) store: Arc<dyn LeaseStore>,
    pub(super) holder: Holder,
}

impl Client {
    pub(super) async fn new(harness: &Shared, label: &str) -> Self {
        Self {
            store: harness.store().await,
            holder: Holder::new(label).on_host("conformance"),
        }
    }

    /// Whether none of several may win that do the same at once, as the store declares.
    pub(super) fn may_tie(&self) -> bool {
        self.store.promises().ties == Ties::AskAgain
    }

    /// Whether a fence is greater than an earlier one, or both are none, where so declared.
    pub(super) fn is_after(&self, fence: Fence, earlier: Fence) -> bool {
        match self.store.promises().fences {
            Fences::None => [fence, earlier] == [Fence::NONE; 2],
            _ => fence > earlier,
        }
    }

    /// By how much an answer may tell an earlier end of a lease than an answer before it, whose
    /// request left at `first_asked` or later. A store may look at its clock, be interrupted, and
    /// then look at what is left; where several servers have a vote, others may decide, and those
    /// counted from an earlier moment of the first request.
    pub(super) fn vagueness(first_asked: Moment) -> Duration {
        SystemClock.now().since(first_asked) + Duration::from_millis(1)
    }

    /// Another process instance on the same view.
    pub(super) fn beside(&self, label: &str) -> Self {
        Self {
            store: self.store.clone(),
            holder: Holder::new(label).on_host("conformance"),
        }
    }

    /// Somebody who is about to ask for `key`, for a long ttl, and does not wait.
    pub(super) fn asker(&self, key: &Key) -> Asker {
        let request = LeaseRequest::new(key.clone(), self.holder.clone(), ttl(LONG));
        self.asker_with(request)
    }

    /// Somebody who is about to ask for `key` and waits in line as long as any case lasts.
    pub(super) fn waiter(&self, key: &Key) -> Asker {
        self.waiter_for(key, LONG)
    }

    /// Somebody who is about to ask for `key` and waits in line for `keep` after each request.
    pub(super) fn waiter_for(&self, key: &Key, keep: Duration) -> Asker {
        let request = LeaseRequest::new(key.clone(), self.holder.clone(), ttl(LONG)).in_line(keep);
        self.asker_with(request)
    }

    pub(super) fn asker_with(&self, request: LeaseRequest) -> Asker {
        Asker {
            wakes: self.store.listen(&request.key, request.token),
            store: self.store.clone(),
            request,
        }
    }

    /// Takes a free key.
    pub(super) async fn take(&self, key: &Key) -> Asker {
        let asker = self.asker(key);
        asker.granted().await;
        asker
    }

    /// Takes a place in the queue of a held key.
    pub(super) async fn line_up(&self, key: &Key) -> Asker {
        let waiter = self.waiter(key);
        waiter.held().await;
        waiter
    }

    pub(super) async fn look(&self, key: &Key) -> Option<LeaseView> {
        self.store.inspect(key).await.unwrap()
    }

    /// The fence of the present holder.
    pub(super) async fn fence_of(&self, key: &Key) -> Option<Fence> {
        self.look(key).await.and_then(|view| view.fence())
    }
}

/// One acquisition, from before its first request to after its end.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) store: Arc<dyn LeaseStore>,
    pub(super) request: LeaseRequest,
    pub(super) wakes: Wakes,
}

impl Asker {
    pub(super) fn key(&self) -> &Key {
        &self.request.key
    }

    pub(super) fn token(&self) -> Token {
        self.request.token
    }

    /// The same acquisition, seen through another view of the store.
    pub(super) fn through(&self, client: &Client) -> Self {
        client.asker_with(self.request.clone())
    }

    /// Sends the request, the first time or again.
    pub(super) async fn ask(&self) -> Acquisition {
        self.store.acquire(&self.request).await.unwrap()
    }

    /// The request as something that a task of its own can do.
    pub(super) fn asking(&self) -> impl Future<Output = Acquisition> + Send + 'static {
        let (store, request) = (self.store.clone(), self.request.clone());
        async move { store.acquire(&request).await.unwrap() }
    }

    /// Sends the request, which must be granted at once.
    pub(super) async fn granted(&self) -> Grant {
        match self.ask().await {
            Acquisition::Granted(grant) => grant,
            other => panic!("expected a grant of {:?}, got {other:?}", self.key()),
        }
    }

    /// The same for a short ttl: see [`insist`].
    pub(super) async fn granted_at_last(&self) -> Grant {
        match insist(|| self.store.acquire(&self.request)).await {
            Acquisition::Granted(grant) => grant,
            other => panic!("expected a grant of {:?}, got {other:?}", self.key()),
        }
    }

    /// Sends the request, which must find the key held.
    pub(super) async fn held(&self) -> Held {
        match self.ask().await {
            Acquisition::Held(held) => held,
            other => panic!("expected {:?} to be held, got {other:?}", self.key()),
        }
    }

    /// Sends the request, which must find the key held and get a place.
    pub(super) async fn place(&self) -> Place {
        let held = self.held().await;
        held.place
            .unwrap_or_else(|| panic!("a waiter got no place: {held:?}"))
    }

    /// Waits for its turn as the lock layer does: by wake-ups, and by asking again.
    pub(super) async fn served(&mut self) -> Grant {
        soon("a waiter's turn", async {
            loop {
                match self.ask().await {
                    Acquisition::Granted(grant) => return grant,
                    Acquisition::Held(held) => {
                        let pause = held.ask_again_after.min(Duration::from_millis(50));
                        let _ = tokio::time::timeout(pause, self.wakes.next()).await;
                    }
                    other => panic!("unknown answer {other:?}"),
                }
            }
        })
        .await
    }

    /// Waits for the store to say by itself that the lease has come, without asking.
    pub(super) async fn told(&mut self) -> Grant {
        soon("word of the grant", async {
            loop {
                if let Wake::Granted(grant) = self.wakes.next().await {
                    return grant;
                }
            }
        })
        .await
    }

    pub(super) async fn release(&self) -> Release {
        self.store.release(self.key(), self.token()).await.unwrap()
    }

    /// The release as something that a task of its own can do.
    pub(super) fn releasing(&self) -> impl Future<Output = Release> + Send + 'static {
        let (store, key, token) = (self.store.clone(), self.key().clone(), self.token());
        async move { store.release(&key, token).await.unwrap() }
    }

    /// Gives the lease back, which must be its own.
    pub(super) async fn give_back(&self) {
        let answer = self.release().await;
        assert_ne!(answer, Release::NotHeld, "release of {:?}", self.key());
    }

    pub(super) async fn cancel(&self) -> Cancellation {
        self.store.cancel(self.key(), self.token()).await.unwrap()
    }

    /// The cancellation as something that a task of its own can do.
    pub(super) fn cancelling(&self) -> impl Future<Output = Cancellation> + Send + 'static {
        let (store, key, token) = (self.store.clone(), self.key().clone(), self.token());
        async move { store.cancel(&key, token).await.unwrap() }
    }

    pub(super) fn renewal(&self, by: Duration) -> RenewRequest {
        RenewRequest::new(self.key().clone(), self.token(), ttl(by))
    }

    /// Asks to keep the lease for `by` from now, which may be short: see [`insist`].
    pub(super) async fn renew(&self, by: Duration) -> Renewal {
        insist(async || {
            let mut answers = self.store.renew(&[self.renewal(by)]).await?;
            assert_eq!(answers.len(), 1, "one request, one answer: {answers:?}");
            answers.remove(0)
        })
        .await
    }

    /// Renews the lease, which must still be its own.
    pub(super) async fn still_holds(&self) -> Grant {
        match self.renew(LONG).await {
            Renewal::Renewed(grant) => grant,
            other => panic!("expected to hold {:?} still, got {other:?}", self.key()),
        }
    }

    /// Renews the lease, which must be lost; answers who has the key instead.
    pub(super) async fn has_lost(&self) -> Option<Occupant> {
        match self.renew(LONG).await {
            Renewal::Lost { by, .. } => by,
            other => panic!("expected {:?} to be lost, got {other:?}", self.key()),
        }
    }
}
