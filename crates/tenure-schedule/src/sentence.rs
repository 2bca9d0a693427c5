//! Walks over the words of an English sentence and says what was expected where one is wrong.
//!
//! Knows nothing about schedules; commas are words of their own.

use crate::dialect::Dialect;
use crate::error::ScheduleErrorKind as Kind;
use crate::piece::{Fault, Piece};

pub(crate) struct Sentence<'a> {
    whole: Piece<'a>,
    words: Vec<Piece<'a>>,
    at: usize,
}

impl<'a> Sentence<'a> {
    pub(crate) fn new(whole: Piece<'a>) -> Self {
        let mut words = Vec::new();
        for word in whole.words() {
            let mut rest = word;
            while let Some((before, behind)) = rest.split_once(',') {
                let comma = rest.skip(before.text.len()).take(1);
                words.extend([before, comma].into_iter().filter(|w| !w.text.is_empty()));
                rest = behind;
            }
            words.extend(Some(rest).filter(|word| !word.text.is_empty()));
        }
        Self {
            whole,
            words,
            at: 0,
        }
    }

    pub(crate) fn peek(&self) -> Option<Piece<'a>> {
        self.words.get(self.at).copied()
    }

    /// The word behind the next one.
    pub(crate) fn second(&self) -> Option<Piece<'a>> {
        self.words.get(self.at + 1).copied()
    }

    pub(crate) fn next_word(&mut self) -> Option<Piece<'a>> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Everything from one word to a later one.
    pub(crate) fn through(&self, first: Piece<'a>, last: Piece<'a>) -> Piece<'a> {
        let start = first.span().start;
        let from = self.whole.skip(start - self.whole.span().start);
        from.take(last.span().end - start)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    /// Passes over a word if it comes next.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let is_next = self
            .peek()
            .is_some_and(|next| next.text.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes over what stands between the items of a list: `,`, `and` or both.
    pub(crate) fn another(&mut self) -> bool {
        let has_comma = self.take(",");
        self.take("and") || has_comma
    }

    /// Passes over a word that must come next.
    pub(crate) fn need(&mut self, word: &'static str, expected: &'static str) -> Result<(), Fault> {
        if self.take(word) {
            return Ok(());
        }
        Err(self.unexpected("the next word", expected))
    }

    /// Nothing may come next.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        if self.is_at_end() {
            return Ok(());
        }
        Err(self.unexpected("the end of the sentence", "nothing more here"))
    }

    /// The next word, or the end, is not what it should be.
    pub(crate) fn unexpected(&self, what: &'static str, expected: &'static str) -> Fault {
        self.not_a(self.peek(), what, expected)
    }

    /// This word, or the end if there is none, is not what it should be.
    pub(crate) fn not_a(
        &self,
        word: Option<Piece<'_>>,
        what: &'static str,
        expected: &'static str,
    ) -> Fault {
        let place = word.unwrap_or(self.whole.skip(self.whole.text.len()));
        place.fault(Kind::NotOfDialect {
            dialect: Dialect::English,
            what,
            item: place.text.to_owned(),
            expected,
        })
    }
}

/// Words that could be taken in two ways.
pub(crate) fn refused(place: Piece<'_>, reason: &'static str, instead: &'static str) -> Fault {
    place.fault(Kind::RefusedByDialect {
        dialect: Dialect::English,
        item: place.text.to_owned(),
        reason,
        instead,
    })
}

pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
