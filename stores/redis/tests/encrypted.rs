//! A cluster, and sentinels with their servers, for users with no more rights than the README
//! lists: hand-offs by pushes and claims that are under way while the slot that they are in moves
//! or their primary dies. Over TLS, where the suites pass too; and a cluster without it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::time::Duration;

use tenure_bed::{Ca, Cluster, Flavour, RedisBuilder, Sentinel, until};
use tenure_core::{
    Beat, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Finish, Finished, Generation,
    Grant, HandOff, Holder, LeaseRequest, LeaseStore, Outcome, Release, RunState, RunStore,
    TaskName, Timestamp, Wakes,
};
use tenure_redis::RedisStore;

use crate::steps::{PATIENCE, connect, granted, held, request, turn};

const LONG: Duration = Duration::from_secs(600);

/// What the README lists for locks, for a cluster and behind sentinels.
const LOCKS: &str = "locks on >pw ~* resetchannels &tenure:* -@all +hello +auth +select \
    +client|tracking +client|caching +eval +evalsha +get +getrange +mget +set +mset +msetnx \
    +del +exists +time +type +ttl +pttl +pexpire +pexpireat +pexpiretime +scan +zadd +zrem \
    +zpopmin +zrange +zrevrange +zrank +zcard +hget +hset +hdel +publish +subscribe \
    +cluster +asking +pubsub|shardnumsub +ssubscribe +spublish +role";
/// What it lists for tasks, and the same.
const TASKS: &str = "tasks on >pw ~tenure:* resetchannels &tenure:* -@all +hello +auth +select \
    +client|tracking +eval +evalsha +time +exists +get +set +del +persist +pexpire +pexpireat \
    +hget +hset +hsetnx +hdel +hmget +hgetall +hscan +hkeys +hvals +hlen +zadd +zrem +zcard \
    +zscore +zrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +xadd +xrange +xtrim \
    +rpush +lrange +publish +subscribe +cluster +asking +pubsub|shardnumsub +ssubscribe \
    +spublish +role";

/// Nodes that know both users.
fn with_users(node: RedisBuilder) -> RedisBuilder {
    node.acl_user(LOCKS).acl_user(TASKS)
}

/// Nodes that speak TLS to each other too.
fn encrypted(node: RedisBuilder, ca: &Ca) -> RedisBuilder {
    with_users(node.tls(ca).config("tls-replication", "yes"))
}

/// The servers of `plain` for a user, over TLS if there is somebody to trust.
fn url(plain: &str, ca: Option<&Ca>, user: &str) -> String {
    let url = plain.replacen("//", &format!("//{user}:pw@"), 1);
    let url = format!("{url}?timeout=5s&connect_timeout=1m");
    let Some(ca) = ca else {
        return url;
    };
    // A second installation finds the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = url.replacen("redis+", "rediss+", 1);
    format!("{url}&ca={}", ca.path().display())
}

fn task() -> TaskName {
    TaskName::new("t").unwrap()
}

