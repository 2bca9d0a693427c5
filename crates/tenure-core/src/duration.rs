//! Durations as people write them: `1500ms`, `30s`, `2h30m`.
//!
//! Stricter than most readers on purpose: a number without a unit, a blank, a unit of the wrong
//! case or units out of order are refused, never guessed at.

use std::fmt::Write as _;
use std::time::Duration;

/// Unit, milliseconds; from the largest to the smallest, which is also the order they may stand in.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration: {reason}; \
     write for example 500ms, 30s, 1.5s, 2h30m (units d, h, m, s, ms)"
)]
pub struct InvalidDuration {
    text: String,
    reason: &'static str,
}

/// Reads a duration such as `500ms`, `30s`, `1.5s` or `2h30m`.
///
/// Each part is a number and one of the units `d` (24 hours), `h`, `m`, `s`, `ms`; larger units
/// come first. Only seconds may have a fraction, of at most three digits. The result is a whole
/// number of milliseconds.
///
/// # Errors
/// [`InvalidDuration`] with the reason, for anything else.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # fn main() -> Result<(), tenure_core::InvalidDuration> {
/// assert_eq!(tenure_core::parse_duration("2h30m")?, Duration::from_secs(9000));
/// assert!(tenure_core::parse_duration("5").is_err());
/// # Ok(())
/// # }
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let fail = |reason| InvalidDuration {
        text: shown(text),
        reason,
    };
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(fail("it is empty"));
    }
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if rest.starts_with(char::is_whitespace) || tail.starts_with(char::is_whitespace) {
            return Err(fail("it holds a blank"));
        }
        if number.is_empty() {
            return Err(fail(if rest.starts_with('-') {
                "it is negative"
            } else {
                "a number is missing"
            }));
        }
        if unit.is_empty() {
            return Err(fail("the unit is missing"));
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(fail("the unit is unknown"));
        }
        let Some((name, factor)) = units.by_ref().find(|(name, _)| *name == unit) else {
            return Err(fail("larger units come first, each once"));
        };
        let part = part_ms(number, name, *factor).map_err(fail)?;
        total_ms = total_ms
            .checked_add(part)
            .ok_or_else(|| fail("the number is too large"))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

fn part_ms(number: &str, unit: &str, factor: u64) -> Result<u64, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.contains('.') && (unit != "s" || fraction.is_empty() || fraction.len() > 3) {
        return Err("only seconds may have a fraction, of one to three digits");
    }
    if fraction.contains('.') || whole.is_empty() {
        return Err("the number is malformed");
    }
    let whole: u64 = whole.parse().map_err(|_| "the number is too large")?;
    let fraction_ms: u64 = format!("{fraction:0<3}").parse().unwrap_or(0);
    let ms = whole.checked_mul(factor).ok_or("the number is too large")?;
    ms.checked_add(if fraction.is_empty() { 0 } else { fraction_ms })
        .ok_or("the number is too large")
}

/// At most 80 characters, with control characters escaped.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// Writes a duration in the form that [`parse_duration`] reads, rounded to milliseconds: `2h30m`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let count = ms / factor;
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{count}{unit}");
            ms %= factor;
        }
    }
    text
}

/// A duration as people say it: two units at most, milliseconds only below ten seconds.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(tenure_core::about_duration(Duration::from_millis(3_723_456)), "1h2m");
/// ```
#[must_use]
pub fn about_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = match ms {
        0..10_000 => 1,
        10_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    format_duration(Duration::from_millis(ms / unit * unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_told_in_two_units() {
        for (ms, text) in [
            (0, "0s"),
            (9_999, "9s999ms"),
            (12_345, "12s"),
            (3_723_000, "1h2m"),
            (90_061_000, "1d1h"),
        ] {
            assert_eq!(about_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn e5_e7_durations_people_write_are_read() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1.005s", 1_005),
            ("1h61m", 7_260_000),
            ("2h30m", 9_000_000),
            ("1d1ms", 86_400_001),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn e2_e4_e5_e6_e7_e8_texts_that_must_be_guessed_at_are_refused() {
        for (text, reason) in [
            ("", "it is empty"),
            ("-5s", "it is negative"),
            ("5", "the unit is missing"),
            ("1.5", "the unit is missing"),
            ("5 m", "it holds a blank"),
            (" 5m", "it holds a blank"),
            ("5m ", "it holds a blank"),
            ("2h 30m", "it holds a blank"),
            ("5\u{a0}m", "it holds a blank"),
            ("5M", "the unit is unknown"),
            ("５s", "a number is missing"),
            ("1m1h", "larger units come first, each once"),
            ("1s1s", "larger units come first, each once"),
            ("1.5m", "only seconds may have a fraction"),
            ("1.2.3s", "the number is malformed"),
            ("1e400", "the unit is unknown"),
            ("NaN", "a number is missing"),
            ("inf", "a number is missing"),
            (
                "9999999999999999999999999999999999999999s",
                "the number is too large",
            ),
            ("18446744073709551615d", "the number is too large"),
            ("5s\0", "a number is missing"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
            assert!(error.contains("units d, h, m, s, ms"), "{error}");
        }
        let long = parse_duration(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 300, "{long}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0u64..1_000_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
