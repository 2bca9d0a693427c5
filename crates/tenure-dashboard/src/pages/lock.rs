//! One lock: its holder, its queue, and how to take it away.

use maud::{Markup, html};
use tenure_core::Key;

use super::forms::{self, Right};
use super::frame::{Block, OFTEN, Page, Place, Region};
use super::locks::{fence, holder, left, state};
use super::say::{self, Rel};
use crate::view::{LockDetail, View, ViewError};

/// The page of a lock.
pub(super) async fn page(
    view: &View,
    key: &Key,
    said: Option<Markup>,
    right: &Right,
) -> Result<Page, ViewError> {
    let lock = view.lock(key).await?;
    let mut blocks = vec![
        Block::Fixed(html! {
            div.head { h1.mono { (lock.lock.key) } p { "lock" } }
            @if let Some(said) = said { (said) }
        }),
        Block::One(Region::sheet("lock", facts(&lock))),
        Block::One(Region::plain("sharers", sharers(&lock))),
        Block::One(Region::sheet("queue", queue(&lock))),
    ];
    if lock.can_force && right.may_force {
        blocks.push(Block::One(Region::plain(
            "actions",
            forms::of_lock(&lock, right),
        )));
    }
    Ok(Page {
        title: lock.lock.key.clone(),
        place: Some(Place::Locks),
        now: Some(lock.now),
        every: OFTEN,
        blocks,
    })
}

fn facts(lock: &LockDetail) -> Markup {
    let row = &lock.lock;
    html! {
        header { h2 { "Holder" } span data-announce { (state(row)) } }
        div.body {
            dl.facts {
                dt { "holder" } dd { (holder(row)) }
                @if let Some(node) = &row.holder { dt { "id" } dd { code { (node.id) } } }
                dt { "fence" } dd { code #fence { (fence(row)) } }
                dt { "held for" } dd { (say::time_or_dash(row.since, Rel::For)) }
                dt { "held since" } dd { (say::time_or_dash(row.since, Rel::Time)) }
                dt { "time left without a renewal" } dd { (left(row)) }
                dt { "waiting" } dd { (row.waiting) }
            }
        }
    }
}

/// Nothing, unless several hold it.
fn sharers(lock: &LockDetail) -> Markup {
    html! {
        @if !lock.sharers.is_empty() {
            section.sheet {
                header { h2 { "Who shares it" } span.count { (lock.lock.holders) } }
                table.cards {
                    caption.hidden { "Who shares it, the one that has held it longest first" }
                    thead { tr { th scope="col" { "Who" } th.num scope="col" { "Fence" }
                        th scope="col" { "Held for" } } }
                    tbody {
                        @for sharer in &lock.sharers {
                            tr {
                                td data-column="Who" { (say::node(Some(&sharer.holder))) }
                                td.num data-column="Fence" { (sharer.fence) }
                                td data-column="Held for" { (say::time(sharer.since, Rel::For)) }
                            }
                        }
                    }
                }
                @if u64::from(lock.lock.holders) > say::len(&lock.sharers) {
                    p.empty { "… and more" }
                }
            }
        }
    }
}

fn queue(lock: &LockDetail) -> Markup {
    html! {
        header { h2 { "Queue" } span.count { (lock.lock.waiting) } }
        @if lock.queue.is_empty() {
            p.empty { "Nobody waits." }
        } @else {
            table.cards {
                caption.hidden { "Who waits, the next in turn first" }
                thead { tr { th.num scope="col" { "Place" } th scope="col" { "Who" }
                    th scope="col" { "Waits for" } } }
                tbody {
                    @for entry in &lock.queue {
                        tr {
                            td.num data-column="Place" { (entry.position) }
                            td data-column="Who" { (say::node(Some(&entry.holder))) }
                            td data-column="Waits for" { (say::time(entry.since, Rel::For)) }
                        }
                    }
                }
            }
            @if u64::from(lock.lock.waiting) > say::len(&lock.queue) {
                p.empty { "… and more" }
            }
        }
    }
}
