//! Strict safety on real servers: what a restart or a fail-over does to locks with it and without.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

#[path = "steps/trio.rs"]
mod trio;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tenure_bed::{Ca, Cluster, Flavour, Redis, Sentinel, until};
use tenure_core::{
    Acquisition, Clock as _, Fence, Grant, Held, Holder, Key, LeaseRequest, LeaseStore as _,
    Moment, Release, RenewRequest, Renewal, StoreErrorKind, SystemClock, Ttl, Wake,
};
use tenure_redis::{RedisStore, Severity};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::trio::{trio, trio_of};

const TTL: Duration = Duration::from_millis(1500);
/// Nothing is granted for so long after a restart or a fail-over.
const QUARANTINE: Duration = Duration::from_millis(1800);
/// Of leases whose end is not what a test is about: however slow the machine is, they last.
const LONG: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(5);
/// How many locks the workers share.
const KEYS: usize = 8;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn request(name: &str) -> LeaseRequest {
    request_for(name, TTL)
}

fn request_for(name: &str, ttl: Duration) -> LeaseRequest {
    LeaseRequest::new(key(name), Holder::new("test"), Ttl::new(ttl).unwrap())
}

async fn server() -> Redis {
    Redis::builder(Flavour::Redis).tcp().start().await
}

fn strict(url: &str, replicas: u32) -> String {
    format!("{url}?safety=strict&max_ttl=1500ms&replicas={replicas}")
}

/// A strict store whose leases may be [`LONG`], past the quarantine of its new server.
async fn roomy(server: &Redis, replicas: u32) -> RedisStore {
    let store = connect(&format!(
        "{}?safety=strict&max_ttl=20s&replicas={replicas}&timeout=20s",
        server.url()
    ))
    .await;
    until("the quarantine begins", PATIENCE, async || {
        store.acquire(&request("first")).await.ok()
    })
    .await;
    server.call(&["DEL", "tenure:strict:quarantine"]).await;
    store
}

async fn connect(url: &str) -> RedisStore {
    RedisStore::connect(url).await.unwrap()
}

/// A grant, and until when whoever asked for it may trust it.
struct Trusted {
    grant: Grant,
    asked_at: Moment,
    granted_at: Moment,
    token: tenure_core::Token,
}

/// Asks until it is granted, whatever the servers do meanwhile.
async fn eventually(store: &RedisStore, name: &str) -> Trusted {
    eventually_for(store, name, TTL).await
}

async fn eventually_for(store: &RedisStore, name: &str, ttl: Duration) -> Trusted {
    until("a grant", PATIENCE, async || {
        let request = request_for(name, ttl);
        let asked_at = SystemClock.now();
        match store.acquire(&request).await {
            Ok(Acquisition::Granted(grant)) => Some(Trusted {
                grant,
                asked_at,
                granted_at: SystemClock.now(),
                token: request.token,
            }),
            Ok(_) => None,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                None
            }
        }
    })
    .await
}

