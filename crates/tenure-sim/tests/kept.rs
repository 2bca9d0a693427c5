//! Schedules of faults that once broke a promise, each with what was wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::time::Duration;

use tenure_core::OnCrash;
use tenure_sim::{Cut, Fault, Plan, TaskPlan, simulate};
use tenure_tasks::CatchUp;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn task(name: &str, every_s: u64, takes_ms: (u64, u64)) -> TaskPlan {
    let mut task = TaskPlan::new(name, format!("@every {every_s}s"));
    task.takes = (ms(takes_ms.0), ms(takes_ms.1));
    task
}

fn assert_good(plan: &Plan) {
    let report = simulate(plan).unwrap();
    assert!(report.is_good(), "{plan}{report}");
}

/// The head of a chain was queued again by a look that was meant for the head before it; the store
/// answered the same token with the same run, and the node executed it a second time.
#[test]
fn s31_late_ticks_that_wait_for_a_dead_nodes_run_are_executed_once() {
    for seed in 0..40 {
        let mut late = task("late", 4, (797, 8_808));
        late.catch_up = CatchUp::All;
        late.concurrency = 2;
        late.on_crash = OnCrash::Retry { max_attempts: 3 };
        let plan = Plan::calm(seed, 1, vec![late], ms(34_000))
            .with(ms(14_812), Fault::Kill(0))
            .with(ms(28_762 - seed * 300), Fault::Restart(0))
            .with(ms(29_681), Fault::Restart(0));
        assert_good(&plan);
    }
}

/// A tick that came due while late ones were being run one after another was recorded before them;
/// when the node died then, whoever came next took the late ones for dealt with.
#[test]
fn s24_late_ticks_whose_node_died_while_a_later_one_was_on_record_are_not_forgotten() {
    let mut late = task("late", 5, (2_249, 3_584));
    late.catch_up = CatchUp::All;
    late.concurrency = 3;
    late.window = Some(ms(16_000));
    late.on_crash = OnCrash::Retry { max_attempts: 4 };
    let plan = Plan::calm(2, 1, vec![late], ms(30_000))
        .with(ms(7_826), Fault::Kill(0))
        .with(ms(11_528), Fault::Restart(0))
        .with(ms(15_855), Fault::Restart(0));
    assert_good(&plan);
}

/// A request for waiting runs arrived a second time after its runs had ended, and took others that
/// nobody knew of then: they stood as running for ever.
#[test]
fn s30_requests_that_arrive_twice_take_nothing_that_nobody_knows_of() {
    for seed in 0..20 {
        let mut again = task("again", 3, (100, 900));
        again.fails_percent = 60;
        again.attempts = 4;
        let mut plan = Plan::calm(seed, 2, vec![again], ms(40_000));
        for at in 3..38 {
            plan = plan.with(ms(at * 1_000), Fault::Duplicate(0, 3));
        }
        assert_good(&plan);
    }
}

/// A store that restarted without its last writes took a node for one that just came. Nobody told
/// the node, so it never registered again.
#[test]
fn s43_a_node_that_the_store_forgot_registers_again() {
    let mut again = task("again", 3, (855, 1_069));
    again.fails_percent = 60;
    again.attempts = 3;
    for seed in 0..20 {
        let plan = Plan::calm(seed, 1, vec![again.clone()], ms(35_000))
            .with(ms(29_330), Fault::Remember)
            .with(ms(29_691), Fault::Restart(0))
            .with(ms(30_245), Fault::Forget);
        assert_good(&plan);
    }
}

/// A tick that came while late ones waited in a chain was refused, which dropped the chain. What
/// was planned anew was only what came after the chain.
#[test]
fn s24_a_chain_that_a_refusal_drops_is_planned_anew_from_its_beginning() {
    let mut late = task("late", 5, (13_000, 13_282));
    late.catch_up = CatchUp::All;
    late.window = Some(ms(17_000));
    for seed in 0..20 {
        let plan = Plan::calm(seed, 1, vec![late.clone()], ms(25_000))
            .with(ms(6_786), Fault::Kill(0))
            .with(ms(9_088), Fault::Remember)
            .with(ms(11_527), Fault::Restart(0))
            .with(ms(11_640), Fault::Forget);
        assert_good(&plan);
    }
}

/// A node registered, the store forgot it, and another claim had taken its place in the sequence.
#[test]
fn s50_a_node_whose_last_calls_are_forgotten_begins_again_whoever_called_since() {
    let mut again = task("again", 3, (205, 948));
    again.fails_percent = 60;
    again.attempts = 3;
    again.window = Some(ms(7_000));
    for seed in 0..20 {
        let plan = Plan::calm(seed, 1, vec![again.clone()], ms(34_000))
            .with(ms(12_000), Fault::Cut(0, Cut::Swallows))
            .with(ms(19_900), Fault::Heal(0))
            .with(ms(20_000 + seed * 20), Fault::Remember)
            .with(ms(20_697 + seed * 20), Fault::Forget);
        assert_good(&plan);
    }
}

/// Only the end of a run was forgotten: no claim was, so nobody noticed, and it ran for ever.
#[test]
fn s50_an_end_that_the_store_forgot_is_put_back() {
    for seed in 0..20 {
        let plan = Plan::calm(seed, 2, vec![task("t", 10, (1_500, 1_500))], ms(24_000))
            .with(ms(10_300 + seed * 20), Fault::Remember)
            .with(ms(13_000 + seed * 100), Fault::Forget);
        assert_good(&plan);
    }
}

