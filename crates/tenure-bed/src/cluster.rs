//! Three primaries that share the slots, each with a replica.

use std::time::Duration;

use crate::control::Reply;
use crate::poll::until;
use crate::port;
use crate::program::Flavour;
use crate::redis::{Redis, RedisBuilder};
use crate::sentinel::addresses;

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;
const SLOTS: usize = 16384;
/// How long a node must be silent before the others replace it, while one is to be replaced. News
/// travels faster with it too, so it also holds until the cluster is complete.
const WATCHFUL_MS: u32 = 1500;
/// The same while nobody is to die: a busy machine looks like a dead node, and a fail-over that no
/// test asked for fails whatever runs then.
const CALM_MS: u32 = 300_000;
/// How many keys are moved at a time.
const BATCH: &str = "100";
const PATIENCE: Duration = Duration::from_secs(30);

/// Six nodes. All of them are gone when it is dropped. They take nobody for dead before a test says
/// so with [`Cluster::watch`].
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
    /// What the cluster calls each node.
    ids: Vec<String>,
}

impl Cluster {
    /// Starts three primaries with a replica each, and returns when every node knows all slots and
    /// every replica has the data of its primary.
    ///
    /// # Panics
    /// If it is not complete in time.
    pub async fn start(flavour: Flavour) -> Self {
        Self::start_with(flavour, |builder| builder).await
    }

    /// As [`Cluster::start`], with settings for each node.
    ///
    /// # Panics
    /// If it is not complete in time.
    pub async fn start_with(
        flavour: Flavour,
        settings: impl Fn(RedisBuilder) -> RedisBuilder,
    ) -> Self {
        let (mut nodes, mut ids, mut buses) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..NODES {
            // By default the bus is ten thousand ports above, where outgoing connections are.
            let bus = port::free().to_string();
            let node = settings(Redis::builder(flavour))
                .config("cluster-enabled", "yes")
                .config("cluster-config-file", "nodes")
                .config("cluster-port", &bus)
                .config("cluster-node-timeout", &WATCHFUL_MS.to_string())
                .config("cluster-replica-validity-factor", "0");
            let node = node.start().await;
            ids.push(node.cli(&["CLUSTER", "MYID"]).await);
            nodes.push(node);
            buses.push(bus);
        }
        let started = Self { nodes, ids };
        started.meet(&buses).await;
        started.deal_out().await;
        started.in_sync().await;
        started.node_timeout(CALM_MS).await;
        started
    }

    /// From now on a primary that is silent for a second and a half is replaced by its replica.
    pub async fn watch(&self) {
        self.node_timeout(WATCHFUL_MS).await;
    }

    async fn node_timeout(&self, ms: u32) {
        let ms = ms.to_string();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let set = node
                .cli(&["CONFIG", "SET", "cluster-node-timeout", &ms])
                .await;
            assert_eq!(set, "OK");
        }
    }

    /// `redis+cluster://HOST:PORT,…`, all nodes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", addresses(&self.nodes))
    }

    /// The nodes: at the start the first three are the primaries, in the order of their slots.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// What the cluster calls a node.
    #[must_use]
    pub fn id(&self, node: usize) -> &str {
        &self.ids[node]
    }

    /// The slot of a key, as the cluster counts it.
    pub async fn slot_of_key(&self, key: &str) -> u16 {
        let slot = self.nodes[0].call(&["CLUSTER", "KEYSLOT", key]).await.int();
        slot.and_then(|slot| slot.try_into().ok())
            .expect("a key has a slot")
    }

    /// Which node has a slot, by its place in [`Cluster::nodes`], as the nodes that run see it.
    ///
    /// # Panics
    /// If no node says so in time.
    pub async fn node_of_slot(&self, slot: u16) -> usize {
        until("a node has the slot", PATIENCE, async || {
            let node = self.nodes.iter().find(|node| node.is_running())?;
            let id = owner_seen_by(node, slot).await?;
            self.ids.iter().position(|known| *known == id)
        })
        .await
    }

    /// Begins to move a slot: from now on its node answers `ASK` for keys that it does not have
    /// and `TRYAGAIN` for several of which it has some.
    ///
    /// # Panics
    /// If a node refuses.
    pub async fn begin_migration(&self, slot: u16, to: usize) -> Migration<'_> {
        let from = self.node_of_slot(slot).await;
        let migration = Migration {
            cluster: self,
            slot: slot.to_string(),
            from,
            to,
        };
        migration.set_slot(to, "IMPORTING", from).await;
        migration.set_slot(from, "MIGRATING", to).await;
        migration
    }

    /// Moves a slot with all its keys while the cluster goes on, and returns when every node that
    /// runs knows.
    ///
    /// # Panics
    /// If a node refuses.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let migration = self.begin_migration(slot, to).await;
        migration.move_keys().await;
        migration.finish().await;
    }

    /// Waits until every node that runs says that all is well, knows each slot's node as the
    /// others do and, if it is a replica, has the data of its primary.
    ///
    /// `cluster_state:ok` alone comes before the replicas have data, and a replica without data is
    /// none that could take over.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn in_sync(&self) {
        let nodes = self.nodes.iter().filter(|node| node.is_running());
        let nodes: Vec<_> = nodes.collect();
        until("the cluster is complete", PATIENCE, async || {
            let (mut seen, mut replicas, mut followed) = (Vec::new(), 0, 0);
            for node in &nodes {
                let info = node.try_call(&["CLUSTER", "INFO"]).await.ok()?;
                info.to_string()
                    .contains("cluster_state:ok")
                    .then_some(())?;
                if node.info("role").await? == "slave" {
                    (node.info("master_link_status").await? == "up").then_some(())?;
                    replicas += 1;
                }
                followed += node.replicas().await;
                seen.push(dealt_as_seen_by(node).await);
            }
            (followed == replicas).then_some(())?;
            seen.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .await;
    }

    /// Makes everybody known to everybody. Each is told of all: hearsay takes longer.
    async fn meet(&self, buses: &[String]) {
        for node in &self.nodes {
            for (other, bus) in self.nodes.iter().zip(buses) {
                let port = other.port().to_string();
                node.call(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])
                    .await;
            }
        }
        for node in &self.nodes {
            until("the nodes know each other", PATIENCE, async || {
                let known = node.cli(&["CLUSTER", "NODES"]).await;
                let is_known = |id: &String| {
                    known
                        .lines()
                        .any(|line| line.starts_with(id) && !line.contains("handshake"))
                };
                self.ids.iter().all(is_known).then_some(())
            })
            .await;
        }
    }

    /// Gives the primaries their slots and the others their primaries.
    async fn deal_out(&self) {
        for at in 0..PRIMARIES {
            let bound = |at: usize| at * SLOTS / PRIMARIES;
            let (first, last) = (bound(at).to_string(), (bound(at + 1) - 1).to_string());
            let dealt = self.nodes[at]
                .cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
            assert_eq!(dealt, "OK");
            // Nodes of one epoch would have to settle whose slots count.
            let epoch = (at + 1).to_string();
            self.nodes[at]
                .call(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await;
        }
        for at in PRIMARIES..NODES {
            let follow = ["CLUSTER", "REPLICATE", &self.ids[at - PRIMARIES]];
            until("a replica has its primary", PATIENCE, async || {
                (self.nodes[at].cli(&follow).await == "OK").then_some(())
            })
            .await;
        }
    }
}

