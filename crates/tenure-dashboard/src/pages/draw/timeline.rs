//! The last and the next hour: a lane for each task that deserves one, then all runs by minute,
//! then how late they began.
//!
//! The picture stands still for half a minute at a time, so that it is not drawn anew for nothing.
//! It has two parts of one height, what the lanes are called and the plot, so that on a narrow
//! screen the names stay while the plot is moved.

use std::collections::HashMap;
use std::fmt::Write;

use maud::{Markup, html};

use super::{Rects, scaled};
use crate::pages::say;
use crate::view::{Now, TaskAhead, TimelineRun};

const WIDTH: i64 = 1200;
/// Where the plot begins; names stand before it.
const LEFT: i64 = 184;
/// The width of the part with the names. The style sheet has it too.
const NAMES: i64 = 176;
/// A label of the axis that begins before this would be cut off by the names.
const FIRST_LABEL: i64 = LEFT + 12;
/// The width of the plot: two hours.
const PLOT: i64 = 1008;
const HOUR: i64 = 3_600_000;
const STEP: i64 = 30_000;
const QUARTER: i64 = 900_000;
const LANE: i64 = 22;
const TOP: i64 = 24;
const COUNTS: i64 = 46;
const LATENESS: i64 = 26;
/// Where now is, in per cent of the width: from there the past and the future are seen.
pub(in crate::pages) const NOW_AT: i64 = (LEFT + PLOT / 2) * 100 / WIDTH;
/// How many tasks have a lane.
const LANES: usize = 8;

/// What a minute holds, by colour.
const TONES: [&str; 4] = ["ok", "warn", "bad", "busy"];

struct Plot {
    /// The middle, in milliseconds.
    middle: i64,
}

impl Plot {
    fn x(&self, at: i64) -> i64 {
        LEFT + (at - self.middle + HOUR).clamp(0, 2 * HOUR) * PLOT / (2 * HOUR)
    }

    fn holds(&self, at: i64) -> bool {
        (at - self.middle).abs() <= HOUR
    }
}

/// The picture, and its description in words.
pub(in crate::pages) fn timeline(now: &Now) -> Markup {
    let plot = Plot {
        middle: now.now.0.as_millis().div_euclid(STEP) * STEP,
    };
    let lanes = lanes(&now.timeline.runs);
    let lanes_end = TOP + LANE * i64::try_from(lanes.len()).unwrap_or(0);
    let counts_end = lanes_end + 10 + COUNTS;
    let end = counts_end + 8 + LATENESS;
    let height = end + 4;
    let (counts, most_runs) = counts(&plot, now, counts_end);
    let (late, latest) = late_bars(&plot, now, end);
    html! {
        div.timeline {
            svg.chart.names viewBox=(format!("0 0 {NAMES} {height}")) aria-hidden="true" {
                @for (at, (task, _)) in (0..).zip(&lanes) {
                    (named(TOP + LANE * at + LANE / 2 + 4, "name", &short(task)))
                }
                (named(counts_end - COUNTS + 12, "", "runs a minute"))
                (named(counts_end - COUNTS + 28, "", &format!("at most {most_runs}")))
                (named(end - LATENESS + 10, "", "latest start"))
                (named(end - LATENESS + 24, "", &latest))
            }
            svg.chart viewBox=(format!("{NAMES} 0 {} {height}", WIDTH - NAMES))
                aria-hidden="true" {
                (axis(&plot, end))
                @for (at, (task, runs)) in (0..).zip(&lanes) {
                    (lane(&plot, TOP + LANE * at, task, runs, &now.timeline.ahead))
                }
                (counts)
                (late)
                path.now d=(format!("M{} 14V{end}", plot.x(plot.middle))) {}
            }
        }
    }
}

/// A text at the end of the names' part.
fn named(y: i64, class: &str, text: &str) -> Markup {
    html! {
        text class=[(!class.is_empty()).then_some(class)] x=(LEFT - 10) y=(y) text-anchor="end" {
            (text)
        }
    }
}

/// The tasks of the picture, the worst first: what failed, what runs, what was late.
fn lanes(runs: &[TimelineRun]) -> Vec<(&str, Vec<&TimelineRun>)> {
    let mut by_task: HashMap<&str, Vec<&TimelineRun>> = HashMap::new();
    for run in runs {
        by_task.entry(&run.task).or_default().push(run);
    }
    let mut lanes: Vec<_> = by_task.into_iter().collect();
    let weight = |runs: &[&TimelineRun]| {
        let each = runs.iter().map(|run| match tone(run) {
            "bad" => 4,
            "busy" => 3,
            "warn" => 2,
            _ => i32::from(run.mark.lateness_ms.unwrap_or(0) >= 1000),
        });
        each.max().unwrap_or(0)
    };
    lanes.sort_by_key(|(task, runs)| (-weight(runs), *task));
    lanes.truncate(LANES);
    lanes
}

