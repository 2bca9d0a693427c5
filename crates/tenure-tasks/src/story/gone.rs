//! Runs in hand whose node is not heard of any more: their records stay as they are until a node
//! that is alive notices, and somebody who looks meanwhile is told.

use tenure_core::{NodeRecord, RunRecord, RunStore, StoreError, Timestamp};

/// What the store says of nodes, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    looked: Option<(Timestamp, Vec<NodeRecord>)>,
}

impl Gone {
    /// Asks the store who is alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn look(runs: &dyn RunStore) -> Result<Self, StoreError> {
        // In this order: a node that beats between the two is not taken for one that is gone.
        let now = runs.now().await?.now;
        let nodes = runs.nodes().await?;
        Ok(Self {
            looked: Some((now, nodes)),
        })
    }

    /// Asks the store only if one of these runs is in hand.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn of_runs(
        runs: &dyn RunStore,
        records: impl IntoIterator<Item = &RunRecord>,
    ) -> Result<Self, StoreError> {
        if records.into_iter().any(|run| run.state.is_active()) {
            return Self::look(runs).await;
        }
        Ok(Self::default())
    }

    /// What to say of a run in hand whose node's lease has ended. `None` of all others, and of one
    /// that was claimed after the look.
    #[must_use]
    pub fn told(&self, run: &RunRecord) -> Option<String> {
        let (now, nodes) = self.looked.as_ref()?;
        let id = run.node.as_ref().filter(|_| run.state.is_active())?.id;
        if run.claimed_at.is_some_and(|at| at > *now) {
            return None;
        }
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
