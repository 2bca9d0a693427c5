//! Reads the keys of one table, each as the type it must have, and notices the keys nobody reads.
//!
//! Knows TOML's types and how to complain about them; not what any key means.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde_spanned::Spanned;
use tenure::core::{format_duration, parse_duration};
use toml::de::{DeArray, DeTable, DeValue};

use super::expand::{Expanded, Reading, expand};
use super::problem::{Place, Problem, Problems};
use crate::nearest::{nearest, said_elsewhere};
use crate::text::shown;

/// A table being read.
pub(crate) struct Section<'p, 'r, 'i> {
    pub(crate) reading: &'r Reading<'i>,
    pub(crate) problems: &'p mut Problems,
    table: &'r DeTable<'i>,
    /// What it is called in messages: ``task `rates` ``, `[defaults]`.
    name: String,
    asked: Vec<&'static str>,
}

/// A value and where it stands.
pub(crate) struct Found<'r, 'i> {
    pub(crate) value: &'r DeValue<'i>,
    pub(crate) span: Range<usize>,
}

/// A string and where it stands.
#[derive(Clone)]
pub(crate) struct Text<'r> {
    pub(crate) text: &'r str,
    pub(crate) place: Place,
}

impl Text<'_> {
    /// The place of some bytes of the string; the whole of it if escapes blur where they stand.
    pub(crate) fn inside(&self, reading: &Reading<'_>, bytes: Range<usize>) -> Place {
        let written = reading.source.text().get(self.place.span.clone());
        let start = written.and_then(|written| {
            let quote = written.get(..1)?;
            let triple = quote.repeat(3);
            let quotes = if written.len() >= 6 && written.starts_with(&triple) {
                3
            } else {
                1
            };
            let inner = written.get(quotes..written.len().checked_sub(quotes)?)?;
            let skipped = inner.len().checked_sub(self.text.len())?;
            // Only a newline right behind the opening quotes may be missing from the value.
            (inner.get(skipped..)? == self.text && skipped <= 2).then_some(quotes + skipped)
        });
        let Some(start) = start.map(|start| start + self.place.span.start) else {
            return self.place.clone();
        };
        let end = start + bytes.end.min(self.text.len());
        let first = (start + bytes.start).min(end);
        // Nothing to point at: the character behind, which may be the closing quote.
        let end = if first == end { end + 1 } else { end };
        reading.place(first..end)
    }
}

