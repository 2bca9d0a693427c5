//! The driver's connections to a cluster: one for requests, one for what nodes push; and others in
//! their place when the driver is stuck.
//!
//! Two of the driver's ways with slots that move would undo what a lock promises.
//!
//! When a slot leaves a node, the node ends the subscriptions of its channels and says so unasked,
//! and the driver takes that for the reply to whatever it sent first: on a connection that has
//! requests, each would get the reply to the one before. So nothing but subscriptions is sent where
//! messages come.
//!
//! When it learns of a move, it waits for a lock that its own requests may hold, which it does not
//! drive meanwhile: then it answers nobody any more. A request holds the lock for longer than a
//! moment only where the driver has so much to do at once that the runtime makes it pause, so few
//! are given to it at once where slots move; and whether it lives is found out by a request that
//! needs no node.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "tls")]
use redis::TlsMode;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{ProtocolVersion, PushInfo, PushKind, RedisError, Value};
use secrecy::ExposeSecret as _;
use tenure_core::{StoreError, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

#[cfg(feature = "tls")]
use super::dial::certificates;
use super::dial::{lacks_resp3, settings, tcp};
use super::{Hears, deliver, from_now};
use crate::ears::TAKEN;
use crate::error::{OptionsError, store_error};
use crate::options::{Address, RedisOptions};
use crate::slots::slot_of;

/// How often the driver follows one request to another node.
const MOST_REDIRECTS: u32 = 5;
/// How long it waits in between, growing.
const LEAST_PAUSE_MS: u64 = 10;
const MOST_PAUSE_MS: u64 = 100;
/// How many requests may be new to the driver at a time while slots move. It may get stuck where
/// one turn of it does more than the 128 things that the runtime lets a task do in one, and each
/// takes it four or five.
const SEATS: usize = 20;
/// For how long slots count as moving after somebody noticed it. Whoever moves one moves many.
const UNREST: Duration = Duration::from_secs(60);
/// How long nobody tries to connect after it failed.
const BREATH: Duration = Duration::from_millis(200);

/// One of each at a time.
pub(super) struct Lines {
    dial: Dial,
    /// What nobody waits for is done there.
    home: Handle,
    now: watch::Sender<Arc<Line>>,
}

/// How to make them.
struct Dial {
    options: RedisOptions,
    nodes: Vec<Address>,
    hears: Arc<dyn Hears>,
}

/// A connection for requests, and what is heard beside it.
pub(super) struct Line {
    pub(super) requests: ClusterConnection,
    /// None if the nodes cannot push.
    ears: Option<ClusterConnection>,
    /// The channels that nodes have said we are subscribed to, and not said otherwise since.
    channels: Arc<Mutex<HashSet<String>>>,
    pub(super) unrest: Arc<Unrest>,
    /// For requests that are new to the driver while slots move.
    seats: Semaphore,
    /// Somebody finds out whether its driver lives.
    is_doubted: AtomicBool,
}

/// Whether slots move, as far as anybody noticed lately.
#[derive(Debug, Default)]
pub(super) struct Unrest(Mutex<Option<Instant>>);

impl Unrest {
    pub(super) fn is_noticed(&self) {
        *locked(&self.0) = Some(from_now(UNREST));
    }

    fn lasts(&self) -> bool {
        locked(&self.0).is_some_and(|end| from_now(Duration::ZERO) < end)
    }
}

impl Lines {
    /// Must be called inside a runtime.
    pub(super) async fn connect(
        options: &RedisOptions,
        nodes: &[Address],
        hears: Arc<dyn Hears>,
        place: &str,
    ) -> Result<Arc<Self>, StoreError> {
        let dial = Dial {
            options: options.clone(),
            nodes: nodes.to_vec(),
            hears,
        };
        let connecting = tokio::time::timeout(options.connect_timeout, dial.line());
        let line = connecting
            .await
            .map_err(|_| {
                StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!("cannot connect: {place}: no node answered within connect_timeout"),
                )
            })?
            .map_err(|error| match error {
                Unmade::Misconfigured(error) => {
                    StoreError::new(StoreErrorKind::Misconfigured, error.to_string())
                }
                Unmade::Failed(error) => store_error("cannot connect", place, error),
            })?;
        Ok(Arc::new(Self {
            dial,
            home: Handle::current(),
            now: watch::Sender::new(Arc::new(line)),
        }))
    }

    /// What is used now.
    pub(super) fn line(&self) -> Arc<Line> {
        self.now.borrow().clone()
    }

    /// Returns when this one is used no more.
    pub(super) async fn is_over(&self, line: &Arc<Line>) {
        let mut now = self.now.subscribe();
        let _ended = now.wait_for(|now| !Arc::ptr_eq(now, line)).await;
    }

    /// Nothing was heard from this one for long. Finds out whether its driver lives, and makes
    /// others if not.
    pub(super) fn doubt(self: &Arc<Self>, line: &Arc<Line>) {
        if line.is_doubted.swap(true, Ordering::Relaxed) {
            return;
        }
        let (lines, line) = (Arc::downgrade(self), line.clone());
        // Who waits has waited for half of its time, and shall have time to ask again.
        let patience = self.dial.options.timeout / 4;
        drop(self.home.spawn(async move {
            let mut is_told = false;
            while tokio::time::timeout(patience, line.lives()).await.is_err() {
                if !is_told {
                    tracing::warn!("the connection to the cluster is stuck; another is made");
                    is_told = true;
                }
                let Some(lines) = lines.upgrade() else {
                    return;
                };
                if lines.is_replaced().await {
                    return;
                }
                drop(lines);
                tokio::time::sleep(BREATH).await;
            }
            line.is_doubted.store(false, Ordering::Relaxed);
        }));
    }

    /// Puts others in the place of what is used now. False if they cannot be made; what is there
    /// may come to itself meanwhile, and some of its nodes answer.
    async fn is_replaced(&self) -> bool {
        let options = &self.dial.options;
        let made = tokio::time::timeout(options.connect_timeout, self.dial.line()).await;
        let Ok(Ok(line)) = made else {
            return false;
        };
        line.unrest.is_noticed();
        let line = Arc::new(line);
        self.now.send_replace(line.clone());
        // Whatever was heard until then was heard by the other.
        self.dial.hears.reconnected();
        line.hear_of_force(options.timeout).await;
        true
    }
}

