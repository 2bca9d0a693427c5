//! A primary and those that follow it, as tests of what replicas have write them.

use std::time::Duration;

use tenure_bed::{Flavour, Redis, RedisBuilder, until};

const PATIENCE: Duration = Duration::from_secs(90);

/// One primary with two replicas, and no sentinels.
pub(crate) async fn trio() -> (Redis, [Redis; 2]) {
    trio_of(|| Redis::builder(Flavour::Redis).tcp()).await
}

pub(crate) async fn trio_of(builder: impl Fn() -> RedisBuilder) -> (Redis, [Redis; 2]) {
    let primary = builder().start().await;
    let port = primary.port().to_string();
    let replicas = [builder().start().await, builder().start().await];
    for replica in &replicas {
        replica.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    }
    until("the replicas follow", PATIENCE, async || {
        (primary.info("connected_slaves").await? == "2").then_some(())?;
        for replica in &replicas {
            (replica.info("master_link_status").await? == "up").then_some(())?;
        }
        Some(())
    })
    .await;
    (primary, replicas)
}
