//! What was told already: a chain of records for each thing that can go wrong, in the store.
//!
//! A record's name is computed from the record before it, so two nodes that see the same change
//! make the same name, and the store lets one of them make it. No node needs to know what another
//! does, and a late one finds the record there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenure_core::{
    Enqueue, HistoryQuery, Note, OnCrash, Overlap, Pass, RequestId, RunKey, RunKind, RunRecord,
    RunStore, StoreError, StoreErrorKind, TaskName, Timestamp,
};
use tokio::time::timeout;

use super::{Alarm, AlarmKind, AlarmState};
use crate::hash::Hash;

/// When a chain begins, by name: every node must name its first record alike.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The index of the record itself.
const ENTRY: u32 = 1;
/// The index of the run that tells it.
const TELLING: u32 = 2;
/// How long a chain is remembered past its last change.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many changes are followed in one go.
const MAX_STEPS: usize = 1000;
/// How many chains are remembered here; the store remembers them all.
const MAX_KNOWN: usize = 10_000;
/// How many records are looked at to learn what other nodes noticed.
const RECENT: usize = 400;
/// How often a telling is handed over to another node when its node dies.
const MAX_HANDS: u32 = 5;

/// One thing that can go wrong: a kind, and the task or node it is about; nothing for the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) kind: AlarmKind,
    pub(super) of: String,
}

/// A change on record.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    tick: Timestamp,
    id: RequestId,
    pub(super) made_at: Timestamp,
    pub(super) alarm: Alarm,
    pub(super) subject: Subject,
}

/// What a record's reason holds behind the words for people.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    of: String,
    alarm: Alarm,
}

/// The changes noticed under one rule.
#[derive(Debug)]
pub(super) struct Book {
    store: Arc<dyn RunStore>,
    limit: Duration,
    /// The task whose records these are, and whose runs tell them.
    task: TaskName,
    known: HashMap<Subject, Entry>,
}

impl Book {
    pub(super) fn new(store: Arc<dyn RunStore>, limit: Duration, task: TaskName) -> Self {
        Self {
            store,
            limit,
            task,
            known: HashMap::new(),
        }
    }

    /// The last change of `subject`, followed to its end in the store.
    pub(super) async fn last(&mut self, subject: &Subject) -> Result<Option<Entry>, StoreError> {
        let mut last = self.known.get(subject).cloned();
        for _ in 0..MAX_STEPS {
            let key = self.key_after(subject, last.as_ref());
            let Some(record) = within(self.limit, self.store.run(&key)).await? else {
                break;
            };
            let Some(entry) = Entry::read(&record) else {
                break;
            };
            last = Some(entry);
        }
        if let Some(last) = &last {
            self.learn(last);
        }
        Ok(last)
    }

    /// Adds a change after `last` and has it told. False if another node was faster, or the change
    /// is on record already.
    pub(super) async fn add(
        &mut self,
        subject: &Subject,
        last: Option<&Entry>,
        mut alarm: Alarm,
    ) -> Result<Option<Alarm>, StoreError> {
        let key = self.key_after(subject, last);
        let RunKind::Manual(id) = &key.kind else {
            return Ok(None);
        };
        id.as_str().clone_into(&mut alarm.id);
        let kept = Kept {
            of: subject.of.clone(),
            alarm: alarm.clone(),
        };
        let kept = serde_json::to_string(&kept).map_err(|error| {
            StoreError::new(StoreErrorKind::InvalidRequest, "an alarm cannot be written")
                .with_source(error)
        })?;
        let mut pass = Pass::skipped(key.clone(), format!("{}\n{kept}", alarm.text));
        pass.keep_for = KEEP;
        let made = within(self.limit, self.store.pass(&[pass])).await?;
        // Also if it was there: whoever made it may have died before this.
        self.have_told(&key, &alarm).await?;
        if made.first() != Some(&true) {
            return Ok(None);
        }
        let mut note = Note::new("alarm", alarm.text.clone());
        note.task.clone_from(&alarm.task);
        within(self.limit, self.store.note(&note)).await?;
        Ok(Some(alarm))
    }

