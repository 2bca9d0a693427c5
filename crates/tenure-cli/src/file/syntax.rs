//! From text to a TOML table that knows where everything stands.
//!
//! The nesting is measured before the table is built: a table nested a million deep would be freed
//! by as many nested calls.

use serde_spanned::Spanned;
use toml::de::DeTable;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

use super::expand::Reading;
use super::problem::{Place, Problem, Problems};

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
    pub(crate) fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place {
            file: self.file,
            span,
        }
    }
}

/// An empty span gets a character, so that there is something to point at.
fn widened(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    if !span.is_empty() || span.start >= text.len() {
        return span;
    }
    let width = text
        .get(span.start..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    span.start..span.start + width
}

/// Where the text is nested too deeply, if it is.
fn too_deep(text: &str) -> Option<std::ops::Range<usize>> {
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
    found: Option<std::ops::Range<usize>>,
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
