//! The scenarios of the Mesos log's own suite, as far as they are the core's, and the five that it
//! names but leaves empty. Disk, tools and texts are tested where they live.

use super::ensemble::Ensemble;
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Lets a replica stand without waiting for the outcome.
fn stand(ensemble: &mut Ensemble, id: u64) {
    ensemble.call(id, |core, now, rng| {
        core.campaign(now, rng);
        core.settle(now, rng);
    });
}

fn numbers(ensemble: &Ensemble, id: u64) -> Vec<u8> {
    ensemble.given(id).into_iter().map(|(_, n)| n).collect()
}

fn truncate(ensemble: &mut Ensemble, id: u64, to: u64) -> Result<Position, ProposeError> {
    let term = ensemble.core(id).leading().unwrap();
    let values = vec![Value::Truncate { to: Position(to) }];
    ensemble.call(id, |core, now, rng| core.propose(now, term, values, rng))
}

// Replica.Promise, .Append, .Restore, .NonVoting: see also `acceptor` and `leading`.

#[test]
fn the_same_ballot_is_promised_to_its_owner_again_and_a_lower_or_other_one_is_rejected_with_it() {
    let mut driven = Driven::new(recovered(&[1, 2, 3]));
    driven.hear(2, ballot(2, 2), Body::Prepare);
    driven.sync();
    let again = driven.hear(2, ballot(2, 2), Body::Prepare);
    assert_eq!(sent(&again), [&promise(0, Vec::new())]);
    let promised = ballot(2, 2);
    for lower in [ballot(1, 3), ballot(2, 3)] {
        let refused = driven.hear(3, lower, Body::Prepare);
        assert_eq!(sent(&refused), [&Body::Reject { promised }]);
    }
    driven.hear(3, ballot(3, 3), Body::Prepare);
    assert_eq!(sent(&driven.sync()), [&promise(0, Vec::new())]);
}

#[test]
fn a_write_to_a_learned_position_is_acknowledged_and_changes_nothing() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    let at = ensemble.append(1, 7).unwrap();
    ensemble.pass(SECOND);
    let write = Body::Write {
        run: run(term, at.0, &[8]),
        learned: at,
    };
    let message = Message {
        from: member(1),
        ballot: term,
        body: write,
    };
    ensemble.holds_up = |from, _, body| from == 3 && matches!(body, Body::Accepted { .. });
    ensemble.call(3, |core, now, rng| core.handle_message(now, message, rng));
    assert_eq!(
        ensemble.held_up.len(),
        1,
        "silence would hold up the coordinator"
    );
    assert_eq!(numbers(&ensemble, 3), [7]);
    assert_eq!(ensemble.node(3).durable.at(at).unwrap().value, value(7));
}

#[test]
fn what_was_promised_and_accepted_is_there_after_a_restart() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    let at = ensemble.append(1, 7).unwrap();
    for id in 1..=3 {
        ensemble.crash(id);
        ensemble.start(id);
        assert_eq!(ensemble.core(id).promised(), term);
        assert_eq!(ensemble.core(id).end(), at);
    }
}

#[test]
fn a_promise_that_was_not_synced_was_not_given() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.node(2).is_stalled = true;
    ensemble.node(3).is_stalled = true;
    stand(&mut ensemble, 2);
    assert_eq!(ensemble.core(2).leading(), None);
    assert_eq!(ensemble.core(3).promised().replica, ReplicaId(2));
    ensemble.crash(3);
    ensemble.start(3);
    assert_eq!(
        ensemble.core(3).promised().replica,
        ReplicaId(1),
        "nobody was told"
    );
}

#[test]
fn an_election_needs_no_timer_and_the_first_entry_is_the_logs_own() {
    let mut ensemble = Ensemble::of(2);
    ensemble.elect(1);
    assert_eq!(ensemble.now, NOW);
    assert_eq!(ensemble.core(1).end(), Position(1));
    assert_eq!(ensemble.append(1, 1), Ok(Position(2)));
}

#[test]
fn without_a_quorum_nobody_is_elected_and_nothing_is_appended() {
    let mut ensemble = Ensemble::of(3);
    ensemble.crash(2);
    ensemble.crash(3);
    stand(&mut ensemble, 1);
    ensemble.pass(SECOND * 12);
    assert_eq!(ensemble.leader(), None);
    ensemble.start(2);
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    let (leader, term) = ensemble.leader().unwrap();
    ensemble.crash(3 - leader);
    ensemble.append(leader, 1).unwrap();
    ensemble.pass(SECOND * 12);
    assert!(numbers(&ensemble, leader).is_empty());
    let discarded = Effect::Discarded { ballot: term };
    assert!(
        ensemble.node(leader).told.contains(&discarded),
        "its outcome is unknown"
    );
}

