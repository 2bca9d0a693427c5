//! What the doctor says of real servers: who they are, who follows them, whether they push, and how
//! their clocks go.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;
#[path = "steps/trio.rs"]
mod trio;

use std::time::Duration;

use tenure_bed::{Cluster, Flavour, Redis, until};
use tenure_core::{HandOff, LeaseStore as _};
use tenure_redis::{Diagnosis, Finding, RedisStore, Severity};

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server, turn};
use crate::trio::trio;

const ASKED: HandOff = HandOff::AskAgain(Duration::from_millis(50));

/// What was found on a topic, in the order of the servers.
fn all<'a>(diagnosis: &'a Diagnosis, topic: &str) -> Vec<&'a Finding> {
    let found = diagnosis.findings.iter();
    found.filter(|found| found.topic == topic).collect()
}

/// The one finding on a topic.
fn one<'a>(diagnosis: &'a Diagnosis, topic: &str) -> &'a Finding {
    let [found] = all(diagnosis, topic)[..] else {
        panic!("{topic}: {diagnosis:?}");
    };
    found
}

async fn of(store: &RedisStore) -> Diagnosis {
    store.diagnose().await.unwrap()
}

#[tokio::test]
async fn r56_the_doctor_tells_the_version_of_redis_and_of_valkey_as_the_server_does() {
    for (flavour, field, name) in [
        (Flavour::Redis, "redis_version", "Redis"),
        (Flavour::Valkey, "valkey_version", "Valkey"),
    ] {
        let (server, store) = server(Redis::builder(flavour).unix_only()).await;
        let version = server.info(field).await.unwrap();
        let said = of(&store).await;
        let found = one(&said, "server");
        assert_eq!(found.text, format!("{name} {version}"));
        assert_eq!(found.severity, Severity::Good);
    }
}

#[tokio::test]
async fn r56_the_doctor_says_what_to_grant_if_a_server_may_not_tell_about_itself() {
    let user = "app on >pw ~* &* +@all -info -config";
    let server = redis().unix_only().acl_user(user).start().await;
    let store = connect(&format!("redis+unix:app:pw@{}", server.socket().display())).await;
    let said = of(&store).await;
    let found = one(&said, "server");
    assert_eq!(found.severity, Severity::Note);
    assert!(found.text.contains("grant +info"), "{said:?}");
    assert!(
        said.verdict.contains("is not known; grant +info"),
        "{said:?}"
    );
    assert_eq!(one(&said, "a lock").severity, Severity::Good);
}

#[tokio::test]
async fn r57_the_doctor_counts_replicas_and_knows_one_when_it_is_sent_to_it() {
    let alone = redis().tcp().start().await;
    let said = of(&connect(&alone.url()).await).await;
    assert_eq!(one(&said, "replicas").text, "none: no fail-over");
    let (primary, [replica, _other]) = trio().await;
    let said = of(&connect(&primary.url()).await).await;
    let found = one(&said, "replicas");
    assert!(found.text.starts_with("2, asynchronous"), "{said:?}");
    assert_eq!(found.severity, Severity::Note);
    assert!(said.verdict.starts_with("Plain safety: "), "{said:?}");
    // What the primary keeps is not what matters then.
    let keeps = redis().append_only().config("appendfsync", "always");
    let keeps = keeps.tcp().start().await;
    let follows = redis().tcp().start().await;
    let port = keeps.port().to_string();
    follows.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    until("it is followed", PATIENCE, async || {
        (keeps.info("connected_slaves").await? == "1").then_some(())
    })
    .await;
    let said = of(&connect(&keeps.url()).await).await;
    let lost = "a fail-over may lose the last moments of locks and claims";
    assert!(said.verdict.contains(lost), "{said:?}");
    let said = of(&connect(&replica.url()).await).await;
    let found = one(&said, "role");
    assert_eq!(found.severity, Severity::Danger);
    assert!(found.text.contains("name the primary"), "{said:?}");
    assert!(said.verdict.starts_with("No lock can be taken"), "{said:?}");
}

#[tokio::test]
async fn e89_the_doctor_says_how_far_apart_the_clocks_are() {
    let (server, store) = server(redis().unix_only().own_wall()).await;
    let said = of(&store).await;
    assert_eq!(one(&said, "clock").severity, Severity::Good, "{said:?}");
    assert_eq!(all(&said, "clock rate"), Vec::<&Finding>::new());
    for (by_ms, part) in [(7000, "7s ahead of"), (-12_000, "5s behind")] {
        server.step_wall(by_ms).await;
        let said = of(&store).await;
        let found = one(&said, "clock");
        assert_eq!(found.severity, Severity::Warning, "{said:?}");
        assert!(found.text.starts_with(part), "{said:?}");
        assert_eq!(all(&said, "clock rate"), Vec::<&Finding>::new());
    }
}

