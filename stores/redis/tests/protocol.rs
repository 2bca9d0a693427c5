//! The protocol's own rules, shown on a real server: what it reads, what it never does, and what
//! its numbers look like.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::time::Duration;

use futures_util::future::join_all;
use tenure_bed::{Cluster, Flavour, Redis};
use tenure_core::{
    Acquisition, EventKind, Fence, ForceRequest, Forced, Grant, Holder, HolderId, Key,
    LeaseRequest, LeaseStore as _, Note, Release, RenewRequest, Renewal, Token, Ttl, Wake,
};
use tenure_redis::RedisStore;

const TTL: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);

/// With more than the default time: the servers of several tests share the machine's few cores.
async fn connect(url: &str) -> RedisStore {
    let url = format!("{url}?timeout=5s");
    RedisStore::connect(&url).await.unwrap()
}

fn request(name: &str) -> LeaseRequest {
    let key = Key::new(name).unwrap();
    LeaseRequest::new(key, Holder::new("test"), Ttl::new(TTL).unwrap())
}

async fn granted(store: &RedisStore, request: &LeaseRequest) -> Grant {
    match store.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn is_held(store: &RedisStore, request: &LeaseRequest) -> bool {
    matches!(store.acquire(request).await.unwrap(), Acquisition::Held(_))
}

/// How often the server has carried out each command, within scripts too.
async fn calls(server: &Redis, command: &str) -> u64 {
    let info = server.call(&["INFO", "commandstats"]).await.to_string();
    let head = format!("cmdstat_{command}:calls=");
    let line = info.lines().find_map(|line| line.strip_prefix(&head));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_no_replica_is_asked_who_holds_a_lease() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let store = connect(&cluster.url()).await;
    for name in 0..60 {
        let one = request(&format!("name {name}"));
        granted(&store, &one).await;
        assert!(is_held(&store, &request(&format!("name {name}"))).await);
        let renewal = [RenewRequest::new(one.key.clone(), one.token, one.ttl)];
        let answers = store.renew(&renewal).await.unwrap();
        assert!(matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]));
        assert!(store.inspect(&one.key).await.unwrap().is_some());
        store.release(&one.key, one.token).await.unwrap();
    }
    let (mut primaries, mut replicas) = (0, 0);
    for node in cluster.nodes() {
        let role = node.call(&["INFO", "replication"]).await.to_string();
        let scripts = calls(node, "evalsha").await + calls(node, "eval").await;
        if role.contains("role:master") {
            primaries += scripts;
        } else {
            replicas += 1;
            // What scripts wrote comes here as plain writes; what they read does not.
            assert_eq!(scripts, 0, "a script was sent to a replica");
            assert_eq!(calls(node, "get").await, 0, "a replica was asked");
        }
    }
    assert!(primaries >= 240, "{primaries}");
    assert_eq!(replicas, 3);
}

#[tokio::test]
async fn r52_a_release_that_may_not_speak_leaves_no_lease_to_one_who_was_not_told() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let user = "ACL SETUSER mute on >pw ~* resetchannels +@all";
    let user: Vec<&str> = user.split(' ').collect();
    assert_eq!(server.call(&user).await.to_string(), "OK");
    let url = server.url().replace("redis://", "redis://mute:pw@");
    let mute = connect(&url).await;
    let store = connect(&server.url()).await;
    let (one, waiter, later) = (request("k"), request("k"), request("k"));
    let (waiter, later) = (waiter.in_line(TTL), later.in_line(TTL));
    let first = granted(&mute, &one).await;
    // They can hear, and would be told.
    let _wakes = store.listen(&waiter.key, waiter.token);
    assert!(is_held(&store, &waiter).await);
    assert!(is_held(&store, &later).await);
    // The publication fails inside of the script, after its first writes.
    let release = mute.release(&one.key, one.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    assert_eq!(server.call(&["EXISTS", "k"]).await.int(), Some(0));
    // Nobody loses the place: the first in line gets it by asking, and not the second.
    assert!(is_held(&store, &later).await);
    let second = granted(&store, &waiter).await;
    assert!(second.fence > first.fence);
}

