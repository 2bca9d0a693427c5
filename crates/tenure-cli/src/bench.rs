//! `tenure bench`: what a store costs, beside the least that a client of it could do.
//!
//! Chooses the store, shows how far the measurement is, and prints what came out. What is measured,
//! and how, is the matter of `tenure-bench`.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tenure_bench::{
    Bar, Finding, Findings, Helper, Report, Row, Settings, Stage, Trouble, Workload,
};
use tokio::runtime::Builder;

use crate::args::BenchArgs;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::lock::runtime;
use crate::notice::notice;
use crate::output::{print, print_json, print_table};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::store::{Chosen, code_of_store};

/// The command that helps from a second process.
pub(crate) const HELPER: &str = "__bench";

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    let chosen = Chosen::new(&args.store, None)?;
    be_first(measure(args, &chosen))
}

/// Leads what is done to a store, on as many threads as a small server has: what is compared shares
/// them in any case.
pub(crate) fn be_first(leading: impl Future<Output = Outcome>) -> Outcome {
    let runtime = runtime(Builder::new_multi_thread().worker_threads(2))?;
    let outcome = runtime.block_on(leading);
    runtime.shutdown_background();
    outcome
}

/// Serves a benchmark of another process, until that closes standard input.
pub(crate) fn serve() -> Outcome {
    be_second(tenure_bench::serve())
}

/// Is the second process of a command, on one thread.
pub(crate) fn be_second(serving: impl Future<Output = Result<(), Trouble>>) -> Outcome {
    let runtime = runtime(&mut Builder::new_current_thread())?;
    let served = runtime.block_on(serving);
    served
        .map(|()| Code::OK)
        .map_err(|error| Failure::new(Code::UNAVAILABLE, chain(&error)))
}

async fn measure(args: &BenchArgs, chosen: &Chosen) -> Outcome {
    let url = chosen.url()?;
    let settings = settings(args);
    let workloads = workloads(args);
    let mut signals = Signals::listen(&Signals::ENDING).map_err(|error| {
        Failure::new(Code::SYSTEM, format!("cannot listen for signals: {error}"))
    })?;
    let mut signal = None;
    let stop = async {
        signal = Some(signals.next().await);
    };
    let findings = findings_of(args, chosen);
    let outcome = {
        let all = workloads.len() + args.quorum.len();
        let bar = Progress::of(all, "connecting", args.json);
        // A run knows of its own workloads only.
        let after = |before: usize| {
            let bar = &bar;
            move |stage: Stage<'_>| {
                bar.done(before + stage.done);
                bar.doing(stage.doing);
            }
        };
        let mut stop = pin!(stop);
        let progress = after(0);
        let first = tenure_bench::run(url, &workloads, &settings, &progress, &findings, &mut stop);
        let mut outcome = first.await;
        for (at, url) in args.quorum.iter().enumerate() {
            let Ok(report) = &mut outcome else { break };
            let progress = after(workloads.len() + at);
            let more = tenure_bench::run(
                url,
                &[Workload::Quorum],
                &settings,
                &progress,
                &findings,
                &mut stop,
            );
            match more.await {
                Ok(more) => {
                    report.rows.extend(more.rows);
                    report.skipped.extend(more.skipped);
                }
                Err(trouble) => outcome = Err(trouble),
            }
        }
        outcome
    };
    let report = match (outcome, signal) {
        (Ok(report), _) => report,
        (Err(Trouble::Interrupted), Some(signal)) => return Ok(Code::of_signal(signal as i32)),
        (Err(trouble), _) => return Err(failure(chosen, &trouble)),
    };
    show(args, chosen, &report)?;
    let missed = report.missed();
    if args.check && missed > 0 {
        let bars = if missed == 1 {
            "1 bar was"
        } else {
            &format!("{missed} bars were")
        };
        notice(format_args!("{bars} missed"));
        return Ok(Code::CONFLICT);
    }
    Ok(Code::OK)
}

/// What is measured on the store itself; a quorum only if none is named beside it.
fn workloads(args: &BenchArgs) -> Vec<Workload> {
    let mut workloads = if args.workloads.is_empty() {
        Workload::ALL.to_vec()
    } else {
        args.workloads.clone()
    };
    if !args.quorum.is_empty() {
        workloads.retain(|workload| *workload != Workload::Quorum);
    }
    workloads
}

