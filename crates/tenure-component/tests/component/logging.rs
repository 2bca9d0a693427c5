//! Row "`Context`": the trace id in every line; warnings; and that no secret is ever written.

use std::sync::Arc;

use tenure_component::{
    Component as _, ConfigParams, Context, CredentialParams, CredentialStore, Lock as _,
    MemoryCredentialStore, RedisLock, References,
};
use tenure_core::StoreErrorKind;

use crate::support::{Attempt, Connector, CountingStore, LONG, Lines, MS, SECOND, SHORT, seen_of};

#[tokio::test(start_paused = true)]
async fn b_context_the_trace_id_is_in_every_line_that_a_call_logs() {
    let lines = Lines::capture();
    let connector = Connector::with_script([Attempt::Fails(StoreErrorKind::Unavailable); 2]);
    let lock = connector.lock("host=h");
    let context = Context::from_trace_id("trace-4711\n");
    let context = Some(&context);
    lock.open(context).await.unwrap();
    lock.acquire_lock(context, "k", LONG, SECOND).await.unwrap();
    assert!(!lock.try_acquire_lock(context, "k", LONG).await.unwrap());
    lock.acquire_lock(context, "k", LONG, 50 * MS)
        .await
        .unwrap_err();
    lock.release_lock(context, "k").await.unwrap();
    lock.close(context).await.unwrap();
    let all = lines.all();
    assert!(all.len() >= 4, "{all:#?}");
    for line in &all {
        assert!(line.contains("trace_id=trace-4711\\n"), "{line}");
    }
    assert_eq!(lines.with("cannot connect, trying again").len(), 2);
    assert_eq!(lines.with("lock acquired").len(), 1, "{all:#?}");
}

#[tokio::test]
async fn b_context_is_optional() {
    let lines = Lines::capture();
    let store = CountingStore::default();
    let lock = store.lock();
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    assert!(!lines.all().is_empty());
    assert!(lines.with("trace_id").is_empty(), "{:#?}", lines.all());
}

#[tokio::test]
async fn b_lock_a_release_that_comes_late_is_logged() {
    let lines = Lines::capture();
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    one.acquire_lock(None, "k", SHORT, SECOND).await.unwrap();
    two.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
    one.release_lock(None, "k").await.unwrap();
    let late = lines.with("released after its ttl had run out");
    assert_eq!(late.len(), 1, "{:#?}", lines.all());
    assert!(late[0].contains("WARN"), "{late:?}");
}

#[test]
fn b_configuration_an_unknown_key_is_a_warning_that_names_the_nearest_known_one() {
    for (config, parts) in [
        (
            "options.retry_timout=5",
            &["options.retry_timout", "did you mean `retry_timeout`?"][..],
        ),
        (
            "options.max-retires=5",
            &["known are retry_timeout, retries, timeout, db_num"],
        ),
        ("options.dbnum=5", &["did you mean `db_num`?"]),
        (
            "connection.hots=h",
            &["connection.hots", "did you mean `host`?"],
        ),
        (
            "connections.0.hots=h",
            &["connections.0.hots", "did you mean `host`?"],
        ),
        (
            "credential.usrname=h",
            &["credential.usrname", "did you mean `username`?"],
        ),
        (
            "connection.host=a;port=1",
            &["port", "write `connection.port`"],
        ),
    ] {
        let lines = Lines::capture();
        let lock = RedisLock::new();
        lock.configure(&config.parse().unwrap()).unwrap();
        let all = lines.all();
        assert_eq!(all.len(), 1, "{config}: {all:#?}");
        for part in [&["WARN"], parts].concat() {
            assert!(all[0].contains(part), "{config}: {all:#?}");
        }
    }
    let lines = Lines::capture();
    let known = "connections.0.host=a;connections.0.port=1;connections.1.uri=redis://b;\
                 credential.store_key=c;credential.username=d;credential.password=e;\
                 options.retry_timeout=1;options.retries=1;options.timeout=1000;\
                 options.db_num=1;options.topology=quorum;descriptor=x:lock:redis:y:1.0";
    RedisLock::new().configure(&known.parse().unwrap()).unwrap();
    assert!(lines.all().is_empty(), "{:#?}", lines.all());
}

#[tokio::test(start_paused = true)]
async fn f7_c12_no_secret_is_in_any_line_error_or_debug_text() {
    const CANARY: &str = "s3cret-canary";
    let lines = Lines::capture();
    let mut seen = Vec::new();
    let store = MemoryCredentialStore::new();
    let kept = CredentialParams::new()
        .with_username("app")
        .with_password(CANARY);
    store.put("main", kept.clone());
    let mut references = References::new();
    let descriptor = "my:credential-store:memory:default:1.0".parse().unwrap();
    references.put::<dyn CredentialStore>(descriptor, Arc::new(store));
    for config in [
        format!("host=h;credential.password={CANARY}"),
        format!("host=h;password={CANARY};pasword={CANARY}"),
        format!("connection.uri=redis://app:{CANARY}@h"),
        format!("connection.uri=redis://app:{CANARY}@h;credential.password={CANARY}"),
        format!("connection.uri=redis://{CANARY}@h/1;options.db_num=2"),
        format!("connection.host={CANARY}@h"),
        format!("credential.passwrd={CANARY};host=h"),
        "host=h;credential.store_key=main".to_owned(),
    ] {
        for script in [
            vec![],
            vec![Attempt::Fails(StoreErrorKind::Unavailable); 10],
            vec![Attempt::Fails(StoreErrorKind::Denied)],
            vec![Attempt::Hangs],
        ] {
            let connector = Connector::with_script(script);
            let params: ConfigParams = config.parse().unwrap();
            seen.push(format!("{params:?} {:?}", params.section("credential")));
            let lock = RedisLock::with_connector(Arc::new(connector.clone()));
            lock.set_references(&references).unwrap();
            if let Err(error) = lock.configure(&params) {
                seen.push(seen_of(&error));
                continue;
            }
            if let Err(error) = lock.open(None).await {
                seen.push(seen_of(&error));
            }
            seen.push(format!("{lock:?} {lock:#?}"));
        }
    }
    seen.push(format!("{kept:?}"));
    seen.extend(lines.all());
    assert!(seen.len() > 80, "{}", seen.len());
    for text in seen {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
