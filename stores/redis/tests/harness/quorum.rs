//! A quorum of real servers for each case, or a part of one that cases share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bed::{Flavour, Quorum, Redis, RedisBuilder, Reply};
use tenure_conformance::LeaseHarness;
use tenure_core::{HolderId, Key, LeaseStore};
use tenure_redis::QuorumStore;

use super::barred;
use super::together::assert_alone;

/// Longer than the default: the servers of several tests share the machine's few cores.
const PATIENCE: &str = "node_timeout=4s&timeout=20s&connect_timeout=20s";

/// The servers of a case.
pub(crate) struct Harness {
    quorum: Arc<Quorum>,
    /// Those that are down or hang.
    without: Vec<usize>,
    url: String,
    prefix: String,
    /// Whether no other case shares its servers meanwhile.
    pub(crate) is_alone: bool,
    /// How many fence counters there were before.
    counters: usize,
}

impl Harness {
    pub(crate) async fn five() -> Self {
        let quorum = Quorum::start_with(Flavour::Redis, 5, RedisBuilder::own_wall).await;
        let quorum = Arc::new(quorum);
        Self::part(&quorum, 0, &[], "").await
    }

    /// A part of the servers, for the case with this number.
    pub(crate) async fn part(
        quorum: &Arc<Quorum>,
        case: usize,
        without: &[usize],
        parameters: &str,
    ) -> Self {
        let prefix = format!("case{case}:");
        let mut part = Self {
            quorum: quorum.clone(),
            without: without.to_vec(),
            url: format!("{}?{PATIENCE}&prefix={prefix}{parameters}", quorum.url()),
            prefix,
            is_alone: true,
            counters: 0,
        };
        part.counters = part.raw_fence_counters().await;
        part
    }

    fn nodes(&self) -> impl Iterator<Item = &Redis> {
        let nodes = self.quorum.nodes().iter().enumerate();
        nodes
            .filter(|(number, _)| !self.without.contains(number))
            .map(|(_, node)| node)
    }

    fn majority(&self) -> usize {
        self.quorum.nodes().len() / 2 + 1
    }

    /// A command on every server that can answer.
    async fn ask(&self, command: &[&[u8]]) -> Vec<Reply> {
        let mut replies = Vec::new();
        for node in self.nodes() {
            replies.push(node.call(command).await);
        }
        replies
    }

    fn name_of(&self, key: &Key) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// The names of each server's keys.
    async fn names(&self) -> Vec<Vec<Vec<u8>>> {
        let names = |reply: &Reply| reply.list().iter().map(|n| n.bytes().to_vec()).collect();
        self.ask(&[b"KEYS", b"*"]).await.iter().map(names).collect()
    }

    /// The names of each server's fence counters.
    async fn counter_names(&self) -> Vec<Vec<Vec<u8>>> {
        let mut names = self.names().await;
        for names in &mut names {
            names.retain(|name| name.starts_with(b"tenure:{") && name.ends_with(b"}:f"));
        }
        names
    }
}

#[async_trait]
impl LeaseHarness for Harness {
    async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(QuorumStore::connect(&self.url).await.unwrap())
    }

    async fn lapse(&self, key: &Key) {
        // The servers remove it as they remove a key whose time is over.
        self.ask(&[b"PEXPIREAT", &self.name_of(key), b"1"]).await;
    }

    async fn pass_time(&self, by: Duration) {
        tokio::time::sleep(by).await; // tidy: allow(sleep) the servers have no other clock
    }

    async fn sever(&self) {
        assert_alone(self.is_alone);
        for kind in [b"normal", b"pubsub"] {
            self.ask(&[b"CLIENT", b"KILL", b"TYPE", kind]).await;
        }
    }

    async fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        let mut votes: HashMap<HolderId, usize> = HashMap::new();
        for value in self.ask(&[b"GET", &self.name_of(key)]).await {
            let value = std::str::from_utf8(value.bytes()).ok();
            let holder = value.and_then(|value| value.rsplit(':').next()?.parse().ok());
            if let Some(holder) = holder {
                *votes.entry(holder).or_default() += 1;
            }
        }
        let won = votes
            .into_iter()
            .find(|(_, votes)| *votes >= self.majority());
        won.map(|(holder, _)| holder)
    }

    /// What a majority has: what the last request left behind may still be on its way to a few.
    async fn raw_records(&self, key: &Key) -> usize {
        let name = self.name_of(key);
        let behind = |kind: &[u8]| [b"}:", kind, b":", &name].concat();
        let is_about = |found: &&Vec<u8>| {
            **found == name
                || (found.starts_with(b"tenure:")
                    && (found.ends_with(&behind(b"q")) || found.ends_with(&behind(b"w"))))
        };
        let names = self.names().await;
        let mut of_each = Vec::new();
        for (node, names) in self.nodes().zip(&names) {
            let mut records = 0;
            for found in names.iter().filter(is_about) {
                let fields = node.call(&[b"HGETALL", found.as_slice()]).await;
                records += usize::from(!barred::are_all(&fields));
            }
            of_each.push(records);
        }
        of_each.sort_unstable_by(|a, b| b.cmp(a));
        of_each[self.majority() - 1]
    }

    async fn raw_fence_counters(&self) -> usize {
        assert_alone(self.is_alone);
        let counters = self.counter_names().await;
        let most = counters.iter().map(Vec::len).max().unwrap_or_default();
        most - self.counters.min(most)
    }

    async fn step_wall(&self, by_ms: i64) {
        assert_alone(self.is_alone);
        // Its future cannot be shown to be `Send`, which this method's must be.
        let step = futures_util::future::join_all(self.nodes().map(|node| node.step_wall(by_ms)));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(step));
    }

    async fn lose_fence(&self, _key: &Key) {
        assert_alone(self.is_alone);
        for name in self.counter_names().await.concat() {
            self.ask(&[b"DEL", &name]).await;
        }
    }
}
