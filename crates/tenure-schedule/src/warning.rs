//! What a text says that its author may not have meant, though it can be read.
//!
//! Only the words and the place; the readers of the dialects decide what is worth a warning.

use std::fmt;
use std::ops::Range;

use crate::piece::Piece;

/// Something in a text that was read otherwise than it looks, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleWarning {
    message: Box<str>,
    span: Range<usize>,
}

impl ScheduleWarning {
    pub(crate) fn new(piece: Piece<'_>, message: impl Into<Box<str>>) -> Self {
        Self {
            message: message.into(),
            span: piece.span(),
        }
    }

    /// What is odd and what was made of it, in one lower-case line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of [`Schedule::text`](crate::Schedule::text) that it is about.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

impl fmt::Display for ScheduleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
