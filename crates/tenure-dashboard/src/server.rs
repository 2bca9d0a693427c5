//! Serves the dashboard on an address of its own, within bounds.
//!
//! Beyond loopback it starts only with a credential. Slow and silent clients are hung up on, so
//! that they hold up nobody else: a request's head has five seconds to come, and 16 KiB.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower_service::Service as _;

use crate::Dashboard;

const HEAD_WITHIN: Duration = Duration::from_secs(5);
const MOST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;
/// How many connections are open at once; more wait to be taken.
const MOST_CONNECTIONS: usize = 512;
/// How long to wait when the system gives no connection, as when files run out.
const AFTER_TROUBLE: Duration = Duration::from_millis(500);

/// Why a dashboard is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Anybody in the network could use it.
    #[error(
        "the dashboard would be open to everybody who reaches {address}, because no credential is \
         set; set a token, a user or a proxy's header, or serve it on a loopback address such as \
         127.0.0.1"
    )]
    Open {
        /// Where it was to be served.
        address: SocketAddr,
    },
    /// The socket does not say where it listens.
    #[error("the socket does not tell its address")]
    Address(#[source] std::io::Error),
}

/// A dashboard that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Serves `dashboard` on a socket that listens already.
    ///
    /// # Errors
    /// [`ServeError::Open`] if anybody beyond this machine could use it without a credential.
    pub fn new(dashboard: &Dashboard, listener: TcpListener) -> Result<Self, ServeError> {
        let address = listener.local_addr().map_err(ServeError::Address)?;
        if !address.ip().to_canonical().is_loopback() && dashboard.is_open() {
            return Err(ServeError::Open { address });
        }
        Ok(Self {
            listener,
            address,
            router: dashboard.router_on(address),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `end` resolves; connections are then cut.
    ///
    /// # Cancel safety
    /// Dropping it cuts all connections.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            let next = async {
                let permit = room.clone().acquire_owned().await.ok()?;
                Some((self.listener.accept().await, permit))
            };
            tokio::select! {
                () = &mut end => return,
                _ = connections.join_next(), if !connections.is_empty() => {}
                accepted = next => match accepted {
                    Some((Ok((stream, peer)), permit)) => {
                        connections.spawn(answer(stream, peer, self.router.clone(), permit));
                    }
                    Some((Err(error), _)) => {
                        tracing::debug!(%error, "a connection to the dashboard was not made");
                        sleep(AFTER_TROUBLE).await;
                    }
                    None => return,
                },
            }
        }
    }
}

/// Answers on one connection until it ends.
async fn answer(stream: TcpStream, peer: SocketAddr, router: Router, permit: OwnedSemaphorePermit) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router of axum is always ready.
        let answer = router.clone().call(request.map(Body::new));
        async move {
            let answer: Result<Response<Body>, Infallible> = answer.await;
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, %peer, "a connection to the dashboard broke off");
    }
    drop(permit);
}
