//! One task: how it stands, what it did, what it will do, and what one can do with it.

use maud::{Markup, html};
use tenure_core::TaskName;

use super::draw;
use super::forms::{self, Right};
use super::frame::{Block, Page, Place, Region, SELDOM};
use super::now::{index, took, why};
use super::say::{self, Rel};
use super::tasks::standing;
use crate::view::{BackfillRow, RunRow, TaskDetail, TaskRow, View, ViewError};

/// The page of a task.
pub(super) async fn page(
    view: &View,
    name: &TaskName,
    said: Option<Markup>,
    right: &Right,
) -> Result<Page, ViewError> {
    let task = view.task(name).await?;
    let mut blocks = vec![Block::Fixed(html! {
        div.head {
            h1 { (task.task.task) }
            p { (task.task.words.as_deref().unwrap_or("no schedule that this program can read")) }
        }
        @if let Some(said) = said { (said) }
    })];
    blocks.push(Block::One(Region::plain("standing", state(&task))));
    if right.may_change {
        let actions = Region::plain("actions", forms::of_task(&task.task, right));
        // Each drawing names its requests anew; what can be done depends on the pause alone.
        let facts = if task.task.pause.is_some() {
            "paused"
        } else {
            "goes on"
        };
        blocks.push(Block::One(actions.of_facts(facts)));
    }
    blocks.push(Block::Columns(vec![
        Region::sheet("facts", facts(&task)),
        Region::sheet("next", next(&task)),
    ]));
    if !task.backfills.is_empty() {
        blocks.push(Block::One(Region::sheet(
            "backfills",
            backfills(&task.backfills, right),
        )));
    }
    blocks.push(Block::One(Region::sheet("runs", runs(&task))));
    Ok(Page {
        title: task.task.task.clone(),
        place: Some(Place::Tasks),
        now: Some(task.now),
        every: SELDOM,
        blocks,
    })
}

fn state(task: &TaskDetail) -> Markup {
    let (tone, word) = standing(&task.task);
    html! {
        div.stack {
            div.row {
                (say::badge(tone, word))
                (draw::ribbon(&task.task.ribbon))
                @if task.task.ribbon.is_empty() {
                    span.soft { "no run yet" }
                } @else {
                    span.soft { "the last " (task.task.ribbon.len()) " runs, newest on the right" }
                }
            }
            @if let Some(pause) = &task.task.pause {
                div.said {
                    "Paused by " strong { (pause.by) }
                    @if !pause.why.is_empty() { ": " (pause.why) }
                    @if let Some(until) = pause.until {
                        ". Goes on " (say::time(until, Rel::In)) ", at "
                        (say::time(until, Rel::Time)) "."
                    } @else { ". Goes on when somebody resumes it." }
                }
            }
            @if task.task.is_retired || task.task.is_unlisted { (unlisted(&task.task)) }
        }
    }
}

/// Why nobody runs a task.
fn unlisted(task: &TaskRow) -> Markup {
    html! {
        div.said.bad {
            @if let Some(since) = task.unlisted_since {
                "No live node lists this task, since " (say::time(since, Rel::Ago)) ", at "
                (say::time(since, Rel::Time)) "."
            } @else if task.nodes == 0 { "No live node lists this task." }
            @else { "The current definition says that this task is over." }
            @if task.is_unlisted { " It counts as retired after ten minutes." }
            @else { " It is retired." }
        }
    }
}

fn facts(task: &TaskDetail) -> Markup {
    let row = &task.task;
    html! {
        header { h2 { "Definition" } }
        div.body {
            dl.facts {
                dt { "schedule" } dd { code { (row.schedule) } }
                dt { "zone" } dd { (row.zone) }
                dt { "runs a tick" } dd { (row.concurrency) }
                dt { "nodes that can run it" } dd { (row.nodes) }
                dt { "first seen" } dd { (say::time(task.first_seen, Rel::Ago)) }
                dt { "last tick" } dd { (say::time_or_dash(row.last_tick, Rel::Ago)) }
                dt { "generation" } dd { code { (row.generation) } }
                @for (name, value) in details(&task.details) { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// The rest of a definition: a JSON object's fields, or the text as it is.
fn details(text: &str) -> Vec<(String, String)> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(fields)) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                (name.replace('_', " "), value)
            })
            .collect(),
        _ => vec![("details".to_owned(), text.to_owned())],
    }
}

