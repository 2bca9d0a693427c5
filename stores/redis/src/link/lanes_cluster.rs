//! Lent connections to the nodes of a cluster, and which node has which slot as far as they told.
//!
//! The driver's own connections to the nodes are shared, so a `WAIT` on them would hold up others.
//! Nothing is known in advance: a node that does not have a slot says who does. A slot that is on
//! its way from node to node refuses scripts of several keys until it has arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::RedisError;
use tenure_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::Node;
use super::pool::{Lent, Pool};
use crate::options::{Address, PoolSize, RedisOptions, Servers};
use crate::slots::slot_of;

pub(super) struct Nodes {
    options: RedisOptions,
    size: PoolSize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    nodes: Vec<Address>,
    pools: HashMap<Address, Arc<Pool>>,
    slots: HashMap<u16, Address>,
}

impl Nodes {
    pub(super) fn new(options: &RedisOptions, size: PoolSize, seeds: &[Address]) -> Self {
        let known = Known {
            nodes: seeds.to_vec(),
            ..Known::default()
        };
        Self {
            options: options.clone(),
            size,
            known: Mutex::new(known),
        }
    }

    /// These nodes may be asked too.
    pub(super) fn learn(&self, found: Vec<Node>) {
        let mut known = self.known();
        for node in found {
            if let Node::At(host, port) = node {
                known.meet(&Address { host, port });
            }
        }
    }

    /// A connection to the node that has the slot of `lock`, or to one that may know it.
    pub(super) async fn lend(
        &self,
        lock: &[u8],
        attempt: u32,
        doing: &str,
        deadline: Instant,
    ) -> Result<Lent, StoreError> {
        let pool = self.pool(slot_of(lock), attempt);
        let late = || {
            let message = format!("{doing}: a node of the cluster did not answer in time");
            StoreError::new(StoreErrorKind::Unavailable, message)
        };
        let pool = pool.ok_or_else(late)?;
        match tokio::time::timeout_at(deadline, pool.lend(doing, deadline)).await {
            Ok(lent) => lent,
            Err(_) => Err(late()),
        }
    }

    fn pool(&self, slot: u16, attempt: u32) -> Option<Arc<Pool>> {
        let mut known = self.known();
        let at = if let Some(at) = known.slots.get(&slot) {
            at.clone()
        } else {
            let turn = usize::from(slot).wrapping_add(usize::try_from(attempt).ok()?);
            known.nodes.get(turn % known.nodes.len().max(1))?.clone()
        };
        if let Some(pool) = known.pools.get(&at) {
            return Some(pool.clone());
        }
        let mut options = self.options.clone();
        options.servers = Servers::One(at.clone());
        let pool = Arc::new(Pool::closed(&options, self.size));
        known.pools.insert(at, pool.clone());
        Some(pool)
    }

    /// Learns from `error` which node has the slot of `lock`, if it says so.
    pub(super) fn follow(&self, lock: &[u8], error: &RedisError) -> bool {
        let Some((at, slot)) = error.redirect_node() else {
            return false;
        };
        if error.code() != Some("MOVED") || slot != slot_of(lock) {
            return false;
        }
        let Some((host, port)) = at.rsplit_once(':') else {
            return false;
        };
        let (false, Ok(port)) = (host.is_empty(), port.parse()) else {
            return false;
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let at = Address { host, port };
        let mut known = self.known();
        known.meet(&at);
        known.slots.insert(slot, at);
        true
    }

    /// Forgets which node has the slot of `lock`.
    pub(super) fn forget(&self, lock: &[u8]) {
        self.known().slots.remove(&slot_of(lock));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves the maps whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn meet(&mut self, node: &Address) {
        if !self.nodes.contains(node) {
            self.nodes.push(node.clone());
        }
    }
}
