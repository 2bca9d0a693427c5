//! Histories that a correct store can produce, and such as it cannot.

use std::time::Duration;

use super::*;

const A: Token = Token::from_bytes([1; 16]);
const B: Token = Token::from_bytes([2; 16]);

fn at(ms: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(ms))
}

fn asked(token: Token) -> Step {
    Step::Asked { token }
}

fn granted(token: Token, fence: u64) -> Step {
    let fence = Fence::new(fence);
    Step::Granted {
        token,
        fence,
        until: None,
    }
}

fn granted_until(token: Token, fence: u64, until: u64) -> Step {
    Step::Granted {
        token,
        fence: Fence::new(fence),
        until: Some(at(until)),
    }
}

fn gave_up(token: Token) -> Step {
    Step::GaveUp { token }
}

/// One record each 10 ms, all of one key.
fn check(steps: impl IntoIterator<Item = Step>) -> Result<(), Violation> {
    let records = steps.into_iter().zip(0..).map(|(step, number)| Record {
        at: at(10 * number),
        key: Key::new("k").unwrap(),
        step,
    });
    LeaseHistory::check(records)
        .map(|_| ())
        .map_err(|(_, violation)| violation)
}

#[test]
fn c1_c3_what_a_correct_store_does_passes() {
    use Step::{Disturbed, Settled};
    for steps in [
        // One after the other; a resend; a hand-off that was asked for before the release.
        vec![
            asked(A),
            granted(A, 1),
            asked(A),
            granted(A, 1),
            asked(B),
            gave_up(A),
            asked(B),
            granted(B, 2),
        ],
        // The first holder's own time has run out.
        vec![asked(A), granted_until(A, 1, 20), asked(B), granted(B, 5)],
        // A lapse that was forced before, during and after the answer.
        vec![asked(A), granted(A, 1), Disturbed, asked(B), granted(B, 2)],
        vec![
            asked(A),
            Disturbed,
            granted(A, 1),
            Settled,
            asked(B),
            granted(B, 2),
        ],
        vec![
            asked(A),
            Disturbed,
            Settled,
            granted(A, 1),
            asked(B),
            granted(B, 2),
        ],
        // Its time was over, or somebody ended it.
        vec![asked(A), granted_until(A, 1, 15), Step::Lost { token: A }],
        vec![asked(A), granted(A, 1), Disturbed, Step::Lost { token: A }],
        // The same token after its lease lapsed.
        vec![
            asked(A),
            granted(A, 1),
            Disturbed,
            Settled,
            asked(A),
            granted(A, 3),
        ],
        // A grant that lapsed before its reply came: the smaller fence arrives later.
        vec![
            asked(A),
            asked(B),
            Disturbed,
            Settled,
            granted(B, 2),
            granted(A, 1),
        ],
    ] {
        assert_eq!(check(steps.clone()), Ok(()), "{steps:?}");
    }
}

#[test]
fn c1_planted_overlaps_are_found() {
    use Step::{Disturbed, Settled};
    let overlap = Err(Violation::Overlap {
        first: Fence::new(1),
        second: Fence::new(2),
    });
    for steps in [
        vec![asked(A), granted(A, 1), asked(B), granted(B, 2)],
        vec![
            asked(B),
            asked(A),
            granted_until(A, 1, 31),
            granted_until(B, 2, 100),
        ],
        // A disturbance that was over before excuses nothing.
        vec![
            Disturbed,
            Settled,
            asked(A),
            granted(A, 1),
            asked(B),
            granted(B, 2),
        ],
    ] {
        assert_eq!(check(steps.clone()), overlap, "{steps:?}");
    }
}

#[test]
fn c3_planted_faults_of_fences_and_losses_are_found() {
    let fence = Fence::new;
    for (steps, violation) in [
        (
            vec![asked(A), granted(A, 2), gave_up(A), asked(B), granted(B, 1)],
            Violation::FenceFell {
                known: fence(2),
                granted: fence(1),
            },
        ),
        (
            vec![asked(A), granted(A, 2), gave_up(A), asked(B), granted(B, 2)],
            Violation::FenceRepeated { fence: fence(2) },
        ),
        (
            vec![asked(A), granted(A, 2), asked(A), granted(A, 3)],
            Violation::FenceChanged {
                from: fence(2),
                to: fence(3),
            },
        ),
        // A lease that had ended is answered as if it were still there.
        (
            vec![
                asked(A),
                granted_until(A, 1, 20),
                asked(B),
                granted_until(B, 2, 40),
                asked(A),
                granted(A, 1),
            ],
            Violation::FenceFell {
                known: fence(2),
                granted: fence(1),
            },
        ),
        (
            vec![asked(A), granted(A, 1), Step::Lost { token: A }],
            Violation::LostForNoReason { fence: fence(1) },
        ),
        (
            vec![asked(A), granted(A, 0)],
            Violation::FenceOutOfRange { fence: fence(0) },
        ),
        (
            vec![asked(A), granted(A, 1 << 53)],
            Violation::FenceOutOfRange {
                fence: fence(1 << 53),
            },
        ),
    ] {
        assert_eq!(check(steps.clone()), Err(violation), "{steps:?}");
    }
}

#[test]
fn the_number_of_the_record_that_shows_the_violation_is_told() {
    let steps = [asked(A), granted(A, 1), asked(B), granted(B, 2)];
    let records = steps.into_iter().map(|step| Record {
        at: at(0),
        key: Key::new("k").unwrap(),
        step,
    });
    assert_eq!(LeaseHistory::check(records).unwrap_err().0, 3);
}

#[test]
fn keys_have_nothing_to_do_with_each_other() {
    let steps = [asked(A), granted(A, 2), asked(B), granted(B, 1)];
    let records = steps
        .into_iter()
        .zip(["a", "a", "b", "b"])
        .map(|(step, key)| Record {
            at: at(0),
            key: Key::new(key).unwrap(),
            step,
        });
    assert_eq!(LeaseHistory::check(records).unwrap().grants(), 2);
}
