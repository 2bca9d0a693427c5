//! What goes wrong with servers and networks, each provoked on a real server: what a user is told,
//! and what happens when it is over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tenure_bed::{Cluster, Flavour, Redis, RedisBuilder, Relay, Sentinel, until};
use tenure_core::{
    Acquisition, Clock as _, HandOff, LeaseRequest, LeaseStore as _, Release, RenewRequest,
    Renewal, StoreError, StoreErrorKind, SystemClock, Wake,
};
use tenure_redis::RedisStore;

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server, turn};

const UNAVAILABLE: StoreErrorKind = StoreErrorKind::Unavailable;

/// Asserts that an acquisition was surely not made, why, and that the message has each of `parts`.
async fn refused(store: &RedisStore, name: &str, kind: StoreErrorKind, parts: &[&str]) {
    let error = store.acquire(&request(name)).await.unwrap_err();
    assert_refusal(&error, kind, parts);
    assert!(
        error.to_string().starts_with("acquire a lease: "),
        "{error}"
    );
}

fn assert_refusal(error: &StoreError, kind: StoreErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.outcome_is_unknown(), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
}

/// Asks until the lock is granted; anything but trouble that may pass fails.
async fn granted_at_last(store: &RedisStore, name: &str) {
    let request = request(name);
    let mut wakes = store.listen(&request.key, request.token);
    turn(store, &request, &mut wakes).await;
}

/// Whoever gives requests little time cancels again when a busy machine needed more.
async fn cancelled_at_last(store: &RedisStore, of: &LeaseRequest) {
    until("the cancellation", PATIENCE, async || {
        let answer = store.cancel(&of.key, of.token).await;
        answer
            .map_err(|error| assert!(error.is_retryable(), "{error}"))
            .ok()
    })
    .await;
}

fn renewal(of: &LeaseRequest) -> [RenewRequest; 1] {
    [RenewRequest::new(of.key.clone(), of.token, of.ttl)]
}

async fn set(server: &Redis, name: &str, value: &str) {
    let set = server.call(&["CONFIG", "SET", name, value]).await;
    assert_eq!(set.to_string(), "OK", "{name}");
}

/// How often a command was called, as the server counts.
async fn calls_of(server: &Redis, command: &str) -> usize {
    let Some(line) = server.info(&format!("cmdstat_{command}")).await else {
        return 0;
    };
    let mut fields = line.split(',');
    let calls = fields.find_map(|field| field.strip_prefix("calls="));
    calls.unwrap().parse().unwrap()
}

#[tokio::test]
async fn e71_a_server_that_still_loads_its_data_is_asked_again() {
    let (server, store) = server(redis().tcp().config("rdbcompression", "no")).await;
    let value = "x".repeat(2000);
    for at in 0..200 {
        server.call(&["SET", &format!("filler:{at}"), &value]).await;
    }
    assert_eq!(server.cli(&["SAVE"]).await, "OK");
    server.configure("key-load-delay", "50000");
    server.configure("loading-process-events-interval-bytes", "1024");
    server.kill();
    server.launch().await;
    let mut last = String::new();
    until("the server says that it loads", PATIENCE, async || {
        let error = store.acquire(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), UNAVAILABLE, "{error}");
        last = error.to_string();
        last.contains("LOADING").then_some(())
    })
    .await;
    set(&server, "key-load-delay", "0").await;
    granted_at_last(&store, "k").await;
}

/// What is said of a renewal, the one request about a lock that has a single key.
async fn unrenewed(store: &RedisStore) -> Option<StoreError> {
    let answers = store.renew(&renewal(&request("k"))).await.unwrap();
    answers.into_iter().next().unwrap().err()
}

