//! Who gets a lease: the decisions, each inside one transaction.
//!
//! Every request first settles its key: a lease whose time has passed ends, and whoever is first in
//! line is granted the key as soon as it goes with those that hold it, and then the next. So a
//! lapse needs nobody in particular to notice it.

use rusqlite::params;
use tenure_core::{
    Acquisition, Cancellation, ForceRequest, Forced, Held, Key, LeaseRequest, LeaseView, Note,
    Place, Release, RenewRequest, Renewal, Sharing, StoreError, StoreErrorKind, Token, Waiting,
};

use super::holders::Holders;
use super::row::{self, LeaseRow, WaiterRow};
use super::{CLAIM_WINDOW, view};
use crate::column::fence_of;
use crate::run::add_note;
use crate::step::{Counter, Effect, Fault, Step, millis};

/// Waiters further back ask a little later, so that a lapse is met by one request and not by all.
const STAGGER_MS: u64 = 50;
const STAGGER_PLACES: u32 = 20;

/// Ends leases that have lapsed and serves those who wait, where that may be due; answers who has
/// the key then.
pub(super) fn settle(step: &mut Step<'_>, key: &Key) -> Result<Holders, Fault> {
    let (mut holders, may_have_room) = present(step, key)?;
    if may_have_room {
        serve(step, key, &mut holders, None)?;
    }
    Ok(holders)
}

/// Who holds a key, after leases that have lapsed are ended; and whether a waiter may have to be
/// served.
fn present(step: &mut Step<'_>, key: &Key) -> Result<(Holders, bool), Fault> {
    let mut holders = Holders(row::holders(step, key)?);
    let now = step.now;
    let lapsed = holders.0.extract_if(.., |lease| lease.expires <= now);
    let lapsed: Vec<_> = lapsed.map(|lease| lease.token).collect();
    for token in &lapsed {
        end(step, key, *token)?;
    }
    let may_have_room = !lapsed.is_empty() || holders.is_empty() || holders.sharing().is_shared();
    Ok((holders, may_have_room))
}

/// Ends one lease on a key.
fn end(step: &mut Step<'_>, key: &Key, token: Token) -> Result<(), Fault> {
    row::remove(step, key, token)?;
    step.effects.push(Effect::Changed(key.clone(), token));
    Ok(())
}

/// Grants the key for the claim window to the first live waiters, one after the other, as long as
/// each goes with those that hold it. They are told, but `asker`, who asks in this very step. True
/// if anybody was granted.
fn serve(
    step: &mut Step<'_>,
    key: &Key,
    holders: &mut Holders,
    asker: Option<Token>,
) -> Result<bool, Fault> {
    let mut is_any = false;
    // Each turn removes a waiter for good, so the loop costs no more than the queueing did.
    while let Some(waiter) = row::head(step, key)? {
        let is_alive = waiter.until > step.now;
        if is_alive && !holders.has_room_for(waiter.sharing, holders.sharing().at_most()) {
            break;
        }
        step.run(
            "DELETE FROM waiter WHERE ns = ?1 AND key = ?2 AND place = ?3",
            params![step.ns, key.as_bytes(), waiter.place],
        )?;
        if is_alive {
            let lease = admit(step, key, holders, waiter)?;
            let grant = lease.grant(step.now);
            if asker != Some(lease.token) {
                step.effects
                    .push(Effect::Granted(key.clone(), lease.token, grant));
            }
            holders.0.push(lease);
            is_any = true;
        }
    }
    Ok(is_any)
}

/// Writes the lease of a waiter whose turn it is.
fn admit(
    step: &Step<'_>,
    key: &Key,
    holders: &Holders,
    waiter: WaiterRow,
) -> Result<LeaseRow, Fault> {
    let window_ms = waiter.ttl_ms.min(millis(CLAIM_WINDOW));
    let fence = fence_of(step.next(Counter::Fence)?)?;
    let first = holders.0.first();
    let lease = LeaseRow {
        token: waiter.token,
        holder: waiter.holder,
        fence,
        ttl_ms: waiter.ttl_ms,
        since: step.now,
        expires: step.now + std::time::Duration::from_millis(window_ms.unsigned_abs()),
        sharing: match first {
            Some(first) => first.sharing,
            None => limit_of_run(step, key, waiter.sharing)?,
        },
        begun: first.map_or(fence, |first| first.begun),
    };
    row::insert(step, key, &lease)?;
    Ok(lease)
}

/// What the last of those says who stand first in line and want permits, if `first` wants one.
fn limit_of_run(step: &Step<'_>, key: &Key, first: Sharing) -> Result<Sharing, Fault> {
    if !first.is_shared() || first.at_most().is_none() {
        return Ok(first);
    }
    let queue = row::queue(step, key)?.into_iter();
    let run = queue.map(|waiter| waiter.sharing);
    let last = run.take_while(|next| first.goes_with(*next)).last();
    Ok(last.unwrap_or(first))
}

/// A new request that asks for permits decides from now on how many there are.
fn limit_by(
    step: &Step<'_>,
    key: &Key,
    holders: &mut Holders,
    sharing: Sharing,
) -> Result<(), Fault> {
    let in_force = holders.sharing();
    if in_force != sharing && in_force.goes_with(sharing) {
        row::limit(step, key, sharing)?;
        for lease in &mut holders.0 {
            lease.sharing = sharing;
        }
    }
    Ok(())
}

