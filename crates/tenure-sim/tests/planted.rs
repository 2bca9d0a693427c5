//! The checkers are checked: each fault planted in the store is found, by the rule it breaks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

mod tampered;

use std::collections::BTreeSet;
use std::time::Duration;

use tampered::{Tampered, Tampering};
use tenure_core::{OnCrash, Overlap, RunState};
use tenure_sim::{Fault, Plan, Report, Rule, TaskPlan, simulate, simulate_with};
use tenure_tasks::CatchUp;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Three nodes, a quick task and a slow one; one node dies in the middle and comes back.
fn plan() -> Plan {
    let mut quick = TaskPlan::new("quick", "@every 5s");
    quick.catch_up = CatchUp::All;
    let mut slow = TaskPlan::new("slow", "@every 7s");
    slow.takes = (secs(4), secs(9));
    let mut again = TaskPlan::new("again", "@every 9s");
    again.takes = (secs(3), secs(6));
    again.on_crash = OnCrash::Retry { max_attempts: 3 };
    again.overlap = Overlap::Allow;
    let mut plan = Plan::calm(1, 3, vec![quick, slow, again], secs(60));
    for (at, node) in [(15, 0), (31, 1), (46, 2)] {
        plan = plan.with(secs(at), Fault::Kill(node));
        plan = plan.with(secs(at + 9), Fault::Restart(node));
    }
    plan
}

fn with(tampering: Tampering) -> Report {
    simulate_with(&plan(), |store| Tampered::over(store, tampering)).unwrap()
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    let report = simulate(&plan()).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(report.counts.executions > 30, "{report}");
    assert!(report.counts.lost > 0, "nobody died at work: {report}");
}

