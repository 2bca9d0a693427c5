//! Rows "life cycle", "configuration" and "references", on the Redis lock with a recorded
//! connection.

use std::sync::Arc;

use tenure_component::{
    Category, Code, Component, ConfigParams, Context, CredentialParams, CredentialStore, Discovery,
    Lock, MemoryCredentialStore, MemoryDiscovery, MemoryLock, RedisLock, References,
};
use tenure_core::StoreErrorKind;

use crate::support::{Attempt, Connector, LONG, MS, SECOND, SHORT, until};

const HERE: &str = "connection.host=localhost";

#[tokio::test]
async fn b_life_cycle_using_it_while_not_open_is_an_invalid_state() {
    let connector = Connector::default();
    let redis = connector.lock(HERE);
    let memory = MemoryLock::new();
    memory.close(None).await.unwrap();
    let context = Context::from_trace_id("t-3");
    let context = Some(&context);
    for lock in [&redis as &dyn Lock, &memory] {
        assert!(!lock.is_open());
        for error in [
            lock.try_acquire_lock(context, "k", LONG).await.unwrap_err(),
            lock.acquire_lock(context, "k", LONG, SECOND)
                .await
                .unwrap_err(),
            lock.release_lock(context, "k").await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::NotOpened);
            assert_eq!(error.code().as_str(), "NOT_OPENED");
            assert_eq!(error.category(), Category::InvalidState);
            assert_eq!(error.trace_id(), Some("t-3"));
        }
        lock.open(context).await.unwrap();
        assert!(lock.is_open());
        assert!(lock.try_acquire_lock(context, "k", LONG).await.unwrap());
    }
    assert_eq!(connector.urls().len(), 1);
}

#[tokio::test]
async fn b_life_cycle_opening_without_a_connection_is_a_configuration_error() {
    let context = Context::from_trace_id("t-4");
    let connector = Connector::default();
    let unconfigured = RedisLock::with_connector(Arc::new(connector.clone()));
    for lock in [
        unconfigured,
        connector.lock("options.timeout=1000;credential.username=a"),
    ] {
        let error = lock.open(Some(&context)).await.unwrap_err();
        assert_eq!(error.code(), Code::NoConnection);
        assert_eq!(error.code().as_str(), "NO_CONNECTION");
        assert_eq!(error.category(), Category::Misconfiguration);
        assert_eq!(error.trace_id(), Some("t-4"));
        assert!(!lock.is_open());
    }
    assert!(connector.urls().is_empty());
}

#[tokio::test]
async fn b_life_cycle_opening_and_closing_can_be_repeated() {
    let connector = Connector::default();
    let lock = connector.lock(HERE);
    lock.close(None).await.unwrap();
    for round in 1..=3 {
        lock.open(None).await.unwrap();
        lock.open(None).await.unwrap();
        assert!(lock.is_open());
        assert_eq!(
            connector.urls().len(),
            round,
            "opening what is open does nothing"
        );
        lock.close(None).await.unwrap();
        lock.close(None).await.unwrap();
        assert!(!lock.is_open());
    }
}

#[tokio::test]
async fn b_life_cycle_opening_from_many_tasks_connects_once() {
    let connector = Connector::with_script([Attempt::Fails(StoreErrorKind::Unavailable)]);
    let lock = Arc::new(connector.lock(HERE));
    let tasks = (0..8).map(|_| {
        let lock = lock.clone();
        tokio::spawn(async move { lock.open(None).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert_eq!(connector.urls().len(), 2);
}

#[tokio::test]
async fn b_life_cycle_closing_ends_every_wait() {
    let connector = Connector::default();
    let (holder, lock) = (connector.lock(HERE), Arc::new(connector.lock(HERE)));
    holder.open(None).await.unwrap();
    lock.open(None).await.unwrap();
    holder.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let waiter = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire_lock(None, "k", LONG, 60 * SECOND).await })
    };
    connector.store.until_waiting("k", 1).await;
    lock.close(None).await.unwrap();
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::NotOpened);
    connector.store.until_waiting("k", 0).await;
}

