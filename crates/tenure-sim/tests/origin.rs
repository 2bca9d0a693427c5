//! The flaw of the origin's protocol, found on purpose: a key that is kept for 100 ms and never
//! deleted lets two nodes run one tick as soon as their clocks differ by more.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::time::Duration;

use tenure_sim::{Fault, Plan, Protocol, Report, Rule, TaskPlan, simulate};

/// Three nodes of which one's clock is ahead, for two minutes, with a task every ten seconds.
fn skewed_by(ahead_ms: i64, protocol: Protocol) -> Report {
    let task = TaskPlan::new("invoices", "@every 10s");
    let mut plan = Plan::calm(1, 3, vec![task], Duration::from_secs(120))
        .with(Duration::from_secs(1), Fault::Skew(1, ahead_ms));
    plan.protocol = protocol;
    simulate(&plan).unwrap()
}

#[test]
fn the_origins_key_of_100_ms_lets_nodes_that_are_skewed_by_more_run_a_tick_twice() {
    let origin = Protocol::KeyWithTtl(Duration::from_millis(100));
    let report = skewed_by(150, origin);
    assert!(report.breaks(Rule::AttemptRunsOnce), "{report}");
    let twice = report.violations.iter();
    let twice = twice
        .filter(|found| found.rule == Rule::AttemptRunsOnce)
        .count();
    // Every tick, not one by bad luck.
    assert!(twice >= 10, "{report}");
    assert!(
        skewed_by(50, origin).is_good(),
        "a skew the key outlasts does no harm"
    );
}

#[test]
fn s31_the_shipped_protocol_runs_each_tick_once_whatever_the_skew() {
    for ahead_ms in [150, -5_000, 3_600_000] {
        let report = skewed_by(ahead_ms, Protocol::Tenure);
        assert!(report.is_good(), "{report}");
        assert!(report.counts.executions >= 12, "{report}");
    }
}
