//! Acquisitions and releases that are ready together are made in one request, and nobody notices:
//! each has the answer, the error and the deadline that it would have had alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use tenure_bed::{Flavour, Redis, Relay, until};
use tenure_core::{
    Acquisition, Cancellation, LeaseRequest, LeaseStore as _, Release, StoreError, StoreErrorKind,
    Token, Ttl, Wake,
};
use tenure_redis::RedisStore;

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server};

type Answers = Vec<Result<Acquisition, StoreError>>;

/// More than go in one request, so that there are several.
const MANY: usize = 40;
/// As many leave alone before others gather.
const FEW: usize = 4;

fn requests(count: usize) -> Vec<LeaseRequest> {
    (0..count).map(|n| request(&format!("lock {n}"))).collect()
}

/// Asks for all at the same moment. The first few find hardly anything under way and leave alone;
/// the others go together.
async fn acquire_all(store: &RedisStore, all: &[LeaseRequest]) -> Answers {
    join_all(all.iter().map(|one| store.acquire(one))).await
}

async fn release_all(store: &RedisStore, all: &[LeaseRequest]) -> Vec<Release> {
    let releases = all.iter().map(|one| store.release(&one.key, one.token));
    let answers = join_all(releases).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn fences(answers: &Answers) -> Vec<u64> {
    let fence = |answer: &Result<Acquisition, StoreError>| match answer {
        Ok(Acquisition::Granted(grant)) => grant.fence.get(),
        other => panic!("{other:?}"),
    };
    answers.iter().map(fence).collect()
}

/// Polls once.
async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// How many scripts the server has run.
async fn scripts(server: &Redis) -> u64 {
    let mut sum = 0;
    for name in ["cmdstat_evalsha", "cmdstat_eval"] {
        if let Some(line) = server.info(name).await {
            let mut fields = line.split(',');
            let calls = fields.find_map(|field| field.strip_prefix("calls="));
            sum += calls.unwrap().parse::<u64>().unwrap();
        }
    }
    sum
}

/// The fence counter of all locks on one server.
const COUNTER: &str = "tenure:{0}:f";

/// With more time for a request than a busy machine takes.
fn patient(url: &str) -> String {
    format!("{url}?timeout=30s")
}

/// A server that has the scripts of batches, and a store that was told so.
async fn warm() -> (Redis, RedisStore) {
    let (server, _) = server(redis().tcp()).await;
    let store = connect(&patient(&server.url())).await;
    let all = requests(MANY);
    fences(&acquire_all(&store, &all).await);
    release_all(&store, &all).await;
    (server, store)
}

#[tokio::test]
async fn r27_what_is_ready_together_is_one_request_and_each_has_its_own_answer() {
    let (server, store) = warm().await;
    let (all, before) = (requests(MANY), scripts(&server).await);
    let answers = acquire_all(&store, &all).await;
    // A few that go ahead, and two that share the others; a busy machine may tear a batch apart.
    let asked = scripts(&server).await - before;
    assert!(asked <= 12, "{asked} requests for {MANY} acquisitions");
    let first = fences(&answers);
    for one in &all {
        let value = server.call(&[b"GET", one.key.as_bytes()]).await.to_string();
        assert!(value.starts_with(&format!("tn1:{}:", one.token)), "{value}");
        assert!(value.ends_with(&one.holder.id.to_string()), "{value}");
        let left = server.call(&[b"PTTL", one.key.as_bytes()]).await;
        assert!(left.int().unwrap() > 0, "{left:?}");
    }
    let before = scripts(&server).await;
    let released = release_all(&store, &all).await;
    assert!(released.iter().all(|one| *one == Release::Freed));
    let asked = scripts(&server).await - before;
    assert!(asked <= 12, "{asked} requests for {MANY} releases");
    assert_eq!(server.call(&["EXISTS", "lock 7"]).await.int(), Some(0));
    // Fences grow for each, and a release of what is not held says so.
    let again = fences(&acquire_all(&store, &requests(MANY)).await);
    assert!(first.iter().zip(&again).all(|(first, again)| first < again));
    let released = release_all(&store, &all).await;
    assert!(released.iter().all(|one| *one == Release::NotHeld));
}

#[tokio::test]
async fn r10_r12_ttls_tokens_and_prefixes_are_each_ones_own_in_a_batch() {
    let (server, _warm) = warm().await;
    let store = connect(&format!("{}&prefix=mine:", patient(&server.url()))).await;
    let mut all = requests(MANY);
    for (n, one) in all.iter_mut().enumerate() {
        let seconds = 10 + u64::try_from(n).unwrap();
        one.ttl = Ttl::new(Duration::from_secs(seconds)).unwrap();
    }
    let first = acquire_all(&store, &all).await;
    for (one, answer) in all.iter().zip(&first) {
        let Ok(Acquisition::Granted(grant)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(grant.expires_at, grant.now + one.ttl.get());
        let name = [b"mine:", one.key.as_bytes()].concat();
        let left = server.call(&[b"PTTL".as_slice(), &name]).await.int();
        let most = i64::from(one.ttl.as_millis());
        assert!((most - 9_000..=most).contains(&left.unwrap()), "{left:?}");
    }
    // A request that is repeated finds its own grant, in a batch as well.
    let again = acquire_all(&store, &all).await;
    assert_eq!(fences(&first), fences(&again));
}

#[tokio::test]
async fn r7_e65_e66_trouble_with_one_lock_of_a_batch_is_that_locks_alone() {
    let (server, store) = warm().await;
    let all = requests(MANY);
    server.call(&["HSET", "lock 3", "a", "b"]).await;
    server.call(&["SET", "lock 5", "a stranger's"]).await;
    server
        .call(&["SET", "tenure:{0}:w:lock 17", "no waiters"])
        .await;
    for (n, answer) in acquire_all(&store, &all).await.into_iter().enumerate() {
        match (n, answer) {
            (3 | 5, Ok(Acquisition::Held(_))) => {}
            (17, Err(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains("WRONGTYPE"), "{error}");
            }
            (3 | 5 | 17, other) => panic!("{n}: {other:?}"),
            (_, answer) => assert!(
                matches!(answer, Ok(Acquisition::Granted(_))),
                "{n}: {answer:?}"
            ),
        }
    }
    let kept = server.call(&["GET", "lock 5"]).await.to_string();
    assert_eq!(kept, "a stranger's");
    // And so it is with releases.
    let released = release_all(&store, &all).await;
    for (n, released) in released.into_iter().enumerate() {
        let expected = match n {
            3 | 5 | 17 => Release::NotHeld,
            _ => Release::Freed,
        };
        assert_eq!(released, expected, "{n}");
    }
    assert_eq!(server.call(&["TYPE", "lock 3"]).await.to_string(), "hash");
}

#[tokio::test]
async fn r7_e66_with_a_counter_that_holds_no_number_no_lock_of_a_batch_is_granted() {
    let (server, store) = warm().await;
    let all = requests(MANY);
    server.call(&["SET", COUNTER, "ten"]).await;
    each_is_refused(&store, &all).await;
    server.call(&["DEL", COUNTER]).await;
    server.call(&["RPUSH", COUNTER, "x"]).await;
    each_is_refused(&store, &all).await;
    let locks = server.call(&["KEYS", "lock *"]).await.list().len();
    assert_eq!(locks, 0, "nothing was written");
    server.call(&["DEL", COUNTER]).await;
    fences(&acquire_all(&store, &all).await);
}

async fn each_is_refused(store: &RedisStore, all: &[LeaseRequest]) {
    for answer in acquire_all(store, all).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("delete it"), "{error}");
        assert!(!error.outcome_is_unknown(), "{error}");
    }
}

