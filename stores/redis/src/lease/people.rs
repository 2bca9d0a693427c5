//! Who stands behind a holder's id: a record of its own, so that a lock's value stays short.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tenure_core::{Clock as _, Holder, HolderId, Moment, SystemClock};

use crate::link::{Call, Link};

/// How long a record lasts. Longer than any lease, so that whoever holds one can be named.
const KEEP: Duration = Duration::from_secs(48 * 3600);
/// How old a record gets before it is written again.
const REFRESH: Duration = Duration::from_secs(12 * 3600);
/// How many strangers are remembered.
const MOST: usize = 4096;

/// What is known of holders, ours and others.
#[derive(Debug, Default)]
pub(crate) struct People {
    introduced: Mutex<HashMap<HolderId, Moment>>,
    known: Mutex<HashMap<HolderId, Holder>>,
}

impl People {
    /// Where the record of a holder stands.
    pub(crate) fn name_of(id: HolderId) -> String {
        format!("tenure:holder:{id}")
    }

    /// The request that makes `holder` known to the others, if that is due.
    pub(super) fn introduction(&self, holder: &Holder) -> Option<Call> {
        let now = SystemClock.now();
        {
            let mut introduced = locked(&self.introduced);
            match introduced.get(&holder.id) {
                Some(at) if now.since(*at) < REFRESH => return None,
                _ => introduced.insert(holder.id, now),
            };
        }
        self.remember(holder);
        // A holder that cannot be written is shown by its id alone.
        let text = serde_json::to_string(holder).ok()?;
        let call = Call::command("introduce a holder", "SET")
            .arg(Self::name_of(holder.id))
            .arg(text)
            .arg("PX")
            .arg(u64::try_from(KEEP.as_millis()).unwrap_or(u64::MAX));
        Some(call)
    }

    /// Forgets that `holder` was introduced, because that failed.
    pub(super) fn not_introduced(&self, holder: HolderId) {
        locked(&self.introduced).remove(&holder);
    }

    /// The holders with these ids; one that nobody knows has an id and nothing else.
    pub(super) async fn named(&self, link: &Link, ids: &[HolderId]) -> HashMap<HolderId, Holder> {
        let mut found: HashMap<_, _> = {
            let known = locked(&self.known);
            let of = |id: &HolderId| Some((*id, known.get(id)?.clone()));
            ids.iter().filter_map(of).collect()
        };
        let mut strangers: Vec<_> = ids
            .iter()
            .filter(|id| !found.contains_key(id))
            .copied()
            .collect();
        strangers.sort_unstable();
        strangers.dedup();
        let ask = |id: &HolderId| Call::command("read a holder", "GET").arg(Self::name_of(*id));
        let answers = link.run_all(strangers.iter().map(ask).collect()).await;
        for (id, answer) in strangers.into_iter().zip(answers) {
            let holder = match answer {
                Ok(Value::BulkString(text)) => serde_json::from_slice::<Holder>(&text).ok(),
                _ => None,
            };
            let holder = match holder.filter(|holder| holder.id == id) {
                Some(holder) => {
                    self.remember(&holder);
                    holder
                }
                None => Holder::new("").with_id(id).with_pid(0),
            };
            found.insert(id, holder);
        }
        found
    }

    /// The holder with this id.
    pub(super) async fn who(&self, link: &Link, id: HolderId) -> Holder {
        let known = locked(&self.known).get(&id).cloned();
        if let Some(holder) = known {
            return holder;
        }
        let mut named = self.named(link, &[id]).await;
        named
            .remove(&id)
            .unwrap_or_else(|| Holder::new("").with_id(id).with_pid(0))
    }

    fn remember(&self, holder: &Holder) {
        let mut known = locked(&self.known);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(holder.id, holder.clone());
    }
}

/// A panic elsewhere leaves the maps whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