#[tokio::test]
async fn r53_a_step_skips_a_bounded_number_of_dead_waiters_and_the_living_one_is_reached() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let store = connect(&server.url()).await;
    let one = request("k");
    granted(&store, &one).await;
    let dead = connect(&server.url()).await;
    let crowd = 500;
    for _ in 0..crowd {
        assert!(is_held(&dead, &request("k").in_line(TTL)).await);
    }
    let living = request("k").in_line(TTL);
    assert!(is_held(&store, &living).await);
    drop(dead);
    // The dead are known by that nobody listens to their channel any more.
    tenure_bed::until("the connection's end", TTL, async || {
        let channels = server.call(&["PUBSUB", "CHANNELS", "tenure:c:*"]).await;
        (channels.list().len() <= 1).then_some(())
    })
    .await;
    let (scripts, looks) = (
        calls(&server, "evalsha").await,
        calls(&server, "zpopmin").await,
    );
    store.release(&one.key, one.token).await.unwrap();
    let mut asked = 0;
    while is_held(&store, &living).await {
        asked += 1;
        assert!(asked < 100, "the living waiter is never reached");
    }
    let scripts = calls(&server, "evalsha").await - scripts;
    let looks = calls(&server, "zpopmin").await - looks;
    assert!(looks > crowd, "each of the dead was looked at: {looks}");
    assert!(looks <= scripts * 130, "{looks} looks in {scripts} scripts");
}

#[tokio::test]
async fn r54_the_largest_fences_are_exact_and_written_without_an_exponent() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let store = connect(&server.url()).await;
    let one = request("k");
    granted(&store, &one).await;
    store.release(&one.key, one.token).await.unwrap();
    let names = server.call(&["KEYS", "tenure:*}:f"]).await;
    let counter = names.list().first().unwrap().to_string();
    let last = (1_u64 << 53) - 5;
    server.call(&["SET", &counter, &last.to_string()]).await;
    let is_written = async |fence: u64| {
        let value = server.call(&["GET", "k"]).await.to_string();
        assert!(value.contains(&format!(":{fence}:")), "{value}");
    };
    let mut one = request("k");
    assert_eq!(granted(&store, &one).await.fence, Fence::new(last + 1));
    is_written(last + 1).await;
    // Handed on, too.
    for fence in last + 2..=last + 3 {
        let waiter = request("k").in_line(TTL);
        let mut wakes = store.listen(&waiter.key, waiter.token);
        assert!(is_held(&store, &waiter).await);
        let release = store.release(&one.key, one.token).await.unwrap();
        assert_eq!(release, Release::HandedOn);
        let wake = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
        let Wake::Granted(pushed) = wake else {
            panic!("{wake:?}");
        };
        assert_eq!(pushed.fence, Fence::new(fence));
        assert_eq!(granted(&store, &waiter).await.fence, Fence::new(fence));
        is_written(fence).await;
        one = waiter;
    }
    // With nobody to hand it on to.
    let release = store.release(&one.key, one.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    let kept = server.call(&["GET", &counter]).await.to_string();
    assert_eq!(kept, (last + 3).to_string());
}

