//! `tenure next`, `explain` and `check`: schedules and task files without a store.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::json;
use tenure::core::{Clock as _, SystemClock, Timestamp};
use tenure::schedule::{Dialect, DstGap, DstOverlap, ScheduleError};
use tenure::{Schedule, Zone};

use crate::absent::absent;
use crate::args::{CheckArgs, ExplainArgs, NextArgs, ScheduleArgs};
use crate::exit::{Code, Failure, Outcome};
use crate::file::{TaskFiles, json as problems_json};
use crate::notice::notice;
use crate::output::{about, print, print_json, print_table};
use crate::run::tell_problems;
use crate::text::visible;

pub(crate) fn next(args: &NextArgs) -> Outcome {
    let schedule = read(&args.schedule)?;
    let from = args.from.unwrap_or_else(|| SystemClock.wall());
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    let ticks: Vec<Timestamp> = schedule
        .ticks_after(from.to_jiff())
        .take(count)
        .map(Timestamp::from)
        .collect();
    if args.schedule.json {
        let mut lines: Vec<_> = ticks
            .iter()
            .map(|tick| {
                json!({
                    "tick": tick.to_string(),
                    "local": local(*tick, &schedule),
                    "in_ms": tick.as_millis() - from.as_millis(),
                })
            })
            .collect();
        if lines.is_empty() {
            lines.push(json!({ "tick": null, "why": without_ticks(&schedule, "never due") }));
        }
        print_json(&lines)?;
    } else if ticks.is_empty() {
        print(&format!("{}\n", without_ticks(&schedule, "never due")))?;
    } else {
        let rows = ticks
            .iter()
            .map(|tick| {
                vec![
                    tick.to_string(),
                    local(*tick, &schedule),
                    format!("in {}", about(tick.since(from))),
                ]
            })
            .collect();
        print_table(&["tick", schedule.zone().name(), ""], rows)?;
    }
    Ok(Code::OK)
}

/// What to say of a schedule that has no next tick: `never`, unless it waits for an end.
pub(crate) fn without_ticks(schedule: &Schedule, never: &str) -> String {
    match schedule.delay() {
        Some(_) => schedule.explain(),
        None => never.to_owned(),
    }
}

/// The tick on the clocks of the schedule's zone.
fn local(tick: Timestamp, schedule: &Schedule) -> String {
    let format = if tick.as_millis() % 1000 == 0 {
        "%a %Y-%m-%d %H:%M:%S %:z"
    } else {
        "%a %Y-%m-%d %H:%M:%S%.3f %:z"
    };
    // A zone that was found once is found again.
    tick.to_jiff().in_tz(schedule.zone().name()).map_or_else(
        |_| tick.to_string(),
        |local| local.strftime(format).to_string(),
    )
}

pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let schedule = read(&args.schedule)?;
    let words = schedule.explain();
    let others: Vec<_> = (schedule.readings().into_iter())
        .filter(|reading| !reading.is_same())
        .collect();
    let warnings = schedule.warnings();
    if args.schedule.json {
        let others: Vec<_> = others
            .iter()
            .map(|reading| {
                json!({
                    "dialect": reading.dialect().as_str(),
                    "explanation": reading.outcome().ok().map(Schedule::explain),
                    "refusal": reading.outcome().err().map(ToString::to_string),
                    "differs": reading.reasons(),
                })
            })
            .collect();
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        print_json(&[json!({
            "schedule": schedule.text(),
            "dialect": schedule.dialect().as_str(),
            "zone": schedule.zone().name(),
            "explanation": words,
            "warnings": warnings,
            "other_dialects": others,
        })])?;
        return Ok(Code::OK);
    }
    print(&format!("{words}\n"))?;
    for warning in warnings {
        print(&format!("warning: {}\n", visible(warning.message())))?;
    }
    if !others.is_empty() {
        print(&format!(
            "\nread as {}; the same characters in other dialects:\n",
            schedule.dialect()
        ))?;
    }
    for reading in others {
        let dialect = reading.dialect();
        let said = match reading.outcome() {
            Ok(other) => format!("{} ({})", other.explain(), reading.reasons().join("; ")),
            Err(error) => format!("refused: {error}"),
        };
        print(&format!("  {dialect}: {}\n", visible(&said)))?;
    }
    Ok(Code::OK)
}

