//! What the tests of locks share: a clock that follows paused time, and a store that can be harmed.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Acquisition, Cancellation, Clock, ForceRequest, Forced, Holder, HolderId, Key, LeasePage,
    LeasePromises, LeaseRequest, LeaseStore, LeaseView, ListQuery, Moment, Release, RenewRequest,
    Renewal, StoreError, StoreErrorKind, Timestamp, Token, Wakes,
};
use tenure_lock::Locks;
use tenure_memory::MemoryStore;
use tokio::time::Instant;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Follows the runtime's time, and can jump ahead of it as a suspended machine's clock does.
#[derive(Debug)]
pub(crate) struct TokioClock {
    start: Instant,
    ahead_ms: AtomicU64,
    wall_ms: AtomicU64,
}

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            ahead_ms: AtomicU64::new(3_600_000),
            wall_ms: AtomicU64::new(1_767_225_600_000),
        })
    }

    /// The machine was suspended for `by`: timers of the runtime have not noticed.
    pub(crate) fn jump(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// Steps the wall clock alone.
    pub(crate) fn step_wall(&self, by_ms: i64) {
        let _ = self
            .wall_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |wall| {
                wall.checked_add_signed(by_ms)
            });
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        let ahead = Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst));
        Moment::from_origin(self.start.elapsed() + ahead)
    }

    fn wall(&self) -> Timestamp {
        let wall = i64::try_from(self.wall_ms.load(Ordering::SeqCst)).unwrap();
        Timestamp::from_millis(wall) + self.start.elapsed()
    }
}

/// The methods of a store that can be harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Acquire,
    Renew,
    Release,
    Cancel,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It fails before anything happened.
    Fails(StoreErrorKind),
    /// It happens, and the reply is lost.
    LosesReply,
    /// It never happens, and no reply ever comes.
    Hangs,
    /// It happens, and no reply ever comes.
    HangsAfter,
    /// It happens after the first of these, and is answered after the second.
    IsSlow(Duration, Duration),
    /// It panics before anything happened.
    Panics,
    /// It gives up its turn this many times before and after it happens.
    Yields(u32),
}

#[derive(Debug, Default)]
struct Harms {
    lasting: HashMap<Call, Harm>,
    once: HashMap<Call, Vec<Harm>>,
    calls: HashMap<Call, u64>,
    renewed_keys: Vec<usize>,
    in_flight: HashMap<Token, u32>,
    overlaps: u32,
    bad_renewal: Option<Key>,
    is_deaf: bool,
    wakes_lost_of_100: u8,
}

/// One client's way to a shared store, with faults on it.
pub(crate) struct Rigged {
    inner: Arc<dyn LeaseStore>,
    harms: Arc<Mutex<Harms>>,
    heard: tenure_core::WakeRegistry,
}

impl Rigged {
    pub(crate) fn new(inner: Arc<dyn LeaseStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            harms: Arc::default(),
            heard: tenure_core::WakeRegistry::default(),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Harms) -> T) -> T {
        change(&mut self.harms.lock().unwrap())
    }

    /// From now on every such call is harmed.
    pub(crate) fn harm(&self, call: Call, harm: Harm) {
        self.with(|harms| harms.lasting.insert(call, harm));
    }

    /// The next such calls are harmed, one after the other.
    pub(crate) fn harm_once(&self, call: Call, harm: Harm) {
        self.with(|harms| harms.once.entry(call).or_default().insert(0, harm));
    }

    pub(crate) fn heal(&self) {
        self.with(|harms| {
            harms.lasting.clear();
            harms.once.clear();
        });
    }

    /// No wake-up arrives any more.
    pub(crate) fn deafen(&self) {
        self.with(|harms| harms.is_deaf = true);
    }

    /// Wakes everyone who waits for `key` through a deafened or lossy way, for no reason.
    pub(crate) fn wake_for_nothing(&self, key: &str) {
        self.heard.changed(&Key::new(key).unwrap());
    }

    /// That many of a hundred wake-ups are lost.
    pub(crate) fn lose_wakes(&self, of_100: u8) {
        self.with(|harms| harms.wakes_lost_of_100 = of_100);
    }

    /// Every request to renew that contains `key` fails as a whole.
    pub(crate) fn poison_renewals_with(&self, key: &str) {
        self.with(|harms| harms.bad_renewal = Some(Key::new(key).unwrap()));
    }

    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.with(|harms| harms.calls.get(&call).copied().unwrap_or(0))
    }

    /// How many keys each request to renew had.
    pub(crate) fn renewed_keys(&self) -> Vec<usize> {
        self.with(|harms| harms.renewed_keys.clone())
    }

    async fn through<T>(
        &self,
        call: Call,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let harm = self.with(|harms| {
            *harms.calls.entry(call).or_default() += 1;
            let once = harms.once.get_mut(&call).and_then(Vec::pop);
            once.or_else(|| harms.lasting.get(&call).copied())
        });
        match harm {
            None => step.await,
            Some(Harm::Fails(kind)) => Err(StoreError::new(kind, "made to fail")),
            Some(Harm::Panics) => panic!("as stores must not"),
            Some(Harm::LosesReply) => {
                step.await?;
                Err(unavailable("the reply was lost").with_unknown_outcome())
            }
            Some(Harm::Hangs) => pending().await,
            Some(Harm::HangsAfter) => {
                step.await?;
                pending().await
            }
            Some(Harm::IsSlow(before, after)) => {
                tokio::time::sleep(before).await;
                let answer = step.await;
                tokio::time::sleep(after).await;
                answer
            }
            Some(Harm::Yields(times)) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
                let answer = step.await;
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
                answer
            }
        }
    }
}

