//! A lock as an operator sees it.

use std::num::NonZeroU32;

use redis::Value;
use tenure_core::{
    Fence, HolderId, Key, LeaseView, Mark, Occupant, Sharer, Sharing, StoreError, Timestamp, Waiter,
};

use super::INSPECT;
use super::share::sharing_of;
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

/// An occupant before its holder is named.
#[derive(Debug)]
pub(super) enum RawOccupant {
    Ours {
        holder: HolderId,
        fence: Fence,
        /// A majority of a quorum agreed on the fence, as this server knows.
        is_agreed: bool,
        since: Timestamp,
    },
    Shared {
        holders: u32,
        at_most: Option<NonZeroU32>,
    },
    Foreign(String),
    /// Nobody yet: it is the first waiter's turn.
    Free,
}

impl RawOccupant {
    /// Reads what a script says of an occupant.
    pub(super) fn read(reply: &mut Reply) -> Result<Self, StoreError> {
        let word = reply.text()?;
        match word.as_str() {
            "ours" => Self::read_ours(reply),
            "shared" => {
                let mode = reply.text()?;
                Ok(Self::Shared {
                    at_most: sharing_of(&mode).at_most(),
                    holders: reply.parse()?,
                })
            }
            "foreign" => reply.text().map(Self::Foreign),
            "free" => Ok(Self::Free),
            other => Err(reply.unknown(other)),
        }
    }

    /// Reads who holds it, with which fence, and since when.
    pub(super) fn read_ours(reply: &mut Reply) -> Result<Self, StoreError> {
        let holder = reply.parse()?;
        let digits = reply.text()?;
        Ok(Self::Ours {
            holder,
            fence: Fence::new(digits.parse().map_err(|_| reply.unknown(&digits))?),
            is_agreed: digits.starts_with('0'),
            since: reply.timestamp()?,
        })
    }

    /// Whether this server knows that a majority of its quorum agreed on the fence.
    pub(super) fn is_agreed(&self) -> bool {
        matches!(
            self,
            Self::Ours {
                is_agreed: true,
                ..
            }
        )
    }

    /// With its holder's name.
    pub(super) async fn named(self, store: &RedisStore) -> Occupant {
        match self {
            Self::Ours {
                holder,
                fence,
                since,
                ..
            } => Occupant::Holder {
                holder: store.shared.people.who(&store.shared.link, holder).await,
                fence,
                since,
            },
            Self::Shared { holders, at_most } => Occupant::Shared { holders, at_most },
            Self::Foreign(kind) => Occupant::Foreign {
                what: format!("a {kind} that is no lock of tenure's"),
            },
            Self::Free => Occupant::Foreign {
                what: "nobody yet; the first in line is next".to_owned(),
            },
        }
    }
}

/// What the script shows of a lock.
#[derive(Debug)]
pub(super) struct RawView {
    now: Timestamp,
    /// Negative if it never ends.
    expires_at: i64,
    occupant: Option<(RawOccupant, Mark)>,
    sharers: Vec<RawSharer>,
    queue: Vec<(HolderId, Timestamp, Sharing)>,
    queue_len: u32,
}

/// One who shares it.
#[derive(Debug)]
struct RawSharer {
    holder: HolderId,
    fence: Fence,
    since: Timestamp,
    expires_at: Timestamp,
    mark: Mark,
}

impl RawSharer {
    /// Reads `TOKEN h HOLDER FENCE SINCE_MS EXPIRES_MS BEGUN`.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let token = parts.next()?;
        let holder = parts.nth(1)?.parse().ok()?;
        let fence = parts.next()?;
        let mut time = || Some(Timestamp::from_millis(parts.next()?.parse().ok()?));
        Some(Self {
            holder,
            mark: Mark::new(format!("share:{token}:{fence}")),
            fence: Fence::new(fence.parse().ok()?),
            since: time()?,
            expires_at: time()?,
        })
    }
}

impl RedisStore {
    /// Looks at a key. `None` if nobody has it or waits for it.
    pub(super) async fn look(&self, key: &Key, most: u32) -> Result<Option<RawView>, StoreError> {
        let call = self.all_names(key, &INSPECT).arg(most);
        let mut reply = Reply::new(INSPECT.doing, self.shared.link.run(call).await?)?;
        let now = reply.timestamp()?;
        let expires_at = reply.number()?;
        let occupant = match reply.next()? {
            Value::Array(parts) => {
                let mut parts = Reply::new(INSPECT.doing, Value::Array(parts))?;
                Some(RawOccupant::read(&mut parts)?)
            }
            _ => None,
        };
        let mark = Mark::new(reply.text()?);
        let queue_len = reply.number()?;
        let mut queue = Vec::new();
        for details in reply.nested()?.rest() {
            let details = text_of(INSPECT.doing, details)?;
            let mut parts = details.split(' ');
            let sharing = sharing_of(parts.next().unwrap_or_default());
            let holder = parts.next().and_then(|id| id.parse().ok());
            let since = parts.nth(2).and_then(|ms| ms.parse().ok());
            if let (Some(holder), Some(since)) = (holder, since) {
                queue.push((holder, Timestamp::from_millis(since), sharing));
            }
        }
        let mut sharers = Vec::new();
        for text in reply.nested()?.rest() {
            sharers.extend(RawSharer::read(&text_of(INSPECT.doing, text)?));
        }
        sharers.sort_unstable_by_key(|sharer| sharer.fence);
        let is_nothing = occupant.is_none() && queue_len == 0;
        Ok((!is_nothing).then(|| RawView {
            now,
            expires_at,
            occupant: occupant.map(|occupant| (occupant, mark)),
            sharers,
            queue,
            queue_len,
        }))
    }
}

/// The view of `key`, with everybody named.
pub(super) async fn view_of(store: &RedisStore, key: Key, raw: RawView) -> LeaseView {
    let mut view = LeaseView::new(key, raw.now);
    if let Some((occupant, mark)) = raw.occupant {
        let expires_at = (raw.expires_at >= 0).then(|| Timestamp::from_millis(raw.expires_at));
        view = view.held_by(occupant.named(store).await, expires_at, mark);
    }
    let waiting = raw.queue.iter().map(|(id, ..)| *id);
    let sharing = raw.sharers.iter().map(|sharer| sharer.holder);
    let ids: Vec<_> = sharing.chain(waiting).collect();
    let named = store.shared.people.named(&store.shared.link, &ids).await;
    let sharers = raw.sharers.into_iter().filter_map(|raw| {
        let holder = named.get(&raw.holder)?.clone();
        let (fence, since, expires_at) = (raw.fence, raw.since, raw.expires_at);
        Some(Sharer::new(holder, fence, since, expires_at, raw.mark))
    });
    view.sharers = sharers.collect();
    let queue = raw.queue.into_iter().filter_map(|(id, since, sharing)| {
        let holder = named.get(&id)?.clone();
        Some(Waiter::new(holder, since).waiting_for(sharing))
    });
    let queue = queue.collect();
    view = view.queued(queue);
    view.queue_len = raw.queue_len;
    view
}