impl Line {
    /// Returns at once if the drivers work: they take a connection for a request that has nothing
    /// to say, and find that out before it is sent.
    async fn lives(&self) {
        for one in [Some(&self.requests), self.ears.as_ref()] {
            if let Some(mut one) = one.cloned() {
                let anywhere = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                // Whatever it says, it lives.
                let _ = one.route_command(redis::Cmd::new(), anywhere).await;
            }
        }
    }

    /// For whom something is new to the driver, if that must not be too much now.
    pub(super) async fn seat(&self) -> Option<SemaphorePermit<'_>> {
        if !self.unrest.lasts() {
            return None;
        }
        self.seats.acquire().await.ok()
    }

    /// Whether nodes have said that we hear this channel.
    pub(super) fn hears(&self, channel: &str) -> bool {
        locked(&self.channels).contains(channel)
    }

    /// Asks its node for this channel. False if there is nothing to ask with, or it was refused.
    pub(super) async fn subscribe(&self, channel: &str) -> bool {
        match &self.ears {
            Some(ears) => {
                let mut ears = ears.clone();
                // Replicas take subscriptions as well, and the driver goes to one while it has no
                // connection to the primary, which counts nobody there. Whatever the primary is
                // asked makes the driver connect to it.
                let slot = slot_of(channel.as_bytes());
                let primary = Route::new(slot, SlotAddr::Master);
                let primary = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(primary));
                let mut looks = redis::cmd("EXISTS");
                let _ = ears.route_command(looks.arg(channel).take(), primary).await;
                ears.ssubscribe(channel).await.is_ok()
            }
            None => false,
        }
    }

    /// No sharded channel: who takes a lock by force does not know where its holder listens. The
    /// driver subscribes again after a reconnection.
    pub(super) async fn hear_of_force(&self, timeout: Duration) {
        let is_heard = match &self.ears {
            Some(ears) => {
                let mut ears = ears.clone();
                let heard = tokio::time::timeout(timeout, ears.subscribe(TAKEN)).await;
                matches!(heard, Ok(Ok(())))
            }
            None => false,
        };
        if !is_heard {
            tracing::debug!("holders will learn of locks taken by force at their next renewal");
        }
    }
}

