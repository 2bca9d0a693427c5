//! Reads times of the day in English: `09:00`, `9:30pm`, `9am and 5pm`, `noon`; and the hours of
//! `between 9 and 17`.
//!
//! A number alone is no time of the day, and 12am and 12pm are read in both ways by people, so they
//! are refused.

use crate::draft::Draft;
use crate::piece::{Fault, Piece};
use crate::sentence::{Sentence, is_digits, refused};

const A_TIME: &str = "a time such as `09:00`, `9am`, `5:30pm`, `noon` or `midnight`";

/// A time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    hour: u32,
    minute: u32,
    second: u32,
}

/// Times of the day, and where they stand.
pub(crate) struct Times<'a> {
    moments: Vec<Moment>,
    place: Piece<'a>,
}

/// The hours from `first` up to, and without, `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hours {
    pub(crate) first: u32,
    end: u32,
}

impl Hours {
    pub(crate) fn hours(self) -> u64 {
        let end = if self.end > self.first {
            self.end
        } else {
            self.end + 24
        };
        (self.first..end).fold(0, |set, hour| set | 1 << (hour % 24))
    }
}

impl Times<'_> {
    /// Puts the times into fields, if fields can say them: each hour with each minute.
    pub(crate) fn put_into(&self, draft: &mut Draft) -> Result<(), Fault> {
        let set = |value: fn(&Moment) -> u32| {
            self.moments
                .iter()
                .fold(0_u64, |set, moment| set | 1 << value(moment))
        };
        draft.hours = set(|moment| moment.hour);
        draft.minutes = set(|moment| moment.minute);
        draft.seconds = set(|moment| moment.second);
        let mut distinct = self.moments.clone();
        distinct.sort_by_key(|moment| (moment.hour, moment.minute, moment.second));
        distinct.dedup();
        let sets = [draft.hours, draft.minutes, draft.seconds];
        let product: u32 = sets.iter().map(|set| set.count_ones()).product();
        if usize::try_from(product) == Ok(distinct.len()) {
            return Ok(());
        }
        Err(refused(
            self.place,
            "one schedule has the same minutes in each of its hours",
            "write times with the same minutes, or one task for each time",
        ))
    }
}

/// Reads `9am`, `09:00 and 17:00`, `9am, noon and 5pm`.
pub(crate) fn list<'a>(words: &mut Sentence<'a>) -> Result<Times<'a>, Fault> {
    let mut moments = Vec::new();
    let mut place: Option<Piece<'a>> = None;
    loop {
        let (moment, word) = moment(words)?;
        moments.push(moment);
        place = Some(place.map_or(word, |first| words.through(first, word)));
        if !words.another() {
            break;
        }
    }
    place
        .map(|place| Times { moments, place })
        .ok_or_else(|| words.unexpected("a time", A_TIME))
}

/// Reads `between 9 and 17`, if that comes next.
pub(crate) fn between(words: &mut Sentence<'_>) -> Result<Option<Hours>, Fault> {
    if !words.take("between") {
        return Ok(None);
    }
    let (first, begin, has_sense) = hour(words)?;
    words.need("and", "`and`, and the end: `between 9 and 17`")?;
    let (end, last, end_has_sense) = hour(words)?;
    let place = words.through(begin, last);
    if first == end % 24 {
        return Err(refused(
            place,
            "it says no hour, or all of them",
            "write two different hours, or leave it out for the whole day",
        ));
    }
    if end < first && !(has_sense && end_has_sense) {
        return Err(refused(
            place,
            "plain numbers are hours of the day, and the end is before the beginning",
            "write `between 9am and 5pm` or `between 9 and 17`; over midnight, `between 22:00 and \
             06:00`",
        ));
    }
    Ok(Some(Hours { first, end }))
}

