//! `tenure verify`: puts a store to the test, or judges what was written down in an earlier one.
//!
//! Chooses the store, shows how far it is, and prints what was seen. What is done, and what is
//! judged, is the matter of `tenure-verify`.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::pin::pin;

use serde_json::{Value, json};
use tenure_bench::Trouble;
use tenure_verify::{Head, History, Rule, Settings, Stage, Verdict};

use crate::args::VerifyArgs;
use crate::bench;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::notice::notice;
use crate::output::{print, print_json, print_table};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::store::Chosen;
use crate::text::counted;

/// The command that is a client.
pub(crate) const CLIENT: &str = "__verify";

pub(crate) fn run(args: &VerifyArgs) -> Outcome {
    if let Some(path) = &args.history {
        return recheck(args, path);
    }
    let chosen = Chosen::new(&args.store, None)?;
    bench::be_first(put_to_the_test(args, &chosen))
}

/// Is a client of another process, until that says that it is enough.
pub(crate) fn serve() -> Outcome {
    bench::be_second(tenure_verify::serve())
}

/// Judges a history that was written down.
fn recheck(args: &VerifyArgs, path: &Path) -> Outcome {
    let file = File::open(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Code::NO_INPUT, message).help("name a file that `--record` has written")
    })?;
    let read = tenure_verify::recheck(BufReader::new(file));
    let (head, verdict) = read.map_err(|error| {
        let message = format!("{}: {}", path.display(), chain(&error));
        Failure::new(Code::DATA, message).help("name a file that `--record` has written")
    })?;
    show(args, &path.display().to_string(), &head, &verdict)
}

async fn put_to_the_test(args: &VerifyArgs, chosen: &Chosen) -> Outcome {
    let url = chosen.url()?;
    let mut signals = Signals::listen(&Signals::ENDING).map_err(|error| {
        Failure::new(Code::SYSTEM, format!("cannot listen for signals: {error}"))
    })?;
    let mut signal = None;
    let stop = async {
        signal = Some(signals.next().await);
    };
    let settings = settings(args)?;
    let history = args.record.as_deref().map(create).transpose()?;
    let outcome = {
        let bar = Progress::share("connecting", args.json);
        let progress = |stage: Stage<'_>| {
            let Some(seen) = stage.seen else {
                bar.doing(stage.doing);
                return;
            };
            bar.done_of(stage.elapsed, settings.span);
            let faults: u64 = seen.faults.values().sum();
            bar.doing(&format!(
                "{}: {faults} faults, {} grants, {} starts, {} violations",
                stage.doing,
                seen.grants,
                seen.starts,
                seen.violations()
            ));
        };
        tenure_verify::run(url, &settings, history, &progress, pin!(stop)).await
    };
    match (outcome, signal) {
        (Ok((head, verdict)), _) => show(args, &chosen.shown(), &head, &verdict),
        (Err(Trouble::Interrupted), Some(signal)) => Ok(Code::of_signal(signal as i32)),
        (Err(trouble), _) => {
            if let Some(path) = &args.record {
                remove_if_empty(path);
            }
            Err(bench::failure(chosen, &trouble))
        }
    }
}

/// What was made for a run that never began would stand in the way of the next one.
fn remove_if_empty(path: &Path) {
    if path.metadata().is_ok_and(|file| file.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
}

fn settings(args: &VerifyArgs) -> Result<Settings, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(
            Code::SYSTEM,
            format!("cannot find this program to start clients: {error}"),
        )
    })?;
    let mut settings = Settings::new(program, CLIENT);
    settings.clients = args.clients;
    settings.span = args.minutes;
    settings.ttl = args.ttl;
    settings.seed = args.seed.unwrap_or(settings.seed);
    Ok(settings)
}

fn create(path: &Path) -> Result<History, Failure> {
    let created = File::options().write(true).create_new(true).open(path);
    let file = created.map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Code::CANNOT_CREATE, message)
            .help("name a file that does not exist, in a folder that you may write to")
    })?;
    Ok(Box::new(BufWriter::new(file)))
}

fn show(args: &VerifyArgs, what: &str, head: &Head, verdict: &Verdict) -> Outcome {
    if args.json {
        print_json(&[json_of(what, head, verdict)])?;
    } else {
        print_verdict(what, head, verdict)?;
    }
    let violations = verdict.violations();
    for finding in verdict.findings.values() {
        for told in &finding.told {
            notice(format_args!("{told}"));
        }
    }
    if violations > 0 {
        notice(format_args!(
            "{} of what must never be seen",
            counted(violations, "violation")
        ));
        return Ok(Code::CONFLICT);
    }
    if !verdict.controls_saw_something() {
        notice(format_args!(
            "no fault hurt in this run, so it says little; let it run longer (--minutes)"
        ));
    }
    Ok(Code::OK)
}

