//! The component on real servers, beside foreign clients that speak the origin's protocol through
//! `redis-cli`.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure_bed::{Cluster, Flavour, Quorum, Redis, Sentinel};
use tenure_component::{
    Category, Code, Component as _, ConfigParams, Context, CredentialStore, Discovery,
    EnvironmentDiscovery, Factory, Lock, MountedCredentialStore, RedisLock, References,
};

use crate::support::{LONG, MS, SECOND, SHORT, seen_of};

/// A ttl in the wire format.
const LONG_MS: u32 = 600_000;

async fn server() -> Redis {
    Redis::builder(Flavour::Redis).start().await
}

fn config_of(server: &Redis) -> ConfigParams {
    ConfigParams::new()
        .with("connection.host", "127.0.0.1")
        .with("connection.port", server.port())
}

/// An open lock component of its own.
async fn opened(config: &ConfigParams) -> RedisLock {
    let lock = RedisLock::new();
    lock.configure(config).unwrap();
    lock.open(None).await.unwrap();
    lock
}

/// A client that takes and gives back locks as the origin does: a real `redis-cli` with one
/// connection of its own.
struct Foreign {
    process: Child,
    commands: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    fn connect(server: &Redis) -> Self {
        let mut client = server.redis_cli();
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.spawn().unwrap();
        Self {
            commands: process.stdin.take().unwrap(),
            replies: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    /// Sends a command and reads its reply, which has one line; a nil is an empty one.
    fn call(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.replies.next().unwrap().unwrap()
    }

    fn acquire(&mut self, key: &str, id: &str, ttl_ms: u32) -> bool {
        self.call(&format!("SET {key} {id} NX PX {ttl_ms}")) == "OK"
    }

    /// The first half of a release: the value, watched.
    fn watch(&mut self, key: &str) -> String {
        assert_eq!(self.call(&format!("WATCH {key}")), "OK");
        self.call(&format!("GET {key}"))
    }

    /// The second half: deletes the key unless somebody has changed it. Whether it did.
    fn delete_watched(&mut self, key: &str) -> bool {
        assert_eq!(self.call("MULTI"), "OK");
        assert_eq!(self.call(&format!("DEL {key}")), "QUEUED");
        self.call("EXEC") == "1"
    }

    /// Gives a lock back if it is this client's. Whether it was.
    fn release(&mut self, key: &str, id: &str) -> bool {
        if self.watch(key) == id {
            return self.delete_watched(key);
        }
        assert_eq!(self.call("UNWATCH"), "OK");
        false
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn b_redis_lock_excludes_and_hands_on_between_components() {
    let server = server().await;
    let (one, two) = (
        opened(&config_of(&server)).await,
        Arc::new(opened(&config_of(&server)).await),
    );
    assert!(one.try_acquire_lock(None, "k", LONG).await.unwrap());
    assert!(!two.try_acquire_lock(None, "k", LONG).await.unwrap());
    let error = two
        .acquire_lock(None, "k", LONG, 100 * MS)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    two.release_lock(None, "k").await.unwrap();
    assert!(!two.try_acquire_lock(None, "k", LONG).await.unwrap());
    let waiter = {
        let two = two.clone();
        tokio::spawn(async move { two.acquire_lock(None, "k", LONG, 10 * SECOND).await })
    };
    one.release_lock(None, "k").await.unwrap();
    waiter.await.unwrap().unwrap();
    two.release_lock(None, "k").await.unwrap();
    assert_eq!(server.cli(&["EXISTS", "k"]).await, "0");
}

#[tokio::test]
async fn b_wire_redis_a_lock_is_a_plain_string_under_exactly_its_name() {
    let server = server().await;
    let lock = opened(&config_of(&server)).await;
    for key in [
        "k",
        "invoice/42",
        "{a}{b}",
        "job-lock:env:name",
        "a b\u{e9}",
    ] {
        let asked = Instant::now();
        assert!(lock.try_acquire_lock(None, key, LONG).await.unwrap());
        assert_eq!(server.cli(&["TYPE", key]).await, "string", "{key}");
        assert!(server.cli(&["GET", key]).await.starts_with("tn1:"), "{key}");
        let left = server.cli(&["PTTL", key]).await.parse().unwrap();
        let left = Duration::from_millis(left);
        // The machines that ask and that answer count in whole milliseconds.
        let all = left + asked.elapsed() + 2 * MS;
        assert!(left <= LONG && all >= LONG, "{left:?}");
        lock.release_lock(None, key).await.unwrap();
        assert_eq!(server.cli(&["EXISTS", key]).await, "0", "{key}");
    }
}

#[tokio::test]
async fn b_wire_redis_a_foreign_holder_keeps_ours_out_and_its_release_wakes_ours() {
    let server = server().await;
    let config = config_of(&server).with("options.retry_timeout", 20);
    let lock = Arc::new(opened(&config).await);
    let mut foreign = Foreign::connect(&server);
    assert!(foreign.acquire("k", "client-7", LONG_MS));
    assert!(!lock.try_acquire_lock(None, "k", LONG).await.unwrap());
    let error = lock
        .acquire_lock(None, "k", LONG, 100 * MS)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    lock.release_lock(None, "k").await.unwrap();
    assert_eq!(foreign.call("GET k"), "client-7", "ours frees nothing");

    let waiter = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire_lock(None, "k", LONG, 10 * SECOND).await })
    };
    assert!(foreign.release("k", "client-7"));
    waiter.await.unwrap().unwrap();
    assert!(!foreign.acquire("k", "client-7", LONG_MS));
}

#[tokio::test]
async fn b_wire_redis_ours_keeps_a_foreign_client_out_and_is_not_freed_by_it() {
    let server = server().await;
    let lock = opened(&config_of(&server)).await;
    let mut foreign = Foreign::connect(&server);
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert!(!foreign.acquire("k", "client-7", LONG_MS));
    assert!(!foreign.release("k", "client-7"));
    assert!(!foreign.acquire("k", "client-7", LONG_MS));
    lock.release_lock(None, "k").await.unwrap();
    assert!(foreign.acquire("k", "client-7", LONG_MS));
}

#[tokio::test]
async fn b_wire_redis_a_foreign_release_that_races_with_ours_deletes_nothing() {
    let server = server().await;
    let lock = opened(&config_of(&server)).await;
    let mut foreign = Foreign::connect(&server);
    // Until it gets to the first half of its release before its ttl ends.
    while !(foreign.acquire("k", "client-7", 400) && foreign.watch("k") == "client-7") {
        assert_eq!(foreign.call("UNWATCH"), "OK");
    }
    // Its ttl ends between the two halves of its release, and ours has the lock.
    lock.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
    assert!(!foreign.delete_watched("k"));
    assert!(
        !foreign.acquire("k", "client-7", LONG_MS),
        "ours has it still"
    );
}

#[tokio::test]
async fn b_wire_redis_a_late_release_of_ours_leaves_a_foreign_holder_alone() {
    let server = server().await;
    let lock = opened(&config_of(&server)).await;
    let mut foreign = Foreign::connect(&server);
    lock.acquire_lock(None, "k", SHORT, SECOND).await.unwrap();
    let deadline = Instant::now() + 10 * SECOND;
    while !foreign.acquire("k", "client-7", LONG_MS) {
        assert!(
            Instant::now() < deadline,
            "the lock does not end with its ttl"
        );
    }
    lock.release_lock(None, "k").await.unwrap();
    assert_eq!(foreign.call("GET k"), "client-7");
}

#[tokio::test]
async fn b_weakness_redis_a_release_is_no_more_than_one_request_when_many_run_at_once() {
    let server = server().await;
    let lock = Arc::new(opened(&config_of(&server)).await);
    // The first of each kind also brings the script to the server.
    lock.acquire_lock(None, "warm", LONG, SECOND).await.unwrap();
    lock.release_lock(None, "warm").await.unwrap();
    let keys: Vec<_> = (0..64).map(|at| format!("k{at}")).collect();
    for key in &keys {
        lock.acquire_lock(None, key, LONG, SECOND).await.unwrap();
    }
    let before = calls_of_clients(&server).await;
    let releases = keys.iter().cloned().map(|key| {
        let lock = lock.clone();
        tokio::spawn(async move { lock.release_lock(None, &key).await })
    });
    for release in releases.collect::<Vec<_>>() {
        release.await.unwrap().unwrap();
    }
    // Those that are ready together go in one.
    let calls = calls_of_clients(&server).await - before;
    assert!((1..=64).contains(&calls), "{calls} requests");
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    let exist = server.cli(&[&["EXISTS"][..], &names].concat()).await;
    assert_eq!(exist, "0");
}

/// Scripts called by clients; what a script calls inside is not among them.
async fn calls_of_clients(server: &Redis) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let of = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = rest.split(',').next()?.parse::<u64>().ok()?;
        matches!(name, "evalsha" | "eval" | "fcall").then_some(calls)
    };
    text.lines().filter_map(of).sum()
}

