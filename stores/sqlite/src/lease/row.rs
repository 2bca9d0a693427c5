//! Leases and waiters as rows.

use rusqlite::{Row, params};
use tenure_core::{
    Fence, Grant, Holder, Key, LeaseRequest, Mark, Occupant, Sharer, Sharing, Timestamp, Token,
};

use crate::column;
use crate::step::{Fault, Step};

/// A lease.
#[derive(Debug)]
pub(super) struct LeaseRow {
    pub(super) token: Token,
    pub(super) holder: Holder,
    pub(super) fence: Fence,
    pub(super) ttl_ms: i64,
    pub(super) since: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) sharing: Sharing,
    /// The fence of the grant that found the key free.
    pub(super) begun: Fence,
}

impl LeaseRow {
    pub(super) fn grant(&self, now: Timestamp) -> Grant {
        Grant::new(self.fence, now, self.expires)
    }

    pub(super) fn occupant(&self) -> Occupant {
        Occupant::Holder {
            holder: self.holder.clone(),
            fence: self.fence,
            since: self.since,
        }
    }

    /// The fence names this very holding: no other grant of the namespace has it.
    pub(super) fn mark(&self) -> Mark {
        Mark::new(self.fence.to_string())
    }

    pub(super) fn sharer(&self) -> Sharer {
        Sharer::new(
            self.holder.clone(),
            self.fence,
            self.since,
            self.expires,
            self.mark(),
        )
    }
}

/// Somebody in a queue.
#[derive(Debug)]
pub(super) struct WaiterRow {
    pub(super) place: i64,
    pub(super) token: Token,
    pub(super) holder: Holder,
    pub(super) ttl_ms: i64,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) sharing: Sharing,
}

fn lease(row: &Row<'_>) -> Result<LeaseRow, Fault> {
    Ok(LeaseRow {
        token: column::token(row, 0)?,
        holder: column::holder(row, 1)?,
        fence: column::fence(row, 5)?,
        ttl_ms: row.get(6)?,
        since: column::time(row, 7)?,
        expires: column::time(row, 8)?,
        sharing: column::sharing(row, 9)?,
        begun: column::fence(row, 10)?,
    })
}

fn waiter(row: &Row<'_>) -> Result<WaiterRow, Fault> {
    Ok(WaiterRow {
        place: row.get(0)?,
        token: column::token(row, 1)?,
        holder: column::holder(row, 2)?,
        ttl_ms: row.get(6)?,
        since: column::time(row, 7)?,
        until: column::time(row, 8)?,
        sharing: column::sharing(row, 9)?,
    })
}

/// The leases on a key, lapsed or not: one, unless it is shared. The oldest grant comes first.
pub(super) fn holders(step: &Step<'_>, key: &Key) -> Result<Vec<LeaseRow>, Fault> {
    let mut holders = step.all(
        "SELECT token, holder, label, host, pid, fence, ttl_ms, since_ms, expires_ms, sharing, begun
         FROM lease WHERE ns = ?1 AND key = ?2",
        params![step.ns, key.as_bytes()],
        lease,
    )?;
    holders.sort_unstable_by_key(|lease| lease.fence);
    Ok(holders)
}

pub(super) fn insert(step: &Step<'_>, key: &Key, row: &LeaseRow) -> Result<(), Fault> {
    step.run(
        "INSERT INTO lease
         (ns, key, token, holder, label, host, pid, fence, ttl_ms, since_ms, expires_ms, sharing,
          begun)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            step.ns,
            key.as_bytes(),
            row.token.as_bytes(),
            row.holder.id.as_bytes(),
            row.holder.label,
            row.holder.host,
            row.holder.pid,
            i64::try_from(row.fence.get()).unwrap_or(i64::MAX),
            row.ttl_ms,
            row.since.as_millis(),
            row.expires.as_millis(),
            column::of_sharing(row.sharing),
            i64::try_from(row.begun.get()).unwrap_or(i64::MAX),
        ],
    )?;
    Ok(())
}

pub(super) fn extend(step: &Step<'_>, key: &Key, row: &LeaseRow) -> Result<(), Fault> {
    step.run(
        "UPDATE lease SET ttl_ms = ?4, expires_ms = ?5 WHERE ns = ?1 AND key = ?2 AND token = ?3",
        params![
            step.ns,
            key.as_bytes(),
            row.token.as_bytes(),
            row.ttl_ms,
            row.expires.as_millis()
        ],
    )?;
    Ok(())
}