pub(super) fn acquire(step: &mut Step<'_>, request: &LeaseRequest) -> Result<Acquisition, Fault> {
    let key = &request.key;
    let (mut holders, may_have_room) = present(step, key)?;
    if may_have_room {
        // This request may be the next in turn, and alive by the very fact that it asks.
        if let Waiting::InLine { keep } = request.waiting {
            refresh_place(step, request, keep)?;
        }
        serve(step, key, &mut holders, Some(request.token))?;
    }
    if let Some(granted) = kept(step, request, &mut holders)? {
        return Ok(granted);
    }
    let at_most = request.sharing.at_most();
    // One that asks for a permit is measured by its own limit. Who is first in line was served.
    if holders.has_room_for(request.sharing, at_most)
        && (holders.is_empty() || row::head(step, key)?.is_none())
    {
        limit_by(step, key, &mut holders, request.sharing)?;
        return grant(step, request, &holders);
    }
    held(step, request, &mut holders)
}

/// The grant to a request that has the key already, kept for as long as it asks.
fn kept(
    step: &Step<'_>,
    request: &LeaseRequest,
    holders: &mut Holders,
) -> Result<Option<Acquisition>, Fault> {
    let Some(lease) = holders.own(request.token) else {
        return Ok(None);
    };
    lease.expires = lease.expires.max(step.now + request.ttl.get());
    lease.ttl_ms = i64::from(request.ttl.as_millis());
    row::extend(step, &request.key, lease)?;
    Ok(Some(Acquisition::Granted(lease.grant(step.now))))
}

fn grant(step: &Step<'_>, request: &LeaseRequest, holders: &Holders) -> Result<Acquisition, Fault> {
    let fence = fence_of(step.next(Counter::Fence)?)?;
    let lease = LeaseRow {
        token: request.token,
        holder: request.holder.clone(),
        fence,
        ttl_ms: i64::from(request.ttl.as_millis()),
        since: step.now,
        expires: step.now + request.ttl.get(),
        sharing: request.sharing,
        begun: holders.0.first().map_or(fence, |first| first.begun),
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
    holders: &mut Holders,
) -> Result<Acquisition, Fault> {
    let mut place = None;
    if let Waiting::InLine { keep } = request.waiting {
        let at = if let Some(at) = refresh_place(step, request, keep)? {
            at
        } else {
            let at = row::enqueue(step, request, step.now + keep)?;
            if request.sharing.is_shared() {
                // It may have raised the limit.
                limit_by(step, &request.key, holders, request.sharing)?;
                serve(step, &request.key, holders, Some(request.token))?;
                if let Some(granted) = kept(step, request, holders)? {
                    return Ok(granted);
                }
            }
            at
        };
        place = Some((at, keep));
    }
    let (Some(by), Some(until)) = (holders.occupant(), holders.until(request.sharing)) else {
        let message = "a key that is held has no holder";
        return Err(StoreError::new(StoreErrorKind::Corrupt, message).into());
    };
    let remaining = until.since(step.now);
    let held = Held::new(step.now, by, Some(remaining));
    let Some((place, keep)) = place else {
        return Ok(Acquisition::Held(held));
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
    let mut holders = settle(step, &request.key)?;
    // A grant that was handed on by this very step is a new one, even to the same token.
    if let Some(lease) = holders.own(request.token) {
        lease.expires = lease.expires.max(step.now + request.ttl.get());
        lease.ttl_ms = i64::from(request.ttl.as_millis());
        row::extend(step, &request.key, lease)?;
        return Ok(Renewal::Renewed(lease.grant(step.now)));
    }
    Ok(Renewal::Lost {
        now: step.now,
        by: holders.occupant(),
    })
}

pub(super) fn release(step: &mut Step<'_>, key: &Key, token: Token) -> Result<Release, Fault> {
    let (mut holders, mut may_have_room) = present(step, key)?;
    let before = holders.0.len();
    holders.0.retain(|lease| lease.token != token);
    let was_held = holders.0.len() < before;
    if was_held {
        row::remove(step, key, token)?;
        may_have_room = true;
    }
    let is_handed_on = may_have_room && serve(step, key, &mut holders, None)?;
    Ok(if !was_held {
        Release::NotHeld
    } else if is_handed_on {
        Release::HandedOn
    } else if holders.is_empty() {
        Release::Freed
    } else {
        Release::OthersHold
    })
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
    let mut holders = settle(step, key)?;
    if holders.is_empty() {
        return Ok(Forced::NotHeld);
    }
    let Some((tokens, from)) = holders.meant_by(&request.expected) else {
        let view = view::look(step, key)?.view;
        return Ok(Forced::Changed {
            current: view.unwrap_or_else(|| LeaseView::new(key.clone(), step.now)),
        });
    };
    for token in &tokens {
        end(step, key, *token)?;
    }
    holders.0.retain(|lease| !tokens.contains(&lease.token));
    serve(step, key, &mut holders, None)?;
    let mut text = format!("{} took `{key}` from {from}", request.by);
    if !request.why.is_empty() {
        text.push_str(": ");
        text.push_str(&request.why);
    }
    add_note(step, &Note::new("lease_forced", text))?;
    Ok(Forced::Done { from })
}
