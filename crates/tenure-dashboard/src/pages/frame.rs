//! The document around a page: its head, the way to the other pages, the keys, and the regions.
//!
//! A page is made of blocks. Those that change by themselves are regions, each with a mark: a hash
//! of what it shows. A browser that has some of them already names their marks and gets only those
//! that differ, or nothing (304). All links are relative and all pages stand side by side, so that
//! the dashboard works wherever an application mounts it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets;
use super::forms::{self, Right};
use crate::view::At;

/// The request header with the regions that a page has, `name=mark` each, blanks between them.
const KNOWN: &str = "tenure-regions";
/// The answer's header with the store's clock in milliseconds.
const NOW: &str = "tenure-now";

/// Which of the pages one is on, as the bar on top has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Now,
    Tasks,
    Locks,
    Nodes,
    Store,
}

impl Place {
    const ALL: [Self; 5] = [
        Self::Now,
        Self::Tasks,
        Self::Locks,
        Self::Nodes,
        Self::Store,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Tasks => "Tasks",
            Self::Locks => "Locks",
            Self::Nodes => "Nodes",
            Self::Store => "Store",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Tasks => "tasks",
            Self::Locks => "locks",
            Self::Nodes => "nodes",
            Self::Store => "store",
        }
    }
}

/// Where events tell of everything.
pub(super) const SELDOM: Duration = Duration::from_secs(10);
/// Where they tell of some of it.
pub(super) const OFTEN: Duration = Duration::from_secs(2);

/// A part of a page that is brought up to date by itself.
#[derive(Debug)]
pub(super) struct Region {
    name: &'static str,
    class: &'static str,
    body: String,
    /// What it stands for, where that is not all it shows.
    facts: Option<String>,
}

impl Region {
    /// A sheet with a heading.
    pub(super) fn sheet(name: &'static str, body: Markup) -> Self {
        Self::new(name, "sheet", body)
    }

    /// A region that looks as its body does.
    pub(super) fn plain(name: &'static str, body: Markup) -> Self {
        Self::new(name, "", body)
    }

    fn new(name: &'static str, class: &'static str, body: Markup) -> Self {
        Self {
            name,
            class,
            body: body.into_string(),
            facts: None,
        }
    }

    /// The same as long as `facts` are, although parts of it, such as the names of requests, are
    /// drawn anew each time.
    pub(super) fn of_facts(mut self, facts: impl Into<String>) -> Self {
        self.facts = Some(facts.into());
        self
    }

    fn mark(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.facts.as_ref().unwrap_or(&self.body).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    fn shown(&self) -> Markup {
        let class = (!self.class.is_empty()).then_some(self.class);
        html! {
            section class=[class] data-region=(self.name) data-mark=(self.mark()) {
                (PreEscaped(&self.body))
            }
        }
    }
}

/// A part of a page.
#[derive(Debug)]
pub(super) enum Block {
    /// Never changes by itself: headings, forms.
    Fixed(Markup),
    One(Region),
    /// Side by side where there is room.
    Columns(Vec<Region>),
}

/// A whole page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) place: Option<Place>,
    /// The store's clock.
    pub(super) now: Option<At>,
    /// After how long the page is asked for again if no event told of anything: short where
    /// nothing tells of events, as with locks and with what a run prints.
    pub(super) every: Duration,
    pub(super) blocks: Vec<Block>,
}

impl Page {
    fn regions(&self) -> impl Iterator<Item = &Region> {
        self.blocks.iter().flat_map(|block| match block {
            Block::Fixed(_) => &[][..],
            Block::One(region) => std::slice::from_ref(region),
            Block::Columns(regions) => regions.as_slice(),
        })
    }

    /// The page, or what a browser with some of its regions lacks.
    pub(super) fn answer(&self, asked: &HeaderMap, right: &Right) -> Response {
        let known = asked
            .get(KNOWN)
            .map(|known| known.to_str().unwrap_or_default());
        let mut answer = match known {
            None => html_answer(StatusCode::OK, self.whole(Some(right)).into_string()),
            Some(known) => {
                let known: Vec<&str> = known.split(' ').collect();
                let differs = |region: &&Region| {
                    !known.contains(&format!("{}={}", region.name, region.mark()).as_str())
                };
                let fresh: String = self
                    .regions()
                    .filter(differs)
                    .map(|region| region.shown().into_string())
                    .collect();
                if fresh.is_empty() {
                    StatusCode::NOT_MODIFIED.into_response()
                } else {
                    html_answer(StatusCode::OK, fresh)
                }
            }
        };
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static(KNOWN));
        if let Some(now) = self.now {
            headers.insert(NOW, HeaderValue::from(now.0.as_millis()));
        }
        answer
    }

    /// The page with another status than 200.
    pub(super) fn answer_with(&self, status: StatusCode) -> Response {
        let mut answer = html_answer(status, self.whole(None).into_string());
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    fn whole(&self, right: Option<&Right>) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · tenure" }
                    link rel="icon" href=(assets::ICON.path()) type="image/svg+xml";
                    link rel="stylesheet" href=(assets::STYLE.path());
                    script src=(assets::SCRIPT.path()) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.top(right))
                    main #main tabindex="-1" data-now=[self.now.map(|now| now.0.as_millis())]
                        data-events="api/v1/events" data-kinds=(KINDS)
                        data-every=(self.every.as_millis()) {
                        @for block in &self.blocks {
                            @match block {
                                Block::Fixed(markup) => (markup),
                                Block::One(region) => (region.shown()),
                                Block::Columns(regions) => div.columns {
                                    @for region in regions { (region.shown()) }
                                },
                            }
                        }
                    }
                    (foot())
                    div.hidden #announce role="status" aria-live="polite" {}
                }
            }
        }
    }

    fn top(&self, right: Option<&Right>) -> Markup {
        html! {
            header.top {
                div.top-in {
                    a.brand href=(Place::Now.path()) { (mark()) "tenure" }
                    nav aria-label="Pages" {
                        ul.nav {
                            @for place in Place::ALL {
                                @let current = (self.place == Some(place)).then_some("page");
                                li {
                                    a href=(place.path()) aria-current=[current] { (place.name()) }
                                }
                            }
                        }
                    }
                    @if let Some(now) = self.now {
                        p.age { "as of " (now.0.to_jiff().strftime("%H:%M:%S")) " UTC" }
                    } @else {
                        p.age { "no data" }
                    }
                    @if let Some(right) = right { (forms::log_out(right)) }
                }
            }
        }
    }
}

/// The kinds of events upon which a page is asked for again.
const KINDS: &str = "run note refetch";

fn html_answer(status: StatusCode, body: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, kind, body).into_response()
}

/// A key with its teeth to the right: a name that is held.
fn mark() -> Markup {
    html! {
        svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true" {
            rect.mark-back width="22" height="22" rx="5" {}
            path.mark d="M5 5h12v3h-4.5v9h-3V8H5z" {}
        }
    }
}

fn foot() -> Markup {
    let keys = [
        ("g n", "Now"),
        ("g t", "Tasks"),
        ("g l", "Locks"),
        ("g o", "Nodes"),
        ("g s", "Store"),
        ("j k", "next and previous row"),
        ("/", "search"),
        ("Esc", "leave a field"),
        ("?", "this list"),
    ];
    html! {
        footer.foot {
            details #keys {
                summary { "Keys" }
                ul {
                    @for (key, what) in keys {
                        li {
                            @for part in key.split(' ') { kbd { (part) } " " }
                            (what)
                        }
                    }
                }
            }
            p { "All times are UTC, by the store's clock." }
        }
    }
}