#[test]
fn a_discarded_append_is_settled_by_the_next_election_and_appears_once() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    ensemble.append(1, 7).unwrap();
    ensemble.elect(2);
    ensemble.let_go();
    assert_eq!(ensemble.append(1, 8), Err(ProposeError::NotCoordinator));
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(numbers(&ensemble, id), [7]);
    }
}

#[test]
fn another_coordinator_takes_over_and_the_old_one_is_demoted() {
    let mut ensemble = Ensemble::of(3);
    let old = ensemble.elect(1);
    ensemble.append(1, 1).unwrap();
    ensemble.elect(2);
    assert_eq!(numbers(&ensemble, 2), [1]);
    let values = vec![value(9)];
    let stale = ensemble.call(1, |core, now, rng| core.propose(now, old, values, rng));
    assert_eq!(stale, Err(ProposeError::NotCoordinator));
    ensemble.append(2, 2).unwrap();
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(numbers(&ensemble, id), [1, 2]);
    }
}

#[test]
fn a_replica_with_an_empty_log_recovers_ten_entries_learned_or_not() {
    for is_told in [true, false] {
        let mut ensemble = Ensemble::of(3);
        ensemble.isolate(3);
        ensemble.elect(1);
        if !is_told {
            // 2 accepts everything and is told that nothing is chosen.
            ensemble.holds_up = |from, _, body| from == 1 && matches!(body, Body::Heartbeat { .. });
        }
        for number in 1..=10 {
            ensemble.append(1, number).unwrap();
        }
        ensemble.crash(1);
        ensemble.cut.clear();
        ensemble.holds_up = |_, _, _| false;
        ensemble.held_up.clear();
        ensemble.elect(3);
        assert_eq!(numbers(&ensemble, 3), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}

#[test]
fn a_truncation_is_effective_where_it_is_learned_and_survives_the_next_election() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    for number in 1..=10 {
        ensemble.append(1, number).unwrap();
    }
    let at = truncate(&mut ensemble, 1, 7).unwrap();
    assert_eq!(ensemble.core(1).first(), Position(7));
    assert_eq!(at, Position(12));
    ensemble.elect(2);
    assert_eq!(ensemble.core(2).first(), Position(7));
    // Backwards, and again: nothing.
    truncate(&mut ensemble, 2, 3).unwrap();
    truncate(&mut ensemble, 2, 7).unwrap();
    assert_eq!(ensemble.core(2).first(), Position(7));
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(ensemble.core(id).first(), Position(7));
        ensemble.crash(id);
        ensemble.start(id);
        assert_eq!(ensemble.core(id).first(), Position(7));
    }
}

#[test]
fn only_one_of_three_may_vote_and_the_candidate_hears_so() {
    let mut ensemble = Ensemble::of(3);
    for id in [2, 3] {
        ensemble.crash(id);
        ensemble.node(id).durable.status = Status::Recovering;
        ensemble.node(id).durable.needs_incarnation = true;
        ensemble.start(id);
    }
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Ignored { .. });
    stand(&mut ensemble, 1);
    assert_eq!(ensemble.held_up.len(), 2, "nobody is silent");
    assert_eq!(ensemble.leader(), None);
}

#[test]
fn positions_around_the_limits_of_narrower_numbers_are_like_any_other() {
    for at in [1 << 31, 1 << 32, 10_000_000_000, 1 << 63_u64] {
        let mut alone = recovered(&[1]);
        alone.first = Position(at - 3);
        alone.learned = Position(at - 3);
        alone.configured = Position(1);
        let mut driven = Driven::new(alone);
        driven.sync();
        let term = driven.core.leading().unwrap();
        let values = vec![value(1), value(2), value(3)];
        let first = driven.core.propose(NOW, term, values, &mut driven.rng);
        assert_eq!(first, Ok(Position(at - 1)));
        driven.sync();
        assert_eq!(driven.core.learned(), Position(at + 1));
    }
}

#[test]
fn the_last_positions_are_refused_and_not_given_twice() {
    let mut alone = recovered(&[1]);
    alone.first = Position(u64::MAX - 4);
    alone.learned = Position(u64::MAX - 4);
    alone.configured = Position(1);
    let mut driven = Driven::new(alone);
    driven.sync();
    let term = driven.core.leading().unwrap();
    for _ in 0..4 {
        driven
            .core
            .propose(NOW, term, vec![value(1)], &mut driven.rng)
            .ok();
        driven.sync();
    }
    let values = vec![value(1)];
    let full = driven.core.propose(NOW, term, values, &mut driven.rng);
    assert_eq!(full, Err(ProposeError::Full));
    assert!(driven.core.end() < Position(u64::MAX));
}

#[test]
fn an_empty_entry_is_an_entry() {
    let mut ensemble = Ensemble::of(1);
    let term = ensemble.core(1).leading().unwrap();
    let empty = vec![Value::Append(Arc::from([]))];
    let at = ensemble.call(1, |core, now, rng| core.propose(now, term, empty, rng));
    assert_eq!(ensemble.core(1).learned(), at.unwrap());
}

