//! The history: runs by tick, newest first.
//!
//! Of one task the runs stand in a sorted set; of all tasks the ticks do, and each tick's bucket
//! names its runs. Either way a page is read in commands of bounded size, and a request that finds
//! little in much gives back what it found and where it stopped.

use std::cmp::Reverse;

use redis::Value;
use tenure_core::{
    Cursor, HistoryPage, HistoryQuery, RunKey, RunKind, StoreError, StoreErrorKind, TaskName,
    Timestamp,
};

use super::name::{read_field, read_place, read_tick, score};
use super::row::{Row, not_ours};
use crate::error::shown;
use crate::link::Call;
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

const DOING: &str = "read the history";

/// How many runs one request looks at, whether or not they are wanted.
const MOST_LOOKED_AT: usize = 20_000;
/// How many places of a task's history are read at once.
const PLACES: usize = 256;
/// How many ticks are read at once at most, once it shows that they hold little.
const TICKS: usize = 64;

/// A position in the history.
type Order<'k> = (Reverse<Timestamp>, &'k TaskName, u32, &'k RunKind);

fn order(key: &RunKey) -> Order<'_> {
    (Reverse(key.tick), &key.task, key.index, &key.kind)
}

/// How far a walk through the history is.
struct Walk<'q> {
    query: &'q HistoryQuery,
    after: Option<RunKey>,
    /// The newest tick that was not looked at, as the bound of a range.
    newest: String,
    /// The bound of the oldest.
    oldest: String,
    ticks: usize,
    is_over: bool,
}

impl<'q> Walk<'q> {
    fn new(query: &'q HistoryQuery) -> Result<Self, StoreError> {
        let after = query.after.as_ref().map(position).transpose()?;
        let newest = [query.to, after.as_ref().map(|key| key.tick)];
        let newest = newest.into_iter().flatten().min();
        // The history of a task is scored by negative ticks, to begin with the newest.
        let bound = |tick: Timestamp| match query.task {
            Some(_) => score(tick),
            None => tick.as_millis().to_string(),
        };
        let (first, last) = match query.task {
            Some(_) => ("-inf", "+inf"),
            None => ("+inf", "-inf"),
        };
        Ok(Self {
            query,
            newest: newest.map_or_else(|| first.to_owned(), bound),
            oldest: query.from.map_or_else(|| last.to_owned(), bound),
            after,
            ticks: 1,
            is_over: false,
        })
    }

    /// Puts runs in their order and leaves out those before the position and outside the range.
    fn in_order(&self, mut keys: Vec<RunKey>) -> Vec<RunKey> {
        keys.retain(|key| {
            self.after
                .as_ref()
                .is_none_or(|after| order(key) > order(after))
                && self.query.from.is_none_or(|from| key.tick >= from)
                && self.query.to.is_none_or(|to| key.tick <= to)
        });
        keys.sort_by(|a, b| order(a).cmp(&order(b)));
        keys
    }
}

/// A position in the history is the identity of the last run of the page before.
fn position(cursor: &Cursor) -> Result<RunKey, StoreError> {
    cursor.as_str().parse().map_err(|_| {
        let text = shown(cursor.as_str());
        let message = format!("`{text}` is no position of this store; read from the beginning");
        StoreError::new(StoreErrorKind::InvalidRequest, message)
    })
}

