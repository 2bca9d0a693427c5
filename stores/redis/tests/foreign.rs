//! Programs that know nothing of tenure take and give back the same locks, by the real `redis-cli`
//! and word for word as the contract states for both origins.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]
#![allow(
    clippy::print_stdout,
    reason = "the figures are what the tests are for"
)]

mod steps;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use tenure_bed::{Redis, until};
use tenure_core::{
    Clock as _, LeaseStore as _, Occupant, Release, RenewRequest, Renewal, Sharing, SystemClock,
    Wake,
};

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server, turn};

/// A session of `redis-cli`: one connection, one command a line.
struct Session {
    program: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    fn on(server: &Redis) -> Self {
        let mut cli = server.redis_cli();
        let cli = cli.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = cli.spawn().unwrap();
        Self {
            commands: program.stdin.take().unwrap(),
            answers: BufReader::new(program.stdout.take().unwrap()),
            program,
        }
    }

    /// Types a line; the first line of what is printed. Nil is an empty one.
    fn types(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The lock component of Pip.Services takes a lock.
    fn takes(&mut self, key: &str, id: &str, ttl_ms: u32) -> bool {
        self.types(&format!("SET {key} {id} NX PX {ttl_ms}")) == "OK"
    }

    /// The same component gives a lock back, if its value is still its own.
    fn gives_back(&mut self, key: &str, id: &str) -> bool {
        assert_eq!(self.types(&format!("WATCH {key}")), "OK");
        if self.types(&format!("GET {key}")) != id {
            assert_eq!(self.types("UNWATCH"), "OK");
            return false;
        }
        assert_eq!(self.types("MULTI"), "OK");
        assert_eq!(self.types(&format!("DEL {key}")), "QUEUED");
        self.types("EXEC") == "1"
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.program.kill();
        let _reaped = self.program.wait();
    }
}

fn is_foreign(by: &Occupant) -> bool {
    matches!(by, Occupant::Foreign { .. })
}

#[tokio::test]
async fn part_b_a_lock_of_pip_services_and_ours_exclude_each_other_both_ways() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    // Theirs excludes ours, until they give it back.
    assert!(theirs.takes("k", "their-id", 60_000));
    let told = held(&store, &request("k")).await;
    assert!(is_foreign(&told.by), "{told:?}");
    assert!(
        told.remaining.unwrap() > Duration::from_secs(50),
        "{told:?}"
    );
    let ours = request("k");
    assert_eq!(
        store.release(&ours.key, ours.token).await.unwrap(),
        Release::NotHeld
    );
    assert!(theirs.gives_back("k", "their-id"));
    // Ours excludes theirs; their release leaves it alone.
    granted(&store, &ours).await;
    assert!(!theirs.takes("k", "their-id", 60_000));
    assert!(!theirs.gives_back("k", "their-id"));
    let renewal = [RenewRequest::new(ours.key.clone(), ours.token, ours.ttl)];
    let answers = store.renew(&renewal).await.unwrap();
    assert!(matches!(answers.as_slice(), [Ok(Renewal::Renewed(_))]));
    assert_eq!(
        store.release(&ours.key, ours.token).await.unwrap(),
        Release::Freed
    );
    assert!(theirs.takes("k", "their-id", 60_000));
}

#[tokio::test]
async fn part_b_a_lock_of_pip_services_and_one_that_several_of_ours_share_exclude_each_other() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    let reader = || {
        let mut request = request("k");
        request.sharing = Sharing::READ;
        request
    };
    assert!(theirs.takes("k", "their-id", 60_000));
    let told = held(&store, &reader()).await;
    assert!(is_foreign(&told.by), "{told:?}");
    assert!(theirs.gives_back("k", "their-id"));
    let (one, other) = (reader(), reader());
    granted(&store, &one).await;
    granted(&store, &other).await;
    assert!(!theirs.takes("k", "their-id", 60_000));
    assert!(!theirs.gives_back("k", "their-id"));
    // It is free when the last of ours has left, and not before.
    assert_eq!(
        store.release(&one.key, one.token).await.unwrap(),
        Release::OthersHold
    );
    assert!(!theirs.takes("k", "their-id", 60_000));
    assert_eq!(
        store.release(&other.key, other.token).await.unwrap(),
        Release::Freed
    );
    assert!(theirs.takes("k", "their-id", 60_000));
}

#[tokio::test]
async fn part_b_their_release_that_comes_late_frees_nothing_of_ours() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    assert!(theirs.takes("k", "their-id", 60_000));
    assert_eq!(theirs.types("WATCH k"), "OK");
    assert_eq!(theirs.types("GET k"), "their-id");
    // Between their look and their deletion their lease ends, and ours begins.
    server.call(&["PEXPIREAT", "k", "1"]).await;
    let ours = request("k");
    granted(&store, &ours).await;
    assert_eq!(theirs.types("MULTI"), "OK");
    assert_eq!(theirs.types("DEL k"), "QUEUED");
    assert_eq!(theirs.types("EXEC"), "");
    assert_eq!(
        store.release(&ours.key, ours.token).await.unwrap(),
        Release::Freed
    );
}

