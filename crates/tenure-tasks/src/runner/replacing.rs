//! Exchanges a runner's tasks while it runs.
//!
//! The store hears first: new definitions are registered, tasks that are gone are withdrawn. Only
//! then does the table change, in one go. In between, claims under the old definitions are refused
//! as stale; the same ticks are claimed again under the new ones, so that none is dropped, and
//! since a tick has one record whatever the definition, none runs twice.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Generation, HolderId, Moment, StoreError, TaskName, TaskRecord, Timestamp};
use tokio::sync::oneshot;

use super::Runner;
use super::calls::{Calls, Done, Standings};
use super::claiming::Wanted;
use super::lease::Registration;
use crate::check::Work;
use crate::event::RunnerEvent;
use crate::replacing::{Replaced, Replacement};
use crate::spec::TaskSpec;
use crate::table::TaskId;

/// How soon a tick is claimed again that was refused because its definition is being replaced.
const SOON: Duration = Duration::from_millis(50);

/// Replacements that were asked for, and the one that the store is hearing of.
#[derive(Default)]
pub(super) struct Replacing {
    asked: VecDeque<Replacement>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    work: Vec<Work>,
    /// What is registered, in the order of the answers.
    specs: Vec<Arc<TaskSpec>>,
    replaced: Replaced,
    reply: oneshot::Sender<Result<Replaced, StoreError>>,
}

/// What the store said of the new definitions, and what it knew of their tasks before.
#[derive(Debug)]
pub(super) struct Heard {
    standings: Standings,
    known: Vec<TaskRecord>,
}

impl Replacing {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Lets go of replacements that will not happen: whoever waits for one is told by that.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.under_way = None;
    }
}

impl Calls {
    async fn hear_of(
        self,
        node: HolderId,
        specs: Vec<Arc<TaskSpec>>,
        gone: Vec<TaskName>,
        now: Option<Timestamp>,
    ) -> Done {
        let heard = async {
            let known = self.known_before(&specs, now).await?;
            let mut standings = self.register_all(node, &specs).await?;
            let definitions = known.iter().map(|record| &record.definition);
            standings.recent.replaces(definitions);
            for some in gone.chunks(self.max_batch) {
                self.bounded("withdraw", self.store.withdraw(node, some))
                    .await?;
            }
            Ok(Heard { standings, known })
        };
        Done::Replaced(heard.await)
    }
}

impl Runner {
    pub(super) fn replace(&mut self, replacement: Replacement) {
        self.replacing.asked.push_back(replacement);
    }

    /// Begins the next replacement, as soon as the store knows this node as it is.
    pub(super) fn replace_if_asked(&mut self, now: Moment) {
        let may_ask = self.lease.registration == Registration::Done && self.lease.may_claim(now);
        if !may_ask || self.replacing.is_under_way() {
            return;
        }
        let Some(Replacement { work, reply }) = self.replacing.asked.pop_front() else {
            return;
        };
        let replaced = self.table.compare(&work);
        let news: HashSet<_> = replaced.added.iter().chain(&replaced.changed).collect();
        let specs: Vec<_> = work
            .iter()
            .filter(|work| news.contains(work.spec.name()))
            .map(|work| work.spec.clone())
            .collect();
        let gone = self.names_gone(&work, &replaced);
        let calls = self.calls.clone();
        self.ops
            .spawn(calls.hear_of(self.node.id, specs.clone(), gone, self.time.at(now)));
        self.replacing.under_way = Some(UnderWay {
            work,
            specs,
            replaced,
            reply,
        });
    }

    /// The names that this node listed and that `work` does not have, not even from before.
    fn names_gone(&self, work: &[Work], replaced: &Replaced) -> Vec<TaskName> {
        let kept = work.iter().flat_map(|work| {
            let spec = &work.spec;
            std::iter::once(spec.name()).chain(spec.aliases())
        });
        let kept: HashSet<&TaskName> = kept.collect();
        let aliases = self
            .table
            .ids()
            .flat_map(|(_, entry)| entry.work.spec.aliases());
        let listed = replaced.removed.iter().chain(aliases);
        listed
            .filter(|name| !kept.contains(name))
            .cloned()
            .collect()
    }

    pub(super) fn replaced(&mut self, answer: Result<Heard, StoreError>) {
        let Some(under_way) = self.replacing.under_way.take() else {
            return;
        };
        let heard = match answer {
            Ok(heard) => heard,
            Err(error) => {
                // Some of it may have been heard: the store is told again what still holds.
                self.lease.register_again();
                self.trouble("replace the tasks", &error);
                // Nobody waits any more if this fails.
                let _ = under_way.reply.send(Err(error));
                return;
            }
        };
        let otherwise = self.scheduled_otherwise(&under_way.specs);
        self.exchange(under_way.work, &under_way.replaced);
        for (spec, standing) in under_way.specs.iter().zip(heard.standings.all.iter()) {
            if let Some(id) = self.table.id_of(spec.name()) {
                if otherwise.contains(spec.name()) {
                    self.table.enter(id, Timestamp::EPOCH);
                }
                self.enter_one(id, standing, &heard.standings.recent);
            }
        }
        self.begin_anew(&heard.known);
        // Others share ticks among the nodes that say they can run them.
        self.lease.outdate(self.clock.now());
        let replaced = under_way.replaced;
        self.tell_replaced(&replaced);
        self.show();
        let _ = under_way.reply.send(Ok(replaced));
    }

    /// Puts the new work in the place of the old.
    fn exchange(&mut self, work: Vec<Work>, replaced: &Replaced) {
        for name in &replaced.removed {
            if let Some(id) = self.table.id_of(name) {
                self.table.retire(id);
                self.forget(id);
            }
        }
        for work in work {
            let id = self.table.put(work);
            self.stale.remove(&id);
        }
        self.abilities = self.table.abilities();
    }

    /// Forgets what was planned for a task that is gone. Claims that were sent are answered, and
    /// what they won runs.
    fn forget(&mut self, id: TaskId) {
        self.paused.remove(&id);
        self.stale.remove(&id);
        let indices = self.table.spec(id).map_or(0, TaskSpec::concurrency);
        for index in 1..=indices {
            self.chains.remove((id, index), Timestamp::EPOCH);
        }
    }

    fn tell_replaced(&mut self, replaced: &Replaced) {
        tracing::info!(
            added = replaced.added.len(),
            removed = replaced.removed.len(),
            changed = replaced.changed.len(),
            unchanged = replaced.unchanged,
            "the tasks were replaced"
        );
        self.events.tell(|| RunnerEvent::Replaced {
            manager: self.name.clone(),
            replaced: replaced.clone(),
        });
    }

    /// Whether `current`, which the store calls a task's definition, is this node's own or is about
    /// to be, so that a claim that was refused for it only came at the wrong moment.
    pub(super) fn is_becoming(&self, id: TaskId, current: &Generation) -> bool {
        let Some(spec) = self.table.spec(id) else {
            return false;
        };
        let coming = self.replacing.under_way.iter().flat_map(|new| &new.specs);
        let is_coming = coming
            .filter(|new| new.name() == spec.name())
            .any(|new| new.generation() == current);
        is_coming || spec.generation() == current
    }

    /// A claim was refused at the wrong moment: the same is claimed again.
    pub(super) fn claim_again_soon(&mut self, wanted: &Wanted) {
        let at = self.clock.now() + SOON;
        self.claims.look_later(at, vec![wanted.clone()]);
    }
}