async fn held(store: &RedisStore, name: &str) -> Held {
    match store.acquire(&request(name)).await.unwrap() {
        Acquisition::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

/// The new holder came after the old one's trust had ended, and not much later than it must.
fn assert_one_after_the_other(what: &str, old: &Trusted, lost_at: Moment, new: &Trusted) {
    let trusted_until = old.asked_at + TTL;
    assert!(
        new.asked_at + Duration::from_millis(1) >= trusted_until,
        "{what}: two holders for {:?}",
        trusted_until.since(new.asked_at)
    );
    assert!(new.grant.fence > old.grant.fence, "{what}");
    let away = new.granted_at.since(lost_at);
    eprintln!("{what}: nothing was granted for {away:?}");
}

#[tokio::test]
async fn b5_plain_a_restart_without_data_hands_a_lock_out_twice_and_the_fence_still_grows() {
    let server = server().await;
    let store = connect(&server.url()).await;
    let old = eventually_for(&store, "k", LONG).await;
    server.restart().await;
    let new = eventually_for(&store, "k", LONG).await;
    assert!(
        new.granted_at < old.asked_at + LONG,
        "the restart took long"
    );
    assert!(new.grant.fence > old.grant.fence);
}

#[tokio::test]
async fn b5_strict_no_restart_hands_a_lock_out_twice() {
    let server = server().await;
    let store = connect(&strict(&server.url(), 0)).await;
    for flavour in ["first start", "restart"] {
        let began = SystemClock.now();
        let old = eventually(&store, "k").await;
        assert!(old.granted_at.since(began) >= TTL, "{flavour}");
        server.restart().await;
        let lost_at = SystemClock.now();
        let answer = until("an answer", PATIENCE, async || {
            store.acquire(&request("k")).await.ok()
        })
        .await;
        let Acquisition::Held(told) = answer else {
            panic!("{answer:?}");
        };
        assert!(told.by.to_string().contains("new life"), "{told:?}");
        assert!(told.remaining.unwrap() <= QUARANTINE, "{told:?}");
        assert!(told.ask_again_after <= QUARANTINE + Duration::from_millis(1));
        let new = eventually(&store, "k").await;
        assert_one_after_the_other("restart without data", &old, lost_at, &new);
        let renewal = [RenewRequest::new(
            key("k"),
            old.token,
            Ttl::new(TTL).unwrap(),
        )];
        let answers = store.renew(&renewal).await.unwrap();
        assert!(
            matches!(answers.as_slice(), [Ok(Renewal::Lost { .. })]),
            "{answers:?}"
        );
        server.restart().await;
    }
}

#[tokio::test]
async fn b5_strict_flushall_hands_no_lock_out_twice() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = Redis::builder(flavour).unix_only().start().await;
        let store = connect(&strict(&server.url(), 0)).await;
        let old = eventually(&store, "k").await;
        server.call(&["FLUSHALL"]).await;
        let lost_at = SystemClock.now();
        held(&store, "k").await;
        let new = eventually(&store, "k").await;
        assert_one_after_the_other("FLUSHALL", &old, lost_at, &new);
    }
}

