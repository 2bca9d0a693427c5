//! Columns over time: the herd of the next day, and a minute of calls to the store.

use maud::{Markup, html};

use super::{Rects, scaled};
use crate::pages::say;
use crate::view::Herd;

const WIDTH: i64 = 1200;
const HEIGHT: i64 = 84;
const LEFT: i64 = 60;

/// The runs of the next 24 hours by quarter of an hour; those with the busiest minutes stand out,
/// unless a day has nothing else.
pub(in crate::pages) fn herd(herd: &Herd) -> Markup {
    let most = herd
        .buckets
        .iter()
        .map(|bucket| bucket.runs)
        .max()
        .unwrap_or(0);
    let peak = herd
        .buckets
        .iter()
        .map(|bucket| bucket.busiest_minute)
        .max()
        .unwrap_or(0);
    let at_peak = (herd.buckets.iter()).filter(|bucket| bucket.busiest_minute == peak);
    let stands_out = peak > 1 && at_peak.count() * 4 <= herd.buckets.len();
    let slots = i64::try_from(herd.buckets.len()).unwrap_or(1).max(1);
    let (mut all, mut crowded) = (Rects::default(), Rects::default());
    for (at, bucket) in (0..).zip(&herd.buckets) {
        let x = LEFT + at * (WIDTH - LEFT) / slots;
        let width = (WIDTH - LEFT) / slots - 2;
        let height = scaled(bucket.runs, most, HEIGHT);
        let is_peak = stands_out && bucket.busiest_minute == peak;
        let rects = if is_peak { &mut crowded } else { &mut all };
        rects.add(x, HEIGHT + 4 - height, width.max(1), height);
    }
    let labels = labels(herd);
    let bottom = HEIGHT + 4;
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 22)) aria-hidden="true" {
            text x=(LEFT - 8) y="14" text-anchor="end" { (say::number(most)) }
            text x=(LEFT - 8) y=(bottom) text-anchor="end" { "0" }
            path.axis d=(format!("M{LEFT} {bottom}H{WIDTH}")) {}
            @if let Some(path) = all.path() { path.f-busy d=(path) {} }
            @if let Some(path) = crowded.path() { path.f-warn d=(path) {} }
            @for (x, label) in labels {
                path.axis d=(format!("M{x} {bottom}v5")) {}
                text x=(x) y=(bottom + 17) text-anchor="middle" { (label) }
            }
        }
    }
}

/// Every third full hour, and where it stands.
fn labels(herd: &Herd) -> Vec<(i64, String)> {
    const STEP: i64 = 3 * 3_600_000;
    let from = herd.from.0.as_millis();
    let first = from.div_euclid(STEP) + 1;
    let hours = (first..first + 8).map(|number| number * STEP);
    hours
        .map(|at| {
            let x = LEFT + (at - from) * (WIDTH - LEFT) / (24 * 3_600_000);
            (
                x,
                tenure_core::Timestamp::from_millis(at)
                    .to_jiff()
                    .strftime("%H:%M")
                    .to_string(),
            )
        })
        .filter(|(x, _)| *x < WIDTH - 20)
        .collect()
}

/// Calls a second, the oldest first.
pub(in crate::pages) fn rates(per_second: &[u32]) -> Markup {
    let most = per_second.iter().copied().max().unwrap_or(0);
    let slots = i64::try_from(per_second.len()).unwrap_or(1).max(1);
    let mut rects = Rects::default();
    for (at, calls) in (0..).zip(per_second) {
        let height = scaled(u64::from(*calls), u64::from(most), HEIGHT);
        let width = (WIDTH - LEFT) / slots - 2;
        let x = LEFT + at * (WIDTH - LEFT) / slots;
        rects.add(x, HEIGHT + 4 - height, width.max(1), height);
    }
    let bottom = HEIGHT + 4;
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 22)) aria-hidden="true" {
            text x=(LEFT - 8) y="14" text-anchor="end" { (most) }
            text x=(LEFT - 8) y=(bottom) text-anchor="end" { "0" }
            path.axis d=(format!("M{LEFT} {bottom}H{WIDTH}")) {}
            @if let Some(path) = rects.path() { path.f-busy d=(path) {} }
            text x=(LEFT) y=(bottom + 15) { "a minute ago" }
            text x=(WIDTH) y=(bottom + 15) text-anchor="end" { "now" }
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::Timestamp;

    use super::*;
    use crate::view::{At, HerdBucket};

    #[test]
    fn the_busiest_quarter_stands_out() {
        let bucket = |at: i64, runs| HerdBucket {
            at: At(Timestamp::from_millis(at * 900_000)),
            runs,
            busiest_minute: runs,
        };
        let day = Herd {
            from: At(Timestamp::EPOCH),
            bucket_ms: 900_000,
            buckets: (0..96)
                .map(|at| bucket(at, u64::from(at == 12) * 400 + 1))
                .collect(),
            peaks: Vec::new(),
            is_estimate: false,
        };
        let drawn = herd(&day).into_string();
        assert_eq!(drawn.matches("f-warn").count(), 1);
        let even = Herd {
            buckets: (0..96).map(|at| bucket(at, 120)).collect(),
            ..day.clone()
        };
        let even = herd(&even).into_string();
        assert!(!even.contains("f-warn"), "no quarter is busier than others");
        assert!(
            drawn.contains(">401<") && drawn.contains(">03:00<"),
            "{drawn}"
        );
    }

    #[test]
    fn nothing_to_draw_is_drawn_as_nothing() {
        assert!(!rates(&[]).into_string().contains("f-busy"));
        assert!(rates(&[0, 3]).into_string().contains("f-busy"));
    }
}
