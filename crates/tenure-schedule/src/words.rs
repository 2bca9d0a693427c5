//! Sets of numbers in English words.
//!
//! Knows nothing about schedules.

use crate::calendar::bits;

/// An even progression of at least three values.
pub(crate) struct Steps {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) step: u32,
}

impl Steps {
    /// The progression that a set is, if it is one.
    pub(crate) fn of(set: u64) -> Option<Self> {
        let mut values = bits(set);
        let (first, second) = (values.next()?, values.next()?);
        let step = second - first;
        let mut last = second;
        for value in values {
            if value - last != step {
                return None;
            }
            last = value;
        }
        (step > 1 && last > second).then_some(Self { first, last, step })
    }
}

/// `day 5`, or `days 1 and 15`.
pub(crate) fn numbered(unit: &str, set: u64) -> String {
    let plural = if set.is_power_of_two() { "" } else { "s" };
    format!("{unit}{plural} {}", number_list(set))
}

/// `0 to 5, 10 and 20 to 30`.
fn number_list(set: u64) -> String {
    list(set, |number| number.to_string())
}

/// The same with names; bit `offset` is the first name.
pub(crate) fn name_list(set: u64, offset: u32, names: &[&str]) -> String {
    list(set, |number| {
        let place = usize::try_from(number - offset).unwrap_or(0);
        names.get(place).copied().unwrap_or_default().to_owned()
    })
}

fn list(set: u64, show: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    for (first, last) in runs(set) {
        match last - first {
            0 => parts.push(show(first)),
            1 => parts.extend([show(first), show(last)]),
            _ => parts.push(format!("{} to {}", show(first), show(last))),
        }
    }
    and(&parts)
}

/// Runs of neighbouring bits, as first and last.
fn runs(mut set: u64) -> impl Iterator<Item = (u32, u32)> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let first = set.trailing_zeros();
            let length = (set >> first).trailing_ones();
            set &= !(((1 << length) - 1) << first);
            (first, first + length - 1)
        })
    })
}

pub(crate) fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

pub(crate) fn nth(number: u32, unit: &str) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending} {unit}")
}
