//! Which servers have a vote: those that are known to be none of the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{StoreError, StoreErrorKind};

use super::QuorumStore;
use super::step::{Answer, Asked, from_now};

/// How long a server that was down is given to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the others are waited for when a majority has said who it is.
const LATE: Duration = Duration::from_millis(200);

/// What each server said of itself.
#[derive(Debug)]
pub(super) struct Roll {
    has_vote: Vec<AtomicBool>,
    is_asked: Vec<AtomicBool>,
    names: Mutex<Vec<Option<String>>>,
}

impl Roll {
    pub(super) fn new(servers: usize) -> Self {
        let none = || (0..servers).map(|_| AtomicBool::new(false)).collect();
        Self {
            has_vote: none(),
            is_asked: none(),
            names: Mutex::new(vec![None; servers]),
        }
    }

    /// Gives a server its vote. False if another one has the same name.
    fn enter(&self, number: usize, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = names
            .iter()
            .enumerate()
            .any(|(other, known)| other != number && known.as_deref() == Some(name));
        if is_taken {
            return false;
        }
        if let (Some(known), Some(vote)) = (names.get_mut(number), self.has_vote.get(number)) {
            *known = Some(name.to_owned());
            vote.store(true, Ordering::Release);
        }
        true
    }
}

/// Why a server has no vote.
pub(super) fn unknown() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "a server that did not answer when the others were counted has not said since who it is",
    )
}

fn counted_twice(address: &str) -> StoreError {
    let message = format!(
        "{address} leads to a server that another address of the quorum leads to, so its vote \
         would count twice; name each server once"
    );
    StoreError::new(StoreErrorKind::Misconfigured, message)
}

impl QuorumStore {
    /// A majority answers, and no server is counted twice.
    pub(super) async fn call_the_roll(&self, patience: Duration) -> Result<(), StoreError> {
        let nodes = self.shared.nodes.iter().cloned().enumerate();
        let mut asked = Asked::new(nodes.map(|(number, node)| async move {
            let result = node.run_id().await;
            node.load_scripts().await;
            Answer { number, result }
        }));
        asked
            .until(from_now(patience), |names| {
                names.answered() >= self.majority()
            })
            .await;
        // Whoever is there answers at once; whoever is not may come later.
        asked.every(from_now(LATE)).await;
        for (number, name) in asked.answers.by_number() {
            if !self.shared.roll.enter(number, name) {
                return Err(counted_twice(self.name(number)));
            }
        }
        if asked.answers.answered() < self.majority() {
            return Err(asked.answers.too_few("connect", self.majority()));
        }
        Ok(())
    }

    pub(super) fn name(&self, number: usize) -> &str {
        self.shared.names.get(number).map_or("", String::as_str)
    }

    /// Whether a server has a vote. One that was down when the others were counted is asked who it
    /// is, in the background.
    pub(super) fn has_vote(&self, number: usize) -> bool {
        let roll = &self.shared.roll;
        if roll
            .has_vote
            .get(number)
            .is_some_and(|vote| vote.load(Ordering::Acquire))
        {
            return true;
        }
        let is_asked = roll.is_asked.get(number);
        if is_asked.is_none_or(|asked| asked.swap(true, Ordering::AcqRel)) {
            return false;
        }
        let Some(node) = self.shared.nodes.get(number).cloned() else {
            return false;
        };
        let store = self.clone();
        tokio::spawn(async move {
            let name = tokio::time::timeout(PATIENCE, node.run_id()).await;
            node.load_scripts().await;
            if let Ok(Ok(name)) = name
                && !store.shared.roll.enter(number, &name)
            {
                tracing::error!("{}", counted_twice(store.name(number)));
            }
            if let Some(asked) = store.shared.roll.is_asked.get(number) {
                asked.store(false, Ordering::Release);
            }
        });
        false
    }
}
