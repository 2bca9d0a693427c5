//! Who waits for whom: the wait-for graph of locks, and the circles in it.
//!
//! A node of the graph is a process instance. A circle is a deadlock if each of its processes
//! waits in a task that holds what the next one wants; the store cannot see tasks, so a circle is
//! told as a suspicion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{LeaseView, Occupant};

use super::{At, Node, View, ViewError, millis, segment};

/// How many contended locks are looked at.
const MOST_LOCKS: usize = 200;
/// How many edges are shown.
const MOST_WAITS: usize = 2000;
/// How many of those who share a lock are waited for.
const MOST_HOLDERS: usize = 20;
/// How many circles are told.
const MOST_CIRCLES: usize = 20;

/// One process waits for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// The id of who waits.
    pub waiter: String,
    /// The id of who has the lock; `null` if it is free by now or has a foreign owner. Of several
    /// who share it there is one entry each, for up to 20.
    pub holder: Option<String>,
    /// The lock, as people read it.
    pub key: String,
    /// The lock as a segment of a path.
    pub path: String,
    /// The place in the queue.
    pub position: u32,
    /// For how long, in milliseconds.
    pub waited_ms: u64,
}

/// Who waits for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitGraph {
    /// The store's clock when it began to be read.
    pub now: At,
    /// Everybody who waits or is waited for.
    pub nodes: Vec<Node>,
    /// Who waits for whom.
    pub waits: Vec<Wait>,
    /// Circles of ids, each waiting for the next and the last for the first: probably deadlocks.
    pub circles: Vec<Vec<String>>,
    /// Whether there is more than is shown here.
    pub is_truncated: bool,
}

impl View {
    /// Who waits for whom, as of a second ago at most. The locks are read one after the other, so
    /// a circle may be one that never was at one instant.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn wait_graph(&self) -> Result<Arc<WaitGraph>, ViewError> {
        let inner = &self.inner;
        let read = || async {
            let now = inner.leases.now().await?;
            let (views, is_truncated) = self.contended(MOST_LOCKS).await?;
            let mut graph = graph_of(&views, is_truncated);
            graph.now = At(now);
            Ok(graph)
        };
        inner.graph.get(&*inner.clock, read).await
    }
}

fn graph_of(views: &[LeaseView], mut is_truncated: bool) -> WaitGraph {
    let mut nodes: Vec<Node> = Vec::new();
    let mut known = HashSet::new();
    let mut waits = Vec::new();
    let mut see = |node: Node| {
        if known.insert(node.id.clone()) {
            nodes.push(node);
        }
    };
    for view in views {
        let one = match &view.occupant {
            Some(Occupant::Holder { holder, .. }) => Some(holder),
            _ => None,
        };
        let several = view.sharers.iter().map(|sharer| &sharer.holder);
        let mut holders: Vec<Option<String>> = Vec::new();
        for holder in one.into_iter().chain(several.take(MOST_HOLDERS)) {
            see(Node::from(holder));
            holders.push(Some(holder.id.to_string()));
        }
        if holders.is_empty() {
            holders.push(None);
        }
        for (waiter, position) in view.queue.iter().zip(1..) {
            if waits.len() >= MOST_WAITS {
                is_truncated = true;
                break;
            }
            see(Node::from(&waiter.holder));
            waits.extend(holders.iter().map(|holder| Wait {
                waiter: waiter.holder.id.to_string(),
                holder: holder.clone(),
                key: view.key.to_string(),
                path: segment(view.key.as_bytes()),
                position,
                waited_ms: millis(view.now.since(waiter.since)),
            }));
        }
    }
    let circles = circles(&waits);
    WaitGraph {
        now: At(tenure_core::Timestamp::EPOCH),
        nodes,
        waits,
        circles,
        is_truncated,
    }
}

/// Circles among those who wait: found by walking on from each, along edges not walked before.
fn circles(waits: &[Wait]) -> Vec<Vec<String>> {
    let mut edges: HashMap<&str, Vec<&str>> = HashMap::new();
    for wait in waits {
        if let Some(holder) = wait
            .holder
            .as_deref()
            .filter(|holder| *holder != wait.waiter)
        {
            edges.entry(&wait.waiter).or_default().push(holder);
        }
    }
    let mut starts: Vec<&str> = edges.keys().copied().collect();
    starts.sort_unstable();
    let mut done: HashSet<&str> = HashSet::new();
    let mut found = Vec::new();
    for start in starts {
        // The path walked, and for each of its nodes how many of its edges were taken.
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((node, taken)) = path.last_mut() {
            let node = *node;
            let next = edges.get(node).and_then(|edges| edges.get(*taken)).copied();
            *taken += 1;
            let Some(next) = next.filter(|_| !done.contains(node)) else {
                done.insert(node);
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|(known, _)| *known == next) {
                let circle = path.iter().skip(at).map(|(node, _)| (*node).to_owned());
                if found.len() < MOST_CIRCLES {
                    found.push(circle.collect());
                }
            } else if !done.contains(next) {
                path.push((next, 0));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(waiter: &str, holder: &str) -> Wait {
        Wait {
            waiter: waiter.to_owned(),
            holder: Some(holder.to_owned()),
            key: String::new(),
            path: String::new(),
            position: 1,
            waited_ms: 0,
        }
    }

    #[test]
    fn circles_of_waiting_are_found_and_queues_are_none() {
        for (edges, expected) in [
            (vec![("a", "b"), ("b", "c"), ("d", "c")], vec![]),
            (vec![("a", "a")], vec![]),
            (vec![("a", "b"), ("b", "a")], vec![vec!["a", "b"]]),
            (
                vec![("a", "b"), ("b", "c"), ("c", "b"), ("x", "y"), ("y", "x")],
                vec![vec!["b", "c"], vec!["x", "y"]],
            ),
        ] {
            let waits: Vec<_> = edges.iter().map(|(from, to)| wait(from, to)).collect();
            assert_eq!(circles(&waits), expected, "{edges:?}");
        }
    }

    #[test]
    fn a_long_chain_of_waiting_costs_no_deep_recursion() {
        let waits: Vec<_> = (0..MOST_WAITS)
            .map(|at| wait(&at.to_string(), &(at + 1).to_string()))
            .collect();
        assert_eq!(circles(&waits), Vec::<Vec<String>>::new());
    }
}