/// A node of a cluster under `redis://` may hold all keys of the first lock and none of the next.
async fn refuses_what_the_first_lock_does_not_need(cluster: &Cluster) {
    let home = &cluster.nodes()[cluster.node_of_slot(cluster.slot_of_key("0").await).await];
    let alone = connect(&home.url()).await;
    // The first request brings the script; what is done by its digest is taken for a proof.
    granted(&alone, &request("{0}first")).await;
    let next = request("{0}next");
    granted(&alone, &next).await;
    let mut at = 0;
    let near = loop {
        let name = format!("near:{at}");
        let slot = cluster.slot_of_key(&name).await;
        if cluster.nodes()[cluster.node_of_slot(slot).await].port() == home.port() {
            break name;
        }
        at += 1;
    };
    let parts = ["CROSSSLOT", "redis+cluster"];
    // The first time it was thought to be one server, the second it was not any more.
    for _ in 0..2 {
        refused(&alone, &near, StoreErrorKind::Misconfigured, &parts).await;
    }
    assert_eq!(home.cli(&["EXISTS", &near]).await, "0");
    let release = alone.release(&next.key, next.token).await.unwrap();
    assert_eq!(release, Release::Freed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e71_e72_a_cluster_that_moves_a_slot_or_loses_one_says_so_and_goes_on() {
    let cluster = Cluster::start(tenure_bed::Flavour::Redis).await;
    let store = connect(&cluster.url()).await;
    let slot = cluster.slot_of_key("k").await;
    let home = cluster.node_of_slot(slot).await;
    // CROSSSLOT and MOVED: somebody forgot that it is a cluster.
    let next = (home + 1) % 3;
    for node in [home, next] {
        let alone = connect(&cluster.nodes()[node].url()).await;
        let parts = ["CROSSSLOT", "redis+cluster"];
        // The second time as well: nothing has been proven by the first.
        for _ in 0..2 {
            refused(&alone, "k", StoreErrorKind::Misconfigured, &parts).await;
        }
    }
    refuses_what_the_first_lock_does_not_need(&cluster).await;
    let alone = connect(&cluster.nodes()[next].url()).await;
    let error = unrenewed(&alone).await.unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
    let message = error.to_string();
    assert!(
        message.contains("MOVED") && message.contains("redis+cluster"),
        "{message}"
    );
    // ASK and TRYAGAIN: the slot is on its way.
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &one).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    held(&store, &waiter).await;
    let migration = cluster.begin_migration(slot, next).await;
    migration.move_keys().await;
    let asked = calls_of(&cluster.nodes()[next], "asking").await;
    let answers = store.renew(&renewal(&one)).await.unwrap();
    assert!(
        matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]),
        "{answers:?}"
    );
    assert!(calls_of(&cluster.nodes()[next], "asking").await > asked);
    // Whoever takes the node for all there is, is sent away by it, for as long as that lasts.
    let alone_at_home = connect(&cluster.nodes()[home].url()).await;
    let error = unrenewed(&alone_at_home).await.unwrap();
    assert_refusal(&error, UNAVAILABLE, &["renew leases", "ASK "]);
    // Of a lock that nobody had there is nothing on either side, and neither may make it now.
    let parts = ["TRYAGAIN", "being moved"];
    refused(&store, "{k}new", UNAVAILABLE, &parts).await;
    migration.finish().await;
    granted_at_last(&store, "{k}new").await;
    let release = store.release(&one.key, one.token).await.unwrap();
    assert_ne!(release, Release::NotHeld);
    turn(&store, &waiter, &mut wakes).await;
    // CLUSTERDOWN: a slot has no node any more.
    let lost = &cluster.nodes()[home];
    let port = lost.port().to_string();
    let mut replica = None;
    for node in cluster.nodes().iter().skip(3) {
        if node.info("master_port").await.as_deref() == Some(&port) {
            replica = Some(node);
        }
    }
    lost.kill();
    replica.unwrap().kill();
    cluster.watch().await;
    until("the others give up", PATIENCE, async || {
        (unrenewed(&alone).await?.kind() == UNAVAILABLE).then_some(())
    })
    .await;
    let message = unrenewed(&alone).await.unwrap().to_string();
    assert!(
        message.contains("CLUSTERDOWN") && message.contains("CLUSTER INFO"),
        "{message}"
    );
    let error = store.acquire(&waiter).await.unwrap_err();
    assert_eq!(error.kind(), UNAVAILABLE, "{error}");
    lost.launch().await;
    replica.unwrap().launch().await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    turn(&store, &waiter, &mut wakes).await;
}

#[tokio::test]
async fn e76_a_server_that_cannot_save_grants_nothing_and_lets_leases_end() {
    let (server, store) = server(redis().unix_only().config("save", "3600 1")).await;
    let one = request("k");
    granted(&store, &one).await;
    // A folder where its file should be.
    let file = server.folder().join("dump.rdb");
    std::fs::create_dir(&file).unwrap();
    server.call(&["BGSAVE"]).await;
    until("the save has failed", PATIENCE, async || {
        let status = server.info("rdb_last_bgsave_status").await?;
        (status == "err").then_some(())
    })
    .await;
    refused(&store, "other", UNAVAILABLE, &["MISCONF", "disk"]).await;
    let error = store.release(&one.key, one.token).await.unwrap_err();
    assert_refusal(&error, UNAVAILABLE, &["release a lease", "MISCONF"]);
    assert_eq!(server.call(&["EXISTS", "k"]).await.int(), Some(1));
    assert!(server.call(&["PTTL", "k"]).await.int() > Some(0));
    std::fs::remove_dir(&file).unwrap();
    server.call(&["BGSAVE"]).await;
    granted_at_last(&store, "other").await;
    assert_eq!(
        store.release(&one.key, one.token).await.unwrap(),
        Release::Freed
    );
}

#[tokio::test]
async fn e79_a_lease_that_the_server_threw_away_is_lost_and_fences_grow_on() {
    let (server, store) = server(redis().unix_only()).await;
    let one = request("k");
    let before = granted(&store, &one).await;
    set(&server, "maxmemory-policy", "allkeys-random").await;
    set(&server, "maxmemory", "1").await;
    until("the lease is thrown away", PATIENCE, async || {
        server.call(&["PING"]).await;
        (server.call(&["DBSIZE"]).await.int() == Some(0)).then_some(())
    })
    .await;
    assert!(server.info("evicted_keys").await.unwrap() != "0");
    set(&server, "maxmemory", "0").await;
    let answers = store.renew(&renewal(&one)).await.unwrap();
    let [Ok(Renewal::Lost { by: None, .. })] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    let after = granted(&store, &request("k")).await;
    assert!(after.fence > before.fence);
    let doctor = store.diagnose().await.unwrap();
    let eviction = doctor
        .findings
        .iter()
        .find(|finding| finding.topic == "eviction");
    assert!(eviction.unwrap().text.contains("noeviction"), "{doctor:?}");
}

