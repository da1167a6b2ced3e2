//! The one list of behaviours.

/// Makes a `#[test]` of every behaviour that the contract promises, on the backend of a
/// [`Harness`](crate::conformance::Harness). To be written at the top level of a test file or module.
#[macro_export]
macro_rules! conformance_suite {
    ($harness:ty) => {
        $crate::conformance_suite! { @tests $harness,
            order {
                q01_first_in_first_out,
                q01_order_holds_over_two_handles,
                q01_each_message_goes_to_exactly_one_getter,
                q01_order_holds_between_processes,
                q02_a_put_is_known_at_once,
                q02_a_get_is_known_at_once,
                q02_a_put_is_known_in_other_processes,
                q02_no_handle_hides_messages,
            }
            payload {
                q03_every_length_arrives_whole,
                q03_long_messages_arrive_whole,
                q03_several_parts_are_one_message,
                q03_lengths_may_alternate,
                q03_a_get_replaces_what_the_buffer_held,
                q03_too_long_is_refused_at_once,
                q03_too_long_ends_a_batch,
                q03_too_long_in_a_batch_does_not_wait,
                q03_the_limit_is_settled_at_creation,
            }
            capacity {
                q04_capacity_is_exact,
                q04_the_one_too_many_waits,
                q04_capacity_is_exact_for_many_putters,
                q04_the_default_is_1000,
                q04_max_is_the_most_the_transport_holds,
                q04_what_cannot_be_had_is_refused,
                q04_a_producer_may_fill_and_exit,
            }
            waiting {
                q05_try_calls_do_not_wait,
                q05_a_get_waits_until_its_deadline,
                q05_a_put_waits_until_its_deadline,
                q05_a_past_deadline_says_timeout,
                q05_an_endless_timeout_is_for_ever,
                q05_a_put_wakes_a_waiting_get,
                q05_a_get_wakes_a_waiting_put,
                q05_every_waiter_wakes,
                q05_ping_pong_never_stalls,
                q05_a_deadline_does_not_hinder,
            }
            observers {
                q06_observers_are_exact,
                q06_observers_are_exact_while_others_work,
                q06_len_never_exceeds_capacity,
                q06_totals_count_every_message,
                q06_bytes_put_are_counted,
                q06_calls_that_slept_are_counted,
            }
            closing {
                q07_gets_drain_and_then_say_closed,
                q07_puts_say_closed,
                q07_a_full_queue_says_closed,
                q07_close_is_for_everyone,
                q07_closing_twice_is_no_error,
                q07_close_wakes_waiting_gets,
                q07_close_wakes_waiting_puts,
                q07_close_is_one_instant,
            }
            batches {
                q08_a_batch_keeps_its_order,
                q08_a_batch_may_begin_in_the_middle,
                q08_a_batch_that_does_not_fit_goes_in_as_far_as_it_can,
                q08_a_batch_waits_until_all_are_in,
                q08_close_ends_a_batch,
                q08_get_many_takes_what_is_there,
                q08_get_many_waits_for_one,
                q08_get_many_of_none_is_done_at_once,
                q08_get_many_keeps_within_its_bytes,
                q08_get_many_stops_behind_its_bytes,
                q08_get_many_appends,
                q08_batches_may_mix_and_keep_their_order,
            }
            handles {
                q09_one_handle_serves_many_threads,
                q09_handles_do_not_depend_on_each_other,
                q09_handles_come_and_go,
                q09_a_child_inherits_a_named_queue,
                q09_children_inherit_an_anonymous_queue,
                q09_a_child_inherits_several_queues,
                q09_what_was_not_shared_is_missing,
                q09_clones_are_the_same_queue,
                q09_a_handle_travels_inside_a_message,
                q09_a_handle_of_an_earlier_queue_is_gone,
                q09_a_message_with_a_handle_that_is_gone_is_an_error,
                q09_an_anonymous_queue_is_refused_in_a_message,
            }
            fairness {
                q10_putters_share,
                q10_getters_share,
                q10_the_impatient_do_not_starve_the_patient,
            }
            names {
                q11_every_legal_name_works,
                q11_a_directory_may_be_deep,
                q11_similar_names_are_different_queues,
                q11_other_names_are_refused,
                q12_create_fails_if_the_name_exists,
                q12_open_fails_if_there_is_none,
                q12_racing_creators_get_one_winner,
                q12_what_was_fixed_is_seen_by_all,
                q12_the_list_is_sorted_and_complete,
                q12_impossible_options_are_refused,
            }
            life {
                q13_remove_wakes_everyone,
                q13_racing_removers_get_one_winner,
                q13_remove_ends_the_queue_for_old_handles,
                q13_remove_frees_the_name,
                q13_remove_leaves_nothing,
                q13_a_named_queue_needs_no_handle,
                q13_an_anonymous_queue_has_no_name,
                q14_only_its_user_can_open_a_queue,
                q15_a_putter_can_be_killed,
                q15_a_waiting_getter_can_be_killed,
                q18_a_putter_may_end_at_once,
                q18_dropped_handles_need_no_flush,
                q13_missing_capabilities_are_refused,
            }
            faults {
                q16_a_message_that_does_not_decode_is_an_error_for_one,
                q16_a_batch_with_a_bad_message_hands_out_the_sound_ones,
                q16_no_claimed_length_is_believed,
                q12_another_codec_is_refused,
                q17_no_room_is_an_error_at_once,
                q17_a_message_without_room_for_it_stays,
                q17_no_file_handles_is_no_room,
            }
            loans {
                q03_what_is_built_in_place_arrives_whole,
                q03_a_loan_may_be_shortened,
                q01_loans_and_others_have_one_order,
                q04_a_loan_takes_room_when_it_is_put,
                q05_getting_in_place_waits,
                q07_loans_of_a_closed_queue,
                q09_a_loan_can_be_passed_on,
                q01_loans_of_many_threads_are_kept_apart,
                q15_memory_of_loans_is_given_back,
                q15_what_a_dead_borrower_had_is_given_back,
                q15_what_many_dead_borrowers_had_does_not_pile_up,
                q17_a_loan_without_room_for_it_is_an_error,
                q04_a_full_queue_hands_the_loan_back,
            }
            auto_close {
                q19_the_last_producer_closes,
                q19_the_first_put_registers,
                q19_without_a_producer_it_stays_open,
                q19_a_waiting_getter_wakes,
                q19_dropping_the_last_handle_leaves,
                q19_only_where_asked_for,
                q19_a_producer_that_exits_has_left,
                q19_a_producer_that_is_killed_has_left,
                q19_one_producer_is_enough,
                q19_a_child_is_registered_before_it_runs,
            }
            acknowledged {
                q20_only_where_offered,
                q20_an_acknowledged_message_is_gone,
                q20_a_dropped_delivery_goes_back,
                q20_what_goes_back_keeps_its_place,
                q20_what_goes_back_goes_out_before_the_rest,
                q20_redeliveries_are_counted,
                q20_len_and_in_flight_are_exact,
                q20_what_is_in_flight_takes_room,
                q20_an_acknowledgement_wakes_a_waiting_put,
                q20_giving_back_wakes_a_waiting_get,
                q20_closed_only_when_nothing_can_come_back,
                q20_the_last_acknowledgement_wakes_gets_on_a_closed_queue,
                q20_giving_back_into_a_closed_queue_succeeds,
                q20_a_delivery_is_settled_once,
                q20_a_plain_get_takes_for_good,
                q20_every_length_comes_back_whole,
                q20_a_message_that_does_not_decode_is_gone,
                q20_many_deliveries_at_once,
                q20_a_queue_that_is_removed_takes_its_deliveries_along,
            }
            holders {
                q20_many_workers_settle_every_message_once,
                q20_what_a_dead_holder_had_goes_back,
                q20_a_dead_holder_wakes_a_waiting_get,
                q20_a_holder_that_lives_keeps_its_own,
                q20_another_process_may_get_what_was_given_back,
            }
            limits {
                q20_a_lease_that_ran_out_is_an_error,
                q20_a_lease_that_runs_out_wakes_a_waiting_get,
                q20_within_its_lease_a_delivery_is_kept,
                q20_too_many_redeliveries_lead_to_the_dead_letters,
                q20_a_full_dead_letter_queue_puts_the_message_back,
                q20_a_removed_dead_letter_queue_puts_the_message_back,
                q20_dead_letters_outlive_their_queue,
                q20_limits_are_for_acknowledged_queues,
                q21_dead_letters_are_not_joined,
            }
            joining {
                q21_join_waits_in_three_forms,
                q21_join_of_nothing_is_done_at_once,
                q21_join_does_not_wait_for_later_puts,
                q21_join_waits_for_what_is_ready,
                q21_join_waits_for_what_came_back,
                q21_join_returns_when_the_last_is_acknowledged,
                q21_several_join_at_once,
                q21_join_of_a_removed_queue_ends,
                q21_join_does_not_hang_with_a_dead_holder,
            }
            values {
                q04_full_hands_the_value_back,
                q07_closed_hands_the_value_back,
                q03_too_long_hands_the_value_back,
                q08_the_rest_of_a_batch_is_handed_back,
                q08_get_many_waits_in_three_forms,
                q07_iterators_end,
                q11_queues_check_their_names,
                q06_the_typed_handle_reports_the_queue,
            }
        }
    };
    (@tests $harness:ty, $($topic:ident { $($case:ident,)* })*) => {
        /// The path of the test below, without the name of the test program.
        const HELPER_TEST: &str = $crate::conformance::path_of_test(concat!(module_path!(), "::helper_process"));

        #[test]
        fn helper_process() {
            $crate::conformance::helper_process::<$harness>(HELPER_TEST);
        }

        $(mod $topic {
            #[allow(unused_imports, reason = "the harness may be named by an absolute path")]
            use super::*;

            $(#[test]
            fn $case() {
                let case = $crate::conformance::$topic::$case::<$harness>;
                $crate::conformance::run(stringify!($case), HELPER_TEST, case);
            })*
        })*
    };
}

