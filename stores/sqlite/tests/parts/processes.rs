//! Several processes on one file.

use std::collections::HashMap;
use std::time::Duration;

use tenure_core::{Clock, RunKey, RunState, RunStore, SystemClock, Token};

use super::child::Process;
use super::{open, raw};

#[test]
fn r79_sixteen_processes_contend_without_an_error_and_count_every_turn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let children: Vec<_> = (0..16).map(|_| Process::start("count 10", &file)).collect();
    let mut longest = Vec::new();
    for mut child in children {
        let waited = child.next("longest").unwrap();
        longest.push(waited.parse::<u64>().unwrap());
        child.finish();
    }
    let counted = std::fs::read_to_string(file.with_extension("number")).unwrap();
    assert_eq!(counted, "160");
    println!("longest waits for a turn: {longest:?} ms");
}

#[test]
fn s29_sixteen_processes_that_make_the_file_at_once_share_every_tick() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let from = SystemClock.wall().as_millis() - 10_000;
    let part = format!("claim {from}");
    let children: Vec<_> = (0..16).map(|_| Process::start(&part, &file)).collect();
    let mut wins: HashMap<String, u32> = HashMap::new();
    for mut child in children {
        while let Some(won) = child.next("won") {
            *wins.entry(won).or_default() += 1;
        }
        child.finish();
    }
    assert_eq!(wins.len(), 60);
    assert!(wins.values().all(|times| *times == 1), "{wins:?}");
    let version: i64 = raw(&file)
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 8);
}

#[test]
fn s31_c11_killed_processes_leave_the_file_whole_and_every_acknowledged_claim() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let log = folder.path().join("won");
    let part = format!("log {}", log.display());
    let mut rounds = fastrand::Rng::with_seed(7);
    let mut children: Vec<_> = (0..4).map(|_| Process::start(&part, &file)).collect();
    for _ in 0..30 {
        let mut child = children.swap_remove(rounds.usize(0..children.len()));
        // Somewhere in the middle of its work, and of anything the file goes through.
        for _ in 0..rounds.usize(1..8) {
            child.next("claimed").unwrap();
        }
        child.kill();
        children.push(Process::start(&part, &file));
    }
    for child in children {
        child.kill();
    }
    let check: String = raw(&file)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let store = open(&file);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut won: HashMap<RunKey, Token> = HashMap::new();
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = || log.lines().filter(|line| !line.is_empty());
    let torn = lines().filter(|line| !line.ends_with(" whole")).count();
    assert!(torn <= 34, "{torn} lines were cut short by 34 kills");
    for line in lines().filter_map(|line| line.strip_suffix(" whole")) {
        let (key, token) = line.split_once(' ').unwrap();
        let key: RunKey = key.parse().unwrap();
        let before = won.insert(key.clone(), token.parse().unwrap());
        assert!(before.is_none(), "{key} was won twice");
        let record = runtime.block_on(store.run(&key)).unwrap();
        let state = record.map(|record| record.state);
        assert_eq!(state, Some(RunState::Running), "{key} was forgotten");
    }
    assert!(won.len() > 100, "{} claims are too few to tell", won.len());
    println!("{} acknowledged claims, none lost", won.len());
}

#[test]
fn r79_short_lived_processes_leave_no_log_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    // A store that does nothing keeps the log from being taken away with the last connection, and a
    // reader from being moved while it grows.
    let quiet = open(&file);
    let reader = raw(&file);
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM run")
        .unwrap();
    let log = folder.path().join("log");
    let part = format!("log {}", log.display());
    let mut child = Process::start(&part, &file);
    let length = || std::fs::metadata(folder.path().join("t.db-wal")).map_or(0, |log| log.len());
    while length() <= 5_000_000 {
        child.next("claimed").unwrap();
    }
    child.kill();
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    // Each process that follows finds the long log and moves it, and a write after that begins a
    // short one. They write too little to move it for any other reason.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let note = tenure_core::Note::new("test", "a write");
    for _ in 0..20 {
        let store = open(&file);
        runtime.block_on(async {
            // tidy: allow(sleep) between two polls, of which there are twenty at most
            tokio::time::sleep(Duration::from_millis(50)).await;
            store.note(&note).await.unwrap();
        });
        if length() <= 5_000_000 {
            break;
        }
    }
    assert!(length() <= 5_000_000, "{} bytes are left", length());
    drop(quiet);
}

#[test]
fn r58_a_killed_holder_is_followed_once_its_lease_has_lapsed() {
    use tenure_core::{Acquisition, LeaseRequest, LeaseStore, Ttl};

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let ttl = Ttl::new(Duration::from_millis(300)).unwrap();
    let key = super::key("k");
    let first = LeaseRequest::new(key.clone(), tenure_core::Holder::new("first"), ttl);
    let holder = open(&file);
    let Acquisition::Granted(grant) = runtime.block_on(holder.acquire(&first)).unwrap() else {
        panic!("it is free");
    };
    drop(holder);
    let waiter = open(&file);
    let second = LeaseRequest::new(key, tenure_core::Holder::new("second"), ttl)
        .in_line(Duration::from_secs(30));
    let next = runtime.block_on(async {
        loop {
            match waiter.acquire(&second).await.unwrap() {
                Acquisition::Granted(next) => break next,
                // tidy: allow(sleep) the store says when to ask again, as it does to any waiter
                Acquisition::Held(held) => tokio::time::sleep(held.ask_again_after).await,
                _ => panic!("an unknown answer"),
            }
        }
    });
    assert!(next.fence > grant.fence);
    assert!(next.now >= grant.expires_at);
}
