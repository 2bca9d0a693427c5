//! The thread of a relay: connections come, pass bytes and end as the relay was told.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Counts, Instead, Order, Target, Weather};

const CHUNK: usize = 16 * 1024;
/// How many chunks may be under way; a sender that is faster waits, as it would on a network.
const UNDER_WAY: usize = 256;

/// A direction, as its place in [`Weather::delay`].
const REQUESTS: usize = 0;
const REPLIES: usize = 1;

pub(super) struct Traffic {
    target: Target,
    weather: watch::Receiver<Weather>,
    counts: Arc<Counts>,
}

/// Bytes under way; none are the end of what one side sends.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
}

/// The weather as one connection has it.
#[derive(Clone)]
struct Seen {
    weather: watch::Receiver<Weather>,
    /// Which connection it is, counted from one.
    number: usize,
    counts: Arc<Counts>,
}

impl Seen {
    /// Waits while nothing may pass.
    async fn clear(&mut self) -> io::Result<Weather> {
        let number = self.number;
        let is_clear = |weather: &Weather| !weather.is_stalled && number > weather.stranded;
        let clear = self.weather.wait_for(is_clear).await;
        clear
            .map(|weather| weather.clone())
            .map_err(io::Error::other)
    }
}

/// Counts a connection for as long as it is open.
struct Open(Arc<Counts>);

impl Traffic {
    pub(super) fn new(
        target: Target,
        weather: watch::Receiver<Weather>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            target,
            weather,
            counts,
        }
    }

    /// Runs until nobody can give orders any more.
    pub(super) async fn run(
        self,
        listener: StdListener,
        port: u16,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let mut listener = Some(listen_on(listener));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Cut(done)) => {
                        connections.shutdown().await;
                        let _gone = done.send(());
                    }
                    Some(Order::Refuse(done)) => {
                        listener = None;
                        let _gone = done.send(());
                    }
                    Some(Order::Accept(done)) => {
                        if listener.is_none() {
                            let bound = StdListener::bind((Ipv4Addr::LOCALHOST, port));
                            listener = Some(listen_on(bound.expect("the port was taken")));
                        }
                        let _gone = done.send(());
                    }
                    None => return,
                },
                accepted = accept(listener.as_ref()) => {
                    let number = self.counts.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                    let open = Open::new(&self.counts);
                    let target = self.target.clone();
                    let (weather, counts) = (self.weather.clone(), self.counts.clone());
                    let seen = Seen { weather, number, counts };
                    connections.spawn(async move {
                        let _open = open;
                        // Whatever ends a connection ends it on both sides, as its streams go.
                        let _ended = connect(accepted, target, seen).await;
                    });
                }
                Some(_ended) = connections.join_next() => {}
            }
        }
    }
}

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open: &AtomicUsize = &self.0.open;
        open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn listen_on(listener: StdListener) -> TcpListener {
    let prepared = listener.set_nonblocking(true);
    prepared
        .and_then(|()| TcpListener::from_std(listener))
        .expect("cannot listen")
}

/// The next client; never, while nobody listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
        // Out of file handles, perhaps: connections that end give some back.
        tokio::task::yield_now().await;
    }
}

async fn connect(client: TcpStream, target: Target, mut seen: Seen) -> io::Result<()> {
    client.set_nodelay(true)?;
    seen.clear().await?;
    match target {
        Target::Port(port) => {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            server.set_nodelay(true)?;
            pass_both(client, server, seen).await
        }
        Target::Socket(path) => pass_both(client, UnixStream::connect(path).await?, seen).await,
    }
}

async fn pass_both<S>(client: TcpStream, server: S, seen: Seen) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let requests = pass(from_client, to_server, REQUESTS, seen.clone());
    let replies = pass(from_server, to_client, REPLIES, seen);
    tokio::try_join!(requests, replies).map(drop)
}

/// Passes one direction on, until its sender has ended and everything has arrived.
async fn pass<R, W>(from: R, to: W, direction: usize, seen: Seen) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sender, parcels) = mpsc::channel(UNDER_WAY);
    let taken = take(from, direction, seen.clone(), sender);
    let given = give(to, direction, seen, parcels);
    tokio::try_join!(taken, given).map(drop)
}

/// Takes what comes, and notes when it is to arrive.
async fn take<R: AsyncRead + Unpin>(
    mut from: R,
    direction: usize,
    seen: Seen,
    parcels: mpsc::Sender<Parcel>,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        // A side that went away unheard is one that ended.
        let length = from.read(&mut bytes).await.unwrap_or(0);
        let delay = seen.weather.borrow().delay[direction];
        // tidy: allow(clock) a relay is a network, and has a network's time
        let due = Instant::now() + delay;
        let parcel = Parcel {
            due,
            bytes: bytes[..length].to_vec(),
        };
        if parcels.send(parcel).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

/// Lets what was taken arrive.
async fn give<W: AsyncWrite + Unpin>(
    mut to: W,
    direction: usize,
    mut seen: Seen,
    mut parcels: mpsc::Receiver<Parcel>,
) -> io::Result<()> {
    let mut has_lost = false;
    loop {
        let parcel = tokio::select! {
            parcel = parcels.recv() => parcel,
            changed = seen.weather.changed(), if has_lost => {
                changed.map_err(io::Error::other)?;
                if seen.weather.borrow_and_update().loses_replies() {
                    continue;
                }
                // The rest would be taken for the answers that were lost.
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        };
        let Some(parcel) = parcel else {
            return Ok(());
        };
        sleep_until(parcel.due).await;
        let now = seen.clear().await?;
        if direction == REPLIES && now.loses_replies() {
            if let Some(instead) = now.instead.filter(|_| !has_lost) {
                answer(&mut to, &mut seen, &instead).await?;
            }
            has_lost = true;
            // The end of a stream is no answer.
            if !parcel.bytes.is_empty() {
                seen.counts.lost.fetch_add(1, Ordering::SeqCst);
            }
        } else if has_lost {
            return Err(io::ErrorKind::ConnectionReset.into());
        } else if parcel.bytes.is_empty() {
            return to.shutdown().await;
        } else {
            let size = if now.slice == 0 { CHUNK } else { now.slice };
            for slice in parcel.bytes.chunks(size) {
                to.write_all(slice).await?;
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Weather {
    fn loses_replies(&self) -> bool {
        self.drops_replies || self.instead.is_some()
    }
}

/// Says something else than the server, until the client has enough of it.
async fn answer<W: AsyncWrite + Unpin>(
    to: &mut W,
    seen: &mut Seen,
    instead: &Instead,
) -> io::Result<()> {
    to.write_all(&instead.once).await?;
    if instead.forever.is_empty() {
        return Ok(());
    }
    let many = instead.forever.repeat(CHUNK / instead.forever.len() + 1);
    while seen.weather.borrow().instead.is_some() {
        let sent = to.write(&many).await?;
        instead.counts.instead.fetch_add(sent, Ordering::Relaxed);
    }
    Ok(())
}