#[tokio::test]
async fn r6_a_forced_release_is_noted_with_who_asked_whom_it_took_it_from_and_why() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let store = connect(&server.url()).await;
    let one = request("k");
    granted(&store, &one).await;
    let seen = store.inspect(&one.key).await.unwrap().unwrap();
    store.release(&one.key, one.token).await.unwrap();
    let next = request("k");
    granted(&store, &next).await;
    // What the operator saw is over: nothing is taken, and nothing noted.
    let force =
        ForceRequest::new(one.key.clone(), seen.mark.clone().unwrap(), "ann").because("it hangs");
    let answer = store.force(&force).await.unwrap();
    let Forced::Changed { current } = answer else {
        panic!("{answer:?}");
    };
    assert!(server.call(&["EXISTS", "k"]).await.int() == Some(1));
    assert_eq!(notes(&store).await, []);
    let force = ForceRequest::new(one.key.clone(), current.mark.unwrap(), "ann");
    let answer = store.force(&force.because("it hangs")).await.unwrap();
    assert!(matches!(answer, Forced::Done { .. }), "{answer:?}");
    let notes = notes(&store).await;
    let [note] = notes.as_slice() else {
        panic!("{notes:?}");
    };
    assert_eq!(note.kind, "lease_forced");
    assert!(
        note.text.starts_with("ann took `k` from test (pid "),
        "{note:?}"
    );
    assert!(note.text.ends_with(": it hangs"), "{note:?}");
    let again = ForceRequest::new(next.key.clone(), seen.mark.unwrap(), "ann");
    let answer = store.force(&again).await.unwrap();
    assert!(matches!(answer, Forced::NotHeld), "{answer:?}");
}

/// Everything that was noted.
async fn notes(store: &RedisStore) -> Vec<Note> {
    let page = tenure_core::RunStore::events(store, None, 100)
        .await
        .unwrap();
    let kinds = page.events.into_iter().map(|event| event.kind);
    let notes = kinds.filter_map(|kind| match kind {
        EventKind::Note(note) => Some(note),
        _ => None,
    });
    notes.collect()
}

#[tokio::test]
async fn r55_a_server_whose_clock_is_a_day_off_is_used_like_any_other() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    for by_ms in [DAY_MS, -DAY_MS] {
        let server = Redis::builder(Flavour::Redis)
            .tcp()
            .own_wall()
            .start()
            .await;
        server.step_wall(by_ms).await;
        let store = connect(&server.url()).await;
        let (one, waiter) = (request("k"), request("k").in_line(TTL));
        let first = granted(&store, &one).await;
        assert!(is_held(&store, &waiter).await);
        let view = store.inspect(&one.key).await.unwrap().unwrap();
        assert_eq!(view.queue_len, 1, "its place has not lapsed");
        let left = server.call(&["PTTL", "k"]).await.int().unwrap();
        assert!((1..=120_000).contains(&left), "{left}");
        let renewal = [RenewRequest::new(one.key.clone(), one.token, one.ttl)];
        let answers = store.renew(&renewal).await.unwrap();
        assert!(matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]));
        store.release(&one.key, one.token).await.unwrap();
        let second = granted(&store, &waiter).await;
        assert!(second.fence > first.fence);
    }
}

fn ttl(seconds: u64) -> Ttl {
    Ttl::new(Duration::from_secs(seconds)).unwrap()
}