/// Reads a schedule from the command line; a fault is shown with a caret under it.
fn read(args: &ScheduleArgs) -> Result<Schedule, Failure> {
    let zone = Zone::parse(&args.zone).map_err(|error| fault("--zone", &error))?;
    let gap: DstGap = (args.dst_gap.parse()).map_err(|error| fault("--dst-gap", &error))?;
    let overlap: DstOverlap =
        (args.dst_overlap.parse()).map_err(|error| fault("--dst-overlap", &error))?;
    let dialect: Option<Dialect> = (args.dialect.as_deref().map(str::parse).transpose())
        .map_err(|error| fault("--dialect", &error))?;
    let schedule = match dialect {
        Some(dialect) => Schedule::parse_as_in(dialect, &args.expr, &zone),
        None => Schedule::parse_in(&args.expr, &zone),
    };
    schedule
        .map(|schedule| schedule.with_gap(gap).with_overlap(overlap))
        .map_err(|error| fault("EXPR", &error))
}

fn fault(what: &str, error: &ScheduleError) -> Failure {
    let text = error.text();
    // What cannot be shown takes as many columns as it has bytes, so that the caret stays right.
    let plain: String = text
        .chars()
        .flat_map(|c| {
            let acts = crate::text::acts(c);
            std::iter::repeat_n(
                if acts { ' ' } else { c },
                if acts { c.len_utf8() } else { 1 },
            )
        })
        .collect();
    let mut span = error.span();
    if span.is_empty() {
        span.end = (span.end + 1).min(plain.len().max(span.end));
    }
    let mut group = Level::ERROR
        .primary_title(visible(&error.to_string()))
        .element(
            Snippet::source(plain)
                .path(what)
                .annotation(AnnotationKind::Primary.span(span).label("here")),
        );
    if let Some(help) = error.help() {
        group = group.element(Level::HELP.message(help));
    }
    let shown = Renderer::styled().render(&[group]);
    Failure::new(Code::DATA, format!("cannot read the schedule\n{shown}"))
}

/// Tells which commands cannot be started on this machine.
fn tell_absent(files: &TaskFiles) {
    for task in files.tasks.iter().filter(|task| task.enabled) {
        if let Some(program) = absent(task) {
            let (name, program) = (&task.name, visible(program));
            notice(format_args!(
                "task `{name}` begins with `{program}`, which cannot be started on this machine"
            ));
        }
    }
}

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let files = TaskFiles::read(&args.files)?;
    let code = if files.are_sound() {
        Code::OK
    } else {
        Code::CONFIG
    };
    let now = SystemClock.wall();
    let mut due: Vec<(Option<Timestamp>, &crate::file::TaskEntry)> = files
        .tasks
        .iter()
        .map(|task| {
            let next = task.schedule.next_after(now.to_jiff()).map(Timestamp::from);
            (next.filter(|_| task.enabled), task)
        })
        .collect();
    due.sort_by_key(|(next, task)| (next.is_none(), *next, task.name.clone()));
    if args.json {
        let mut value = problems_json(&files);
        let next: Vec<_> = due
            .iter()
            .map(|(next, task)| {
                json!({
                    "task": task.name.as_str(),
                    "enabled": task.enabled,
                    "next": next.map(|next| next.to_string()),
                })
            })
            .collect();
        if let (Some(fields), true) = (value.as_object_mut(), files.are_sound()) {
            fields.insert("next".to_owned(), next.into());
        }
        print_json(&[value])?;
        return Ok(code);
    }
    tell_problems(&files);
    if !files.are_sound() {
        let count = files.problems.count(crate::file::Severity::Error);
        let noun = if count == 1 { "error" } else { "errors" };
        return Err(Failure::new(code, format!("{count} {noun}")));
    }
    let noun = if files.tasks.len() == 1 {
        "task"
    } else {
        "tasks"
    };
    print(&format!("ok: {} {noun}\n", files.tasks.len()))?;
    tell_absent(&files);
    let rows: Vec<_> = due
        .iter()
        .map(|(next, task)| {
            let (tick, wait) = match next {
                Some(next) => (next.to_string(), format!("in {}", about(next.since(now)))),
                None if task.enabled => (without_ticks(&task.schedule, "never"), String::new()),
                None => ("disabled".to_owned(), String::new()),
            };
            vec![
                task.name.to_string(),
                tick,
                wait,
                task.schedule.text().to_owned(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        print_table(&["task", "next", "", "schedule"], rows)?;
    }
    Ok(code)
}