#[tokio::test]
async fn b_weakness_redis_username_password_and_db_num_reach_the_server() {
    let password = "p@s:s/w?r#d%&=+ é";
    let server = Redis::builder(Flavour::Redis)
        .acl_user(&format!("app on \">{password}\" ~* &* +@all"))
        .acl_user("default off")
        .start()
        .await;
    let config = config_of(&server)
        .with("credential.username", "app")
        .with("credential.password", password)
        .with("options.db_num", 3);
    let lock = opened(&config).await;
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert_eq!(server.info("db0").await, None);
    assert!(server.info("db3").await.is_some());

    let uri = format!(
        "redis://app:{}@127.0.0.1:{}/4",
        "p%40s%3As%2Fw%3Fr%23d%25%26%3D%2B%20%C3%A9",
        server.port()
    );
    let lock = opened(&ConfigParams::new().with("connection.uri", uri)).await;
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert!(server.info("db4").await.is_some());
}

#[tokio::test]
async fn f7_e67_e68_b_redis_a_wrong_login_is_refused_at_once_and_not_shown() {
    let server = Redis::builder(Flavour::Redis)
        .config("requirepass", "right")
        .start()
        .await;
    let context = Context::from_trace_id("t-9");
    for login in [
        &[][..],
        &[("credential.password", "s3cret")],
        &[
            ("credential.username", "app"),
            ("credential.password", "s3cret"),
        ],
    ] {
        let lock = RedisLock::new();
        let config = config_of(&server).with("options.timeout", 5000);
        let login = ConfigParams::from_tuples(login.iter().copied());
        lock.configure(&config.overridden_by(&login)).unwrap();
        let error = lock.open(Some(&context)).await.unwrap_err();
        assert_eq!(error.code(), Code::CannotConnect, "{error}");
        assert_eq!(
            error.category(),
            Category::Unauthorized,
            "{}",
            seen_of(&error)
        );
        assert_eq!(error.detail("attempts"), Some("1"));
        assert_eq!(error.trace_id(), Some("t-9"));
        assert!(!seen_of(&error).contains("s3cret"), "{}", seen_of(&error));
    }
}