/// Why there is no connection.
enum Unmade {
    Misconfigured(OptionsError),
    Failed(RedisError),
}

impl Dial {
    async fn line(&self) -> Result<Line, Unmade> {
        let channels = Arc::<Mutex<HashSet<String>>>::default();
        let unrest = Arc::<Unrest>::default();
        let ear = ear(self.hears.clone(), channels.clone(), unrest.clone());
        let pushing = || -> Result<_, Unmade> {
            let builder = self.builder()?.use_protocol(ProtocolVersion::RESP3);
            Ok(builder.push_sender(ear.clone()))
        };
        let (requests, ears) = match connected(pushing()?).await {
            Ok(requests) => (requests, Some(connected(pushing()?).await?)),
            Err(Unmade::Failed(error)) if lacks_resp3(&error) => {
                let silent = self.builder()?.use_protocol(ProtocolVersion::RESP2);
                (connected(silent).await?, None)
            }
            Err(unmade) => return Err(unmade),
        };
        Ok(Line {
            requests,
            ears,
            channels,
            unrest,
            seats: Semaphore::new(SEATS),
            is_doubted: AtomicBool::new(false),
        })
    }

    fn builder(&self) -> Result<ClusterClientBuilder, Unmade> {
        let options = &self.options;
        let addresses = self.nodes.iter().map(|at| tcp(at, options.tls.as_ref()));
        let mut builder = ClusterClientBuilder::new(addresses)
            .retries(MOST_REDIRECTS)
            // The driver's own pauses are longer than a request's time, which would turn every
            // refusal that passes into silence.
            .min_retry_wait(LEAST_PAUSE_MS)
            .max_retry_wait(MOST_PAUSE_MS)
            .retry_wait_formula(LEAST_PAUSE_MS, 2)
            .connection_timeout(options.connect_timeout)
            .response_timeout(options.timeout)
            // Nothing is sent where messages come, so nothing else would notice that the other end
            // is gone.
            .tcp_settings(settings(options).set_keepalive(keepalive()));
        if let Some(username) = &options.username {
            builder = builder.username(username);
        }
        if let Some(password) = &options.password {
            builder = builder.password(password.expose_secret());
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &options.tls {
            let mode = if tls.insecure {
                TlsMode::Insecure
            } else {
                TlsMode::Secure
            };
            builder = builder
                .tls(mode)
                .certs(certificates(tls).map_err(Unmade::Misconfigured)?);
        }
        Ok(builder)
    }
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(3))
}

async fn connected(builder: ClusterClientBuilder) -> Result<ClusterConnection, Unmade> {
    let client = builder.build().map_err(|error| {
        Unmade::Misconfigured(OptionsError::Malformed {
            reason: format!("cannot be used: {error}"),
        })
    })?;
    client.get_async_connection().await.map_err(Unmade::Failed)
}

