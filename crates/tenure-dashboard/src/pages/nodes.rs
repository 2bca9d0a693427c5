//! The nodes: who is alive, how far its clock is off, what it has in hand.

use maud::{Markup, html};

use super::frame::{Block, OFTEN, Page, Place, Region};
use super::say::{self, Rel};
use crate::view::{NodeRow, Nodes, View, ViewError};

/// The page.
pub(super) async fn page(view: &View) -> Result<Page, ViewError> {
    let nodes = view.nodes().await?;
    Ok(Page {
        title: "Nodes".to_owned(),
        place: Some(Place::Nodes),
        now: Some(nodes.now),
        every: OFTEN,
        blocks: vec![
            Block::Fixed(html! {
                div.head { h1 { "Nodes" } p { "processes that run tasks, the oldest first" } }
            }),
            Block::One(Region::sheet("nodes", table(&nodes))),
        ],
    })
}

fn table(nodes: &Nodes) -> Markup {
    let alive = nodes.nodes.iter().filter(|node| node.is_alive).count();
    html! {
        header {
            h2 { (alive) " alive" }
            @if nodes.is_estimate { span.soft { "load of the first 1000 runs in hand" } }
        }
        @if nodes.nodes.is_empty() {
            p.empty { "No node has been heard of." }
        } @else {
            table.cards {
                caption.hidden { "Nodes" }
                thead { tr {
                    th scope="col" { "Node" }
                    th scope="col" { "State" }
                    th scope="col" { "Runs in hand" }
                    th scope="col" { "Clock" }
                    th.num scope="col" { "Tasks" }
                    th scope="col" { "Joined" }
                    th scope="col" { "Version" }
                } }
                tbody { @for node in &nodes.nodes { (row(node)) } }
            }
        }
    }
}

fn row(row: &NodeRow) -> Markup {
    let class = match (row.is_alive, row.trouble.is_empty()) {
        (false, _) => Some("bad"),
        (true, false) => Some("warn"),
        (true, true) => None,
    };
    html! {
        tr class=[class] {
            th scope="row" {
                (say::node(Some(&row.node)))
                @if row.is_this { span.sub { "this page comes from here" } }
            }
            td data-column="State" {
                @if row.is_alive { (say::badge("ok", "alive")) }
                @else {
                    (say::badge("bad", "silent"))
                    span.sub { (say::time(row.seen_at, Rel::Ago)) }
                }
                @for trouble in &row.trouble { span.sub { (trouble) } }
            }
            td data-column="Runs in hand" { (load(row)) }
            td.nowrap data-column="Clock" { (clock(row.clock_ahead_ms)) }
            td.num data-column="Tasks" {
                @if let Some(tasks) = row.tasks { (say::number(tasks as u64)) } @else { "–" }
                @if let Some(backlog) = row.backlog.filter(|backlog| *backlog > 0) {
                    span.sub { (backlog) " overdue" }
                }
            }
            td.nowrap data-column="Joined" { (say::time(row.joined_at, Rel::Ago)) }
            td data-column="Version" {
                @if row.version.is_empty() { "–" } @else { (row.version) }
            }
        }
    }
}

fn load(row: &NodeRow) -> Markup {
    if row.capacity == 0 {
        return html! { (row.running) span.sub { "runs nothing: it only watches" } };
    }
    if row.capacity == u32::MAX {
        return html! { (row.running) };
    }
    html! {
        meter min="0" max=(row.capacity) value=(row.running)
            aria-label=(format!("load of {}", row.node.label)) {}
        " " (row.running) span.soft { " of " (row.capacity) }
    }
}

/// How far a clock is off, coarse enough not to change all the time.
fn clock(ahead_ms: Option<i64>) -> Markup {
    let Some(ahead) = ahead_ms else {
        return html! { span.soft { "not measured" } };
    };
    let off = ahead.unsigned_abs();
    let class = match off {
        0..1000 => "",
        1000..10_000 => "late",
        _ => "very-late",
    };
    html! {
        span class=(class) {
            @if off < 10 { "exact to 10 ms" }
            @else { (say::span(off)) @if ahead > 0 { " ahead" } @else { " behind" } }
        }
    }
}
