//! A password that nobody could overlook, given in every way there is: it appears nowhere.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure::core::{Holder, LeaseStore};
use tenure::{
    Locks, RedisLockConfig, RedisLockManager, RedisOptions, RedisStore, Task, TaskScheduling,
};
use tenure_bed::{Cluster, Flavour, Redis, Sentinel, until};

/// What must not be seen, and how it looks in a URL.
const SECRET: &str = "CANARY-s3cret#@?/%";
const IN_URL: &str = "CANARY-s3cret%23%40%3F%2F%25";
/// What both have in common.
const CANARY: &str = "CANARY";
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that was logged or said, by us and by the driver.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<u8>>>);

impl io::Write for Ear {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Ear {
    fn enabled(&self, _of: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        use io::Write as _;
        let mut ear = self.clone();
        let _kept = writeln!(ear, "{} {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

impl Ear {
    /// Hears whatever this process logs, at the lowest level, and whatever it panics with.
    fn everywhere() -> Self {
        let ear = Self::default();
        let writer = ear.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log::set_boxed_logger(Box::new(ear.clone())).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let writer = ear.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            writer.hear(&panic);
            before(panic);
        }));
        ear
    }

    fn hear(&self, said: &impl std::fmt::Display) {
        use io::Write as _;
        let mut ear = self.clone();
        writeln!(ear, "{said}").unwrap();
    }

