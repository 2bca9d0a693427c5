//! Runs in hand whose node is not heard of any more: their records stay as they are until a node
//! that is alive notices, and somebody who looks meanwhile is told.
//!
//! Relies on what the store says of nodes; changes nothing.

use tenure::Timestamp;
use tenure::core::{NodeRecord, RunRecord, RunState, RunStore};

use crate::exit::Failure;
use crate::store::failure;

/// What the store says of nodes.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    looked: Option<(Timestamp, Vec<NodeRecord>)>,
}

impl Gone {
    /// Asks the store only if one of these runs is in hand.
    pub(crate) async fn of_runs(
        runs: &dyn RunStore,
        mut records: impl Iterator<Item = &RunRecord>,
    ) -> Result<Self, Failure> {
        if !records.any(is_in_hand) {
            return Ok(Self::default());
        }
        let trouble = |error| failure("cannot look at the nodes", &error);
        let nodes = runs.nodes().await.map_err(trouble)?;
        let now = runs.now().await.map_err(trouble)?.now;
        Ok(Self {
            looked: Some((now, nodes)),
        })
    }

    /// What to say of a run in hand whose node's lease has ended.
    pub(crate) fn told(&self, run: &RunRecord) -> Option<String> {
        let (now, nodes) = self.looked.as_ref()?;
        let id = run.node.as_ref().filter(|_| is_in_hand(run))?.id;
        let its = nodes.iter().find(|it| it.node.id == id);
        if its.is_some_and(|it| it.expires_at > *now) {
            return None;
        }
        let ended = its.map_or_else(
            || "its node's lease has ended".to_owned(),
            |it| format!("its node's lease ended at {}", it.expires_at),
        );
        let others = if nodes.iter().any(|it| it.expires_at > *now) {
            "a node that is alive will notice"
        } else {
            "no node is alive, the next that starts will notice"
        };
        Some(format!("{ended}; {others}"))
    }
}

fn is_in_hand(run: &RunRecord) -> bool {
    matches!(run.state, RunState::Claimed | RunState::Running)
}