#[tokio::test]
async fn b_life_cycle_closing_and_dropping_leave_locks_to_their_ttl() {
    let connector = Connector::default();
    let lock = connector.lock(HERE);
    lock.open(None).await.unwrap();
    lock.acquire_lock(None, "closed", SHORT, SECOND)
        .await
        .unwrap();
    lock.close(None).await.unwrap();
    let other = connector.lock(HERE);
    other.open(None).await.unwrap();
    other
        .acquire_lock(None, "dropped", SHORT, SECOND)
        .await
        .unwrap();
    drop(other);
    assert_eq!(connector.store.releases(), 0);

    lock.open(None).await.unwrap();
    lock.release_lock(None, "closed").await.unwrap();
    for key in ["closed", "dropped"] {
        lock.acquire_lock(None, key, LONG, 10 * SECOND)
            .await
            .unwrap();
    }
    assert_eq!(connector.store.releases(), 0, "the ttl ended them");
}

#[tokio::test(start_paused = true)]
async fn b_weakness_retries_counts_how_often_connecting_is_tried_again() {
    for (retries, attempts) in [("options.retries=0", 1), ("options.retries=5", 6), ("", 4)] {
        let fails = [Attempt::Fails(StoreErrorKind::Unavailable); 20];
        let connector = Connector::with_script(fails);
        let lock = connector.lock(&format!("{HERE};{retries}"));
        let context = Context::from_trace_id("t-5");
        let error = lock.open(Some(&context)).await.unwrap_err();
        assert_eq!(connector.urls().len(), attempts, "{retries}");
        assert_eq!(error.code(), Code::CannotConnect);
        assert_eq!(error.category(), Category::NoResponse);
        assert_eq!(
            error.detail("attempts"),
            Some(attempts.to_string().as_str())
        );
        assert_eq!(error.trace_id(), Some("t-5"));
        assert!(!lock.is_open());
    }
    let twice = [Attempt::Fails(StoreErrorKind::Unavailable); 2];
    let connector = Connector::with_script(twice);
    let lock = connector.lock(HERE);
    lock.open(None).await.unwrap();
    assert_eq!(connector.urls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn b_weakness_timeout_bounds_opening_with_all_its_tries() {
    for script in [
        vec![Attempt::Hangs],
        vec![Attempt::Fails(StoreErrorKind::Unavailable); 900],
    ] {
        let connector = Connector::with_script(script);
        let lock = connector.lock(&format!("{HERE};options.timeout=1500;options.retries=800"));
        let began = tokio::time::Instant::now();
        let error = lock.open(None).await.unwrap_err();
        assert_eq!(error.code(), Code::CannotConnect);
        let text = error.to_string();
        assert!(
            text.contains("cannot connect to localhost within 1s500ms"),
            "{text}"
        );
        assert_eq!(error.detail("servers"), Some("localhost"));
        assert_eq!(began.elapsed(), 1500 * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn e68_b_configuration_a_server_that_refuses_is_not_asked_again() {
    for (kind, category) in [
        (StoreErrorKind::Denied, Category::Unauthorized),
        (StoreErrorKind::Misconfigured, Category::Misconfiguration),
    ] {
        let connector = Connector::with_script([Attempt::Fails(kind)]);
        let error = connector.lock(HERE).open(None).await.unwrap_err();
        assert_eq!(
            (error.code(), error.category()),
            (Code::CannotConnect, category)
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "the server says no");
        assert_eq!(connector.urls().len(), 1);
    }
}

#[tokio::test]
async fn b_references_discovery_and_credential_store_give_the_connection_its_parts() {
    let connector = Connector::default();
    let lock = connector.lock(
        "connection.discovery_key=orders; credential.store_key=orders; options.db_num=2; \
         options.retry_timeout=40; options.timeout=2000",
    );
    let discovery = MemoryDiscovery::from_config(
        &"orders.host=db7;orders.port=6390;orders.protocol=rediss"
            .parse()
            .unwrap(),
    );
    let store = MemoryCredentialStore::new();
    let credential = CredentialParams::new()
        .with_username("app")
        .with_password("p:w");
    store.put("orders", credential);
    let mut references = References::new();
    references.put::<dyn Discovery>(
        "my:discovery:memory:default:1.0".parse().unwrap(),
        Arc::new(discovery.unwrap()),
    );
    references.put::<dyn CredentialStore>(
        "my:credential-store:memory:default:1.0".parse().unwrap(),
        Arc::new(store),
    );
    lock.set_references(&references).unwrap();
    lock.open(None).await.unwrap();
    assert_eq!(
        connector.urls(),
        ["rediss://app:p%3Aw@db7:6390?db=2&connect_timeout=2s&poll=40ms"]
    );
}

#[tokio::test]
async fn b_references_that_are_needed_and_missing_are_named() {
    let connector = Connector::default();
    for (config, code, detail) in [
        (
            "connection.discovery_key=main",
            Code::NoReference,
            "discovery_key",
        ),
        (
            "host=h;credential.store_key=main",
            Code::NoReference,
            "store_key",
        ),
    ] {
        let lock = connector.lock(config);
        lock.set_references(&References::new()).unwrap();
        let error = lock.open(None).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(error.detail(detail), Some("main"));
    }
    assert!(
        connector.urls().is_empty(),
        "nobody is asked as somebody else"
    );
}

#[tokio::test]
async fn b_references_many_addresses_from_one_discovery_key_make_a_cluster_or_a_quorum() {
    let connector = Connector::default();
    for (topology, expected) in [
        ("", "redis+cluster://a,b,c:7?"),
        (";options.topology=quorum", "redis+quorum://a,b,c:7?"),
    ] {
        let lock = connector.lock(&format!("connection.discovery_key=trio{topology}"));
        let text = "trio.0.host=a;trio.1.host=b;trio.2.host=c;trio.2.port=7";
        let discovery = MemoryDiscovery::from_config(&text.parse().unwrap()).unwrap();
        let mut references = References::new();
        let descriptor = "my:discovery:memory:default:1.0".parse().unwrap();
        references.put::<dyn Discovery>(descriptor, Arc::new(discovery));
        lock.set_references(&references).unwrap();
        lock.open(None).await.unwrap();
        let urls = connector.urls();
        let url = urls.last().unwrap();
        assert!(url.starts_with(expected), "{url}");
    }
}

#[tokio::test]
async fn b_life_cycle_a_new_configuration_counts_from_the_next_opening() {
    let connector = Connector::default();
    let lock = connector.lock("host=a");
    lock.open(None).await.unwrap();
    lock.configure(&ConfigParams::new().with("host", "b"))
        .unwrap();
    let bad = ConfigParams::new()
        .with("host", "c")
        .with("options.retries", "x");
    let error = lock.configure(&bad).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig);
    assert!(lock.is_open());
    lock.close(None).await.unwrap();
    lock.open(None).await.unwrap();
    let hosts: Vec<_> = connector
        .urls()
        .iter()
        .map(|url| url.split('?').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        hosts,
        ["redis://a", "redis://b"],
        "the one in between changed nothing"
    );
}

#[tokio::test]
async fn b_life_cycle_a_dropped_opening_leaves_it_closed() {
    let connector = Connector::with_script([Attempt::Hangs]);
    let lock = Arc::new(connector.lock(HERE));
    let opening = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.open(None).await })
    };
    until("connecting", async || connector.urls().len() == 1).await;
    opening.abort();
    assert!(opening.await.unwrap_err().is_cancelled());
    assert!(!lock.is_open());
    lock.open(None).await.unwrap();
    assert!(lock.is_open());
}