#[tokio::test]
async fn b5_strict_a_server_that_followed_another_and_came_back_is_in_a_new_life() {
    let (server, other) = (server().await, server().await);
    let store = connect(&strict(&server.url(), 0)).await;
    let old = eventually(&store, "k").await;
    let run = server.info("run_id").await;
    let port = other.port().to_string();
    server.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    server.call(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(server.info("run_id").await, run);
    // What the other had not heard of is gone; the marker it had.
    server.call(&["DEL", "k"]).await;
    let lost_at = SystemClock.now();
    let new = eventually(&store, "k").await;
    assert_one_after_the_other("demoted and promoted", &old, lost_at, &new);
    assert!(new.granted_at.since(lost_at) >= TTL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e77_a_primary_without_its_replicas_grants_nothing_and_undoes_what_it_began() {
    let (primary, replicas) = trio().await;
    let store = roomy(&primary, 2).await;
    let first = eventually_for(&store, "k", LONG).await;
    // One replica is enough, since with the primary it is a majority of three.
    replicas[0].pause();
    eventually_for(&store, "one is enough", LONG).await;
    replicas[1].pause();
    let asked = SystemClock.now();
    let refused = store.acquire(&request("alone")).await.unwrap_err();
    assert!(SystemClock.now().since(asked) < LONG, "{refused}");
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused}");
    assert!(!refused.outcome_is_unknown(), "{refused}");
    assert!(
        refused.to_string().contains("no quorum: 0 of 2"),
        "{refused}"
    );
    assert_eq!(primary.call(&["EXISTS", "alone"]).await.int(), Some(0));
    // Nor does a renewal count, and what was asked for again is not taken from who may trust it.
    let ttl = Ttl::new(TTL).unwrap();
    let renewal = [RenewRequest::new(key("k"), first.token, ttl)];
    let answers = store.renew(&renewal).await.unwrap();
    let [Err(error)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert!(error.to_string().contains("no quorum"), "{error}");
    assert!(error.outcome_is_unknown(), "{error}");
    let mut again = request_for("k", LONG);
    again.token = first.token;
    let error = store.acquire(&again).await.unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
    assert_eq!(primary.call(&["EXISTS", "k"]).await.int(), Some(1));
    // A release waits for nobody.
    let release = store.release(&key("k"), first.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    for replica in &replicas {
        replica.resume();
    }
    eventually(&store, "alone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e77_no_quarantine_begins_before_a_majority_follows() {
    let (primary, replicas) = trio().await;
    for replica in &replicas {
        replica.pause();
    }
    let store = connect(&strict(&primary.url(), 2)).await;
    let refused = store.acquire(&request("k")).await.unwrap_err();
    assert!(refused.to_string().contains("no quorum"), "{refused}");
    let marker = primary.call(&["EXISTS", "tenure:strict:life"]).await;
    assert_eq!(marker.int(), Some(0));
    for replica in &replicas {
        replica.resume();
    }
    eventually(&store, "k").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_of_two_primaries_plain_lets_both_grant_and_strict_only_the_newer() {
    for is_strict in [false, true] {
        let (older, [newer, third]) = trio().await;
        let url = |server: &Redis| {
            if is_strict {
                strict(&server.url(), 2)
            } else {
                server.url()
            }
        };
        let (left, right) = (connect(&url(&older)).await, connect(&url(&newer)).await);
        let first = eventually(&left, "k").await;
        // As a fail-over does while the older primary is cut off, with clients beside it.
        newer.call(&["REPLICAOF", "NO", "ONE"]).await;
        let port = newer.port().to_string();
        third.call(&["REPLICAOF", "127.0.0.1", &port]).await;
        until("the third follows the newer", PATIENCE, async || {
            let port_is = third.info("master_port").await? == port;
            (port_is && third.info("master_link_status").await? == "up").then_some(())
        })
        .await;
        let lost_at = SystemClock.now();
        let alone = left.acquire(&request("other")).await;
        if !is_strict {
            assert!(matches!(alone, Ok(Acquisition::Granted(_))), "{alone:?}");
            eventually(&right, "other").await;
            continue;
        }
        let error = alone.unwrap_err();
        assert!(error.to_string().contains("no quorum"), "{error}");
        // What the older one granted while it could is over before the newer one begins.
        let second = eventually(&right, "k").await;
        assert_one_after_the_other("two primaries", &first, lost_at, &second);
        let error = left.acquire(&request("other")).await.unwrap_err();
        assert!(error.to_string().contains("no quorum"), "{error}");
    }
}

#[tokio::test]
async fn e69_strict_needs_two_rights_more_and_says_so_without_them() {
    let rights = "~* resetchannels &tenure:* -@all +hello +auth +select +client|tracking \
        +client|caching +eval +evalsha +get +getrange +set +del +exists +time +type +ttl +pttl \
        +pexpire +pexpiretime +scan +zadd +zrem +zpopmin +zrange +zrevrange +zrank +zcard +hget \
        +hset +hdel +publish +subscribe";
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user(&format!("enough on >pw {rights} +info +wait"))
        .acl_user(&format!("few on >pw {rights}"))
        .start()
        .await;
    let url = |user| format!("redis://{user}:pw@127.0.0.1:{}", server.port());
    let store = connect(&strict(&url("enough"), 0)).await;
    let granted = eventually(&store, "k").await;
    let release = store.release(&key("k"), granted.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    // It may wait for a replica, and there is none.
    server.call(&["DEL", "tenure:strict:life"]).await;
    let store = connect(&strict(&url("enough"), 1)).await;
    let error = store.acquire(&request("k")).await.unwrap_err();
    assert!(error.to_string().contains("no quorum"), "{error}");
    let store = connect(&strict(&url("few"), 0)).await;
    let error = store.acquire(&request("k")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("README"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_no_fail_over_hands_a_lock_out_twice() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let store = connect(&strict(&sentinel.url(), 2)).await;
    for round in 0..2 {
        sentinel.in_sync().await;
        let old = eventually(&store, "k").await;
        let killed = sentinel.kill_primary().await;
        let lost_at = SystemClock.now();
        let new = eventually(&store, "k").await;
        assert_one_after_the_other("kill -9 of the primary", &old, lost_at, &new);
        assert!(new.granted_at.since(lost_at) >= TTL, "round {round}");
        sentinel.failed_over(killed).await;
        killed.launch().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_holds_over_tls_and_with_a_pool_too() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = Ca::new();
    let builder = || {
        let builder = Redis::builder(Flavour::Redis).tls(&ca);
        builder.config("tls-replication", "yes")
    };
    let (primary, replicas) = trio_of(builder).await;
    let url = format!(
        "rediss://127.0.0.1:{}?ca={}&safety=strict&max_ttl=1500ms&replicas=2",
        primary.port(),
        ca.path().display()
    );
    for (what, url) in [
        ("TLS", url.clone()),
        ("TLS, a pool", format!("{url}&pool=4")),
    ] {
        let store = connect(&url).await;
        eventually(&store, "first").await;
        for replica in &replicas {
            replica.pause();
        }
        let lonely = request(&format!("{what}, alone"));
        let error = store.acquire(&lonely).await.unwrap_err();
        assert!(error.to_string().contains("no quorum"), "{what}: {error}");
        assert!(error.is_retryable(), "{what}: {error}");
        for replica in &replicas {
            replica.resume();
        }
        // Far more at once than there are connections; each waits for its own majority.
        let names: Vec<_> = (0..32).map(|n| format!("{what} {n}")).collect();
        let many = names.iter().map(|name| eventually(&store, name));
        assert_eq!(join_all(many).await.len(), 32);
        let old = eventually(&store, what).await;
        primary.restart().await;
        let lost_at = SystemClock.now();
        let new = eventually(&store, what).await;
        assert_one_after_the_other(what, &old, lost_at, &new);
        assert!(new.granted_at.since(lost_at) >= TTL, "{what}");
    }
}

/// Who had a lock, from when it was told to when it could not be trusted any more.
struct Hold {
    name: usize,
    from: Moment,
    to: Moment,
    fence: Fence,
}

/// Takes locks and gives half of them back, until it is told to stop.
async fn work(
    store: RedisStore,
    worker: usize,
    holds: Arc<Mutex<Vec<Hold>>>,
    stop: watch::Receiver<bool>,
) {
    for round in 0.. {
        if *stop.borrow() {
            return;
        }
        let name = (worker + round) % KEYS;
        let one = request(&format!("k{name}"));
        let asked_at = SystemClock.now();
        let Ok(Acquisition::Granted(grant)) = store.acquire(&one).await else {
            // Nobody knows: what was granted after all is given back, or ends by itself.
            let _ = store.cancel(&one.key, one.token).await;
            tokio::time::sleep(PAUSE).await; // tidy: allow(sleep) between two tries
            continue;
        };
        let from = SystemClock.now();
        let mut to = asked_at + TTL;
        let is_given_back = round % 2 == 0;
        if is_given_back {
            to = to.min(SystemClock.now());
            let _ = store.release(&one.key, one.token).await;
        }
        let fence = grant.fence;
        holds.lock().unwrap().push(Hold {
            name,
            from,
            to,
            fence,
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_c1_c3_strict_gives_no_lock_two_holders_while_32_workers_go_through_a_fail_over() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let holds = Arc::<Mutex<Vec<Hold>>>::default();
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for process in 0..4 {
        let store = connect(&strict(&sentinel.url(), 2)).await;
        for worker in 0..8 {
            let at = process * 8 + worker;
            workers.spawn(work(store.clone(), at, holds.clone(), stopped.clone()));
        }
    }
    let since = async |begin: Moment, count: usize| {
        until("locks are granted", PATIENCE, async || {
            let holds = holds.lock().unwrap();
            let after = holds.iter().filter(|hold| hold.from > begin).count();
            (after >= count).then_some(())
        })
        .await;
    };
    since(Moment::from_origin(Duration::ZERO), 64).await;
    sentinel.in_sync().await;
    sentinel.kill_primary().await;
    let killed = SystemClock.now();
    // What is granted now, another primary granted.
    since(killed + TTL, 64).await;
    stop.send(true).unwrap();
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let mut holds = std::mem::take(&mut *holds.lock().unwrap());
    holds.sort_by_key(|hold| (hold.name, hold.from));
    let mut pairs = 0;
    for (one, next) in holds.iter().zip(holds.iter().skip(1)) {
        if one.name == next.name {
            pairs += 1;
            assert!(one.to <= next.from, "k{}: two holders", one.name);
            assert!(one.fence < next.fence, "k{}", one.name);
        }
    }
    let mut froms: Vec<_> = holds.iter().map(|hold| hold.from).collect();
    froms.sort_unstable();
    let away = froms.windows(2).map(|two| two[1].since(two[0])).max();
    eprintln!("{pairs} hand-overs, none overlapped; nothing was granted for {away:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_a_holder_keeps_its_lock_through_a_fail_over_by_renewing() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let url = format!("{}?safety=strict&max_ttl=120s&replicas=2", sentinel.url());
    let store = connect(&url).await;
    held(&store, "k").await;
    let primary = sentinel.primary().await;
    primary.call(&["DEL", "tenure:strict:quarantine"]).await;
    let mut asked = request("k");
    asked.ttl = Ttl::new(Duration::from_secs(120)).unwrap();
    let answer = store.acquire(&asked).await.unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)), "{answer:?}");
    sentinel.in_sync().await;
    let killed = sentinel.kill_primary().await;
    sentinel.failed_over(killed).await;
    let renewal = [RenewRequest::new(key("k"), asked.token, asked.ttl)];
    until("a renewal", PATIENCE, async || {
        let answers = store.renew(&renewal).await.ok()?;
        matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]).then_some(())
    })
    .await;
    let told = held(&store, "k").await;
    assert!(told.by.to_string().contains("new life"), "{told:?}");
}

#[tokio::test]
async fn b5_what_a_quarantine_would_not_outlast_and_what_others_did_not_agree_on_is_refused() {
    let server = server().await;
    let store = roomy(&server, 0).await;
    let mut long = request("k");
    long.ttl = Ttl::new(LONG + Duration::from_millis(1)).unwrap();
    let error = store.acquire(&long).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
    assert!(error.to_string().contains("max_ttl, 20s"), "{error}");
    let first = eventually_for(&store, "k", LONG).await;
    let renewals = [
        RenewRequest::new(key("k"), first.token, long.ttl),
        RenewRequest::new(key("k"), first.token, Ttl::new(TTL).unwrap()),
    ];
    let answers = store.renew(&renewals).await.unwrap();
    assert!(
        matches!(answers.as_slice(), [Err(_), Ok(Renewal::Renewed(_))]),
        "{answers:?}"
    );
    for others in ["max_ttl=2s&replicas=0", "max_ttl=20s&replicas=2"] {
        let url = format!("{}?safety=strict&{others}", server.url());
        let error = connect(&url)
            .await
            .acquire(&request("k"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("max_ttl=20000ms and replicas=0") && text.contains("README"),
            "{text}"
        );
    }
    // Nor does a restart with data make them agree: longer leases may be out.
    let earlier = format!("{} 60000 0", "a".repeat(80));
    server.call(&["SET", "tenure:strict:life", &earlier]).await;
    let error = store.acquire(&request("k")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("max_ttl=60000ms"), "{error}");
}

#[tokio::test]
async fn e79_strict_refuses_a_server_that_may_throw_locks_away() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let builder = Redis::builder(Flavour::Redis).tcp();
        let server = builder.config("maxmemory-policy", policy).start().await;
        let store = connect(&strict(&server.url(), 0)).await;
        let error = store.acquire(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains(policy), "{error}");
        assert!(error.to_string().contains("noeviction"), "{error}");
    }
}

#[tokio::test]
async fn b5_strict_a_hand_off_is_a_reason_to_ask_and_counts_when_it_was_asked_for() {
    let server = server().await;
    let store = roomy(&server, 0).await;
    let old = eventually_for(&store, "k", LONG).await;
    let waiters = [(); 2].map(|()| request_for("k", LONG).in_line(LONG));
    let mut wakes: Vec<_> = waiters
        .iter()
        .map(|waiter| store.listen(&waiter.key, waiter.token))
        .collect();
    for waiter in &waiters {
        let answer = store.acquire(waiter).await.unwrap();
        assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
    }
    let release = store.release(&key("k"), old.token).await.unwrap();
    assert_eq!(release, Release::HandedOn);
    let wake = tokio::time::timeout(PATIENCE, wakes[0].next()).await;
    assert_eq!(wake.unwrap(), Wake::Changed);
    // Who is second is not woken for it, and does not get it by asking.
    let second = store.acquire(&waiters[1]).await.unwrap();
    assert!(matches!(second, Acquisition::Held(_)), "{second:?}");
    let first = store.acquire(&waiters[0]).await.unwrap();
    let Acquisition::Granted(grant) = first else {
        panic!("{first:?}");
    };
    assert!(grant.expires_at >= grant.now + LONG);
    assert!(grant.fence > old.grant.fence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_a_cluster_grants_with_its_replicas_and_not_without() {
    let cluster = Cluster::start(Flavour::Redis).await;
    cluster.in_sync().await;
    let store = connect(&strict(&cluster.url(), 1)).await;
    let old = eventually(&store, "k").await;
    let slot = cluster.slot_of_key("k").await;
    let at = cluster.node_of_slot(slot).await;
    // A slot that moved is in another node's life, and is waited for as after a fail-over.
    cluster.migrate_slot(slot, (at + 1) % 3).await;
    let lost_at = SystemClock.now();
    let moved = eventually(&store, "k").await;
    assert_one_after_the_other("a slot moved", &old, lost_at, &moved);
    // One replica each: while a primary is gone, the one that took its place has nobody.
    let primary = &cluster.nodes()[cluster.node_of_slot(slot).await];
    primary.kill();
    let lost_at = SystemClock.now();
    cluster.watch().await;
    until(
        "the replica has nobody to follow it",
        PATIENCE,
        async || {
            let error = store.acquire(&request("k")).await.err()?;
            assert!(error.is_retryable(), "{error}");
            error.to_string().contains("no quorum").then_some(())
        },
    )
    .await;
    primary.launch().await;
    let new = eventually(&store, "k").await;
    assert_one_after_the_other("kill -9 in a cluster", &moved, lost_at, &new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_the_doctor_names_the_safety_in_force_and_counts_the_replicas() {
    let (primary, _replicas) = trio().await;
    for (said, severity, part) in [
        (2, Severity::Good, "1 of 2 replicas have each grant"),
        (4, Severity::Warning, "only 2 of 4 replicas follow"),
        (0, Severity::Danger, "set replicas=2 for all clients"),
    ] {
        primary.call(&["DEL", "tenure:strict:life"]).await;
        let store = connect(&strict(&primary.url(), said)).await;
        let diagnosis = store.diagnose().await.unwrap();
        let found = diagnosis.findings.iter();
        let mut found = found;
        let found = found.find(|found| found.topic == "safety").unwrap();
        assert_eq!(found.severity, severity, "{diagnosis:?}");
        assert!(found.text.contains(part), "{diagnosis:?}");
        if severity != Severity::Danger {
            assert!(
                diagnosis.verdict.starts_with("Strict safety: ")
                    && diagnosis.verdict.contains("for 1s800ms")
                    && diagnosis.verdict.contains("narrows, and does not close"),
                "{diagnosis:?}"
            );
        }
    }
    let plain = connect(&primary.url()).await.diagnose().await.unwrap();
    assert!(plain.verdict.starts_with("Plain safety: "), "{plain:?}");
    assert!(plain.verdict.contains("Nodes notice"), "{plain:?}");
}
