//! Deleting what one task need not keep: what is too old, and what is beyond the newest so many.
//!
//! Goes through the task's own history, the newest first, because only from there can be counted
//! what is newer; a bounded number of records at a time.

use std::collections::BTreeMap;

use tenure_core::{Prune, RunKey, StoreError, TaskName, Timestamp};

use super::MAX_BATCH;
use super::name::read_place;
use crate::link::Call;
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

const DOING: &str = "delete old runs of a task";
/// How many runs one call looks at.
const MOST_LOOKED_AT: usize = 20_000;

impl RedisStore {
    /// Deletes at most `most` records; tells how many went.
    pub(super) async fn prune_task(
        &self,
        prune: &Prune,
        task: &TaskName,
        most: usize,
    ) -> Result<u64, StoreError> {
        let keep_newest = usize::try_from(prune.keep_newest).unwrap_or(usize::MAX);
        let keep_most = prune.keep_most.map(|most| most.min(Prune::MOST_KEPT));
        let mut old: BTreeMap<Timestamp, Vec<RunKey>> = BTreeMap::new();
        let (mut found, mut newer, mut from) = (0, 0_u32, 0);
        while found < most && from < MOST_LOOKED_AT {
            let keys = self.places_from(task, from).await?;
            let is_last = keys.len() < MAX_BATCH;
            let rows = self.rows(&keys).await?;
            for (place, (key, row)) in (from..).zip(keys.into_iter().zip(rows)) {
                // One that cannot be read is told by those who read the history.
                let Ok(Some(row)) = row else { continue };
                let is_meant = prune.states.is_empty() || prune.states.contains(&row.state);
                if !row.state.is_final() || !is_meant {
                    continue;
                }
                let is_surplus = keep_most.is_some_and(|most| newer >= most);
                newer = newer.saturating_add(1);
                let is_old = row.ended.is_some_and(|ended| ended < prune.before);
                if (is_old || is_surplus) && place >= keep_newest && found < most {
                    found += 1;
                    old.entry(key.tick).or_default().push(key);
                }
            }
            if is_last {
                break;
            }
            from += MAX_BATCH;
        }
        let mut gone = 0;
        for (tick, keys) in old {
            gone += self.delete(tick, &keys).await?;
        }
        Ok(gone as u64)
    }

    /// Runs of a task from a place in its history on, the newest first.
    async fn places_from(&self, task: &TaskName, from: usize) -> Result<Vec<RunKey>, StoreError> {
        let call = Call::command(DOING, "ZRANGE")
            .arg(self.run_names().history(task))
            .arg(from)
            .arg(from + MAX_BATCH - 1);
        let places = Reply::new(DOING, self.send(call).await?)?.rest();
        let mut keys = Vec::with_capacity(MAX_BATCH);
        for place in places {
            // What is no place of ours is told by those who read the history.
            keys.extend(read_place(task, &text_of(DOING, place)?));
        }
        Ok(keys)
    }
}
