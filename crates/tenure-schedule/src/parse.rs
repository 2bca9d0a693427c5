//! Reads the text of a schedule into its rule.
//!
//! Checks the text as a whole and hands it to the reader of its dialect. Knows no dialect itself.

use std::ops::Range;

use crate::dialect::{self, Dialect};
use crate::error::{MAX_TEXT, ScheduleErrorKind as Kind};
use crate::piece::{Fault, Piece, is_space};
use crate::schedule::Rule;
use crate::warning::ScheduleWarning;
use crate::zone::Zone;
use crate::{crontab, english, krontab, quartz, systemd};

/// What a text says.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) rule: Rule,
    pub(crate) place: Place,
    pub(crate) warnings: Vec<ScheduleWarning>,
}

/// Where the text itself says that its local times are.
#[derive(Debug)]
pub(crate) enum Place {
    /// It says nothing; whoever gave the text says.
    Unsaid,
    /// In a zone. The range is where it says so.
    Zone(Zone, Range<usize>),
    /// At a fixed distance from UTC, which the calendar knows.
    Offset(Range<usize>),
}

impl Reading {
    /// Whether the text is more than fields of numbers, which most dialects read somehow.
    pub(crate) fn is_likely_meant(&self, text: &str) -> bool {
        let is_plain = |byte: u8| b"0123456789*?-,/ \t".contains(&byte);
        self.warnings.is_empty() && !text.bytes().all(is_plain)
    }
}

impl From<Rule> for Reading {
    fn from(rule: Rule) -> Self {
        Self {
            rule,
            place: Place::Unsaid,
            warnings: Vec::new(),
        }
    }
}

/// Reads a whole text in the dialect asked for, or else in the one it names.
pub(crate) fn read(text: &str, asked: Option<Dialect>) -> Result<(Dialect, Reading), Fault> {
    if text.len() > MAX_TEXT {
        return Err(Fault {
            kind: Kind::TooLong { length: text.len() },
            span: 0..text.len(),
        });
    }
    let whole = Piece::trimmed(text);
    refuse_strange_characters(whole)?;
    let (dialect, body) = dialect::chosen(whole, asked)?;
    if body.text == "-" {
        return Ok((dialect, Rule::Disabled.into()));
    }
    let reading = match dialect {
        Dialect::Krontab => krontab::read(body)?,
        Dialect::Systemd => systemd::read(body)?,
        Dialect::Quartz => quartz::rule(body)?.into(),
        Dialect::English => english::rule(body)?.into(),
        Dialect::Crontab => crontab::rule(body)?.into(),
    };
    Ok((dialect, reading))
}

fn refuse_strange_characters(whole: Piece<'_>) -> Result<(), Fault> {
    let is_strange = |(_, found): &(usize, char)| !found.is_ascii_graphic() && !is_space(*found);
    match whole.text.char_indices().find(is_strange) {
        None => Ok(()),
        Some((at, found)) => {
            let place = whole.skip(at).take(found.len_utf8());
            Err(place.fault(Kind::Character { found }))
        }
    }
}