#[test]
fn each_planted_fault_is_found_by_the_rule_it_breaks() {
    let mut missed = Vec::new();
    for (tampering, rule) in [
        (Tampering::ForgetsClaims, Rule::AttemptRunsOnce),
        (Tampering::AcceptsTwice, Rule::AttemptRunsOnce),
        (Tampering::AcceptsTwice, Rule::FencesGrow),
        (Tampering::RepeatsFences, Rule::FencesGrow),
        (Tampering::AllowsOverlap, Rule::NoOverlap),
        (Tampering::IgnoresLimits, Rule::WithinLimit),
        (Tampering::NeverRecovers, Rule::LostIsTold),
        (Tampering::NeverRecovers, Rule::EveryRunEnds),
        (Tampering::RecoversInSilence, Rule::LostIsTold),
        (Tampering::TellsTwice, Rule::LostOnce),
        (Tampering::EndsLeasesEarly, Rule::LivingNodesKeepRuns),
        (Tampering::NeverEndsLeases, Rule::EveryRunEnds),
        (Tampering::ForgetsMissed, Rule::EveryTickOnRecord),
        (Tampering::ForgetsEnds, Rule::EveryRunEnds),
        (Tampering::RetriesWhatMustNotBe, Rule::RunsOnce),
        (Tampering::RefusesAfterAWhile, Rule::Recovers),
        (Tampering::ClaimsEarly, Rule::NotEarly),
    ] {
        let mut plan = plan();
        if tampering == Tampering::IgnoresLimits {
            let mut limited = TaskPlan::new("limited", "@every 3s");
            limited.takes = (secs(5), secs(8));
            limited.overlap = Overlap::Allow;
            limited.max_running = Some(2);
            plan.tasks.push(limited);
        }
        if tampering == Tampering::ForgetsMissed {
            // Nobody is there for longer than the window.
            for node in 0..3 {
                plan = plan.with(secs(10), Fault::Kill(node));
            }
            for task in &mut plan.tasks {
                task.window = Some(secs(5));
            }
            plan.faults.retain(|(at, _)| *at <= secs(10));
        }
        let report = simulate_with(&plan, |store| Tampered::over(store, tampering)).unwrap();
        if !report.breaks(rule) {
            let found: BTreeSet<_> = report.violations.iter().map(|found| found.rule).collect();
            missed.push(format!(
                "{tampering:?} is not found as {rule:?}, but as {found:?}"
            ));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_report_names_the_run_and_the_nodes() {
    let report = with(Tampering::AcceptsTwice);
    let text = report.to_string();
    assert!(
        text.contains("quick@") && text.contains(" and on n"),
        "{text}"
    );
}

/// A rolling deploy, node by node: one task is renamed, one changes its schedule, and the first
/// node is rolled back in the end.
fn deploy() -> Plan {
    let renamed = TaskPlan::new("before", "@every 2s");
    let moved = TaskPlan::new("moved", "@every 3s");
    let mut after = TaskPlan::new("after", "@every 2s");
    after.aliases = vec!["before".to_owned()];
    after.catch_up = CatchUp::All;
    let sooner = TaskPlan::new("moved", "@every 5s");
    let mut plan = Plan::calm(5, 3, vec![renamed, moved], secs(60));
    plan.later = vec![vec![after, sooner]];
    for (at, node, release) in [(9, 0, 1), (20, 1, 1), (31, 2, 1), (43, 0, 0)] {
        plan = plan.with(secs(at), Fault::Deploy(node, release));
    }
    plan
}

#[test]
fn s53_s54_a_rolling_deploy_fires_each_tick_under_one_name_and_the_newest_definition_only() {
    let report = simulate(&deploy()).unwrap();
    assert!(report.is_good(), "{report}");
    let ran = |name: &str| {
        let of_task = report.records.iter();
        of_task
            .filter(|run| run.key.task.as_str() == name && run.state == RunState::Succeeded)
            .count()
    };
    for (name, least) in [("before", 3), ("after", 20), ("moved", 10)] {
        assert!(
            ran(name) >= least,
            "{name} ran {} times: {report}",
            ran(name)
        );
    }
    for (tampering, rule) in [
        (Tampering::ForgetsNames, Rule::OneNameATick),
        (Tampering::FiresAll, Rule::OnlyTheNewestFires),
    ] {
        let report = simulate_with(&deploy(), |store| Tampered::over(store, tampering)).unwrap();
        let found: BTreeSet<_> = report.violations.iter().map(|found| found.rule).collect();
        assert!(
            report.breaks(rule),
            "{tampering:?} is found as {found:?}: {report}"
        );
    }
}

/// A plan in which every tick finds an earlier run in hand, while nodes die and sleep.
fn crowded(overlap: Overlap) -> Plan {
    let mut task = TaskPlan::new("crowded", "@every 4s");
    task.takes = (secs(6), secs(9));
    task.overlap = overlap;
    task.max_running = Some(2);
    task.concurrency = 2;
    task.window = Some(secs(20));
    let mut plan = Plan::calm(7, 3, vec![task], secs(60));
    for (at, node) in [(13, 0), (27, 1)] {
        plan = plan.with(secs(at), Fault::Kill(node));
        plan = plan.with(secs(at + 8), Fault::Restart(node));
    }
    plan = plan.with(secs(40), Fault::Freeze(2));
    plan.with(secs(52), Fault::Thaw(2))
}

#[test]
fn s38_s39_each_overlap_rule_and_a_limit_hold_while_nodes_die_and_sleep() {
    for (overlap, state) in [
        (Overlap::Skip, RunState::Skipped),
        (Overlap::QueueOne, RunState::Skipped),
        (Overlap::QueueAll { max: 2 }, RunState::Skipped),
        (Overlap::CancelOther, RunState::Cancelled),
    ] {
        let report = simulate(&crowded(overlap)).unwrap();
        assert!(report.is_good(), "{overlap:?}: {report}");
        assert!(report.counts.executions > 8, "{overlap:?}: {report}");
        let of_state = report.records.iter().filter(|run| run.state == state);
        assert!(
            of_state.count() > 3,
            "{overlap:?} was not put to work: {report}"
        );
    }
}
