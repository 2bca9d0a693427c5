//! Locks: who holds what, until when, with which fence, and who waits.

use futures_util::future::join_all;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{Key, LeaseView, ListQuery, Occupant};

use super::{At, Node, Page, Paging, View, ViewError, millis, segment};

/// How many waiters are shown of one lock, and how many of those who share it.
const MOST_WAITERS: usize = 200;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Somebody holds it.
    Held,
    /// Something of another program's has that name in the store.
    Foreign,
    /// It is free, and only waited for.
    Free,
}

/// A lock in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockRow {
    /// The key as people read it; what is not text is escaped.
    pub key: String,
    /// The key as a segment of a path, percent-encoded byte for byte.
    pub path: String,
    /// What became of it.
    pub state: LockState,
    /// Who holds it, if that is one.
    pub holder: Option<Node>,
    /// How many hold it.
    pub holders: u32,
    /// How several hold it, in words, such as `2 readers`.
    pub shared: Option<String>,
    /// What can be said of a foreign owner.
    pub foreign: Option<String>,
    /// The holder's fencing token.
    pub fence: Option<u64>,
    /// Since when it is held, by the store's clock.
    pub since: Option<At>,
    /// For how long, in milliseconds.
    pub held_ms: Option<u64>,
    /// When the lease ends if nothing renews it; `null` if it is free or never ends by itself.
    pub expires_at: Option<At>,
    /// How long until then, in milliseconds.
    pub left_ms: Option<u64>,
    /// How many wait.
    pub waiting: u32,
}

/// One of several who hold a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SharerEntry {
    /// Who it is.
    pub holder: Node,
    /// Its fencing token.
    pub fence: u64,
    /// Since when it holds it, by the store's clock.
    pub since: At,
    /// For how long, in milliseconds.
    pub held_ms: u64,
    /// When its lease ends if nothing renews it.
    pub expires_at: At,
    /// How long until then, in milliseconds.
    pub left_ms: u64,
}

/// Somebody who waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueueEntry {
    /// The place in the queue; 1 is next in turn.
    pub position: u32,
    /// Who it is.
    pub holder: Node,
    /// Since when it waits, by the store's clock.
    pub since: At,
    /// For how long, in milliseconds.
    pub waited_ms: u64,
}

/// Everything about one lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockDetail {
    /// The lock, as it stands in listings.
    pub lock: LockRow,
    /// The store's clock.
    pub now: At,
    /// Who shares it, the one that has held it longest first; 200 at most. Empty if one holds it.
    pub sharers: Vec<SharerEntry>,
    /// Who waits, the next in turn first; the first 200 at most.
    pub queue: Vec<QueueEntry>,
    /// Whether it can be taken from a holder: only from one with a fence.
    pub can_force: bool,
}

impl LockRow {
    pub(crate) fn new(view: &LeaseView) -> Self {
        let (state, holder, foreign, since) = match &view.occupant {
            Some(Occupant::Holder { holder, since, .. }) => (
                LockState::Held,
                Some(Node::from(holder)),
                None,
                Some(*since),
            ),
            Some(Occupant::Shared { .. }) => (LockState::Held, None, None, None),
            Some(other) => (LockState::Foreign, None, Some(other.to_string()), None),
            None => (LockState::Free, None, None, None),
        };
        let (holders, shared) = match &view.occupant {
            Some(shared @ Occupant::Shared { holders, .. }) => (*holders, Some(shared.to_string())),
            Some(_) => (1, None),
            None => (0, None),
        };
        Self {
            key: view.key.to_string(),
            path: segment(view.key.as_bytes()),
            state,
            holder,
            holders,
            shared,
            foreign,
            fence: view.fence().map(tenure_core::Fence::get),
            since: since.map(At),
            held_ms: since.map(|since| millis(view.now.since(since))),
            expires_at: view.expires_at.map(At),
            left_ms: view.expires_at.map(|at| millis(at.since(view.now))),
            waiting: view.queue_len,
        }
    }
}

