//! Leases as an operator sees them.

use rusqlite::params;
use tenure_core::{Key, LeasePage, LeaseView, ListQuery, Waiter};

use super::holders::Holders;
use super::row;
use crate::column;
use crate::step::{Fault, Step};

/// A look at one key.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) view: Option<LeaseView>,
    /// Somebody waits whose turn it is: nobody has noticed the lapse yet.
    pub(super) is_stale: bool,
}

pub(super) fn look(step: &Step<'_>, key: &Key) -> Result<Look, Fault> {
    let holders = living(step, key)?;
    let waiters = row::queue(step, key)?;
    let in_force = holders.sharing().at_most();
    let is_next = |first: &row::WaiterRow| holders.has_room_for(first.sharing, in_force);
    let is_stale = waiters.first().is_some_and(is_next);
    let queue: Vec<_> = waiters
        .into_iter()
        .map(|waiter| Waiter::new(waiter.holder, waiter.since).waiting_for(waiter.sharing))
        .collect();
    let is_any = !holders.is_empty() || !queue.is_empty();
    let view = holders.shown_in(LeaseView::new(key.clone(), step.now));
    Ok(Look {
        view: is_any.then(|| view.queued(queue)),
        is_stale,
    })
}

fn living(step: &Step<'_>, key: &Key) -> Result<Holders, Fault> {
    let mut holders = row::holders(step, key)?;
    holders.retain(|lease| lease.expires > step.now);
    Ok(Holders(holders))
}

pub(super) fn list(step: &Step<'_>, query: &ListQuery) -> Result<LeasePage, Fault> {
    let limit = query.limit.clamp(1, 1000);
    let (first, end) = range(query);
    let mut keys = step.all(
        "SELECT key FROM lease
         WHERE ns = ?1 AND key >= ?2 AND key < ?3 AND expires_ms > ?4
         UNION
         SELECT key FROM waiter
         WHERE ns = ?1 AND key >= ?2 AND key < ?3 AND until_ms > ?4
         ORDER BY key LIMIT ?5",
        params![
            step.ns,
            first,
            end,
            step.now.as_millis(),
            i64::try_from(limit).unwrap_or(1000) + 1
        ],
        |row| column::key(row, 0),
    )?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    let mut leases = Vec::with_capacity(keys.len());
    for key in keys {
        let holders = living(step, &key)?;
        let mut view = holders.shown_in(LeaseView::new(key.clone(), step.now));
        view.queue_len = row::count(step, &key, 0)?.0;
        leases.push(view);
    }
    Ok(LeasePage::new(leases, more))
}

/// The keys that may be answered: from the first, up to but without the end.
fn range(query: &ListQuery) -> (Vec<u8>, Vec<u8>) {
    let mut first = query.prefix.clone();
    if let Some(after) = &query.after
        && after.as_bytes() >= first.as_slice()
    {
        first = after.as_bytes().to_vec();
        first.push(0);
    }
    // The next bytes that do not begin with the prefix; a prefix of 0xff alone has none, so there
    // it is what no key can reach.
    let mut end = query.prefix.clone();
    while end.last() == Some(&0xff) {
        end.pop();
    }
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end = vec![0xff; Key::MAX_LEN + 1],
    }
    (first, end)
}
