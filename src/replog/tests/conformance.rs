//! What a log of this kind has to stand, item by item, and the test that shows each; and those tests
//! that had no better place.
//!
//! Each test is named by its file and its function. `every_item_has_a_test_that_exists` sees to it.

use super::ensemble::{addresses, append, everybody_has, formed, leader, stop, until};
use super::{Scratch, leading, opened};
use crate::paxos::{Position, Record, Run, Value};
use crate::replog::open::open_disk;
use crate::rt;
use std::fs;
use std::path::Path;

/// The item, in the numbers of the list of requirements, and what shows it.
const ITEMS: &[(&str, &[&str])] = &[
    (
        "1 an equal, a higher and a lower ballot",
        &[
            "src/paxos/tests/conformance.rs the_same_ballot_is_promised_to_its_owner_again_and_a_lower_or_other_one_is_rejected_with_it",
            "src/paxos/tests/acceptor.rs a_promise_refuses_lower_ballots_and_is_given_again_to_its_owner",
        ],
    ),
    (
        "1 to accept is to promise",
        &["src/paxos/tests/acceptor.rs accepting_a_write_with_a_higher_ballot_raises_the_promise"],
    ),
    (
        "1 a position that is learned or truncated",
        &[
            "src/paxos/tests/conformance.rs a_write_to_a_learned_position_is_acknowledged_and_changes_nothing",
            "src/paxos/tests/conformance.rs a_truncation_is_effective_where_it_is_learned_and_survives_the_next_election",
        ],
    ),
    (
        "1 whoever may not vote says so",
        &[
            "src/paxos/tests/leading.rs a_replica_that_may_not_vote_says_so",
            "src/paxos/tests/conformance.rs only_one_of_three_may_vote_and_the_candidate_hears_so",
        ],
    ),
    (
        "2 promise, append, restore",
        &[
            "src/paxos/tests/conformance.rs what_was_promised_and_accepted_is_there_after_a_restart",
            "src/replog/tests/mod.rs what_was_appended_is_given_again_after_closing_and_opening",
        ],
    ),
    (
        "2 elect, with the clock standing still",
        &[
            "src/paxos/tests/conformance.rs an_election_needs_no_timer_and_the_first_entry_is_the_logs_own",
        ],
    ),
    (
        "2 no quorum to elect, none to append",
        &[
            "src/paxos/tests/conformance.rs without_a_quorum_nobody_is_elected_and_nothing_is_appended",
        ],
    ),
    (
        "2 a discarded append",
        &[
            "src/paxos/tests/conformance.rs a_discarded_append_is_settled_by_the_next_election_and_appears_once",
        ],
    ),
    (
        "2 fail-over and demotion",
        &[
            "src/paxos/tests/conformance.rs another_coordinator_takes_over_and_the_old_one_is_demoted",
        ],
    ),
    (
        "2 filling an empty replica, learned or not",
        &[
            "src/paxos/tests/conformance.rs a_replica_with_an_empty_log_recovers_ten_entries_learned_or_not",
        ],
    ),
    (
        "2 never written upstream: two candidates race",
        &[
            "src/paxos/tests/conformance.rs stub_racing_elect_of_two_candidates_at_most_one_leads_and_soon_one_does",
        ],
    ),
    (
        "2 never written upstream: filling without a quorum",
        &["src/paxos/tests/conformance.rs stub_fill_no_quorum_what_cannot_be_settled_is_not_given"],
    ),
    (
        "2 never written upstream: filling what is inconsistent",
        &[
            "src/paxos/tests/conformance.rs stub_fill_inconsistent_the_value_of_the_highest_ballot_is_kept",
        ],
    ),
    (
        "2 never written upstream: learned on one and not on another",
        &[
            "src/paxos/tests/conformance.rs stub_learned_on_one_replica_and_not_on_another_is_learned_there_from_it",
        ],
    ),
    (
        "2 never written upstream: the same, and the one fails and recovers",
        &[
            "src/paxos/tests/conformance.rs stub_learned_on_one_replica_which_fails_and_recovers_while_the_other_goes_on",
        ],
    ),
    (
        "3 a kill at any moment",
        &["src/replog/tests/kill.rs what_was_learned_before_a_kill_is_there_once_and_in_order"],
    ),
    (
        "3 power lost between any two steps of the disk",
        &[
            "tests/sim/main.rs ensembles_lose_nothing_under_faults",
            "src/replog/tests/disk.rs a_crash_between_the_store_and_the_evidence_loses_and_refuses_nothing",
            "src/paxos/tests/conformance.rs a_promise_that_was_not_synced_was_not_given",
        ],
    ),
    (
        "4 loss, doubling, delay, reordering, one-way links, across leaders",
        &[
            "tests/sim/main.rs ensembles_lose_nothing_under_faults",
            "tests/sim/main.rs aimed_trouble_loses_nothing",
            "src/paxos/tests/conformance.rs a_delayed_write_of_an_older_leader_changes_nothing_that_is_chosen",
            "tests/e2e/links.rs cut_and_delayed_links_lose_nothing_and_nobody_leads_without_a_quorum",
        ],
    ),
    (
        "5 one value a position, nothing acknowledged lost, nothing twice",
        &[
            "tests/sim/main.rs ensembles_lose_nothing_under_faults",
            "src/replog/tests/scenarios.rs random_events_on_real_disks_lose_nothing",
            "tests/e2e/ensemble.rs leaders_that_die_stall_or_lose_their_disk_lose_nothing_and_no_task_notices",
        ],
    ),
    (
        "6 a handle of a term that has ended is dead",
        &[
            "src/paxos/tests/leading.rs a_coordinator_that_meets_a_higher_ballot_is_demoted_and_never_writes_again",
            "src/replog/tests/mod.rs stale_ballots_and_oversized_entries_are_refused",
        ],
    ),
    (
        "6 candidates that outbid each other come to an end",
        &[
            "src/paxos/tests/conformance.rs stub_racing_elect_of_two_candidates_at_most_one_leads_and_soon_one_does",
            "tests/sim/main.rs aimed_trouble_loses_nothing",
        ],
    ),
    (
        "6 a jump after a long absence",
        &[
            "src/paxos/tests/conformance.rs a_replica_that_was_away_for_long_jumps_above_the_ballot_it_is_told",
            "src/paxos/tests/election.rs a_rejected_candidate_stands_again_above_the_ballot_it_was_told",
        ],
    ),
    (
        "7 one disk lost, also in the middle of an election",
        &[
            "src/paxos/tests/membership.rs a_replica_that_has_lost_its_disk_comes_back_as_a_new_incarnation_and_demotes_nobody",
            "src/paxos/tests/membership.rs a_replica_that_has_lost_its_disk_votes_only_when_it_has_learned_the_entry_that_seats_it",
            "src/paxos/tests/election.rs votes_of_strangers_and_of_older_incarnations_do_not_count",
        ],
    ),
    (
        "7 a lost quorum does not recover by itself",
        &[
            "src/paxos/tests/membership.rs a_lost_quorum_does_not_recover_by_itself",
            "src/replog/tests/ensemble.rs when_a_quorum_is_gone_the_last_resort_makes_a_new_ensemble_of_what_is_left",
        ],
    ),
    (
        "7 a second disk lost while the first recovers",
        &[
            "src/paxos/tests/membership.rs a_loss_during_the_recovery_of_another_waits_and_then_succeeds",
            "src/replog/tests/conformance.rs a_second_member_is_wiped_while_the_first_recovers",
        ],
    ),
    (
        "7 a restart in the middle of recovering",
        &["src/paxos/tests/membership.rs a_crash_in_the_middle_of_recovering_begins_again"],
    ),
    (
        "8 forming: all have to be there, late or early",
        &[
            "src/paxos/tests/membership.rs nothing_is_formed_while_nobody_says_that_all_are_there",
            "src/paxos/tests/membership.rs an_agreement_to_form_survives_a_crash_of_everybody",
            "src/replog/tests/mod.rs an_uninitialized_path_is_empty_and_stays_untouched",
        ],
    ),
    (
        "8 more replicas than the quorum allows for",
        &[
            "src/paxos/tests/membership.rs changes_that_are_not_possible_are_refused_with_a_reason",
            "src/replog/tests/mod.rs what_is_no_replica_or_does_not_fit_is_refused",
        ],
    ),
    (
        "9 truncation: beyond the end, repeated, backwards",
        &[
            "src/paxos/tests/leading.rs truncation_beyond_the_end_is_refused_and_up_to_it_moves_the_first_position",
        ],
    ),
    (
        "9 truncation: while somebody catches up",
        &[
            "src/paxos/tests/membership.rs a_follower_behind_the_truncation_starts_from_it_with_the_configuration_of_that_place",
        ],
    ),
    (
        "9 truncation: space comes back, a restart right after",
        &[
            "src/replog/tests/mod.rs truncated_entries_are_not_given_again_and_their_space_comes_back",
            "src/replog/tests/disk.rs sweeping_deletes_what_is_wholly_below_and_keeps_what_straddles",
        ],
    ),
    (
        "10 reads never come from the past",
        &[
            "src/paxos/tests/reads.rs a_leader_that_has_been_overtaken_answers_no_read",
            "src/paxos/tests/reads.rs an_answer_to_an_earlier_round_does_not_serve_a_later_read",
        ],
    ),
    (
        "10 a hole is an error, and not the end",
        &["src/replog/tests/disk.rs a_gap_below_the_watermark_is_found_when_opening"],
    ),
    (
        "10 catching up demotes no leader",
        &[
            "src/paxos/tests/membership.rs a_replica_that_has_lost_its_disk_comes_back_as_a_new_incarnation_and_demotes_nobody",
            "src/paxos/tests/reads.rs a_replica_that_hears_nobody_demotes_nobody_when_it_is_back",
        ],
    ),
    (
        "11 positions around the limits of numbers",
        &[
            "src/paxos/tests/conformance.rs positions_around_the_limits_of_narrower_numbers_are_like_any_other",
            "src/paxos/tests/conformance.rs the_last_positions_are_refused_and_not_given_twice",
        ],
    ),
    (
        "11 an empty entry, and one of several megabytes",
        &[
            "src/paxos/tests/conformance.rs an_empty_entry_is_an_entry",
            "src/replog/tests/mod.rs stale_ballots_and_oversized_entries_are_refused",
            "src/replog/tests/conformance.rs entries_of_several_megabytes_reach_every_member",
        ],
    ),
    (
        "11 a million entries are opened",
        &["src/replog/tests/conformance.rs a_log_of_a_million_entries_opens_with_all_of_them"],
    ),
    (
        "12 tools: initialising twice, a bad path, a log in use",
        &[
            "src/replog/tool/tests.rs initializing_twice_is_refused_and_changes_nothing",
            "src/replog/tool/tests.rs a_path_that_holds_something_else_is_refused_and_changes_nothing",
            "src/replog/tool/tests.rs a_path_in_use_is_refused_by_every_command_but_status",
            "src/replog/tool/tests.rs a_path_without_a_replica_is_not_made_by_reading",
        ],
    ),
    (
        "12 tools: statuses of exit, a trace replayed",
        &[
            "src/replog/tool/tests.rs bad_usage_goes_to_the_error_stream_with_status_1_and_help_with_0",
            "src/replog/tool/tests.rs a_trace_is_replayed_with_a_line_for_each_append",
        ],
    ),
    (
        "13 a wrong quorum, a stranger, a copy, an address used again",
        &[
            "src/replog/tests/ensemble.rs the_procedure_for_changing_the_quorum_size_works_as_written",
            "src/replog/tests/ensemble.rs a_replica_of_another_ensemble_or_with_another_key_is_kept_out",
            "src/replog/tests/ensemble.rs a_copied_disk_that_is_started_twice_is_refused_and_says_what_to_do",
            "src/replog/tests/ensemble.rs a_rolled_back_disk_is_refused",
            "src/paxos/tests/membership.rs a_wiped_machine_with_a_new_name_gets_the_seat_of_the_one_that_is_gone",
        ],
    ),
];

