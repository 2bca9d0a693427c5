//! Draws what a look found: panes side by side on a wide terminal, one below the other on a narrow
//! one, or one alone. Where columns do not fit, those that matter least are left out; names are
//! never cut but go on in the next line.
//!
//! Only draws: what is shown was read before, and every text in it may be anybody's, so that what
//! acts on a terminal is escaped.

use ratatui::Frame;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};
use ratatui::{Terminal, buffer::Buffer};
use tenure::dashboard::view::LockState;

use super::panes::{chosen, failed, locks, next, nodes, running};
use super::{Look, Shown};
use crate::output::narrow::fold;
use crate::text::{counted, visible};

/// The most lines above the panes.
const MOST_HEADING: u16 = 6;
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
    let heading = heading(shown, frame.area().width);
    let lines = u16::try_from(heading.len()).unwrap_or(MOST_HEADING);
    let head = Constraint::Length(lines.min(MOST_HEADING));
    let [head, body] = Layout::vertical([head, Constraint::Min(0)]).areas(frame.area());
    frame.render_widget(Paragraph::new(heading), head);
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

/// What stands above the panes, each part in lines of its own where they do not fit beside each
/// other.
fn heading(shown: &Shown, width: u16) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let yellow = Style::new().fg(Color::Yellow);
    let mut parts = vec![(format!("tenure {}", visible(&shown.store)), bold)];
    if let Some(look) = &shown.look {
        parts.push((look.now.now.to_string(), Style::new()));
    }
    if shown.is_held {
        parts.push(("held; space goes on".to_owned(), yellow));
    }
    let told = match (&shown.trouble, &shown.look) {
        (Some(trouble), _) => (visible(trouble), Style::new().fg(Color::Red)),
        (None, Some(look)) => (counts(look), Style::new()),
        (None, None) => ("looking …".to_owned(), Style::new()),
    };
    let width = usize::from(width);
    let first = parts
        .iter()
        .flat_map(|(text, style)| [Span::raw("  "), Span::styled(text.clone(), *style)]);
    let first: Line<'_> = first.skip(1).collect();
    let mut lines = Vec::new();
    let folded = |(text, style): (String, Style)| {
        let lines = fold(&text, width).into_iter();
        lines.map(move |line| Line::styled(line, style))
    };
    if first.width() <= width {
        lines.push(first);
    } else {
        lines.extend(parts.into_iter().flat_map(folded));
    }
    lines.extend(folded(told));
    lines
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
    let held = match held.count() as u64 {
        1 if !look.has_more_locks => "1 lock".to_owned(),
        held => format!("{held}{more} locks"),
    };
    format!(
        "{}, {} paused,{}{} {}, {} running{}; {held} held, {waiting}{more} waiting",
        counted(counts.tasks as u64, "task"),
        counts.paused,
        some(counts.unlisted, "listed by no live node"),
        some(counts.retired, "retired"),
        counted(counts.nodes as u64, "node"),
        counts.running - counts.node_gone,
        match counts.node_gone {
            0 => String::new(),
            gone => format!(", {gone} whose node is gone"),
        },
    )
}

fn draw_pane(frame: &mut Frame<'_>, pane: Pane, look: &Look, area: Rect) {
    let (columns, rows) = match pane {
        Pane::Running => running(look),
        Pane::Next => next(look),
        Pane::Failed => failed(look),
        Pane::Locks => locks(look),
        Pane::Nodes => nodes(look),
    };
    let block = Block::bordered().title(format!(" {} ", pane.title()));
    let columns = chosen(&columns, block.inner(area).width);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let heading = Row::new(columns.iter().map(|(_, column, _)| column.heading)).style(bold);
    let rows = rows.into_iter().map(|(cells, style)| {
        let cells = columns.iter().map(|(at, column, width)| {
            let cell = cells.get(*at).map(String::as_str).unwrap_or_default();
            if column.is_name {
                fold(cell, usize::from(*width))
            } else {
                vec![cell.to_owned()]
            }
        });
        let cells: Vec<Vec<String>> = cells.collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let row = Row::new(cells.into_iter().map(|lines| lines.join("\n")));
        row.style(style)
            .height(u16::try_from(height).unwrap_or(u16::MAX))
    });
    let widths = columns.iter().map(|(_, _, width)| *width);
    let table = Table::new(rows, widths).header(heading).block(block);
    frame.render_widget(table, area);
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
