//! What somebody probably meant who wrote words where a schedule belongs: `every day`, `5 minutes`,
//! `mondays at 9am`.
//!
//! Relies on the readers: nothing is suggested that they would refuse. Knows nothing of why the
//! text was refused, and is asked only for one that no dialect reads as it stands.

use crate::dialect::Dialect;
use crate::error::{ScheduleErrorKind as Kind, shown};
use crate::parse;

/// The longest text for which something is thought up, in bytes: a sentence.
const LONGEST: usize = 120;

/// A word that stands for a schedule, and what to write in its place.
const NAMES: [(&str, &str); 9] = [
    ("second", "write `@every 1s`"),
    ("minute", "write `* * * * *`, or `@every 1m`"),
    (
        "hour",
        "for each full hour write `@hourly`; counted from no hour in particular, `@every 1h`",
    ),
    (
        "day",
        "for 00:00 on each day write `@daily`; for another time a sentence such as \
         `english:every day at 09:00`",
    ),
    (
        "night",
        "for 00:00 on each day write `@daily`; for another time a sentence such as \
         `english:every day at 03:00`",
    ),
    (
        "week",
        "for Sundays at 00:00 write `@weekly`; for another day a sentence such as \
         `english:every monday at 09:00`",
    ),
    (
        "month",
        "for the 1st at 00:00 write `@monthly`; for another day a sentence such as \
         `english:every month on the 15th at 09:00`",
    ),
    (
        "quarter",
        "write `english:every month on the 1st at 09:00 in january, april, july and october`",
    ),
    (
        "year",
        "for 1 January at 00:00 write `@yearly`; for another day a sentence such as \
         `english:every year on 1 march at 09:00`",
    ),
];

/// What to write in place of `text`; `None` if it is not made of words.
pub(crate) fn help(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.trim_start_matches('@');
    let words: Vec<&str> = bare.split_ascii_whitespace().collect();
    let is_short = bare.len() <= LONGEST && bare.is_ascii() && !bare.contains(['*', '`', '?']);
    let first = words.first().filter(|_| is_short)?;
    if !first
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
    {
        return None;
    }
    named(&words)
        .map(str::to_owned)
        .or_else(|| interval(&words))
        .or_else(|| sentence(&words))
        // What begins with `@` was meant as it stands, and its own reader says why it is refused.
        .or_else(|| refused(&words).filter(|_| bare == lower))
}

/// `daily`, `every day`, `once a day`.
fn named(words: &[&str]) -> Option<&'static str> {
    let [word] = behind_every(words) else {
        return None;
    };
    let name = match *word {
        "daily" => "day",
        "midnight" => "night",
        "minutely" => "minute",
        "annually" => "year",
        word => word.strip_suffix("ly").unwrap_or(word),
    };
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, help)| *help)
}

