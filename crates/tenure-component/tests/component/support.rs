//! A store that counts what it is asked, a connector that records and can fail, and log lines.

use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use tenure_component::{Component as _, ComponentError, Connect, RedisLock, StoreLock};
use tenure_core::{
    Acquisition, Cancellation, ForceRequest, Forced, Key, LeasePage, LeasePromises, LeaseRequest,
    LeaseStore, LeaseView, ListQuery, Release, RenewRequest, Renewal, StoreError, StoreErrorKind,
    Timestamp, Token, Wakes,
};
use tenure_memory::MemoryStore;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A ttl that does not end within a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// A ttl whose end can be waited for.
pub(crate) const SHORT: Duration = Duration::from_secs(2);

/// The memory store, counting requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct CountingStore {
    inner: MemoryStore,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    acquires: AtomicUsize,
    releases: AtomicUsize,
    others: AtomicUsize,
    /// Answers for the next releases instead of the store's.
    failures: Mutex<VecDeque<StoreErrorKind>>,
}

impl CountingStore {
    /// A component on this store.
    pub(crate) fn lock(&self) -> StoreLock {
        StoreLock::on(Arc::new(self.clone()))
    }

    pub(crate) fn acquires(&self) -> usize {
        self.counts.acquires.load(Ordering::SeqCst)
    }

    pub(crate) fn releases(&self) -> usize {
        self.counts.releases.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.acquires() + self.releases() + self.counts.others.load(Ordering::SeqCst)
    }

    pub(crate) fn fail_next_release(&self, kind: StoreErrorKind) {
        self.counts.failures.lock().unwrap().push_back(kind);
    }

    /// Whether somebody has the key.
    pub(crate) async fn is_held(&self, key: &str) -> bool {
        let view = self.inner.inspect(&Key::new(key).unwrap()).await.unwrap();
        view.is_some_and(|view| view.occupant.is_some())
    }

    /// Resolves when `waiters` wait for the key.
    pub(crate) async fn until_waiting(&self, key: &str, waiters: u32) {
        let key = Key::new(key).unwrap();
        until("waiting", async || {
            let view = self.inner.inspect(&key).await.unwrap();
            view.is_some_and(|view| view.queue_len == waiters)
        })
        .await;
    }

    fn count_other(&self) {
        self.counts.others.fetch_add(1, Ordering::SeqCst);
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl LeaseStore for CountingStore {
    fn promises(&self) -> LeasePromises {
        self.inner.promises()
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        self.inner.listen(key, token)
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        self.counts.acquires.fetch_add(1, Ordering::SeqCst);
        self.inner.acquire(request).await
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        self.count_other();
        self.inner.renew(requests).await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        self.counts.releases.fetch_add(1, Ordering::SeqCst);
        let failure = self.counts.failures.lock().unwrap().pop_front();
        match failure {
            Some(kind) => {
                let error = StoreError::new(kind, "the store is out of order");
                Err(match kind {
                    StoreErrorKind::Unavailable => error.with_unknown_outcome(),
                    _ => error,
                })
            }
            None => self.inner.release(key, token).await,
        }
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        self.count_other();
        self.inner.cancel(key, token).await
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        self.count_other();
        self.inner.inspect(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        self.count_other();
        self.inner.list(query).await
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        self.count_other();
        self.inner.force(request).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.count_other();
        self.inner.now().await
    }
}

/// What a connector does with an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt {
    Fails(StoreErrorKind),
    Hangs,
}

/// Connects to one counting store, after the attempts that are to go otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connector {
    pub(crate) store: CountingStore,
    script: Arc<Mutex<VecDeque<Attempt>>>,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Connector {
    pub(crate) fn with_script(script: impl IntoIterator<Item = Attempt>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        Self {
            script,
            ..Self::default()
        }
    }

    /// A Redis lock that connects through this.
    pub(crate) fn lock(&self, config: &str) -> RedisLock {
        let lock = RedisLock::with_connector(Arc::new(self.clone()));
        lock.configure(&config.parse().unwrap()).unwrap();
        lock
    }

    /// The URLs that were to be opened.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.urls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Connect for Connector {
    async fn connect(&self, url: &SecretString) -> Result<Arc<dyn LeaseStore>, StoreError> {
        self.urls
            .lock()
            .unwrap()
            .push(url.expose_secret().to_owned());
        let attempt = self.script.lock().unwrap().pop_front();
        match attempt {
            Some(Attempt::Fails(kind)) => Err(StoreError::new(kind, "the server says no")),
            Some(Attempt::Hangs) => std::future::pending().await,
            None => Ok(Arc::new(self.store.clone())),
        }
    }
}

/// Polls a condition until it holds, for ten seconds at most.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let met = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    let met = tokio::time::timeout(10 * SECOND, met).await;
    met.unwrap_or_else(|_| panic!("not {what} within ten seconds"));
}

/// Everything that people could come to see of an error.
pub(crate) fn seen_of(error: &ComponentError) -> String {
    let mut seen = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(inner) = source {
        seen = format!("{seen} {inner} {inner:?}");
        source = inner.source();
    }
    seen
}

/// Log lines of everything that happens on this thread while it lives.
pub(crate) struct Lines {
    written: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Lines {
    pub(crate) fn capture() -> Self {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(written.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            written,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        let text = String::from_utf8_lossy(&written);
        text.lines().map(str::to_owned).collect()
    }

    /// The lines that hold `part`.
    pub(crate) fn with(&self, part: &str) -> Vec<String> {
        let mut lines = self.all();
        lines.retain(|line| line.contains(part));
        lines
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
