//! What somebody should look at, before everything else on the first page.
//!
//! Only what is so now: a task that failed and has succeeded since is no trouble any more.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};
use tenure_core::Timestamp;

use super::say::{self, Rel, short};
use crate::view::{At, Nodes, Now, RunRow, StoreState, WaitGraph, segment};

/// From here on somebody waits too long for a lock, in milliseconds.
const LONG_WAIT: u64 = 60_000;
/// From here on a clock is too far off, in milliseconds.
const SKEW: i64 = 1000;
/// How many troubles are listed.
const MOST: usize = 12;

/// Something that somebody should look at.
struct Trouble {
    is_bad: bool,
    link: String,
    name: String,
    words: Markup,
}

/// The troubles, the worst first; or that there are none.
pub(super) fn wrong(now: &Now, graph: &WaitGraph, nodes: &Nodes, store: &StoreState) -> Markup {
    let mut troubles = of_tasks(now);
    troubles.extend(of_gone(now));
    troubles.extend(of_locks(graph));
    troubles.extend(of_nodes(nodes));
    troubles.extend(of_store(store));
    troubles.sort_by_key(|trouble| !trouble.is_bad);
    let is_bad = troubles.iter().any(|trouble| trouble.is_bad);
    let news = match troubles.len() {
        0 => "Nothing needs attention".to_owned(),
        1 => "1 thing needs attention".to_owned(),
        some => format!("{some} things need attention"),
    };
    html! {
        @if troubles.is_empty() {
            div.well {
                span data-announce { (news) }
                span.soft.small {
                    (say::count(now.counts.tasks as u64, "task")) " on "
                    (say::count(now.counts.nodes as u64, "node"))
                }
            }
        } @else {
            div class=(if is_bad { "wrong" } else { "wrong warn" }) {
                h2 data-announce { (news) }
                ul {
                    @for trouble in troubles.iter().take(MOST) {
                        li {
                            (say::badge(if trouble.is_bad { "bad" } else { "warn" }, &trouble.name))
                            a href=(trouble.link) { (trouble.words) }
                        }
                    }
                    @if troubles.len() > MOST { li { "… and " (troubles.len() - MOST) " more" } }
                }
            }
        }
    }
}

/// Tasks whose newest ended run went badly: what has recovered is no trouble any more.
fn of_tasks(now: &Now) -> Vec<Trouble> {
    let mut by_task: BTreeMap<&str, Vec<&RunRow>> = BTreeMap::new();
    for run in now
        .failed
        .iter()
        .filter(|run| now.failing.contains(&run.task))
    {
        by_task.entry(&run.task).or_default().push(run);
    }
    let mut troubles = Vec::new();
    for (task, runs) in by_task {
        let Some(last) = runs.iter().max_by_key(|run| run.tick) else {
            continue;
        };
        let times = match runs.len() {
            1 => String::new(),
            some => format!(", {some} times in 24 h"),
        };
        troubles.push(Trouble {
            is_bad: true,
            link: format!("task?name={}", segment(task)),
            name: say::word(last.state).to_owned(),
            words: html! {
                (task) (times)
                @if let Some(reason) = &last.reason { ": " (short(reason)) }
            },
        });
    }
    if now.counts.nodes == 0 && now.counts.tasks > 0 {
        troubles.push(Trouble {
            is_bad: true,
            link: "nodes".to_owned(),
            name: "no node".to_owned(),
            words: html! { "No node is alive: nothing runs" },
        });
    }
    if now.counts.unlisted > 0 && now.counts.nodes > 0 {
        troubles.push(Trouble {
            is_bad: false,
            link: "tasks?show=unlisted".to_owned(),
            name: "not listed".to_owned(),
            words: html! {
                (say::count(now.counts.unlisted as u64, "task"))
                " that no live node lists; retired after ten minutes"
            },
        });
    }
    if now.counts.retired > 0 && now.counts.nodes > 0 {
        troubles.push(Trouble {
            is_bad: false,
            link: "tasks?show=retired".to_owned(),
            name: "retired".to_owned(),
            words: html! { (say::count(now.counts.retired as u64, "task")) " retired" },
        });
    }
    if now.counts.paused > 0 {
        troubles.push(Trouble {
            is_bad: false,
            link: "tasks?show=paused".to_owned(),
            name: "paused".to_owned(),
            words: html! { (say::count(now.counts.paused as u64, "task")) " paused" },
        });
    }
    troubles
}