/// A slot on its way from one node to another.
#[derive(Debug)]
#[must_use = "the slot stays between two nodes until `finish`"]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Migration<'_> {
    /// Moves all keys that the slot has now.
    ///
    /// # Panics
    /// If a node refuses.
    pub async fn move_keys(&self) {
        let [from, to] = [self.from, self.to].map(|at| &self.cluster.nodes[at]);
        let port = to.port().to_string();
        loop {
            let keys = from
                .call(&["CLUSTER", "GETKEYSINSLOT", &self.slot, BATCH])
                .await;
            if keys.list().is_empty() {
                return;
            }
            let mut words: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), b""];
            words.extend([&b"0"[..], b"5000", b"KEYS"]);
            words.extend(keys.list().iter().map(Reply::bytes));
            let moved = from.cli(&words).await;
            // `NOKEY`: they expired or were deleted in the meantime.
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        }
    }

    /// Gives the slot to its new node, and returns when every node that runs knows.
    ///
    /// # Panics
    /// If a node refuses.
    pub async fn finish(self) {
        // The new node first: it must know before the old one sends clients to it.
        self.set_slot(self.to, "NODE", self.to).await;
        self.set_slot(self.from, "NODE", self.to).await;
        let (id, slot) = (&self.cluster.ids[self.to], self.slot.parse().ok());
        let slot = slot.expect("made of a number");
        for node in self.cluster.nodes.iter().filter(|node| node.is_running()) {
            until("every node knows where the slot is", PATIENCE, async || {
                (owner_seen_by(node, slot).await.as_ref() == Some(id)).then_some(())
            })
            .await;
        }
    }

    /// Leaves the slot where it was. No key may have been moved.
    ///
    /// # Panics
    /// If a node refuses.
    pub async fn call_off(self) {
        for at in [self.from, self.to] {
            self.ask(at, &["STABLE"]).await;
        }
    }

    async fn set_slot(&self, at: usize, what: &str, other: usize) {
        self.ask(at, &[what, &self.cluster.ids[other]]).await;
    }

    async fn ask(&self, at: usize, what: &[&str]) {
        let command = [&["CLUSTER", "SETSLOT", &self.slot], what].concat();
        let done = self.cluster.nodes[at].cli(&command).await;
        assert_eq!(done, "OK", "{command:?}");
    }
}

/// The slots and their nodes, as one node sees them: first, last, id.
async fn dealt_as_seen_by(node: &Redis) -> Vec<(i64, i64, String)> {
    let ranges = node.try_call(&["CLUSTER", "SLOTS"]).await;
    let ranges = ranges.unwrap_or(Reply::Nil);
    let ranges = ranges.list().iter().filter_map(|range| {
        let [first, last, owner, ..] = range.list() else {
            return None;
        };
        Some((first.int()?, last.int()?, owner.list().get(2)?.to_string()))
    });
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort();
    ranges
}

async fn owner_seen_by(node: &Redis, slot: u16) -> Option<String> {
    let slot = i64::from(slot);
    let dealt = dealt_as_seen_by(node).await;
    let mut ranges = dealt.into_iter();
    let (_, _, id) = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot))?;
    Some(id)
}
