//! A relay in front of a server that does what networks do.
//!
//! ```text
//! client ── 127.0.0.1:PORT ── relay ── server
//!
//! delay          later, in order, without less throughput
//! stall          nothing passes and nobody is told
//! strand         the same for the connections of now, while new ones work: half-open connections
//! drop_replies   requests arrive, answers do not: the outcome is unknown
//! slices         a few bytes at a time
//! answer_with    other answers than the server's
//! cut            every connection ends now
//! refuse         new connections are refused
//! heal           as at the beginning
//! ```
//!
//! It runs on a thread of its own, so a test that blocks or pauses its time does not stop it. It
//! passes bytes and understands none.

mod traffic;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc as orders, watch};

use self::traffic::Traffic;
use crate::port;
use crate::redis::{Listens, Redis};

/// A relay that runs. Dropping it ends it and every connection through it.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    scheme: &'static str,
    weather: watch::Sender<Weather>,
    orders: orders::UnboundedSender<Order>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// Where a relay leads to.
#[derive(Debug, Clone)]
enum Target {
    Port(u16),
    Socket(PathBuf),
}

/// What happens to bytes.
#[derive(Debug, Clone, Default)]
struct Weather {
    /// Of requests and of answers.
    delay: [Duration; 2],
    is_stalled: bool,
    /// Connections up to this number are stalled, whatever comes after them.
    stranded: usize,
    drops_replies: bool,
    /// What arrives in place of answers.
    instead: Option<Arc<Instead>>,
    /// How many bytes pass at a time; 0 is all there are.
    slice: usize,
}

/// Bytes that no server of this kind sends.
#[derive(Debug)]
struct Instead {
    once: Vec<u8>,
    /// Again and again behind that, if there are any.
    forever: Vec<u8>,
    counts: Arc<Counts>,
}

/// What happens to connections. Each is answered when it is done.
enum Order {
    Cut(mpsc::Sender<()>),
    Refuse(mpsc::Sender<()>),
    Accept(mpsc::Sender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    /// Pieces of answers that were lost.
    lost: AtomicUsize,
    /// Bytes in place of answers.
    instead: AtomicUsize,
}

impl Relay {
    /// A relay in front of a server: of its port, or of its socket if it has no port.
    #[must_use]
    pub fn to(redis: &Redis) -> Self {
        match redis.listens() {
            Listens::Unix => Self::start(Target::Socket(redis.socket().to_owned()), "redis"),
            Listens::Tcp(port) => Self::start(Target::Port(port), "redis"),
            Listens::Tls(port) => Self::start(Target::Port(port), "rediss"),
        }
    }

    /// A relay in front of whatever listens on a port of 127.0.0.1.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Self::start(Target::Port(port), "tcp")
    }

    fn start(target: Target, scheme: &'static str) -> Self {
        let (listener, port) = listen();
        let (weather, seen) = watch::channel(Weather::default());
        let (orders, received) = orders::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let traffic = Traffic::new(target, seen, Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("cannot make a runtime");
                runtime.block_on(traffic.run(listener, port, received));
            });
        Self {
            port,
            scheme,
            weather,
            orders,
            counts,
            thread: Some(thread.expect("cannot start a thread")),
        }
    }

    /// Where clients connect: `redis://127.0.0.1:PORT`, or `rediss` if the server speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The port of 127.0.0.1 where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Lets every byte take this much longer, each way.
    pub fn delay(&self, each_way: Duration) {
        self.change(|weather| weather.delay = [each_way; 2]);
    }

    /// Lets only the answers take longer.
    pub fn delay_replies(&self, by: Duration) {
        self.change(|weather| weather.delay = [Duration::ZERO, by]);
    }

    /// Lets nothing pass, and tells nobody: as when a cable was pulled. What is under way arrives
    /// after [`Relay::heal`]; a side that hangs up meanwhile does so unheard.
    pub fn stall(&self) {
        self.change(|weather| weather.is_stalled = true);
    }

    /// Lets nothing pass on the connections that are open now, and tells nobody, as when one path
    /// of a network is gone and the next connection takes another. The server goes on believing in
    /// them until [`Relay::heal`] or [`Relay::cut`].
    pub fn strand(&self) {
        let stranded = self.accepted();
        self.change(|weather| weather.stranded = stranded);
    }

    /// Lets requests pass and loses the answers, so that the client does not know what was done.
    /// Connections that lost something end at [`Relay::heal`]: no network mends those. An answer
    /// that the server gave, but that has not come here by then, arrives: see [`Relay::lost`].
    pub fn drop_replies(&self) {
        self.change(|weather| weather.drops_replies = true);
    }

    /// How many pieces of answers were lost so far, of whatever size they came in.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.counts.lost.load(Ordering::SeqCst)
    }

    /// Lets at most so many bytes pass at a time.
    pub fn slices(&self, bytes: usize) {
        self.change(|weather| weather.slice = bytes);
    }

    /// Lets requests pass, and in place of the next answer on each connection lets `once` arrive,
    /// and behind it `forever`, again and again until the client hangs up or [`Relay::heal`], which
    /// ends those connections.
    pub fn answer_with(&self, once: &[u8], forever: &[u8]) {
        let (once, forever) = (once.to_vec(), forever.to_vec());
        let instead = Arc::new(Instead {
            once,
            forever,
            counts: self.counts.clone(),
        });
        self.change(|weather| weather.instead = Some(instead));
    }

    /// How many bytes were sent in place of answers, at least.
    #[must_use]
    pub fn sent_instead(&self) -> usize {
        self.counts.instead.load(Ordering::Relaxed)
    }

    /// Ends every connection now. New ones are accepted.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Refuses new connections, as when nobody listens. Those that are open go on.
    pub fn refuse(&self) {
        self.order(Order::Refuse);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.weather.send_replace(Weather::default());
        self.order(Order::Accept);
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Returns when it is done, so that the very next connection meets it.
    fn order(&self, order: impl FnOnce(mpsc::Sender<()>) -> Order) {
        let (done, wait) = mpsc::channel();
        let given = self.orders.send(order(done));
        given.expect("the relay has ended");
        wait.recv().expect("the relay has ended");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Without a sender there are no more orders, which is the order to end.
        let (none, _) = orders::unbounded_channel();
        self.orders = none;
        if let Some(thread) = self.thread.take() {
            let _panicked_elsewhere = thread.join();
        }
    }
}

/// A listener on a port that can be had again after it was closed.
fn listen() -> (TcpListener, u16) {
    loop {
        let port = port::free();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return (listener, port);
        }
    }
}