/// Runs that nobody goes on with, until a node notices.
fn of_gone(now: &Now) -> Option<Trouble> {
    let run = now.running.iter().find(|run| run.node_gone.is_some())?;
    Some(Trouble {
        is_bad: true,
        link: format!("run?id={}", run.path),
        name: "node gone".to_owned(),
        words: html! {
            (say::count(now.counts.node_gone as u64, "run")) " in hand of nodes that are gone, "
            "such as one of " (run.task)
        },
    })
}

fn of_locks(graph: &WaitGraph) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = graph
        .circles
        .iter()
        .take(1)
        .map(|circle| Trouble {
            is_bad: true,
            link: "locks".to_owned(),
            name: "deadlock".to_owned(),
            words: html! { (circle.len()) " processes wait for each other's locks" },
        })
        .collect();
    let long = graph
        .waits
        .iter()
        .filter(|it| it.position == 1 && it.waited_ms > LONG_WAIT);
    troubles.extend(long.map(|wait| {
        let waiting = graph.waits.iter().filter(|it| it.key == wait.key).count();
        let since = graph.now.0 - Duration::from_millis(wait.waited_ms);
        Trouble {
            is_bad: false,
            link: format!("lock?key={}", wait.path),
            name: "lock".to_owned(),
            words: html! {
                (short(&wait.key)) ": " (waiting) " waiting, the first for "
                (say::time(rounded(since), Rel::For))
            },
        }
    }));
    troubles
}

/// A wait that is computed from a length of time comes out a little different each time.
fn rounded(at: Timestamp) -> At {
    At(Timestamp::from_millis(
        (at.as_millis() + 500).div_euclid(1000) * 1000,
    ))
}

fn of_nodes(nodes: &Nodes) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut tell = |is_bad, name: &str, words| {
        troubles.push(Trouble {
            is_bad,
            link: "nodes".to_owned(),
            name: name.to_owned(),
            words,
        });
    };
    for row in &nodes.nodes {
        // With its place and number: all nodes of a cluster may have one label.
        let label = row.node.to_string();
        if !row.is_alive {
            tell(
                true,
                "silent",
                html! { (label) " was last heard " (say::time(row.seen_at, Rel::Ago)) },
            );
            continue;
        }
        if let Some(ahead) = row.clock_ahead_ms.filter(|ms| ms.abs() >= SKEW) {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let off = say::span(ahead.unsigned_abs());
            tell(
                false,
                "clock",
                html! { (label) " is " (off) " " (way) " the store's clock" },
            );
        }
        for trouble in &row.trouble {
            tell(true, "node", html! { (label) ": " (trouble) });
        }
    }
    troubles
}

fn of_store(store: &StoreState) -> Vec<Trouble> {
    let grave = |severity: &str| matches!(severity, "danger");
    let findings = store
        .verdict
        .findings
        .iter()
        .filter(|finding| grave(&finding.severity));
    let mut troubles: Vec<Trouble> = findings
        .map(|finding| Trouble {
            is_bad: true,
            link: "store".to_owned(),
            name: "store".to_owned(),
            words: html! { (finding.topic) ": " (short(&finding.text)) },
        })
        .collect();
    if store.losses > 0 {
        troubles.push(Trouble {
            is_bad: true,
            link: "store".to_owned(),
            name: "store".to_owned(),
            words: html! { "it forgot what it had acknowledged, " (store.losses) " times" },
        });
    }
    troubles
}