async fn node(store: &RedisStore) -> Holder {
    let node = Holder::new("node");
    store.beat(&Beat::new(node.clone(), LONG)).await.unwrap();
    let generation = Generation::new("g1").unwrap();
    let definition = Definition::new(task(), generation, "* * * * *");
    store.register(node.id, &[definition]).await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r49_s37_over_tls_users_of_a_cluster_hand_on_and_claim_while_their_slot_moves() {
    let ca = Ca::new();
    let cluster = Cluster::start_with(Flavour::Redis, |node| {
        encrypted(node, &ca).config("tls-cluster", "yes")
    });
    while_their_slot_moves(&cluster.await, Some(&ca)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r49_s37_users_of_a_cluster_without_tls_hand_on_and_claim_while_their_slot_moves() {
    // Whoever has no name is a node: one that follows another, or sends it a slot's keys.
    let nameless = "default on nopass ~* resetchannels -@all +psync +replconf +ping +select \
        +restore-asking";
    let of_nodes = |node| with_users(node).acl_user(nameless);
    let cluster = Cluster::start_with(Flavour::Redis, of_nodes).await;
    while_their_slot_moves(&cluster, None).await;
    let mut nobody = cluster.nodes()[0].redis_cli();
    let said = nobody.args(["GET", "k"]).output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("NOPERM"), "{said}");
}

async fn while_their_slot_moves(cluster: &Cluster, ca: Option<&Ca>) {
    let scene = Scene::new(&cluster.url(), ca).await;
    // In the slot of all that is kept of tasks.
    let key = "{default}k";
    let slot = cluster.slot_of_key(key).await;
    let to = (cluster.node_of_slot(slot).await + 1) % 3;

    let under_way = scene.begins(key).await;
    let migration = cluster.begin_migration(slot, to).await;
    // Of several keys the node has some by now, or will have: such a request waits.
    migration.move_keys().await;
    let ((), ()) = tokio::join!(scene.ends(under_way), migration.finish());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r58_s50_over_tls_users_behind_sentinels_hand_on_and_claim_while_their_primary_dies() {
    let ca = Ca::new();
    let of_sentinels = |one: RedisBuilder| one.tls(&ca).config("tls-replication", "yes");
    let of_nodes = |one| encrypted(one, &ca);
    let sentinel = Sentinel::start_as(Flavour::Redis, 2, of_nodes, of_sentinels).await;
    let scene = Scene::new(&sentinel.url(), Some(&ca)).await;
    let under_way = scene.begins("k").await;
    let old = sentinel.primary().await;
    assert_eq!(old.call(&["WAIT", "2", "20000"]).await.int(), Some(2));
    sentinel.kill_primary().await;
    sentinel.failed_over(old).await;
    sentinel.in_sync().await;
    scene.ends(under_way).await;
}

/// A holder and a waiter, and two nodes that run tasks.
struct Scene {
    owner: RedisStore,
    other: RedisStore,
    tasks: RedisStore,
    nodes: [Holder; 2],
}

/// A lock that is held and waited for, and a run that is claimed.
struct UnderWay {
    held: LeaseRequest,
    before: Grant,
    waiter: LeaseRequest,
    wakes: Wakes,
    claim: Claim,
}

impl Scene {
    async fn new(plain: &str, ca: Option<&Ca>) -> Self {
        let (locks, tasks) = (url(plain, ca, "locks"), url(plain, ca, "tasks"));
        let (owner, other) = (connect(&locks).await, connect(&locks).await);
        assert_eq!(LeaseStore::promises(&owner).hand_off, HandOff::Pushed);
        let tasks = connect(&tasks).await;
        let nodes = [node(&tasks).await, node(&tasks).await];
        Self {
            owner,
            other,
            tasks,
            nodes,
        }
    }

    /// Whether a node wins the claim of a tick.
    async fn claims(&self, node: usize, tick: Timestamp) -> ClaimAnswer {
        let item = ClaimItem::new(task(), tick, 1, Generation::new("g1").unwrap());
        let batch = ClaimBatch::new(self.nodes[node].id, vec![item]);
        self.tasks.claim(&batch).await.unwrap().answers.remove(0)
    }

    async fn begins(&self, key: &str) -> UnderWay {
        let (held_by_us, waiter) = (request(key), request(key).in_line(LONG));
        let before = granted(&self.owner, &held_by_us).await;
        let wakes = LeaseStore::listen(&self.other, &waiter.key, waiter.token);
        held(&self.other, &waiter).await;
        let now = RunStore::now(&self.tasks).await.unwrap().now;
        let ClaimAnswer::Won(claim) = self.claims(0, now).await else {
            panic!("nobody else asked for it");
        };
        UnderWay {
            held: held_by_us,
            before,
            waiter,
            wakes,
            claim,
        }
    }

    async fn ends(&self, mut of: UnderWay) {
        let released = until("the lock is given back", PATIENCE, async || {
            self.owner.release(&of.held.key, of.held.token).await.ok()
        });
        // A waiter whom no push reaches yet, since it listens elsewhere, is passed by, and asks.
        let released = released.await;
        assert_ne!(released, Release::NotHeld);
        let (after, _) = turn(&self.other, &of.waiter, &mut of.wakes).await;
        assert!(after.fence > of.before.fence);
        let again = self.claims(1, of.claim.run.key.tick).await;
        assert!(!matches!(again, ClaimAnswer::Won(_)), "{again:?}");
        let finish = Finish::new(of.claim.run.clone(), Outcome::Succeeded);
        let finished = self.tasks.finish(&[finish]).await.unwrap();
        assert_eq!(finished, [Finished::Recorded]);
        let run = self.tasks.run(&of.claim.run.key).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Succeeded);
    }
}