#[test]
fn a_replica_that_was_away_for_long_jumps_above_the_ballot_it_is_told() {
    let mut ensemble = Ensemble::of(3);
    ensemble.isolate(3);
    for _ in 0..20 {
        ensemble.elect(1);
        ensemble.elect(2);
    }
    let high = ensemble.core(1).promised();
    ensemble.cut.clear();
    stand(&mut ensemble, 3);
    let (leader, term) = ensemble.leader().unwrap();
    assert_eq!(
        (leader, term.round),
        (3, high.round + 1),
        "at its second attempt"
    );
}

#[test]
fn a_delayed_write_of_an_older_leader_changes_nothing_that_is_chosen() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.holds_up = |from, _, body| from == 1 && matches!(body, Body::Write { .. });
    ensemble.append(1, 4).unwrap();
    ensemble.cut.extend([(2, 1), (3, 1)]);
    ensemble.elect(2);
    ensemble.append(2, 5).unwrap();
    ensemble.cut.clear();
    ensemble.let_go();
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(numbers(&ensemble, id), [5]);
    }
}

// The five that upstream's suite names and never wrote.

#[test]
fn stub_racing_elect_of_two_candidates_at_most_one_leads_and_soon_one_does() {
    let mut ensemble = Ensemble::of(3);
    ensemble.holds_up = |_, _, body| matches!(body, Body::Promise { .. });
    stand(&mut ensemble, 1);
    stand(&mut ensemble, 2);
    ensemble.let_go();
    let leading = (1..=3).filter(|id| ensemble.core(*id).leading().is_some());
    assert!(leading.count() <= 1);
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    let (leader, _) = ensemble.leader().unwrap();
    ensemble.append(leader, 1).unwrap();
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(numbers(&ensemble, id), [1]);
    }
}

#[test]
fn stub_fill_no_quorum_what_cannot_be_settled_is_not_given() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    ensemble.append(1, 7).unwrap();
    ensemble.crash(1);
    // 2 gets its promises, and then nobody takes its writes.
    ensemble.holds_up = |from, _, body| from == 2 && matches!(body, Body::Write { .. });
    stand(&mut ensemble, 2);
    ensemble.pass(SECOND);
    assert_eq!(ensemble.leader(), None);
    assert!(numbers(&ensemble, 2).is_empty());
    ensemble.let_go();
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    let (leader, _) = ensemble.leader().unwrap();
    assert_eq!(numbers(&ensemble, leader), [7]);
}

#[test]
fn stub_fill_inconsistent_the_value_of_the_highest_ballot_is_kept() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    // 1 writes 4 to itself alone.
    ensemble.isolate(1);
    ensemble.append(1, 4).unwrap();
    // 2, elected by 3, writes 5 at the same place, to itself and 3; the answer gets lost.
    ensemble.elect(2);
    ensemble.holds_up = |_, to, body| to == 2 && matches!(body, Body::Accepted { .. });
    ensemble.append(2, 5).unwrap();
    ensemble.cut.clear();
    ensemble.crash(2);
    ensemble.holds_up = |_, _, _| false;
    ensemble.pass(SECOND * 3);
    let (leader, _) = ensemble.leader().unwrap();
    assert_eq!(numbers(&ensemble, leader), [5]);
    ensemble.start(2);
    ensemble.pass(SECOND * 2);
    for id in 1..=3 {
        assert_eq!(numbers(&ensemble, id), [5]);
    }
}

#[test]
fn stub_learned_on_one_replica_and_not_on_another_is_learned_there_from_it() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.holds_up = |from, to, body| {
        (from, to) == (1, 3) && matches!(body, Body::Write { .. } | Body::Heartbeat { .. })
    };
    ensemble.append(1, 7).unwrap();
    assert_eq!(numbers(&ensemble, 2), [7]);
    assert!(numbers(&ensemble, 3).is_empty());
    ensemble.crash(1);
    ensemble.held_up.clear();
    ensemble.elect(3);
    assert_eq!(numbers(&ensemble, 3), [7]);
}

#[test]
fn stub_learned_on_one_replica_which_fails_and_recovers_while_the_other_goes_on() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.holds_up = |_, to, body| to == 3 && !matches!(body, Body::Prepare);
    ensemble.append(1, 7).unwrap();
    ensemble.crash(1);
    ensemble.crash(2);
    ensemble.start(2);
    ensemble.held_up.clear();
    ensemble.holds_up = |_, _, _| false;
    ensemble.elect(3);
    ensemble.append(3, 8).unwrap();
    ensemble.start(1);
    ensemble.pass(SECOND * 2);
    for id in 1..=3 {
        let last: Vec<u8> = numbers(&ensemble, id);
        assert!(
            last.ends_with(&[7, 8]) || last == [8],
            "{id} was given {last:?}"
        );
        assert_eq!(ensemble.core(id).learned(), ensemble.core(3).learned());
    }
}
