//! Who stands behind a node's number in the records.
//!
//! A record names its node by a number, which is short; what a node says of itself stands once.
//! Numbers are drawn by the clock and never used again, so what was read once stays true.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::Value;
use serde::{Deserialize, Serialize};
use tenure_core::{Abilities, Beat, Holder, NodeRecord, StoreError, Timestamp};

use super::row::{NodeNumber, not_ours};
use crate::link::Call;
use crate::reply::Reply;
use crate::store::RedisStore;

/// How many are remembered on this side.
const MOST: usize = 4096;

/// The nodes this process has read of.
#[derive(Debug, Default)]
pub(super) struct Holders {
    known: Mutex<HashMap<NodeNumber, Holder>>,
}

impl Holders {
    fn remember(&self, number: NodeNumber, holder: Holder) {
        let mut known = locked(&self.known);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(number, holder);
    }
}

/// What a node says of itself with each beat.
#[derive(Serialize, Deserialize)]
pub(super) struct Details {
    node: Holder,
    #[serde(default)]
    clock_ahead_ms: Option<i64>,
    #[serde(default)]
    capacity: u32,
    #[serde(default)]
    version: String,
    #[serde(default, skip_serializing_if = "Abilities::are_unsaid")]
    abilities: Abilities,
}

impl Details {
    pub(super) fn of(beat: &Beat) -> Self {
        Self {
            node: beat.node.clone(),
            clock_ahead_ms: beat.clock_ahead_ms,
            capacity: beat.capacity,
            version: beat.version.clone(),
            abilities: beat.abilities.clone(),
        }
    }
}

/// Reads `STATUS JOINED SEEN EXPIRES NONCE HAD_LAPSED JSON`.
pub(super) fn read_node(text: &[u8], nodes_key: &str) -> Result<NodeRecord, StoreError> {
    parse_node(text).ok_or_else(|| not_ours("the node", nodes_key, text))
}

fn parse_node(text: &[u8]) -> Option<NodeRecord> {
    let mut parts = std::str::from_utf8(text).ok()?.splitn(7, ' ');
    parts.next()?;
    let mut time = || parts.next()?.parse().ok().map(Timestamp::from_millis);
    let (joined_at, seen_at, expires_at) = (time()?, time()?, time()?);
    let details: Details = serde_json::from_str(parts.nth(2)?).ok()?;
    let mut beat = Beat::new(details.node, std::time::Duration::ZERO);
    beat.clock_ahead_ms = details.clock_ahead_ms;
    beat.capacity = details.capacity;
    beat.version = details.version;
    beat.abilities = details.abilities;
    let mut record = NodeRecord::of_beat(&beat, joined_at, seen_at);
    record.expires_at = expires_at;
    Some(record)
}

impl RedisStore {
    /// Who these nodes are. One that the store has forgotten, or cannot read, is left out.
    pub(super) async fn holders(
        &self,
        numbers: impl IntoIterator<Item = NodeNumber>,
    ) -> Result<HashMap<NodeNumber, Holder>, StoreError> {
        let wanted: HashSet<NodeNumber> = numbers.into_iter().collect();
        let holders = &self.shared.runs.holders;
        let (mut found, mut strangers) = (HashMap::new(), Vec::new());
        {
            let known = locked(&holders.known);
            for number in wanted {
                match known.get(&number) {
                    Some(holder) => drop(found.insert(number, holder.clone())),
                    None => strangers.push(number),
                }
            }
        }
        for some in strangers.chunks(1000) {
            let doing = "read nodes";
            let mut call = Call::command(doing, "HMGET").arg(self.run_names().of("nodes"));
            for number in some {
                call.push(number);
            }
            let answers = Reply::new(doing, self.send(call).await?)?;
            for (number, answer) in some.iter().zip(answers.rest()) {
                let Value::BulkString(text) = answer else {
                    continue;
                };
                if let Some(node) = parse_node(&text) {
                    holders.remember(*number, node.node.clone());
                    found.insert(*number, node.node);
                }
            }
        }
        Ok(found)
    }
}

/// A panic elsewhere leaves the map whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f38_a_node_that_cannot_be_read_is_told_with_its_place() {
        let mut beat = Beat::new(Holder::new("a \"b\" é"), std::time::Duration::ZERO);
        beat.clock_ahead_ms = Some(-3);
        let json = serde_json::to_string(&Details::of(&beat)).unwrap();
        let text = format!("a 1 2 3 nonce 0 {json}");
        let node = read_node(text.as_bytes(), "nodes").unwrap();
        assert_eq!((node.node, node.clock_ahead_ms), (beat.node, Some(-3)));
        assert_eq!(node.expires_at, Timestamp::from_millis(3));
        for text in [
            "",
            "a",
            "a 1 2 3 nonce 0",
            "a 1 2 x nonce 0 {}",
            "a 1 2 3 nonce 0 {}",
        ] {
            let error = read_node(text.as_bytes(), "nodes").unwrap_err();
            assert!(error.to_string().contains("`nodes`"), "{error}");
        }
    }
}
