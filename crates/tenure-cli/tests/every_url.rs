//! Every command with every kind of URL that names Redis or Valkey: one table of commands, and a
//! test for each kind of URL that goes through it on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod program;

use std::collections::BTreeSet;
use std::process::{Child, Command};

use serde_json::Value;
use tenure_bed::{Ca, Cluster, Flavour, Quorum, Redis, RedisBuilder, Sentinel};

use crate::program::{Ended, Place, end, finish, until};

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Locks, or the store: works everywhere.
    Locks,
    /// Tasks and their runs, which a quorum does not keep.
    Tasks,
}
use About::{Locks, Tasks};

/// A command, what it is about, and what it prints where it works. `FENCE` is that of the lock `k`,
/// which a process holds all the time.
const TABLE: &[(&[&str], About, &str)] = &[
    (
        &[
            "lock",
            "a",
            "--",
            "sh",
            "-c",
            "echo \"$TENURE_KEY:$TENURE_FENCE\"",
        ],
        Locks,
        "a:1",
    ),
    (
        &["lock", "--all", "a,b", "--", "sh", "-c", "echo $TENURE_KEY"],
        Locks,
        "a,b",
    ),
    (
        &["elect", "--once", "office", "--", "echo", "in office"],
        Locks,
        "in office",
    ),
    (&["locks"], Locks, "k "),
    (&["locks", "show", "k"], Locks, "FENCE"),
    (
        &["unlock", "k", "--fence", "FENCE", "--why", "a test"],
        Locks,
        "k",
    ),
    (&["doctor"], Locks, "taken and given back in"),
    (&["tasks"], Tasks, "often"),
    (&["trigger", "rare", "--wait", "1m"], Tasks, "rarely"),
    (&["history", "rare", "--output"], Tasks, "rarely"),
    (&["why", "often"], Tasks, "often"),
    (
        &["pause", "often", "--why", "a test"],
        Tasks,
        "is paused by",
    ),
    (&["resume", "often"], Tasks, "runs again"),
    (&["trigger", "long"], Tasks, "long"),
    (&["cancel", "long"], Tasks, "long"),
    (
        &[
            "backfill",
            "rare",
            "--from",
            "2025-01-01T00:00:00Z",
            "--to",
            "2026-01-01T00:00:00Z",
            "--why",
            "a test",
            "--wait",
            "1m",
        ],
        Tasks,
        "2",
    ),
    (&["backfills"], Tasks, "a test"),
    (&["diff", "tasks.toml"], Tasks, ""),
    (&["top", "--once"], Tasks, "often"),
];

/// Those that ask no store, and what they are tested by; and those that the tests below start for
/// themselves.
const OTHERS: [&str; 11] = [
    "next",
    "explain",
    "check",
    "simulate",
    "completions",
    "man",
    "token",
    "help",
    "run",
    "bench",
    "verify",
];

const FILE: &str = "[[task]]\nname = \"often\"\nschedule = \"* * * * * *\"\nshell = \"echo out\"\n\
    [[task]]\nname = \"rare\"\nschedule = \"0 0 1 1 *\"\nshell = \"echo rarely\"\n\
    [[task]]\nname = \"long\"\nschedule = \"0 0 1 1 *\"\nshell = \"exec sleep 600\"\n";

#[test]
fn the_table_has_every_command() {
    let help = Place::new().run(["--help"]).stdout;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let listed: BTreeSet<_> = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let known = TABLE.iter().map(|(words, _, _)| words[0]).chain(OTHERS);
    assert_eq!(listed, known.collect());
}

/// A store that is named by a URL.
struct Site {
    place: Place,
    url: String,
}

impl Site {
    fn on(url: String) -> Self {
        let place = Place::new();
        place.write("tasks.toml", FILE);
        Self { place, url }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.place.tenure(words);
        command.env("TENURE_STORE", &self.url);
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        finish(self.command(words).spawn().unwrap())
    }

    /// Holds the lock `k`, and says under which fence.
    fn holder(&self) -> (Child, String) {
        let script = "echo $TENURE_FENCE > fence.new; mv fence.new fence; exec sleep 600";
        let words = ["lock", "k", "--", "sh", "-c", script];
        let child = self.command(&words).spawn().unwrap();
        let fence = until("the lock", || {
            let fence = self.place.read("fence");
            fence.ends_with('\n').then(|| fence.trim().to_owned())
        });
        (child, fence)
    }

    /// Goes through the table, with a runner if the store keeps tasks.
    fn every_command_works(&self) {
        let runner = self.place.started("node", self.command(&RUN));
        let (holder, fence) = self.holder();
        for (words, _, part) in TABLE {
            let ended = self.run(&filled(words, &fence));
            assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
            let part = part.replace("FENCE", &fence);
            assert!(ended.stdout.contains(&part), "{words:?}: {ended:?}");
        }
        // The lock was taken from it.
        assert_eq!(finish(holder).code, Some(75));
        assert_eq!(end(runner).code, Some(0));
        assert!(!self.measured(BENCH).is_empty());
        self.verified(&["C1", "C2", "C3", "C5", "C7"]);
    }