#[tokio::test]
async fn r20_r26_a_batch_of_releases_hands_each_lock_to_its_next_and_tells_them() {
    let (server, store) = warm().await;
    let other = connect(&patient(&server.url())).await;
    let all = requests(MANY);
    fences(&acquire_all(&store, &all).await);
    let waiters: Vec<_> = requests(MANY)
        .into_iter()
        .map(|one| one.in_line(TTL))
        .collect();
    let mut wakes: Vec<_> = waiters
        .iter()
        .map(|one| other.listen(&one.key, one.token))
        .collect();
    // So many in one request are more than one step may look at; all get their place.
    for answer in acquire_all(&other, &waiters).await {
        match answer {
            Ok(Acquisition::Held(held)) => assert_eq!(held.place.unwrap().position, 1),
            other => panic!("{other:?}"),
        }
    }
    let released = release_all(&store, &all).await;
    assert!(released.iter().all(|one| *one == Release::HandedOn));
    for (one, wakes) in waiters.iter().zip(&mut wakes) {
        let wake = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
        assert!(matches!(wake, Wake::Granted(_)), "{}: {wake:?}", one.key);
    }
    let released = release_all(&other, &waiters).await;
    assert!(released.iter().all(|one| *one == Release::Freed));
}

#[tokio::test]
async fn r31_who_comes_in_one_batch_for_one_lock_stands_in_line_in_that_order() {
    let (_server, store) = warm().await;
    let all: Vec<_> = (0..MANY).map(|_| request("k").in_line(TTL)).collect();
    let answers = acquire_all(&store, &all).await;
    let mut places = BTreeSet::new();
    for answer in &answers[1..] {
        match answer {
            Ok(Acquisition::Held(held)) => {
                places.insert(held.place.unwrap().position);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(answers[0], Ok(Acquisition::Granted(_))));
    let expected: BTreeSet<u32> = (1..u32::try_from(MANY).unwrap()).collect();
    assert_eq!(places, expected);
}

#[tokio::test]
async fn r3_of_two_releases_in_a_batch_for_one_lease_only_one_frees_it() {
    let (_server, store) = warm().await;
    let one = request("k");
    granted(&store, &one).await;
    let twice: Vec<_> = std::iter::repeat_n(one, MANY).collect();
    let released = release_all(&store, &twice).await;
    let freed = released
        .iter()
        .filter(|one| **one == Release::Freed)
        .count();
    assert_eq!(freed, 1, "{released:?}");
}

#[tokio::test]
async fn r47_e73_a_batch_brings_its_script_when_the_server_forgot_it() {
    let (server, store) = warm().await;
    for _ in 0..3 {
        server.call(&["SCRIPT", "FLUSH"]).await;
        let all = requests(MANY);
        fences(&acquire_all(&store, &all).await);
        server.call(&["SCRIPT", "FLUSH"]).await;
        release_all(&store, &all).await;
    }
}

#[tokio::test]
async fn e69_a_key_that_may_not_be_used_is_refused_and_the_rest_of_the_batch_is_not() {
    let (server, _warm) = warm().await;
    let user = "ACL SETUSER narrow on >pw ~mine:* ~tenure:* &* +@all";
    let user: Vec<&str> = user.split(' ').collect();
    assert_eq!(server.call(&user).await.to_string(), "OK");
    let url = patient(&server.url()).replace("redis://", "redis://narrow:pw@");
    let store = connect(&url).await;
    let names = (0..MANY).map(|n| format!("{}{n}", if n == 9 { "other:" } else { "mine:" }));
    let all: Vec<_> = names.map(|name| request(&name)).collect();
    for (n, answer) in acquire_all(&store, &all).await.into_iter().enumerate() {
        match answer {
            Err(error) if n == 9 => assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}"),
            answer => assert!(matches!(answer, Ok(Acquisition::Granted(_))), "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn e69_without_the_right_to_commands_for_many_keys_a_batch_does_it_one_by_one() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = Redis::builder(flavour).tcp().start().await;
        for lacks in ["-mget -mset", "-mset", "-msetnx", "-pexpireat"] {
            let user = format!("ACL SETUSER old reset on >pw ~* &* +@all {lacks}");
            let user: Vec<&str> = user.split(' ').collect();
            assert_eq!(server.call(&user).await.to_string(), "OK");
            server.call(&["ACL", "LOG", "RESET"]).await;
            let url = patient(&server.url()).replace("redis://", "redis://old:pw@");
            let store = connect(&url).await;
            for _ in 0..3 {
                let all = requests(MANY);
                fences(&acquire_all(&store, &all).await);
                let left = server.call(&["PTTL", "lock 7"]).await.int();
                assert!(left.unwrap() > 0, "{lacks}: {left:?}");
                let released = release_all(&store, &all).await;
                assert!(released.iter().all(|one| *one == Release::Freed));
            }
            // It was tried, and then not again: an administrator's log is not filled with it.
            let log = server.call(&["ACL", "LOG"]).await;
            assert!(log.list().len() <= 2, "{lacks}: {log:?}");
        }
    }
}

#[tokio::test]
async fn r50_e70_a_server_that_takes_no_writes_says_so_to_each_of_a_batch() {
    let (server, store) = warm().await;
    server.call(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for answer in acquire_all(&store, &requests(MANY)).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(!error.outcome_is_unknown(), "{error}");
    }
    server.call(&["REPLICAOF", "NO", "ONE"]).await;
    fences(&acquire_all(&store, &requests(MANY)).await);
}

#[tokio::test]
async fn r5_e75_a_full_server_refuses_each_of_a_batch_and_releases_all() {
    let (server, store) = warm().await;
    let all = requests(MANY);
    fences(&acquire_all(&store, &all).await);
    server.call(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let others: Vec<_> = (0..MANY).map(|n| request(&format!("more {n}"))).collect();
    for answer in acquire_all(&store, &others).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("OOM"), "{error}");
    }
    let released = release_all(&store, &all).await;
    assert!(released.iter().all(|one| *one == Release::Freed));
}

#[tokio::test]
async fn r3_r11_e84_a_batch_without_an_answer_is_unknown_to_each_and_no_later_than_its_deadline() {
    let (server, _warm) = warm().await;
    let store = connect(&format!("{}?timeout=500ms", server.url())).await;
    fences(&acquire_all(&store, &requests(MANY)).await);
    server.pause();
    let others: Vec<_> = (0..MANY).map(|n| request(&format!("more {n}"))).collect();
    let answers = tokio::time::timeout(PATIENCE, acquire_all(&store, &others)).await;
    for answer in answers.unwrap() {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        // Who had not left when the connection was given up, knows that nothing happened.
        let has_left = !error.to_string().contains("no connection");
        assert_eq!(error.outcome_is_unknown(), has_left, "{error}");
    }
    server.resume();
    // They were sent, so they may have happened, and cancelling settles it.
    for one in &others {
        until("the server answers again", PATIENCE, async || {
            store.cancel(&one.key, one.token).await.ok()
        })
        .await;
        granted(
            &store,
            &LeaseRequest::new(one.key.clone(), one.holder.clone(), one.ttl),
        )
        .await;
    }
}

#[tokio::test]
async fn r61_a_batch_whose_connection_breaks_is_asked_again_by_each() {
    let (server, _warm) = warm().await;
    let relay = Relay::to(&server);
    let store = connect(&patient(&relay.url())).await;
    fences(&acquire_all(&store, &requests(MANY)).await);
    relay.stall();
    let others: Vec<_> = (0..MANY).map(|n| request(&format!("more {n}"))).collect();
    let asking = acquire_all(&store, &others);
    let cutting = async {
        // All have been polled by now, and wait or are under way.
        tokio::task::yield_now().await;
        relay.cut();
        relay.heal();
    };
    let (answers, ()) = tokio::join!(asking, cutting);
    fences(&answers);
}

#[tokio::test]
async fn r13_a_caller_that_is_dropped_leaves_nothing_whether_it_was_sent_or_not() {
    let (server, store) = warm().await;
    for sent in 0..12 {
        let all: Vec<_> = (0..MANY).map(|n| request(&format!("gone {n}"))).collect();
        server.pause();
        {
            let asking = acquire_all(&store, &all);
            let mut asking = pin!(asking);
            // Polled once, they wait; as the runtime goes on, they leave in batches.
            for _ in 0..sent {
                assert!(is_pending(asking.as_mut()).await);
                tokio::task::yield_now().await;
            }
        }
        let cancels = all.iter().map(|one| store.cancel(&one.key, one.token));
        let cancelling = join_all(cancels);
        server.resume();
        for cancelled in cancelling.await {
            let cancelled = cancelled.unwrap();
            let is_fine = matches!(cancelled, Cancellation::Nothing | Cancellation::Released);
            assert!(is_fine, "{cancelled:?}");
        }
        for one in &all {
            let there = server.call(&[b"EXISTS", one.key.as_bytes()]).await;
            assert_eq!(there.int(), Some(0), "{} is left, {sent}", one.key);
        }
    }
}

#[tokio::test]
async fn r13_who_gave_up_before_leaving_is_not_asked_for() {
    let (server, store) = warm().await;
    let before = scripts(&server).await;
    let all = requests(MANY);
    {
        let asking = acquire_all(&store, &all);
        // Only the first few have left by then, each alone.
        assert!(is_pending(pin!(asking)).await);
    }
    tokio::task::yield_now().await;
    let last = request("last");
    granted(&store, &last).await;
    let asked = scripts(&server).await - before;
    assert!(asked <= 5, "{asked}");
    for one in &all[FEW..] {
        let there = server.call(&[b"EXISTS", one.key.as_bytes()]).await;
        assert_eq!(there.int(), Some(0), "{}", one.key);
    }
}

/// Many tasks, few locks, everybody in line: never two at once, and fences only grow.
async fn crowd(store: &RedisStore, tasks: usize, turns: usize) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    type Lock = (AtomicBool, AtomicU64);
    let locks: Arc<Vec<Lock>> = Arc::new((0..5).map(|_| Lock::default()).collect());
    let running = (0..tasks).map(|task| {
        let (store, locks) = (store.clone(), locks.clone());
        tokio::spawn(async move {
            for turn in 0..turns {
                let at = (task + turn) % locks.len();
                let mut one = request(&format!("crowd {at}")).in_line(TTL);
                one.token = Token::random();
                let mut wakes = store.listen(&one.key, one.token);
                let (grant, _) = crate::steps::turn(&store, &one, &mut wakes).await;
                let (is_taken, fence) = &locks[at];
                assert!(!is_taken.swap(true, Ordering::SeqCst), "two at once");
                let before = fence.swap(grant.fence.get(), Ordering::SeqCst);
                assert!(before < grant.fence.get());
                tokio::task::yield_now().await;
                assert!(is_taken.swap(false, Ordering::SeqCst));
                store.release(&one.key, one.token).await.unwrap();
            }
        })
    });
    for task in join_all(running).await {
        task.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_r62_a_crowd_on_few_locks_is_never_two_at_once_on_either_server() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = Redis::builder(flavour).tcp().start().await;
        let store = connect(&patient(&server.url())).await;
        crowd(&store, 64, 6).await;
        // Nobody is left in line.
        for at in 0..5 {
            let one = request(&format!("crowd {at}"));
            granted(&store, &one).await;
            held(&store, &request(&format!("crowd {at}"))).await;
        }
    }
}