#[tokio::test]
async fn b_references_redis_an_address_from_the_environment_and_a_mounted_secret() {
    let server = Redis::builder(Flavour::Redis)
        .config("requirepass", "mounted-pw")
        .start()
        .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders"), "mounted-pw\n").unwrap();
    let variables = [("ORDERS_HOST", format!("127.0.0.1:{}", server.port()))];
    let mut references = References::new();
    references.put::<dyn Discovery>(
        "my:discovery:environment:default:1.0".parse().unwrap(),
        Arc::new(EnvironmentDiscovery::with_variables(variables)),
    );
    references.put::<dyn CredentialStore>(
        "my:credential-store:mounted:default:1.0".parse().unwrap(),
        Arc::new(MountedCredentialStore::new(folder.path())),
    );
    let locator = "my:lock:redis:main:1.0".parse().unwrap();
    let lock = Factory::default().create::<dyn Lock>(&locator).unwrap();
    let text = "connection.discovery_key=orders;credential.store_key=orders";
    lock.configure(&text.parse().unwrap()).unwrap();
    lock.set_references(&references).unwrap();
    lock.open(None).await.unwrap();
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert_eq!(server.cli(&["EXISTS", "k"]).await, "1");
}

#[tokio::test]
async fn b_references_redis_several_connections_are_a_cluster() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let mut config = ConfigParams::new();
    for (at, node) in cluster.nodes().iter().take(2).enumerate() {
        config.set(format!("connections.{at}.host"), "127.0.0.1");
        config.set(format!("connections.{at}.port"), node.port());
    }
    let (one, two) = (opened(&config).await, opened(&config).await);
    // In three slots, with names that have braces of their own.
    for key in ["k", "{a}{b}", "x{}y"] {
        one.acquire_lock(None, key, LONG, SECOND).await.unwrap();
        assert!(
            !two.try_acquire_lock(None, key, LONG).await.unwrap(),
            "{key}"
        );
        one.release_lock(None, key).await.unwrap();
        two.acquire_lock(None, key, LONG, 10 * SECOND)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn b_references_redis_several_connections_are_a_quorum() {
    let quorum = Quorum::start(Flavour::Redis, 3).await;
    let mut config = ConfigParams::new().with("options.topology", "quorum");
    for (at, node) in quorum.nodes().iter().enumerate() {
        config.set(format!("connections.{at}.host"), "127.0.0.1");
        config.set(format!("connections.{at}.port"), node.port());
    }
    let (one, two) = (opened(&config).await, opened(&config).await);
    one.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert!(!two.try_acquire_lock(None, "k", LONG).await.unwrap());
    let mut held = 0;
    for node in quorum.nodes() {
        held += u32::from(node.cli(&["EXISTS", "k"]).await == "1");
    }
    assert!(held >= 2, "{held} of 3");
    one.release_lock(None, "k").await.unwrap();
    two.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
}

#[tokio::test]
async fn b_references_redis_several_connections_are_sentinels() {
    let sentinel = Sentinel::start(Flavour::Redis, 1).await;
    let mut config = ConfigParams::new()
        .with("options.topology", "sentinel")
        .with("options.master", sentinel.name());
    for (at, watcher) in sentinel.sentinels().iter().enumerate() {
        config.set(format!("connections.{at}.host"), "127.0.0.1");
        config.set(format!("connections.{at}.port"), watcher.port());
    }
    let lock = opened(&config).await;
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let primary = sentinel.primary().await;
    assert!(primary.cli(&["GET", "k"]).await.starts_with("tn1:"));
}

#[tokio::test]
async fn b_redis_nobody_answers_and_opening_ends_within_its_timeout() {
    let server = server().await;
    let config = config_of(&server)
        .with("options.timeout", 1000)
        .with("options.retries", 2);
    server.kill();
    let lock = RedisLock::new();
    lock.configure(&config).unwrap();
    let limit = Duration::from_secs(5);
    let error = tokio::time::timeout(limit, lock.open(None))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.code(), Code::CannotConnect);
    assert_eq!(
        error.category(),
        Category::NoResponse,
        "{}",
        seen_of(&error)
    );
    server.launch().await;
    lock.open(None).await.unwrap();
    assert!(lock.try_acquire_lock(None, "k", LONG).await.unwrap());
}
