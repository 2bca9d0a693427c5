//! `tenure locks` and `tenure unlock`: who holds what, and taking it from them.

use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};
use tenure::Tenure;
use tenure::core::{Fence, Forced, Holder, Key, LeasePage, LeaseView, Occupant, Sharer, Timestamp};
use tenure::lock::AdminError;
use tokio::runtime::Builder;

use crate::args::{LocksArgs, LocksCommand, LocksListArgs, LocksShowArgs, StoreArgs, UnlockArgs};
use crate::control::who;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::lock::{key_of, runtime};
use crate::output::{about, folded, print, print_json, table};
use crate::store::{Chosen, code_of_store};

pub(crate) fn run(args: LocksArgs) -> Outcome {
    let runtime = runtime(&mut Builder::new_current_thread())?;
    match args.command {
        None => runtime.block_on(list(args.list)),
        Some(LocksCommand::Show(_)) if args.list.prefix.is_some() => Err(Failure::new(
            Code::USAGE,
            "`show` is about one key, and takes no prefix before it",
        )
        .help("write `tenure locks show KEY`, or `tenure locks PREFIX` for a list")),
        Some(LocksCommand::Show(args)) => runtime.block_on(show(args)),
    }
}

pub(crate) fn unlock(args: UnlockArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(force(args))
}

/// Opens a store that a command only looks at or administers.
pub(crate) async fn open(args: &StoreArgs) -> Result<Tenure, Failure> {
    Chosen::new(args, None)?.open_existing().await
}

async fn list(args: LocksListArgs) -> Outcome {
    let store = Chosen::new(&args.store, None)?;
    let locks = store.open_existing().await?.locks();
    let prefix = args.prefix.as_deref().unwrap_or_default().as_bytes();
    if args.json {
        let page = locks.list(prefix).await.map_err(|error| trouble(&error))?;
        let lines: Vec<Value> = page.leases.iter().map(as_json).collect();
        print_json(&lines)?;
        return Ok(Code::OK);
    }
    let show = async || {
        let page = locks.list(prefix).await.map_err(|error| trouble(&error))?;
        Ok(listed(&page, &store))
    };
    args.watch.each(show).await
}

fn listed(page: &LeasePage, store: &Chosen) -> String {
    if page.leases.is_empty() {
        let mut text = format!("no locks are held or waited for in {}\n", store.shown());
        if let Some(other) = store.passed_over() {
            text += "look with --store into ";
            text += &other.told();
            text += ", if you mean that\n";
        }
        return folded(&text);
    }
    let rows = page.leases.iter().map(row).collect();
    let heading = ["key", "holder", "fence", "held for", "ends in", "waiting"];
    let mut text = table(&heading, rows);
    if page.more {
        text.push_str("… and more; give a longer prefix\n");
    }
    text
}

fn row(view: &LeaseView) -> Vec<String> {
    let (holder, held_for) = match &view.occupant {
        Some(Occupant::Holder { holder, since, .. }) => {
            (holder.to_string(), about(view.now.since(*since)))
        }
        Some(shared @ Occupant::Shared { .. }) => {
            let first = view.sharers.first();
            let held = first.map(|sharer| about(view.now.since(sharer.since)));
            (shared.to_string(), held.unwrap_or_else(|| "–".to_owned()))
        }
        Some(foreign) => (foreign.to_string(), "?".to_owned()),
        None => ("free".to_owned(), "–".to_owned()),
    };
    vec![
        view.key.to_string(),
        holder,
        view.fence()
            .map_or_else(|| "–".to_owned(), |fence| fence.to_string()),
        held_for,
        ends_in(view),
        view.queue_len.to_string(),
    ]
}

fn ends_in(view: &LeaseView) -> String {
    match (&view.occupant, view.expires_at) {
        (None, _) => "–".to_owned(),
        (Some(_), None) => "never".to_owned(),
        (Some(_), Some(at)) => about(at.since(view.now)),
    }
}

async fn show(args: LocksShowArgs) -> Outcome {
    let key = key_of(&args.key)?;
    let locks = open(&args.store).await?.locks();
    if args.json {
        let view = locks.inspect(key.clone()).await;
        let view = view.map_err(|error| trouble(&error))?;
        let view = view.unwrap_or_else(|| LeaseView::new(key, Timestamp::EPOCH));
        print_json(&[as_json(&view)])?;
        return Ok(Code::OK);
    }
    let show = async || {
        let view = locks.inspect(key.clone()).await;
        Ok(match view.map_err(|error| trouble(&error))? {
            None => folded(&format!("lock `{key}` is free, and nobody waits for it\n")),
            Some(view) => folded(&shown(&view)),
        })
    };
    args.watch.each(show).await
}