fn next(task: &TaskDetail) -> Markup {
    let pause = task.task.pause.as_ref();
    let is_paused = pause.is_some_and(|pause| pause.until.is_none());
    html! {
        header { h2 { "Next ticks" } }
        @if task.next.is_empty() {
            p.empty {
                @if is_paused {
                    "None before somebody resumes it."
                } @else if task.task.schedule.contains("@after") {
                    "The next waits for its run to end."
                } @else { "It has no next tick." }
            }
        } @else {
            table {
                caption.hidden { "The next ticks" }
                thead { tr { th scope="col" { "At" } th scope="col" { "In" } } }
                tbody {
                    @for tick in &task.next {
                        tr {
                            td { (say::time(*tick, Rel::Time)) }
                            td { (say::time(*tick, Rel::In)) }
                        }
                    }
                }
            }
        }
    }
}

fn runs(task: &TaskDetail) -> Markup {
    html! {
        header { h2 { "Runs" } span.soft { "the newest " (task.runs.len()) } }
        (runs_table(&task.runs))
    }
}

fn runs_table(runs: &[RunRow]) -> Markup {
    html! {
        @if runs.is_empty() {
            p.empty { "It has not run yet." }
        } @else {
            table.cards {
                caption.hidden { "Runs, newest tick first" }
                thead { tr {
                    th scope="col" { "Tick" } th scope="col" { "State" } th scope="col" { "Late" }
                    th scope="col" { "Took" } th.num scope="col" { "Attempt" }
                    th scope="col" { "Node" } th scope="col" { "Why" }
                } }
                tbody {
                    @for run in runs {
                        tr class=[(say::tone(run.state) == "bad").then_some("bad")] {
                            th scope="row" {
                                a href=(format!("run?id={}", run.path)) {
                                    (say::time(run.tick, Rel::Time))
                                }
                                (index(run))
                            }
                            td data-column="State" { (say::stands(run)) }
                            td.nowrap data-column="Late" { (say::lateness(run.lateness_ms)) }
                            td.nowrap data-column="Took" { (took(run)) }
                            td.num data-column="Attempt" { (run.attempt) }
                            td data-column="Node" { (say::node(run.node.as_ref())) }
                            td data-column="Why" { (why(run)) }
                        }
                    }
                }
            }
        }
    }
}

fn backfills(backfills: &[BackfillRow], right: &Right) -> Markup {
    html! {
        header { h2 { "Backfills" } }
        table.cards {
            caption.hidden { "Requests to run past ticks" }
            thead { tr {
                th scope="col" { "Backfill" } th scope="col" { "State" } th scope="col" { "From" }
                th scope="col" { "To" } th scope="col" { "Done" } th scope="col" { "Asked by" }
                @if right.may_change { th scope="col" { span.hidden { "Actions" } } }
            } }
            tbody {
                @for it in backfills {
                    tr {
                        th scope="row" { code { (it.id) } }
                        td data-column="State" { (say::badge(tone_of(it.state), it.state)) }
                        td data-column="From" { (say::time(it.from, Rel::Time)) }
                        td data-column="To" { (say::time(it.to, Rel::Time)) }
                        td data-column="Done" {
                            meter min="0" max="100" value=(it.percent) aria-label="done" {} " "
                            (it.percent) " %"
                        }
                        td data-column="Asked by" {
                            (it.by) @if !it.why.is_empty() { span.sub { (it.why) } }
                        }
                        @if right.may_change {
                            td data-column="" {
                                @if matches!(it.state, "running" | "paused") {
                                    (forms::end_backfill(it, right))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tone_of(state: &str) -> &'static str {
    match state {
        "done" => "ok",
        "running" => "busy",
        _ => "warn",
    }
}