#[tokio::test]
async fn r32_part_b_their_release_and_the_end_of_their_lease_wake_our_waiter() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    let mut took = Vec::new();
    for _ in 0..20 {
        assert!(theirs.takes("k", "their-id", 60_000));
        let waiter = request("k").in_line(TTL);
        let mut wakes = store.listen(&waiter.key, waiter.token);
        // Whoever is told need not look all the time.
        let told = held(&store, &waiter).await;
        assert!(
            told.ask_again_after > Duration::from_millis(500),
            "{told:?}"
        );
        assert!(theirs.gives_back("k", "their-id"));
        let freed = SystemClock.now();
        let woken = tokio::time::timeout(PATIENCE, wakes.next()).await;
        assert_eq!(woken.unwrap(), Wake::Changed);
        granted(&store, &waiter).await;
        took.push(SystemClock.now().since(freed));
        store.release(&waiter.key, waiter.token).await.unwrap();
    }
    took.sort_unstable();
    println!(
        "from a foreign release to our grant: median {:?}, worst {:?}",
        took[10], took[19]
    );
    // Without the push it would have been the second after which a waiter looks by itself.
    // The best, because the machine may be busy.
    assert!(took[0] < Duration::from_millis(500), "{took:?}");
    // Nobody gives it back: it ends.
    assert!(theirs.takes("k", "their-id", 100));
    let waiter = request("k").in_line(TTL);
    let mut wakes = store.listen(&waiter.key, waiter.token);
    let (grant, troubles) = turn(&store, &waiter, &mut wakes).await;
    assert_eq!(troubles, 0);
    assert!(!theirs.takes("k", "their-id", 100), "{grant:?}");
}

#[tokio::test]
async fn part_a_an_execution_of_the_origin_and_ours_exclude_each_other_by_one_key() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    let keep = Duration::from_secs(60);
    for (index, time) in ["2026-11-21T03:00:00.000Z", "2026-11-21T03:00:00.500Z"]
        .iter()
        .enumerate()
    {
        let key = format!("rates-***-{index}-***-{time}");
        let claim = format!("SET {key} {time} NX PX 60000");
        let (name, value) = (key.as_bytes(), time.as_bytes());
        if index == 0 {
            assert_eq!(theirs.types(&claim), "OK");
            assert!(!store.take_name(name, value, keep).await.unwrap());
        } else {
            assert!(store.take_name(name, value, keep).await.unwrap());
            assert_eq!(theirs.types(&claim), "");
        }
        assert_eq!(theirs.types(&format!("GET {key}")), *time);
        // A lease of that name is refused as any other foreign lock's.
        let told = held(&store, &request(&key)).await;
        assert!(is_foreign(&told.by), "{told:?}");
    }
    // The origin's hundred milliseconds, and nothing is left of them.
    let short = "SET short-***-1-***-t t NX PX 100";
    assert_eq!(theirs.types(short), "OK");
    until("their record ends", PATIENCE, async || {
        let taken = store.take_name(b"short-***-1-***-t", b"t", keep).await;
        taken.unwrap().then_some(())
    })
    .await;
    assert_eq!(theirs.types(short), "");
}

#[tokio::test]
async fn r35_what_others_do_to_our_key_is_told_at_the_next_renewal_and_never_undone() {
    let (server, store) = server(redis().tcp()).await;
    let mut theirs = Session::on(&server);
    let ours = request("k");
    let renewal = [RenewRequest::new(ours.key.clone(), ours.token, ours.ttl)];
    let renew = async || store.renew(&renewal).await.unwrap().remove(0).unwrap();
    // Somebody makes it eternal: it ends again.
    granted(&store, &ours).await;
    assert_eq!(theirs.types("PERSIST k"), "1");
    assert!(matches!(renew().await, Renewal::Renewed(_)));
    assert!(theirs.types("PTTL k").parse::<i64>().unwrap() > 0);
    // Somebody shortens it: it is as long as it was.
    assert_eq!(theirs.types("PEXPIRE k 5000"), "1");
    assert!(matches!(renew().await, Renewal::Renewed(_)));
    assert!(theirs.types("PTTL k").parse::<i64>().unwrap() > 20_000);
    // Somebody deletes it: it is lost, and not made anew.
    assert_eq!(theirs.types("DEL k"), "1");
    assert!(matches!(renew().await, Renewal::Lost { by: None, .. }));
    assert_eq!(theirs.types("EXISTS k"), "0");
    // Somebody writes over it: it is lost to a foreign lock, which stays as it is.
    granted(&store, &ours).await;
    assert_eq!(theirs.types("SET k theirs PX 60000"), "OK");
    let Renewal::Lost { by: Some(by), .. } = renew().await else {
        panic!("renewed");
    };
    assert!(is_foreign(&by), "{by}");
    assert_eq!(
        store.release(&ours.key, ours.token).await.unwrap(),
        Release::NotHeld
    );
    assert_eq!(theirs.types("GET k"), "theirs");
}

#[tokio::test]
async fn r22_waiters_behind_a_lock_of_ours_that_was_deleted_look_for_themselves() {
    let (server, store) = server(redis().tcp()).await;
    let other = connect(&server.url()).await;
    let mut theirs = Session::on(&server);
    let ours = request("k");
    granted(&store, &ours).await;
    let waiter = request("k").in_line(TTL);
    let mut wakes = other.listen(&waiter.key, waiter.token);
    let told = held(&other, &waiter).await;
    // Nobody watches a lock of ours: whoever waits looks every five seconds.
    assert!(
        told.ask_again_after <= Duration::from_millis(5001),
        "{told:?}"
    );
    assert_eq!(theirs.types("DEL k"), "1");
    let heard = tokio::time::timeout(Duration::from_millis(20), wakes.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    granted(&other, &waiter).await;
    assert_eq!(
        store.release(&ours.key, ours.token).await.unwrap(),
        Release::NotHeld
    );
}
