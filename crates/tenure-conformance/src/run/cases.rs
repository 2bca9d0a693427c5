//! The one list of the cases of the run suite, and how a case is run by its name.
//!
//! A case that is written but not listed here is unused code, which CI refuses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::RunHarness;
use crate::harness::declared;

/// A harness that the tasks of one case share.
pub(super) type Shared = Arc<dyn RunHarness>;

/// The list. The macro named first gets its own arguments back, then the groups with their cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __run_cases {
    ($then:path, $with:tt) => {
        $then! { $with
            window {
                s21_a_tick_ahead_of_the_stores_clock_is_refused_and_blocks_nobody
                s21_no_claim_is_early_by_more_than_the_bound
                s22_a_late_node_finds_its_ticks_taken
                s32_a_tick_behind_the_window_is_refused_and_leaves_no_record
                s32_a_tick_inside_the_window_is_won
                s32_at_the_edges_each_answer_fits_the_instant_the_store_names
                s32_a_record_outlives_every_moment_at_which_its_tick_could_be_claimed
                s23_s27_no_step_of_the_clock_lets_a_tick_be_claimed_twice
                s27_after_a_step_new_ticks_are_claimed_at_once
            }
            claim {
                s29_each_tick_is_won_once_by_fifty_nodes_that_race
                s29_fifty_nodes_win_thirty_thousand_pairs_once_each
                s30_a_resend_is_answered_won_again_with_the_same_fence
                s30_a_resend_over_a_new_connection_is_answered_won_again
                s31_a_run_that_ended_at_once_is_not_run_again
                s34_losing_a_claim_is_an_answer_that_says_who_won
                s36_names_with_any_characters_do_not_collide
                s49_a_second_claim_of_one_node_for_one_tick_loses
                fences_grow_with_every_claim_of_a_task
                the_record_of_a_claim_says_who_has_it
                s26_a_run_that_is_claimed_early_is_not_said_to_begin_before_its_tick
            }
            batch {
                s33_a_thousand_racing_batches_in_any_order_are_all_decided
                answers_stand_in_the_order_of_the_items
                reports_are_answered_in_their_order
                a_batch_over_the_limit_is_refused_whole
                reports_and_orders_over_the_limit_are_refused_whole
                an_empty_batch_is_answered
                the_same_pair_twice_in_a_batch_is_won_once
                the_sequence_grows_by_one_with_each_claim_call_and_the_epoch_stays
            }
            overlap {
                s38_a_tick_is_skipped_and_recorded_while_an_earlier_one_runs
                s38_each_index_overlaps_with_itself_only
                s38_after_the_blocker_ended_the_next_tick_is_won
                s38_with_overlap_allowed_both_run
                s38_a_skipped_tick_is_not_won_later
                s38_of_one_batch_the_earlier_tick_wins
                s38_a_run_that_has_not_begun_stands_in_the_way_too
                s38_a_retry_waits_while_a_later_tick_runs
                s60_a_requested_run_does_not_cost_a_tick
            }
            queue {
                s39_with_queue_one_the_newest_tick_waits_and_the_older_is_recorded_as_replaced
                s39_with_queue_all_ticks_wait_in_order_up_to_the_bound
                s39_a_queued_tick_is_released_when_its_blocker_is_lost
                s39_a_queued_tick_outlives_the_node_that_claimed_it
                s39_each_index_has_a_line_of_its_own
                s39_of_one_batch_later_ticks_queue_behind_the_first
                s39_a_tick_that_comes_when_another_waits_stands_behind_it
                s30_a_claim_that_waits_is_answered_so_again
                s59_a_queued_tick_of_a_paused_task_goes_on_waiting
                a_record_that_waits_is_kept_as_long_as_one_that_ran
            }
            limit {
                s38_a_limit_counts_every_tick_and_index_of_the_task
                s38_what_exceeds_a_limit_follows_the_overlap_rule
                s38_a_limit_holds_for_what_is_taken_too
                s38_a_limit_of_racing_nodes_is_never_exceeded
                s60_requested_runs_count_and_cost_no_tick
                a_node_takes_no_more_of_a_task_than_it_has_room_for
            }
            cancel {
                s38_with_cancel_other_the_older_run_is_asked_to_stop_and_the_newer_waits
                s38_with_cancel_other_the_newer_begins_when_the_older_nodes_lease_ends
                a_run_in_hand_is_asked_to_stop_and_its_node_finds_out
                a_run_that_waits_is_cancelled_at_once
                a_run_that_is_over_or_unknown_is_not_cancelled
                a_cancelled_run_is_not_tried_again
                s40_a_cancelled_run_is_not_recovered_into_another_attempt
                a_request_to_stop_wakes_listeners
            }
            life {
                s28_a_claimed_run_that_was_handed_over_cannot_be_started
                s40_a_late_completion_changes_nothing_and_is_noted
                s44_attempts_are_counted_across_nodes
                s44_a_retry_is_taken_when_it_is_due_and_not_before
                a_claimed_run_is_started_once
                a_taken_run_may_begin_later
                each_outcome_is_recorded_as_told
                a_finish_sent_again_is_recorded_once
                a_finish_of_an_unknown_run_is_answered_so
                output_is_kept_up_to_the_limit
            }
            recovery {
                s40_a_run_whose_node_lapsed_is_lost_and_reported_once
                s40_with_retry_on_crash_it_waits_for_another_attempt
                s40_attempts_used_up_end_as_lost
                s40_of_many_recoveries_at_once_one_reports_a_run
                s28_a_run_that_never_started_is_handed_over_under_any_rule
                s41_a_node_that_left_wins_nothing_and_its_runs_are_recovered
                a_recovery_leaves_the_living_alone
                a_recovery_waits_for_the_grace
                a_recovery_moves_at_most_what_it_was_asked_to
            }
            loss {
                s50_a_nodes_last_claim_or_registration_is_told_with_its_beats
                s50_a_node_that_remembers_more_than_the_store_wins_nothing
                s50_a_loss_is_counted_once_and_one_node_is_told_to_tell
                s50_a_run_that_began_is_not_left_as_one_that_never_did
                s50_a_forgotten_claim_is_put_back_and_ends_as_its_own
                s50_putting_back_again_changes_nothing
                s50_a_record_that_is_there_stays
                s50_hearsay_gives_way_to_the_word_of_the_winner
                s50_an_end_that_was_forgotten_is_put_back
                s50_a_run_put_back_keeps_the_limit_of_its_task
                s50_a_tick_put_back_that_waited_stands_in_line_again
                s50_a_later_attempt_replaces_an_earlier_one
                s50_what_a_node_had_that_the_store_does_not_know_is_lost_or_waits
                s50_a_run_put_back_is_recovered_when_its_node_dies
                s50_a_node_that_never_beat_puts_nothing_back
            }
            node {
                a_node_that_never_beat_wins_nothing
                a_lapsed_node_wins_nothing_until_it_beats_again
                s41_a_node_that_left_is_not_alive
                s21_a_beat_carries_what_a_node_says_of_itself
                a_node_that_was_given_up_comes_back_whole
                beats_show_who_is_alive_in_the_order_of_joining
                a_beat_tells_whether_the_lease_had_ended
            }
            definition {
                s35_s53_claims_under_an_older_generation_are_refused
                s53_the_older_generation_is_current_again_when_the_newer_is_gone
                s53_a_restart_of_the_old_definition_does_not_win
                s55_a_task_that_a_node_withdrew_is_none_of_its_own
                s56_a_node_takes_only_tasks_it_registered
                registering_answers_in_order_and_remembers_the_first_time
                a_task_is_first_seen_when_it_is_first_registered
                tasks_are_listed_with_their_current_definition
                a_task_that_nobody_registered_can_be_claimed
            }
            deploy {
                s54_a_tick_on_record_under_an_earlier_name_is_taken
                s54_a_resend_under_the_new_name_gets_its_first_answer
                s54_a_renamed_task_keeps_its_first_time_and_its_pause
                s54_an_old_name_that_was_ended_is_claimed_by_nobody
                s53_a_higher_number_is_newer_whenever_it_was_registered
                s53_under_union_every_definition_fires_and_each_tick_once
                s55_a_task_that_was_retired_is_claimed_by_nobody
                s55_a_task_says_since_when_no_live_node_lists_it
            }
            control {
                s59_a_paused_task_is_neither_claimed_nor_taken
                s59_a_pause_ends_by_itself_when_it_was_told_to
                s59_a_pause_is_seen_by_everybody_with_who_and_why
                s60_a_requested_run_has_its_own_record_and_leaves_the_tick_alone
                s60_a_requested_run_waits_for_its_like_unless_forced
                s60_two_requests_of_one_index_are_taken_one_after_the_other
                s60_a_scheduled_run_cannot_be_put_into_the_store
                what_is_due_the_longest_is_taken_first
                s61_a_backfill_leaves_out_what_ran_well
                s61_the_same_run_is_put_into_the_store_once
                a_take_sent_again_gets_the_same_runs
                s30_a_take_sent_again_when_its_runs_ended_gets_no_others
                of_many_takers_one_gets_a_run
                a_backfills_cursor_moves_only_from_where_it_was
                listeners_hear_that_something_waits
            }
            asked {
                s60_what_a_run_was_asked_with_is_kept_whatever_its_end
                s60_what_a_run_was_asked_with_is_kept_by_a_retry_and_a_recovery
                s60_a_claim_tells_what_its_run_was_asked_with_at_every_attempt
                s60_a_claim_tells_what_a_run_was_asked_with_that_waited
                s60_a_claim_of_what_nobody_asked_for_tells_of_nobody
                s50_a_run_put_back_keeps_what_it_was_asked_with
            }
            reading {
                a_passed_tick_is_recorded_with_its_reason_and_cannot_be_claimed
                s47_one_read_tells_which_runs_are_on_record
                a_pass_leaves_existing_records_alone
                a_tick_is_passed_as_skipped_or_missed_only
                history_is_ordered_filtered_and_paged
                history_pages_through_runs_of_every_kind
                events_tell_every_change_in_order_and_resume
                notes_are_events
                positions_that_are_none_are_refused
                pruning_keeps_what_may_still_be_claimed
                pruning_is_bounded_and_takes_only_what_was_named
                pruning_forgets_old_notes
                s52_of_one_task_what_is_beyond_the_newest_goes_state_by_state
                two_views_of_the_same_runs_always_agree
                run_promises_are_complete_and_the_same_for_every_view
            }
        }
    };
}

