//! A majority of independent servers: the whole lease suite, also with servers that are down or
//! hang, and what only a quorum can show.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

#[path = "harness/barred.rs"]
mod barred;
#[path = "harness/quorum.rs"]
mod harness;
#[path = "harness/together.rs"]
mod together;

use std::time::Duration;

use harness::Harness;
use tenure_bed::{Flavour, Quorum, Redis, RedisBuilder};
use tenure_core::{
    Acquisition, Cancellation, Clock as _, Fence, ForceRequest, Forced, Grant, Holder, Key,
    LeaseRequest, LeaseStore as _, Occupant, Release, RenewRequest, Renewal, StoreError,
    StoreErrorKind, SystemClock, Ttl, Wake,
};
use tenure_redis::{QuorumStore, RedisOptions, Severity};

mod five_servers {
    tenure_conformance::lease_suite!(super::Harness::five().await);
}

/// Cases that share their servers, each with names of its own.
mod topologies {
    use std::sync::Arc;

    use tenure_bed::{Flavour, Quorum, RedisBuilder};
    use tenure_conformance::lease::{NAMES, check};

    use super::{Harness, together};

    async fn of(flavour: Flavour, count: usize) -> Quorum {
        Quorum::start_with(flavour, count, RedisBuilder::own_wall).await
    }