#[test]
fn every_item_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (item, tests) in ITEMS {
        assert!(!tests.is_empty(), "nothing shows: {item}");
        for test in *tests {
            let (file, name) = test.split_once(' ').unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap();
            let place = text.find(&format!("fn {name}()"));
            let place = place.unwrap_or_else(|| panic!("{item}: no {name} in {file}"));
            let before = text[..place].trim_end();
            let attribute = before.trim_end_matches(|c| c != '\n').trim_end();
            let is_test = before.ends_with("#[test]") || attribute.ends_with("#[test]");
            assert!(is_test, "{item}: {name} in {file} is not run");
        }
    }
    // The list has thirteen points.
    for point in 1..=13 {
        let head = format!("{point} ");
        assert!(
            ITEMS.iter().any(|(item, _)| item.starts_with(&head)),
            "{point}"
        );
    }
}

#[test]
fn a_log_of_a_million_entries_opens_with_all_of_them() {
    const COUNT: u64 = 1_000_000;
    let scratch = Scratch::initialized();
    let (mut disk, recovered) = open_disk(scratch.path()).unwrap();
    let ballot = recovered.promised.above(recovered.me.id);
    disk.commit([Record::Promise(ballot)]).unwrap();
    let (mut first, end) = (recovered.learned.next(), recovered.learned.plus(COUNT));
    while first <= end {
        let count = (end.0 - first.0 + 1).min(Run::VALUES_MAX as u64);
        let value = |at: u64| Value::Append(at.to_be_bytes().as_slice().into());
        let values = (first.0..first.0 + count).map(value).collect();
        disk.commit(Run::cut(ballot, first, values).into_iter().map(Record::Run))
            .unwrap();
        first = first.plus(count);
    }
    disk.commit([Record::Learned(end)]).unwrap();
    disk.attest().unwrap();
    drop(disk);
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (_, entries) = leading(&events).await;
        assert_eq!(entries.len() as u64, COUNT);
        for (at, payload) in &entries {
            assert_eq!(**payload, at.to_be_bytes());
        }
        assert_eq!(log.stats().first, Position::FIRST.0);
        log.close().await;
    });
}

