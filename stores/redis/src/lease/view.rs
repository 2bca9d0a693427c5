//! A lock as an operator sees it.

use redis::Value;
use tenure_core::{Fence, HolderId, Key, LeaseView, Mark, Occupant, StoreError, Timestamp, Waiter};

use super::INSPECT;
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

/// An occupant before its holder is named.
#[derive(Debug)]
pub(super) enum RawOccupant {
    Ours {
        holder: HolderId,
        fence: Fence,
        since: Timestamp,
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
            "ours" => Ok(Self::Ours {
                holder: reply.parse()?,
                fence: Fence::new(reply.number()?),
                since: reply.timestamp()?,
            }),
            "foreign" => reply.text().map(Self::Foreign),
            "free" => Ok(Self::Free),
            other => Err(reply.unknown(other)),
        }
    }

    /// With its holder's name.
    pub(super) async fn named(self, store: &RedisStore) -> Occupant {
        match self {
            Self::Ours {
                holder,
                fence,
                since,
            } => Occupant::Holder {
                holder: store.shared.people.who(&store.shared.link, holder).await,
                fence,
                since,
            },
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
    queue: Vec<(HolderId, Timestamp)>,
    queue_len: u32,
}

impl RedisStore {
    /// Looks at a key. `None` if nobody has it or waits for it.
    pub(super) async fn look(&self, key: &Key, most: u32) -> Result<Option<RawView>, StoreError> {
        let call = self.names(key, &INSPECT).arg(most);
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
            let holder = parts.next().and_then(|id| id.parse().ok());
            let since = parts.nth(2).and_then(|ms| ms.parse().ok());
            if let (Some(holder), Some(since)) = (holder, since) {
                queue.push((holder, Timestamp::from_millis(since)));
            }
        }
        let is_nothing = occupant.is_none() && queue_len == 0;
        Ok((!is_nothing).then(|| RawView {
            now,
            expires_at,
            occupant: occupant.map(|occupant| (occupant, mark)),
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
    let ids: Vec<_> = raw.queue.iter().map(|(id, _)| *id).collect();
    let named = store.shared.people.named(&store.shared.link, &ids).await;
    let queue = raw.queue.into_iter().filter_map(|(id, since)| {
        let holder = named.get(&id)?.clone();
        Some(Waiter::new(holder, since))
    });
    let queue = queue.collect();
    view = view.queued(queue);
    view.queue_len = raw.queue_len;
    view
}
