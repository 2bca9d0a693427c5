//! Fail-over and restarts: what plain mode does not promise, what strict mode does, and that each
//! planted fault is found.

use tenure_model::check::{assert_finds, assert_holds, assert_holds_but};
use tenure_model::failover::node::Terms;
use tenure_model::failover::{Bug, FENCES_GROW, FailOver, ONE_HOLDER, Safety};

/// Two clients, and one fail-over.
fn one_promotion(safety: Safety, bug: Option<Bug>) -> FailOver {
    FailOver {
        terms: Terms {
            ttl: 2,
            safety,
            bug,
        },
        clients: 2,
        rounds: 1,
        promotions: 1,
        losses: 0,
        has_hand_off: true,
        is_fresh: false,
        may_go_back: false,
    }
}

/// Leases of a single tick that only lapse, so that the search has time for two faults.
fn briefly(safety: Safety, bug: Option<Bug>) -> FailOver {
    let model = one_promotion(safety, bug);
    FailOver {
        terms: Terms {
            ttl: 1,
            ..model.terms
        },
        has_hand_off: false,
        ..model
    }
}

/// One fail-over, and one server that loses its data at any time before or after.
fn and_a_loss(safety: Safety, bug: Option<Bug>) -> FailOver {
    FailOver {
        losses: 1,
        ..briefly(safety, bug)
    }
}

/// Two fail-overs, perhaps there and back.
fn two_promotions(bug: Option<Bug>) -> FailOver {
    FailOver {
        promotions: 2,
        ..briefly(Safety::Strict, bug)
    }
}

#[test]
fn c1_without_faults_plain_mode_has_one_holder() {
    let model = FailOver {
        promotions: 0,
        ..one_promotion(Safety::Plain, None)
    };
    assert_holds(model, 10_000);
}

/// What `Promises::forgets` says, and the README: the lock is lost with what was not yet copied.
/// The fences grow all the same, so a resource that checks them is safe.
#[test]
fn known_plain_mode_has_two_holders_after_a_fail_over_but_fences_grow() {
    let model = FailOver {
        has_hand_off: false,
        ..one_promotion(Safety::Plain, None)
    };
    assert_finds(model.clone(), ONE_HOLDER);
    assert_holds_but(model, 20_000, ONE_HOLDER);
}

#[test]
fn known_plain_mode_has_two_holders_after_a_restart_without_data_but_fences_grow() {
    let model = FailOver {
        promotions: 0,
        ..and_a_loss(Safety::Plain, None)
    };
    assert_finds(model.clone(), ONE_HOLDER);
    assert_holds_but(model, 5_000, ONE_HOLDER);
}

#[test]
fn strict_mode_has_one_holder_through_a_fail_over_with_hand_offs_and_renewals() {
    assert_holds(one_promotion(Safety::Strict, None), 200_000);
}

#[test]
fn strict_mode_has_one_holder_through_a_fail_over_and_a_loss_of_data() {
    assert_holds(and_a_loss(Safety::Strict, None), 150_000);
}

#[test]
fn strict_mode_has_one_holder_through_two_fail_overs() {
    assert_holds(two_promotions(None), 200_000);
}

/// Why strict mode needs the sentinels to agree: it counts copies, and a replica that goes back to
/// the primary it left has forgotten what it copied from the newer one.
#[test]
fn known_strict_mode_fails_if_a_replica_follows_an_older_primary_again() {
    let model = FailOver {
        may_go_back: true,
        has_hand_off: false,
        ..one_promotion(Safety::Strict, None)
    };
    assert_finds(model, ONE_HOLDER);
}

/// Majority `WAIT` alone, which was measured with overlaps of up to 644 ms.
#[test]
fn planted_a_missing_quarantine_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::NoQuarantine));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_quarantine_that_is_a_tick_too_short_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::QuarantineIsShort));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_grant_that_does_not_wait_for_copies_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::GrantsDoNotWait));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_renewal_that_does_not_wait_for_copies_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::RenewalsDoNotWait));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_push_that_is_trusted_is_found() {
    let model = FailOver {
        clients: 3,
        ..one_promotion(Safety::Strict, Some(Bug::PushIsTrusted))
    };
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_quarantine_before_anybody_follows_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::InstallDoesNotWait));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_quarantine_begun_in_another_era_is_found() {
    let model = FailOver {
        is_fresh: true,
        ..two_promotions(Some(Bug::InstallDoesNotCompare))
    };
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_marker_that_does_not_change_with_a_promotion_is_found() {
    assert_finds(two_promotions(Some(Bug::MarkerIsTheRunId)), ONE_HOLDER);
}

#[test]
fn planted_a_lock_of_ones_own_that_passes_the_guard_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::OwnLockNeedsNoGuard));
    assert_finds(model, ONE_HOLDER);
}

#[test]
fn planted_a_fence_without_the_clock_is_found() {
    let model = one_promotion(Safety::Strict, Some(Bug::FencesOnlyCount));
    assert_finds(model, FENCES_GROW);
}
