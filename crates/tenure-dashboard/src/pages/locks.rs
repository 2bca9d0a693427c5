//! All locks: who has them, for how long yet, who waits, and who waits for whom.

use std::collections::HashMap;

use maud::{Markup, html};

use super::draw;
use super::fields::Fields;
use super::frame::{Block, OFTEN, Page, Place, Region};
use super::listing::{Listing, pager};
use super::say::{self, Rel};
use crate::view::{LockRow, LockState, LocksQuery, Page as Rows, View, ViewError, WaitGraph};

/// The page that the address asks for.
pub(super) async fn page(view: &View, asked: &Fields) -> Result<Page, ViewError> {
    let listing = Listing::read(asked)?;
    let prefix = asked.text("q").unwrap_or_default();
    let query = LocksQuery {
        prefix: prefix.to_owned(),
        paging: listing.paging(),
    };
    let (rows, graph) = tokio::join!(view.locks(&query), view.wait_graph());
    let (rows, graph) = (rows?, graph?);
    let mut blocks = vec![Block::Fixed(html! {
        div.head { h1 { "Locks" } p { "held or waited for, by name" } }
        form.tools role="search" action="locks" {
            label {
                "Name begins with"
                input type="search" name="q" value=(prefix) autocomplete="off";
            }
            button { "Search" }
        }
    })];
    blocks.push(Block::One(Region::plain("deadlock", deadlock(&graph))));
    blocks.push(Block::One(Region::sheet(
        "locks",
        table(&rows, &listing, prefix),
    )));
    blocks.push(Block::One(Region::sheet("waits", waits(&graph))));
    Ok(Page {
        title: "Locks".to_owned(),
        place: Some(Place::Locks),
        now: Some(graph.now),
        every: OFTEN,
        blocks,
    })
}

fn deadlock(graph: &WaitGraph) -> Markup {
    let names: HashMap<&str, &str> = graph
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node.label.as_str()))
        .collect();
    html! {
        @if !graph.circles.is_empty() {
            div.wrong {
                h2 data-announce { "Probably a deadlock" }
                ul {
                    @for circle in &graph.circles {
                        li {
                            @for id in circle {
                                strong { (names.get(id.as_str()).copied().unwrap_or(id)) }
                                " waits for "
                            }
                            @if let Some(first) = circle.first() {
                                strong { (names.get(first.as_str()).copied().unwrap_or(first)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(rows: &Rows<LockRow>, listing: &Listing, prefix: &str) -> Markup {
    html! {
        @if rows.items.is_empty() {
            p.empty { "No lock is held or waited for." }
        } @else {
            table.cards {
                caption.hidden { "Locks, in the order of their names" }
                thead { tr {
                    th scope="col" { "Lock" }
                    th scope="col" { "State" }
                    th scope="col" { "Holder" }
                    th.num scope="col" { "Fence" }
                    th scope="col" { "Held for" }
                    th scope="col" { "Time left" }
                    th.num scope="col" { "Waiting" }
                } }
                tbody { @for lock in &rows.items { (row(lock)) } }
            }
        }
        (pager("locks", listing, rows.next.as_deref(), &[("q", prefix)]))
    }
}

fn row(lock: &LockRow) -> Markup {
    html! {
        tr class=[(lock.waiting > 0).then_some("warn")] {
            th scope="row" {
                a.mono href=(format!("lock?key={}", lock.path)) { (lock.key) }
            }
            td data-column="State" { (state(lock)) }
            td data-column="Holder" { (holder(lock)) }
            td.num data-column="Fence" { (fence(lock)) }
            td.nowrap data-column="Held for" { (say::time_or_dash(lock.since, Rel::For)) }
            td.nowrap data-column="Time left" { (left(lock)) }
            td.num data-column="Waiting" {
                @if lock.waiting > 0 { strong { (lock.waiting) } } @else { "0" }
            }
        }
    }
}

/// What became of a key, as a badge.
pub(super) fn state(lock: &LockRow) -> Markup {
    match lock.state {
        LockState::Held if lock.waiting > 0 => say::badge("warn", "held, waited for"),
        LockState::Held => say::badge("busy", "held"),
        LockState::Foreign => say::badge("bad", "foreign"),
        LockState::Free => say::badge("idle", "free"),
    }
}

/// Who has a key.
pub(super) fn holder(lock: &LockRow) -> Markup {
    match lock.foreign.as_ref().or(lock.shared.as_ref()) {
        Some(what) => html! { (what) },
        None => say::node(lock.holder.as_ref()),
    }
}

/// The fencing token.
pub(super) fn fence(lock: &LockRow) -> Markup {
    html! { @if let Some(fence) = lock.fence { (fence) } @else { "–" } }
}

/// How long the lease lasts yet, if nothing renews it.
pub(super) fn left(lock: &LockRow) -> Markup {
    match (lock.state, lock.expires_at) {
        (LockState::Free, _) => html! { span.soft { "–" } },
        (_, None) => html! { span.soft { "no end" } },
        (_, Some(at)) => say::time(at, Rel::Left),
    }
}

fn waits(graph: &WaitGraph) -> Markup {
    let shown = graph.waits.iter().take(draw::MOST_WAITS);
    html! {
        header {
            h2 { "Who waits for whom" }
            span.count { (graph.waits.len()) }
            @if graph.is_truncated || graph.waits.len() > draw::MOST_WAITS {
                span.soft { "the first " (draw::MOST_WAITS) }
            }
        }
        @if graph.waits.is_empty() {
            p.empty { "Nobody waits." }
        } @else {
            @if let Some(picture) = draw::wait_graph(graph) {
                div.body.scroll tabindex="0" role="region" aria-label="Wait-for graph" { (picture) }
            }
            details #waits-table {
                summary.body { "As a table" }
                table.cards {
                    caption.hidden { "Who waits for whom" }
                    thead { tr { th scope="col" { "Waits" } th scope="col" { "Lock" }
                        th.num scope="col" { "Place" } th scope="col" { "Held by" } } }
                    tbody {
                        @for wait in shown {
                            tr {
                                td { (name(graph, Some(&wait.waiter))) }
                                td data-column="Lock" {
                                    a.mono href=(format!("lock?key={}", wait.path)) { (wait.key) }
                                }
                                td.num data-column="Place" { (wait.position) }
                                td data-column="Held by" { (name(graph, wait.holder.as_deref())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn name(graph: &WaitGraph, id: Option<&str>) -> Markup {
    let node = graph.nodes.iter().find(|node| Some(node.id.as_str()) == id);
    say::node(node)
}
