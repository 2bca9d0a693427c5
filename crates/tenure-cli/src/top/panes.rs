//! What stands in the panes of `tenure top`: columns, by how much they matter, and rows.
//!
//! Every text may be anybody's, so that what acts on a terminal is escaped here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ratatui::style::{Color, Style};
use tenure::core::RunState;
use tenure::dashboard::view::{At, NodeRow, RunRow};

use super::Look;
use crate::output::about;
use crate::text::visible;

/// A column of a pane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// How many cells it takes at least.
    least: u16,
    /// Its share of what is left over.
    weight: u16,
    /// Whether its cells go on in the next line rather than being cut.
    pub(super) is_name: bool,
    /// Columns with a higher number are left out first; 0 never is.
    rank: u8,
}

/// A column by which a row is known.
const fn name(heading: &'static str, weight: u16) -> Column {
    Column {
        heading,
        least: 14,
        weight,
        is_name: true,
        rank: 0,
    }
}

/// A column of a fixed width.
const fn fixed(heading: &'static str, least: u16, rank: u8) -> Column {
    Column {
        heading,
        least,
        weight: 0,
        is_name: false,
        rank,
    }
}

/// A column that takes what is left over, but as many cells at least.
const fn text(heading: &'static str, least: u16, weight: u16, rank: u8) -> Column {
    Column {
        heading,
        least,
        weight,
        is_name: false,
        rank,
    }
}

/// The columns that fit, each with its place and its width; there is one cell between two.
pub(super) fn chosen(columns: &[Column], width: u16) -> Vec<(usize, Column, u16)> {
    let mut chosen: Vec<(usize, Column, u16)> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| (at, *column, column.least))
        .collect();
    let needed = |chosen: &[(usize, Column, u16)]| {
        let cells = chosen.iter().map(|(_, column, _)| column.least + 1);
        cells.sum::<u16>().saturating_sub(1)
    };
    while needed(&chosen) > width
        && let Some(rank) = chosen.iter().map(|(_, column, _)| column.rank).max()
        && rank > 0
    {
        chosen.retain(|(_, column, _)| column.rank < rank);
    }
    let left = width.saturating_sub(needed(&chosen));
    let weights: u16 = chosen.iter().map(|(_, column, _)| column.weight).sum();
    for (_, column, width) in &mut chosen {
        *width += (u32::from(left) * u32::from(column.weight) / u32::from(weights.max(1)))
            .try_into()
            .unwrap_or(0);
    }
    chosen
}

/// The columns of a pane, and its rows.
pub(super) type Content = (Vec<Column>, Vec<(Vec<String>, Style)>);

pub(super) fn running(look: &Look) -> Content {
    let rows = look.now.running.iter().map(|run| {
        let is_gone = run.node_gone.is_some();
        let cells = vec![
            named(run),
            if is_gone {
                "gone".to_owned()
            } else {
                run.state.to_string()
            },
            run.took_ms.map_or_else(dash, in_words),
            run.lateness_ms.map_or_else(dash, in_words),
            run.node
                .as_ref()
                .map_or_else(dash, |node| visible(&node.to_string())),
        ];
        let style = Style::new();
        (cells, if is_gone { style.fg(Color::Red) } else { style })
    });
    let columns = vec![
        name("task", 2),
        fixed("state", 8, 0),
        fixed("for", 9, 1),
        fixed("late", 9, 3),
        text("node", 10, 2, 2),
    ];
    (columns, rows.collect())
}

pub(super) fn next(look: &Look) -> Content {
    let mut seen = HashSet::new();
    // One that is due every second would fill the list.
    let firsts = look.now.next.iter().filter(|soon| seen.insert(&soon.task));
    let rows = firsts.map(|soon| {
        let cells = vec![
            visible(&soon.task),
            about(soon.tick.0.since(look.now.now.0)),
            clock(soon.tick),
        ];
        (cells, Style::new())
    });
    let columns = vec![name("task", 1), fixed("in", 9, 0), fixed("tick", 8, 1)];
    (columns, rows.collect())
}