/// Writes how many permits there are.
pub(super) fn limit(step: &Step<'_>, key: &Key, sharing: Sharing) -> Result<(), Fault> {
    step.run(
        "UPDATE lease SET sharing = ?3 WHERE ns = ?1 AND key = ?2",
        params![step.ns, key.as_bytes(), column::of_sharing(sharing)],
    )?;
    Ok(())
}

pub(super) fn remove(step: &Step<'_>, key: &Key, token: Token) -> Result<(), Fault> {
    step.run(
        "DELETE FROM lease WHERE ns = ?1 AND key = ?2 AND token = ?3",
        params![step.ns, key.as_bytes(), token.as_bytes()],
    )?;
    Ok(())
}

/// The first in the queue, alive or not.
pub(super) fn head(step: &Step<'_>, key: &Key) -> Result<Option<WaiterRow>, Fault> {
    step.one(
        "SELECT place, token, holder, label, host, pid, ttl_ms, since_ms, until_ms, sharing
         FROM waiter WHERE ns = ?1 AND key = ?2 ORDER BY place LIMIT 1",
        params![step.ns, key.as_bytes()],
        waiter,
    )
}

/// The live waiters of a key, the next in turn first.
pub(super) fn queue(step: &Step<'_>, key: &Key) -> Result<Vec<WaiterRow>, Fault> {
    step.all(
        "SELECT place, token, holder, label, host, pid, ttl_ms, since_ms, until_ms, sharing
         FROM waiter WHERE ns = ?1 AND key = ?2 AND until_ms > ?3 ORDER BY place",
        params![step.ns, key.as_bytes(), step.now.as_millis()],
        waiter,
    )
}

/// How many live waiters a key has, and how many of them stand up to `place`.
pub(super) fn count(step: &Step<'_>, key: &Key, place: i64) -> Result<(u32, u32), Fault> {
    let counts = step.one(
        "SELECT count(*), count(*) FILTER (WHERE place <= ?4)
         FROM waiter WHERE ns = ?1 AND key = ?2 AND until_ms > ?3",
        params![step.ns, key.as_bytes(), step.now.as_millis(), place],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(counts.unwrap_or_default())
}

/// The place of a token and until when it lasts.
pub(super) fn place_of(
    step: &Step<'_>,
    key: &Key,
    token: Token,
) -> Result<Option<(i64, Timestamp)>, Fault> {
    step.one(
        "SELECT place, until_ms FROM waiter WHERE ns = ?1 AND key = ?2 AND token = ?3",
        params![step.ns, key.as_bytes(), token.as_bytes()],
        |row| Ok((row.get(0)?, column::time(row, 1)?)),
    )
}

pub(super) fn keep_place(
    step: &Step<'_>,
    request: &LeaseRequest,
    place: i64,
    until: Timestamp,
) -> Result<(), Fault> {
    step.run(
        "UPDATE waiter SET until_ms = max(until_ms, ?4), ttl_ms = ?5
         WHERE ns = ?1 AND key = ?2 AND place = ?3",
        params![
            step.ns,
            request.key.as_bytes(),
            place,
            until.as_millis(),
            request.ttl.as_millis()
        ],
    )?;
    Ok(())
}

/// Puts a request at the end of the queue; answers its place.
pub(super) fn enqueue(
    step: &Step<'_>,
    request: &LeaseRequest,
    until: Timestamp,
) -> Result<i64, Fault> {
    let place = step.one(
        "INSERT INTO waiter
         (ns, key, place, token, holder, label, host, pid, ttl_ms, since_ms, until_ms, sharing)
         VALUES (?1, ?2,
                 1 + coalesce((SELECT max(place) FROM waiter WHERE ns = ?1 AND key = ?2), 0),
                 ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         RETURNING place",
        params![
            step.ns,
            request.key.as_bytes(),
            request.token.as_bytes(),
            request.holder.id.as_bytes(),
            request.holder.label,
            request.holder.host,
            request.holder.pid,
            request.ttl.as_millis(),
            step.now.as_millis(),
            until.as_millis(),
            column::of_sharing(request.sharing),
        ],
        |row| Ok(row.get(0)?),
    )?;
    Ok(place.unwrap_or_default())
}

/// Takes a place away; false if there was none.
pub(super) fn give_up_place(step: &Step<'_>, key: &Key, token: Token) -> Result<bool, Fault> {
    let gone = step.run(
        "DELETE FROM waiter WHERE ns = ?1 AND key = ?2 AND token = ?3",
        params![step.ns, key.as_bytes(), token.as_bytes()],
    )?;
    Ok(gone > 0)
}