#[tokio::test]
async fn r60_e84_a_client_that_reads_too_slowly_is_cut_off_and_comes_back() {
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    let (holder, waits) = (connect(&server.url()).await, connect(&relay.url()).await);
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&holder, &one).await;
    let mut wakes = waits.listen(&waiter.key, waiter.token);
    held(&waits, &waiter).await;
    set(&server, "client-output-buffer-limit", "pubsub 64kb 0 0").await;
    relay.strand();
    let channels = server.call(&["PUBSUB", "CHANNELS", "tenure:c:*"]).await;
    let noise = "x".repeat(1 << 20);
    until("the server cuts it off", PATIENCE, async || {
        for channel in channels.list() {
            let channel = channel.to_string();
            server.call(&["PUBLISH", &channel, &noise]).await;
        }
        let log = std::fs::read_to_string(server.folder().join("log")).ok()?;
        log.contains("output buffer limits").then_some(())
    })
    .await;
    set(&server, "client-output-buffer-limit", "pubsub 32mb 8mb 60").await;
    // The server does not know it any more, and does not spend a claim window on it: whoever
    // comes next is next.
    let other = request("k").in_line(TTL);
    let mut others = holder.listen(&other.key, other.token);
    held(&holder, &other).await;
    assert_eq!(
        holder.release(&one.key, one.token).await.unwrap(),
        Release::HandedOn
    );
    turn(&holder, &other, &mut others).await;
    // The slow client finds out, and has a place again.
    relay.cut();
    let woken = tokio::time::timeout(PATIENCE, wakes.next()).await;
    assert_eq!(woken.unwrap(), tenure_core::Wake::Changed);
    assert!(held(&waits, &waiter).await.place.is_some());
    holder.release(&other.key, other.token).await.unwrap();
    turn(&waits, &waiter, &mut wakes).await;
}

#[tokio::test]
async fn r61_e69_what_is_refused_when_it_is_asked_again_may_have_been_done_before() {
    let rule = "app on >pw ~* &* +@all";
    let server = redis().tcp().acl_user(rule).start().await;
    let relay = Relay::to(&server);
    let store = connect(&relay.url().replacen("//", "//app:pw@", 1)).await;
    granted_at_last(&store, "before").await;
    relay.drop_replies();
    let asking = tokio::spawn(async move { store.acquire(&request("k")).await });
    until("it is done and the answer is lost", PATIENCE, async || {
        (relay.lost() > 0).then_some(())
    })
    .await;
    assert_eq!(server.cli(&["EXISTS", "k"]).await, "1");
    let refusing = ["ACL", "SETUSER", "app", "-evalsha", "-eval"];
    assert_eq!(server.cli(&refusing).await, "OK");
    // Its connection ends, and it asks again.
    relay.heal();
    let error = asking.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("NOPERM"), "{error}");
    assert!(error.outcome_is_unknown(), "{error}");
}