/// One row for all runs of a task that ended alike, as for each tick of a pause: the newest.
pub(super) fn failed(look: &Look) -> Content {
    let mut alike: HashMap<_, usize> = HashMap::new();
    let kind = |run: &RunRow| (named(run), run.state.as_str(), run.reason.clone());
    for run in &look.now.failed {
        *alike.entry(kind(run)).or_default() += 1;
    }
    let rows = look.now.failed.iter().filter_map(|run| {
        let more = match alike.remove(&kind(run))? {
            1 => String::new(),
            count => format!(" (and {} more like it)", count - 1),
        };
        let colour = match run.state {
            RunState::Missed => Color::Yellow,
            _ => Color::Red,
        };
        let cells = vec![
            named(run),
            clock(run.tick),
            run.state.to_string(),
            visible(run.reason.as_deref().unwrap_or_default()) + &more,
        ];
        Some((cells, Style::new().fg(colour)))
    });
    let columns = vec![
        name("task", 2),
        fixed("tick", 8, 1),
        fixed("state", 11, 0),
        Column {
            is_name: true,
            ..text("why", 12, 3, 2)
        },
    ];
    (columns, rows.collect())
}

pub(super) fn locks(look: &Look) -> Content {
    let rows = look.locks.iter().map(|lock| {
        let several = lock.foreign.as_ref().or(lock.shared.as_ref());
        let holder = match (&lock.holder, several) {
            (Some(holder), _) => visible(&holder.to_string()),
            (None, Some(several)) => visible(several),
            (None, None) => "free".to_owned(),
        };
        let cells = vec![
            visible(&lock.key),
            holder,
            lock.held_ms.map_or_else(dash, in_words),
            lock.left_ms.map_or_else(dash, in_words),
            lock.waiting.to_string(),
        ];
        (cells, Style::new())
    });
    let columns = vec![
        name("key", 2),
        name("holder", 2),
        fixed("held for", 9, 2),
        fixed("ends in", 9, 1),
        fixed("waiting", 7, 0),
    ];
    (columns, rows.collect())
}

pub(super) fn nodes(look: &Look) -> Content {
    let rows = look.nodes.nodes.iter().map(|node| {
        let cells = vec![
            visible(&node.node.to_string()),
            state_of(node),
            runs_of(node),
            node.clock_ahead_ms
                .map_or_else(dash, |ahead| format!("{ahead:+} ms")),
            in_words(node.silent_ms),
            visible(&node.version),
        ];
        let style = if node.is_alive {
            Style::new()
        } else {
            Style::new().fg(Color::Red)
        };
        (cells, style)
    });
    let columns = vec![
        name("node", 3),
        fixed("", 4, 0),
        fixed("runs", 9, 1),
        fixed("clock", 12, 3),
        fixed("seen", 9, 2),
        fixed("version", 10, 4),
    ];
    (columns, rows.collect())
}

/// How many it has in hand, and of how many it takes at once, if that is limited.
fn runs_of(node: &NodeRow) -> String {
    match node.capacity {
        0 => "watches".to_owned(),
        u32::MAX => node.running.to_string(),
        most => format!("{} of {most}", node.running),
    }
}

fn state_of(node: &NodeRow) -> String {
    if node.is_alive { "" } else { "gone" }.to_owned()
}

fn named(run: &RunRow) -> String {
    if run.index > 1 {
        format!("{} #{}", visible(&run.task), run.index)
    } else {
        visible(&run.task)
    }
}

/// The time of day, UTC.
fn clock(at: At) -> String {
    let text = at.to_string();
    text.split_once('T')
        .and_then(|(_, time)| time.get(..8))
        .unwrap_or_default()
        .to_owned()
}

fn in_words(ms: u64) -> String {
    about(Duration::from_millis(ms))
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_matter_least_are_left_out_where_they_do_not_fit() {
        let columns = [name("task", 1), fixed("state", 8, 0), fixed("late", 9, 1)];
        for (width, expected) in [
            (100, &[("task", 81), ("state", 8), ("late", 9)][..]),
            (33, &[("task", 14), ("state", 8), ("late", 9)]),
            (32, &[("task", 23), ("state", 8)]),
            (3, &[("task", 14), ("state", 8)]),
        ] {
            let chosen = chosen(&columns, width);
            let chosen = chosen
                .iter()
                .map(|(_, column, width)| (column.heading, *width));
            assert_eq!(chosen.collect::<Vec<_>>(), expected, "{width}");
        }
    }
}
