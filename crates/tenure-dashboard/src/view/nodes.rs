//! Nodes: who is alive, how their clocks are, and how busy they are.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{HistoryQuery, HolderId, NodeRecord, RunState, TaskRecord, Timestamp};

use super::{At, Node, View, ViewError, millis};

/// How many runs in hand are counted.
const MOST_RUNS: usize = 1000;
/// How many nodes are shown, those that were seen last first.
const MOST_NODES: usize = 1000;

/// Who runs tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Nodes {
    /// The store's clock.
    pub now: At,
    /// Every node that is alive, or was until lately, in the order in which they joined.
    pub nodes: Vec<NodeRow>,
    /// Whether more than the 1000 runs that were counted are in hand.
    pub is_estimate: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeRow {
    /// Who.
    pub node: Node,
    /// Whether it is alive.
    pub is_alive: bool,
    /// Whether it is the process that answers.
    pub is_this: bool,
    /// When it first beat.
    pub joined_at: At,
    /// When it last beat.
    pub seen_at: At,
    /// How long ago, in milliseconds.
    pub silent_ms: u64,
    /// Until when it counts as alive.
    pub expires_at: At,
    /// How far its wall clock is ahead of the store's, in milliseconds; negative: behind.
    pub clock_ahead_ms: Option<i64>,
    /// How many runs it takes at once; 0: it runs nothing.
    pub capacity: u32,
    /// How many it has in hand.
    pub running: usize,
    /// How many tasks it can run. The store counts how many nodes can run a task and not which:
    /// known of the process that answers, and of all if each task can run on as many nodes as are
    /// alive and run something.
    pub tasks: Option<usize>,
    /// Runs due that it has not asked for yet; only known of the process that answers.
    pub backlog: Option<usize>,
    /// What keeps it from starting runs; only known of the process that answers.
    pub trouble: Vec<String>,
    /// Its program's version.
    pub version: String,
}

impl View {
    /// Who runs tasks, as of a second ago at most.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn nodes(&self) -> Result<Arc<Nodes>, ViewError> {
        let inner = &self.inner;
        inner.nodes.get(&*inner.clock, || self.read_nodes()).await
    }

    async fn read_nodes(&self) -> Result<Nodes, ViewError> {
        let runs = &self.inner.runs;
        let mut query = HistoryQuery::all();
        query.states = vec![RunState::Claimed, RunState::Running];
        query.limit = MOST_RUNS;
        let (now, nodes, page, snapshot) = tokio::join!(
            runs.now(),
            runs.nodes(),
            runs.history(&query),
            self.snapshot()
        );
        let (now, mut nodes, page) = (now?.now, nodes?, page?);
        let everywhere = on_every_node(&snapshot?.0.tasks, &nodes, now);
        if nodes.len() > MOST_NODES {
            nodes.sort_by_key(|node| std::cmp::Reverse(node.seen_at));
            nodes.truncate(MOST_NODES);
        }
        nodes.sort_by_key(|node| (node.joined_at, node.node.id));
        let mut running: HashMap<HolderId, usize> = HashMap::new();
        for node in page.runs.iter().filter_map(|run| run.node.as_ref()) {
            *running.entry(node.id).or_default() += 1;
        }
        let rows = nodes.iter().map(|node| {
            let running = running.get(&node.node.id).copied().unwrap_or(0);
            let can_run = everywhere.filter(|_| runs_something(node, now));
            self.node_row(node, running, can_run, now)
        });
        Ok(Nodes {
            now: At(now),
            nodes: rows.collect(),
            is_estimate: page.next.is_some(),
        })
    }

    fn node_row(
        &self,
        node: &NodeRecord,
        running: usize,
        can_run: Option<usize>,
        now: Timestamp,
    ) -> NodeRow {
        let health = self.runner().map(|tasks| tasks.health());
        let reload_failed = health.as_ref().and_then(|it| it.reload_failed.clone());
        let managers = health.into_iter().flat_map(|health| health.managers);
        let own = managers
            .filter(|it| it.node.as_ref().is_some_and(|own| own.id == node.node.id))
            .collect::<Vec<_>>();
        let own = own.first();
        NodeRow {
            node: Node::from(&node.node),
            is_alive: node.expires_at > now,
            is_this: own.is_some(),
            joined_at: At(node.joined_at),
            seen_at: At(node.seen_at),
            silent_ms: millis(now.since(node.seen_at)),
            expires_at: At(node.expires_at),
            clock_ahead_ms: node.clock_ahead_ms,
            capacity: node.capacity,
            running,
            tasks: own.map(|own| own.tasks).or(can_run),
            backlog: own.map(|own| own.backlog),
            trouble: own
                .and_then(tenure_tasks::ManagerHealth::impairment)
                .map(|impairment| impairment.to_string())
                .into_iter()
                .chain(
                    reload_failed
                        .filter(|_| own.is_some())
                        .map(|it| it.to_string()),
                )
                .collect(),
            version: node.version.clone(),
        }
    }
}

fn runs_something(node: &NodeRecord, now: Timestamp) -> bool {
    node.capacity > 0 && node.expires_at > now
}

/// How many tasks there are, if every one of them can run on every node that runs something.
fn on_every_node(tasks: &[TaskRecord], nodes: &[NodeRecord], now: Timestamp) -> Option<usize> {
    let able = nodes
        .iter()
        .filter(|node| runs_something(node, now))
        .count();
    let live = || tasks.iter().filter(|task| task.nodes > 0);
    let is_everywhere = live().all(|task| usize::try_from(task.nodes) == Ok(able));
    is_everywhere.then(|| live().count())
}
