//! What only Redis can show: its own troubles, each provoked on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::time::Duration;

use tenure_bed::{Cluster, Flavour, Redis, RedisBuilder, until};
use tenure_core::{
    Acquisition, Fence, Grant, Held, Holder, Key, LeaseRequest, LeaseStore as _, Occupant, Release,
    RenewRequest, Renewal, StoreError, StoreErrorKind, Ttl, Wake,
};
use tenure_redis::{RedisStore, Severity};

const TTL: Duration = Duration::from_secs(120);
/// How long anything here may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server(builder: RedisBuilder) -> (Redis, RedisStore) {
    let server = builder.start().await;
    // More than the default: the servers of several tests share the machine's few cores.
    let url = format!("{}?timeout=5s", server.url());
    let store = RedisStore::connect(&url).await.unwrap();
    (server, store)
}

async fn plain() -> (Redis, RedisStore) {
    server(Redis::builder(Flavour::Redis).unix_only()).await
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn request(name: &str) -> LeaseRequest {
    LeaseRequest::new(key(name), Holder::new("test"), Ttl::new(TTL).unwrap())
}

async fn granted(store: &RedisStore, request: &LeaseRequest) -> Grant {
    match store.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn held(store: &RedisStore, request: &LeaseRequest) -> Held {
    match store.acquire(request).await.unwrap() {
        Acquisition::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

async fn refused(store: &RedisStore, kind: StoreErrorKind, part: &str) -> StoreError {
    let error = store.acquire(&request("refused")).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
    error
}

async fn not_connected(url: &str, kind: StoreErrorKind, part: &str) {
    let error = RedisStore::connect(url).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[tokio::test]
async fn r47_e73_scripts_that_the_server_forgot_are_sent_again() {
    let (server, store) = plain().await;
    let one = request("k");
    granted(&store, &one).await;
    server.call(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(
        store.release(&one.key, one.token).await.unwrap(),
        Release::Freed
    );
    server.call(&["SCRIPT", "FLUSH"]).await;
    let renewals = [RenewRequest::new(one.key.clone(), one.token, one.ttl)];
    assert_eq!(store.renew(&renewals).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r7_r8_e65_whatever_stands_under_the_name_is_a_foreign_owner() {
    let (server, store) = plain().await;
    for (command, what) in [
        (["HSET", "k", "a", "b"].as_slice(), "hash"),
        (&["RPUSH", "k", "a"], "list"),
        (&["SET", "k", "tn1:nothing"], "string"),
        (&["SET", "k", "x"], "string"),
    ] {
        server.call(&["DEL", "k"]).await;
        server.call(command).await;
        let held = held(&store, &request("k")).await;
        assert_eq!(held.remaining, None);
        match held.by {
            Occupant::Foreign { what: said } => assert!(said.contains(what), "{said}"),
            other => panic!("{other:?}"),
        }
        let asker = request("k");
        assert_eq!(
            store.release(&asker.key, asker.token).await.unwrap(),
            Release::NotHeld
        );
        let view = store.inspect(&asker.key).await.unwrap().unwrap();
        assert!(view.mark.is_some() && view.expires_at.is_none());
    }
}

#[tokio::test]
async fn r32_a_foreign_release_wakes_a_waiter() {
    let (server, store) = plain().await;
    server
        .call(&["SET", "k", "theirs", "NX", "PX", "60000"])
        .await;
    let waiter = request("k").in_line(TTL);
    let mut wakes = store.listen(&waiter.key, waiter.token);
    let told = held(&store, &waiter).await;
    assert!(
        told.ask_again_after <= Duration::from_millis(1001),
        "{told:?}"
    );
    server.call(&["DEL", "k"]).await;
    let wake = tokio::time::timeout(PATIENCE, wakes.next()).await;
    assert_eq!(wake.unwrap(), Wake::Changed);
    granted(&store, &waiter).await;
}

#[tokio::test]
async fn r5_e75_a_full_server_grants_nothing_new_and_still_releases() {
    let (server, store) = plain().await;
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &one).await;
    held(&store, &waiter).await;
    server
        .call(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    server.call(&["CONFIG", "SET", "maxmemory", "1"]).await;
    refused(&store, StoreErrorKind::Unavailable, "OOM").await;
    let release = store.release(&one.key, one.token).await.unwrap();
    assert_ne!(release, Release::NotHeld);
    server.call(&["CONFIG", "SET", "maxmemory", "0"]).await;
    granted(&store, &waiter).await;
}

#[tokio::test]
async fn e66_a_broken_fence_counter_refuses_grants_and_says_what_to_do() {
    let (server, store) = plain().await;
    granted(&store, &request("refused")).await;
    server.call(&["DEL", "refused"]).await;
    let names = server.call(&["KEYS", "tenure:*}:f"]).await;
    let counter = names.list()[0].to_string();
    for value in ["ten", "9007199254740992", "-1", "1.5", "1e400", "nan"] {
        server.call(&["SET", &counter, value]).await;
        refused(&store, StoreErrorKind::Corrupt, "delete it").await;
        assert_eq!(server.call(&["EXISTS", "refused"]).await.int(), Some(0));
    }
    server.call(&["DEL", &counter]).await;
    server.call(&["RPUSH", &counter, "x"]).await;
    refused(&store, StoreErrorKind::Corrupt, "delete it").await;
    server.call(&["DEL", &counter]).await;
    granted(&store, &request("refused")).await;
}

#[tokio::test]
async fn e67_e68_e69_who_may_not_is_denied_and_told_what_it_lacks() {
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user("app on >pw ~* &* +@all")
        .acl_user("bare on >pw ~* &* -@all +hello +auth +client +select")
        .acl_user("narrow on >pw ~mine:* &* +@all")
        .acl_user("default off")
        .start()
        .await;
    let at = format!("127.0.0.1:{}", server.port());
    let denied = StoreErrorKind::Denied;
    not_connected(&format!("redis://{at}"), denied, "NOAUTH").await;
    not_connected(&format!("redis://app:s3cret@{at}"), denied, "WRONGPASS").await;
    not_connected(&format!("redis://nobody:pw@{at}"), denied, "WRONGPASS").await;
    for (user, word) in [("bare", "+evalsha"), ("narrow", "~PATTERN")] {
        let url = format!("redis://{user}:pw@{at}?timeout=20s");
        let store = RedisStore::connect(&url).await.unwrap();
        let error = refused(&store, denied, "NOPERM").await;
        for part in [word, "tenure doctor", "README"] {
            assert!(error.to_string().contains(part), "{part} in: {error}");
        }
    }
}

#[tokio::test]
async fn e31_e33_e36_what_cannot_be_connected_to_says_why() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let at = format!("127.0.0.1:{}", server.port());
    let misconfigured = StoreErrorKind::Misconfigured;
    not_connected(&format!("redis://{at}/99"), misconfigured, "DB index").await;
    not_connected(&format!("redis+cluster://{at}"), misconfigured, "cluster").await;
    let unavailable = StoreErrorKind::Unavailable;
    not_connected("redis+unix:/does/not/exist", unavailable, "cannot connect").await;
    not_connected(
        "redis://127.0.0.1:1?connect_timeout=1s",
        unavailable,
        "cannot connect",
    )
    .await;
}

#[tokio::test]
async fn r50_e70_e71_a_server_that_takes_no_writes_is_unavailable_and_nothing_was_done() {
    let (primary, store) = server(Redis::builder(Flavour::Redis).tcp()).await;
    granted(&store, &request("k")).await;
    let replica = Redis::builder(Flavour::Redis).tcp().start().await;
    let port = primary.port().to_string();
    replica.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    let store = RedisStore::connect(&replica.url()).await.unwrap();
    let error = refused(&store, StoreErrorKind::Unavailable, "READONLY").await;
    assert!(!error.outcome_is_unknown(), "{error}");
    primary.kill();
    replica
        .call(&["CONFIG", "SET", "replica-serve-stale-data", "no"])
        .await;
    let said = "MASTERDOWN Link with MASTER is down";
    until("the link is down", PATIENCE, async || {
        let error = refused(&store, StoreErrorKind::Unavailable, "").await;
        assert!(!error.outcome_is_unknown(), "{error}");
        let message = error.to_string();
        (message.contains(said) && message.contains("INFO replication")).then_some(())
    })
    .await;
    let diagnosis = store.diagnose().await.unwrap();
    assert!(
        diagnosis.verdict.contains("No lock can be taken"),
        "{diagnosis:?}"
    );
    let find = |topic| diagnosis.findings.iter().find(|found| found.topic == topic);
    let role = find("role").unwrap();
    assert_eq!(role.severity, Severity::Danger);
    assert!(role.text.contains("master_link_status:down"), "{role:?}");
    assert!(find("a lock").unwrap().text.contains(said), "{diagnosis:?}");
}

#[tokio::test]
async fn s51_a_runner_that_is_pointed_at_a_replica_is_told_so_at_its_start() {
    let primary = Redis::builder(Flavour::Redis).tcp().start().await;
    let replica = Redis::builder(Flavour::Redis).tcp().start().await;
    let port = primary.port().to_string();
    replica.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    let store = RedisStore::connect(&replica.url()).await.unwrap();
    // The first that is asked when tasks are started.
    let error = tenure_core::RunStore::now(&store).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    for part in ["READONLY", "name the primary", &replica.port().to_string()] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn e74_a_server_busy_with_a_script_is_unavailable() {
    let (server, store) = plain().await;
    let mut cli = server.redis_cli();
    let mut endless = cli
        .args(["EVAL", "while true do end", "0"])
        .spawn()
        .unwrap();
    server
        .call(&["CONFIG", "SET", "busy-reply-threshold", "10"])
        .await;
    let error = loop {
        match store.acquire(&request("k")).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(!error.outcome_is_unknown(), "{error}");
    let place = server.socket().display();
    let busy = format!("acquire a lease: {place}: BUSY Redis is busy running a script.");
    assert!(error.to_string().starts_with(&busy), "{error}");
    for part in ["SCRIPT KILL", "UNKILLABLE", "SLOWLOG GET"] {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
    // Whoever asks what is wrong is told.
    let error = store.diagnose().await.unwrap_err();
    let busy = format!("ask a server how it is: {place}: BUSY");
    assert!(error.to_string().starts_with(&busy), "{error}");
    server.call(&["SCRIPT", "KILL"]).await;
    endless.wait().unwrap();
    granted(&store, &request("other")).await;
}

#[tokio::test]
async fn e74_a_script_that_cannot_be_ended_is_waited_for_and_the_lock_comes_then() {
    let (server, store) = plain().await;
    let mut cli = server.redis_cli();
    // It has written, so that it cannot be ended; it stops by itself after a second or more.
    let script = "redis.call('SET', 'x', 1) for i = 1, 3e8 do end";
    let threshold = ["CONFIG", "SET", "busy-reply-threshold", "10"];
    assert!(!server.call(&threshold).await.is_error());
    let mut long = cli.args(["EVAL", script, "0"]).spawn().unwrap();
    until("it cannot be ended", PATIENCE, async || {
        let killed = server.call(&["SCRIPT", "KILL"]).await.to_string();
        killed.contains("UNKILLABLE").then_some(())
    })
    .await;
    let one = request("k");
    let mut refusals = 0;
    let grant = async {
        loop {
            match store.acquire(&one).await {
                Ok(Acquisition::Granted(grant)) => return grant,
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    assert!(error.to_string().contains("UNKILLABLE"), "{error}");
                    refusals += 1;
                }
            }
        }
    };
    let grant = tokio::time::timeout(PATIENCE, grant).await.unwrap();
    assert!(grant.fence > Fence::NONE && refusals > 0);
    long.wait().unwrap();
}

#[tokio::test]
async fn e76_e77_a_server_that_cannot_keep_what_it_is_told_is_unavailable() {
    let (server, store) = plain().await;
    server
        .call(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await;
    refused(&store, StoreErrorKind::Unavailable, "NOREPLICAS").await;
    server
        .call(&["CONFIG", "SET", "min-replicas-to-write", "0"])
        .await;
    granted(&store, &request("k")).await;
}

#[tokio::test]
async fn e78_a_server_with_too_many_clients_is_unavailable() {
    let server = Redis::builder(Flavour::Redis).unix_only().start().await;
    let url = format!("{}?timeout=20s", server.url());
    let store = RedisStore::connect(&url).await.unwrap();
    server.call(&["CONFIG", "SET", "maxclients", "1"]).await;
    let error = RedisStore::connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    granted(&store, &request("k")).await;
}

#[tokio::test]
async fn e80_a_server_without_scripts_is_unsupported() {
    let builder = Redis::builder(Flavour::Redis)
        .unix_only()
        .config("rename-command", "EVALSHA \"\"");
    let (_server, store) = server(builder).await;
    refused(&store, StoreErrorKind::Unsupported, "unknown command").await;
}

#[tokio::test]
async fn r57_a_restart_without_data_forgets_leases_and_fences_grow_nevertheless() {
    let (server, store) = server(Redis::builder(Flavour::Redis).tcp()).await;
    let one = request("k");
    let before = granted(&store, &one).await;
    server.restart().await;
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            match store.acquire(&request("k")).await {
                Ok(Acquisition::Granted(grant)) => return grant,
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    });
    assert!(again.await.unwrap().fence > before.fence);
    assert_eq!(
        store.release(&one.key, one.token).await.unwrap(),
        Release::NotHeld
    );
}

#[tokio::test]
async fn f50_a_server_that_is_gone_is_asked_within_bounds() {
    let (server, store) = server(Redis::builder(Flavour::Redis).tcp()).await;
    granted(&store, &request("k")).await;
    server.kill();
    let error = refused(&store, StoreErrorKind::Unavailable, "").await;
    assert!(error.to_string().contains("acquire a lease"), "{error}");
    server.launch().await;
    let grant = async {
        loop {
            if let Ok(Acquisition::Granted(grant)) = store.acquire(&request("other")).await {
                return grant;
            }
        }
    };
    tokio::time::timeout(PATIENCE, grant).await.unwrap();
}

#[tokio::test]
async fn e84_a_server_that_falls_silent_leaves_the_outcome_unknown() {
    let (server, store) = plain().await;
    granted(&store, &request("k")).await;
    server.pause();
    let error = store.acquire(&request("silent")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.outcome_is_unknown(), "{error}");
    server.resume();
    let asked = request("after");
    let grant = async {
        loop {
            if let Ok(Acquisition::Granted(grant)) = store.acquire(&asked).await {
                return grant;
            }
        }
    };
    tokio::time::timeout(PATIENCE, grant).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r49_a_lease_and_its_queue_survive_that_their_slot_moves() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let store = RedisStore::connect(&format!("{}?timeout=5s", cluster.url()))
        .await
        .unwrap();
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    let before = granted(&store, &one).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    held(&store, &waiter).await;
    let slot = cluster.slot_of_key("k").await;
    let here = cluster.node_of_slot(slot).await;
    let migration = cluster.begin_migration(slot, (here + 1) % 3).await;
    migration.move_keys().await;
    // Renewals name one key and follow it at once.
    let renewal = [RenewRequest::new(one.key.clone(), one.token, one.ttl)];
    let answers = store.renew(&renewal).await.unwrap();
    assert!(
        matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]),
        "{answers:?}"
    );
    // What names several keys is refused until the move is over, and nothing is done by half.
    let during = store.acquire(&request("k")).await;
    if let Err(error) = during {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    migration.finish().await;
    // The waiter learns that its channel moved, and asks again, as it does whenever it is woken.
    let grant = tokio::time::timeout(PATIENCE, async {
        let release = store.release(&one.key, one.token).await;
        assert!(release.unwrap_or(Release::HandedOn) != Release::NotHeld);
        loop {
            match store.acquire(&waiter).await {
                Ok(Acquisition::Granted(grant)) => return grant,
                Ok(_) => {
                    let pause = tokio::time::timeout(Duration::from_millis(100), wakes.next());
                    let _ = pause.await;
                }
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    });
    assert!(grant.await.unwrap().fence > before.fence);
}

#[tokio::test]
async fn e79_r56_r57_the_doctor_says_what_a_server_keeps_and_what_endangers_locks() {
    let redis = || Redis::builder(Flavour::Redis).unix_only();
    let user = "app on >pw ~* resetchannels +@all";
    let narrow = "app on >pw ~mine:* &* +@all";
    for (builder, login, verdict, topic, severity) in [
        (
            redis(),
            "",
            "a restart forgets them",
            "persistence",
            Severity::Warning,
        ),
        (
            redis().append_only().config("appendfsync", "always"),
            "",
            "also through a power cut",
            "persistence",
            Severity::Good,
        ),
        (
            redis().append_only().config("appendfsync", "everysec"),
            "",
            "last second or so",
            "persistence",
            Severity::Note,
        ),
        (
            redis().append_only().config("appendfsync", "no"),
            "",
            "half a minute and more",
            "persistence",
            Severity::Warning,
        ),
        (
            redis()
                .config("maxmemory", "100mb")
                .config("maxmemory-policy", "allkeys-lru"),
            "",
            "A lock can vanish",
            "eviction",
            Severity::Danger,
        ),
        (
            redis().acl_user(user),
            "app:pw@",
            "a restart",
            "hand-off",
            Severity::Warning,
        ),
        (
            redis().acl_user(narrow),
            "app:pw@",
            "No lock can be taken",
            "a lock",
            Severity::Danger,
        ),
    ] {
        let server = builder.start().await;
        let url = format!("redis+unix:{login}{}", server.socket().display());
        let store = RedisStore::connect(&url).await.unwrap();
        let diagnosis = store.diagnose().await.unwrap();
        assert!(diagnosis.verdict.contains(verdict), "{diagnosis:?}");
        let found = diagnosis.findings.iter().find(|found| found.topic == topic);
        assert_eq!(found.unwrap().severity, severity, "{diagnosis:?}");
        let left = server.call(&["KEYS", "doctor:*"]).await;
        assert_eq!(left.list(), []);
    }
}
