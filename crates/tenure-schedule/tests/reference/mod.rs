//! A second implementation that is slow and obviously right, and shares no code with the crate.
//!
//! It walks: every day, every minute or every second of a window, and asks of each whether the
//! text of the fields names it. Gaps and overlaps are what jiff says about each local time.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, ToSpan};
use tenure_schedule::{DstGap, DstOverlap};

/// The fields of an expression, as text.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) second: String,
    pub(crate) minute: String,
    pub(crate) hour: String,
    pub(crate) day: String,
    pub(crate) month: String,
    pub(crate) weekday: String,
    pub(crate) year: String,
}

impl Fields {
    /// Reads five, six or seven fields.
    pub(crate) fn new(text: &str) -> Self {
        let mut parts: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if parts.len() == 5 {
            parts.insert(0, "0".to_owned());
        }
        if parts.len() == 6 {
            parts.push("*".to_owned());
        }
        let [second, minute, hour, day, month, weekday, year] = parts.try_into().unwrap();
        Self {
            second,
            minute,
            hour,
            day,
            month,
            weekday,
            year,
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            second,
            minute,
            hour,
            day,
            month,
            weekday,
            year,
        } = self;
        format!("{second} {minute} {hour} {day} {month} {weekday} {year}")
    }

    pub(crate) fn names_date(&self, date: Date) -> bool {
        let both = self.weekday.starts_with('+');
        let weekday = self.weekday.trim_start_matches('+');
        let is_free = |text: &str| text.starts_with('*') || text == "?";
        let by_day = self.day.split(',').any(|item| names_day(item, date));
        let by_weekday = weekday.split(',').any(|item| names_weekday(item, date));
        let is_day = if is_free(&self.day) || is_free(weekday) || both {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        };
        is_day
            && names(&self.month, date.month().into(), 1, 12)
            && names(&self.year, date.year().into(), 1970, 9999)
    }

    /// Whether it follows elapsed time: any `*`, step or complete list in the minute or the hour.
    pub(crate) fn is_interval_like(&self) -> bool {
        let repeats = |text: &str| text.contains(['*', '/']);
        repeats(&self.minute)
            || repeats(&self.hour)
            || (0..60).all(|minute| names(&self.minute, minute, 0, 59))
            || (0..24).all(|hour| names(&self.hour, hour, 0, 23))
    }

    /// The finest unit at which it can fire, in seconds.
    fn grain(&self) -> i64 {
        if self.second == "0" { 60 } else { 1 }
    }
}

/// The fields asked once for each value of the clock, so that walking is bearable.
struct Table<'a> {
    fields: &'a Fields,
    seconds: Vec<bool>,
    minutes: Vec<bool>,
    hours: Vec<bool>,
    /// The last date that was asked for.
    asked: Option<(Date, bool)>,
}

impl<'a> Table<'a> {
    fn new(fields: &'a Fields) -> Self {
        let all = |text: &str, most| {
            (0..=most)
                .map(|value| names(text, value, 0, most))
                .collect()
        };
        Self {
            fields,
            seconds: all(&fields.second, 59),
            minutes: all(&fields.minute, 59),
            hours: all(&fields.hour, 23),
            asked: None,
        }
    }

    fn names_time(&self, local: DateTime) -> bool {
        self.seconds[usize::try_from(local.second()).unwrap()]
            && self.minutes[usize::try_from(local.minute()).unwrap()]
            && self.hours[usize::try_from(local.hour()).unwrap()]
    }

    fn names_date(&mut self, date: Date) -> bool {
        match self.asked {
            Some((asked, answer)) if asked == date => answer,
            _ => {
                let answer = self.fields.names_date(date);
                self.asked = Some((date, answer));
                answer
            }
        }
    }
}

/// Whether one of the items `*`, `a`, `a-b`, `*/n`, `a-b/n`, `a/n` names the value.
fn names(text: &str, value: i64, minimum: i64, maximum: i64) -> bool {
    text.split(',').any(|item| {
        let (base, step) = item.split_once('/').unwrap_or((item, ""));
        let (first, last) = match base.split_once('-') {
            _ if base == "*" => (minimum, maximum),
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None if step.is_empty() => (base.parse().unwrap(), base.parse().unwrap()),
            None => (base.parse().unwrap(), maximum),
        };
        let step: i64 = if step.is_empty() {
            1
        } else {
            step.parse().unwrap()
        };
        value >= first && value <= last && (value - first) % step == 0
    })
}

fn names_day(item: &str, date: Date) -> bool {
    let last = date.last_of_month();
    if item == "?" {
        true
    } else if item == "L" {
        date == last
    } else if item == "LW" {
        date == nearest_workday(last)
    } else if let Some(back) = item.strip_prefix("L-") {
        last.day() - date.day() == back.parse::<i8>().unwrap()
    } else if let Some(day) = item.strip_suffix('W') {
        let day: i8 = day.parse().unwrap();
        day <= last.day() && date == nearest_workday(date.with().day(day).build().unwrap())
    } else {
        names(item, date.day().into(), 1, 31)
    }
}