/// What the doctor says if the server's clock steps by `by_ms` so often, in even pauses, while it
/// is watched.
async fn while_it_steps(by_ms: i64, times: u32) -> Diagnosis {
    let (server, store) = server(redis().unix_only().own_wall()).await;
    let steps = async {
        until("the doctor watches the clock", PATIENCE, async || {
            let clients = server.cli(&["CLIENT", "LIST"]).await;
            clients.contains(" cmd=time ").then_some(())
        })
        .await;
        let mut pauses = tokio::time::interval(Duration::from_millis(500) / times);
        for _ in 0..times {
            pauses.tick().await;
            server.step_wall(by_ms).await;
        }
    };
    tokio::join!(of(&store), steps).0
}

#[tokio::test]
async fn e89_the_doctor_notices_a_clock_that_steps_or_runs_at_another_rate() {
    // Back, once; and so often that it runs faster by a fifth.
    for (by_ms, times) in [(-3000, 1), (10, 20)] {
        let said = while_it_steps(by_ms, times).await;
        let found = one(&said, "clock rate");
        assert_eq!(found.severity, Severity::Danger, "{said:?}");
        assert!(found.text.contains("another rate"), "{said:?}");
        assert!(said.verdict.starts_with("A lock can vanish"), "{said:?}");
    }
}

/// A cluster's URL for a user.
fn url_for(cluster: &Cluster, login: &str) -> String {
    cluster.url().replace("//", &format!("//{login}@"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_on_a_cluster_the_doctor_names_each_node_that_pushes_nothing() {
    let cluster = Cluster::start_with(Flavour::Redis, |node| {
        node.acl_user("app on >pw ~* &* +@all")
            .acl_user("mute on >pw ~* resetchannels +@all")
    })
    .await;
    // With all rights.
    let store = connect(&url_for(&cluster, "app:pw")).await;
    assert_eq!(store.promises().hand_off, HandOff::Pushed);
    let said = of(&store).await;
    assert_eq!(one(&said, "hand-off").severity, Severity::Good, "{said:?}");
    // Without the right to any channel: nobody is pushed anything, and waiters get their turn.
    let mute = connect(&url_for(&cluster, "mute:pw")).await;
    assert_eq!(mute.promises().hand_off, ASKED);
    let said = of(&mute).await;
    let found = all(&said, "hand-off");
    let primaries = cluster.nodes().iter().take(3);
    for (found, node) in found.iter().zip(primaries.clone()) {
        assert_eq!(found.severity, Severity::Warning);
        let at = format!("127.0.0.1:{}: waiters ask every 50ms", node.port());
        assert!(
            said.findings.iter().any(|one| one.text.starts_with(&at)),
            "{said:?}"
        );
    }
    assert_eq!(found.len(), 3, "{said:?}");
    let (first, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&mute, &first).await;
    let mut wakes = mute.listen(&waiter.key, waiter.token);
    let told = held(&mute, &waiter).await;
    assert!(
        told.ask_again_after <= Duration::from_millis(51),
        "{told:?}"
    );
    mute.release(&first.key, first.token).await.unwrap();
    turn(&mute, &waiter, &mut wakes).await;
    // One node alone refuses: the others push.
    let [narrow, ..] = cluster.nodes() else {
        panic!("a cluster has nodes");
    };
    narrow
        .call(&["ACL", "SETUSER", "app", "resetchannels"])
        .await;
    let store = connect(&url_for(&cluster, "app:pw")).await;
    let said = of(&store).await;
    let at = format!("127.0.0.1:{}: ", narrow.port());
    assert!(one(&said, "hand-off").text.starts_with(&at), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e81_a_cluster_without_resp3_is_asked_and_says_so() {
    let cluster = Cluster::start_with(Flavour::Redis, |node| {
        node.config("rename-command", "HELLO \"\"")
    })
    .await;
    let store = connect(&cluster.url()).await;
    assert_eq!(store.promises().hand_off, ASKED);
    let said = of(&store).await;
    let found = all(&said, "hand-off");
    assert_eq!(found.len(), 3, "{said:?}");
    for found in found {
        assert!(found.text.contains("no RESP3"), "{said:?}");
    }
    let (first, waiter) = (request("k"), request("k").in_line(TTL));
    granted(&store, &first).await;
    let mut wakes = store.listen(&waiter.key, waiter.token);
    held(&store, &waiter).await;
    store.release(&first.key, first.token).await.unwrap();
    turn(&store, &waiter, &mut wakes).await;
}
