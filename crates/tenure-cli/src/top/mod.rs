//! `tenure top`: the cluster on a terminal, live.
//!
//! What is shown is gathered by the dashboard's views and drawn by [`screen`]; here is only when it
//! is looked at again, what keys do, and that the terminal is given back as it was. It changes
//! nothing in the store.

mod panes;
mod screen;

use std::future::pending;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use tenure::Tenure;
use tenure::dashboard::view::{LockRow, LocksQuery, Nodes, Now, Paging};
use tenure::dashboard::{Dashboard, View};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use self::screen::Pane;
use crate::args::StoreArgs;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::lock::runtime;
use crate::output::print;
use crate::signals::Signals;
use crate::store::Chosen;
use crate::watch::interval;

/// How many locks are looked at; those that most wait for are shown first.
const MOST_LOCKS: usize = 500;
/// How wide and high a picture is that no terminal limits.
const PICTURE: (u16, u16) = (120, 40);

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// How often to look, 100ms to 24h
    #[arg(long, value_name = "INTERVAL", default_value = "1s", value_parser = interval)]
    every: Duration,
    /// Prints one picture and ends, also without a terminal
    #[arg(long)]
    once: bool,
}

const HELP: &str = "\
Keys: q ends it; Tab and 1 to 5 show one part alone, 0 all; space holds the picture; r looks now.
Nothing is changed; use `tenure pause`, `trigger`, `unlock`.";

/// What one look at the store found.
#[derive(Debug, Clone)]
struct Look {
    now: Arc<Now>,
    nodes: Arc<Nodes>,
    /// Those that most wait for first.
    locks: Vec<LockRow>,
    /// Whether there are more locks than were looked at.
    has_more_locks: bool,
}

/// What is on the screen.
#[derive(Debug)]
struct Shown {
    store: String,
    look: Option<Look>,
    trouble: Option<String>,
    is_held: bool,
    pane: Option<Pane>,
}

pub(crate) fn run(args: TopArgs) -> Outcome {
    if !args.once && !std::io::stdout().is_terminal() {
        return Err(Failure::new(
            Code::USAGE,
            "the output is not a terminal, and nothing else can be drawn on",
        )
        .help("use --once, or `tenure tasks`, `history` and `locks` with --json"));
    }
    runtime(Builder::new_multi_thread().worker_threads(2))?.block_on(watch(args))
}

async fn watch(args: TopArgs) -> Outcome {
    let chosen = Chosen::of_tasks(&args.store)?;
    let tenure = chosen.open_existing().await?;
    let view = view_of(&tenure);
    let mut shown = Shown {
        store: chosen.shown().clone(),
        look: None,
        trouble: None,
        is_held: false,
        pane: None,
    };
    if args.once {
        let look = look(&view).await;
        shown.look = Some(look.map_err(|error| Failure::new(Code::UNAVAILABLE, error))?);
        print(&screen::picture(&shown, PICTURE))?;
        return Ok(Code::OK);
    }
    let mut signals = Signals::listen(&Signals::ENDING).map_err(|error| {
        Failure::new(Code::SYSTEM, format!("cannot listen for signals: {error}"))
    })?;
    let mut terminal = ratatui::try_init()
        .map_err(|error| Failure::new(Code::SYSTEM, format!("cannot use the terminal: {error}")))?;
    let ended = live(&mut terminal, &view, shown, args.every, &mut signals).await;
    ratatui::restore();
    ended
}

fn view_of(tenure: &Tenure) -> View {
    let dashboard = Dashboard::builder(tenure.leases(), tenure.runs());
    dashboard.build().view().clone()
}

