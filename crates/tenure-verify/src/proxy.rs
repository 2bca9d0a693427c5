//! A way to the store that can be cut, or fall silent.
//!
//! Bytes pass unchanged. What is disturbed are connections with even or with odd numbers, so that
//! some clients suffer while others go on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How it is with connections of one half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Weather {
    #[default]
    Clear,
    /// They stay open, and nothing comes through; it does later.
    Silent,
    /// They end, and new ones end as well.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    halves: Arc<[watch::Sender<Weather>; 2]>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(upstream: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let halves = Arc::new([watch::Sender::default(), watch::Sender::default()]);
        let listening = tokio::spawn(listen(listener, upstream, halves.clone()));
        Ok(Self {
            address,
            halves,
            listening,
        })
    }

    /// Changes it for the connections of one half.
    pub(crate) fn set(&self, half: usize, weather: Weather) {
        if let Some(half) = self.halves.get(half % 2) {
            half.send_replace(weather);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, upstream: String, halves: Arc<[watch::Sender<Weather>; 2]>) {
    let mut number = 0;
    while let Ok((client, _)) = listener.accept().await {
        number += 1;
        let Some(half) = halves.get(number % 2) else {
            return;
        };
        let (weather, upstream) = (half.subscribe(), upstream.clone());
        tokio::spawn(async move {
            if *weather.borrow() == Weather::Closed {
                return;
            }
            let Ok(server) = TcpStream::connect(&upstream).await else {
                return;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, weather.clone()) => {}
                () = pass(from_server, to_client, weather) => {}
            }
        });
    }
}

/// Passes bytes on until either side ends or the connection is cut.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let now = *weather.borrow_and_update();
        let count = tokio::select! {
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            count = from.read(&mut bytes), if now == Weather::Clear => count,
            () = std::future::ready(()), if now == Weather::Closed => return,
        };
        let Ok(count @ 1..) = count else { return };
        let Some(read) = bytes.get(..count) else {
            return;
        };
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

/// A way to the store that can be disturbed, and the URL that takes it; or why there is none.
pub(crate) async fn way_through(url: &str) -> Result<(Proxy, String), String> {
    let rest = url.strip_prefix("redis://").ok_or(
        "only connections to one server without TLS (redis://) can be led through a proxy",
    )?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (format!("{user}@"), place),
        None => (String::new(), authority),
    };
    let has_port = place.rsplit_once(':').is_some_and(|(host, port)| {
        !port.is_empty() && (!host.contains(':') || host.ends_with(']'))
    });
    let upstream = match (place.is_empty(), has_port) {
        (true, _) => "127.0.0.1:6379".to_owned(),
        (_, true) => place.to_owned(),
        (_, false) => format!("{}:6379", place.trim_end_matches(':')),
    };
    let proxy = Proxy::to(upstream)
        .await
        .map_err(|error| format!("a proxy cannot listen: {error}"))?;
    let url = format!("redis://{user}{}{path}", proxy.address);
    Ok((proxy, url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_way_through_keeps_user_database_and_settings() {
        let through = async |url: &str| {
            let (proxy, url) = way_through(url).await.unwrap();
            url.replace(&proxy.address.to_string(), "HERE")
        };
        assert_eq!(through("redis://h:7").await, "redis://HERE");
        assert_eq!(through("redis://h").await, "redis://HERE");
        assert_eq!(through("redis://[::1]:7/2").await, "redis://HERE/2");
        assert_eq!(
            through("redis://us:p%40w@h:7/2?safety=strict").await,
            "redis://us:p%40w@HERE/2?safety=strict"
        );
        assert!(way_through("rediss://h:7").await.is_err());
        assert!(way_through("sqlite:x.db").await.is_err());
    }
}