impl<'p, 'r, 'i> Section<'p, 'r, 'i> {
    pub(crate) fn new(
        reading: &'r Reading<'i>,
        problems: &'p mut Problems,
        table: &'r DeTable<'i>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            reading,
            problems,
            table,
            name: name.into(),
            asked: Vec::new(),
        }
    }

    /// The value of a key, of whatever type.
    pub(crate) fn any(&mut self, key: &'static str) -> Option<Found<'r, 'i>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some(Found {
            value: value.get_ref(),
            span: value.span(),
        })
    }

    /// The place of a key itself.
    pub(crate) fn key_place(&self, key: &str) -> Option<Place> {
        let (key, _) = self.table.get_key_value(key)?;
        Some(self.reading.place(key.span()))
    }

    pub(crate) fn complain(&mut self, problem: Problem) {
        self.problems.add(problem);
    }

    /// Says that a value has the wrong type.
    pub(crate) fn wrong_type(&mut self, key: &str, found: &Found<'_, '_>, expected: &str) {
        let problem = Problem::error(format!(
            "`{key}` of {} must be {expected}, not {}",
            self.name,
            type_of(found.value)
        ))
        .at(
            self.reading.place(found.span.clone()),
            format!("expected {expected}"),
        );
        self.problems.add(match instead(key, found.value) {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// Says that a value has the right type but cannot be used.
    pub(crate) fn refuse(&mut self, key: &str, place: Place, reason: &str, help: Option<String>) {
        let mut problem =
            Problem::error(format!("`{key}` of {}: {reason}", self.name)).at(place, "here");
        problem.help = help;
        self.problems.add(problem);
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<Text<'r>> {
        self.string_or(key, "a string")
    }

    fn string_or(&mut self, key: &'static str, expected: &str) -> Option<Text<'r>> {
        let found = self.any(key)?;
        if let DeValue::String(text) = found.value {
            return Some(Text {
                text: text.as_ref(),
                place: self.reading.place(found.span),
            });
        }
        self.wrong_type(key, &found, expected);
        None
    }

    /// A string whose environment variables are put in.
    pub(crate) fn expanded(&mut self, key: &'static str) -> Option<(Expanded, Place)> {
        let text = self.string(key)?;
        self.expand(key, &text)
            .map(|expanded| (expanded, text.place))
    }

    pub(crate) fn expand(&mut self, key: &str, text: &Text<'_>) -> Option<Expanded> {
        match expand(text.text, self.reading.variables) {
            Ok(expanded) => Some(expanded),
            Err(error) => {
                let help = "set the variable before starting tenure; `$${` stands for `${` itself";
                self.refuse(
                    key,
                    text.place.clone(),
                    &error.to_string(),
                    Some(help.to_owned()),
                );
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let found = self.any(key)?;
        if let DeValue::Boolean(value) = found.value {
            return Some(*value);
        }
        self.wrong_type(key, &found, "true or false");
        None
    }

    /// A whole number within bounds, both included.
    pub(crate) fn number(&mut self, key: &'static str, least: i64, most: i64) -> Option<i64> {
        let found = self.any(key)?;
        let expected = format!("a whole number from {least} to {most}");
        if let DeValue::Integer(number) = found.value {
            return self.in_bounds(
                key,
                number.as_str(),
                number.radix(),
                &found.span,
                least..=most,
            );
        }
        self.wrong_type(key, &found, &expected);
        None
    }

    fn in_bounds(
        &mut self,
        key: &str,
        digits: &str,
        radix: u32,
        span: &Range<usize>,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        match i64::from_str_radix(digits, radix) {
            Ok(number) if bounds.contains(&number) => Some(number),
            _ => {
                let reason = format!(
                    "{} must be {} to {}",
                    shown(digits),
                    bounds.start(),
                    bounds.end()
                );
                self.refuse(key, self.reading.place(span.clone()), &reason, None);
                None
            }
        }
    }

    /// A duration within bounds, both included.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let text = self.string_or(key, "a duration such as \"30s\"")?;
        match parse_duration(text.text) {
            Err(error) => {
                self.refuse(key, text.place, &error.to_string(), None);
                None
            }
            Ok(duration) if duration < least || duration > most => {
                let reason = format!(
                    "{} must be {} to {}",
                    format_duration(duration),
                    format_duration(least),
                    format_duration(most)
                );
                self.refuse(key, text.place, &reason, None);
                None
            }
            Ok(duration) => Some(duration),
        }
    }

    /// One of some words. `later` are words of later versions.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        later: &[&str],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let allowed = format!("one of `{}`", names.join("`, `"));
        let text = self.string_or(key, &allowed)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.text) {
            return Some(*value);
        }
        let given = shown(text.text);
        let (reason, help) = if later.contains(&text.text) {
            (
                format!("`{given}` is not supported by this version"),
                Some(format!("use {allowed}")),
            )
        } else {
            let near = nearest(text.text, names.iter().copied());
            (
                format!("`{given}` is not {allowed}"),
                near.map(|near| format!("did you mean `{near}`?")),
            )
        };
        self.refuse(key, text.place, &reason, help);
        None
    }

    /// An array of strings.
    pub(crate) fn strings(&mut self, key: &'static str, expected: &str) -> Option<Vec<Text<'r>>> {
        let found = self.any(key)?;
        let DeValue::Array(items) = found.value else {
            self.wrong_type(key, &found, expected);
            return None;
        };
        self.each(key, items, expected, |section, item| match item.get_ref() {
            DeValue::String(text) => Some(Text {
                text: text.as_ref(),
                place: section.reading.place(item.span()),
            }),
            _ => None,
        })
    }

    /// An array of whole numbers within bounds.
    pub(crate) fn numbers(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<Vec<i64>> {
        let expected = format!(
            "an array of whole numbers from {} to {}",
            bounds.start(),
            bounds.end()
        );
        let found = self.any(key)?;
        let DeValue::Array(items) = found.value else {
            self.wrong_type(key, &found, &expected);
            return None;
        };
        self.each(key, items, &expected, |section, item| {
            let DeValue::Integer(number) = item.get_ref() else {
                return None;
            };
            let span = item.span();
            section
                .in_bounds(key, number.as_str(), number.radix(), &span, bounds.clone())
                // Already complained about: any number will do.
                .or(Some(*bounds.start()))
        })
    }

    fn each<T>(
        &mut self,
        key: &'static str,
        items: &'r DeArray<'i>,
        expected: &str,
        mut take: impl FnMut(&mut Self, &'r Spanned<DeValue<'i>>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut taken = Vec::with_capacity(items.len());
        for item in items {
            if let Some(value) = take(self, item) {
                taken.push(value);
            } else {
                let found = Found {
                    value: item.get_ref(),
                    span: item.span(),
                };
                self.wrong_type(key, &found, expected);
            }
        }
        (taken.len() == items.len()).then_some(taken)
    }

    /// A table of strings, with environment variables put in, in the order of its keys.
    pub(crate) fn string_table(&mut self, key: &'static str) -> Vec<(Text<'r>, String)> {
        let Some(found) = self.any(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = found.value else {
            self.wrong_type(key, &found, "a table of strings, such as { LANG = \"C\" }");
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (name, value) in table {
            let place = self.reading.place(value.span());
            self.problems.hide(place.clone());
            let name = Text {
                text: name.get_ref().as_ref(),
                place: self.reading.place(name.span()),
            };
            let DeValue::String(text) = value.get_ref() else {
                let found = Found {
                    value: value.get_ref(),
                    span: value.span(),
                };
                self.wrong_type(key, &found, "a table of strings");
                continue;
            };
            let text = Text {
                text: text.as_ref(),
                place,
            };
            if let Some(expanded) = self.expand(key, &text) {
                entries.push((name, expanded.text));
            }
        }
        entries
    }

    /// A path, with environment variables put in, relative to the file's folder.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<(PathBuf, Place)> {
        let (expanded, place) = self.expanded(key)?;
        let folder = super::folder_of(self.reading.source.path());
        Some((folder.join(expanded.text), place))
    }

    /// Whether a key that was not asked for looks like this one.
    pub(crate) fn has_slip_of(&self, key: &str) -> bool {
        let mut unknown = (self.table.keys())
            .map(|found| -> &str { found.get_ref() })
            .filter(|found| !self.asked.contains(found));
        unknown.any(|found| nearest(found, self.asked.iter().copied()) == Some(key))
    }

    /// Complains about every key that was not asked for. `later` are keys of later versions.
    pub(crate) fn finish(self, later: &[&str]) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let place = self.reading.place(key.span());
            let problem = if later.contains(&name) {
                Problem::error(format!(
                    "`{name}` of {} is not supported by this version",
                    self.name
                ))
                .at(place, "not supported yet")
                .help("remove it; a later version of tenure will read it")
            } else {
                let near = nearest(name, self.asked.iter().copied());
                Problem::error(format!("unknown key `{}` in {}", shown(name), self.name))
                    .at(place, "unknown key")
                    .help(match (said_elsewhere(name, &self.asked), near) {
                        (Some(help), _) => help.to_owned(),
                        (None, Some(near)) => format!("did you mean `{near}`?"),
                        (None, None) => format!("known keys are {}", self.asked.join(", ")),
                    })
            };
            self.problems.add(problem);
        }
    }
}

/// What to write in place of a value whose type is a common slip.
fn instead(key: &str, value: &DeValue<'_>) -> Option<String> {
    match (key, value) {
        ("command", DeValue::String(_)) => Some(
            "write the program and its arguments one by one: [\"program\", \"argument\"]; a line \
             for the shell goes into `shell`"
                .to_owned(),
        ),
        ("shell", DeValue::Array(_)) => Some("an array of words goes into `command`".to_owned()),
        ("timeout" | "jitter" | "catch_up_window", DeValue::Integer(number)) => Some(format!(
            "say the unit: \"{0}s\", \"{0}m\" or \"{0}h\"",
            number.as_str()
        )),
        _ => None,
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
