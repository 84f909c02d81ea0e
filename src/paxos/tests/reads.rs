//! Quorum reads, stepping down, pre-votes, handing over.

use super::ensemble::Ensemble;
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn read(ensemble: &mut Ensemble, id: u64, token: u64) {
    ensemble.call(id, |core, now, rng| core.read(now, token, rng));
}

fn answer(ensemble: &Ensemble, id: u64, asked: u64) -> Option<Option<Position>> {
    let told = ensemble.nodes[&id].told.iter();
    let mut answers = told.filter_map(|effect| match effect {
        Effect::ReadReady { token, position } if *token == asked => Some(Some(*position)),
        Effect::ReadFailed { token } if *token == asked => Some(None),
        _ => None,
    });
    let answer = answers.next();
    assert!(answers.next().is_none(), "answered twice");
    answer
}

#[test]
fn a_read_is_answered_at_once_by_a_replica_that_is_alone() {
    let mut alone = Ensemble::of(1);
    let at = alone.append(1, 1).unwrap();
    read(&mut alone, 1, 5);
    assert_eq!(answer(&alone, 1, 5), Some(Some(at)));
}

#[test]
fn a_read_waits_for_a_quorum_and_one_round_serves_all_that_wait() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    let at = ensemble.append(1, 1).unwrap();
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Progress { .. });
    for token in 0..10 {
        read(&mut ensemble, 1, token);
    }
    assert_eq!(answer(&ensemble, 1, 0), None);
    ensemble.let_go();
    for token in 0..10 {
        assert_eq!(answer(&ensemble, 1, token), Some(Some(at)));
    }
}

#[test]
fn an_answer_to_an_earlier_round_does_not_serve_a_later_read() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Progress { .. });
    read(&mut ensemble, 1, 1);
    read(&mut ensemble, 1, 2);
    let round_one = ensemble.held_up.remove(0).2;
    ensemble.call(1, |core, now, rng| core.handle_message(now, round_one, rng));
    assert!(answer(&ensemble, 1, 1).is_some());
    assert_eq!(answer(&ensemble, 1, 2), None);
}

#[test]
fn a_leader_that_has_been_overtaken_answers_no_read() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.isolate(1);
    ensemble.elect(2);
    ensemble.append(2, 9).unwrap();
    read(&mut ensemble, 1, 1);
    assert_eq!(answer(&ensemble, 1, 1), None);
    ensemble.cut.clear();
    ensemble.pass(SECOND);
    assert_eq!(answer(&ensemble, 1, 1), Some(None));
    read(&mut ensemble, 1, 2);
    assert_eq!(answer(&ensemble, 1, 2), Some(None), "it follows");
}

#[test]
fn a_leader_that_hears_no_quorum_steps_down_and_its_reads_fail() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.isolate(1);
    read(&mut ensemble, 1, 1);
    ensemble.pass(SECOND);
    assert_eq!(ensemble.core(1).leading(), None);
    assert_eq!(answer(&ensemble, 1, 1), Some(None));
    let discarded = Effect::Discarded { ballot: term };
    assert!(ensemble.node(1).told.contains(&discarded));
    assert!(ensemble.leader().is_some(), "the others go on");
}

#[test]
fn a_replica_that_hears_nobody_demotes_nobody_when_it_is_back() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.isolate(3);
    ensemble.pass(SECOND * 30);
    ensemble.cut.clear();
    ensemble.pass(SECOND * 5);
    assert_eq!(ensemble.leader(), Some((1, term)));
    assert_eq!(ensemble.core(3).leader(), Some(term));
}

#[test]
fn a_follower_that_only_it_cannot_hear_the_leader_is_not_welcome() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.cut.insert((1, 3));
    ensemble.pass(SECOND * 30);
    assert_eq!(ensemble.leader(), Some((1, term)));
}

#[test]
fn a_disk_that_stands_still_trips_no_election() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    for id in 1..=3 {
        ensemble.node(id).is_stalled = true;
    }
    ensemble.append(1, 1).unwrap();
    ensemble.pass(SECOND);
    for id in 1..=3 {
        ensemble.node(id).is_stalled = false;
    }
    ensemble.pass(SECOND);
    assert_eq!(ensemble.leader(), Some((1, term)));
    assert_eq!(ensemble.given(1).len(), 1);
}

#[test]
fn a_leader_whose_connection_breaks_is_followed_by_another_without_waiting_for_its_silence() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    let died = ensemble.now;
    ensemble.crash(1);
    for id in [2, 3] {
        ensemble.call(id, |core, now, rng| {
            core.handle_disconnected(now, ReplicaId(1), rng)
        });
    }
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    assert!(ensemble.now.since(died) < Duration::from_millis(150));
}

#[test]
fn handing_over_takes_no_timeout_and_loses_nothing() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.append(1, 1).unwrap();
    let before = ensemble.now;
    assert!(ensemble.call(1, Replica::hand_over));
    let (leader, later) = ensemble.leader().expect("another leads");
    assert_ne!(leader, 1);
    assert!(later > term);
    assert_eq!(ensemble.now, before);
    ensemble.append(leader, 2).unwrap();
    assert_eq!(ensemble.given(leader).len(), 2);
    assert_eq!(ensemble.append(1, 3), Err(ProposeError::NotCoordinator));
}

#[test]
fn a_hand_over_that_gets_lost_is_given_up_and_the_leader_goes_on() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.holds_up = |_, _, body| matches!(body, Body::TimeoutNow);
    assert!(ensemble.call(1, Replica::hand_over));
    assert_eq!(ensemble.append(1, 1), Err(ProposeError::Full));
    ensemble.pass(SECOND);
    ensemble.append(1, 1).unwrap();
    let mut alone = Ensemble::of(1);
    assert!(!alone.call(1, Replica::hand_over), "there is nobody");
    alone.append(1, 1).unwrap();
}

#[test]
fn everybody_knows_who_leads_and_that_nobody_does() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    for id in 1..=3 {
        assert_eq!(ensemble.core(id).leader(), Some(term));
    }
    assert_eq!(ensemble.core(1).peers().len(), 2);
    ensemble.crash(1);
    ensemble.cut.extend([(2, 3), (3, 2)]);
    ensemble.pass(SECOND * 2);
    for id in 2..=3 {
        assert_eq!(ensemble.core(id).leader(), None);
        let told = &ensemble.nodes[&id].told;
        assert!(told.contains(&Effect::Leader(None)));
    }
}

#[test]
fn a_batch_for_a_peer_that_gets_lost_is_sent_again_though_the_peer_accepts_what_is_new() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.isolate(3);
    for number in 0..20 {
        ensemble.append(1, number).unwrap();
    }
    ensemble.pass(Duration::from_millis(300));
    ensemble.cut.clear();
    ensemble.holds_up = |_, to, body| to == 3 && matches!(body, Body::Learn { .. });
    for number in 20..60 {
        ensemble.append(1, number).unwrap();
        ensemble.pass(Duration::from_millis(20));
        if ensemble.held_up.len() == 1 {
            ensemble.held_up.clear();
            ensemble.holds_up = |_, _, _| false;
        }
    }
    assert_eq!(ensemble.core(3).learned(), ensemble.core(1).learned());
}