#[tokio::test]
async fn e84_a_half_open_connection_is_given_up_after_one_request() {
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    let store = connect(&format!("{}?timeout=300ms", relay.url())).await;
    granted_at_last(&store, "before").await;
    relay.strand();
    let lost = request("k");
    let error = store.acquire(&lost).await.unwrap_err();
    assert_eq!(error.kind(), UNAVAILABLE, "{error}");
    assert!(error.outcome_is_unknown(), "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
    // A new connection works while the old one is still open, and what was stuck in it may come
    // late: it can do no more than the same request does now.
    let mut wakes = store.listen(&lost.key, lost.token);
    let (grant, _) = turn(&store, &lost, &mut wakes).await;
    assert_eq!(relay.open(), 1 + 1);
    relay.heal();
    until("the late request arrives", PATIENCE, async || {
        (relay.open() == 1).then_some(())
    })
    .await;
    assert_eq!(granted(&store, &lost).await.fence, grant.fence);
}

#[tokio::test]
async fn e83_an_answer_that_no_server_gives_ends_its_connection_and_not_the_process() {
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    let store = connect(&format!("{}?timeout=300ms", relay.url())).await;
    let nested = "*1\r\n".repeat(1_000_000);
    let answers: [(&str, &[u8], &[u8]); 7] = [
        ("deeper than anything", nested.as_bytes(), b""),
        ("a length below zero", b"$-7\r\n", b""),
        ("a list of less than nothing", b"*-7\r\n", b""),
        ("a length without end", b"$99999999999999999999\r\n", b""),
        ("a line without end", b"+", b"A"),
        ("a list without end", b"*2147483647\r\n", b":1\r\n"),
        ("half of it", b"$16\r\n12345678", b""),
    ];
    for (number, (what, once, forever)) in answers.into_iter().enumerate() {
        granted_at_last(&store, &format!("before {number}")).await;
        let before = relay.accepted();
        relay.answer_with(once, forever);
        let one = request(&format!("k {number}"));
        let error = store.acquire(&one).await.expect_err(what);
        assert!(error.outcome_is_unknown(), "{what}: {error}");
        relay.heal();
        // Another connection is made, and what was granted unheard can be given back by it.
        let after = request(&format!("after {number}"));
        until("it reads answers again", PATIENCE, async || {
            let answer = store.acquire(&after).await;
            matches!(answer, Ok(Acquisition::Granted(_))).then_some(())
        })
        .await;
        assert!(relay.accepted() > before, "{what}");
        cancelled_at_last(&store, &one).await;
        granted_at_last(&store, &format!("k {number}")).await;
    }
}

#[tokio::test]
async fn e84_an_answer_that_comes_late_is_nobodys() {
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    let store = connect(&format!("{}?timeout=200ms", relay.url())).await;
    for round in 0..5 {
        relay.delay_replies(Duration::from_millis(400));
        let late = request(&format!("late:{round}"));
        let error = store.acquire(&late).await.unwrap_err();
        assert!(error.outcome_is_unknown(), "{error}");
        relay.heal();
        // Other requests follow at once, and each has its own answer.
        let next = request(&format!("next:{round}"));
        let mut wakes = store.listen(&next.key, next.token);
        let (grant, _) = turn(&store, &next, &mut wakes).await;
        let value = server.cli(&["GET", &format!("next:{round}")]).await;
        assert!(value.contains(&grant.fence.to_string()), "{value}");
        // What was granted late is still the asker's to give back.
        cancelled_at_last(&store, &late).await;
        assert_eq!(server.cli(&["EXISTS", &format!("late:{round}")]).await, "0");
    }
}

#[tokio::test]
async fn e78_a_server_that_takes_no_more_clients_is_asked_again_in_growing_pauses() {
    let server = redis().unix_only().start().await;
    let store = connect(&format!("{}?timeout=300ms", server.url())).await;
    granted_at_last(&store, "k").await;
    let guests = [(); 2].map(|()| UnixStream::connect(server.socket()).unwrap());
    until("the guests are in", PATIENCE, async || {
        (server.info("connected_clients").await? == "4").then_some(())
    })
    .await;
    let replies = server.calls(&[
        &["CONFIG", "SET", "maxclients", "2"],
        &["CLIENT", "KILL", "TYPE", "pubsub"],
    ]);
    assert_eq!(replies.await[1].int(), Some(1));
    // The server says so and hangs up; whichever the client sees first, it asks again.
    for _ in 0..10 {
        let error = store.acquire(&request("x")).await.unwrap_err();
        assert_eq!(error.kind(), UNAVAILABLE, "{error}");
        let place = format!("no connection to {}: ", server.socket().display());
        assert!(error.to_string().contains(&place), "{place} in: {error}");
    }
    drop(guests);
    granted_at_last(&store, "y").await;
    // Three seconds of asking are no more than a dozen attempts, those of the guests' test apart.
    let rejected: usize = server
        .info("rejected_connections")
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert!((2..=25).contains(&rejected), "{rejected}");
}

/// Makes servers refuse every write of a script.
async fn lonely(servers: &[Redis]) {
    for server in servers {
        set(server, "min-replicas-to-write", "9").await;
    }
}

#[tokio::test]
async fn e77_a_refusal_names_the_server_that_refuses_wherever_it_is() {
    let one = redis().tcp().start().await;
    let address = |server: &Redis| format!("127.0.0.1:{}", server.port());
    let over_tcp = connect(&one.url()).await;
    let with_pool = connect(&format!("{}?pool=2", one.url())).await;
    let url = format!("redis+unix:{}", one.socket().display());
    let over_socket = connect(&url).await;
    let sentinel = Sentinel::start(Flavour::Redis, 1).await;
    let primary = connect(&sentinel.url()).await;
    let cluster = Cluster::start(Flavour::Redis).await;
    let slot = cluster.slot_of_key("k").await;
    let node = &cluster.nodes()[cluster.node_of_slot(slot).await];
    let in_cluster = connect(&cluster.url()).await;
    lonely(std::slice::from_ref(&one)).await;
    lonely(sentinel.nodes()).await;
    lonely(cluster.nodes()).await;
    let places = [
        (&over_tcp, address(&one)),
        (&with_pool, address(&one)),
        (&over_socket, one.socket().display().to_string()),
        (&primary, address(sentinel.primary().await)),
        (&in_cluster, address(node)),
    ];
    for (store, place) in places {
        let place = format!("acquire a lease: {place}: NOREPLICAS");
        refused(store, "k", UNAVAILABLE, &[&place]).await;
    }
}

#[tokio::test]
async fn e77_a_server_that_is_silent_or_gone_is_named_too() {
    let server = redis().tcp().start().await;
    let store = connect(&format!("{}?timeout=300ms", server.url())).await;
    let place = format!("127.0.0.1:{}", server.port());
    granted_at_last(&store, "k").await;
    server.pause();
    let error = store.acquire(&request("x")).await.unwrap_err();
    let silent = format!("acquire a lease: {place}: no answer within the request's time");
    assert_eq!(error.to_string(), silent);
    assert!(error.outcome_is_unknown());
    server.resume();
    server.kill();
    until("the connection's end is noticed", PATIENCE, async || {
        let error = store.acquire(&request("x")).await.unwrap_err();
        let gone = format!("no connection to {place}: ");
        error.to_string().contains(&gone).then_some(())
    })
    .await;
    let error = RedisStore::connect(&server.url()).await.unwrap_err();
    let gone = format!("cannot connect: {place}: ");
    assert!(error.to_string().starts_with(&gone), "{error}");
}

#[tokio::test]
async fn e32_a_wrong_name_of_a_primary_is_answered_with_those_that_the_sentinels_know() {
    let sentinel = Sentinel::start(Flavour::Redis, 0).await;
    let url = sentinel.url();
    let wrong = url.replace(&format!("/{}", sentinel.name()), "/nosuch");
    assert_ne!(url, wrong);
    let error = RedisStore::connect(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
    let port = sentinel.sentinels()[0].port();
    for part in [
        "`nosuch`",
        &format!("they know `{}`", sentinel.name()),
        &format!("127.0.0.1:{port}"),
    ] {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
}

#[tokio::test]
async fn e71_a_first_connection_while_there_is_no_primary_waits_and_then_says_so() {
    let sentinel = Sentinel::start(Flavour::Redis, 0).await;
    sentinel.kill_primary().await;
    until("the sentinels know", PATIENCE, async || {
        for one in sentinel.sentinels() {
            let primary = one.call(&["SENTINEL", "MASTER", sentinel.name()]).await;
            let words = primary.list().iter();
            words
                .map(ToString::to_string)
                .find(|word| word.contains("s_down"))?;
        }
        Some(())
    })
    .await;
    let url = format!("{}?connect_timeout=1s", sentinel.url());
    let began = SystemClock.now();
    let error = RedisStore::connect(&url).await.unwrap_err();
    assert!(SystemClock.now().since(began) >= Duration::from_millis(300));
    assert_eq!(error.kind(), UNAVAILABLE, "{error}");
    let mut parts = vec![
        "no primary at the moment".to_owned(),
        format!("`{}`", sentinel.name()),
    ];
    for one in sentinel.sentinels() {
        parts.push(format!("127.0.0.1:{}", one.port()));
    }
    for part in parts {
        assert!(error.to_string().contains(&part), "{part} in: {error}");
    }
}

#[tokio::test]
async fn e71_a_first_connection_during_a_fail_over_gets_the_new_primary() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    sentinel.kill_primary().await;
    let url = format!("{}?connect_timeout=30s", sentinel.url());
    let store = RedisStore::connect(&url).await.unwrap();
    granted_at_last(&store, "k").await;
}

#[tokio::test]
async fn e80_what_a_server_was_told_to_refuse_is_named_or_done_without() {
    // Without these there is no lock.
    for command in ["EVALSHA", "GET", "SET", "ZADD", "TIME"] {
        let builder = redis()
            .unix_only()
            .config("rename-command", &format!("{command} \"\""));
        let (_server, store) = server(builder).await;
        let one = request("k");
        let error = match store.acquire(&one).await {
            Err(error) => error,
            Ok(_) => store.acquire(&request("k").in_line(TTL)).await.unwrap_err(),
        };
        let parts = ["acquire a lease", "nknown", "rename-command"];
        assert_refusal(&error, StoreErrorKind::Unsupported, &parts);
    }
    // Without these there are locks, and waiters ask.
    for command in ["HELLO", "SUBSCRIBE", "PUBLISH", "CLIENT"] {
        let builder = redis()
            .unix_only()
            .config("rename-command", &format!("{command} \"\""));
        let (server, store) = server(builder).await;
        hands_on(&server, &store).await;
    }
}

/// Hands a lock on, and wakes a waiter of a foreign one.
async fn hands_on(server: &Redis, store: &RedisStore) {
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(store, &one).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    held(store, &waiter).await;
    store.release(&one.key, one.token).await.unwrap();
    turn(store, &waiter, &mut wakes).await;
    server.call(&["SET", "theirs", "x"]).await;
    let waiter = request("theirs").in_line(TTL);
    let mut wakes = store.listen(&waiter.key, waiter.token);
    let told = held(store, &waiter).await;
    assert!(told.ask_again_after <= Duration::from_millis(1001));
    server.call(&["DEL", "theirs"]).await;
    turn(store, &waiter, &mut wakes).await;
}

/// A server that knows RESP2 alone, as far as clients can tell.
fn resp2(builder: RedisBuilder) -> RedisBuilder {
    builder.config("rename-command", "HELLO \"\"")
}

/// Asserts that a release pushes the lock to a waiter that was not told to ask soon.
async fn assert_pushed(store: &RedisStore, name: &str) {
    assert_eq!(store.promises().hand_off, HandOff::Pushed);
    let (one, waiter) = (request(name), request(name).in_line(TTL));
    granted(store, &one).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    let told = held(store, &waiter).await;
    assert!(told.ask_again_after > Duration::from_secs(1), "{told:?}");
    let release = store.release(&one.key, one.token).await.unwrap();
    assert_eq!(release, Release::HandedOn);
    let woken = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
    let Wake::Granted(grant) = woken else {
        panic!("{woken:?}");
    };
    assert_eq!(granted(store, &waiter).await.fence, grant.fence);
    store.release(&waiter.key, waiter.token).await.unwrap();
}

/// One line for each connection to a server.
async fn clients_of(server: &Redis) -> String {
    server.call(&["CLIENT", "LIST"]).await.to_string()
}

#[tokio::test]
async fn e81_where_there_is_no_resp3_a_second_connection_hears_the_pushes() {
    let (server, store) = server(resp2(redis().unix_only())).await;
    assert_pushed(&store, "k").await;
    let clients = clients_of(&server).await;
    let hearing: Vec<_> = clients
        .lines()
        .filter(|one| one.contains(" sub=2 "))
        .collect();
    assert_eq!(hearing.len(), 1, "{clients}");
    // That one, the one of the requests, and the test's own.
    assert_eq!(clients.lines().count(), 2 + 1, "{clients}");
    // The second connection breaks alone: whoever waits is told that a push may be lost, and there
    // are two again.
    let (one, waiter) = (request("lost"), request("lost").in_line(TTL));
    granted(&store, &one).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    held(&store, &waiter).await;
    server.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    let woken = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
    assert_eq!(woken, Wake::Changed);
    store.release(&one.key, one.token).await.unwrap();
    turn(&store, &waiter, &mut wakes).await;
    assert_pushed(&store, "again").await;
    // Both end with the store.
    drop((store, wakes));
    until("the server has no client of ours", PATIENCE, async || {
        (clients_of(&server).await.lines().count() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e81_r58_without_resp3_pushes_come_from_the_primary_that_sentinels_name() {
    let sentinel = Sentinel::start_as(Flavour::Redis, 2, resp2, |one| one).await;
    let store = connect(&sentinel.url()).await;
    assert_pushed(&store, "k").await;
    let old = sentinel.kill_primary().await;
    sentinel.failed_over(old).await;
    granted_at_last(&store, "after").await;
    assert_pushed(&store, "k").await;
}

#[tokio::test]
async fn e81_a_user_of_resp2_without_channels_asks_and_says_so() {
    let user = "app on >pw ~* resetchannels +@all";
    let server = resp2(redis().unix_only()).acl_user(user).start().await;
    let store = connect(&format!("redis+unix:app:pw@{}", server.socket().display())).await;
    let promises = store.promises();
    assert_eq!(
        promises.hand_off,
        HandOff::AskAgain(Duration::from_millis(50))
    );
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &one).await;
    let told = held(&store, &waiter).await;
    assert!(
        told.ask_again_after <= Duration::from_millis(51),
        "{told:?}"
    );
    let doctor = store.diagnose().await.unwrap();
    let mut findings = doctor.findings.iter();
    let found = findings.find(|one| one.topic == "hand-off").unwrap();
    let part = "waiters ask every 50ms: the user has no right to the channels tenure:*";
    assert!(found.text.starts_with(part), "{doctor:?}");
}

#[tokio::test]
async fn e68_a_password_that_was_changed_is_tried_once_and_not_in_a_loop() {
    let server = redis()
        .tcp()
        .acl_user("app on >old ~* &* +@all")
        .start()
        .await;
    let store = connect(&format!("redis://app:old@127.0.0.1:{}", server.port())).await;
    granted(&store, &request("k")).await;
    let change = ["ACL", "SETUSER", "app", "resetpass", ">new"];
    assert_eq!(server.cli(&change).await, "OK");
    server.call(&["ACL", "LOG", "RESET"]).await;
    server.call(&["CLIENT", "KILL", "USER", "app"]).await;
    let denied = StoreErrorKind::Denied;
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        let error = store.acquire(&request("x")).await.unwrap_err();
        // The first may have been on its way when the connection broke.
        if error.kind() != UNAVAILABLE && !error.outcome_is_unknown() {
            assert_refusal(&error, denied, &["WRONGPASS", "password"]);
        }
    }
    refused(&store, "x", denied, &["WRONGPASS"]).await;
    let log = server.call(&["ACL", "LOG"]).await;
    let tried: i64 = log
        .list()
        .iter()
        .filter_map(|entry| entry.list()[1].int())
        .sum();
    let seconds = i64::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=3 + seconds).contains(&tried), "{tried} in {seconds} s");
    let change = ["ACL", "SETUSER", "app", "resetpass", ">old"];
    assert_eq!(server.cli(&change).await, "OK");
    until("the password is tried again", PATIENCE, async || {
        store.acquire(&request("y")).await.ok()
    })
    .await;
}

#[tokio::test]
async fn e69_rights_that_are_taken_away_are_missed_by_name_and_used_when_given_back() {
    let server = redis()
        .tcp()
        .acl_user("app on >pw ~* &* +@all")
        .start()
        .await;
    let store = connect(&format!("redis://app:pw@127.0.0.1:{}", server.port())).await;
    let one = request("k");
    granted(&store, &one).await;
    let denied = StoreErrorKind::Denied;
    for (taken, given, part) in [
        ("-evalsha", "+evalsha", "evalsha"),
        ("-pexpire", "+pexpire", "script"),
        ("resetkeys", "~*", "NOPERM"),
    ] {
        server.call(&["ACL", "SETUSER", "app", taken]).await;
        let longer = tenure_core::Ttl::new(TTL * 2).unwrap();
        let longer = [RenewRequest::new(one.key.clone(), one.token, longer)];
        let error = match store.renew(&longer).await {
            Ok(mut answers) => answers.remove(0).unwrap_err(),
            Err(error) => error,
        };
        assert_refusal(&error, denied, &["renew leases", part, "README"]);
        server.call(&["ACL", "SETUSER", "app", given]).await;
    }
    let answers = store.renew(&renewal(&one)).await.unwrap();
    assert!(matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]));
}