/// The nearest Monday to Friday in the same month, by trying distances.
fn nearest_workday(day: Date) -> Date {
    [0, -1, 1, -2, 2]
        .into_iter()
        .map(|distance: i64| day.checked_add(distance.days()).unwrap())
        .find(|near| {
            near.month() == day.month()
                && !matches!(near.weekday(), Weekday::Saturday | Weekday::Sunday)
        })
        .unwrap()
}

fn names_weekday(item: &str, date: Date) -> bool {
    let ours = i64::from(date.weekday().to_sunday_zero_offset());
    if item == "?" {
        true
    } else if let Some((weekday, place)) = item.split_once('#') {
        let weekday = Weekday::from_sunday_zero_offset(weekday.parse().unwrap()).unwrap();
        let place: i8 = if place == "L" {
            -1
        } else {
            place.parse().unwrap()
        };
        date.nth_weekday_of_month(place, weekday)
            .is_ok_and(|found| found == date)
    } else if let Some(weekday) = item.strip_suffix('L') {
        names_weekday(&format!("{weekday}#L"), date)
    } else if let Some((first, last)) = item.split_once('-').filter(|(first, last)| first > last) {
        // Only single digits are written here; a range that falls passes the end of the week.
        let (first, last): (i64, i64) = (first.parse().unwrap(), last.parse().unwrap());
        ours >= first || ours <= last
    } else {
        names(item, ours, 0, 6) || (ours == 0 && names(item, 7, 0, 6))
    }
}

/// All ticks after `from` and up to `to`, by walking.
pub(crate) fn ticks(
    fields: &Fields,
    zone: &TimeZone,
    (gap, overlap): (DstGap, DstOverlap),
    from: Timestamp,
    to: Timestamp,
) -> Vec<Timestamp> {
    let mut found = BTreeSet::new();
    let grain = fields.grain();
    let mut table = Table::new(fields);
    if fields.is_interval_like() {
        // Every instant whose wall clock shows a named time. Offsets since 1970 are multiples of
        // half a minute, so full minutes are found in steps of that size.
        let step = if grain == 60 { 30 } else { 1 };
        let first = from.as_second() / step * step;
        for second in (first..=to.as_second()).step_by(usize::try_from(step).unwrap()) {
            let instant = Timestamp::from_second(second).unwrap();
            let local = zone.to_datetime(instant);
            if table.names_time(local) && table.names_date(local.date()) {
                found.insert(instant);
            }
        }
    } else {
        // Every named wall-clock time, placed by the policies.
        let day = SignedDuration::from_hours(48);
        let mut local = zone.to_datetime(from).checked_sub(day).unwrap();
        local = local.with().second(0).subsec_nanosecond(0).build().unwrap();
        let end = zone.to_datetime(to).checked_add(day).unwrap();
        let step = Span::new().seconds(grain);
        while local <= end {
            if !table.names_date(local.date()) {
                local = local
                    .date()
                    .tomorrow()
                    .unwrap()
                    .to_datetime(jiff::civil::Time::MIN);
                continue;
            }
            if !table.hours[usize::try_from(local.hour()).unwrap()] {
                // Nothing in this hour; on to the next one.
                let hour = local.with().minute(0).second(0).build().unwrap();
                local = hour.checked_add(Span::new().hours(1)).unwrap();
                continue;
            }
            if table.names_time(local) {
                found.extend(placed(zone, local, gap, overlap));
            }
            local = local.checked_add(step).unwrap();
        }
    }
    found
        .into_iter()
        .filter(|tick| *tick > from && *tick <= to && *tick >= Timestamp::UNIX_EPOCH)
        .collect()
}

/// The instants of one named local time.
fn placed(zone: &TimeZone, local: DateTime, gap: DstGap, overlap: DstOverlap) -> Vec<Timestamp> {
    let at = |offset: Offset| offset.to_timestamp(local).unwrap();
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![at(offset)],
        AmbiguousOffset::Gap { before, after } => match gap {
            DstGap::Skip => vec![],
            DstGap::RunAfter => vec![first_instant_with(zone, after, at(after), at(before))],
        },
        AmbiguousOffset::Fold { before, after } => match overlap {
            DstOverlap::First => vec![at(before)],
            DstOverlap::Last => vec![at(after)],
            DstOverlap::Both => vec![at(before), at(after)],
        },
    }
}

/// Halves the time between an instant before a change and one after it.
fn first_instant_with(
    zone: &TimeZone,
    offset: Offset,
    before: Timestamp,
    after: Timestamp,
) -> Timestamp {
    let (mut low, mut high) = (before.as_second(), after.as_second());
    while high - low > 1 {
        let middle = i64::midpoint(low, high);
        let instant = Timestamp::from_second(middle).unwrap();
        if zone.to_offset(instant) == offset {
            high = middle;
        } else {
            low = middle;
        }
    }
    Timestamp::from_second(high).unwrap()
}
