//! Row "references": connections from service records, asked for with real packets of a name
//! server on loopback that is written here, byte for byte after RFC 1035 and RFC 2782.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tenure_component::{Code, Component as _, Context, Discovery, DnsDiscovery, References};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::support::Connector;

const SRV: u16 = 33;
const NAME_ERROR: u8 = 3;
const SERVER_FAILURE: u8 = 2;

/// Priority, weight, port, host.
type Service = (u16, u16, u16, &'static str);

/// What the server knows of a name.
enum Answer {
    Services(&'static [Service]),
    Error(u8),
}

fn answer(name: &str) -> Answer {
    match name {
        "_redis._tcp.trio.test" => Answer::Services(&[
            (20, 60_000, 6381, "last.trio.test"),
            (10, 60, 6379, "one.trio.test"),
            (10, 40, 6380, "two.trio.test"),
        ]),
        "_redis._tcp.one.test" => Answer::Services(&[(0, 0, 7000, "db.one.test")]),
        "_redis._tcp.gone.test" => Answer::Services(&[(0, 0, 0, "")]),
        "_redis._tcp.none.test" => Answer::Services(&[]),
        "_redis._tcp.broken.test" => Answer::Error(SERVER_FAILURE),
        _ => Answer::Error(NAME_ERROR),
    }
}

/// A name server, as long as it lives.
struct NameServer {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let count = questions.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let reply = reply(&packet[..length]);
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        Self {
            address,
            questions,
            task,
        }
    }

    fn discovery(&self) -> DnsDiscovery {
        DnsDiscovery::with_servers([self.address]).unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The reply to a question: header, the question again, answers.
fn reply(question: &[u8]) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while question[at] != 0 {
        let length = usize::from(question[at]);
        let label = std::str::from_utf8(&question[at + 1..=at + length]).unwrap();
        name = format!("{name}{}{label}", if name.is_empty() { "" } else { "." });
        at += length + 1;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let end = at + 5;
    let (services, code) = match answer(&name.to_lowercase()) {
        Answer::Services(services) if kind == SRV => (services, 0),
        Answer::Services(_) => (&[][..], 0),
        Answer::Error(code) => (&[][..], code),
    };
    let mut reply = question[..2].to_vec();
    // A response, recursion desired and available.
    reply.extend([0x81, 0x80 | code]);
    let count = u16::try_from(services.len()).unwrap();
    for number in [1, count, 0, 0] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(&question[12..end]);
    for (priority, weight, port, host) in services {
        // The name is that of the question, at offset 12; class IN, a minute to live.
        reply.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        let mut data = Vec::new();
        for number in [priority, weight, port] {
            data.extend(number.to_be_bytes());
        }
        for label in host.split('.').filter(|label| !label.is_empty()) {
            data.push(u8::try_from(label.len()).unwrap());
            data.extend(label.bytes());
        }
        data.push(0);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    reply
}

async fn places(discovery: &DnsDiscovery, key: &str) -> Vec<(String, u16)> {
    let found = discovery.resolve_all(None, key).await.unwrap();
    let place = |it: &tenure_component::ConnectionParams| {
        (it.host().unwrap().to_owned(), it.port().unwrap())
    };
    found.iter().map(place).collect()
}

#[tokio::test]
async fn b_references_service_records_name_the_servers_by_priority() {
    let server = NameServer::start().await;
    let discovery = server.discovery();
    for key in ["_redis._tcp.trio.test", "trio.test"] {
        let found = places(&discovery, key).await;
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[2], ("last.trio.test".to_owned(), 6381));
        let mut first_two = found[..2].to_vec();
        first_two.sort();
        let expected = [("one.trio.test", 6379), ("two.trio.test", 6380)];
        assert_eq!(
            first_two,
            expected.map(|(host, port)| (host.to_owned(), port))
        );
    }
    assert!(server.questions.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn b_references_names_without_a_service_are_no_connection_and_no_failure() {
    let server = NameServer::start().await;
    let discovery = server.discovery();
    for key in ["gone.test", "none.test", "unknown.test"] {
        assert_eq!(places(&discovery, key).await, [], "{key}");
    }
}

#[tokio::test]
async fn e39_b_references_a_name_server_that_fails_is_a_failure_with_the_key() {
    let server = NameServer::start().await;
    let context = Context::from_trace_id("t-8");
    let discovery = server.discovery();
    for key in ["broken.test", "not a name.\u{0}", &"x".repeat(300)] {
        let error = discovery
            .resolve_all(Some(&context), key)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DiscoveryFailed, "{error}");
        assert_eq!(error.detail("discovery_key"), Some(key));
        assert_eq!(error.trace_id(), Some("t-8"));
    }
}

#[tokio::test]
async fn b_references_a_lock_finds_its_server_by_a_service_record() {
    let server = NameServer::start().await;
    let connector = Connector::default();
    let lock = connector.lock("connection.discovery_key=one.test;connection.protocol=rediss");
    let mut references = References::new();
    let descriptor = "my:discovery:dns:default:1.0".parse().unwrap();
    references.put::<dyn Discovery>(descriptor, Arc::new(server.discovery()));
    lock.set_references(&references).unwrap();
    lock.open(None).await.unwrap();
    let urls = connector.urls();
    assert!(
        urls[0].starts_with("rediss://db.one.test:7000?"),
        "{urls:?}"
    );

    let lock = connector.lock("connection.discovery_key=unknown.test");
    lock.set_references(&references).unwrap();
    let error = lock.open(None).await.unwrap_err();
    assert_eq!(error.code(), Code::NoConnection);
}