#[tokio::test]
async fn e31_databases_keep_locks_apart_and_a_lock_in_the_wrong_one_excludes_nobody() {
    let server = redis().tcp().start().await;
    let zero = connect(&server.url()).await;
    let one = connect(&format!("{}/1", server.url())).await;
    let (ours, theirs, waiter) = (request("k"), request("k"), request("k").in_line(TTL));
    granted(&zero, &ours).await;
    granted(&one, &theirs).await;
    // The channels of pushes know no databases, and nobody hears another's grant for its own.
    let mut wrong = zero.listen(&waiter.key, ours.token);
    let mut wakes = one.listen(&waiter.key, waiter.token);
    held(&one, &waiter).await;
    assert_eq!(
        one.release(&theirs.key, theirs.token).await.unwrap(),
        Release::HandedOn
    );
    turn(&one, &waiter, &mut wakes).await;
    let heard = tokio::time::timeout(Duration::from_millis(20), wrong.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(zero.inspect(&ours.key).await.unwrap().unwrap().queue_len == 0);
}

#[tokio::test]
async fn e66_damage_in_a_queue_is_named_and_keeps_no_free_lock_away() {
    let (server, store) = server(redis().unix_only()).await;
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &one).await;
    held(&store, &waiter).await;
    let names = server.call(&["KEYS", "tenure:*}:[qw]:k"]).await;
    assert_eq!(names.list().len(), 2);
    for name in names.list() {
        let name = name.to_string();
        server.call(&["DEL", &name]).await;
        server.call(&["SET", &name, "x"]).await;
        let error = store.acquire(&waiter).await.unwrap_err();
        assert_refusal(&error, StoreErrorKind::Corrupt, &["WRONGTYPE"]);
        server.call(&["DEL", &name]).await;
    }
    assert!(held(&store, &waiter).await.place.is_some());
}