impl LockDetail {
    pub(crate) fn new(view: &LeaseView) -> Self {
        let queue = view.queue.iter().take(MOST_WAITERS).zip(1..);
        let queue = queue.map(|(waiter, position)| QueueEntry {
            position,
            holder: Node::from(&waiter.holder),
            since: At(waiter.since),
            waited_ms: millis(view.now.since(waiter.since)),
        });
        let sharers = view.sharers.iter().take(MOST_WAITERS);
        let sharers = sharers.map(|sharer| SharerEntry {
            holder: Node::from(&sharer.holder),
            fence: sharer.fence.get(),
            since: At(sharer.since),
            held_ms: millis(view.now.since(sharer.since)),
            expires_at: At(sharer.expires_at),
            left_ms: millis(sharer.expires_at.since(view.now)),
        });
        let has_fence = view.fence().is_some() || !view.sharers.is_empty();
        Self {
            lock: LockRow::new(view),
            now: At(view.now),
            sharers: sharers.collect(),
            queue: queue.collect(),
            can_force: has_fence && view.mark.is_some(),
        }
    }
}

/// Which locks to show.
#[derive(Debug, Clone, Default)]
pub struct LocksQuery {
    /// Keys that begin with this text.
    pub prefix: String,
    /// Which page.
    pub paging: Paging,
}

impl View {
    /// Locks that are held or waited for, in the order of their bytes.
    ///
    /// # Errors
    /// [`ViewError::Invalid`] for a wrong page, [`ViewError::Store`] if the store failed.
    pub async fn locks(&self, query: &LocksQuery) -> Result<Page<LockRow>, ViewError> {
        let limit = query.paging.limit()?;
        let mut list = ListQuery::prefix(&query.prefix).limit(limit);
        if let Some(after) = query.paging.position('k')? {
            let bytes: Vec<u8> = percent_decode_str(after).collect();
            let key = Key::from_bytes(&bytes);
            list = list.after(key.map_err(|error| ViewError::invalid("after", error.to_string()))?);
        }
        let page = self.inner.leases.list(&list).await?;
        let end = page.leases.last().filter(|_| page.more);
        let next = end.map(|view| format!("k{}", segment(view.key.as_bytes())));
        Ok(Page::new(
            page.leases.iter().map(LockRow::new).collect(),
            next,
        ))
    }

    /// Everything about one lock. A key that nobody holds or waits for is shown as free.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn lock(&self, key: &Key) -> Result<LockDetail, ViewError> {
        let leases = &self.inner.leases;
        if let Some(view) = leases.inspect(key).await? {
            return Ok(LockDetail::new(&view));
        }
        let now = leases.now().await?;
        Ok(LockDetail::new(&LeaseView::new(key.clone(), now)))
    }

    /// Locks that somebody waits for, with their queues; at most `most` are looked at.
    pub(crate) async fn contended(&self, most: usize) -> Result<(Vec<LeaseView>, bool), ViewError> {
        let leases = &self.inner.leases;
        let mut query = ListQuery::prefix("").limit(1000);
        let mut contended = Vec::new();
        let mut is_truncated = false;
        // Ten pages of a thousand keys; what lies behind them is told as left out.
        for page_number in 1..=10 {
            let page = leases.list(&query).await?;
            let last = page.leases.last().map(|view| view.key.clone());
            contended.extend(page.leases.into_iter().filter(|view| view.queue_len > 0));
            let Some(last) = last.filter(|_| page.more) else {
                break;
            };
            is_truncated = page_number == 10;
            query = query.after(last);
        }
        contended.sort_by_key(|view| std::cmp::Reverse(view.queue_len));
        is_truncated |= contended.len() > most;
        contended.truncate(most);
        let looks = contended.iter().map(|view| leases.inspect(&view.key));
        let views = join_all(looks).await.into_iter();
        let views: Result<Vec<_>, _> = views.collect();
        Ok((views?.into_iter().flatten().collect(), is_truncated))
    }
}