/// The farewell was said twice, the second time without a limit on how long the store may take.
#[test]
fn s35_a_drain_ends_in_time_although_the_store_does_not_answer() {
    let plan = Plan::calm(1, 1, vec![task("t", 7, (200, 600))], ms(22_000))
        .with(ms(4_140), Fault::Cut(0, Cut::Swallows))
        .with(ms(10_693), Fault::Drain(0, ms(4_866)));
    assert_good(&plan);
}

/// The first tick that a task ever had came due while all nodes but one were cut off. That one left
/// it to its owner for a while, stood still and was restarted; the tick after it was on record by
/// then. Everybody took that for the beginning of the records, and the first tick for dealt with.
#[test]
fn s24_the_first_tick_of_a_task_is_not_forgotten_because_the_second_is_on_record() {
    let mut first = task("t1", 5, (375, 385));
    first.catch_up = CatchUp::All;
    first.window = Some(ms(25_000));
    first.fails_percent = 40;
    first.attempts = 2;
    for seed in 0..40 {
        let mut plan = Plan::calm(seed, 4, vec![first.clone()], ms(14_000));
        plan.delay_ms = (1, 80);
        for node in 0..4 {
            plan = plan.with(ms(2_750), Fault::Cut(node, Cut::Refuses));
            plan = plan.with(ms(11_796), Fault::Heal(node));
        }
        let plan = plan
            .with(ms(3_266), Fault::Kill(3))
            .with(ms(6_919), Fault::Restart(3))
            .with(ms(11_047), Fault::Freeze(3))
            .with(ms(14_380), Fault::Restart(3))
            .with(ms(15_597), Fault::Thaw(3));
        assert_good(&plan);
    }
}

/// A beat ended a lapse and its answer was lost. The next one said nothing of it, so the node never
/// registered again, and nobody took what waited for another attempt.
#[test]
fn s43_a_node_whose_lapse_nobody_told_it_of_registers_again() {
    let mut again = task("again", 12, (450, 479));
    again.fails_percent = 60;
    again.attempts = 3;
    for seed in 0..20 {
        let plan = Plan::calm(seed, 1, vec![again.clone()], ms(27_000))
            .with(ms(12_348 + seed * 100), Fault::Cut(0, Cut::Swallows))
            .with(ms(21_000), Fault::Heal(0))
            .with(ms(21_000), Fault::LoseAnswers(0, 3));
        assert_good(&plan);
    }
}

/// A node that took over a renamed task remembered what ran under the old name as if it stood under
/// the new one. When the store forgot something, it put that back, and the tick ran again.
#[test]
fn s54_what_ran_under_an_old_name_is_not_put_back_under_the_new_one() {
    assert_good(&Plan::random_deploy(133));
}

/// A claim was refused because another definition was current. A copy of it arrived when that was
/// over, and won; its node knew nothing of it, and the run stood as running for ever.
#[test]
fn s30_a_copy_of_a_refused_claim_wins_nothing_that_nobody_knows_of() {
    for seed in [26, 4_026] {
        assert_good(&Plan::random_deploy(seed));
    }
    let renewed = |every_s| vec![task("t", every_s, (200, 600))];
    for seed in 0..20 {
        let mut plan = Plan::calm(seed, 1, renewed(8), ms(35_000))
            .with(ms(10_613), Fault::Deploy(0, 1))
            .with(ms(12_374), Fault::Deploy(0, 0))
            .with(ms(15_000 + seed * 200), Fault::Duplicate(0, 4));
        plan.later = vec![renewed(10)];
        plan.delay_ms = (1, 80);
        assert_good(&plan);
    }
}

/// A tick was skipped while an earlier one stood in a chain of the nodes with the old release. When
/// they were gone, those with the new one took the earlier one for dealt with.
#[test]
fn s54_a_tick_that_old_nodes_had_planned_is_not_forgotten_by_those_that_replace_them() {
    assert_good(&Plan::random_deploy(693));
}

/// The node with the new definition dies just before it would have claimed the tick that the store
/// refused the old node as stale.
#[test]
fn s53_a_tick_refused_as_stale_is_on_record_although_the_newest_node_dies() {
    for catch_up in [CatchUp::Latest, CatchUp::All, CatchUp::Skip] {
        for seed in 0..20 {
            let mut old = task("t", 5, (100, 400));
            old.catch_up = catch_up;
            let mut new = old.clone();
            new.generation = Some(2);
            let mut renamed = new.clone();
            (renamed.name, renamed.aliases) = ("u".to_owned(), vec!["t".to_owned()]);
            for next in [new, renamed] {
                let mut plan = Plan::calm(seed, 2, vec![old.clone()], ms(30_000))
                    .with(ms(7_000), Fault::Deploy(1, 1))
                    // It is still counted as alive at the ticks that follow.
                    .with(ms(14_000 + seed * 60), Fault::Kill(1));
                plan.later = vec![vec![next]];
                assert_good(&plan);
            }
        }
    }
}

/// An old node waited for its definition to be current again. A look that found nothing to claim
/// moved past a tick that its rule left out, and the next look forgot that one for its own.
#[test]
fn s53_a_tick_that_was_left_out_while_stale_is_on_record_after_further_looks() {
    assert_good(&Plan::random_deploy(7_020));
}

/// A tick waited in a chain behind one that waited in the store, and its window closed. It was
/// recorded as missed only when its turn came, half a minute later.
#[test]
fn s24_a_tick_whose_window_closes_while_it_waits_in_a_chain_is_recorded_then() {
    assert_good(&Plan::random_deploy(3_601));
}

/// A node that started while the store could not be heard waited for the first answer of all
/// without a limit, and registered long after the store was back.
#[test]
fn s53_a_node_that_starts_while_the_store_is_silent_registers_soon_after() {
    assert_good(&Plan::random_deploy(5_500));
}