/// Draws and looks until somebody wants no more.
async fn live(
    terminal: &mut DefaultTerminal,
    view: &View,
    mut shown: Shown,
    every: Duration,
    signals: &mut Signals,
) -> Outcome {
    let mut keys = keys();
    let mut looking = Some(spawn_look(view));
    loop {
        draw(terminal, |frame| screen::draw(frame, &shown))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    match meaning(key) {
                        Meaning::End => return Ok(Code::OK),
                        Meaning::Hold => shown.is_held = !shown.is_held,
                        Meaning::Look => {
                            // A key that is held down must not send out a look each time.
                            if let Some(before) = looking.replace(spawn_look(view)) {
                                before.abort();
                            }
                        }
                        Meaning::Next => shown.pane = Some(Pane::after(shown.pane)),
                        Meaning::Pane(pane) => shown.pane = pane,
                        Meaning::Nothing => {}
                    }
                }
                Some(_) => {}
                // Nobody is at the terminal any more.
                None => return Ok(Code::OK),
            },
            found = ended(&mut looking) => {
                match found {
                    Ok(_) if shown.is_held => {}
                    Ok(look) => (shown.look, shown.trouble) = (Some(look), None),
                    Err(trouble) => shown.trouble = Some(trouble),
                }
                let view = view.clone();
                looking = Some(tokio::spawn(async move {
                    tokio::time::sleep(every).await;
                    look(&view).await
                }));
            }
            signal = signals.next() => return Ok(Code::of_signal(signal as i32)),
        }
    }
}

type Looking = tokio::task::JoinHandle<Result<Look, String>>;

fn spawn_look(view: &View) -> Looking {
    let view = view.clone();
    tokio::spawn(async move { look(&view).await })
}

/// What the look found that is under way; without one it never returns.
async fn ended(looking: &mut Option<Looking>) -> Result<Look, String> {
    let Some(handle) = looking else {
        return pending().await;
    };
    let found = handle.await;
    *looking = None;
    found.unwrap_or_else(|error| Err(format!("this is a bug in tenure: {error}")))
}

async fn look(view: &View) -> Result<Look, String> {
    let query = LocksQuery {
        paging: Paging {
            after: None,
            limit: Some(MOST_LOCKS),
        },
        ..LocksQuery::default()
    };
    let (now, nodes, locks) = tokio::join!(view.now(), view.nodes(), view.locks(&query));
    let in_words = |error: tenure::dashboard::view::ViewError| chain(&error);
    let mut locks = locks.map_err(in_words)?;
    locks
        .items
        .sort_by_key(|lock| std::cmp::Reverse(lock.waiting));
    Ok(Look {
        now: now.map_err(in_words)?,
        nodes: nodes.map_err(in_words)?,
        has_more_locks: locks.next.is_some(),
        locks: locks.items,
    })
}

fn draw(
    terminal: &mut DefaultTerminal,
    picture: impl FnOnce(&mut Frame<'_>),
) -> Result<(), Failure> {
    let drawn = terminal.draw(picture);
    drawn.map(drop).map_err(|error| {
        Failure::new(
            Code::CANNOT_CREATE,
            format!("cannot draw on the terminal: {error}"),
        )
    })
}

/// What comes from the terminal. A thread reads it, because reading waits.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    End,
    Hold,
    Look,
    Next,
    Pane(Option<Pane>),
    Nothing,
}

fn meaning(key: KeyEvent) -> Meaning {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if is_control => Meaning::End,
        KeyCode::Char('q') | KeyCode::Esc => Meaning::End,
        KeyCode::Char(' ') => Meaning::Hold,
        KeyCode::Char('r') => Meaning::Look,
        KeyCode::Tab => Meaning::Next,
        KeyCode::Char('0') => Meaning::Pane(None),
        KeyCode::Char(digit) => digit
            .to_digit(10)
            .and_then(Pane::numbered)
            .map_or(Meaning::Nothing, |pane| Meaning::Pane(Some(pane))),
        _ => Meaning::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_hold_and_choose() {
        let key = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char('q')), Meaning::End);
        assert_eq!(key(KeyCode::Char('c')), Meaning::Nothing);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(meaning(control_c), Meaning::End);
        assert_eq!(key(KeyCode::Char('3')), Meaning::Pane(Some(Pane::Failed)));
        assert_eq!(key(KeyCode::Char('0')), Meaning::Pane(None));
        assert_eq!(key(KeyCode::Char('9')), Meaning::Nothing);
        assert_eq!(key(KeyCode::Tab), Meaning::Next);
    }
}
