//! From text to a TOML table that knows where everything stands.
//!
//! The nesting is measured before the table is built: a table nested a million deep would be freed
//! by as many nested calls.

use std::collections::HashMap;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::DeTable;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

use super::expand::Reading;
use super::problem::{Place, Problem, Problems};
use crate::text::shown;

/// How deep tables and arrays may be nested, dotted keys included.
pub(crate) const MAX_DEPTH: usize = 64;

/// The file's table; `None` if it has none that could be looked at further.
pub(crate) fn parse<'i>(
    reading: &Reading<'i>,
    problems: &mut Problems,
) -> Option<Spanned<DeTable<'i>>> {
    let text = reading.source.text();
    if let Some(span) = too_deep(text) {
        problems.add(
            Problem::error(format!("nested deeper than {MAX_DEPTH}"))
                .at(reading.place(span), "here")
                .help("a task file needs three levels"),
        );
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let is_whole = errors.is_empty();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim_end();
        // The library's messages may have further lines that say what was expected.
        let mut lines = message.lines();
        let title = lines.next().unwrap_or("not TOML");
        let rest: Vec<&str> = lines.collect();
        if let Some(repeated) = repeated(title, text, &span) {
            let mut problem = Problem::error(repeated.title).at(reading.place(span), "again here");
            if let Some(first) = repeated.first {
                problem = problem.and(reading.place(first), "first here");
            }
            problems.add(problem.help("a key stands once in its table; remove one"));
            continue;
        }
        let mut problem = Problem::error(title).at(reading.place(widened(text, span)), "here");
        if !rest.is_empty() {
            problem = problem.help(rest.join("; "));
        }
        problems.add(problem);
    }
    // With broken syntax half of what follows would be complaints about what was lost.
    is_whole.then_some(table)
}

impl Reading<'_> {
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: self.file,
            span,
        }
    }
}

/// An empty span gets a character, so that there is something to point at.
fn widened(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() || span.start >= text.len() {
        return span;
    }
    let width = text
        .get(span.start..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    span.start..span.start + width
}

/// A key that stands twice.
struct Repeated {
    title: String,
    first: Option<Range<usize>>,
}

/// What is told of a key that stands twice, if that is what the library complains about.
fn repeated(title: &str, text: &str, again: &Range<usize>) -> Option<Repeated> {
    if title != "duplicate key" {
        return None;
    }
    let key = shown(text.get(again.clone())?);
    Some(Repeated {
        title: format!("the key `{key}` stands twice"),
        first: first_of(text, again),
    })
}

/// Where the key stands first that is there `again`; not if it is written in another way there.
fn first_of(text: &str, again: &Range<usize>) -> Option<Range<usize>> {
    let source = toml_parser::Source::new(text);
    let tokens = source.lex().into_vec();
    let mut keys = Keys {
        text,
        again,
        headers: HashMap::new(),
        tables: vec![HashMap::new()],
        is_header: false,
        path: String::new(),
        found: None,
    };
    let mut watch = |event: Event| keys.take(&event);
    let mut errors: Vec<toml_parser::ParseError> = Vec::new();
    parse_document(&tokens, &mut watch, &mut errors);
    keys.found
}

/// Remembers the keys of the tables that are open.
struct Keys<'t> {
    text: &'t str,
    again: &'t Range<usize>,
    headers: HashMap<String, Range<usize>>,
    tables: Vec<HashMap<String, Range<usize>>>,
    is_header: bool,
    path: String,
    found: Option<Range<usize>>,
}

impl Keys<'_> {
    fn take(&mut self, event: &Event) {
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.is_header = true;
                self.path.clear();
                self.tables = vec![HashMap::new()];
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => {
                self.is_header = false;
                self.path.clear();
            }
            EventKind::InlineTableOpen => self.tables.push(HashMap::new()),
            EventKind::InlineTableClose if self.tables.len() > 1 => {
                self.tables.pop();
            }
            EventKind::SimpleKey => self.key(event.span().start()..event.span().end()),
            EventKind::KeySep => self.path.push('.'),
            EventKind::KeyValSep | EventKind::ValueSep | EventKind::Newline => self.path.clear(),
            _ => {}
        }
    }

    fn key(&mut self, span: Range<usize>) {
        self.path
            .push_str(self.text.get(span.clone()).unwrap_or_default());
        let open = if self.is_header {
            Some(&mut self.headers)
        } else {
            self.tables.last_mut()
        };
        let Some(open) = open else {
            return;
        };
        if span == *self.again {
            self.found = open.get(&self.path).cloned();
        }
        open.entry(self.path.clone()).or_insert(span);
    }
}

/// Where the text is nested too deeply, if it is.
fn too_deep(text: &str) -> Option<Range<usize>> {
    let source = toml_parser::Source::new(text);
    let tokens = source.lex().into_vec();
    let mut depth = Depth::default();
    let mut watch = |event: Event| depth.take(&event);
    let mut guarded = RecursionGuard::new(&mut watch, u32::try_from(MAX_DEPTH).unwrap_or(64));
    let mut errors: Vec<toml_parser::ParseError> = Vec::new();
    parse_document(&tokens, &mut guarded, &mut errors);
    depth.found
}

/// Counts open brackets and the parts of the dotted key being read.
#[derive(Default)]
struct Depth {
    brackets: usize,
    dots: usize,
    found: Option<Range<usize>>,
}

impl Depth {
    fn take(&mut self, event: &Event) {
        match event.kind() {
            EventKind::ArrayOpen | EventKind::InlineTableOpen => self.brackets += 1,
            EventKind::ArrayClose | EventKind::InlineTableClose => {
                self.brackets = self.brackets.saturating_sub(1);
            }
            EventKind::KeySep => self.dots += 1,
            EventKind::StdTableOpen
            | EventKind::ArrayTableOpen
            | EventKind::KeyValSep
            | EventKind::Newline => self.dots = 0,
            _ => {}
        }
        if self.found.is_none() && self.brackets + self.dots >= MAX_DEPTH {
            self.found = Some(event.span().start()..event.span().end());
        }
    }
}