#[test]
fn entries_of_several_megabytes_reach_every_member() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let at = leader(&nodes).unwrap();
        let ballot = nodes[at].leading.unwrap();
        let large = |index: u8| vec![index; 5 << 20];
        for index in 0..3 {
            let append = nodes[at]
                .log()
                .append(ballot, u64::from(index), large(index));
            append.await.unwrap();
        }
        until(&mut nodes, "everybody has all three", |nodes| {
            nodes
                .iter()
                .all(|node| (0..3).all(|index| node.has(&large(index))))
        })
        .await;
        // A member that was away gets them from a disk.
        let away = (at + 1) % 3;
        let peers = addresses(&nodes);
        nodes[away].stop().await;
        append(&mut nodes, "meanwhile").await;
        nodes[away].start(&peers, 2).await;
        everybody_has(&mut nodes, "meanwhile").await;
        assert!((0..3).all(|index| nodes[away].has(&large(index))));
        stop(&mut nodes).await;
    });
}

#[test]
fn a_second_member_is_wiped_while_the_first_recovers() {
    rt::block_on(async {
        let mut nodes = formed(5).await;
        for index in 0..20 {
            append(&mut nodes, &format!("entry {index}")).await;
        }
        everybody_has(&mut nodes, "entry 19").await;
        let peers = addresses(&nodes);
        let first = (leader(&nodes).unwrap() + 1) % 5;
        let second = (first + 1) % 5;
        for wiped in [first, second] {
            nodes[wiped].stop().await;
            fs::remove_dir_all(nodes[wiped].path()).unwrap();
            // It is not waited for: the second is wiped while this one has no seat.
            nodes[wiped].start(&peers, 3).await;
        }
        append(&mut nodes, "after both").await;
        everybody_has(&mut nodes, "after both").await;
        for index in 0..20 {
            let payload = format!("entry {index}");
            assert!(nodes.iter().all(|node| node.has(payload.as_bytes())));
        }
        until(&mut nodes, "everybody has a seat", |nodes| {
            let members = nodes[second].log().ensemble().members;
            let votes = |m: &&crate::replog::MemberStatus| {
                let is_seated = m.role != crate::replog::Role::Learner && m.is_connected;
                is_seated && m.status == Some(crate::replog::ReplicaStatus::Voting)
            };
            members.iter().filter(votes).count() == 5
        })
        .await;
        stop(&mut nodes).await;
    });
}
