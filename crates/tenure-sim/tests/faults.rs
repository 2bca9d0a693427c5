//! Thousands of drawn schedules of faults, in four parts that run beside each other.
//!
//! `TENURE_SEED=123` repeats one, `TENURE_DEPLOY_SEED=123` one with a deploy in its middle.
//! `TENURE_SIM_SCHEDULES=1000000` makes a long night of it, which `cargo xtask nightly` does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::panic::catch_unwind;
use std::time::Duration;

use tenure_core::{Clock as _, SystemClock};
use tenure_sim::{Plan, Report, simulate};

/// How many schedules all parts make together, if nobody says otherwise.
const SCHEDULES: u64 = 10_000;

/// How many schedules with a rolling deploy in the middle, if nobody says otherwise.
const DEPLOYS: u64 = 1_000;

/// How many failures a part shows before it gives up.
const MOST_FAILURES: usize = 10;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}=`{text}` is not a number below 2^64")))
}

/// One quarter of the schedules, from seeds that no other part has.
fn quarter(part: u64) {
    part_of("TENURE_SEED", Plan::random, SCHEDULES, part);
}

/// One quarter of the schedules with a deploy.
fn deploys(part: u64) {
    part_of("TENURE_DEPLOY_SEED", Plan::random_deploy, DEPLOYS, part);
}

fn part_of(variable: &str, draw: fn(u64) -> Plan, usual: u64, part: u64) {
    let check = |seed| check(variable, draw, seed);
    if let Some(seed) = number(variable) {
        if part == 0 {
            check(seed).unwrap_or_else(|failure| panic!("{failure}"));
        }
        return;
    }
    let of_ten_thousand = number("TENURE_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let schedules = of_ten_thousand * usual / SCHEDULES / 4;
    // The same seeds every time unless asked otherwise, so that a failure is nobody's bad luck.
    let first = number("TENURE_SIM_FIRST_SEED").unwrap_or(0) + part * schedules;
    let begun = SystemClock.now();
    let (mut node_time, mut executions) = (Duration::ZERO, 0);
    let mut failures = Vec::new();
    for seed in first..first + schedules {
        match check(seed) {
            Ok(report) => {
                node_time += report.node_time;
                executions += report.counts.executions;
            }
            Err(failure) => failures.push(failure),
        }
        if failures.len() >= MOST_FAILURES {
            break;
        }
    }
    let took = SystemClock.now().since(begun);
    let node_hours = node_time.as_secs_f64() / 3600.0;
    eprintln!(
        "{schedules} schedules of faults, {executions} executions, {node_hours:.0} node-hours in \
         {took:.1?}: {:.0} node-hours a minute on this thread",
        node_hours / took.as_secs_f64() * 60.0
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(variable: &str, draw: fn(u64) -> Plan, seed: u64) -> Result<Report, String> {
    let plan = draw(seed);
    let report = catch_unwind(|| simulate(&plan).unwrap());
    let report = report.unwrap_or_else(|_| panic!("{variable}={seed} panics\n{plan}"));
    if report.is_good() {
        Ok(report)
    } else {
        Err(format!("{variable}={seed}\n{plan}{report}"))
    }
}

#[test]
fn s31_every_promise_holds_under_drawn_faults_1_of_4() {
    quarter(0);
}

#[test]
fn s31_every_promise_holds_under_drawn_faults_2_of_4() {
    quarter(1);
}

#[test]
fn s31_every_promise_holds_under_drawn_faults_3_of_4() {
    quarter(2);
}

#[test]
fn s31_every_promise_holds_under_drawn_faults_4_of_4() {
    quarter(3);
}

#[test]
fn s53_s54_s38_every_promise_holds_in_drawn_deploys_1_of_4() {
    deploys(0);
}

#[test]
fn s53_s54_s38_every_promise_holds_in_drawn_deploys_2_of_4() {
    deploys(1);
}

#[test]
fn s53_s54_s38_every_promise_holds_in_drawn_deploys_3_of_4() {
    deploys(2);
}

#[test]
fn s53_s54_s38_every_promise_holds_in_drawn_deploys_4_of_4() {
    deploys(3);
}

#[test]
fn s31_every_seed_gives_the_same_history_again() {
    let differing: Vec<u64> = (0..100)
        .filter(|seed| {
            let plan = Plan::random(*seed);
            let [first, second] = [0, 1].map(|_| {
                let report = simulate(&plan).unwrap();
                let records = report.records.into_iter().map(|run| {
                    (
                        run.key,
                        run.state,
                        run.attempt,
                        run.node,
                        run.claimed_at,
                        run.ended_at,
                    )
                });
                (records.collect::<Vec<_>>(), report.counts, report.node_time)
            });
            first != second
        })
        .collect();
    assert!(differing.is_empty(), "these differ: {differing:?}");
}
