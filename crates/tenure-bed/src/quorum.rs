//! Servers that know nothing of each other, of which a majority decides.

use crate::program::Flavour;
use crate::redis::{Redis, RedisBuilder};
use crate::sentinel::addresses;

/// Independent servers. All of them are gone when it is dropped.
#[derive(Debug)]
pub struct Quorum {
    nodes: Vec<Redis>,
}

impl Quorum {
    /// Starts that many servers.
    pub async fn start(flavour: Flavour, size: usize) -> Self {
        Self::start_with(flavour, size, |builder| builder).await
    }

    /// As [`Quorum::start`], with settings for each server.
    pub async fn start_with(
        flavour: Flavour,
        size: usize,
        settings: impl Fn(RedisBuilder) -> RedisBuilder,
    ) -> Self {
        let mut nodes = Vec::with_capacity(size);
        for _ in 0..size {
            nodes.push(settings(Redis::builder(flavour)).start().await);
        }
        Self { nodes }
    }

    /// `redis+quorum://HOST:PORT,…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+quorum://{}", addresses(&self.nodes))
    }

    /// The servers.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }
}
