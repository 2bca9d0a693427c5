//! Several servers together: complete when a test gets them, and harmed as servers are.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy frees tests, and these functions are parts of tests"
)]

use tenure_bed::{Cluster, Flavour, Quorum, Sentinel};

async fn sentinels_replace_a_killed_primary(flavour: Flavour) {
    let sentinel = Sentinel::start(flavour, 2).await;
    let parts: Vec<_> = sentinel
        .url()
        .split(['/', ','])
        .map(str::to_owned)
        .collect();
    assert_eq!(parts.len(), 6, "{parts:?}");
    assert_eq!(parts[5], sentinel.name());
    let primary = sentinel.primary().await;
    let waited = primary.calls(&[&["SET", "key", "value"], &["WAIT", "2", "5000"]]);
    assert_eq!(waited.await[1].int(), Some(2));
    let old = sentinel.kill_primary().await;
    let next = sentinel.failed_over(old).await;
    assert_ne!(next.port(), old.port());
    assert_eq!(next.cli(&["GET", "key"]).await, "value");
    assert_eq!(next.cli(&["SET", "key", "later"]).await, "OK");
    // Back, it follows the new one.
    old.restart().await;
    sentinel.in_sync().await;
    assert_eq!(old.cli(&["GET", "key"]).await, "later");
}

async fn a_slot_moves_while_the_cluster_goes_on(flavour: Flavour) {
    let cluster = Cluster::start(flavour).await;
    let slot = cluster.slot_of_key("{tag}").await;
    let from = cluster.node_of_slot(slot).await;
    let to = (from + 1) % 3;
    let (old, new) = (&cluster.nodes()[from], &cluster.nodes()[to]);
    for number in 0..250 {
        old.call(&["SET", &format!("{{tag}}{number}"), "value"])
            .await;
    }
    let moved = format!("MOVED {slot} 127.0.0.1:{}", old.port());
    assert_eq!(new.cli(&["GET", "{tag}1"]).await, moved);
    let migration = cluster.begin_migration(slot, to).await;
    let ask = format!("ASK {slot} 127.0.0.1:{}", new.port());
    assert_eq!(old.cli(&["GET", "{tag}new"]).await, ask);
    assert_eq!(old.cli(&["GET", "{tag}1"]).await, "value");
    let several = old.cli(&["MGET", "{tag}1", "{tag}new"]).await;
    assert!(several.starts_with("TRYAGAIN"), "{several}");
    migration.move_keys().await;
    migration.finish().await;
    assert_eq!(cluster.node_of_slot(slot).await, to);
    let moved = format!("MOVED {slot} 127.0.0.1:{}", new.port());
    assert_eq!(old.cli(&["GET", "{tag}1"]).await, moved);
    assert_eq!(new.cli(&["DBSIZE"]).await, "250");
    cluster.migrate_slot(slot, from).await;
    cluster.in_sync().await;
    assert_eq!(old.cli(&["DBSIZE"]).await, "250");
}

async fn the_majority_of_a_quorum_outlives_a_minority(flavour: Flavour) {
    let quorum = Quorum::start(flavour, 5).await;
    assert_eq!(quorum.url().matches("127.0.0.1:").count(), 5);
    for (at, node) in quorum.nodes().iter().enumerate() {
        node.call(&["SET", "at", &at.to_string()]).await;
    }
    quorum.nodes()[0].kill();
    quorum.nodes()[1].pause();
    for (at, node) in quorum.nodes().iter().enumerate().skip(2) {
        assert_eq!(node.cli(&["GET", "at"]).await, at.to_string());
    }
    quorum.nodes()[1].resume();
    assert_eq!(quorum.nodes()[1].cli(&["GET", "at"]).await, "1");
}

mod redis {
    use super::*;

    #[tokio::test]
    async fn sentinels_replace_a_killed_primary() {
        super::sentinels_replace_a_killed_primary(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_slot_moves_while_the_cluster_goes_on() {
        super::a_slot_moves_while_the_cluster_goes_on(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn the_majority_of_a_quorum_outlives_a_minority() {
        super::the_majority_of_a_quorum_outlives_a_minority(Flavour::Redis).await;
    }
}

mod valkey {
    use super::*;

    #[tokio::test]
    async fn sentinels_replace_a_killed_primary() {
        super::sentinels_replace_a_killed_primary(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_slot_moves_while_the_cluster_goes_on() {
        super::a_slot_moves_while_the_cluster_goes_on(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn the_majority_of_a_quorum_outlives_a_minority() {
        super::the_majority_of_a_quorum_outlives_a_minority(Flavour::Valkey).await;
    }
}
