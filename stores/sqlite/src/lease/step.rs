//! Who gets a lease: the decisions, each inside one transaction.
//!
//! Every request first settles its key: a lease whose time has passed ends, and a key that is free
//! goes to the first live waiter. So a lapse needs nobody in particular to notice it.

use rusqlite::params;
use tenure_core::{
    Acquisition, Cancellation, ForceRequest, Forced, Held, Key, LeaseRequest, LeaseView, Note,
    Place, Release, RenewRequest, Renewal, Token, Waiting,
};

use super::row::{self, LeaseRow};
use super::{CLAIM_WINDOW, view};
use crate::column::fence_of;
use crate::run::add_note;
use crate::step::{Counter, Effect, Fault, Step, millis};

/// Waiters further back ask a little later, so that a lapse is met by one request and not by all.
const STAGGER_MS: u64 = 50;
const STAGGER_PLACES: u32 = 20;

/// Ends a lapsed lease and hands a free key on; answers who has the key then.
pub(super) fn settle(step: &mut Step<'_>, key: &Key) -> Result<Option<LeaseRow>, Fault> {
    match row::load(step, key)? {
        Some(lease) if lease.expires > step.now => Ok(Some(lease)),
        Some(lease) => end(step, key, lease.token),
        None => hand_on(step, key),
    }
}

/// Ends the lease on a key and hands it on.
fn end(step: &mut Step<'_>, key: &Key, token: Token) -> Result<Option<LeaseRow>, Fault> {
    row::remove(step, key)?;
    step.effects.push(Effect::Changed(key.clone(), token));
    hand_on(step, key)
}

/// Gives a free key to the first live waiter, for the claim window.
fn hand_on(step: &mut Step<'_>, key: &Key) -> Result<Option<LeaseRow>, Fault> {
    // Each turn removes a waiter for good, so the loop costs no more than the queueing did.
    while let Some(waiter) = row::head(step, key)? {
        step.run(
            "DELETE FROM waiter WHERE ns = ?1 AND key = ?2 AND place = ?3",
            params![step.ns, key.as_bytes(), waiter.place],
        )?;
        if waiter.until <= step.now {
            continue;
        }
        let window_ms = waiter.ttl_ms.min(millis(CLAIM_WINDOW));
        let lease = LeaseRow {
            token: waiter.token,
            holder: waiter.holder,
            fence: fence_of(step.next(Counter::Fence)?)?,
            ttl_ms: waiter.ttl_ms,
            since: step.now,
            expires: step.now + std::time::Duration::from_millis(window_ms.unsigned_abs()),
        };
        row::insert(step, key, &lease)?;
        let grant = lease.grant(step.now);
        step.effects
            .push(Effect::Granted(key.clone(), lease.token, grant));
        return Ok(Some(lease));
    }
    Ok(None)
}

pub(super) fn acquire(step: &mut Step<'_>, request: &LeaseRequest) -> Result<Acquisition, Fault> {
    let key = &request.key;
    let lease = match row::load(step, key)? {
        Some(lease) if lease.expires > step.now => Some(lease),
        lapsed => {
            if let Some(lapsed) = lapsed {
                row::remove(step, key)?;
                step.effects
                    .push(Effect::Changed(key.clone(), lapsed.token));
            }
            // This request may be the next in turn, and alive by the very fact that it asks.
            if let Waiting::InLine { keep } = request.waiting {
                refresh_place(step, request, keep)?;
            }
            hand_on(step, key)?
        }
    };
    match lease {
        None => grant(step, request),
        Some(mut lease) if lease.token == request.token => {
            lease.expires = lease.expires.max(step.now + request.ttl.get());
            lease.ttl_ms = i64::from(request.ttl.as_millis());
            row::extend(step, key, &lease)?;
            Ok(Acquisition::Granted(lease.grant(step.now)))
        }
        Some(lease) => held(step, request, &lease),
    }
}

fn grant(step: &mut Step<'_>, request: &LeaseRequest) -> Result<Acquisition, Fault> {
    let lease = LeaseRow {
        token: request.token,
        holder: request.holder.clone(),
        fence: fence_of(step.next(Counter::Fence)?)?,
        ttl_ms: i64::from(request.ttl.as_millis()),
        since: step.now,
        expires: step.now + request.ttl.get(),
    };
    row::insert(step, &request.key, &lease)?;
    Ok(Acquisition::Granted(lease.grant(step.now)))
}