    /// The store keeps what it promises to clients that are paused and killed.
    fn verified(&self, rules: &[&str]) {
        let ended = self.run(&["verify", "--minutes", "0.1", "--clients", "3", "--json"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
        let tried = verdict["rules"].as_array().unwrap().iter();
        let tried = tried.filter(|rule| rule["tried"].as_u64() > Some(0));
        let tried: Vec<_> = tried.map(|rule| rule["rule"].as_str().unwrap()).collect();
        assert_eq!(tried, rules, "{verdict}");
    }

    /// The figures of a workload.
    fn measured(&self, workload: &str) -> Vec<Value> {
        let ended = self.run(&["bench", "--quick", "--rounds", "1", "--json", workload]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lines = ended.stdout.lines();
        let rows = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter(|row| row["workload"] == workload && row["ours"].is_number())
            .collect()
    }
}

const RUN: [&str; 5] = [
    "run",
    "--json",
    "--no-dashboard",
    "--drain=0s",
    "tasks.toml",
];
const BENCH: &str = "uncontended";

fn filled<'a>(words: &[&'a str], fence: &'a str) -> Vec<&'a str> {
    let words = words.iter();
    words
        .map(|word| if *word == "FENCE" { fence } else { *word })
        .collect()
}

#[tokio::test]
async fn d8_every_command_works_on_one_redis_over_tcp() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    Site::on(server.url()).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_on_one_redis_over_its_socket() {
    let server = Redis::builder(Flavour::Redis).unix_only().start().await;
    Site::on(server.url()).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_on_one_redis_over_tls_for_a_user() {
    let ca = Ca::new();
    let server = Redis::builder(Flavour::Redis)
        .tls(&ca)
        .acl_user("app on >pw ~* resetchannels &tenure:* +@all")
        .acl_user("default off")
        .start()
        .await;
    let (port, ca) = (server.port(), ca.path().display());
    Site::on(format!("rediss://app:pw@127.0.0.1:{port}?ca={ca}")).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_behind_sentinels() {
    let sentinel = Sentinel::start(Flavour::Redis, 1).await;
    Site::on(sentinel.url()).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_on_a_cluster() {
    let url = Cluster::shared_url(Flavour::Redis).await;
    // Others use it too.
    let own = "prefix=every-url:&namespace=every-url";
    Site::on(format!("{url}?{own}")).every_command_works();
}

/// A server that speaks TLS with clients and with other servers.
fn encrypted(server: RedisBuilder, ca: &Ca) -> RedisBuilder {
    server.tls(ca).config("tls-replication", "yes")
}

fn over_tls(url: &str, ca: &Ca, parameters: &str) -> String {
    let url = url.replacen("redis+", "rediss+", 1);
    format!("{url}?ca={}{parameters}", ca.path().display())
}

#[tokio::test]
async fn d8_every_command_works_behind_sentinels_over_tls() {
    let ca = Ca::new();
    let (nodes, sentinels) = (|one| encrypted(one, &ca), |one| encrypted(one, &ca));
    let sentinel = Sentinel::start_as(Flavour::Redis, 1, nodes, sentinels).await;
    Site::on(over_tls(&sentinel.url(), &ca, "")).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_on_a_cluster_over_tls() {
    let ca = Ca::new();
    let cluster = Cluster::start_with(Flavour::Redis, |node| {
        encrypted(node, &ca).config("tls-cluster", "yes")
    })
    .await;
    Site::on(over_tls(&cluster.url(), &ca, "&namespace=every-url")).every_command_works();
}

#[tokio::test]
async fn d8_every_command_works_on_valkey() {
    let server = Redis::builder(Flavour::Valkey).tcp().start().await;
    Site::on(server.url()).every_command_works();
}

#[tokio::test]
async fn d8_on_a_quorum_the_commands_for_locks_work_and_the_others_say_why_not() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    // What is asked for here does not end with a lease, so a busy machine may take its time.
    let url = quorum.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    let site = Site::on(format!("{url}{mark}node_timeout=2s&timeout=5s"));
    let (holder, fence) = site.holder();
    for (words, about, part) in TABLE.iter().copied().chain([(&RUN[..], Tasks, "")]) {
        let ended = site.run(&filled(words, &fence));
        if about == Locks {
            assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
            let part = part.replace("FENCE", &fence);
            assert!(ended.stdout.contains(&part), "{words:?}: {ended:?}");
        } else {
            assert!(
                matches!(ended.code, Some(64 | 69 | 78)),
                "{words:?}: {ended:?}"
            );
            let why = "a quorum keeps locks and no tasks";
            assert!(ended.stderr.contains(why), "{words:?}: {ended:?}");
        }
    }
    assert_eq!(finish(holder).code, Some(75));
    assert!(!site.measured("quorum").is_empty());
    site.verified(&["C1", "C2", "C3", "C5"]);
}
