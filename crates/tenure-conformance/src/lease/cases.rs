//! The one list of the cases of the lease suite, and how a case is run by its name.
//!
//! A case that is written but not listed here is unused code, which CI refuses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::LeaseHarness;
use crate::harness::declared;

/// A harness that the tasks of one case share.
pub(super) type Shared = Arc<dyn LeaseHarness>;

/// The list. The macro named first gets its own arguments back, then the groups with their cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __lease_cases {
    ($then:path, $with:tt) => {
        $then! { $with
            ownership {
                r1_r2_a_late_release_of_an_old_token_never_frees_a_newer_holder
                r1_the_token_decides_and_not_the_holder
                r2_r35_what_has_lapsed_is_neither_released_nor_renewed
                r2_r4_a_late_release_leaves_alone_what_was_handed_on
                r3_r4_a_second_release_is_answered_not_held
                r3_r4_releasing_what_is_not_held_changes_nothing
                r4_of_two_releases_at_once_one_finds_the_lease
            }
            request {
                r9_one_attempt_is_answered_at_once_and_leaves_no_trace
                r10_of_many_simultaneous_requests_exactly_one_is_granted
                r12_a_resend_gets_the_same_fence
                r12_simultaneous_resends_get_one_lease
                r12_a_waiter_that_asks_again_keeps_its_one_place
                r12_a_resend_keeps_the_lease_for_its_ttl_and_never_shortens_it
                r17_no_ttl_is_shortened_by_rounding
                e10_r17_a_ttl_under_the_declared_minimum_is_refused
                r19_a_refusal_says_who_holds_the_key_and_for_how_long
            }
            renewal {
                r35_a_renewal_never_creates_a_lease
                r35_a_lost_renewal_says_who_has_the_key_instead
                r35_a_renewal_gives_a_waiter_neither_a_lease_nor_a_better_place
                r39_one_lost_lease_does_not_spoil_a_batch
                r39_a_request_that_is_refused_does_not_spoil_a_batch
                r39_batches_of_every_size_are_answered_in_order
                r41_a_renewal_never_shortens_a_lease
                r41_a_renewal_lasts_for_its_ttl_from_now
                r41_a_lease_lives_as_long_as_it_is_renewed_and_no_longer
                r63_a_renewal_changes_neither_the_fence_nor_the_start
            }
            force {
                r6_force_ends_the_lease_of_the_holder_that_was_seen
                r6_force_with_a_stale_mark_changes_nothing
                r6_force_of_a_free_key_is_answered_not_held
                r6_force_with_a_mark_that_no_store_wrote_changes_nothing
                r6_r62_force_hands_the_key_to_the_first_waiter
                r6_force_tells_the_holder_at_once
                r6_a_mark_outlives_renewals_and_resends
                r6_of_two_orders_at_once_one_hits
            }
            cancel {
                r11_cancelling_a_lease_frees_it
                r11_cancelling_nothing_changes_nothing
                r11_cancelling_what_has_lapsed_leaves_a_newer_holder_alone
                r11_of_two_cancels_at_once_one_releases
                r13_a_cancelled_waiter_has_no_place
                r13_a_waiter_may_be_cancelled_through_another_connection
                r13_cancelling_what_was_handed_on_passes_it_to_the_next
                r13_a_grant_that_races_a_cancel_is_passed_on
                r13_a_cancel_that_races_the_last_release_leaves_the_key_free
                r11_r13_a_request_that_was_dropped_and_cancelled_leaves_nothing
                r13_a_waiter_whose_requests_are_dropped_and_cancelled_leaves_the_queue
                r10_a_request_dropped_half_way_leaves_no_lease_without_an_end
            }
            queue {
                r31_waiters_are_served_in_the_order_of_their_first_requests
                r31_no_position_ever_increases
                r31_a_newcomer_does_not_overtake_after_a_lapse
                r31_a_newcomer_does_not_overtake_after_a_release
                r23_a_dead_waiter_at_the_head_is_skipped_when_its_place_has_ended
                r23_a_dead_waiter_that_was_handed_the_key_delays_the_next_by_the_claim_window
                r23_a_waiter_that_collects_its_grant_keeps_it_past_the_claim_window
                r24_a_waiter_keeps_its_place_by_asking_again
                r24_a_waiter_whose_place_has_ended_starts_again_at_the_end
                r25_nothing_is_left_when_nobody_holds_or_waits
                r25_lapses_do_not_pile_up_records
                r25_dead_waiters_leave_nothing_behind
            }
            wake {
                r20_no_release_between_two_steps_of_a_waiter_is_missed
                r20_no_release_that_races_a_request_is_missed
                r32a_a_grant_that_overtakes_the_reply_is_not_lost
                r21_a_waiter_that_hears_nothing_gets_its_turn_by_asking
                r21_a_waiter_that_stops_listening_half_way_gets_its_turn
                r22_a_waiter_gets_a_lapsed_key_by_asking_when_it_was_told_to
                r26_a_pushed_grant_is_true
                r26_a_grant_that_nobody_collected_in_time_is_no_lease
                r27_each_hand_off_wakes_one_of_200_waiters
                r29_a_view_listens_to_thousands_of_keys_and_hears_of_each
                r29_leaving_one_key_does_not_deafen_the_others
                a_hand_off_is_as_fast_as_declared
            }
            fence {
                r62_fences_grow_whatever_ends_a_lease
                r62_fences_grow_with_every_hand_off
                r62_fences_grow_when_other_keys_come_and_go
                r62_fences_grow_after_the_counter_is_lost
                r62_fences_grow_when_the_wall_clock_steps_back
                r64_everybody_sees_the_fence_of_the_acquisition
                r65_fence_counters_are_bounded
            }
            view {
                a_free_key_has_no_view
                a_view_shows_the_holder_as_it_introduced_itself
                a_view_tells_when_the_lease_ends_by_the_stores_clock
                a_view_shows_the_queue_in_its_order
                a_listing_goes_by_prefix_in_the_order_of_bytes_page_by_page
                a_listing_is_limited_to_a_thousand_keys
                a_listing_takes_its_prefix_and_its_start_literally
                a_listing_shows_what_is_held_or_waited_for_and_nothing_else
                leases_that_ran_out_are_not_listed
                two_views_of_one_store_always_agree
            }
            name {
                e14_e16_e17_e18_e19_e20_names_that_look_alike_are_different_keys
                e14_e18_a_name_that_looks_like_something_else_queues_and_wakes_as_any_other
                e21_each_of_the_256_bytes_is_a_key
            }
            clock {
                r22_a_lease_ends_by_the_stores_clock_when_its_ttl_is_over
                the_stores_clock_moves_with_time_and_not_back
                r16_steps_of_the_wall_clock_do_to_leases_what_is_declared
                r16_a_step_of_the_wall_clock_neither_ends_nor_keeps_a_short_lease
            }
            network {
                r12_a_resend_over_a_new_connection_gets_the_same_fence
                r39_leases_survive_a_cut_connection_and_are_renewed
                r4_a_release_repeated_after_a_cut_connection_is_settled
                r11_a_cancel_repeated_after_a_cut_connection_leaves_nothing
                r30_a_waiter_gets_its_turn_after_its_connection_was_cut
                r30_listening_works_again_after_a_cut_connection
                r21_c1_c3_cuts_at_random_never_make_two_holders
            }
            promise {
                promises_are_complete_and_the_same_for_every_view
                the_declared_minimum_ttl_is_kept
            }
            shared {
                r69_shared_leases_that_are_not_promised_are_refused
                r68_readers_hold_a_key_together_each_with_its_own_fence
                r68_a_holder_excludes_readers_and_readers_exclude_a_holder
                r68_reads_and_permits_of_one_key_exclude_each_other
                r68_a_reader_does_not_pass_a_writer_that_waits
                r68_readers_that_stand_together_are_granted_together
                r20_r68_readers_that_wait_are_told_of_their_turn
                r68_readers_join_when_the_writer_before_them_gives_up
                a_view_and_a_listing_show_all_who_share_a_key
                r31_a_shared_request_keeps_its_one_place
            }
            sharer {
                r67_a_reader_that_crashed_is_gone_although_others_renew
                r67_a_writer_comes_when_all_readers_have_crashed
                r67_a_lapse_of_the_whole_key_ends_all_that_share_it
                r12_r41_resends_and_renewals_of_one_leave_the_others_alone
                r35_a_renewal_gives_nobody_a_share
                r13_what_is_left_of_a_reader_that_gives_up_is_passed_on
                r11_r13_a_reader_that_was_dropped_and_cancelled_leaves_nothing
                r62_fences_grow_from_readers_to_writers_and_back
            }
            permit {
                r69_no_more_than_the_limit_hold_permits
                r67_a_permit_of_one_that_crashed_is_free_after_its_ttl
                r69_a_limit_that_rises_lets_in_whoever_waits
                r69_a_limit_that_falls_throws_nobody_out
                r6_force_takes_a_shared_key_from_all_or_from_one
                c1_r67_r68_r69_nobody_is_in_wrong_company_whatever_happens
            }
            torture {
                c1_c3_r1_r26_r62_no_two_holders_and_growing_fences_whatever_happens
            }
        }
    };
}