fn shown(view: &LeaseView) -> String {
    let mut lines = vec![format!("lock `{}`", view.key)];
    match &view.occupant {
        None => lines.push("  free".to_owned()),
        Some(occupant) => {
            lines.push(format!("  held by   {occupant}"));
            if let Occupant::Holder { since, .. } = occupant {
                let ago = about(view.now.since(*since));
                lines.push(format!("  since     {since}, for {ago}"));
            }
            lines.extend(view.sharers.iter().map(|sharer| {
                let ago = about(view.now.since(sharer.since));
                let left = about(sharer.expires_at.since(view.now));
                format!(
                    "  sharing   {}, fence {}, for {ago}, ends in {left}",
                    sharer.holder, sharer.fence
                )
            }));
            lines.push(format!(
                "  ends in   {}, unless it is renewed",
                ends_in(view)
            ));
        }
    }
    for (place, waiter) in view.queue.iter().enumerate() {
        let waits = about(view.now.since(waiter.since));
        lines.push(format!(
            "  waiting {} {}, for {waits}",
            place + 1,
            waiter.holder
        ));
    }
    lines.join("\n") + "\n"
}

async fn force(args: UnlockArgs) -> Outcome {
    let key = key_of(&args.key)?;
    let tenure = open(&args.store).await?;
    let by = who(tenure.holder());
    let (locks, seen) = (tenure.locks(), Fence::new(args.fence));
    let forced = if args.everyone {
        locks.force_all(key.clone(), seen, by, args.why).await
    } else {
        locks.force(key.clone(), seen, by, args.why).await
    };
    let forced = forced.map_err(|error| trouble(&error))?;
    match forced {
        Forced::Done { from } => {
            print(&format!("lock `{key}` was taken from {from}\n"))?;
            Ok(Code::OK)
        }
        Forced::Changed { current } => {
            let now = current
                .occupant
                .map_or_else(String::new, |now| now.to_string());
            Err(Failure::new(
                Code::CONFLICT,
                format!(
                    "lock `{key}` has another holder than you saw, now {now}; nothing was changed"
                ),
            )
            .help(format!("look again with `tenure locks show {key}`")))
        }
        Forced::NotHeld => Err(Failure::new(
            Code::CONFLICT,
            format!("nobody holds lock `{key}`; nothing was changed"),
        )),
        _ => Ok(Code::BUG),
    }
}

fn trouble(error: &AdminError) -> Failure {
    let code = match error {
        AdminError::Store(source) => code_of_store(source),
        _ => Code::USAGE,
    };
    Failure::new(code, chain(error))
}

/// A key for programs; bytes that are not text are in `key_hex` as well.
fn as_json(view: &LeaseView) -> Value {
    let (holder, since, foreign) = match &view.occupant {
        Some(Occupant::Holder { holder, since, .. }) => {
            (Some(holder_json(holder)), Some(since.to_string()), None)
        }
        Some(Occupant::Foreign { what }) => (None, None, Some(what.clone())),
        _ => (None, None, None),
    };
    let shared = match &view.occupant {
        Some(Occupant::Shared { holders, at_most }) => {
            let sharers: Vec<Value> = view.sharers.iter().map(sharer_json).collect();
            json!({ "holders": holders, "at_most": at_most, "sharers": sharers })
        }
        _ => Value::Null,
    };
    let queue: Vec<Value> = view
        .queue
        .iter()
        .map(|waiter| {
            json!({
                "holder": holder_json(&waiter.holder),
                "since": waiter.since.to_string(),
                "is_shared": waiter.sharing.is_shared(),
            })
        })
        .collect();
    let mut value = json!({
        "key": view.key.to_string(),
        "is_held": view.occupant.is_some(),
        "holder": holder,
        "shared": shared,
        "foreign": foreign,
        "fence": view.fence().map(Fence::get),
        "since": since,
        "expires_at": view.expires_at.map(|at| at.to_string()),
        "ttl_left_ms": view.expires_at.map(|at| millis(at.since(view.now))),
        "waiting": view.queue_len,
        "queue": queue,
    });
    if view.key.as_str().is_none()
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("key_hex".to_owned(), hex(&view.key).into());
    }
    value
}

fn sharer_json(sharer: &Sharer) -> Value {
    json!({
        "holder": holder_json(&sharer.holder),
        "fence": sharer.fence.get(),
        "since": sharer.since.to_string(),
        "expires_at": sharer.expires_at.to_string(),
    })
}

pub(crate) fn holder_json(holder: &Holder) -> Value {
    json!({
        "id": holder.id.to_string(),
        "label": holder.label,
        "host": holder.host,
        "pid": holder.pid,
    })
}

pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn hex(key: &Key) -> String {
    key.as_bytes()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