impl RedisStore {
    pub(super) async fn run_history(
        &self,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let limit = query.page_size();
        let mut walk = Walk::new(query)?;
        let mut found: Vec<(RunKey, Row)> = Vec::new();
        let mut looked_at = 0;
        let mut stopped_at = None;
        'walk: while !walk.is_over {
            let keys = self.walk_on(&mut walk).await?;
            for some in keys.chunks(PLACES) {
                let rows = self.rows(some).await?;
                for (key, row) in some.iter().zip(rows) {
                    let is_wanted =
                        |row: &Row| query.states.is_empty() || query.states.contains(&row.state);
                    found.extend(row?.filter(is_wanted).map(|row| (key.clone(), row)));
                }
                looked_at += some.len();
                if found.len() > limit {
                    break 'walk;
                }
                if looked_at >= MOST_LOOKED_AT {
                    stopped_at = some.last().cloned();
                    break 'walk;
                }
            }
        }
        let next = if found.len() > limit {
            found.truncate(limit);
            found.last().map(|(key, _)| key)
        } else {
            stopped_at.as_ref()
        };
        let next = next.map(|key| Cursor::new(key.to_string()));
        Ok(HistoryPage::new(self.records(found).await?, next))
    }

    /// The next runs, in order; whole ticks.
    async fn walk_on(&self, walk: &mut Walk<'_>) -> Result<Vec<RunKey>, StoreError> {
        match &walk.query.task {
            Some(task) => self.walk_task(walk, task).await,
            None => self.walk_ticks(walk).await,
        }
    }

    async fn walk_task(
        &self,
        walk: &mut Walk<'_>,
        task: &TaskName,
    ) -> Result<Vec<RunKey>, StoreError> {
        let mut keys = self
            .places(task, &walk.newest, &walk.oldest, Some(PLACES))
            .await?;
        let last = keys.last().map(|key| key.tick);
        let Some(last) = last.filter(|_| keys.len() >= PLACES) else {
            walk.is_over = true;
            return Ok(walk.in_order(keys));
        };
        // The last tick may have been cut in two, so it is read whole.
        keys.retain(|key| key.tick != last);
        let bound = score(last);
        keys.extend(self.places(task, &bound, &bound, None).await?);
        walk.newest = format!("({bound}");
        Ok(walk.in_order(keys))
    }

    /// The runs of a task between two bounds of its history.
    async fn places(
        &self,
        task: &TaskName,
        newest: &str,
        oldest: &str,
        most: Option<usize>,
    ) -> Result<Vec<RunKey>, StoreError> {
        let place = self.run_names().history(task);
        let mut call = Call::command(DOING, "ZRANGEBYSCORE")
            .arg(&place)
            .arg(newest)
            .arg(oldest);
        if let Some(most) = most {
            call = call.arg("LIMIT").arg(0).arg(most);
        }
        let members = Reply::new(DOING, self.send(call).await?)?.rest();
        let keys = members.map(|member| {
            let text = text_of(DOING, member)?;
            read_place(task, &text).ok_or_else(|| not_ours("the run", &place, text.as_bytes()))
        });
        keys.collect()
    }

    async fn walk_ticks(&self, walk: &mut Walk<'_>) -> Result<Vec<RunKey>, StoreError> {
        let place = self.run_names().of("ticks");
        let call = Call::command(DOING, "ZREVRANGEBYSCORE")
            .arg(&place)
            .arg(&walk.newest)
            .arg(&walk.oldest)
            .arg("LIMIT")
            .arg(0)
            .arg(walk.ticks);
        let mut ticks = Vec::new();
        for tick in Reply::new(DOING, self.send(call).await?)?.rest() {
            let text = text_of(DOING, tick)?;
            let tick = read_tick(&text);
            ticks.push(tick.ok_or_else(|| not_ours("the tick", &place, text.as_bytes()))?);
        }
        walk.is_over = ticks.len() < walk.ticks;
        if let Some(last) = ticks.last() {
            walk.newest = format!("({}", last.as_millis());
        }
        let mut keys = Vec::new();
        for (_, of_tick) in self.runs_of(&ticks).await? {
            keys.extend(of_tick);
        }
        if keys.len() < PLACES {
            walk.ticks = (walk.ticks * 2).min(TICKS);
        }
        Ok(walk.in_order(keys))
    }

    /// The runs of each of these ticks, in no order.
    pub(super) async fn runs_of(
        &self,
        ticks: &[Timestamp],
    ) -> Result<Vec<(Timestamp, Vec<RunKey>)>, StoreError> {
        let names = self.run_names();
        let call = |tick: &Timestamp| Call::command(DOING, "HKEYS").arg(names.bucket(*tick));
        let answers = self
            .shared
            .link
            .run_all(ticks.iter().map(call).collect())
            .await;
        let mut runs = Vec::with_capacity(ticks.len());
        for (tick, answer) in ticks.iter().zip(answers) {
            let mut keys = Vec::new();
            for field in Reply::new(DOING, answer?)?.rest() {
                let Value::BulkString(field) = field else {
                    continue;
                };
                if field == b"n" || field == b"k" {
                    continue;
                }
                let key = std::str::from_utf8(&field).ok();
                let key = key.and_then(|field| read_field(*tick, field));
                keys.push(key.ok_or_else(|| not_ours("the run", &names.bucket(*tick), &field))?);
            }
            runs.push((*tick, keys));
        }
        Ok(runs)
    }
}