fn settings(args: &BenchArgs) -> Settings {
    let mut settings = if args.quick {
        Settings::quick()
    } else {
        Settings::full()
    };
    settings.rounds = args.rounds.unwrap_or(settings.rounds);
    settings.span = args.seconds.unwrap_or(settings.span);
    settings.helper = std::env::current_exe().ok().map(|program| Helper {
        program,
        argument: HELPER.into(),
    });
    settings
}

pub(crate) fn failure(chosen: &Chosen, trouble: &Trouble) -> Failure {
    match trouble {
        Trouble::Connect(error) => chosen.failure(error),
        Trouble::Store(error) => Failure::new(code_of_store(error), chain(trouble)),
        Trouble::Helper { .. } => Failure::new(Code::SYSTEM, chain(trouble)),
        Trouble::Unfit { .. } => Failure::new(Code::USAGE, chain(trouble)),
        Trouble::Output(_) => Failure::new(Code::CANNOT_CREATE, chain(trouble)),
        _ => Failure::new(Code::UNAVAILABLE, chain(trouble)),
    }
}

/// In JSON each finding is a line, as soon as it is known. If nobody reads any more, the rest is
/// measured for `--check` alone.
fn findings_of(args: &BenchArgs, chosen: &Chosen) -> Findings {
    if !args.json {
        return Findings::default();
    }
    let (shown, has_begun) = (chosen.shown().clone(), AtomicBool::new(false));
    Findings::to(move |finding| {
        let line = match finding {
            Finding::Begun(_) if has_begun.swap(true, Ordering::Relaxed) => return,
            Finding::Begun(server) => json!({"store": shown, "server": server}),
            Finding::Measured(row) => json_of(row),
            Finding::Skipped(one) => {
                json!({"workload": one.workload.as_str(), "skipped": one.why})
            }
            _ => return,
        };
        let _ = print_json(&[line]);
    })
}

fn show(args: &BenchArgs, chosen: &Chosen, report: &Report) -> Result<(), Failure> {
    if args.json {
        // Each was told when it came out.
        return Ok(());
    }
    print(&format!("{}: {}\n", chosen.shown(), report.store))?;
    let heading = [
        "workload", "case", "measured", "ours", "limit", "ratio", "bar", "",
    ];
    print_table(&heading, report.rows.iter().map(cells).collect())?;
    for one in &report.skipped {
        print(&format!(
            "skipped: {}: {}\n",
            one.workload.as_str(),
            one.why
        ))?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let bar = row.bar.map(|bar| match bar {
        Bar::RatioAtMost(most) => format!("≤ {most} ×"),
        Bar::RatioAtLeast(least) => format!("≥ {least} ×"),
        Bar::AtMost(most) => format!("≤ {}", row.unit.show(most)),
        Bar::Exactly(count) => format!("= {}", row.unit.show(count)),
    });
    let verdict = match row.is_met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let limit = row.limit.map(|limit| row.unit.show(limit.value));
    let ratio = row.ratio().map(|ratio| format!("{ratio:.2}"));
    vec![
        row.workload.as_str().to_owned(),
        row.case.clone(),
        row.measure.to_owned(),
        row.unit.show(row.ours),
        limit.unwrap_or_default(),
        ratio.unwrap_or_default(),
        bar.unwrap_or_default(),
        verdict.to_owned(),
    ]
}

fn json_of(row: &Row) -> Value {
    let bar = row.bar.map(|bar| match bar {
        Bar::RatioAtMost(most) => json!({"ratio_at_most": most}),
        Bar::RatioAtLeast(least) => json!({"ratio_at_least": least}),
        Bar::AtMost(most) => json!({"at_most": most}),
        Bar::Exactly(count) => json!({"exactly": count}),
    });
    json!({
        "workload": row.workload.as_str(),
        "case": row.case,
        "measure": row.measure,
        "unit": row.unit.as_str(),
        "ours": row.ours,
        "least": row.spread.map(|(least, _)| least),
        "most": row.spread.map(|(_, most)| most),
        "limit": row.limit.map(|limit| limit.value),
        "limit_is": row.limit.map(|limit| limit.what),
        "ratio": row.ratio(),
        "bar": bar,
        "met": row.is_met(),
    })
}