/// What a test program calls the test that the language calls `path`: without the name of the crate.
#[must_use]
pub const fn path_of_test(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b':' && bytes[at + 1] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::path_of_test;

    /// Every case that a topic file defines, as `topic::case`.
    fn defined() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
        let mut cases = BTreeSet::new();
        for entry in fs::read_dir(folder).expect("the folder of the suite") {
            let path = entry.expect("a readable folder").path();
            let text = fs::read_to_string(&path).expect("a source file");
            let topic = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let names =
                text.lines().filter_map(|line| line.strip_prefix("pub fn q")?.split(['<', '(']).next());
            cases.extend(names.map(|name| format!("{topic}::q{name}")));
        }
        cases
    }

    /// Every case that the macro lists, as `topic::case`.
    fn listed() -> Vec<String> {
        let (_, list) = include_str!("suite.rs").split_once("@tests $harness,").expect("the list");
        let (list, _) = list.split_once("};").expect("the end of the list");
        let mut topic = "";
        let mut cases = Vec::new();
        for line in list.lines().map(str::trim) {
            if let Some(name) = line.strip_suffix(" {") {
                topic = name;
            } else if let Some(name) = line.strip_suffix(',') {
                cases.push(format!("{topic}::{name}"));
            }
        }
        cases
    }

    #[test]
    fn no_case_is_forgotten() {
        let listed = listed();
        let unique: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(unique.len(), listed.len(), "a case is listed twice");
        assert_eq!(unique, defined());
    }

    #[test]
    fn every_clause_has_a_case() {
        let listed = listed();
        for clause in 1..=21 {
            let prefix = format!("::q{clause:02}_");
            assert!(listed.iter().any(|case| case.contains(&prefix)), "no case checks Q{clause}");
        }
    }

    #[test]
    fn a_test_is_named_without_its_crate() {
        assert_eq!(path_of_test("conformance::helper_process"), "helper_process");
        assert_eq!(path_of_test("suite::shm::helper_process"), "shm::helper_process");
    }
}
