//! Draws what a look found: panes side by side on a wide terminal, one below the other on a narrow
//! one, or one alone.
//!
//! Only draws: what is shown was read before, and every text in it may be anybody's, so that what
//! acts on a terminal is escaped.

use std::collections::HashSet;
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};
use ratatui::{Terminal, buffer::Buffer};
use tenure::core::RunState;
use tenure::dashboard::view::{At, LockState, NodeRow, RunRow};

use super::{Look, Shown};
use crate::output::about;
use crate::text::visible;

/// From this width on panes stand side by side.
const WIDE: u16 = 100;

/// A part of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Running,
    Next,
    Failed,
    Locks,
    Nodes,
}

impl Pane {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Next,
        Self::Failed,
        Self::Locks,
        Self::Nodes,
    ];

    /// The pane of a digit, from 1.
    pub(super) fn numbered(number: u32) -> Option<Self> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(at).copied()
    }

    /// The one that follows; after all, the first.
    pub(super) fn after(pane: Option<Self>) -> Self {
        let at = pane.and_then(|pane| Self::ALL.iter().position(|other| *other == pane));
        let next = at.map_or(0, |at| (at + 1) % Self::ALL.len());
        Self::ALL.get(next).copied().unwrap_or(Self::Running)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Running => "1 running",
            Self::Next => "2 next",
            Self::Failed => "3 failed or missed in 24 h",
            Self::Locks => "4 locks",
            Self::Nodes => "5 nodes",
        }
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let [head, body] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0)]).areas(frame.area());
    frame.render_widget(heading(shown), head);
    let Some(look) = &shown.look else {
        return;
    };
    match shown.pane {
        Some(pane) => draw_pane(frame, pane, look, body),
        None => {
            for (pane, area) in places(body) {
                draw_pane(frame, pane, look, area);
            }
        }
    }
}

/// One picture as text.
pub(super) fn picture(shown: &Shown, (width, height): (u16, u16)) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, shown));
    text_of(terminal.backend().buffer())
}

fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for row in buffer.content.chunks(width) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Where each pane stands.
fn places(body: Rect) -> Vec<(Pane, Rect)> {
    let fill = Constraint::Fill;
    if body.width < WIDE {
        let areas: [Rect; 5] =
            Layout::vertical([fill(2), fill(2), fill(2), fill(2), fill(1)]).areas(body);
        return Pane::ALL.into_iter().zip(areas).collect();
    }
    let [above, middle, below] = Layout::vertical([fill(3), fill(3), fill(2)]).areas(body);
    let [running, next] = Layout::horizontal([fill(3), fill(2)]).areas(above);
    let [failed, locks] = Layout::horizontal([fill(1), fill(1)]).areas(middle);
    Pane::ALL
        .into_iter()
        .zip([running, next, failed, locks, below])
        .collect()
}

fn heading(shown: &Shown) -> Paragraph<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut first = vec![
        Span::styled("tenure ", bold),
        Span::raw(visible(&shown.store)),
    ];
    if let Some(look) = &shown.look {
        first.push(Span::raw(format!("  {}", look.now.now)));
    }
    if shown.is_held {
        let yellow = Style::new().fg(Color::Yellow);
        first.push(Span::styled("  held; space goes on", yellow));
    }
    let second = match (&shown.trouble, &shown.look) {
        (Some(trouble), _) => Line::styled(visible(trouble), Style::new().fg(Color::Red)),
        (None, Some(look)) => Line::raw(counts(look)),
        (None, None) => Line::raw("looking …"),
    };
    Paragraph::new(vec![Line::from(first), second])
}

fn counts(look: &Look) -> String {
    let held = look
        .locks
        .iter()
        .filter(|lock| lock.state != LockState::Free);
    let waiting: u64 = look.locks.iter().map(|lock| u64::from(lock.waiting)).sum();
    let more = if look.has_more_locks { "+" } else { "" };
    let counts = &look.now.counts;
    let some = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!(" {count} {what},"),
    };
    format!(
        "{} tasks, {} paused,{}{} {} nodes, {} running; {}{more} locks held, {waiting}{more} \
         waiting",
        counts.tasks,
        counts.paused,
        some(counts.unlisted, "listed by no live node"),
        some(counts.retired, "retired"),
        counts.nodes,
        counts.running,
        held.count(),
    )
}

fn draw_pane(frame: &mut Frame<'_>, pane: Pane, look: &Look, area: Rect) {
    let (heading, widths, rows) = match pane {
        Pane::Running => running(look),
        Pane::Next => next(look),
        Pane::Failed => failed(look),
        Pane::Locks => locks(look),
        Pane::Nodes => nodes(look),
    };
    let block = Block::bordered().title(format!(" {} ", pane.title()));
    let heading = Row::new(heading).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths).header(heading).block(block);
    frame.render_widget(table, area);
}

type Content = (Vec<&'static str>, Vec<Constraint>, Vec<Row<'static>>);