/// What becomes of the nodes' pushes.
fn ear(
    hears: Arc<dyn Hears>,
    channels: Arc<Mutex<HashSet<String>>>,
    unrest: Arc<Unrest>,
) -> impl Fn(PushInfo) -> Result<(), ()> + Clone + Send + Sync + 'static {
    move |push: PushInfo| {
        match push.kind {
            PushKind::SSubscribe => {
                if let Some(Value::BulkString(channel)) = push.data.first() {
                    let channel = String::from_utf8_lossy(channel).into_owned();
                    locked(&channels).insert(channel);
                }
            }
            // The driver subscribes again, but only where one channel is all that a node had; and
            // meanwhile messages may have been missed.
            PushKind::Disconnection => {
                locked(&channels).clear();
                hears.reconnected();
            }
            PushKind::SUnsubscribe => {
                // The slot went to another node, and the subscription did not.
                unrest.is_noticed();
                if let Some(Value::BulkString(channel)) = push.data.first() {
                    locked(&channels).remove(String::from_utf8_lossy(channel).as_ref());
                }
                hears.reconnected();
            }
            _ => deliver(&*hears, &push),
        }
        Ok(())
    }
}

/// A panic elsewhere leaves it whole.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use tenure_bed::{Cluster as Servers, Flavour};

    use super::super::cluster::{Cluster, GIVEN_UP};
    use super::super::{Call, Sent, from_now};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Counts(AtomicU32);

    impl Hears for Counts {
        fn message(&self, _channel: &[u8], _payload: &[u8]) {}

        fn invalidated(&self, _key: Option<&[u8]>) {}

        fn reconnected(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn is_idle(&self) -> bool {
            true
        }
    }

    /// The numbers that each node gave to its clients.
    async fn clients_of(servers: &Servers) -> Vec<HashSet<String>> {
        let mut clients = Vec::new();
        for node in servers.nodes() {
            let list = node.call(&["CLIENT", "LIST"]).await.to_string();
            let words = list.split_ascii_whitespace();
            let ids = words.filter(|word| word.starts_with("id="));
            clients.push(ids.map(str::to_owned).collect());
        }
        clients
    }

    /// The driver's tasks belong to a runtime that does nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r49_a_driver_that_answers_nobody_is_replaced() {
        let servers = Servers::start(Flavour::Redis).await;
        let url = format!("{}?timeout=4s", servers.url());
        let options = RedisOptions::from_url(&url).unwrap();
        let crate::options::Servers::Cluster(nodes) = options.servers.clone() else {
            panic!("the URL of a cluster");
        };
        let counts = Arc::new(Counts::default());
        let cluster = Cluster::connect(&options, &nodes, counts.clone(), "name");
        let cluster = cluster.await.unwrap();
        let lines = cluster.lines.clone();
        // One that does answer is left as it is. Who asks for the clients is one of them.
        let before = clients_of(&servers).await;
        lines.line().lives().await;
        for (before, after) in before.iter().zip(clients_of(&servers).await) {
            assert!(
                before.difference(&after).count() <= 1,
                "{before:?} {after:?}"
            );
        }
        let asleep = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let line = runtime.block_on(lines.dial.line());
            let line = line.unwrap_or_else(|_| panic!("no connection"));
            lines.now.send_replace(Arc::new(line));
            runtime
        });
        let asleep = asleep.await.unwrap();
        let heard = counts.0.load(Ordering::Relaxed);
        let call = Call::command("look", "GET").arg("k");
        let deadline = from_now(PATIENCE);
        match cluster.ask(&call, deadline).await {
            Sent::Failed(error, _) => assert_eq!(error.kind(), GIVEN_UP.0, "{error}"),
            _ => panic!("answered by nobody, and given up"),
        }
        assert!(tokio::time::Instant::now() < deadline);
        assert!(matches!(
            cluster.ask(&call, deadline).await,
            Sent::Answer(Value::Nil)
        ));
        // Whoever waits asks again.
        assert!(counts.0.load(Ordering::Relaxed) > heard);
        asleep.shutdown_background();
    }
}