#[tokio::test]
async fn r39_r41_renewals_share_a_request_and_each_is_answered_for_itself() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let names = ["short", "long", "enough", "taken", "free", "list", "text"];
    let requests = names.map(request);
    let mut fences = Vec::new();
    for one in &requests {
        fences.push(granted(&store, one).await.fence);
    }
    let renewal = |at: usize, seconds: u64| {
        let one = &requests[at];
        RenewRequest::new(one.key.clone(), one.token, ttl(seconds))
    };
    for gone in ["taken", "free", "list", "text"] {
        server.call(&["DEL", gone]).await;
    }
    granted(&store, &request("taken")).await;
    server.call(&["RPUSH", "list", "x"]).await;
    server.call(&["SET", "text", "theirs"]).await;
    let (had, long) = (TTL.as_secs(), 10 * TTL.as_secs());
    let seconds = [2 * had, long, 1, long, long, long, long];
    let asked: Vec<_> = (0..names.len())
        .map(|at| renewal(at, seconds[at]))
        .collect();
    let answers = store.renew(&asked).await.unwrap();
    for (at, lasts) in [(0, 2 * had), (1, long), (2, had)] {
        let Ok(Renewal::Renewed(grant)) = &answers[at] else {
            panic!("{}: {:?}", names[at], answers[at]);
        };
        assert_eq!(grant.fence, fences[at]);
        let left = grant.expires_at.since(grant.now);
        let most = Duration::from_secs(lasts);
        assert!(left <= most && left >= most / 2, "{}: {left:?}", names[at]);
        let pttl = server.call(&["PTTL", names[at]]).await.int().unwrap();
        assert!(pttl <= i64::try_from(most.as_millis()).unwrap());
    }
    for (at, by) in [(3, "test"), (4, ""), (5, "list"), (6, "string")] {
        let Ok(Renewal::Lost { by: found, .. }) = &answers[at] else {
            panic!("{}: {:?}", names[at], answers[at]);
        };
        let found = found.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(
            found.contains(by) && found.is_empty() == by.is_empty(),
            "{found}"
        );
    }
    assert_eq!(answers.len(), names.len());
    // By now the server has the script.
    let before = calls(&server, "evalsha").await;
    store.renew(&asked).await.unwrap();
    assert_eq!(calls(&server, "evalsha").await - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r39_r48_in_a_cluster_the_leases_of_a_slot_share_a_request() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let store = RedisStore::connect(&cluster.url()).await.unwrap();
    // Of two tags, and in turn, so that the answers have to be put back in order.
    let requests: Vec<_> = (0..40)
        .map(|at| request(&format!("{{{}}}{at}", ["one", "two"][at % 2])))
        .collect();
    let mut fences = Vec::new();
    for one in &requests {
        fences.push(granted(&store, one).await.fence);
    }
    let asked: Vec<_> = requests
        .iter()
        .map(|one| RenewRequest::new(one.key.clone(), one.token, ttl(600)))
        .collect();
    // The first time brings the script along.
    store.renew(&asked).await.unwrap();
    let before = scripts(&cluster).await;
    let answers = store.renew(&asked).await.unwrap();
    assert_eq!(scripts(&cluster).await - before, 2);
    let found: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Renewal::Renewed(grant)) => grant.fence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, fences);
}

/// How many scripts the nodes have run.
async fn scripts(cluster: &Cluster) -> u64 {
    let mut all = 0;
    for node in cluster.nodes() {
        all += calls(node, "evalsha").await;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r29_a_hundred_thousand_contended_locks_need_no_new_connection() {
    const LOCKS: usize = 100_000;
    /// Locks that are asked for at a time.
    const AT_A_TIME: usize = 1000;
    let server = Redis::builder(Flavour::Redis).unix_only().start().await;
    let (owner, store) = (connect(&server.url()).await, connect(&server.url()).await);
    let token = Token::random();
    // All of them in one step: each asked for on its own would take as long as the test.
    let fill = "for i = 0, ARGV[1] - 1 do redis.call('SET', 'k' .. i, ARGV[2], 'PX', 600000) end";
    let held = format!("tn1:{token}:7:1000:{}", HolderId::random());
    let filled = server
        .call(&["EVAL", fill, "0", &LOCKS.to_string(), &held])
        .await;
    assert!(!filled.is_error(), "{filled}");
    let clients = || async { server.info("connected_clients").await };
    let before = clients().await;
    let mut waiters = Vec::with_capacity(LOCKS);
    for first in (0..LOCKS).step_by(AT_A_TIME) {
        let asked = (first..first + AT_A_TIME).map(async |number| {
            let waiter = request(&format!("k{number}")).in_line(5 * TTL);
            let wakes = store.listen(&waiter.key, waiter.token);
            assert!(is_held(&store, &waiter).await);
            (waiter, wakes)
        });
        waiters.extend(join_all(asked).await);
    }
    assert_eq!(clients().await, before);
    let channels = server.call(&["PUBSUB", "CHANNELS", "tenure:c:*"]).await;
    assert_eq!(channels.list().len(), 2, "one for each client");
    // And each of them is heard.
    for at in (0..LOCKS).step_by(LOCKS / 10) {
        let (waiter, wakes) = &mut waiters[at];
        let release = owner.release(&waiter.key, token).await.unwrap();
        assert_eq!(release, Release::HandedOn);
        let wake = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
        assert!(matches!(wake, Wake::Granted(_)), "{wake:?}");
    }
}
