//! The hand-off on one server: what holds in every state, and that each planted fault is found.

use tenure_model::check::{assert_finds, assert_holds};
use tenure_model::handoff::script::Terms;
use tenure_model::handoff::watch::{
    DEAD_ARE_SKIPPED, FENCES_GROW, GIVEN_BACK_IS_GONE, IN_ORDER, ONE_HOLDER, ONE_PLACE,
    ONLY_OWN_GROW, PASSED_ON, SHORT_WAITS, TRUST_IS_TRUE,
};
use tenure_model::handoff::{Bug, HandOff, Mortal, Network};

/// A holder and two in line, of whom one may die; all that can happen happens at once.
fn prompt(bug: Option<Bug>) -> HandOff {
    let terms = Terms {
        ttl: 3,
        claim_window: 2,
        keep: 4,
        bug,
    };
    HandOff {
        terms,
        clients: 3,
        rounds: 1,
        network: Network::Prompt,
        breaks: 0,
        crashes: 1,
        mortal: Mortal::Everybody,
        strays: 0,
        // A dead holder costs what is left of its ttl, and the next looks a little later.
        longest_idle: terms.ttl + 2,
    }
}

/// Only who is in line dies, under a long lease.
fn with_mortal_waiters(bug: Option<Bug>) -> HandOff {
    let terms = Terms {
        ttl: 5,
        keep: 6,
        ..prompt(bug).terms
    };
    HandOff {
        terms,
        mortal: Mortal::Waiters,
        // The claim window, and the little by which the second and the third look later.
        longest_idle: terms.claim_window + 2,
        ..prompt(bug)
    }
}

/// A connection breaks, known to the server or not.
fn with_breaks(bug: Option<Bug>) -> HandOff {
    let terms = Terms {
        ttl: 2,
        claim_window: 1,
        keep: 3,
        bug,
    };
    HandOff {
        terms,
        breaks: 1,
        crashes: 0,
        longest_idle: 2 * terms.ttl,
        ..prompt(bug)
    }
}

/// Everything may be late; a connection breaks, and one request is served after its sender has
/// given it up.
fn late(bug: Option<Bug>) -> HandOff {
    HandOff {
        clients: 2,
        network: Network::Late,
        strays: 1,
        ..with_breaks(bug)
    }
}

/// Everything may be late, and each of two has the lock twice.
fn late_and_again(bug: Option<Bug>) -> HandOff {
    HandOff {
        rounds: 2,
        breaks: 0,
        strays: 0,
        ..late(bug)
    }
}

/// All that can happen happens at once, but a request is served after its sender has given it up:
/// a place is there again that nobody waits in, in a process that lives and listens.
fn with_a_stray(bug: Option<Bug>) -> HandOff {
    HandOff {
        crashes: 0,
        strays: 1,
        // What the stray asked for may be granted to nobody, and a lost renewal outlasts trust.
        longest_idle: 2 * prompt(bug).terms.ttl,
        ..prompt(bug)
    }
}

#[test]
fn r12_r13_r22_three_clients_of_whom_one_may_die_keep_every_promise() {
    assert_holds(prompt(None), 150_000);
}

#[test]
fn r22_a_waiter_that_dies_costs_one_claim_window_however_long_the_lease_was() {
    assert_holds(with_mortal_waiters(None), 100_000);
}

#[test]
fn r12_r13_a_broken_connection_breaks_no_promise() {
    assert_holds(with_breaks(None), 150_000);
}

#[test]
fn r11_r15_however_late_messages_are_nobody_trusts_what_is_not_its_own() {
    assert_holds(late(None), 400_000);
}

#[test]
fn r1_r2_a_second_acquisition_is_not_hurt_by_what_is_left_of_the_first() {
    assert_holds(late_and_again(None), 300_000);
}

#[test]
fn r13_a_grant_that_nobody_wants_is_passed_on_at_once() {
    assert_holds(with_a_stray(None), 50_000);
}

#[test]
fn planted_a_process_that_keeps_what_nobody_in_it_wants_is_found() {
    assert_finds(with_a_stray(Some(Bug::NobodyPassesOn)), PASSED_ON);
}

#[test]
fn planted_passing_on_what_is_somebody_elses_by_now_is_found() {
    assert_finds(late(Some(Bug::PassOnDoesNotCompare)), TRUST_IS_TRUE);
}

#[test]
fn planted_a_cancel_that_only_leaves_the_queue_is_found() {
    assert_finds(
        prompt(Some(Bug::CancelOnlyLeavesTheQueue)),
        GIVEN_BACK_IS_GONE,
    );
}

#[test]
fn planted_a_release_that_does_not_compare_is_found() {
    assert_finds(prompt(Some(Bug::ReleaseDoesNotCompare)), TRUST_IS_TRUE);
    assert_finds(late_and_again(Some(Bug::ReleaseDoesNotCompare)), ONE_HOLDER);
}

/// It breaks no trust: whose lease has lapsed has stopped trusting it before the answer comes.
#[test]
fn planted_a_renewal_that_does_not_compare_is_found() {
    assert_finds(late(Some(Bug::RenewDoesNotCompare)), ONLY_OWN_GROW);
}

#[test]
fn planted_a_hand_off_that_keeps_the_fence_is_found() {
    assert_finds(prompt(Some(Bug::HandOffKeepsTheFence)), FENCES_GROW);
}

#[test]
fn planted_a_missing_claim_window_is_found() {
    assert_finds(with_mortal_waiters(Some(Bug::NoClaimWindow)), SHORT_WAITS);
}

#[test]
fn planted_a_hand_off_that_does_not_count_its_listeners_is_found() {
    assert_finds(prompt(Some(Bug::DeadWaitersCount)), DEAD_ARE_SKIPPED);
}

#[test]
fn planted_a_request_that_queues_again_is_found() {
    assert_finds(prompt(Some(Bug::ResendQueuesTwice)), ONE_PLACE);
}

#[test]
fn planted_a_request_sent_again_that_does_not_find_its_grant_is_found() {
    assert_finds(late(Some(Bug::ResendIsAStranger)), GIVEN_BACK_IS_GONE);
}

#[test]
fn planted_a_newcomer_that_goes_first_is_found() {
    assert_finds(prompt(Some(Bug::NewcomersBarge)), IN_ORDER);
}

#[test]
fn planted_trust_counted_from_the_reply_is_found() {
    assert_finds(late(Some(Bug::TrustFromTheReply)), ONE_HOLDER);
}

#[test]
fn planted_trust_counted_from_the_push_is_found() {
    assert_finds(late(Some(Bug::TrustFromThePush)), ONE_HOLDER);
}

/// How it was until the model found it: a waiter that died just after its turn came held the others
/// up for what had been left of the lease before, and not for its claim window.
#[test]
fn planted_waiters_that_sleep_for_the_whole_lease_are_found() {
    assert_finds(
        with_mortal_waiters(Some(Bug::NobodyLooksMeanwhile)),
        SHORT_WAITS,
    );
}