fn print_verdict(what: &str, head: &Head, verdict: &Verdict) -> Result<(), Failure> {
    print(&format!(
        "{what}: {}, {} for {} s, leases of {} s, {}, seed {}\n",
        head.store,
        counted(head.clients as u64, "client"),
        seconds(head.span_ms),
        seconds(head.ttl_ms),
        counted(head.locks as u64, "lock"),
        head.seed,
    ))?;
    let rows = Rule::ALL.into_iter().map(|rule| {
        let id = rule.number().to_owned();
        let Some(finding) = verdict.findings.get(&rule) else {
            let none = "not promised here".to_owned();
            return vec![
                id,
                rule.as_str().to_owned(),
                none,
                String::new(),
                String::new(),
            ];
        };
        let bound = finding
            .bound()
            .map(|bound| format!("{:.3} %", bound * 100.0));
        vec![
            id,
            rule.as_str().to_owned(),
            format!("{} {}", finding.tried, rule.of()),
            finding.violations.to_string(),
            bound.unwrap_or_default(),
        ]
    });
    let heading = [
        "rule",
        "what must never be seen",
        "tried",
        "seen",
        "rarer than, with 95 %",
    ];
    print_table(&heading, rows.collect())?;
    print(&format!("{}\n", figures(head, verdict).join("\n")))
}

/// The lines below the table.
fn figures(head: &Head, verdict: &Verdict) -> Vec<String> {
    let faults = verdict
        .faults
        .iter()
        .map(|(fault, count)| (fault.as_str(), count));
    let states = verdict
        .states
        .iter()
        .map(|(state, count)| (state.as_str(), count));
    let mut lines = vec![
        format!("faults: {}", listed(faults)),
        format!(
            "locks: {} grants, {} of them contended; {} wishes with unknown end, {} guards lost, \
             longest time that nobody was granted a lock that somebody wanted: {} ms",
            verdict.grants,
            verdict.contended,
            verdict.unknown,
            verdict.losses,
            verdict.longest_wait / 1_000_000,
        ),
    ];
    if head.is_fenced {
        lines.push(format!(
            "fences: {} stale writes refused by the resource",
            verdict.refused_writes
        ));
    }
    if !head.tasks.is_empty() {
        lines.push(format!(
            "runs: {} starts; records: {}",
            verdict.starts,
            listed(states)
        ));
    }
    lines.push(format!(
        "control: without deadlines {} pairs of holders at once, without fences {} stale writes",
        verdict.overlaps_without_deadlines, verdict.stale_writes_without_fences
    ));
    if let Err(why) = &head.network {
        lines.push(format!("not done: cutting connections; {why}"));
    }
    lines
}

fn json_of(what: &str, head: &Head, verdict: &Verdict) -> Value {
    let rules: Vec<Value> = Rule::ALL
        .into_iter()
        .map(|rule| {
            let finding = verdict.findings.get(&rule);
            json!({
                "rule": rule.number(),
                "what": rule.as_str(),
                "tried": finding.map(|it| it.tried),
                "of": rule.of(),
                "violations": finding.map(|it| it.violations),
                "bound": finding.and_then(tenure_verify::Finding::bound),
                "told": finding.map(|it| &it.told),
            })
        })
        .collect();
    let faults: serde_json::Map<String, Value> = verdict
        .faults
        .iter()
        .map(|(fault, count)| (fault.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "what": what,
        "run": head,
        "violations": verdict.violations(),
        "rules": rules,
        "faults": faults,
        "records": verdict.records,
        "grants": verdict.grants,
        "contended": verdict.contended,
        "unknown": verdict.unknown,
        "losses": verdict.losses,
        "refused_writes": verdict.refused_writes,
        "longest_wait_ms": verdict.longest_wait / 1_000_000,
        "starts": verdict.starts,
        "states": verdict.states,
        "control": {
            "overlaps_without_deadlines": verdict.overlaps_without_deadlines,
            "stale_writes_without_fences": verdict.stale_writes_without_fences,
        },
    })
}

fn listed<'a>(counts: impl Iterator<Item = (&'a str, &'a u64)>) -> String {
    let parts: Vec<String> = counts
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() {
        return "none".to_owned();
    }
    parts.join(", ")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a span of a run, in milliseconds"
)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