    async fn every_case(quorum: Quorum, without: &'static [usize], parameters: &'static str) {
        let quorum = Arc::new(quorum);
        together::pass(NAMES.iter().copied().enumerate(), |number, case| {
            let quorum = quorum.clone();
            async move {
                let mut harness = Harness::part(&quorum, number, without, parameters).await;
                harness.is_alone = together::is_alone(case);
                check(case, Arc::new(harness)).await;
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_with_one_of_five_servers_down() {
        let quorum = of(Flavour::Redis, 5).await;
        quorum.nodes()[3].kill();
        every_case(quorum, &[3], "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_with_one_of_five_servers_hung() {
        let quorum = of(Flavour::Redis, 5).await;
        quorum.nodes()[1].pause();
        every_case(quorum, &[1], "").await;
        // The bed ends it.
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_on_three_valkeys() {
        every_case(of(Flavour::Valkey, 3).await, &[], "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_without_fences() {
        every_case(of(Flavour::Redis, 3).await, &[], "&fenced=false").await;
    }
}

const TTL: Duration = Duration::from_secs(120);

async fn five() -> (Quorum, QuorumStore) {
    let quorum = Quorum::start(Flavour::Redis, 5).await;
    let store = patient(&quorum).await;
    (quorum, store)
}

/// The other tests use the same few cores, so the servers get more than their default time.
const PATIENCE: &str = "node_timeout=4s&timeout=20s&connect_timeout=20s";

async fn patient(quorum: &Quorum) -> QuorumStore {
    let url = format!("{}?{PATIENCE}", quorum.url());
    QuorumStore::connect(&url).await.unwrap()
}

fn request(name: &str) -> LeaseRequest {
    let key = Key::new(name).unwrap();
    LeaseRequest::new(key, Holder::new("test"), Ttl::new(TTL).unwrap())
}

async fn granted(store: &QuorumStore, request: &LeaseRequest) -> Grant {
    match store.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn renewed(store: &QuorumStore, request: &LeaseRequest) -> Result<Renewal, StoreError> {
    let renewal = RenewRequest::new(request.key.clone(), request.token, request.ttl);
    store.renew(&[renewal]).await.unwrap().remove(0)
}

async fn has(node: &Redis, key: &str) -> bool {
    node.call(&["EXISTS", key]).await.int() == Some(1)
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let limit = Duration::from_secs(60);
    tenure_bed::until(what, limit, async || is_so().await.then_some(())).await;
}

/// Waits until no server has the key any more.
async fn gone_everywhere(quorum: &Quorum, key: &str) {
    for node in quorum.nodes() {
        until("the vote is taken back", async || !has(node, key).await).await;
    }
}

#[tokio::test]
async fn r71_a_server_that_hangs_is_waited_for_no_longer_than_its_short_time() {
    let quorum = Quorum::start(Flavour::Redis, 5).await;
    let store = patient(&quorum).await;
    let clock = SystemClock;
    quorum.nodes()[2].pause();
    let mut best = TTL;
    for round in 0..100 {
        let one = request(&format!("k{round}"));
        let began = clock.now();
        granted(&store, &one).await;
        store.release(&one.key, one.token).await.unwrap();
        best = best.min(clock.now().since(began));
        if best < Duration::from_millis(250) {
            break;
        }
    }
    // Four of five have answered long before. The best of many, because the machine may be busy.
    assert!(best < Duration::from_millis(250), "{best:?}");
}

#[tokio::test]
async fn r71_three_hung_servers_of_five_are_an_error_soon_and_not_a_grant() {
    let quorum = Quorum::start(Flavour::Redis, 5).await;
    let url = format!("{}?node_timeout=500ms", quorum.url());
    let store = QuorumStore::connect(&url).await.unwrap();
    for node in &quorum.nodes()[..3] {
        node.pause();
    }
    let began = SystemClock.now();
    let error = store.acquire(&request("k")).await.unwrap_err();
    assert!(SystemClock.now().since(began) < TTL / 4);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.outcome_is_unknown());
    assert!(error.to_string().contains("3 are needed"), "{error}");
    for node in &quorum.nodes()[..3] {
        node.resume();
    }
    gone_everywhere(&quorum, "k").await;
    granted(&patient(&quorum).await, &request("k")).await;
}

#[tokio::test]
async fn r71_where_nothing_is_said_a_server_has_50_ms_and_no_more() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    let store = QuorumStore::connect(&quorum.url()).await.unwrap();
    for node in &quorum.nodes()[..2] {
        node.pause();
    }
    let mut best = TTL;
    for round in 0..20 {
        let began = SystemClock.now();
        let asked = store.acquire(&request(&format!("k{round}"))).await;
        assert_eq!(asked.unwrap_err().kind(), StoreErrorKind::Unavailable);
        best = best.min(SystemClock.now().since(began));
        if best < Duration::from_secs(1) {
            break;
        }
    }
    // Asked once, and once more to take back what the third granted. The best of many, because the
    // machine may be busy.
    let bounds = Duration::from_millis(50)..Duration::from_secs(1);
    assert!(bounds.contains(&best), "{best:?}");
}

#[tokio::test]
async fn r71_what_a_hung_server_granted_late_is_released_with_the_rest() {
    let (quorum, store) = five().await;
    let one = request("k");
    quorum.nodes()[4].pause();
    granted(&store, &one).await;
    let release = store.release(&one.key, one.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    quorum.nodes()[4].resume();
    gone_everywhere(&quorum, "k").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r71_losers_take_back_every_vote_and_somebody_wins_also_with_an_even_number() {
    let quorum = Quorum::start(Flavour::Redis, 4).await;
    let stores = [patient(&quorum).await, patient(&quorum).await];
    for round in 0..20 {
        let key = format!("k{round}");
        let racers = stores.each_ref().map(|store| {
            let (store, one) = (store.clone(), request(&key));
            tokio::spawn(async move {
                // As the lock layer does: again after the time it was told.
                loop {
                    match store.acquire(&one).await.unwrap() {
                        Acquisition::Granted(grant) => {
                            store.release(&one.key, one.token).await.unwrap();
                            return grant.fence;
                        }
                        Acquisition::Held(held) => {
                            let pause = held.ask_again_after;
                            tokio::time::sleep(pause).await; // tidy: allow(sleep) as advised
                        }
                        other => panic!("{other:?}"),
                    }
                }
            })
        });
        let limit = Duration::from_secs(60);
        let fences = tokio::time::timeout(limit, futures_util::future::join_all(racers));
        let fences: Vec<Fence> = fences
            .await
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_ne!(fences[0], fences[1], "round {round}");
        gone_everywhere(&quorum, &key).await;
    }
}

#[tokio::test]
async fn r71_a_lease_lasts_as_long_as_the_shortest_vote_of_its_majority() {
    let (quorum, store) = five().await;
    let mut one = request("k");
    granted(&store, &one).await;
    for node in quorum.nodes() {
        until("all votes", async || has(node, "k").await).await;
    }
    for node in &quorum.nodes()[..3] {
        node.call(&["PEXPIRE", "k", "60000"]).await;
    }
    one.ttl = Ttl::new(Duration::from_secs(20)).unwrap();
    let again = granted(&store, &one).await;
    let left = again.expires_at.since(again.now);
    assert!(left <= Duration::from_secs(60), "{left:?}");
    assert!(left >= Duration::from_secs(20), "{left:?}");
}

#[tokio::test]
async fn r62_r71_fences_grow_across_majorities_whose_clocks_disagree() {
    let quorum = Quorum::start_with(Flavour::Redis, 3, RedisBuilder::own_wall).await;
    // Fences begin with the servers' clocks, and one is an hour ahead.
    quorum.nodes()[0].step_wall(3_600_000).await;
    let store = patient(&quorum).await;
    let mut last = Fence::NONE;
    for round in 0..12 {
        let away = &quorum.nodes()[round % 3];
        away.pause();
        let one = request("k");
        let grant = granted(&store, &one).await;
        assert!(
            grant.fence > last,
            "round {round}: {} after {last}",
            grant.fence
        );
        last = grant.fence;
        let view = store.inspect(&one.key).await.unwrap().unwrap();
        assert_eq!(view.fence(), Some(last), "round {round}");
        store.release(&one.key, one.token).await.unwrap();
        away.resume();
        gone_everywhere(&quorum, "k").await;
    }
}

/// What that server then still has is no second place that was left.
#[tokio::test]
async fn r11_a_cancellation_that_one_server_did_not_do_leaves_one_place_only() {
    let (quorum, store) = five().await;
    let other = &quorum.nodes()[2];
    for round in 0..20 {
        let holder = request(&format!("k{round}"));
        granted(&store, &holder).await;
        let waiter = request(&format!("k{round}")).in_line(TTL);
        let waits = store.acquire(&waiter).await.unwrap();
        assert!(matches!(waits, Acquisition::Held(_)), "{waits:?}");
        let name = format!("tenure:*}}:w:k{round}");
        let has_place = async || !other.call(&["KEYS", &name]).await.list().is_empty();
        until("that server has the place too", has_place).await;
        other
            .call(&["ACL", "SETUSER", "default", "-@scripting"])
            .await;
        let cancelled = store.cancel(&waiter.key, waiter.token).await.unwrap();
        assert_eq!(cancelled, Cancellation::LeftQueue);
        other.call(&["ACL", "SETUSER", "default", "+@all"]).await;
        let again = store.cancel(&waiter.key, waiter.token).await.unwrap();
        assert_eq!(again, Cancellation::Nothing, "round {round}");
        until("the place is gone", async || !has_place().await).await;
    }
}

#[tokio::test]
async fn r72_a_renewal_needs_a_majority_and_makes_no_new_votes() {
    let (quorum, store) = five().await;
    let one = request("k");
    let grant = granted(&store, &one).await;
    for node in quorum.nodes() {
        until("all votes", async || has(node, "k").await).await;
    }
    for node in &quorum.nodes()[..2] {
        node.call(&["DEL", "k"]).await;
    }
    match renewed(&store, &one).await.unwrap() {
        Renewal::Renewed(again) => assert_eq!(again.fence, grant.fence),
        other => panic!("{other:?}"),
    }
    for node in &quorum.nodes()[..2] {
        assert!(!has(node, "k").await, "counted out, and not added again");
    }
    quorum.nodes()[2].call(&["DEL", "k"]).await;
    let lost = renewed(&store, &one).await.unwrap();
    assert!(matches!(lost, Renewal::Lost { by: None, .. }), "{lost:?}");
    assert_eq!(
        store.release(&one.key, one.token).await.unwrap(),
        Release::NotHeld
    );
    gone_everywhere(&quorum, "k").await;
}

#[tokio::test]
async fn r72_a_renewal_that_too_few_answer_is_unknown_and_not_a_loss() {
    let (quorum, store) = five().await;
    let one = request("k");
    granted(&store, &one).await;
    for node in &quorum.nodes()[..3] {
        node.pause();
    }
    let error = renewed(&store, &one).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.outcome_is_unknown());
    for node in &quorum.nodes()[..3] {
        node.resume();
    }
    until("the lease is renewed", async || {
        matches!(renewed(&store, &one).await, Ok(Renewal::Renewed(_)))
    })
    .await;
}

#[tokio::test]
async fn r21_a_waiter_is_told_when_a_majority_is_free() {
    let quorum = Quorum::start(Flavour::Redis, 5).await;
    let url = format!("{}?{PATIENCE}&poll=5s", quorum.url());
    let store = QuorumStore::connect(&url).await.unwrap();
    let other = QuorumStore::connect(&url).await.unwrap();
    let (one, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &one).await;
    let mut wakes = other.listen(&waiter.key, waiter.token);
    let asked = other.acquire(&waiter).await.unwrap();
    assert!(matches!(asked, Acquisition::Held(_)), "{asked:?}");
    store.release(&one.key, one.token).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(30), wakes.next());
    assert_eq!(woken.await.unwrap(), Wake::Changed);
    granted(&other, &waiter).await;
}

#[tokio::test]
async fn f37_the_queues_of_the_servers_end_where_max_waiters_says() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    let url = format!("{}?{PATIENCE}&max_waiters=2", quorum.url());
    let store = QuorumStore::connect(&url).await.unwrap();
    granted(&store, &request("k")).await;
    for _ in 0..2 {
        let waiter = request("k").in_line(TTL);
        let answer = store.acquire(&waiter).await.unwrap();
        assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
    }
    let error = store.acquire(&request("k").in_line(TTL)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    for part in ["acquire a lease", "127.0.0.1:", "2 wait", "max_waiters"] {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
    // Who only asks takes no place.
    let asked = store.acquire(&request("k")).await.unwrap();
    assert!(matches!(asked, Acquisition::Held(_)), "{asked:?}");
}

/// A holder's fence is agreed on by three of five; two did not hear of it, and keep their own.
#[tokio::test]
async fn r35_r72_servers_that_know_no_agreed_fence_do_not_outvote_the_one_that_does() {
    let (quorum, store) = five().await;
    let (before, holder) = (request("k"), request("k"));
    let fence = granted(&store, &holder).await.fence;
    until("every server has its vote", async || {
        let mut votes = 0;
        for node in quorum.nodes() {
            votes += usize::from(has(node, "k").await);
        }
        votes == 5
    })
    .await;
    let mut values = Vec::new();
    for node in quorum.nodes() {
        let reply = node.call(&["GET", "k"]).await;
        values.push(String::from_utf8(reply.bytes().to_vec()).unwrap());
    }
    let agreed = format!(":0{}:", fence.get());
    let knows = values.iter().position(|value| value.contains(&agreed));
    let others = (0..5).filter(|number| Some(*number) != knows);
    for (nth, number) in others.enumerate() {
        let node = &quorum.nodes()[number];
        if nth < 2 {
            let mut parts: Vec<&str> = values[number].split(':').collect();
            let own = (fence.get() - 251).to_string();
            parts[2] = &own;
            let value = parts.join(":");
            node.call(&["SET", "k", &value, "KEEPTTL"]).await;
        } else {
            node.pause();
        }
    }
    let told = match renewed(&store, &before).await.unwrap() {
        Renewal::Lost {
            by: Some(Occupant::Holder { fence, .. }),
            ..
        } => fence,
        other => panic!("{other:?}"),
    };
    assert_eq!(told, fence, "a renewal");
    let told = match store.acquire(&before).await.unwrap() {
        Acquisition::Held(held) => match held.by {
            Occupant::Holder { fence, .. } => fence,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(told, fence, "a refusal");
    let view = store.inspect(&holder.key).await.unwrap().unwrap();
    assert_eq!(view.fence(), Some(fence), "a look");
}

#[tokio::test]
async fn r6_the_holder_is_told_by_each_server_whose_vote_is_taken_from_it() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    let url = format!("{}?{PATIENCE}", quorum.url());
    let owner = QuorumStore::connect(&url).await.unwrap();
    let operator = QuorumStore::connect(&url).await.unwrap();
    let one = request("k");
    let mut wakes = owner.listen(&one.key, one.token);
    granted(&owner, &one).await;
    let view = operator.inspect(&one.key).await.unwrap().unwrap();
    let order = ForceRequest::new(one.key.clone(), view.mark.unwrap(), "operator");
    let forced = operator.force(&order).await.unwrap();
    assert!(matches!(forced, Forced::Done { .. }), "{forced:?}");
    let woken = tokio::time::timeout(Duration::from_secs(30), wakes.next());
    assert_eq!(woken.await.unwrap(), Wake::Changed);
    let renewal = renewed(&owner, &one).await;
    assert!(matches!(renewal, Ok(Renewal::Lost { .. })), "{renewal:?}");
}

#[tokio::test]
async fn e34_r71_what_is_no_quorum_is_refused() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    let ports: Vec<u16> = quorum.nodes().iter().map(Redis::port).collect();
    let (a, b) = (ports[0], ports[1]);
    for (url, part) in [
        (format!("redis+quorum://127.0.0.1:{a}"), "at least 3"),
        (
            format!("redis+quorum://127.0.0.1:{a},127.0.0.1:{b}"),
            "at least 3",
        ),
        (
            format!("redis+quorum://127.0.0.1:{a},127.0.0.1:{b},127.0.0.1:{a}"),
            "twice",
        ),
        (
            format!("redis+quorum://127.0.0.1:{a},127.0.0.1:{b},localhost:{a}"),
            "count twice",
        ),
    ] {
        let error = QuorumStore::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let url = format!("redis://127.0.0.1:{a}?fenced=false");
    let error = RedisOptions::from_url(&url).unwrap_err().to_string();
    assert!(error.contains("redis+quorum"), "{error}");
}

#[tokio::test]
async fn e34_a_server_that_comes_later_gets_a_vote_if_it_is_none_of_the_others() {
    let quorum = Quorum::start(Flavour::Redis, 4).await;
    let ports: Vec<u16> = quorum.nodes().iter().map(Redis::port).collect();
    let late = &quorum.nodes()[3];
    late.kill();
    let url = |last: &str| {
        format!(
            "redis+quorum://127.0.0.1:{},127.0.0.1:{},{last}?{PATIENCE}",
            ports[0], ports[1]
        )
    };
    let store = QuorumStore::connect(&url(&format!("localhost:{}", ports[3]))).await;
    let store = store.unwrap();
    late.launch().await;
    until("the late server votes", async || {
        let one = request("k");
        granted(&store, &one).await;
        let votes = has(late, "k").await;
        store.release(&one.key, one.token).await.unwrap();
        votes
    })
    .await;
    let error = QuorumStore::connect(&url(&format!("localhost:{}", ports[0]))).await;
    assert!(error.is_err());
}

#[tokio::test]
async fn r32_another_programs_lock_on_a_majority_excludes_ours_and_ours_excludes_it() {
    let (quorum, store) = five().await;
    let set = ["SET", "k", "theirs", "NX", "PX", "60000"];
    for node in &quorum.nodes()[..3] {
        node.call(&set).await;
    }
    let asked = store.acquire(&request("k")).await.unwrap();
    let Acquisition::Held(held) = asked else {
        panic!("{asked:?}")
    };
    assert!(matches!(held.by, Occupant::Foreign { .. }), "{held:?}");
    for node in &quorum.nodes()[..3] {
        assert_eq!(node.call(&["GET", "k"]).await.bytes(), b"theirs");
        node.call(&["DEL", "k"]).await;
    }
    granted(&store, &request("k")).await;
    let mut theirs = 0;
    for node in quorum.nodes() {
        theirs += u32::from(!node.call(&set).await.bytes().is_empty());
    }
    assert!(theirs < 3, "{theirs} of 5 would be theirs");
}

#[tokio::test]
async fn tasks_are_refused_with_what_to_use_instead() {
    let (_quorum, store) = five().await;
    let error = tenure_core::RunStore::tasks(&store).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("name one server"), "{error}");
}

#[tokio::test]
async fn r57_under_strict_safety_servers_that_forgot_have_no_vote_until_what_they_forgot_has_ended()
{
    // The longer one ends long after the servers are back, however slow the machine is.
    for (parameters, ttl_s, is_strict) in
        [("", 120, false), ("&safety=strict&max_ttl=12s", 12, true)]
    {
        let quorum = Quorum::start(Flavour::Redis, 3).await;
        let url = format!("{}?{PATIENCE}{parameters}", quorum.url());
        let store = QuorumStore::connect(&url).await.unwrap();
        let mut one = request("k");
        one.ttl = Ttl::new(Duration::from_secs(ttl_s)).unwrap();
        // New servers may have forgotten as well.
        until("the first grant", async || {
            matches!(store.acquire(&one).await, Ok(Acquisition::Granted(_)))
        })
        .await;
        for node in quorum.nodes() {
            // One whose own quarantine ended after the grant votes when it is asked again.
            until("all votes", async || {
                matches!(store.acquire(&one).await, Ok(Acquisition::Granted(_)))
                    && has(node, "k").await
            })
            .await;
        }
        let granted_at = SystemClock.now();
        let again = renewed(&store, &one).await.unwrap();
        assert!(matches!(again, Renewal::Renewed(_)), "{again:?}");
        // Two of three come back without their data.
        for node in &quorum.nodes()[..2] {
            node.kill();
            node.launch().await;
        }
        let other = QuorumStore::connect(&url).await.unwrap();
        let mut two = request("k");
        two.ttl = one.ttl;
        until("an answer of a majority", async || {
            other.acquire(&two).await.is_ok()
        })
        .await;
        until("the second grant", async || {
            let asked = other.acquire(&two).await;
            matches!(asked, Ok(Acquisition::Granted(_)))
        })
        .await;
        let after = SystemClock.now().since(granted_at);
        // Plain safety gives the lock two holders at once, and says so.
        assert_eq!(after >= one.ttl.get(), is_strict, "{parameters}: {after:?}");
        let error = RedisOptions::from_url(&format!("{url}&replicas=1"));
        assert!(error.is_err());
    }
}

#[tokio::test]
async fn e79_the_doctor_says_what_a_quorum_gives() {
    let (quorum, store) = five().await;
    quorum.nodes()[0].kill();
    let diagnosis = store.diagnose().await.unwrap();
    let verdict = &diagnosis.verdict;
    assert!(
        verdict.contains("3 of these 5 servers run (4 do now)"),
        "{verdict}"
    );
    let down = diagnosis
        .findings
        .iter()
        .filter(|found| found.topic == "servers" && found.severity == Severity::Warning);
    assert_eq!(down.count(), 1, "{diagnosis:?}");
}