macro_rules! dispatch {
    ([] $($group:ident { $($case:ident)* })*) => {
        /// The names of all cases, for servers that take so long to start that the cases run one
        /// after another on them: each goes to [`check`]. Elsewhere use
        /// [`run_suite!`](crate::run_suite).
        pub const NAMES: &[&str] = &[$($(stringify!($case),)*)*];

        fn find<'h>(name: &str, harness: &'h Shared) -> BoxFuture<'h, ()> {
            match name {
                $($(stringify!($case) => Box::pin(super::$group::$case(harness)),)*)*
                other => panic!("the run suite has no case `{other}`"),
            }
        }
    };
}

crate::__run_cases! { dispatch, [] }

/// Far above what any case needs: a case that hangs fails under its own name.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs the case called `name` against a store, unless its harness declares that it cannot be shown
/// there.
///
/// # Panics
/// If the store fails the case, and if there is no such case, or a declaration is none.
#[doc(hidden)]
pub async fn check(name: &str, harness: Arc<dyn RunHarness>) {
    if let Some(why) = declared(name, NAMES, harness.not_shown()) {
        eprintln!("`{name}` is not shown here: {why}");
        return;
    }
    tokio::time::timeout(LONGEST, find(name, &harness))
        .await
        .unwrap_or_else(|_| panic!("`{name}` still ran after {LONGEST:?}"));
}