    /// Puts the run into the store that tells an alarm; once, however often it is called.
    async fn have_told(&self, entry: &RunKey, alarm: &Alarm) -> Result<(), StoreError> {
        let mut key = entry.clone();
        key.index = TELLING;
        let mut run = Enqueue::new(key, alarm.text.clone());
        run.overlap = Overlap::Allow;
        run.on_crash = OnCrash::Retry {
            max_attempts: MAX_HANDS,
        };
        within(self.limit, self.store.enqueue(&[run])).await?;
        Ok(())
    }

    /// Reads what was noticed lately, by any node, and has told what was left untold. Answers the
    /// last change of each subject.
    pub(super) async fn recent(&mut self) -> Result<Vec<Entry>, StoreError> {
        let mut query = HistoryQuery::of(self.task.clone());
        query.limit = RECENT;
        let page = within(self.limit, self.store.history(&query)).await?;
        let mut last: HashMap<Subject, Entry> = HashMap::new();
        let mut untold: HashMap<RunKey, Entry> = HashMap::new();
        let mut told = Vec::new();
        for record in page.runs {
            if record.key.index == TELLING {
                let mut key = record.key;
                key.index = ENTRY;
                told.push(key);
            } else if let Some(entry) = Entry::read(&record) {
                untold.insert(record.key, entry.clone());
                // Newest first: what comes later is older.
                let latest = last.entry(entry.subject.clone()).or_insert(entry.clone());
                if latest.made_at < entry.made_at {
                    *latest = entry;
                }
            }
        }
        for key in told {
            untold.remove(&key);
        }
        for (key, entry) in untold {
            self.have_told(&key, &entry.alarm).await?;
        }
        for entry in last.values() {
            let known = self.known.get(&entry.subject);
            if known.is_none_or(|known| known.made_at < entry.made_at) {
                self.learn(entry);
            }
        }
        Ok(last.into_values().collect())
    }

    /// Forgets what is remembered here, because the store may have forgotten it too.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn learn(&mut self, entry: &Entry) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(entry.subject.clone(), entry.clone());
    }

    /// The name of the change that comes after `last`.
    fn key_after(&self, subject: &Subject, last: Option<&Entry>) -> RunKey {
        let hash = |seed| {
            let hash = Hash::new(seed)
                .text(self.task.as_str())
                .text(subject.kind.as_str())
                .text(&subject.of);
            let id = last.map_or("", |last| last.id.as_str());
            hash.text(id).finish()
        };
        let tick = last.map_or(BEGINNING, |last| last.made_at.max(last.tick));
        let id = format!("{:016x}{:016x}", hash(7), hash(8));
        let kind = RequestId::new(id).map_or(RunKind::Scheduled, RunKind::Manual);
        let mut key = RunKey::scheduled(self.task.clone(), tick, ENTRY);
        key.kind = kind;
        key
    }
}

impl Entry {
    /// `None` if the record is none of this version's.
    fn read(record: &RunRecord) -> Option<Self> {
        let RunKind::Manual(id) = &record.key.kind else {
            return None;
        };
        let kept = read_kept(record)?;
        Some(Self {
            tick: record.key.tick,
            id: id.clone(),
            made_at: record.created_at,
            subject: Subject {
                kind: kept.alarm.kind,
                of: kept.of,
            },
            alarm: kept.alarm,
        })
    }

    pub(super) fn is_raised(&self) -> bool {
        self.alarm.state == AlarmState::Raised
    }
}

fn read_kept(record: &RunRecord) -> Option<Kept> {
    let (_, kept) = record.reason.as_deref()?.rsplit_once('\n')?;
    serde_json::from_str(kept).ok()
}

/// The alarm that a run is to tell.
pub(super) async fn alarm_of(
    store: &Arc<dyn RunStore>,
    telling: &RunKey,
) -> Result<Option<Alarm>, StoreError> {
    let mut key = telling.clone();
    key.index = ENTRY;
    let record = store.run(&key).await?;
    Ok(record
        .and_then(|record| read_kept(&record))
        .map(|kept| kept.alarm))
}

/// An answer within the limit, or an error that says that there was none.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        let message = format!("no answer within {limit:?}");
        Err(StoreError::new(StoreErrorKind::Unavailable, message).with_unknown_outcome())
    })
}
