//! The first page: what is wrong, what runs, what is next, what failed, and when.

use maud::{Markup, html};

use super::draw;
use super::frame::{Block, Page, Place, Region, SELDOM};
use super::say::{self, Rel};
use super::wrong::wrong;
use crate::view::{Herd, Now, RunRow, Soon, View, ViewError, segment};

/// The page.
pub(super) async fn page(view: &View) -> Result<Page, ViewError> {
    let (now, herd, graph, nodes, store) = tokio::join!(
        view.now(),
        view.herd(),
        view.wait_graph(),
        view.nodes(),
        view.store()
    );
    let now = now?;
    let (herd, graph, nodes, store) = (herd?, graph?, nodes?, store?);
    Ok(Page {
        title: "Now".to_owned(),
        place: Some(Place::Now),
        now: Some(now.now),
        every: SELDOM,
        blocks: vec![
            Block::Fixed(html! { h1.hidden { "Now" } }),
            Block::One(Region::plain("wrong", wrong(&now, &graph, &nodes, &store))),
            Block::One(Region::plain("figures", figures(&now))),
            Block::One(Region::sheet("timeline", timeline(&now))),
            Block::Columns(vec![
                Region::sheet("running", running(&now.running)),
                Region::sheet("next", next(&now.next)),
            ]),
            Block::One(Region::sheet("failed", failed(&now.failed))),
            Block::One(Region::sheet("herd", day(&herd))),
        ],
    })
}

fn figures(now: &Now) -> Markup {
    let past = &now.timeline.past;
    let failed: u64 = past.iter().map(|minute| u64::from(minute.failed)).sum();
    let done: u64 = past.iter().map(|minute| u64::from(minute.succeeded)).sum();
    let latest = past
        .iter()
        .map(|minute| minute.latest_ms)
        .max()
        .unwrap_or(0);
    let gone = now.counts.node_gone;
    let figure = |class: &str, name: &str, value: String| {
        html! { div class=(class) { dt { (name) } dd { (value) } } }
    };
    let loud = |is: bool, class| if is { class } else { "" };
    html! {
        dl.figures {
            (figure("", "running", say::number((now.counts.running - gone) as u64)))
            @if gone > 0 { (figure("warn", "in hand, node gone", say::number(gone as u64))) }
            (figure(loud(failed > 0, "bad"), "failed, last hour", say::number(failed)))
            (figure("", "succeeded, last hour", say::number(done)))
            (figure(loud(latest >= 10_000, "warn"), "latest start", say::span(latest)))
            (figure(loud(now.counts.paused > 0, "warn"), "tasks paused",
                say::number(now.counts.paused as u64)))
            (figure("", "tasks", say::number(now.counts.tasks as u64)))
            (figure(loud(now.counts.nodes == 0, "bad"), "nodes alive",
                say::number(now.counts.nodes as u64)))
        }
    }
}

fn timeline(now: &Now) -> Markup {
    html! {
        header {
            h2 { "Last and next hour" }
            @if now.timeline.is_truncated {
                span.soft { "complete from " (say::time(now.timeline.from, Rel::Time)) " on" }
            }
            div.legend.end aria-hidden="true" {
                span { i.ok {} "succeeded" }
                span { i.bad {} "failed" }
                span { i.warn {} "late or left out" }
                span { i.busy {} "running" }
                span { i.ahead {} "to come" }
            }
        }
        div.body.flush.scroll tabindex="0" role="region" aria-label="Timeline"
            data-at=(draw::NOW_AT) {
            p.hidden { (draw::in_words(now)) }
            (draw::timeline(now))
        }
    }
}

fn running(runs: &[RunRow]) -> Markup {
    html! {
        header { h2 { "Running" } span.count { (runs.len()) } }
        @if runs.is_empty() {
            p.empty { "Nothing is running." }
        } @else {
            table.cards {
                caption.hidden { "Runs in hand" }
                thead { tr { th scope="col" { "Task" } th scope="col" { "State" }
                    th scope="col" { "For" } th scope="col" { "Late" } th scope="col" { "Node" } } }
                tbody {
                    @for run in runs.iter().take(15) {
                        tr {
                            th scope="row" { (link(run)) (index(run)) }
                            td data-column="State" {
                                (say::stands(run))
                                @if let Some(gone) = &run.node_gone { span.sub { (gone) } }
                            }
                            td.nowrap data-column="For" {
                                (say::time_or_dash(run.started_at.or(run.claimed_at), Rel::For))
                            }
                            td.nowrap data-column="Late" { (say::lateness(run.lateness_ms)) }
                            td data-column="Node" { (say::node(run.node.as_ref())) }
                        }
                    }
                }
            }
            @if runs.len() > 15 { p.empty { "… and " (runs.len() - 15) " more" } }
        }
    }
}