fn tone(run: &TimelineRun) -> &'static str {
    say::tone_of(run.mark.state, run.mark.node_gone.as_deref())
}

fn axis(plot: &Plot, end: i64) -> Markup {
    let first = (plot.middle - HOUR).div_euclid(QUARTER) + 1;
    let quarters = (first..first + 8).map(|quarter| quarter * QUARTER);
    let mut lines = String::new();
    let mut labels = Vec::new();
    for at in quarters.filter(|at| plot.holds(*at)) {
        let x = plot.x(at);
        // Writing to a string cannot fail.
        let _ = write!(lines, "M{x} 16V{end}");
        if x >= FIRST_LABEL && (x - plot.x(plot.middle)).abs() > 50 {
            let label = tenure_core::Timestamp::from_millis(at);
            labels.push((x, label.to_jiff().strftime("%H:%M").to_string()));
        }
    }
    let now = tenure_core::Timestamp::from_millis(plot.middle);
    html! {
        path.axis d=(lines) {}
        @for (x, label) in labels { text x=(x) y="10" text-anchor="middle" { (label) } }
        text.now-text x=(plot.x(plot.middle)) y="10" text-anchor="middle" {
            "now " (now.to_jiff().strftime("%H:%M"))
        }
    }
}

fn lane(plot: &Plot, y: i64, task: &str, runs: &[&TimelineRun], ahead: &[TaskAhead]) -> Markup {
    let middle = y + LANE / 2;
    let ahead = ahead.iter().filter(|ahead| ahead.task == task);
    let ahead: Vec<i64> = ahead
        .flat_map(|ahead| &ahead.ticks)
        .map(|tick| tick.0.as_millis())
        .filter(|at| plot.holds(*at))
        .collect();
    html! {
        path.axis d=(format!("M{LEFT} {middle}h{PLOT}")) {}
        @for run in runs { (bar(plot, middle, run)) }
        @for at in ahead { circle.ahead cx=(plot.x(at)) cy=(middle) r="3.5" {} }
    }
}

/// A run: a line from its tick to its start if it was late, then a bar until its end.
fn bar(plot: &Plot, middle: i64, run: &TimelineRun) -> Markup {
    let tick = run.mark.tick.0.as_millis();
    let late = run.mark.lateness_ms.unwrap_or(0);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(HOUR).min(2 * HOUR);
    let start = tick + signed(late);
    let is_open = say::tone(run.mark.state) == "busy";
    let end = if is_open {
        plot.middle
    } else {
        let took = || start + signed(run.mark.took_ms.unwrap_or(0));
        // What never began ended when that was recorded, which may be hours later.
        let ended = run.mark.ended_at.filter(|_| run.mark.lateness_ms.is_some());
        ended.map_or_else(took, |at| at.0.as_millis())
    };
    let (x, to) = (plot.x(start), plot.x(end.max(start)));
    let width = (to - x).max(4);
    let tone = tone(run);
    let title = format!(
        "{}: {}, due {}{}",
        run.task,
        say::word_of(run.mark.state, run.mark.node_gone.as_deref()),
        run.mark.tick.0.to_jiff().strftime("%H:%M:%S"),
        run.mark
            .lateness_ms
            .map(|ms| format!(", began {} late", say::span(ms)))
            .unwrap_or_default(),
    );
    html! {
        @if late >= 1000 { path.lag d=(format!("M{} {middle}H{x}", plot.x(tick).min(x - 3))) {} }
        a href=(format!("run?id={}", run.mark.path)) tabindex="-1" {
            rect class=(format!("f-{tone}")) x=(x) y=(middle - 6) width=(width) height="12" rx="2" {
                title { (title) }
            }
        }
    }
}

