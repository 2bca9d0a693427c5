//! The cases of a suite on servers that they share, several at a time: most of them wait for
//! something most of the time.
//!
//! Each case has names of its own there. Those that do something to a whole server run when no
//! other case does; they are listed here, and the harnesses refuse to do it for any other.

use tokio::task::JoinSet;

/// How many cases run at a time.
const AT_A_TIME: usize = 3;

/// Cases that cut every connection of a server, that step its clock, that delete or count its fence
/// counters, that open very many connections, or that keep the servers as busy as they can.
const ALONE: [&str; 20] = [
    "c1_c3_r1_r26_r62_no_two_holders_and_growing_fences_whatever_happens",
    "r4_a_release_repeated_after_a_cut_connection_is_settled",
    "r11_a_cancel_repeated_after_a_cut_connection_leaves_nothing",
    "r12_a_resend_over_a_new_connection_gets_the_same_fence",
    "r16_a_step_of_the_wall_clock_neither_ends_nor_keeps_a_short_lease",
    "r16_steps_of_the_wall_clock_do_to_leases_what_is_declared",
    "r21_c1_c3_cuts_at_random_never_make_two_holders",
    "r30_a_waiter_gets_its_turn_after_its_connection_was_cut",
    "r30_listening_works_again_after_a_cut_connection",
    "r39_leases_survive_a_cut_connection_and_are_renewed",
    "r62_fences_grow_after_the_counter_is_lost",
    "r62_fences_grow_when_the_wall_clock_steps_back",
    "r65_fence_counters_are_bounded",
    "a_take_sent_again_gets_the_same_runs",
    "s29_each_tick_is_won_once_by_fifty_nodes_that_race",
    "s29_fifty_nodes_win_thirty_thousand_pairs_once_each",
    "s30_a_resend_over_a_new_connection_is_answered_won_again",
    "s30_a_take_sent_again_when_its_runs_ended_gets_no_others",
    "s33_a_thousand_racing_batches_in_any_order_are_all_decided",
    "s39_a_queued_tick_outlives_the_node_that_claimed_it",
];

/// Whether this case is one that no other case shares its servers with.
pub(crate) fn is_alone(case: &str) -> bool {
    ALONE.contains(&case)
}

/// Refuses what the neighbours of a case would notice.
pub(crate) fn assert_alone(is_alone: bool) {
    assert!(is_alone, "name this case in tests/harness/together.rs");
}

/// Runs each of these cases, which are given with their numbers.
pub(crate) async fn pass<F>(
    cases: impl IntoIterator<Item = (usize, &'static str)>,
    check: impl Fn(usize, &'static str) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let cases = cases.into_iter();
    let (alone, beside): (Vec<_>, Vec<_>) = cases.partition(|(_, case)| is_alone(case));
    let mut running = JoinSet::new();
    for (number, case) in beside {
        if running.len() == AT_A_TIME {
            ended(&mut running).await;
        }
        running.spawn(named(case, check(number, case)));
    }
    while !running.is_empty() {
        ended(&mut running).await;
    }
    for (number, case) in alone {
        running.spawn(named(case, check(number, case)));
        ended(&mut running).await;
    }
}

/// In a task of its own: what a case says when it fails does not say which case it is.
async fn named(case: &'static str, check: impl Future<Output = ()> + Send + 'static) {
    let passed = tokio::spawn(check).await;
    assert!(passed.is_ok(), "the case {case} failed");
}

async fn ended(running: &mut JoinSet<()>) {
    running.join_next().await.unwrap().unwrap();
}
