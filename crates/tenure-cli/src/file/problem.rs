//! What is wrong with a task file, and where.

use std::ops::Range;

/// A stretch of one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the file, from 0.
    pub(crate) file: usize,
    /// The bytes of its text.
    pub(crate) span: Range<usize>,
}

/// Whether a problem forbids running the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// Something to tell the file's author.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) place: Option<(Place, String)>,
    pub(crate) related: Option<(Place, String)>,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn error(title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            title: title.into(),
            place: None,
            related: None,
            help: None,
        }
    }

    pub(crate) fn warning(title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(title)
        }
    }

    /// Where, with a few words to stand beside the caret.
    pub(crate) fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.place = Some((place, label.into()));
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn and(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related = Some((place, label.into()));
        self
    }

    /// One next step.
    pub(crate) fn help(mut self, step: impl Into<String>) -> Self {
        self.help = Some(step.into());
        self
    }
}

/// Everything found, in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    hidden: Vec<Place>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    pub(crate) fn add_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.list.extend(problems);
    }

    /// Marks a stretch of a file that must not be shown, because it may be a secret.
    pub(crate) fn hide(&mut self, place: Place) {
        self.hidden.push(place);
    }

    pub(crate) fn hidden(&self) -> &[Place] {
        &self.hidden
    }

    pub(crate) fn list(&self) -> &[Problem] {
        &self.list
    }

    pub(crate) fn count(&self, severity: Severity) -> usize {
        (self.list.iter())
            .filter(|problem| problem.severity == severity)
            .count()
    }

    pub(crate) fn any_error(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|problem| {
            problem
                .place
                .as_ref()
                .map_or((0, 0), |(place, _)| (place.file, place.span.start))
        });
    }
}
