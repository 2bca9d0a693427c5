//! Reads columns, trusting none of them: a value that cannot be ours is a corrupt record, never a
//! panic.

use std::num::NonZeroU32;

use rusqlite::Row;
use tenure_core::{
    Fence, Generation, Holder, HolderId, Key, RequestId, Sharing, TaskName, Timestamp, Token,
};

use crate::error::unreadable;
use crate::step::Fault;

fn sixteen(row: &Row<'_>, at: usize, what: &str) -> Result<[u8; 16], Fault> {
    let bytes = row.get_ref(at)?.as_blob().unwrap_or_default();
    <[u8; 16]>::try_from(bytes).map_err(|_| {
        let length = format!("of {} bytes", bytes.len());
        unreadable(what, &length).into()
    })
}

pub(crate) fn token(row: &Row<'_>, at: usize) -> Result<Token, Fault> {
    Ok(Token::from_bytes(sixteen(row, at, "a token")?))
}

pub(crate) fn holder_id(row: &Row<'_>, at: usize) -> Result<HolderId, Fault> {
    Ok(HolderId::from_bytes(sixteen(row, at, "a holder")?))
}

/// The four columns `holder, label, host, pid`.
pub(crate) fn holder(row: &Row<'_>, at: usize) -> Result<Holder, Fault> {
    let label: String = row.get(at + 1)?;
    let host: String = row.get(at + 2)?;
    Ok(Holder::new(label)
        .with_id(holder_id(row, at)?)
        .on_host(host)
        .with_pid(row.get(at + 3)?))
}

/// As [`holder`], or nothing if there is none.
pub(crate) fn maybe_holder(row: &Row<'_>, at: usize) -> Result<Option<Holder>, Fault> {
    if row.get_ref(at)?.data_type() == rusqlite::types::Type::Null {
        return Ok(None);
    }
    holder(row, at).map(Some)
}

pub(crate) fn fence_of(number: i64) -> Result<Fence, Fault> {
    let number = u64::try_from(number).map_err(|_| unreadable("a fence", &number.to_string()))?;
    Ok(Fence::new(number))
}

pub(crate) fn fence(row: &Row<'_>, at: usize) -> Result<Fence, Fault> {
    fence_of(row.get(at)?)
}

/// How a lease is shared: -1 not at all, 0 a reader's, otherwise the number of permits.
pub(crate) fn sharing(row: &Row<'_>, at: usize) -> Result<Sharing, Fault> {
    let number: i64 = row.get(at)?;
    if number == -1 {
        return Ok(Sharing::Exclusive);
    }
    let number = u32::try_from(number)
        .map_err(|_| unreadable("how a lease is shared", &number.to_string()))?;
    Ok(NonZeroU32::new(number).map_or(Sharing::READ, Sharing::permit))
}

/// What stands in the file for it: see [`sharing`].
pub(crate) fn of_sharing(sharing: Sharing) -> i64 {
    match sharing {
        Sharing::Shared { at_most } => at_most.map_or(0, |most| most.get().into()),
        _ => -1,
    }
}

pub(crate) fn time(row: &Row<'_>, at: usize) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millis(row.get(at)?))
}

pub(crate) fn maybe_time(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>, Fault> {
    let ms: Option<i64> = row.get(at)?;
    Ok(ms.map(Timestamp::from_millis))
}

pub(crate) fn key(row: &Row<'_>, at: usize) -> Result<Key, Fault> {
    let bytes = row.get_ref(at)?.as_blob().unwrap_or_default();
    Key::from_bytes(bytes).map_err(|error| unreadable("a key", &error.to_string()).into())
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> Result<&'r str, Fault> {
    let text = row.get_ref(at)?.as_str();
    text.map_err(|_| unreadable("a name", "that is not text").into())
}

pub(crate) fn task(row: &Row<'_>, at: usize) -> Result<TaskName, Fault> {
    let name = text(row, at)?;
    TaskName::new(name).map_err(|_| unreadable("a task name", name).into())
}

pub(crate) fn generation(row: &Row<'_>, at: usize) -> Result<Generation, Fault> {
    let name = text(row, at)?;
    Generation::new(name).map_err(|_| unreadable("a generation", name).into())
}

pub(crate) fn request(row: &Row<'_>, at: usize) -> Result<RequestId, Fault> {
    let name = text(row, at)?;
    RequestId::new(name).map_err(|_| unreadable("a request", name).into())
}

/// A word of a closed list.
pub(crate) fn word<T>(
    row: &Row<'_>,
    at: usize,
    what: &str,
    known: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Fault> {
    let word = text(row, at)?;
    known(word).ok_or_else(|| unreadable(what, word).into())
}
