//! Shows problems: as a compiler does, for people, and as JSON, for programs.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json as object};

use super::problem::{Place, Problem, Severity};
use super::{Source, TaskFiles};
use crate::text::visible;

/// How many problems are shown in full; the rest is only counted.
const SHOWN: usize = 50;
/// How many lines around a problem the renderer is given to choose from.
const CONTEXT_LINES: usize = 1;

/// All problems with the lines they are about.
pub(crate) fn render(files: &TaskFiles, renderer: &Renderer) -> String {
    let problems = files.problems.list();
    let mut parts: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|problem| render_one(files, problem, renderer))
        .collect();
    if problems.len() > SHOWN {
        parts.push(format!("… and {} more", problems.len() - SHOWN));
    }
    parts.join("\n\n")
}

fn render_one(files: &TaskFiles, problem: &Problem, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level.primary_title(visible(&problem.title)).elements(
        [(&problem.place, true), (&problem.related, false)]
            .into_iter()
            .filter_map(|(place, is_primary)| {
                let (place, label) = place.as_ref()?;
                let source = files.sources.get(place.file)?;
                let window = Window::around(source.text(), place, files.problems.hidden());
                let kind = if is_primary {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                Some(
                    Snippet::source(window.text)
                        .path(visible(&source.path().display().to_string()))
                        .line_start(window.first_line)
                        .annotation(kind.span(window.span).label(visible(label))),
                )
            }),
    );
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    renderer.render(&[group])
}

/// The few lines around a place: rendering walks through all it is given.
struct Window {
    text: String,
    first_line: usize,
    span: std::ops::Range<usize>,
}

impl Window {
    fn around(text: &str, place: &Place, hidden: &[Place]) -> Self {
        let start = boundary(text, place.span.start);
        let end = boundary(text, place.span.end).max(start);
        let before = text.get(..start).unwrap_or_default();
        let from = before
            .rmatch_indices('\n')
            .nth(CONTEXT_LINES)
            .map_or(0, |(at, _)| at + 1);
        let after = text.get(end..).unwrap_or_default();
        let to = after
            .match_indices('\n')
            .nth(CONTEXT_LINES)
            .map_or(text.len(), |(at, _)| end + at);
        let credentials = credentials(text.get(from..to).unwrap_or_default(), from);
        let is_hidden = |at: usize| {
            let hides = |span: &std::ops::Range<usize>| span.contains(&at);
            credentials.iter().any(hides)
                || (hidden.iter()).any(|hidden| hidden.file == place.file && hides(&hidden.span))
        };
        // Unprintable characters would tear the picture apart, and secrets must not be in it. What
        // stands for them has as many bytes, which keeps the carets in place.
        let shown = text
            .get(from..to)
            .unwrap_or_default()
            .char_indices()
            .flat_map(|(at, c)| {
                let (shown, times) = match c {
                    '\n' | '\t' | '"' | '\'' => (c, 1),
                    _ if is_hidden(from + at) => ('*', c.len_utf8()),
                    _ if crate::text::acts(c) => (' ', c.len_utf8()),
                    _ => (c, 1),
                };
                std::iter::repeat_n(shown, times)
            })
            .collect();
        Self {
            text: shown,
            first_line: (text.get(..from).unwrap_or_default().matches('\n').count()) + 1,
            span: start - from..end - from,
        }
    }
}

/// Where passwords may stand in URLs: between `:` and the last `@` of what follows `://`.
fn credentials(text: &str, offset: usize) -> Vec<std::ops::Range<usize>> {
    text.match_indices("://")
        .filter_map(|(at, _)| {
            let start = at + 3;
            let rest = text.get(start..)?;
            let word = rest.split(['"', '\'', '\n', ' ']).next()?;
            let end = word.rfind('@')?;
            let colon = word.get(..end)?.find(':')?;
            Some(offset + start + colon + 1..offset + start + end)
        })
        .collect()
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The problems for programs.
pub(crate) fn json(files: &TaskFiles) -> Value {
    let of = |severity: Severity| -> Vec<Value> {
        (files.problems.list().iter())
            .filter(|problem| problem.severity == severity)
            .map(|problem| one(&files.sources, problem))
            .collect()
    };
    object!({
        "ok": files.are_sound(),
        "tasks": files.tasks.len(),
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
    })
}

fn one(sources: &[Source], problem: &Problem) -> Value {
    let mut value = object!({ "message": problem.title, "help": problem.help });
    for (at, name) in [(&problem.place, "at"), (&problem.related, "related")] {
        let Some((place, label)) = at else { continue };
        let Some(source) = sources.get(place.file) else {
            continue;
        };
        let (line, column) = source.line_and_column(place.span.start);
        if let Some(fields) = value.as_object_mut() {
            fields.insert(
                name.to_owned(),
                object!({
                    "file": source.path().display().to_string(),
                    "line": line,
                    "column": column,
                    "label": label,
                }),
            );
        }
    }
    value
}