/// All runs by the minute of their tick, those to come besides; and how many a minute had at most.
fn counts(plot: &Plot, now: &Now, bottom: i64) -> (Markup, String) {
    let past = &now.timeline.past;
    let upcoming = &now.timeline.upcoming;
    let all = past.iter().map(|minute| {
        [
            minute.succeeded,
            minute.left_out,
            minute.failed,
            minute.open,
        ]
        .map(u64::from)
    });
    let all: Vec<[u64; 4]> = all.collect();
    let most = all.iter().map(|parts| parts.iter().sum());
    let most = most
        .chain(upcoming.iter().map(|it| it.runs))
        .max()
        .unwrap_or(0);
    let mut paths: [Rects; 4] = Default::default();
    for (minute, parts) in past.iter().zip(&all) {
        let x = plot.x(minute.at.0.as_millis());
        let mut y = bottom;
        for (rects, part) in paths.iter_mut().zip(parts) {
            let height = scaled(*part, most, COUNTS);
            y -= height;
            rects.add(x, y, 7, height);
        }
    }
    let mut ahead = Rects::default();
    for minute in upcoming {
        let height = scaled(minute.runs, most, COUNTS);
        let x = plot.x(minute.at.0.as_millis().max(plot.middle));
        ahead.add(x, bottom - height, 7.min(LEFT + PLOT - x), height);
    }
    let drawn = html! {
        path.axis d=(format!("M{LEFT} {bottom}h{PLOT}")) {}
        @for (tone, rects) in TONES.iter().zip(&paths) {
            @if let Some(path) = rects.path() { path class=(format!("f-{tone}")) d=(path) {} }
        }
        @if let Some(path) = ahead.path() { path.to-come d=(path) {} }
    };
    (drawn, say::number(most))
}

/// The latest start of each minute, hanging from above; and the latest of all.
fn late_bars(plot: &Plot, now: &Now, bottom: i64) -> (Markup, String) {
    let top = bottom - LATENESS;
    let past = &now.timeline.past;
    let most = past
        .iter()
        .map(|minute| minute.latest_ms)
        .max()
        .unwrap_or(0);
    let mut rects = Rects::default();
    // A scale of a second at least: what nobody can feel must not look like trouble.
    for minute in past {
        let height = scaled(minute.latest_ms, most.max(1000), LATENESS);
        let is_felt = minute.latest_ms >= 100;
        rects.add(
            plot.x(minute.at.0.as_millis()),
            top,
            if is_felt { 7 } else { 0 },
            height,
        );
    }
    let drawn = html! {
        @if let Some(path) = rects.path() { path.f-warn d=(path) {} }
    };
    (drawn, say::span(most))
}

/// A name that fits before the plot.
fn short(name: &str) -> String {
    const MOST: usize = 24;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(MOST - 1).collect();
    short.push('…');
    short
}

/// What the picture says, for people who do not see it.
pub(in crate::pages) fn in_words(now: &Now) -> String {
    let sum = |part: fn(&crate::view::TimelineMinute) -> u32| -> u64 {
        now.timeline
            .past
            .iter()
            .map(|minute| u64::from(part(minute)))
            .sum()
    };
    let latest = now
        .timeline
        .past
        .iter()
        .map(|it| it.latest_ms)
        .max()
        .unwrap_or(0);
    let ahead: u64 = now.timeline.upcoming.iter().map(|minute| minute.runs).sum();
    format!(
        "In the last hour {} succeeded, {} failed, {} were left out and {} are open; the latest \
         began {} after its time. In the next hour {}{} are due.",
        say::count(sum(|it| it.succeeded), "run"),
        sum(|it| it.failed),
        sum(|it| it.left_out),
        sum(|it| it.open),
        say::span(latest),
        if now.timeline.is_estimate {
            "about "
        } else {
            ""
        },
        say::count(ahead, "run"),
    )
}

#[cfg(test)]
mod tests {
    use tenure_core::{RunState, Timestamp};

    use super::*;
    use crate::view::{At, NowCounts, RunMark, Timeline, TimelineMinute, UpcomingMinute};

    const NOON: i64 = 1_800_000_000_000;

    fn run(task: &str, minutes_ago: i64, state: RunState) -> TimelineRun {
        TimelineRun {
            task: task.to_owned(),
            mark: RunMark {
                path: "x".to_owned(),
                tick: At(Timestamp::from_millis(NOON - minutes_ago * 60_000)),
                state,
                lateness_ms: Some(5_000),
                took_ms: Some(60_000),
                ended_at: None,
                node_gone: None,
            },
        }
    }

    #[test]
    fn a_tick_that_was_missed_is_a_mark_and_one_tried_again_a_bar_until_its_end() {
        let plot = Plot { middle: NOON };
        let at = |minutes_ago: i64| Some(At(Timestamp::from_millis(NOON - minutes_ago * 60_000)));
        let mut missed = run("t", 30, RunState::Missed);
        (missed.mark.lateness_ms, missed.mark.took_ms) = (None, None);
        missed.mark.ended_at = at(1);
        let drawn = bar(&plot, 0, &missed).into_string();
        assert!(drawn.contains("width=\"4\""), "{drawn}");
        let mut again = run("t", 30, RunState::Failed);
        again.mark.ended_at = at(1);
        let drawn = bar(&plot, 0, &again).into_string();
        assert!(!drawn.contains("width=\"4\""), "{drawn}");
    }

