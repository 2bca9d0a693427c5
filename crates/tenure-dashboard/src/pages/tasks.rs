//! All tasks: searched, filtered and paged by the address, fifty at a time.

use maud::{Markup, html};

use super::draw;
use super::fields::Fields;
use super::frame::{Block, Page, Place, Region, SELDOM};
use super::listing::{Listing, pager};
use super::say::{self, Rel};
use crate::view::{Page as Rows, RunMark, TaskFilter, TaskRow, TasksQuery, View, ViewError};

const SHOWN: [(&str, &str, TaskFilter); 5] = [
    ("", "All", TaskFilter::All),
    ("active", "Active", TaskFilter::Active),
    ("paused", "Paused", TaskFilter::Paused),
    ("unlisted", "Not listed", TaskFilter::Unlisted),
    ("retired", "Retired", TaskFilter::Retired),
];

/// The page that the address asks for.
pub(super) async fn page(view: &View, asked: &Fields) -> Result<Page, ViewError> {
    let show = asked.text("show").unwrap_or_default();
    let shown = SHOWN.iter().find(|(name, _, _)| *name == show);
    let (_, _, filter) = shown.unwrap_or(&SHOWN[0]);
    let listing = Listing::read(asked)?;
    let query = TasksQuery {
        contains: asked.text("q").map(str::to_owned),
        filter: *filter,
        paging: listing.paging(),
    };
    let (rows, now) = tokio::join!(view.tasks(&query), view.now());
    let (rows, now) = (rows?, now?);
    let search = query.contains.as_deref().unwrap_or_default();
    let keep = [("q", search), ("show", show)];
    Ok(Page {
        title: "Tasks".to_owned(),
        place: Some(Place::Tasks),
        now: Some(now.now),
        every: SELDOM,
        blocks: vec![
            Block::Fixed(html! {
                div.head {
                    h1 { "Tasks" }
                    p { (say::count(now.counts.tasks as u64, "task")) ", "
                        (now.counts.paused) " paused, "
                        @if now.counts.unlisted > 0 {
                            (now.counts.unlisted) " that no live node lists, "
                        }
                        (now.counts.retired) " retired" }
                }
                (tools(search, show))
            }),
            Block::One(Region::sheet("tasks", table(&rows, &listing, &keep))),
        ],
    })
}

fn tools(search: &str, show: &str) -> Markup {
    html! {
        form.tools role="search" action="tasks" {
            label {
                "Name contains"
                input type="search" name="q" value=(search) autocomplete="off";
            }
            @if !show.is_empty() { input type="hidden" name="show" value=(show); }
            button { "Search" }
            nav.chips aria-label="Which tasks" {
                @for (name, words, _) in SHOWN {
                    @let current = (name == show).then_some("true");
                    a href=(super::listing::address("tasks", &[("q", search), ("show", name)]))
                        aria-current=[current] { (words) }
                }
            }
        }
    }
}

fn table(rows: &Rows<TaskRow>, listing: &Listing, keep: &[(&str, &str)]) -> Markup {
    html! {
        @if rows.items.is_empty() {
            p.empty { "No task fits. " a href="tasks" { "Show all" } }
        } @else {
            table.cards {
                caption.hidden { "Tasks by name" }
                thead { tr {
                    th scope="col" { "Task" }
                    th scope="col" { "State" }
                    th scope="col" { "Last runs" }
                    th scope="col" { "Last tick" }
                    th scope="col" { "Next" }
                    th scope="col" { "Schedule" }
                    th.num scope="col" { "Nodes" }
                } }
                tbody { @for task in &rows.items { (row(task)) } }
            }
        }
        (pager("tasks", listing, rows.next.as_deref(), keep))
    }
}

fn row(task: &TaskRow) -> Markup {
    let (tone, word) = standing(task);
    let class = match tone {
        "bad" => Some("bad"),
        "warn" => Some("warn"),
        _ => task.is_retired.then_some("quiet"),
    };
    html! {
        tr class=[class] {
            th scope="row" { a href=(format!("task?name={}", task.path)) { (task.task) } }
            td data-column="State" {
                (say::badge(tone, word))
                @if let Some(pause) = &task.pause { span.sub { "by " (pause.by) } }
            }
            td data-column="Last runs" { (draw::ribbon(&task.ribbon)) }
            td.nowrap data-column="Last tick" { (say::time_or_dash(task.last_tick, Rel::Ago)) }
            td.nowrap data-column="Next" {
                (say::time_or_dash(task.next.first().copied(), Rel::In))
            }
            td data-column="Schedule" {
                code { (task.schedule) }
                @if task.zone != "UTC" { " " span.soft.small { (task.zone) } }
            }
            td.num data-column="Nodes" { (task.nodes) }
        }
    }
}

/// How a task stands, as a colour and a word.
pub(super) fn standing(task: &TaskRow) -> (&'static str, &'static str) {
    if task.is_retired {
        return ("idle", "retired");
    }
    if task.is_unlisted {
        return ("warn", "not listed");
    }
    if task.pause.is_some() {
        return ("warn", "paused");
    }
    let tone = |cell: &RunMark| say::tone_of(cell.state, cell.node_gone.as_deref());
    let last = task.ribbon.iter().find(|cell| cell.state.is_final());
    match last.map(|cell| say::tone(cell.state)) {
        Some("bad") => ("bad", "failing"),
        _ if task.ribbon.iter().any(|cell| cell.node_gone.is_some()) => ("warn", "node gone"),
        _ if task.ribbon.iter().any(|cell| tone(cell) == "busy") => ("busy", "running"),
        Some(_) => ("ok", "well"),
        None => ("idle", "waiting"),
    }
}