    /// An error as every kind of handler shows it.
    fn hear_error(&self, error: &(dyn Error + 'static)) {
        self.hear(&format!("{error:?} {error:#?}"));
        let mut next = Some(error);
        while let Some(error) = next {
            self.hear(&error);
            next = error.source();
        }
    }

    fn text(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }

    #[track_caller]
    fn has_no_canary(&self) {
        let text = self.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(CANARY)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// Whatever the server keeps, as text.
async fn kept_by(server: &Redis) -> String {
    let mut kept = String::new();
    for name in server.call(&["KEYS", "*"]).await.list() {
        let name = name.to_string();
        let _infallible = writeln!(kept, "{name}");
        for read in [
            &["GET", &name][..],
            &["HGETALL", &name],
            &["ZRANGE", &name, "0", "-1"],
            &["LRANGE", &name, "0", "-1"],
            &["XRANGE", &name, "-", "+"],
        ] {
            let _infallible = writeln!(kept, "{}", server.call(read).await);
        }
    }
    for asked in [&["CLIENT", "LIST"][..], &["SLOWLOG", "GET", "100"]] {
        let _infallible = writeln!(kept, "{}", server.call(asked).await);
    }
    kept
}

fn refused(ear: &Ear, url: &str) {
    let error = RedisOptions::from_url(url).unwrap_err();
    ear.hear_error(&error);
    ear.hear_error(&tenure::check_url(url).unwrap_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_c12_a_password_appears_in_no_log_error_panic_record_or_debug_text() {
    let ear = Ear::everywhere();
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user(&format!("app on >{SECRET} ~* &* +@all"))
        .acl_user("default off")
        .start()
        .await;
    let port = server.port();
    let url = format!("redis://app:{IN_URL}@127.0.0.1:{port}");
    // Given in every way, used, and shown.
    let file = server.folder().join("password");
    std::fs::write(&file, SECRET).unwrap();
    let by_file = format!(
        "redis://app@127.0.0.1:{port}?password_file={}",
        file.display()
    );
    let given = RedisOptions::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    for options in [
        RedisOptions::from_url(&url).unwrap(),
        RedisOptions::from_url(&by_file).unwrap(),
        given.username("app").password(SECRET),
    ] {
        ear.hear(&format!("{options:?} {options:#?}"));
        let store = RedisStore::with(options).await.unwrap();
        let locks = Locks::new(Arc::new(store.clone()), Holder::new("holder"));
        let guard = locks.lock("k").acquire().await.unwrap();
        ear.hear(&format!(
            "{store:?} {locks:#?} {guard:?} {:?}",
            LeaseStore::promises(&store)
        ));
        ear.hear(&format!("{:?}", locks.inspect("k").await.unwrap()));
        ear.hear(&format!("{:?}", store.diagnose().await.unwrap()));
        guard.release().await.unwrap();
    }
    let tenure = tenure::connect(&url).await.unwrap();
    ear.hear(&format!("{tenure:?}"));
    // What fails with it: a wrong one, no server, no answer, no right.
    let wrong = url.replace("CANARY-s", "CANARY-x");
    ear.hear_error(&RedisStore::connect(&wrong).await.unwrap_err());
    ear.hear_error(&tenure::connect(&wrong).await.unwrap_err());
    let nowhere = format!("redis://app:{IN_URL}@127.0.0.1:1?connect_timeout=500ms");
    ear.hear_error(&RedisStore::connect(&nowhere).await.unwrap_err());
    let no_tls = url.replace("redis:", "rediss:") + "?connect_timeout=500ms";
    let _installed = rustls::crypto::ring::default_provider().install_default();
    ear.hear_error(&RedisStore::connect(&no_tls).await.unwrap_err());
    let store = RedisStore::connect(&format!("{url}?timeout=300ms"))
        .await
        .unwrap();
    server.pause();
    ear.hear_error(&LeaseStore::now(&store).await.unwrap_err());
    server.resume();
    server.call(&["ACL", "SETUSER", "app", "-@all"]).await;
    until("rights are missed", PATIENCE, async || {
        LeaseStore::now(&store)
            .await
            .err()
            .map(|error| ear.hear_error(&error))
    })
    .await;
    server.call(&["ACL", "SETUSER", "app", "+@all"]).await;
    misread(&ear);
    // A panic with everything in its message.
    let shown = format!("{store:?}");
    let panicked = std::thread::spawn(move || assert!(shown.is_empty(), "{shown}")).join();
    assert!(panicked.is_err());
    ear.has_no_canary();

    tasks_on(&server, &ear).await;
    elsewhere(&ear).await;
    ear.has_no_canary();
    // It was all heard: what we logged, and what the driver did.
    for target in ["DEBUG tenure_lock", "redis::cluster_handling"] {
        assert!(ear.text().contains(target), "{target} was not heard");
    }
}

/// URLs that cannot be read.
fn misread(ear: &Ear) {
    // What cannot be read, with the password where it breaks things.
    for bad in [
        format!("redis://app:{SECRET}@127.0.0.1"),
        format!("redis://app:{IN_URL}@"),
        format!("redis://app:{IN_URL}@h:99999"),
        format!("redis://app:{IN_URL}@h/notanumber"),
        format!("redis://app:{IN_URL}%zz@h"),
        format!("redis://app:{IN_URL}@h?nonsense=1"),
        format!("redis://app:{IN_URL}@h?timeout=soon"),
        format!("redis://app@h?password_file=/nowhere/at/all&timeout={IN_URL}x")
            .replace(IN_URL, "1"),
        format!("reddis://app:{IN_URL}@h"),
        format!("redis+cluster://app:{IN_URL}@h/3"),
        format!("redis+quorum://app:{IN_URL}@h"),
        format!("redis+unix:app:{IN_URL}@"),
    ] {
        refused(ear, &bad);
    }
}

/// A manager with a password, and what its tasks leave behind.
async fn tasks_on(server: &Redis, ear: &Ear) {
    // Tasks: their records, events and history.
    let config = RedisLockConfig {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        username: "app".to_owned(),
        password: SECRET.into(),
        ..RedisLockConfig::default()
    };
    ear.hear(&format!("{config:?} {config:#?}"));
    let manager = RedisLockManager::configured(None, Arc::new(()), &config)
        .await
        .unwrap();
    ear.hear(&format!("{manager:?}"));
    let (ran, mut runs) = tokio::sync::mpsc::unbounded_channel();
    let tasks = TaskScheduling::builder(())
        .manager(manager)
        .task(Task::new("t").schedule("* * * * * *").run(move |_| {
            let _heard = ran.send(());
            std::future::ready(())
        }))
        .start()
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, runs.recv())
        .await
        .unwrap()
        .unwrap();
    tasks.drain(Duration::from_secs(10)).await;
    let kept = kept_by(server).await;
    assert!(kept.contains("tenure:{"), "{kept}");
    assert!(!kept.contains(CANARY));
}

/// The other ways to servers, whose drivers log more.
async fn elsewhere(ear: &Ear) {
    let sentinel = Sentinel::start_with(Flavour::Redis, 0, |builder| {
        builder.acl_user(&format!("app on >{SECRET} ~* &* +@all"))
    })
    .await;
    let cluster = Cluster::start(Flavour::Redis).await;
    for node in cluster.nodes() {
        let user = [
            "ACL",
            "SETUSER",
            "app",
            "on",
            &format!(">{SECRET}"),
            "~*",
            "&*",
            "+@all",
        ];
        assert_eq!(node.cli(&user).await, "OK");
    }
    for url in [sentinel.url(), cluster.url()] {
        let url = url.replace("://", &format!("://app:{IN_URL}@"));
        let locks = tenure::connect(&url).await.unwrap().locks();
        let guard = locks.lock("k").acquire().await.unwrap();
        ear.hear(&format!("{locks:?} {guard:?}"));
        guard.release().await.unwrap();
        let wrong = url.replace("CANARY-s", "CANARY-x");
        ear.hear_error(&tenure::connect(&wrong).await.unwrap_err());
    }
}
