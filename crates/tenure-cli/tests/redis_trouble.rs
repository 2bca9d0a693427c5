//! Servers in trouble: what `tenure lock` and `tenure doctor` end with, and say about what is
//! wrong, where, and what to do.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::{Child, Stdio};

use tenure_bed::{Flavour, Redis, RedisBuilder};

use crate::program::{Ended, PATIENCE, Place, finish};

fn redis() -> RedisBuilder {
    Redis::builder(Flavour::Redis).tcp()
}

/// What a user types at this server.
fn typed(server: &Redis, arguments: &[&str]) -> Ended {
    let place = Place::new();
    let mut command = place.tenure(arguments);
    command.env("TENURE_STORE", server.url());
    finish(command.spawn().unwrap())
}

/// A lock is not to be had: the status says that trying later may help, the message has these parts
/// and the server's place, and the command was not run.
fn refuses_locks(server: &Redis, parts: &[&str]) {
    let place = format!("127.0.0.1:{}", server.port());
    for wait in [&["--no-wait"][..], &["--wait", "1s"]] {
        let arguments = [&["lock"], wait, &["k", "--", "echo", "done"]].concat();
        let ended = typed(server, &arguments);
        for part in parts.iter().chain([&place.as_str()]) {
            assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        }
        // What the server said stands in a message once, and as it said it. Before the last message
        // it may be told that it is still being tried.
        let said = parts.first().unwrap();
        for line in ended.stderr.lines() {
            assert_eq!(line.matches(said).count(), 1, "{ended:?}");
        }
        assert!(!ended.stderr.contains('\\'), "{ended:?}");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
    }
}

/// The doctor looks at what can be looked at, and its verdict is that no lock can be taken.
fn is_examined(server: &Redis, parts: &[&str]) {
    let ended = typed(server, &["doctor"]);
    let place = format!("127.0.0.1:{}", server.port());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in parts
        .iter()
        .chain([&place.as_str(), &"No lock can be taken"])
    {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
}

/// The doctor cannot look at anything, and says why.
fn is_not_examined(server: &Redis, parts: &[&str]) {
    let ended = typed(server, &["doctor"]);
    let place = format!("127.0.0.1:{}", server.port());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
    for part in parts.iter().chain([&place.as_str()]) {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}

async fn set(server: &Redis, name: &str, value: &str) {
    let set = server.cli(&["CONFIG", "SET", name, value]).await;
    assert_eq!(set, "OK");
}

/// A primary, and a replica that has its data.
async fn pair() -> (Redis, Redis) {
    let (primary, replica) = (redis().start().await, redis().start().await);
    let port = primary.port().to_string();
    replica.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    tenure_bed::until("the replica follows", PATIENCE, async || {
        (replica.info("master_link_status").await? == "up").then_some(())
    })
    .await;
    (primary, replica)
}

#[tokio::test]
async fn e70_at_a_replica_lock_and_doctor_say_readonly_and_to_name_the_primary() {
    let (_primary, replica) = pair().await;
    refuses_locks(&replica, &["READONLY", "name the primary"]);
    is_examined(&replica, &["danger", "is a replica", "READONLY"]);
}

#[tokio::test]
async fn e71_at_a_replica_without_its_primary_lock_and_doctor_say_masterdown() {
    let (primary, replica) = pair().await;
    set(&replica, "replica-serve-stale-data", "no").await;
    primary.kill();
    tenure_bed::until("the link is down", PATIENCE, async || {
        (replica.info("master_link_status").await? == "down").then_some(())
    })
    .await;
    refuses_locks(&replica, &["MASTERDOWN", "INFO replication"]);
    is_examined(&replica, &["danger", "lost its primary", "MASTERDOWN"]);
}

#[tokio::test]
async fn e71_while_a_server_loads_its_data_lock_and_doctor_say_loading() {
    let server = redis().config("rdbcompression", "no").start().await;
    let fill = "for at = 1, 4000 do redis.call('SET', 'filler:' .. at, ('x'):rep(2000)) end";
    server.call(&["EVAL", fill, "0"]).await;
    assert_eq!(server.cli(&["SAVE"]).await, "OK");
    // It answers between two keys, so 50 times a second, and has read them after 80 s.
    server.configure("key-load-delay", "20000");
    server.configure("loading-process-events-interval-bytes", "1024");
    server.kill();
    server.launch().await;
    refuses_locks(&server, &["LOADING", "when it has read its data"]);
    is_examined(&server, &["danger", "LOADING"]);
}

/// A script that has no end, and answers nobody until it is killed.
async fn endless(server: &Redis, script: &str) -> Child {
    set(server, "busy-reply-threshold", "10").await;
    let mut cli = server.redis_cli();
    let cli = cli.args(["EVAL", script, "0"]).stdout(Stdio::null());
    let child = cli.stderr(Stdio::null()).spawn().unwrap();
    tenure_bed::until("the server is busy", PATIENCE, async || {
        let said = server.try_call(&["GET", "k"]).await.ok()?;
        said.to_string().contains("BUSY").then_some(())
    })
    .await;
    child
}

#[tokio::test]
async fn e74_while_a_script_runs_too_long_lock_and_doctor_say_busy_and_how_to_end_it() {
    let server = redis().start().await;
    let mut child = endless(&server, "while true do end").await;
    let parts = ["BUSY", "SCRIPT KILL", "SLOWLOG GET"];
    refuses_locks(&server, &parts);
    is_not_examined(&server, &parts);
    assert_eq!(server.cli(&["SCRIPT", "KILL"]).await, "OK");
    child.wait().unwrap();
    assert_eq!(typed(&server, &["lock", "k", "--", "true"]).code, Some(0));
}

#[tokio::test]
async fn e74_a_script_that_cannot_be_killed_is_told_of_as_unkillable() {
    let server = redis().start().await;
    let script = "redis.call('SET', 'x', 1) while true do end";
    let mut child = endless(&server, script).await;
    let killed = server.cli(&["SCRIPT", "KILL"]).await;
    assert!(killed.contains("UNKILLABLE"), "{killed}");
    let parts = ["BUSY", "UNKILLABLE", "ends by itself or with the server"];
    refuses_locks(&server, &parts);
    is_not_examined(&server, &parts);
    server.kill();
    child.wait().unwrap();
}
