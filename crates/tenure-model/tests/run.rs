//! One run: never executed more often than it may be, and each planted fault is found.

use tenure_model::check::{assert_finds, assert_holds};
use tenure_model::run::{Bug, DONE_IS_DONE, FEW_STARTS, ONE_AT_A_TIME, Runs};

/// `on_crash = "lost"`, as it is by default: a run is executed once or not at all.
fn lost(bug: Option<Bug>) -> Runs {
    Runs {
        window: 2,
        lease: 2,
        most_attempts: 1,
        asks: 2,
        begins_with_claim: true,
        crashes: 1,
        losses: 1,
        forgets: 0,
        bug,
    }
}

/// The same, where a claim is not yet the beginning.
fn claimed_first(bug: Option<Bug>) -> Runs {
    Runs {
        begins_with_claim: false,
        ..lost(bug)
    }
}

/// `on_crash = "retry"`, with one more attempt.
fn retried(bug: Option<Bug>) -> Runs {
    Runs {
        most_attempts: 2,
        ..lost(bug)
    }
}

#[test]
fn s1_s30_a_run_that_a_crash_loses_is_executed_at_most_once() {
    assert_holds(lost(None), 50_000);
}

#[test]
fn s30_a_claim_that_is_not_the_beginning_is_given_to_another_and_executed_once() {
    assert_holds(claimed_first(None), 100_000);
}

#[test]
fn s30_a_run_that_is_retried_has_one_command_at_a_time() {
    assert_holds(retried(None), 75_000);
}

/// What the README says of stores that can lose what they acknowledged. It is noticed, because the
/// sequence went back, and not prevented.
#[test]
fn known_a_store_that_forgets_a_claim_has_its_tick_run_again() {
    let model = Runs {
        forgets: 1,
        ..lost(None)
    };
    assert_finds(model, FEW_STARTS);
}

#[test]
fn planted_a_record_that_ends_inside_the_window_is_found() {
    assert_finds(lost(Some(Bug::RecordEndsTooSoon)), FEW_STARTS);
}

#[test]
fn planted_a_claim_that_overwrites_is_found() {
    assert_finds(lost(Some(Bug::ClaimOverwrites)), ONE_AT_A_TIME);
}

#[test]
fn planted_a_start_that_does_not_compare_is_found() {
    let model = claimed_first(Some(Bug::StartDoesNotCompare));
    assert_finds(model, FEW_STARTS);
}

#[test]
fn planted_an_end_that_does_not_compare_is_found() {
    assert_finds(retried(Some(Bug::FinishDoesNotCompare)), DONE_IS_DONE);
}

#[test]
fn planted_a_recovery_from_the_living_is_found() {
    assert_finds(retried(Some(Bug::RecoveryIsTooSoon)), ONE_AT_A_TIME);
}

/// How it was until the model found it: the runner looked only whether its lease was trusted now.
#[test]
fn planted_an_answer_that_is_older_than_the_lease_is_found() {
    assert_finds(retried(Some(Bug::OldAnswersAreBelieved)), ONE_AT_A_TIME);
}

#[test]
fn planted_a_lost_run_that_is_tried_again_is_found() {
    assert_finds(lost(Some(Bug::LostIsTriedAgain)), FEW_STARTS);
}