/// Keeps the place that a live request has; a place that lapsed is lost.
fn refresh_place(
    step: &mut Step<'_>,
    request: &LeaseRequest,
    keep: std::time::Duration,
) -> Result<Option<i64>, Fault> {
    match row::place_of(step, &request.key, request.token)? {
        Some((place, until)) if until > step.now => {
            row::keep_place(step, request, place, step.now + keep)?;
            Ok(Some(place))
        }
        Some(_) => {
            row::give_up_place(step, &request.key, request.token)?;
            Ok(None)
        }
        None => Ok(None),
    }
}

fn held(
    step: &mut Step<'_>,
    request: &LeaseRequest,
    lease: &LeaseRow,
) -> Result<Acquisition, Fault> {
    let remaining = lease.expires.since(step.now);
    let held = Held::new(step.now, lease.occupant(), Some(remaining));
    let Waiting::InLine { keep } = request.waiting else {
        return Ok(Acquisition::Held(held));
    };
    let place = match refresh_place(step, request, keep)? {
        Some(place) => place,
        None => row::enqueue(step, request, step.now + keep)?,
    };
    let (length, position) = row::count(step, &request.key, place)?;
    let behind = u64::from(position.saturating_sub(1).min(STAGGER_PLACES));
    let stagger = std::time::Duration::from_millis(STAGGER_MS * behind);
    // Asking again is also what keeps the place.
    let ask_again = remaining.saturating_add(stagger).min(keep / 3);
    let ask_again = ask_again.max(std::time::Duration::from_millis(1));
    Ok(Acquisition::Held(
        held.in_place(Place::new(position, length))
            .ask_again_after(ask_again),
    ))
}

pub(super) fn renew(step: &mut Step<'_>, request: &RenewRequest) -> Result<Renewal, Fault> {
    match settle(step, &request.key)? {
        // A grant that was handed on by this very step is a new one, even to the same token.
        Some(mut lease) if lease.token == request.token => {
            lease.expires = lease.expires.max(step.now + request.ttl.get());
            lease.ttl_ms = i64::from(request.ttl.as_millis());
            row::extend(step, &request.key, &lease)?;
            Ok(Renewal::Renewed(lease.grant(step.now)))
        }
        other => Ok(Renewal::Lost {
            now: step.now,
            by: other.map(|lease| lease.occupant()),
        }),
    }
}

pub(super) fn release(step: &mut Step<'_>, key: &Key, token: Token) -> Result<Release, Fault> {
    match row::load(step, key)? {
        Some(lease) if lease.token == token && lease.expires > step.now => {
            row::remove(step, key)?;
            let next = hand_on(step, key)?;
            Ok(next.map_or(Release::Freed, |_| Release::HandedOn))
        }
        Some(lease) if lease.expires <= step.now => {
            end(step, key, lease.token)?;
            Ok(Release::NotHeld)
        }
        _ => Ok(Release::NotHeld),
    }
}

pub(super) fn cancel(step: &mut Step<'_>, key: &Key, token: Token) -> Result<Cancellation, Fault> {
    // First the place: a lapse noticed here must not grant the key to whoever gives it up.
    let had_place = row::give_up_place(step, key, token)?;
    Ok(match release(step, key, token)? {
        Release::NotHeld if had_place => Cancellation::LeftQueue,
        Release::NotHeld => Cancellation::Nothing,
        _ => Cancellation::Released,
    })
}

pub(super) fn force(step: &mut Step<'_>, request: &ForceRequest) -> Result<Forced, Fault> {
    let key = &request.key;
    let Some(lease) = settle(step, key)? else {
        return Ok(Forced::NotHeld);
    };
    if lease.mark() != request.expected {
        let view = view::look(step, key)?.view;
        return Ok(Forced::Changed {
            current: view.unwrap_or_else(|| LeaseView::new(key.clone(), step.now)),
        });
    }
    let from = lease.occupant();
    end(step, key, lease.token)?;
    let mut text = format!("{} took `{key}` from {from}", request.by);
    if !request.why.is_empty() {
        text.push_str(": ");
        text.push_str(&request.why);
    }
    add_note(step, &Note::new("lease_forced", text))?;
    Ok(Forced::Done { from })
}
