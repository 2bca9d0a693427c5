//! Finds time zones by their IANA names, and refuses whatever only looks like one.
//!
//! The rules come from jiff's database: the system's zone files, or else the copy compiled into
//! jiff. Nothing of the process's own zone (`TZ`, `/etc/localtime`) is ever asked.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::{self, TimeZone};

use crate::advice::is_offset;
use crate::error::{ScheduleError, ScheduleErrorKind};

/// Longer than any name there is.
const MAX_NAME: usize = 64;

/// 2100-01-01T00:00:00Z: fingerprints look no further.
const FINGERPRINT_END: i64 = 4_102_444_800;

/// A time zone of the IANA database, or UTC.
///
/// As small as a pointer; clones share the rules.
///
/// # What is accepted
/// Names of the IANA database in any case (`Europe/Berlin`, `europe/berlin`, `Etc/GMT-2`), and
/// `UTC`. Everything else is refused, and never replaced by UTC:
///
/// - numeric offsets such as `+02:00`: a place with clock changes has no such thing, and the
///   database has `Etc/GMT-2` (its sign is reversed) for whoever means just that;
/// - `EST5EDT`, `CST6CDT`, `MST7MDT`, `PST8PDT`: they look like POSIX rules, and what they mean
///   has changed between releases of the database, so two nodes could differ; the region's name
///   is suggested;
/// - `localtime`, `posixrules`, `posix/…`, `right/…`, `Factory`: files that lie beside the zones.
///   They mean whatever the machine was set to, or count leap seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated Universal Time: no gaps, no overlaps.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Finds a zone by its IANA name.
    ///
    /// # Errors
    /// [`ScheduleErrorKind::UnknownZone`] with the nearest name that exists, if one is near.
    ///
    /// # Examples
    /// ```
    /// use tenure_schedule::Zone;
    ///
    /// assert_eq!(Zone::parse("europe/berlin")?.name(), "Europe/Berlin");
    ///
    /// let error = Zone::parse("Europe/Berlim").unwrap_err();
    /// assert_eq!(error.help().as_deref(), Some("did you mean `Europe/Berlin`?"));
    /// # Ok::<(), tenure_schedule::ScheduleError>(())
    /// ```
    pub fn parse(name: &str) -> Result<Self, ScheduleError> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::utc());
        }
        let found = if is_plausible(name) {
            TimeZone::get(name).ok()
        } else {
            None
        };
        match found.filter(|zone| zone.iana_name().is_some() && !zone.is_unknown()) {
            Some(zone) => Ok(Self(zone)),
            None => Err(unknown(name)),
        }
    }

    /// The name, as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A number that is the same wherever this zone has the same rules from 1970 to 2100.
    ///
    /// Releases of the time-zone database differ, so nodes with different releases can compute
    /// different ticks. Nodes that compare this number (not the version of a package) know whether
    /// they do. It walks through the zone's changes, about 260 of them, so compute it once a zone.
    #[must_use]
    pub fn rules_fingerprint(&self) -> u64 {
        let start = Timestamp::UNIX_EPOCH;
        let mut offset = self.0.to_offset(start).seconds();
        let mut sum = fold_in(0xcbf2_9ce4_8422_2325, i64::from(offset));
        for change in self.0.following(start) {
            let at = change.timestamp().as_second();
            if at >= FINGERPRINT_END {
                break;
            }
            // Changes of the abbreviation alone move no tick.
            if change.offset().seconds() != offset {
                offset = change.offset().seconds();
                sum = fold_in(fold_in(sum, at), i64::from(offset));
            }
        }
        sum
    }

    pub(crate) fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// Whether its clocks have changed at any time since 1970, or will.
    pub(crate) fn has_changes(&self) -> bool {
        let start = Timestamp::UNIX_EPOCH;
        let offset = self.0.to_offset(start);
        self.0
            .following(start)
            .any(|change| change.offset() != offset)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        Self::parse(name)
    }
}

/// The release of the time-zone database in use, if it can be known.
///
/// Always `None` today: jiff does not say which release it reads, and looking for the system's
/// version file ourselves could name a database that jiff does not use. To find out whether two
/// nodes agree, compare [`Zone::rules_fingerprint`], which is about the rules themselves.
#[must_use]
pub fn tzdb_version() -> Option<String> {
    None
}

/// One step of the 64-bit FNV-1a hash, over the bytes of a number.
fn fold_in(sum: u64, number: i64) -> u64 {
    number.to_le_bytes().into_iter().fold(sum, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether a name may be looked up at all.
fn is_plausible(name: &str) -> bool {
    const BESIDE_THE_ZONES: [&str; 5] =
        ["localtime", "local", "posixrules", "factory", "etc/unknown"];
    let lower = name.to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-+".contains(&byte);
    !lower.is_empty()
        && lower.len() <= MAX_NAME
        && lower.bytes().all(is_name)
        && lower.starts_with(|first: char| first.is_ascii_alphabetic())
        && !lower.starts_with("posix/")
        && !lower.starts_with("right/")
        && !BESIDE_THE_ZONES.contains(&lower.as_str())
        && region_of(&lower).is_none()
}

/// The region that a name in the form of a POSIX rule stands for.
fn region_of(lower: &str) -> Option<&'static str> {
    match lower {
        "est5edt" => Some("America/New_York"),
        "cst6cdt" => Some("America/Chicago"),
        "mst7mdt" => Some("America/Denver"),
        "pst8pdt" => Some("America/Los_Angeles"),
        _ => None,
    }
}

fn unknown(name: &str) -> ScheduleError {
    let nearest = match region_of(&name.to_ascii_lowercase()) {
        Some(region) => Some(region.to_owned()),
        // `Etc/GMT-3` looks near to `GMT-3` and is the opposite.
        None if is_offset(name) => None,
        None => nearest(name),
    };
    let kind = ScheduleErrorKind::UnknownZone {
        name: name.to_owned(),
        nearest,
    };
    ScheduleError::new(kind, 0..name.len(), name)
}

/// The known zone whose name, or whose last part, takes the fewest edits to reach.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    if wanted.is_empty() || wanted.len() > MAX_NAME {
        return None;
    }
    let enough = wanted.len() / 3;
    tz::db()
        .available()
        .map(|known| known.as_str().to_owned())
        .filter(|known| is_plausible(known))
        .map(|known| (distance_to(&known.to_ascii_lowercase(), &wanted), known))
        .filter(|(distance, _)| *distance <= enough)
        .min()
        .map(|(_, known)| known)
}

/// Full names count first; "berlin" for "europe/berlin" costs one edit.
fn distance_to(known: &str, wanted: &str) -> usize {
    let city = known.rsplit('/').next().unwrap_or(known);
    edits(known, wanted).min(edits(city, wanted) + 1)
}

/// Levenshtein distance in bytes; both are short.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (place, ours) in left.bytes().enumerate() {
        let mut diagonal = place;
        let mut beside = place + 1;
        for (cell, theirs) in row.iter_mut().skip(1).zip(right.bytes()) {
            let cost = (diagonal + usize::from(ours != theirs))
                .min(beside + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, cost);
            beside = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = place + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