#[tokio::test]
async fn f37_a_queue_has_an_end_and_who_finds_none_is_told() {
    let (server, store) = server(redis().unix_only()).await;
    let one = request("k");
    granted(&store, &one).await;
    let first = request("k").in_line(TTL);
    held(&store, &first).await;
    // Very many others, written as the script writes them.
    let crowd = "local w = redis.call('HVALS', KEYS[2])[1] for i = 1, 9999 do local t = \
                 string.format('%032x', i) redis.call('ZADD', KEYS[1], 9e15, t) \
                 redis.call('HSET', KEYS[2], t, w) end return redis.call('ZCARD', KEYS[1])";
    let (queue, waiters) = ("tenure:{0}:q:k", "tenure:{0}:w:k");
    let crowd = server.call(&["EVAL", crowd, "2", queue, waiters]).await;
    assert_eq!(crowd.int(), Some(10_000));
    let late = request("k").in_line(TTL);
    let error = store.acquire(&late).await.unwrap_err();
    let parts = ["acquire a lease", "10000 wait", "max_waiters"];
    assert_refusal(&error, UNAVAILABLE, &parts);
    // Those who are in it keep their places, and who only asks is answered.
    assert_eq!(held(&store, &first).await.place.unwrap().position, 1);
    assert!(held(&store, &request("k")).await.place.is_none());
    let last = format!("{:032x}", 9999);
    server.call(&["ZREM", queue, &last]).await;
    assert_eq!(held(&store, &late).await.place.unwrap().position, 10_000);
}