fn next(soon: &[Soon]) -> Markup {
    html! {
        header { h2 { "Next" } }
        @if soon.is_empty() {
            p.empty { "Nothing is due." }
        } @else {
            table.cards {
                caption.hidden { "The next tick of each task" }
                thead { tr { th scope="col" { "Task" } th scope="col" { "At" }
                    th scope="col" { "In" } } }
                tbody {
                    @for soon in soon.iter().take(10) {
                        tr {
                            th scope="row" {
                                a href=(format!("task?name={}", soon.path)) { (soon.task) }
                                @if soon.runs > 1 { " " span.soft { "× " (soon.runs) } }
                            }
                            td.nowrap data-column="At" { (say::time(soon.tick, Rel::Time)) }
                            td.nowrap data-column="In" { (say::time(soon.tick, Rel::In)) }
                        }
                    }
                }
            }
        }
    }
}

fn failed(runs: &[RunRow]) -> Markup {
    html! {
        header {
            h2 { "Failed" }
            span class=(if runs.is_empty() { "count" } else { "count bad" }) { (runs.len()) }
            span.soft { "in the last 24 hours, newest first" }
        }
        @if runs.is_empty() {
            p.empty { "No run failed, was lost or missed." }
        } @else {
            table.cards {
                caption.hidden { "Runs that ended badly or were missed in the last 24 hours" }
                thead { tr { th scope="col" { "Task" } th scope="col" { "State" }
                    th scope="col" { "Due" } th scope="col" { "Took" } th scope="col" { "Node" }
                    th scope="col" { "Why" } } }
                tbody {
                    @for run in runs.iter().take(20) {
                        tr.bad {
                            th scope="row" { (link(run)) (index(run)) }
                            td data-column="State" { (say::state(run.state)) }
                            td.nowrap data-column="Due" { (say::time(run.tick, Rel::Ago)) }
                            td.nowrap data-column="Took" { (took(run)) }
                            td data-column="Node" { (say::node(run.node.as_ref())) }
                            td data-column="Why" { (why(run)) }
                        }
                    }
                }
            }
            @if runs.len() > 20 { p.empty { "… and " (runs.len() - 20) " more" } }
        }
    }
}

fn day(herd: &Herd) -> Markup {
    let all: u64 = herd.buckets.iter().map(|bucket| bucket.runs).sum();
    html! {
        header {
            h2 { "Next 24 hours" }
            span.soft {
                @if herd.is_estimate { "about " }
                (say::count(all, "run")) ", by quarter of an hour"
            }
        }
        div.body.scroll tabindex="0" role="region" aria-label="Next 24 hours" { (draw::herd(herd)) }
        @if !herd.peaks.is_empty() {
            table.cards {
                caption.hidden { "The busiest minutes of the next 24 hours" }
                thead { tr { th scope="col" { "Busiest minutes" } th.num scope="col" { "Runs" }
                    th scope="col" { "Tasks" } } }
                tbody {
                    @for peak in &herd.peaks {
                        tr {
                            td { (say::time(peak.at, Rel::Time)) }
                            td.num data-column="Runs" { (say::number(peak.runs)) }
                            td data-column="Tasks" {
                                div.clip {
                                    @for (at, task) in peak.tasks.iter().enumerate() {
                                        @if at > 0 { ", " }
                                        a href=(format!("task?name={}", segment(task))) { (task) }
                                    }
                                    @if peak.runs > say::len(&peak.tasks) { ", …" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The way to a run, by its task's name.
fn link(run: &RunRow) -> Markup {
    html! { a href=(format!("run?id={}", run.path)) { (run.task) } }
}

/// Which of a tick's parallel runs, and what kind, where that is worth a word.
pub(super) fn index(run: &RunRow) -> Markup {
    html! {
        @if run.index > 1 { " " span.soft { "#" (run.index) } }
        @if run.kind != "scheduled" { " " span.soft.small { (run.kind) } }
    }
}

/// How long a run took, or for how long it has been running.
pub(super) fn took(run: &RunRow) -> Markup {
    match (run.started_at, run.ended_at, run.took_ms) {
        (Some(from), None, _) if !run.state.is_final() => say::time(from, Rel::For),
        (Some(_), _, Some(ms)) => html! { (say::span(ms)) },
        _ => html! { span.soft { "–" } },
    }
}

/// Why a run is as it is, in two lines.
pub(super) fn why(run: &RunRow) -> Markup {
    html! {
        @if let Some(reason) = run.node_gone.as_ref().or(run.reason.as_ref()) {
            span.clip title=(say::short(reason)) { (reason) }
        }
        @else if let Some(code) = run.exit_code.filter(|code| *code != 0) { "exit status " (code) }
        @else if let Some(asked) = &run.asked { span.clip title=(say::short(asked)) { (asked) } }
    }
}
