//! A part of the text that remembers where it stands, so that every refusal can point at it.

use std::ops::Range;

use crate::error::ScheduleErrorKind;

/// A refusal before the whole text is attached to it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ScheduleErrorKind,
    pub(crate) span: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    /// The text without the white space around it.
    pub(crate) fn trimmed(text: &'a str) -> Self {
        let start = text.trim_start_matches(is_outer_space);
        Self {
            text: start.trim_end_matches(is_outer_space),
            at: text.len() - start.len(),
        }
    }

    /// This part without the spaces before it.
    pub(crate) fn trim_start(self) -> Self {
        self.skip(self.text.len() - self.text.trim_start_matches(is_space).len())
    }

    pub(crate) fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    pub(crate) fn fault(self, kind: ScheduleErrorKind) -> Fault {
        Fault {
            kind,
            span: self.span(),
        }
    }

    /// What is left without the first `bytes` bytes, which must end at a character.
    pub(crate) fn skip(self, bytes: usize) -> Self {
        Self {
            text: self.text.get(bytes..).unwrap_or_default(),
            at: self.at + bytes,
        }
    }

    /// The first `bytes` bytes, which must end at a character.
    pub(crate) fn take(self, bytes: usize) -> Self {
        Self {
            text: self.text.get(..bytes).unwrap_or_default(),
            ..self
        }
    }

    pub(crate) fn split_once(self, by: char) -> Option<(Self, Self)> {
        let place = self.text.find(by)?;
        Some((self.take(place), self.skip(place + by.len_utf8())))
    }

    /// The parts before and after the first place of a separator.
    pub(crate) fn split_at(self, by: &str) -> Option<(Self, Self)> {
        let place = self.text.find(by)?;
        Some((self.take(place), self.skip(place + by.len())))
    }

    /// The parts before and after the last place of a separator.
    pub(crate) fn rsplit_once(self, by: char) -> Option<(Self, Self)> {
        let place = self.text.rfind(by)?;
        Some((self.take(place), self.skip(place + by.len_utf8())))
    }

    /// The parts between separators, empty ones included.
    pub(crate) fn split(self, by: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(by).map(move |text| {
            let part = Piece { text, at };
            at += text.len() + by.len_utf8();
            part
        })
    }

    /// The parts between spaces and tabs, without empty ones.
    pub(crate) fn words(self) -> impl Iterator<Item = Self> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let start = rest.text.find(|found| !is_space(found))?;
            let word = rest.skip(start);
            let length = word.text.find(is_space).unwrap_or(word.text.len());
            rest = word.skip(length);
            Some(word.take(length))
        })
    }
}

/// What may stand between fields.
pub(crate) fn is_space(found: char) -> bool {
    matches!(found, ' ' | '\t')
}

/// What may stand around the whole text, such as the line end of a file.
fn is_outer_space(found: char) -> bool {
    is_space(found) || matches!(found, '\r' | '\n')
}