#[tokio::test]
async fn f37_a_queue_ends_where_max_waiters_says() {
    let server = redis().unix_only().start().await;
    let three = connect(&format!("{}?max_waiters=3", server.url())).await;
    granted(&three, &request("k")).await;
    let waiters = [0; 4].map(|_| request("k").in_line(TTL));
    for waiter in &waiters[..3] {
        held(&three, waiter).await;
    }
    let error = three.acquire(&waiters[3]).await.unwrap_err();
    let parts = [
        "acquire a lease",
        "3 wait",
        "tenure locks show",
        "max_waiters",
    ];
    assert_refusal(&error, UNAVAILABLE, &parts);
    // Others may say otherwise; each is held to what it says itself.
    let four = connect(&format!("{}?max_waiters=4", server.url())).await;
    assert_eq!(held(&four, &waiters[3]).await.place.unwrap().position, 4);
    three
        .cancel(&waiters[0].key, waiters[0].token)
        .await
        .unwrap();
    let late = request("k").in_line(TTL);
    three.acquire(&late).await.unwrap_err();
    three
        .cancel(&waiters[1].key, waiters[1].token)
        .await
        .unwrap();
    assert_eq!(held(&three, &late).await.place.unwrap().position, 3);
}

#[tokio::test]
async fn r23_a_grant_that_is_pushed_to_a_waiter_who_is_gone_goes_to_the_next_at_once() {
    let server = redis().unix_only().start().await;
    let url = format!("{}?claim_window=60s", server.url());
    let (living, other) = (connect(&url).await, connect(&url).await);
    let lease = request("k");
    granted(&living, &lease).await;
    // Places as a fail-over brings them back: their waiters gave up, but their process listens.
    for _ in 0..3 {
        held(&living, &request("k").in_line(TTL)).await;
    }
    let waiter = request("k").in_line(TTL);
    let mut wakes = other.listen(&waiter.key, waiter.token);
    assert_eq!(held(&other, &waiter).await.place.unwrap().position, 4);
    let released = living.release(&lease.key, lease.token).await.unwrap();
    assert_eq!(released, Release::HandedOn);
    let told = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
    assert!(matches!(told, Wake::Granted(_)), "{told:?}");
    granted(&other, &waiter).await;
}

#[tokio::test]
async fn r26_a_grant_that_was_collected_is_not_passed_on_by_a_push_that_nobody_hears() {
    let server = redis().unix_only().start().await;
    let store = connect(&server.url()).await;
    let lease = request("k");
    let fence = granted(&store, &lease).await.fence;
    let behind = request("k").in_line(TTL);
    held(&store, &behind).await;
    let place = ["HGET", "tenure:{0}:w:k", &behind.token.to_string()];
    let place = server.call(&place).await.to_string();
    let channel = place.rsplit_once(" p").unwrap().1;
    // Its token holds the lease and does not listen; what is pushed is not how the lease stands.
    let late = format!("g {} {fence} 1000 3000 k", lease.token);
    assert_eq!(
        server.call(&["PUBLISH", channel, &late]).await.int(),
        Some(1)
    );
    until("the store tried to pass it on", PATIENCE, async || {
        let calls = server.info("cmdstat_eval").await?;
        // Each script is sent whole once: that which acquires, and this.
        let calls = calls.split([',', '=']).nth(1)?.parse::<u32>().ok()?;
        (calls >= 2).then_some(())
    })
    .await;
    let renewals = store.renew(&renewal(&lease)).await.unwrap();
    assert!(
        matches!(renewals[0], Ok(Renewal::Renewed(_))),
        "{renewals:?}"
    );
}