pub(crate) fn unavailable(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

/// Counts renewals in flight; a lease must never have two.
struct Flight {
    harms: Arc<Mutex<Harms>>,
    tokens: Vec<Token>,
}

impl Flight {
    fn of(harms: &Arc<Mutex<Harms>>, requests: &[RenewRequest]) -> Self {
        let tokens: Vec<_> = requests.iter().map(|request| request.token).collect();
        let mut state = harms.lock().unwrap();
        let mut overlaps = 0;
        state.renewed_keys.push(tokens.len());
        for token in &tokens {
            let count = state.in_flight.entry(*token).or_default();
            *count += 1;
            overlaps += u32::from(*count > 1);
        }
        state.overlaps += overlaps;
        drop(state);
        Self {
            harms: harms.clone(),
            tokens,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.harms.lock().unwrap();
        for token in &self.tokens {
            if let Some(count) = state.in_flight.get_mut(token) {
                *count -= 1;
            }
        }
    }
}

impl fmt::Debug for Rigged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rigged")
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl LeaseStore for Rigged {
    fn promises(&self) -> LeasePromises {
        self.inner.promises()
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        let (is_deaf, lost) = self.with(|harms| (harms.is_deaf, harms.wakes_lost_of_100));
        if lost == 0 && !is_deaf {
            return self.inner.listen(key, token);
        }
        // The store sees a listener as ever; what it says passes through here and may be lost.
        let mut source = self.inner.listen(key, token);
        let ours = self.heard.listen(key, token);
        let (heard, key, harms) = (self.heard.clone(), key.clone(), self.harms.clone());
        tokio::spawn(async move {
            while heard.waiting().iter().any(|(_, waiting)| *waiting == token) {
                let next = tokio::time::timeout(20 * MS, source.next()).await;
                let Ok(wake) = next else { continue };
                let is_lost = {
                    let harms = harms.lock().unwrap();
                    harms.is_deaf || fastrand::u8(..100) < harms.wakes_lost_of_100
                };
                match wake {
                    _ if is_lost => {}
                    tenure_core::Wake::Granted(grant) => drop(heard.grant(&key, token, &grant)),
                    _ => drop(heard.changed_for(&key, token)),
                }
            }
        });
        ours
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        self.through(Call::Acquire, self.inner.acquire(request))
            .await
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        let _flight = Flight::of(&self.harms, requests);
        let is_poisoned = self.with(|harms| {
            let bad = harms.bad_renewal.as_ref();
            requests.iter().any(|request| Some(&request.key) == bad)
        });
        if is_poisoned {
            return Err(unavailable("one of the keys is bad"));
        }
        self.through(Call::Renew, self.inner.renew(requests)).await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        self.through(Call::Release, self.inner.release(key, token))
            .await
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        self.through(Call::Cancel, self.inner.cancel(key, token))
            .await
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        self.inner.inspect(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        self.inner.list(query).await
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        self.inner.force(request).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }
}

/// One store on paused time, and clients of it.
pub(crate) struct World {
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) store: Arc<dyn LeaseStore>,
}

/// A client with its own way to the store.
pub(crate) struct Client {
    pub(crate) locks: Locks,
    pub(crate) way: Arc<Rigged>,
}

/// In every test: never two renewals of one lease at the same time.
impl Drop for Client {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let overlaps = self.way.with(|harms| harms.overlaps);
            assert_eq!(overlaps, 0, "renewals of a lease that had one in flight");
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = TokioClock::new();
        Self {
            store: Arc::new(MemoryStore::with_clock(clock.clone())),
            clock,
        }
    }

    pub(crate) fn client(&self, number: u8) -> Client {
        let way = Rigged::new(self.store.clone());
        let holder = Holder::new(format!("client {number}"));
        let holder = holder.with_id(HolderId::from_bytes([number; 16]));
        let locks = Locks::new(way.clone(), holder).with_clock(self.clock.clone());
        Client { locks, way }
    }

    pub(crate) async fn view(&self, key: &str) -> Option<LeaseView> {
        self.store.inspect(&Key::new(key).unwrap()).await.unwrap()
    }

    /// Resolves when `count` wait for `key`.
    pub(crate) async fn until_waiting(&self, key: &str, count: u32) {
        self.until(key, |view| {
            view.is_some_and(|view| view.queue_len == count) || count == 0 && view.is_none()
        })
        .await;
    }

    /// Resolves when nobody holds `key` or waits for it.
    pub(crate) async fn until_free(&self, key: &str) {
        self.until(key, |view| {
            view.is_none_or(|view| view.occupant.is_none() && view.queue_len == 0)
        })
        .await;
    }

    pub(crate) async fn until(&self, key: &str, mut is_so: impl FnMut(Option<&LeaseView>) -> bool) {
        for _ in 0..100_000 {
            if is_so(self.view(key).await.as_ref()) {
                return;
            }
            tokio::time::sleep(MS).await;
        }
        panic!("did not happen within 100 s: {:?}", self.view(key).await);
    }
}

/// Runs `body` in a runtime as `#[tokio::test(start_paused = true)]` does.
pub(crate) fn on_paused_time(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(body);
}

/// Runs `body` for each seed: the one of `TENURE_SEED`, or `count` new ones. A failure shows the
/// seed.
pub(crate) fn for_seeds(count: u64, body: impl Fn(u64)) {
    let given = std::env::var("TENURE_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("TENURE_SEED is a number"));
    let seeds = given.map_or_else(
        || (0..count).map(|_| fastrand::u64(..)).collect(),
        |s| vec![s],
    );
    for seed in seeds {
        println!("TENURE_SEED={seed}");
        fastrand::seed(seed);
        body(seed);
    }
}
