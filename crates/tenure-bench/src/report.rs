//! What came out: rows with a figure, the limit beside it, and the bar it has to pass.

use std::fmt;
use std::sync::Arc;

use crate::statistics::{Summary, figure};
use crate::workload::Workload;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Per second.
    PerSecond,
    /// Milliseconds of processor time for 100 000 pairs.
    CpuMillis,
    /// How many.
    Count,
    /// So many times as much.
    Times,
    /// Hundredths of one processor core.
    PercentOfCore,
}

impl Unit {
    /// Its name, for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::PerSecond => "per_second",
            Self::CpuMillis => "cpu_ms_per_100000",
            Self::Count => "count",
            Self::Times => "times",
            Self::PercentOfCore => "percent_of_core",
        }
    }

    /// A figure for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let plain = match value.abs() {
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        match self {
            Self::Micros => format!("{plain} µs"),
            Self::Millis => format!("{plain} ms"),
            Self::PerSecond => format!("{plain}/s"),
            Self::CpuMillis => format!("{plain} ms CPU"),
            Self::Count => plain,
            Self::Times => format!("{plain} ×"),
            Self::PercentOfCore => format!("{plain} %"),
        }
    }
}

/// What a row has to pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// The figure over the limit.
    RatioAtMost(f64),
    /// The figure over the limit.
    RatioAtLeast(f64),
    /// The figure itself.
    AtMost(f64),
    /// The figure itself, a count.
    Exactly(f64),
}

/// What stands beside a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// What it is.
    pub what: &'static str,
    /// How much it was.
    pub value: f64,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it comes from.
    pub workload: Workload,
    /// Under which circumstances, such as `64 tasks`.
    pub case: String,
    /// What was measured, such as `p50`.
    pub measure: &'static str,
    /// In what.
    pub unit: Unit,
    /// How much.
    pub ours: f64,
    /// The least and the most of the rounds, where there were rounds.
    pub spread: Option<(f64, f64)>,
    /// The limit measured beside it.
    pub limit: Option<Limit>,
    /// What it has to pass.
    pub bar: Option<Bar>,
}

impl Row {
    pub(crate) fn new(
        workload: Workload,
        case: impl Into<String>,
        measure: &'static str,
        unit: Unit,
        ours: f64,
    ) -> Self {
        Self {
            workload,
            case: case.into(),
            measure,
            unit,
            ours,
            spread: None,
            limit: None,
            bar: None,
        }
    }

    /// A row of medians of rounds.
    pub(crate) fn of_rounds(
        workload: Workload,
        case: impl Into<String>,
        measure: &'static str,
        unit: Unit,
        ours: &[f64],
    ) -> Self {
        let summary = Summary::of(ours);
        Self {
            spread: Some((summary.least, summary.most)),
            ..Self::new(workload, case, measure, unit, summary.median)
        }
    }

    pub(crate) fn beside(mut self, what: &'static str, rounds: &[f64]) -> Self {
        if !rounds.is_empty() {
            let value = Summary::of(rounds).median;
            self.limit = Some(Limit { what, value });
        }
        self
    }

    /// A count that has to be just this.
    pub(crate) fn exactly(self, count: usize) -> Self {
        self.bar(Bar::Exactly(figure(count)))
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// The figure over the limit.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.limit.filter(|limit| limit.value > 0.0)?;
        Some(self.ours / limit.value)
    }

    /// Whether the bar was passed. `None` if there is none, or nothing to compare with.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.bar? {
            Bar::RatioAtMost(most) => Some(self.ratio()? <= most),
            Bar::RatioAtLeast(least) => Some(self.ratio()? >= least),
            Bar::AtMost(most) => Some(self.ours <= most),
            Bar::Exactly(count) => Some((self.ours - count).abs() < 0.5),
        }
    }
}

/// Something that was not measured, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub workload: Workload,
    /// Why, in a sentence's part.
    pub why: String,
}

/// Something that came out, told as soon as it is known.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Finding<'r> {
    /// Measuring begins, on a store that calls itself so.
    Begun(&'r str),
    /// A figure.
    Measured(&'r Row),
    /// A workload is left out.
    Skipped(&'r Skipped),
}

type Told = dyn Fn(Finding<'_>) + Send + Sync;

/// Who is told of findings; called between two rounds, so whatever it does delays the next.
#[derive(Clone, Default)]
pub struct Findings(Option<Arc<Told>>);

impl Findings {
    /// Has `told` called for each.
    #[must_use]
    pub fn to(told: impl Fn(Finding<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    fn tell(&self, finding: Finding<'_>) {
        if let Some(told) = &self.0 {
            told(finding);
        }
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_told = self.0.is_some();
        f.debug_struct("Findings")
            .field("is_told", &is_told)
            .finish()
    }
}

/// Everything that came out.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the store calls itself.
    pub store: String,
    /// The figures, in the order in which they were measured.
    pub rows: Vec<Row>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    findings: Findings,
}

impl Report {
    pub(crate) fn new(store: String, findings: Findings) -> Self {
        findings.tell(Finding::Begun(&store));
        Self {
            store,
            rows: Vec::new(),
            skipped: Vec::new(),
            findings,
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.findings.tell(Finding::Measured(&row));
        self.rows.push(row);
    }

    pub(crate) fn skip(&mut self, workload: Workload, why: impl Into<String>) {
        let why = why.into();
        let skipped = Skipped { workload, why };
        self.findings.tell(Finding::Skipped(&skipped));
        self.skipped.push(skipped);
    }

    /// How many bars were missed.
    #[must_use]
    pub fn missed(&self) -> usize {
        let missed = |row: &&Row| row.is_met() == Some(false);
        self.rows.iter().filter(missed).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_by_the_ratio_or_by_the_figure() {
        let row = |ours, limit: &[f64], bar| {
            let row = Row::new(Workload::Crash, "", "p50", Unit::Millis, ours);
            row.beside("raw", limit).bar(bar).is_met()
        };
        for (ours, limit, bar, met) in [
            (1.1, &[1.0][..], Bar::RatioAtMost(1.15), Some(true)),
            (1.2, &[1.0], Bar::RatioAtMost(1.15), Some(false)),
            (0.9, &[3.0, 1.0, 1.0], Bar::RatioAtLeast(0.85), Some(true)),
            (0.8, &[1.0], Bar::RatioAtLeast(0.85), Some(false)),
            (3.0, &[], Bar::AtMost(3.0), Some(true)),
            (3.0, &[], Bar::RatioAtMost(1.0), None),
        ] {
            assert_eq!(row(ours, limit, bar), met, "{ours} {limit:?} {bar:?}");
        }
    }
}