/// What comes behind `every`, `each`, `once a` and the like; all of it where nothing of them is.
fn behind_every<'w>(words: &'w [&'w str]) -> &'w [&'w str] {
    match words {
        ["every" | "each", "single", rest @ ..]
        | ["once", "a" | "an" | "per" | "every" | "each", rest @ ..]
        | ["every" | "each" | "per", rest @ ..] => rest,
        _ => words,
    }
}

/// `every 5 min`, `5m`, `2 days`: a length of time.
fn interval(words: &[&str]) -> Option<String> {
    let (number, unit) = match behind_every(words) {
        [joined] => {
            let end = joined.bytes().take_while(u8::is_ascii_digit).count();
            joined.split_at_checked(end)?
        }
        [number, unit] => (*number, *unit),
        _ => return None,
    };
    let count: u32 = number.parse().ok()?;
    let (times, unit) = match unit {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => (1, "ms"),
        "s" | "sec" | "secs" | "second" | "seconds" => (1, "s"),
        "m" | "min" | "mins" | "minute" | "minutes" => (1, "m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => (1, "h"),
        "d" | "day" | "days" => (24, "h"),
        "w" | "wk" | "wks" | "week" | "weeks" => (24 * 7, "h"),
        _ => return None,
    };
    let written = format!("@every {}{unit}", count.checked_mul(times)?);
    parse::read(&written, None).ok()?;
    Some(match times {
        1 => format!("write `{written}`"),
        _ => format!(
            "for a length of time write `{written}`; for a time of the day a sentence such as \
             `english:every day at 09:00`"
        ),
    })
}

/// `mondays at 9am`, `weekdays`: a sentence that lacks a word or two.
fn sentence(words: &[&str]) -> Option<String> {
    let rest = match words {
        ["every" | "each" | "on", rest @ ..] => rest,
        ["daily", rest @ ..] => return reads(&format!("every day {}", rest.join(" "))),
        _ => words,
    }
    .join(" ");
    reads(&format!("every {rest}"))
        .or_else(|| reads(&format!("every day {rest}")))
        .or_else(|| reads(&format!("every day at {rest}")))
        .or_else(|| {
            let timed = format!("every {rest} at 09:00");
            is_read(&timed).then(|| format!("say the time of the day, as in `english:{timed}`"))
        })
}

fn reads(sentence: &str) -> Option<String> {
    is_read(sentence).then(|| format!("write `english:{sentence}`"))
}

fn is_read(sentence: &str) -> bool {
    parse::read(sentence, Some(Dialect::English)).is_ok()
}

/// Why it is no sentence either, where it is likely that one was meant.
fn refused(words: &[&str]) -> Option<String> {
    let rest = words
        .strip_prefix(&["every"])
        .or(words.strip_prefix(&["each"]))?;
    let sentence = format!("every {}", rest.join(" "));
    let fault = parse::read(&sentence, Some(Dialect::English)).err()?;
    match fault.kind {
        Kind::RefusedByDialect {
            item,
            reason,
            instead,
            ..
        } => {
            let instead = instead.replace("`every ", "`english:every ");
            Some(format!("as for `{}`, {reason}; {instead}", shown(&item)))
        }
        Kind::NotOfDialect { item, expected, .. } if item.is_empty() => Some(format!(
            "sentences begin with `english:`; at the end of this one comes {expected}"
        )),
        Kind::NotOfDialect { item, expected, .. } => Some(format!(
            "sentences begin with `english:`; in this one, in place of `{}` comes {expected}",
            shown(&item)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between back quotes.
    fn quoted(help: &str) -> Vec<&str> {
        help.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn s05_words_near_a_schedule_get_what_to_write() {
        for (text, first) in [
            ("every day", "@daily"),
            ("Every Day", "@daily"),
            ("@every day", "@daily"),
            ("each day", "@daily"),
            ("once a day", "@daily"),
            ("day", "@daily"),
            ("every 1d", "@every 24h"),
            ("every night", "@daily"),
            ("nightly", "@daily"),
            ("midnight", "@daily"),
            ("hourly", "@hourly"),
            ("once an hour", "@hourly"),
            ("weekly", "@weekly"),
            ("every week", "@weekly"),
            ("monthly", "@monthly"),
            ("every month", "@monthly"),
            ("annually", "@yearly"),
            ("every year", "@yearly"),
            ("minutely", "* * * * *"),
            ("every 5 min", "@every 5m"),
            ("every 5m", "@every 5m"),
            ("5 minutes", "@every 5m"),
            ("@every 90 seconds", "@every 90s"),
            ("90s", "@every 90s"),
            ("every 2 hrs", "@every 2h"),
            ("every 2 days", "@every 48h"),
            ("every 2 weeks", "@every 336h"),
            ("mondays at 9am", "english:every mondays at 9am"),
            ("on monday at 09:00", "english:every monday at 09:00"),
            ("daily at noon", "english:every day at noon"),
            ("at 9am", "english:every day at 9am"),
            ("9am and 5pm", "english:every day at 9am and 5pm"),
            ("every monday", "english:every monday at 09:00"),
            ("weekdays", "english:every weekdays at 09:00"),
            (
                "every month on the 1st",
                "english:every month on the 1st at 09:00",
            ),
        ] {
            let help = help(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(quoted(&help).first(), Some(&first), "{text}: {help}");
            for written in quoted(&help) {
                assert!(parse::read(written, None).is_ok(), "{text}: {help}");
            }
        }
    }

    #[test]
    fn s05_words_that_say_two_things_get_the_reason() {
        for (text, part) in [
            (
                "every other day",
                "as for `other`, it does not say from which one on",
            ),
            (
                "every weekend",
                "`english:every saturday and sunday at 09:00`",
            ),
            (
                "every day at 9",
                "it could be in the morning or in the evening",
            ),
            (
                "every blue moon",
                "in place of `blue` comes a number and a unit",
            ),
            ("every", "at the end of this one comes a number and a unit"),
        ] {
            let help = help(text).unwrap_or_else(|| panic!("{text}"));
            assert!(help.contains(part), "{text}: {help}");
        }
    }

    #[test]
    fn s05_nothing_is_made_of_what_is_no_words() {
        for text in [
            "",
            "60 * * * *",
            "H * * * *",
            "0 0 30 2 1",
            "nonsense",
            "é",
            "@",
            "@reboot",
            "@every",
            "@every 5",
            "@every 0s",
            "@every 100y",
        ] {
            assert_eq!(help(text), None, "{text}");
        }
        assert_eq!(help(&"every ".repeat(200)), None);
    }
}
