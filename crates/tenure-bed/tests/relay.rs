//! A relay does to a connection what a network can do.

#![allow(
    clippy::unwrap_used,
    reason = "clippy frees tests, and these functions are parts of tests"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tenure_bed::{Flavour, Redis, Relay, until};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

struct Client(TcpStream);

impl Client {
    fn connect(relay: &Relay) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// An answer as long as the expected one.
    fn expect(&mut self, answer: &str) {
        let mut bytes = vec![0; answer.len()];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), answer);
    }

    fn ping(&mut self) {
        self.send("PING\r\n");
        self.expect("+PONG\r\n");
    }

    fn hears_nothing(&mut self) {
        self.0.set_read_timeout(Some(SHORT)).unwrap();
        let error = self.0.read(&mut [0]).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        self.0.set_read_timeout(Some(LONG)).unwrap();
    }

    fn is_cut(&mut self) {
        assert!(matches!(self.0.read(&mut [0]), Ok(0) | Err(_)));
    }
}

async fn bed() -> (Redis, Relay, Client) {
    let redis = Redis::builder(Flavour::Redis).start().await;
    let relay = Relay::to(&redis);
    let mut client = Client::connect(&relay);
    client.ping();
    assert_eq!((relay.accepted(), relay.open()), (1, 1));
    (redis, relay, client)
}

#[tokio::test]
async fn redis_answers_later_through_a_delay_and_in_order() {
    let (_redis, relay, mut client) = bed().await;
    let delay = Duration::from_millis(30);
    relay.delay(delay);
    let begun = Instant::now();
    client.ping();
    assert!(begun.elapsed() >= 2 * delay);
    // Requests do not wait for one another.
    let begun = Instant::now();
    for number in 0..50 {
        client.send(&format!("ECHO {number:02}\r\n"));
    }
    for number in 0..50 {
        client.expect(&format!("$2\r\n{number:02}\r\n"));
    }
    assert!(begun.elapsed() < 50 * delay);
    relay.delay_replies(delay);
    let begun = Instant::now();
    client.ping();
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn redis_does_not_answer_through_a_stall_until_it_heals() {
    let (redis, relay, mut client) = bed().await;
    relay.stall();
    client.send("SET key value\r\n");
    client.hears_nothing();
    assert_eq!(redis.cli(&["EXISTS", "key"]).await, "0");
    relay.heal();
    client.expect("+OK\r\n");
    assert_eq!(redis.cli(&["EXISTS", "key"]).await, "1");
    // Half-open: not even the server's end is heard of.
    relay.stall();
    redis.kill();
    client.hears_nothing();
    assert_eq!(relay.open(), 1);
    relay.heal();
    client.is_cut();
}

#[tokio::test]
async fn redis_hears_new_connections_and_not_those_that_were_stranded() {
    let (redis, relay, mut old) = bed().await;
    old.ping();
    relay.strand();
    let mut new = Client::connect(&relay);
    new.ping();
    old.send("SET key value\r\n");
    old.hears_nothing();
    drop(old);
    // The server goes on believing in a client that has gone.
    new.ping();
    assert_eq!(relay.open(), 2);
    assert_eq!(redis.cli(&["EXISTS", "key"]).await, "0");
    relay.heal();
    until("what was under way arrives", LONG, async || {
        (relay.open() == 1).then_some(())
    })
    .await;
    assert_eq!(redis.cli(&["GET", "key"]).await, "value");
}

#[tokio::test]
async fn redis_does_what_was_asked_when_replies_are_dropped() {
    let (redis, relay, mut client) = bed().await;
    relay.drop_replies();
    client.send("SET key value\r\n");
    until("the answer is lost", LONG, async || {
        (relay.lost() == 1).then_some(())
    })
    .await;
    client.hears_nothing();
    assert_eq!(redis.cli(&["GET", "key"]).await, "value");
    relay.heal();
    // No later answer may be taken for the lost one.
    client.is_cut();
    Client::connect(&relay).ping();
}

#[tokio::test]
async fn redis_is_cut_off_or_refused() {
    let (_redis, relay, mut client) = bed().await;
    relay.refuse();
    let refused = TcpStream::connect(("127.0.0.1", relay.port())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.ping();
    relay.cut();
    client.is_cut();
    assert_eq!(relay.open(), 0);
    assert!(TcpStream::connect(("127.0.0.1", relay.port())).is_err());
    relay.heal();
    Client::connect(&relay).ping();
    assert_eq!(relay.accepted(), 2);
}

#[tokio::test]
async fn redis_understands_requests_in_slices() {
    let (_redis, relay, mut client) = bed().await;
    relay.slices(1);
    for _ in 0..10 {
        client.ping();
    }
}

#[tokio::test]
async fn redis_on_a_socket_is_reached_by_a_port_and_comes_back() {
    let redis = Redis::builder(Flavour::Redis).unix_only().start().await;
    let relay = Relay::to(&redis);
    assert_eq!(relay.url(), format!("redis://127.0.0.1:{}", relay.port()));
    let mut client = Client::connect(&relay);
    client.ping();
    redis.kill();
    client.is_cut();
    // Nobody behind it: accepted and ended.
    Client::connect(&relay).is_cut();
    redis.restart().await;
    Client::connect(&relay).ping();
    drop(client);
    until("all connections are closed", LONG, async || {
        (relay.open() == 0).then_some(())
    })
    .await;
    let port = relay.port();
    drop(relay);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
