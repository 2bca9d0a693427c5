//! Who waits for whom, as a picture: those who wait on the left, those who have it on the right.
//!
//! At most a few dozen arrows: beyond that a picture says less than the table beside it. Whoever
//! is part of a circle is drawn red.

use std::collections::{BTreeSet, HashMap};

use maud::{Markup, html};

use crate::view::{Wait, WaitGraph};

/// How many waits are drawn.
pub(in crate::pages) const MOST: usize = 30;
const WIDTH: i64 = 760;
const BOX: i64 = 210;
const LINE: i64 = 34;
/// How wide a letter of a label is, at most.
const LETTER: i64 = 7;

/// The picture; `None` if nobody waits for anybody.
pub(in crate::pages) fn wait_graph(graph: &WaitGraph) -> Option<Markup> {
    let waits: Vec<(&Wait, &str)> = (graph.waits.iter())
        .filter_map(|wait| Some((wait, wait.holder.as_deref()?)))
        .take(MOST)
        .collect();
    if waits.is_empty() {
        return None;
    }
    // Processes of one program tend to have one label; their numbers tell them apart.
    let pairs = graph.nodes.iter().map(|node| {
        let process = if node.pid > 0 {
            format!(" · {}", node.pid)
        } else {
            String::new()
        };
        (
            node.id.as_str(),
            format!("{}{process}", short(&node.label, 20)),
        )
    });
    let names: HashMap<&str, String> = pairs.collect();
    let stuck: BTreeSet<&str> = graph.circles.iter().flatten().map(String::as_str).collect();
    let left = places(waits.iter().map(|(wait, _)| wait.waiter.as_str()));
    let right = places(waits.iter().map(|(_, holder)| *holder));
    let lines = left.len().max(right.len());
    let height = LINE * i64::try_from(lines).unwrap_or(0) + 24;
    let place = |places: &HashMap<&str, i64>, id: &str| {
        24 + LINE * places.get(id).copied().unwrap_or(0) + LINE / 2
    };
    Some(html! {
        svg.chart.graph viewBox=(format!("0 0 {WIDTH} {height}")) aria-hidden="true" {
            defs {
                marker #arrow viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
                    orient="auto-start-reverse" {
                    path.f-idle d="M0 0 8 4 0 8z" {}
                }
            }
            text x="0" y="12" { "waits" }
            text x=((WIDTH - BOX)) y="12" { "holds" }
            @for (wait, holder) in &waits {
                (arrow(place(&left, &wait.waiter), place(&right, holder), &wait.key))
            }
            @for (id, at) in sorted(&left) { (node(0, at, id, &names, &stuck)) }
            @for (id, at) in sorted(&right) { (node(WIDTH - BOX, at, id, &names, &stuck)) }
        }
    })
}

/// A line for each of them, in the order in which they come.
fn places<'a>(ids: impl Iterator<Item = &'a str>) -> HashMap<&'a str, i64> {
    let mut places = HashMap::new();
    for id in ids {
        let next = i64::try_from(places.len()).unwrap_or(0);
        places.entry(id).or_insert(next);
    }
    places
}

/// The same places whenever they are drawn.
fn sorted<'a>(places: &HashMap<&'a str, i64>) -> Vec<(&'a str, i64)> {
    let mut sorted: Vec<_> = places.iter().map(|(id, at)| (*id, *at)).collect();
    sorted.sort_by_key(|(_, at)| *at);
    sorted
}

fn arrow(from: i64, to: i64, key: &str) -> Markup {
    let (x, end) = (BOX, WIDTH - BOX);
    let label = short(key, 22);
    // It bends only behind its label, which would cut it otherwise.
    let letters = i64::try_from(label.chars().count()).unwrap_or(0);
    let bend = x + 14 + LETTER * letters;
    let middle = i64::midpoint(bend, end);
    html! {
        path.edge d=(format!("M{x} {from}H{bend}C{middle} {from} {middle} {to} {end} {to}"))
            marker-end="url(#arrow)" {}
        text.of-edge x=(x + 10) y=(from - 5) { (label) }
    }
}

fn node(
    x: i64,
    line: i64,
    id: &str,
    names: &HashMap<&str, String>,
    stuck: &BTreeSet<&str>,
) -> Markup {
    let name = names.get(id).map_or(id, String::as_str);
    let class = if stuck.contains(id) { "box bad" } else { "box" };
    let y = 24 + LINE * line;
    html! {
        rect class=(class) x=(x) y=(y + 4) width=(BOX) height=(LINE - 8) rx="5" {
            title { (name) " " (id) }
        }
        text.name x=(x + 10) y=(y + LINE / 2 + 4) { (short(name, 30)) }
    }
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use tenure_core::Timestamp;

    use super::*;
    use crate::view::{At, Node};

    fn graph(waits: &[(&str, &str)], circles: Vec<Vec<String>>) -> WaitGraph {
        let ids: BTreeSet<&str> = waits.iter().flat_map(|(from, to)| [*from, *to]).collect();
        WaitGraph {
            now: At(Timestamp::EPOCH),
            nodes: (ids.iter())
                .map(|id| Node {
                    id: (*id).to_owned(),
                    label: format!("<b>{id}"),
                    host: String::new(),
                    pid: 0,
                })
                .collect(),
            waits: (waits.iter())
                .map(|(from, to)| Wait {
                    waiter: (*from).to_owned(),
                    holder: Some((*to).to_owned()),
                    key: "k".to_owned(),
                    path: "k".to_owned(),
                    position: 1,
                    waited_ms: 0,
                })
                .collect(),
            circles,
            is_truncated: false,
        }
    }

    #[test]
    fn those_in_a_circle_are_drawn_red_and_nobody_as_markup() {
        let circle = vec![vec!["a".to_owned(), "b".to_owned()]];
        let drawn = wait_graph(&graph(&[("a", "b"), ("b", "a"), ("c", "a")], circle));
        let drawn = drawn.unwrap().into_string();
        assert_eq!(drawn.matches("box bad").count(), 4);
        assert_eq!(drawn.matches("class=\"edge\"").count(), 3);
        assert!(!drawn.contains("<b>"), "{drawn}");
    }

    #[test]
    fn nobody_waiting_is_no_picture() {
        assert!(wait_graph(&graph(&[], Vec::new())).is_none());
    }
}