    fn now(at: i64, runs: Vec<TimelineRun>) -> Now {
        let minute = At(Timestamp::from_millis(NOON - 600_000));
        Now {
            now: At(Timestamp::from_millis(at)),
            counts: NowCounts {
                tasks: 1,
                paused: 0,
                unlisted: 0,
                retired: 0,
                nodes: 1,
                running: 0,
                node_gone: 0,
            },
            running: Vec::new(),
            next: Vec::new(),
            failed: Vec::new(),
            failing: Vec::new(),
            timeline: Timeline {
                from: minute,
                is_truncated: false,
                runs,
                past: vec![TimelineMinute {
                    at: minute,
                    succeeded: 3,
                    failed: 1,
                    left_out: 0,
                    open: 0,
                    latest_ms: 5_000,
                }],
                upcoming: vec![UpcomingMinute {
                    at: At(Timestamp::from_millis(NOON + 600_000)),
                    runs: 2,
                }],
                is_estimate: false,
                ahead: Vec::new(),
            },
        }
    }

    #[test]
    fn the_picture_stands_still_between_its_steps() {
        let runs = || {
            vec![
                run("a", 10, RunState::Running),
                run("b", 5, RunState::Failed),
            ]
        };
        let drawn = |at| timeline(&now(at, runs())).into_string();
        assert_eq!(drawn(NOON), drawn(NOON + STEP - 1));
        assert_ne!(drawn(NOON), drawn(NOON + STEP));
    }

    #[test]
    fn what_is_to_come_is_a_dot_on_the_lane_of_its_task() {
        let runs = vec![
            run("a", 10, RunState::Succeeded),
            run("b", 10, RunState::Succeeded),
        ];
        let mut now = now(NOON, runs);
        let to_come = |task: &str, minutes: &[i64]| TaskAhead {
            task: task.to_owned(),
            ticks: (minutes.iter())
                .map(|in_minutes| At(Timestamp::from_millis(NOON + in_minutes * 60_000)))
                .collect(),
        };
        // The picture ends an hour after now.
        now.timeline.ahead = vec![to_come("b", &[20, 60, 61]), to_come("no-lane", &[30])];
        let drawn = timeline(&now).into_string();
        let plot = Plot { middle: NOON };
        let lane_of_b = TOP + LANE + LANE / 2;
        for in_minutes in [20, 60] {
            let x = plot.x(NOON + in_minutes * 60_000);
            let dot = format!("<circle class=\"ahead\" cx=\"{x}\" cy=\"{lane_of_b}\"");
            assert_eq!(drawn.matches(&dot).count(), 1, "{dot}: {drawn}");
        }
        assert_eq!(drawn.matches("<circle").count(), 2, "{drawn}");
    }

    #[test]
    fn both_parts_are_drawn_to_one_scale() {
        let style = include_str!("../../../assets/tenure.css");
        let part = |width: i64| format!("calc(100% * {width} / {WIDTH})");
        assert!(style.contains(&part(NAMES)), "{}", part(NAMES));
        assert!(style.contains(&part(WIDTH - NAMES)));
    }

    #[test]
    fn the_worst_tasks_have_the_first_lanes() {
        let mut runs: Vec<_> = (0..20)
            .map(|at| run(&format!("t{at:02}"), 1, RunState::Succeeded))
            .collect();
        runs.push(run("z-failed", 2, RunState::TimedOut));
        runs.push(run("y-runs", 2, RunState::Running));
        let lanes = lanes(&runs);
        let names: Vec<_> = lanes.iter().map(|(task, _)| *task).collect();
        assert_eq!(names.len(), LANES);
        assert_eq!(&names[..3], ["z-failed", "y-runs", "t00"]);
    }

    #[test]
    fn the_picture_is_told_in_words_as_well() {
        let words = in_words(&now(NOON, Vec::new()));
        assert!(words.contains("3 runs succeeded, 1 failed"), "{words}");
        assert!(words.contains("began 5.0 s after"), "{words}");
        assert!(words.ends_with("2 runs are due."), "{words}");
    }

    #[test]
    fn e100_a_name_in_a_picture_is_text_and_short() {
        let name = format!("<script>alert(1)</script>{}", "é".repeat(900));
        let drawn = timeline(&now(NOON, vec![run(&name, 1, RunState::Lost)])).into_string();
        assert!(!drawn.contains("<script"), "{drawn}");
        assert!(short(&name).chars().count() <= 24);
    }
}
