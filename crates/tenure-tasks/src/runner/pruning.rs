//! Deletes records that need not be kept: what is older than the whole history may be, and what
//! exceeds the rules of a task.
//!
//! One node does it; if the views of who is alive differ, two do, which harms nobody. After each
//! beat a bounded part is done, so that very many tasks with rules of their own take longer, and
//! never hold anything up.

use std::time::Duration;

use tenure_core::{Moment, Prune, StoreError, Timestamp};

use super::Runner;
use super::calls::{Calls, Done};
use crate::hash::Hash;
use crate::table::TaskId;

const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many tasks with rules of their own are looked after at a time.
const TASKS: usize = 32;
/// How many calls one part makes at most, where there is more to delete than one call does.
const CALLS: usize = 256;

/// How far the deleting is.
#[derive(Debug)]
pub(super) struct Pruning {
    next: Moment,
    /// The first task of the next part; `None` between two rounds.
    from: Option<TaskId>,
    is_busy: bool,
}

/// What a part came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pruned {
    /// There may be more to delete of the same.
    is_cut_short: bool,
    is_history: bool,
}

impl Pruning {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next: now,
            from: None,
            is_busy: false,
        }
    }
}

impl Calls {
    async fn prune(self, prunes: Vec<Prune>) -> Done {
        let is_history = prunes.iter().any(|prune| prune.task.is_none());
        Done::Pruned(self.prune_all(&prunes, is_history).await)
    }

    async fn prune_all(&self, prunes: &[Prune], is_history: bool) -> Result<Pruned, StoreError> {
        let mut left = CALLS;
        for prune in prunes {
            loop {
                if left == 0 {
                    return Ok(Pruned {
                        is_cut_short: true,
                        is_history,
                    });
                }
                left -= 1;
                let gone = self.bounded("prune", self.store.prune(prune)).await?;
                let is_full = usize::try_from(gone).is_ok_and(|gone| gone >= prune.limit);
                if is_history || !is_full {
                    let is_cut_short = is_history && is_full;
                    if is_cut_short {
                        return Ok(Pruned {
                            is_cut_short,
                            is_history,
                        });
                    }
                    break;
                }
            }
        }
        Ok(Pruned {
            is_cut_short: false,
            is_history,
        })
    }
}

impl Runner {
    /// Takes the next part, if one is due and this is the node that does it.
    pub(super) fn prune_if_due(&mut self, now: Moment) {
        let Some(store_now) = self.time.at(now).filter(|_| !self.pruning.is_busy) else {
            return;
        };
        if self.peers.rank(Hash::new(6).text("prune").finish()) != 0 {
            self.pruning.from = None;
            return;
        }
        let part = match self.pruning.from {
            Some(from) => self.rules_from(from, store_now),
            None if self.pruning.next <= now => {
                self.pruning.next = now + PRUNE_EVERY;
                self.pruning.from = Some(0);
                let keep = self.options.keep_history;
                keep.map(|keep| Prune::before(store_now - keep))
                    .into_iter()
                    .collect()
            }
            None => return,
        };
        if !part.is_empty() {
            self.pruning.is_busy = true;
            self.ops.spawn(self.calls.clone().prune(part));
        }
    }

    /// What the rules of the next tasks delete; moves on behind them.
    fn rules_from(&mut self, from: TaskId, now: Timestamp) -> Vec<Prune> {
        let with_rules = self.table.ids().filter(|(id, _)| *id >= from);
        let with_rules = with_rules.filter(|(_, entry)| !entry.work.spec.keep().is_silent());
        let (mut part, mut last, mut tasks) = (Vec::new(), None, 0);
        for (id, entry) in with_rules.take(TASKS) {
            let spec = &entry.work.spec;
            for name in std::iter::once(spec.name()).chain(spec.aliases()) {
                part.extend(spec.keep().rules().map(|(states, rule)| {
                    // Without an age, nothing is too old.
                    let before = rule.age().map_or(Timestamp::EPOCH, |age| now - age);
                    let mut prune = Prune::of(name.clone(), before, states);
                    prune.keep_most = rule.most();
                    prune
                }));
            }
            (last, tasks) = (Some(id), tasks + 1);
        }
        self.pruning.from = last.filter(|_| tasks == TASKS).map(|last| last + 1);
        part
    }

    pub(super) fn pruned(&mut self, answer: Result<Pruned, StoreError>) {
        self.pruning.is_busy = false;
        match answer {
            // There may be more: go on after the next beat.
            Ok(pruned) if pruned.is_cut_short && pruned.is_history => {
                self.pruning.next = self.clock.now();
                self.pruning.from = None;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old records were not deleted"),
        }
    }
}