/// A whole hour, 0 to 24, and whether it was written as a time.
fn hour<'a>(words: &mut Sentence<'a>) -> Result<(u32, Piece<'a>, bool), Fault> {
    const AN_HOUR: &str = "a whole hour such as `9`, `17`, `9am` or `09:00`";
    let is_plain = words.peek().is_some_and(|word| is_digits(word.text))
        && words
            .second()
            .is_none_or(|word| half_of(word.text).is_none());
    if let Some(word) = words.peek().filter(|_| is_plain) {
        words.next_word();
        let hour = word.text.parse().ok().filter(|hour| *hour <= 24);
        return hour
            .map(|hour| (hour, word, false))
            .ok_or_else(|| words.not_a(Some(word), "an hour", AN_HOUR));
    }
    let (moment, word) = moment(words)?;
    if moment.minute != 0 || moment.second != 0 {
        return Err(words.not_a(Some(word), "an hour", AN_HOUR));
    }
    Ok((moment.hour, word, true))
}

/// Reads one time of the day.
fn moment<'a>(words: &mut Sentence<'a>) -> Result<(Moment, Piece<'a>), Fault> {
    let Some(word) = words.next_word() else {
        return Err(words.unexpected("a time", A_TIME));
    };
    let lower = word.text.to_ascii_lowercase();
    let whole = |hour| Moment {
        hour,
        minute: 0,
        second: 0,
    };
    match lower.as_str() {
        "noon" => return Ok((whole(12), word)),
        "midnight" => return Ok((whole(0), word)),
        _ => {}
    }
    let not_a_time = |place: Piece<'_>| words.not_a(Some(place), "a time", A_TIME);
    let joined = lower
        .len()
        .checked_sub(2)
        .and_then(|end| Some((lower.get(..end)?, half_of(lower.get(end..)?)?)));
    let apart = words
        .peek()
        .and_then(|next| Some((next, half_of(next.text)?)));
    let (digits, half, place) = match (joined, apart) {
        (Some((digits, half)), _) => (digits, Some(half), word),
        (None, Some((next, half))) => (lower.as_str(), Some(half), words.through(word, next)),
        (None, None) => (lower.as_str(), None, word),
    };
    let mut moment = clock(digits).ok_or_else(|| not_a_time(place))?;
    match half {
        None if !digits.contains(':') => {
            return Err(refused(
                place,
                "it could be in the morning or in the evening",
                "write `09:00` or `21:00`, or `9am` or `9pm`",
            ));
        }
        Some(_) if moment.hour == 12 => {
            return Err(refused(
                place,
                "people read 12am and 12pm in both ways",
                "write `noon` or `midnight`, `12:00` or `00:00`",
            ));
        }
        Some(_) if !(1..12).contains(&moment.hour) => return Err(not_a_time(place)),
        None | Some(Half::Morning) => {}
        Some(Half::Evening) => moment.hour += 12,
    }
    if joined.is_none() && half.is_some() {
        words.next_word();
    }
    Ok((moment, place))
}

#[derive(Clone, Copy)]
enum Half {
    Morning,
    Evening,
}

fn half_of(word: &str) -> Option<Half> {
    if word.eq_ignore_ascii_case("am") {
        Some(Half::Morning)
    } else if word.eq_ignore_ascii_case("pm") {
        Some(Half::Evening)
    } else {
        None
    }
}

/// Reads `9`, `09:30` or `09:30:15`.
fn clock(digits: &str) -> Option<Moment> {
    let mut parts = digits.split(':');
    let hour = number(parts.next()?, 1, 23)?;
    let minute = parts.next().map_or(Some(0), |part| number(part, 2, 59))?;
    let second = parts.next().map_or(Some(0), |part| number(part, 2, 59))?;
    parts.next().is_none().then_some(Moment {
        hour,
        minute,
        second,
    })
}

/// A number of one or two digits, of at least `width` of them.
fn number(part: &str, width: usize, most: u32) -> Option<u32> {
    let is_number = is_digits(part) && (width..=2).contains(&part.len());
    let number = part.parse().ok().filter(|_| is_number)?;
    (number <= most).then_some(number)
}
