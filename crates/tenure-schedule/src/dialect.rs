//! The ways to write a schedule, by name, and how a text says which one it is in.
//!
//! A dialect is always chosen by someone: as an argument, or as a name and a colon before the text.
//! Nothing here looks at a text to guess.

use std::fmt;
use std::str::FromStr;

use crate::error::{ScheduleError, ScheduleErrorKind as Kind};
use crate::piece::{Fault, Piece};

/// A way to write schedules. [The crate page](crate) has the grammar of each.
///
/// The same characters can mean other times in another dialect: `0 0 * * 1` is every Monday for
/// crontab, and the full hours of February in the krontab of Kotlin. So a dialect is chosen, as an
/// argument or as a prefix such as `quartz:`, and never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Five to seven fields, nicknames, `@every`. The default.
    #[default]
    Crontab,
    /// The strings of the Kotlin library `krontab`: seconds first, days and months from 0.
    Krontab,
    /// The expressions of the Java library Quartz: seconds first, weekdays 1 to 7 from Sunday.
    Quartz,
    /// The calendar events of systemd timers: `Mon..Fri *-*-* 10:00:00`.
    Systemd,
    /// A small set of English sentences: `every monday at 9am`.
    English,
}

pub(crate) const NAMES: &str = "crontab, krontab, quartz, systemd, english";

impl Dialect {
    /// All of them, the default first.
    pub const ALL: [Self; 5] = [
        Self::Crontab,
        Self::Krontab,
        Self::Quartz,
        Self::Systemd,
        Self::English,
    ];

    /// The word that stands for it in settings and before a colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crontab => "crontab",
            Self::Krontab => "krontab",
            Self::Quartz => "quartz",
            Self::Systemd => "systemd",
            Self::English => "english",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.as_str().eq_ignore_ascii_case(word))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = ScheduleError;

    fn from_str(word: &str) -> Result<Self, ScheduleError> {
        Self::named(word).ok_or_else(|| {
            let kind = Kind::UnknownDialect {
                name: word.to_owned(),
            };
            ScheduleError::new(kind, 0..word.len(), word)
        })
    }
}

/// The dialect that a text asks for by a prefix, and the text behind the prefix.
pub(crate) fn prefix(whole: Piece<'_>) -> (Option<Dialect>, Piece<'_>) {
    let named = whole
        .split_once(':')
        .and_then(|(name, body)| Some((Dialect::named(name.text)?, body.trim_start())));
    match named {
        Some((dialect, body)) => (Some(dialect), body),
        None => (None, whole),
    }
}

/// The dialect to read a text in, and the text without its prefix.
pub(crate) fn chosen(
    whole: Piece<'_>,
    asked: Option<Dialect>,
) -> Result<(Dialect, Piece<'_>), Fault> {
    match (prefix(whole), asked) {
        ((Some(written), _), Some(asked)) if written != asked => {
            let place = whole.take(written.as_str().len());
            Err(place.fault(Kind::TwoDialects { written, asked }))
        }
        ((Some(written), body), _) => Ok((written, body)),
        ((None, body), Some(asked)) => Ok((asked, body)),
        ((None, body), None) => match unknown_prefix(body) {
            Some(name) => Err(name.fault(Kind::UnknownDialect {
                name: name.text.to_owned(),
            })),
            None => Ok((Dialect::default(), body)),
        },
    }
}

/// A word before a colon: no crontab has one.
fn unknown_prefix(body: Piece<'_>) -> Option<Piece<'_>> {
    let (name, _) = body.split_once(':')?;
    let is_word = name.text.len() > 1 && name.text.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_word.then_some(name)
}