#[tokio::test]
async fn e84_a_slow_server_is_waited_for_within_the_time_of_a_request() {
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    relay.delay(Duration::from_millis(100));
    let store = connect(&format!("{}?timeout=5s", relay.url())).await;
    hands_on(&server, &store).await;
}

/// A way to `server` on which its version is told as another one of as many characters.
async fn disguised(server: &Redis, version: String) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let truth = format!(
        "redis_version:{}",
        server.info("redis_version").await.unwrap()
    );
    let told = format!("redis_version:{version}");
    assert_eq!(truth.len(), told.len(), "a reply's length stands before it");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (truth, told) = (truth.clone(), told.clone());
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", behind)).await?;
                let (mut asked, mut answers) = stream.into_split();
                let (mut from, mut to) = server.into_split();
                let requests =
                    tokio::spawn(async move { tokio::io::copy(&mut asked, &mut to).await });
                let mut said = vec![0; 1 << 20];
                while let length @ 1.. = from.read(&mut said).await? {
                    let text = String::from_utf8_lossy(&said[..length]).replace(&truth, &told);
                    answers.write_all(text.as_bytes()).await?;
                }
                requests.abort();
                std::io::Result::Ok(())
            });
        }
    });
    port
}

#[tokio::test]
async fn e81_a_server_that_is_too_old_is_refused_when_it_is_connected_to() {
    let server = redis()
        .tcp()
        .config("rename-command", "HELLO \"\"")
        .start()
        .await;
    let length = server.info("redis_version").await.unwrap().len();
    let old = |version: &str| format!("{version:0<length$}")[..length].to_owned();
    let port = disguised(&server, old("4.0.14")).await;
    let error = RedisStore::connect(&format!("redis://127.0.0.1:{port}"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
    let expected = format!(
        "cannot use 127.0.0.1:{port}: it is Redis {}, and Redis 5.0 is the least; tested are 7.0 \
         and later",
        old("4.0.14")
    );
    assert_eq!(error.to_string(), expected);
    // The same disguise with a version that will do.
    let port = disguised(&server, old("5.0.14")).await;
    let store = RedisStore::connect(&format!("redis://127.0.0.1:{port}"))
        .await
        .unwrap();
    granted_at_last(&store, "k").await;
}

/// How much memory this process has in use, in bytes.
#[cfg(target_os = "linux")]
fn memory_in_use() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn e83_an_answer_of_half_a_gigabyte_costs_a_request_and_no_more_memory_than_came_in_its_time()
{
    let server = redis().tcp().start().await;
    let relay = Relay::to(&server);
    let store = connect(&format!("{}?timeout=100ms", relay.url())).await;
    granted_at_last(&store, "before").await;
    let before = memory_in_use();
    relay.answer_with(b"$536870912\r\n", &[b'x'; 1024]);
    let one = request("k");
    let error = store.acquire(&one).await.unwrap_err();
    assert_eq!(error.kind(), UNAVAILABLE, "{error}");
    assert!(error.outcome_is_unknown(), "{error}");
    // A growing buffer is moved, so there are two for a moment, and one may have room to spare.
    let slack = 32 << 20;
    let during = memory_in_use().saturating_sub(before);
    let sent = relay.sent_instead();
    println!("{} kB for {} kB that came", during / 1024, sent / 1024);
    assert!(sent > 0, "nothing came");
    assert!(during < 3 * sent + slack, "{during} for {sent}");
    // And it goes with the connection.
    let patience = Duration::from_secs(30);
    tenure_bed::until("the memory is given back", patience, async || {
        (memory_in_use() < before + slack).then_some(())
    })
    .await;
    relay.heal();
    granted_at_last(&store, "after").await;
    cancelled_at_last(&store, &one).await;
}

/// A server that answers the greeting as Redis does, and then says `answer` to everything.
async fn pretender(answer: &'static [u8]) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut asked).await {
                    let text = String::from_utf8_lossy(&asked[..length]).to_uppercase();
                    let lock = text.contains("EVAL");
                    // One answer for each command of the greeting.
                    let commands = text.matches("\r\n*").count() + 1;
                    let said = if lock {
                        stream.write_all(answer).await
                    } else {
                        stream.write_all(&b"+OK\r\n".repeat(commands)).await
                    };
                    if said.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn e83_an_answer_that_is_none_is_an_error_and_no_crash() {
    for answer in [
        b"$-5\r\n".as_slice(),
        b"*-9\r\n",
        b"*99999999999\r\n",
        b"$536870913000\r\n",
        b"+\xff\xfe\r\n",
        b"!garbage\r\n",
        b":not a number\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+granted\r\n",
        b"*4\r\n+granted\r\n:1\r\n:-1\r\n:1\r\n",
        b"*4\r\n+granted\r\n:1\r\n+9999999999999999999999\r\n:1\r\n",
    ] {
        let port = pretender(answer).await;
        let url = format!("redis://127.0.0.1:{port}?timeout=300ms&connect_timeout=2s");
        let asked = tokio::time::timeout(PATIENCE, async {
            let store = RedisStore::connect(&url).await?;
            store.acquire(&request("k")).await
        });
        let error = match asked.await.unwrap() {
            Err(error) => error,
            Ok(Acquisition::Held(_) | Acquisition::Granted(_)) => panic!("{answer:?}"),
            Ok(other) => panic!("{other:?}"),
        };
        assert!(
            matches!(error.kind(), StoreErrorKind::Protocol | UNAVAILABLE),
            "{error}"
        );
    }
}