fn running(look: &Look) -> Content {
    let rows = look.now.running.iter().map(|run| {
        Row::new([
            named(run),
            run.state.to_string(),
            run.took_ms.map_or_else(dash, in_words),
            run.lateness_ms.map_or_else(dash, in_words),
            run.node
                .as_ref()
                .map_or_else(dash, |node| visible(&node.to_string())),
        ])
    });
    let widths = [fill(2), length(8), length(9), length(9), fill(2)];
    (
        vec!["task", "state", "for", "late", "node"],
        widths.into(),
        rows.collect(),
    )
}

fn next(look: &Look) -> Content {
    let mut seen = HashSet::new();
    // One that is due every second would fill the list.
    let firsts = look.now.next.iter().filter(|soon| seen.insert(&soon.task));
    let rows: Vec<_> = firsts
        .map(|soon| {
            Row::new([
                visible(&soon.task),
                about(soon.tick.0.since(look.now.now.0)),
                clock(soon.tick),
            ])
        })
        .collect();
    let widths = [fill(1), length(9), length(8)];
    (vec!["task", "in", "tick"], widths.into(), rows)
}

fn failed(look: &Look) -> Content {
    let rows = look.now.failed.iter().map(|run| {
        let colour = match run.state {
            RunState::Missed => Color::Yellow,
            _ => Color::Red,
        };
        let row = Row::new([
            named(run),
            clock(run.tick),
            run.state.to_string(),
            visible(run.reason.as_deref().unwrap_or_default()),
        ]);
        row.style(Style::new().fg(colour))
    });
    let widths = [fill(2), length(8), length(9), fill(3)];
    (
        vec!["task", "tick", "state", "why"],
        widths.into(),
        rows.collect(),
    )
}

fn locks(look: &Look) -> Content {
    let rows = look.locks.iter().map(|lock| {
        let several = lock.foreign.as_ref().or(lock.shared.as_ref());
        let holder = match (&lock.holder, several) {
            (Some(holder), _) => visible(&holder.to_string()),
            (None, Some(several)) => visible(several),
            (None, None) => "free".to_owned(),
        };
        Row::new([
            visible(&lock.key),
            holder,
            lock.held_ms.map_or_else(dash, in_words),
            lock.left_ms.map_or_else(dash, in_words),
            lock.waiting.to_string(),
        ])
    });
    let widths = [fill(2), fill(2), length(9), length(9), length(7)];
    (
        vec!["key", "holder", "held for", "ends in", "waiting"],
        widths.into(),
        rows.collect(),
    )
}

fn nodes(look: &Look) -> Content {
    let rows = look.nodes.nodes.iter().map(|node| {
        let row = Row::new([
            visible(&node.node.to_string()),
            runs_of(node),
            node.clock_ahead_ms
                .map_or_else(dash, |ahead| format!("{ahead:+} ms")),
            in_words(node.silent_ms),
            visible(&node.version),
            state_of(node),
        ]);
        row.style(if node.is_alive {
            Style::new()
        } else {
            Style::new().fg(Color::Red)
        })
    });
    let widths = [
        fill(3),
        length(9),
        length(12),
        length(9),
        length(10),
        fill(1),
    ];
    let heading = vec!["node", "runs", "clock", "seen", "version", ""];
    (heading, widths.into(), rows.collect())
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

fn fill(weight: u16) -> Constraint {
    Constraint::Fill(weight)
}

fn length(cells: u16) -> Constraint {
    Constraint::Length(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(trouble: Option<&str>) -> Shown {
        Shown {
            store: "memory:".to_owned(),
            look: None,
            trouble: trouble.map(str::to_owned),
            is_held: false,
            pane: None,
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_and_not_done() {
        let text = picture(&shown(Some("no answer\x1b[2Jgone")), (60, 5));
        assert!(text.contains("tenure memory:"), "{text}");
        assert!(
            text.contains("no answer") && !text.contains('\x1b'),
            "{text}"
        );
    }

    #[test]
    fn panes_fill_the_screen_at_any_size() {
        for (width, height) in [(1, 1), (20, 3), (80, 24), (99, 50), (100, 30), (300, 100)] {
            let body = Rect::new(0, 2, width, height);
            let places = places(body);
            assert_eq!(places.len(), Pane::ALL.len());
            for (pane, area) in places {
                assert!(
                    body.union(area) == body,
                    "{pane:?} at {width}×{height}: {area}"
                );
            }
            picture(&shown(None), (width, height));
        }
    }

    #[test]
    fn tab_goes_through_all_panes() {
        let mut pane = None;
        for expected in Pane::ALL.into_iter().chain([Pane::Running]) {
            pane = Some(Pane::after(pane));
            assert_eq!(pane, Some(expected));
        }
        assert_eq!(Pane::numbered(0), None);
        assert_eq!(Pane::numbered(5), Some(Pane::Nodes));
        assert_eq!(Pane::numbered(6), None);
    }
}
