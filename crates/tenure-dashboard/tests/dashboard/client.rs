//! A dashboard that is served for a test, and a client that says exactly what it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tenure_core::{Beat, Definition, Generation, Holder, LeaseStore, RunStore, TaskName};
use tenure_dashboard::{Access, Dashboard, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A dashboard on a port of its own; gone with the test.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// What these bytes say.
    pub(crate) fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A store that knows the tasks `a`, `b/ü` and `c`, of one node.
pub(crate) async fn known(store: &dyn RunStore) {
    let node = Holder::new("worker").on_host("here");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    let definitions = ["a", "b/ü", "c"].map(|name| {
        let name = TaskName::new(name).unwrap();
        Definition::new(name, Generation::new("g1").unwrap(), "0 3 * * *")
    });
    store.register(node.id, &definitions).await.unwrap();
}

pub(crate) async fn serve<S: LeaseStore + RunStore>(store: Arc<S>, access: Access) -> Served {
    let dashboard = Dashboard::builder(store.clone(), store).access(access);
    served(&dashboard.build()).await
}

pub(crate) async fn served(dashboard: &Dashboard) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(dashboard, listener).unwrap();
    Served {
        address: server.address(),
        serving: tokio::spawn(server.run(std::future::pending())),
    }
}

impl Served {
    /// Sends these bytes and reads until the server hangs up.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may hang up before it has read all: what it said counts.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks with these headers besides the usual ones.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = vec![format!("{method} {path} HTTP/1.1\r\nconnection: close")];
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push(format!("host: {}", self.address));
        }
        for (name, value) in headers {
            head.push(format!("{name}: {value}"));
        }
        if !body.is_empty() || method == "POST" {
            head.push(format!("content-length: {}", body.len()));
        }
        let request = format!("{}\r\n\r\n{body}", head.join("\r\n"));
        Answer::of(&self.raw(request.as_bytes()).await)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// Posts JSON, as a program does.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.ask("POST", path, &headers, body).await
    }
}