macro_rules! dispatch {
    ([] $($group:ident { $($case:ident)* })*) => {
        /// The names of all cases, for servers that take so long to start that the cases run one
        /// after another on them: each goes to [`check`]. Elsewhere use
        /// [`lease_suite!`](crate::lease_suite).
        pub const NAMES: &[&str] = &[$($(stringify!($case),)*)*];

        fn find<'h>(name: &str, harness: &'h Shared) -> BoxFuture<'h, ()> {
            match name {
                $($(stringify!($case) => Box::pin(super::$group::$case(harness)),)*)*
                other => panic!("the lease suite has no case `{other}`"),
            }
        }
    };
}

crate::__lease_cases! { dispatch, [] }

/// Far above what any case needs: a case that hangs fails under its own name.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs the case called `name` against a store, unless its harness declares that it cannot be shown
/// there.
///
/// # Panics
/// If the store fails the case, and if there is no such case, or a declaration is none.
#[doc(hidden)]
pub async fn check(name: &str, harness: Arc<dyn LeaseHarness>) {
    if let Some(why) = declared(name, NAMES, harness.not_shown()) {
        eprintln!("`{name}` is not shown here: {why}");
        return;
    }
    tokio::time::timeout(LONGEST, find(name, &harness))
        .await
        .unwrap_or_else(|_| panic!("`{name}` still ran after {LONGEST:?}"));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::NAMES;

    /// The requirements at the head of a case's name: `r3_r4_a_second_release` proves R3 and R4.
    fn proved(name: &str) -> impl Iterator<Item = String> {
        let is_number = |part: &&str| {
            let number = part.strip_prefix(['r', 'e', 'c']);
            number.is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        };
        let parts = name.split('_').take_while(is_number);
        parts.map(str::to_uppercase)
    }

    /// The requirements in the table of the module's documentation.
    fn excused() -> impl Iterator<Item = &'static str> {
        include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | R"))
            .map(|row| {
                let cells: Vec<_> = row.split('|').map(str::trim).collect();
                assert!(cells.len() == 4 && cells.iter().take(3).all(|c| !c.is_empty()));
                cells[0]
            })
    }

    #[test]
    fn every_requirement_is_proved_by_a_case_or_stands_in_the_table_of_the_others() {
        let proved: BTreeSet<String> = NAMES.iter().flat_map(|name| proved(name)).collect();
        let excused: BTreeSet<String> = excused().map(|number| format!("R{number}")).collect();
        let numbers = (1..=46).chain(62..=69).map(|number| format!("R{number}"));
        let wanted: BTreeSet<String> = numbers.chain(["R32A".to_owned()]).collect();
        let told: BTreeSet<String> = proved.union(&excused).cloned().collect();
        let missing: Vec<_> = wanted.difference(&told).collect();
        assert!(
            missing.is_empty(),
            "neither a case nor excused: {missing:?}"
        );
        let twice: Vec<_> = proved.intersection(&excused).collect();
        assert!(twice.is_empty(), "a case and excused: {twice:?}");
        let strange: Vec<_> = excused.difference(&wanted).collect();
        assert!(strange.is_empty(), "no such requirement: {strange:?}");
    }

    #[test]
    fn no_two_cases_have_the_same_name() {
        let names: BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(names.len(), NAMES.len());
    }
}
