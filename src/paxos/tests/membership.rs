//! Forming an ensemble, changing it, losing state and coming back.

use super::ensemble::Ensemble;
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Three replicas that lead, replica 1 in front.
fn three() -> Ensemble {
    let mut three = Ensemble::of(3);
    three.elect(1);
    three.pass(SECOND);
    three
}

fn add(id: u64) -> Change {
    Change::Add {
        member: member(id),
        address: seat(id).1.address,
    }
}

fn members(ensemble: &Ensemble, id: u64) -> Vec<u64> {
    let members = ensemble.configuration(id).members.keys();
    members.map(|id| id.0).collect()
}

fn together(ids: impl IntoIterator<Item = u64>) -> Configuration {
    Configuration::majority(77, ids.into_iter().map(seat))
}

fn is_leader(ensemble: &Ensemble, id: u64) -> bool {
    ensemble.nodes[&id]
        .core
        .as_ref()
        .is_some_and(|core| core.leading().is_some())
}

#[test]
fn nothing_is_formed_while_nobody_says_that_all_are_there() {
    let mut ensemble = Ensemble::empty(true);
    for id in 1..=3 {
        ensemble.add(id, Ensemble::initialized(id));
    }
    ensemble.pass(SECOND * 30);
    assert_eq!(ensemble.leader(), None);
    for id in 1..=3 {
        assert_eq!(ensemble.core(id).status(), Status::Starting);
        assert_eq!(ensemble.core(id).promised(), Ballot::ZERO);
    }
}

#[test]
fn an_ensemble_is_formed_by_its_first_election_and_its_configuration_is_the_first_entry() {
    let mut ensemble = Ensemble::empty(true);
    for id in 1..=3 {
        ensemble.add(id, Ensemble::initialized(id));
    }
    ensemble.call(2, |core, now, rng| core.form(now, together(1..=3), rng));
    assert!(!ensemble.core(2).is_bound(), "the lowest id forms");
    ensemble.call(1, |core, now, rng| core.form(now, together(1..=3), rng));
    ensemble.pass_until("formed", |e| (1..=3).all(|id| e.core(id).is_formed()));
    for id in 1..=3 {
        assert_eq!(ensemble.configuration(id), &together(1..=3));
        assert_eq!(ensemble.core(id).configured(), Position(1));
    }
}

#[test]
fn a_replica_that_has_agreed_to_one_ensemble_agrees_to_no_other() {
    let mut ensemble = Ensemble::empty(true);
    for id in 1..=4 {
        ensemble.add(id, Ensemble::initialized(id));
    }
    ensemble.isolate(4);
    ensemble.call(1, |core, now, rng| core.form(now, together(1..=3), rng));
    ensemble.pass_until("formed", |e| e.leader().is_some());
    ensemble.cut.clear();
    let other = Configuration {
        cluster: 78,
        ..together(2..=4)
    };
    ensemble.call(2, |core, now, rng| core.form(now, other.clone(), rng));
    let configuration = Arc::new(other);
    let message = Message {
        from: member(2),
        ballot: Ballot::ZERO,
        body: Body::Form { configuration },
    };
    ensemble.call(3, |core, now, rng| core.handle_message(now, message, rng));
    ensemble.pass(SECOND);
    assert_eq!(ensemble.configuration(2).cluster, 77);
    assert_eq!(ensemble.configuration(3).cluster, 77);
}

#[test]
fn an_agreement_to_form_survives_a_crash_of_everybody() {
    let mut ensemble = Ensemble::empty(true);
    for id in 1..=3 {
        ensemble.add(id, Ensemble::initialized(id));
    }
    ensemble.holds_up = |_, _, body| !matches!(body, Body::Form { .. });
    ensemble.call(1, |core, now, rng| core.form(now, together(1..=3), rng));
    ensemble.holds_up = |_, _, _| false;
    for id in 1..=3 {
        ensemble.crash(id);
        ensemble.start(id);
        assert!(ensemble.core(id).is_bound());
    }
    ensemble.pass_until("formed", |e| (1..=3).all(|id| e.core(id).is_formed()));
    assert_eq!(ensemble.configuration(2).cluster, 77);
}

#[test]
fn one_grows_to_three_to_five_to_seven_and_shrinks_again_without_losing_an_entry() {
    let mut ensemble = Ensemble::of(1);
    ensemble.append(1, 1).unwrap();
    for id in 2..=7 {
        ensemble.add(id, Ensemble::initialized(id));
        // Only the first was meant to be alone.
        let mut options = Options {
            has_peers: true,
            ..Options::default()
        };
        options.address = seat(id).1.address;
        let recovered = Ensemble::initialized(id).recovered();
        ensemble.node(id).core = Some(Replica::new(recovered, options));
        ensemble.call(id, Replica::start);
        ensemble.change(1, add(id)).unwrap();
        ensemble.pass_until("added", |e| members(e, 1).contains(&id));
        ensemble.append(1, u8::try_from(id).unwrap()).unwrap();
        assert_eq!(
            ensemble.configuration(1).quorum,
            u32::try_from(id / 2 + 1).unwrap()
        );
    }
    for id in 2..=6 {
        let gone = Change::Remove { id: ReplicaId(id) };
        ensemble.change(1, gone).unwrap();
        ensemble.pass_until("removed", |e| !members(e, 1).contains(&id));
        ensemble.crash(id);
        ensemble.append(1, u8::try_from(10 + id).unwrap()).unwrap();
    }
    assert_eq!(members(&ensemble, 7), [1, 7]);
    ensemble.pass(SECOND);
    let all: Vec<u8> = ensemble.given(7).into_iter().map(|(_, n)| n).collect();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16]);
}

#[test]
fn while_a_configuration_is_under_way_nothing_is_appended_behind_it() {
    let mut ensemble = three();
    ensemble.add(4, Ensemble::initialized(4));
    ensemble.pass_until("4 follows", |e| e.core(4).learned() == e.core(1).learned());
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    ensemble.change(1, add(4)).unwrap();
    ensemble.pass(Duration::from_millis(100));
    assert!(!ensemble.core(1).has_room());
    assert_eq!(ensemble.append(1, 9), Err(ProposeError::Full));
    assert!(members(&ensemble, 1) == [1, 2, 3]);
    ensemble.let_go();
    ensemble.pass(SECOND);
    assert_eq!(members(&ensemble, 1), [1, 2, 3, 4]);
    ensemble.append(1, 9).unwrap();
}

#[test]
fn a_change_waits_for_what_is_in_flight() {
    let mut ensemble = three();
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    let at = ensemble.append(1, 1).unwrap();
    let gone = Change::Remove { id: ReplicaId(3) };
    ensemble.change(1, gone).unwrap();
    assert_eq!(ensemble.core(1).end(), at, "the change is not appended yet");
    assert_eq!(ensemble.append(1, 2), Err(ProposeError::Full));
    ensemble.let_go();
    ensemble.pass(SECOND);
    assert_eq!(members(&ensemble, 1), [1, 2]);
    assert_eq!(ensemble.core(1).configured(), at.next());
}

#[test]
fn a_change_needs_quorums_of_the_old_and_of_the_new_ensemble() {
    // From {1, 2} to {1, 2, 3}: a quorum of the new one without 2 is none of the old.
    let mut ensemble = Ensemble::of(2);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.add(3, Ensemble::initialized(3));
    ensemble.pass_until("3 follows", |e| e.core(3).learned() == e.core(1).learned());
    ensemble.holds_up =
        |from, to, body| from == 2 && to == 1 && matches!(body, Body::Accepted { .. });
    ensemble.change(1, add(3)).unwrap();
    ensemble.pass(Duration::from_millis(200));
    assert_eq!(
        members(&ensemble, 1),
        [1, 2],
        "3 has accepted, 2 has not said so"
    );
    ensemble.let_go();
    assert_eq!(members(&ensemble, 1), [1, 2, 3]);
}

#[test]
fn a_new_leader_settles_a_configuration_that_may_have_been_chosen() {
    let mut ensemble = three();
    ensemble.add(4, Ensemble::initialized(4));
    ensemble.pass_until("4 follows", |e| e.core(4).learned() == e.core(1).learned());
    // Accepted by all, known to be chosen by nobody.
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    ensemble.change(1, add(4)).unwrap();
    ensemble.pass(Duration::from_millis(50));
    ensemble.crash(1);
    ensemble.holds_up = |_, _, _| false;
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    let (leader, _) = ensemble.leader().unwrap();
    assert_eq!(members(&ensemble, leader), [1, 2, 3, 4]);
    // Of four, three decide: 2, 3 and 4 are.
    ensemble.append(leader, 5).unwrap();
    ensemble.crash(4);
    ensemble.append(leader, 6).unwrap();
    ensemble.pass(Duration::from_millis(200));
    assert!(
        !ensemble
            .given(leader)
            .contains(&(ensemble.core(leader).end().0, 6))
    );
}

#[test]
fn a_candidate_that_meets_a_newer_configuration_stands_again_under_it() {
    let mut ensemble = three();
    ensemble.isolate(3);
    let gone = Change::Remove { id: ReplicaId(3) };
    ensemble.change(1, gone).unwrap();
    ensemble.pass(Duration::from_millis(300));
    assert_eq!(members(&ensemble, 2), [1, 2]);
    ensemble.crash(1);
    ensemble.cut.clear();
    // 3 still believes in three members, of whom 2 and 3 are a quorum. They are not.
    ensemble.call(3, |core, now, rng| {
        core.campaign(now, rng);
        core.settle(now, rng);
    });
    ensemble.pass(SECOND * 5);
    assert_eq!(ensemble.leader(), None);
    assert_eq!(
        members(&ensemble, 3),
        [1, 2],
        "it has learned so on the way"
    );
}

#[test]
fn a_leader_that_is_removed_hands_over() {
    let mut ensemble = three();
    ensemble.append(1, 1).unwrap();
    let gone = Change::Remove { id: ReplicaId(1) };
    ensemble.change(1, gone).unwrap();
    // Without any timeout.
    assert!(!is_leader(&ensemble, 1));
    let (leader, _) = ensemble.leader().expect("another has taken over");
    assert_eq!(members(&ensemble, leader), [2, 3]);
    ensemble.append(leader, 2).unwrap();
    ensemble.pass(SECOND * 10);
    assert_eq!(
        ensemble.leader().map(|(id, _)| id),
        Some(leader),
        "1 disturbs nobody"
    );
}

#[test]
fn changes_that_are_not_possible_are_refused_with_a_reason() {
    let mut ensemble = three();
    let quorum = |size| Change::Quorum { size };
    let unsound = |size, least| ChangeError::Quorum {
        size,
        members: 3,
        least,
    };
    assert_eq!(ensemble.change(1, quorum(1)), Err(unsound(1, 2)));
    assert_eq!(ensemble.change(1, quorum(4)), Err(unsound(4, 2)));
    assert_eq!(ensemble.change(2, quorum(2)), Err(ChangeError::NotLeader));
    let known = ChangeError::AlreadyMember(ReplicaId(2));
    assert_eq!(ensemble.change(1, add(2)), Err(known));
    let stranger = Change::Remove { id: ReplicaId(9) };
    let unknown = ChangeError::NotMember(ReplicaId(9));
    assert_eq!(ensemble.change(1, stranger), Err(unknown));
    let stale = Change::Rejoin {
        id: ReplicaId(2),
        incarnation: Incarnation(0),
    };
    assert_eq!(ensemble.change(1, stale), Err(ChangeError::Stale(0)));
    let own = Change::Rejoin {
        id: ReplicaId(1),
        incarnation: Incarnation(5),
    };
    let leads = ChangeError::AlreadyMember(ReplicaId(1));
    assert_eq!(ensemble.change(1, own), Err(leads));
    let level = Change::FeatureLevel { level: 2 };
    let unread = ChangeError::FeatureLevel {
        level: 2,
        id: ReplicaId(1),
        reads: 1,
    };
    assert_eq!(ensemble.change(1, level), Err(unread));
    let mut alone = Ensemble::of(1);
    let last = Change::Remove { id: ReplicaId(1) };
    assert_eq!(alone.change(1, last), Err(ChangeError::LastMember));
}

#[test]
fn a_larger_quorum_is_kept_when_the_ensemble_grows() {
    let mut ensemble = three();
    ensemble.change(1, Change::Quorum { size: 3 }).unwrap();
    assert_eq!(ensemble.configuration(1).quorum, 3);
    for id in 4..=5 {
        ensemble.add(id, Ensemble::initialized(id));
        ensemble.change(1, add(id)).unwrap();
        ensemble.pass_until("added", |e| members(e, 1).contains(&id));
    }
    assert_eq!(ensemble.configuration(1).quorum, 3);
}

#[test]
fn a_member_whose_removal_would_leave_no_quorum_is_not_removed() {
    let mut ensemble = three();
    ensemble.crash(3);
    ensemble.pass(SECOND);
    let gone = Change::Remove { id: ReplicaId(2) };
    let alone = ChangeError::NoQuorum { up: 1, needed: 2 };
    assert_eq!(ensemble.change(1, gone), Err(alone));
    ensemble.append(1, 1).unwrap();
    assert_eq!(ensemble.given(2).last().map(|(_, n)| *n), Some(1));
}

#[test]
fn a_newcomer_that_never_comes_is_given_up() {
    let mut ensemble = three();
    ensemble.change(1, add(9)).unwrap();
    ensemble.append(1, 1).unwrap();
    assert_eq!(ensemble.change(1, add(8)), Err(ChangeError::Busy));
    ensemble.pass(SECOND * 61);
    let failed = Effect::ChangeFailed {
        error: ChangeError::NotReady(ReplicaId(9)),
    };
    assert!(ensemble.node(1).told.contains(&failed));
    ensemble.add(4, Ensemble::initialized(4));
    ensemble.change(1, add(4)).unwrap();
    ensemble.pass_until("added", |e| members(e, 1).contains(&4));
}

#[test]
fn a_replica_that_has_lost_its_disk_comes_back_as_a_new_incarnation_and_demotes_nobody() {
    let mut ensemble = three();
    ensemble.append(1, 1).unwrap();
    let term = ensemble.leader();
    ensemble.wipe(3);
    ensemble.append(1, 2).unwrap();
    ensemble.start(3);
    assert_eq!(ensemble.core(3).status(), Status::Recovering);
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
    assert_eq!(ensemble.core(3).me().incarnation, Incarnation(1));
    assert!(ensemble.configuration(1).counts(ensemble.core(3).me()));
    assert_eq!(ensemble.leader(), term);
    assert_eq!(ensemble.given(3).iter().filter(|(_, n)| *n == 2).count(), 1);
}

#[test]
fn a_replica_that_has_lost_its_disk_votes_only_when_it_has_learned_the_entry_that_seats_it() {
    let mut ensemble = three();
    for number in 1..=9 {
        ensemble.append(1, number).unwrap();
    }
    ensemble.wipe(3);
    ensemble.holds_up = |_, to, body| to == 3 && matches!(body, Body::Learn { .. });
    ensemble.start(3);
    ensemble.pass(SECOND);
    // Its seat is decided; it does not know.
    let seated = member_of(3, 1);
    assert!(ensemble.configuration(1).counts(seated));
    assert_eq!(ensemble.core(3).status(), Status::Recovering);
    let prepare = Message {
        from: member(2),
        ballot: ballot(1 << 20, 2),
        body: Body::Prepare,
    };
    ensemble.call(3, |core, now, rng| core.handle_message(now, prepare, rng));
    assert!(ensemble.core(3).promised() < ballot(1 << 20, 2));
    ensemble.let_go();
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
    assert!(ensemble.core(3).learned() >= ensemble.core(3).configured());
    assert!(
        ensemble.core(3).promised() > Ballot::ZERO,
        "the promise is that of its seat"
    );
}

fn member_of(id: u64, incarnation: u32) -> Member {
    Member {
        id: ReplicaId(id),
        incarnation: Incarnation(incarnation),
    }
}

#[test]
fn an_acknowledgement_from_before_the_loss_does_not_count_once_the_new_life_has_spoken() {
    let mut ensemble = three();
    ensemble.isolate(2);
    // 3 accepts, and the answer is under way when its disk is lost.
    ensemble.holds_up = |_, to, body| to == 1 && matches!(body, Body::Accepted { .. });
    let at = ensemble.append(1, 7).unwrap();
    ensemble.wipe(3);
    ensemble.start(3);
    let late = std::mem::take(&mut ensemble.held_up);
    assert!(late.iter().any(|(from, ..)| *from == 3));
    // As it is, nothing can be known to be chosen: the new life says that it is another one.
    let join = Message {
        from: member_of(3, 1),
        ballot: Ballot::ZERO,
        body: Body::Progress {
            feature_level: 1,
            learned: Position::ZERO,
            round: 0,
            status: Status::Recovering,
        },
    };
    ensemble.call(1, |core, now, rng| core.handle_message(now, join, rng));
    for (_, _, message) in late {
        ensemble.call(1, |core, now, rng| core.handle_message(now, message, rng));
    }
    assert!(ensemble.core(1).learned() < at);
}

#[test]
fn a_second_loss_gets_another_incarnation_though_the_first_is_forgotten() {
    let mut ensemble = three();
    ensemble.wipe(3);
    ensemble.start(3);
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
    ensemble.wipe(3);
    // An old backup: it does not even know that it has been another.
    ensemble.node(3).durable.me = member(3);
    ensemble.start(3);
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
    assert_eq!(ensemble.core(3).me(), member_of(3, 2));
}

#[test]
fn an_answer_to_an_earlier_life_is_not_taken_for_one_to_this() {
    let mut ensemble = three();
    ensemble.wipe(3);
    ensemble.holds_up = |_, to, body| to == 3 && matches!(body, Body::Welcome { .. });
    ensemble.start(3);
    ensemble.pass(SECOND);
    let (_, _, welcome) = ensemble.held_up.pop().expect("it was welcomed");
    ensemble.wipe(3);
    ensemble.start(3);
    ensemble.call(3, |core, now, rng| core.handle_message(now, welcome, rng));
    assert!(ensemble.core(3).needs_incarnation());
}

#[test]
fn a_restored_old_disk_whose_seat_has_gone_on_steps_back_and_rejoins() {
    let mut ensemble = three();
    ensemble.append(1, 1).unwrap();
    let old = ensemble.node(3).durable.clone();
    ensemble.wipe(3);
    ensemble.start(3);
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
    ensemble.append(1, 2).unwrap();
    ensemble.crash(3);
    ensemble.node(3).durable = old;
    ensemble.start(3);
    assert_eq!(
        ensemble.core(3).status(),
        Status::Voting,
        "it cannot know yet"
    );
    ensemble.pass_until("3 votes again", |e| {
        e.core(3).me() == member_of(3, 2) && e.core(3).status() == Status::Voting
    });
    assert_eq!(ensemble.leader().map(|(id, _)| id), Some(1));
}

#[test]
fn a_wiped_machine_with_a_new_name_gets_the_seat_of_the_one_that_is_gone() {
    let mut ensemble = three();
    ensemble.append(1, 1).unwrap();
    ensemble.crash(3);
    ensemble.nodes.remove(&3);
    ensemble.add(9, Ensemble::never_initialized(9));
    ensemble.crash(9);
    ensemble.start_at(9, 3);
    ensemble.pass(SECOND);
    assert_eq!(members(&ensemble, 1), [1, 2, 3], "3 may only be slow");
    // It would vote, but nobody counts its votes, and nobody is told that it does.
    assert_eq!(ensemble.core(9).status(), Status::Voting);
    assert_eq!(ensemble.core(9).shown_status(), Status::Recovering);
    ensemble.pass_until("replaced", |e| members(e, 1) == [1, 2, 9]);
    ensemble.pass_until("9 votes", |e| e.core(9).shown_status() == Status::Voting);
    ensemble.crash(2);
    ensemble.append(1, 2).unwrap();
    assert_eq!(ensemble.given(9).last().map(|(_, n)| *n), Some(2));
}

#[test]
fn a_lost_quorum_does_not_recover_by_itself() {
    let mut ensemble = three();
    ensemble.append(1, 1).unwrap();
    ensemble.wipe(2);
    ensemble.wipe(3);
    ensemble.start(2);
    ensemble.start(3);
    ensemble.pass(SECOND * 60);
    assert_eq!(ensemble.leader(), None);
    for id in [2, 3] {
        assert_eq!(ensemble.core(id).status(), Status::Recovering);
        assert!(ensemble.core(id).needs_incarnation());
    }
    assert!(
        ensemble.given(1).iter().any(|(_, n)| *n == 1),
        "what is left is still there"
    );
}

#[test]
fn a_loss_during_the_recovery_of_another_waits_and_then_succeeds() {
    let mut ensemble = Ensemble::of(5);
    ensemble.elect(1);
    ensemble.append(1, 1).unwrap();
    ensemble.wipe(4);
    ensemble.wipe(5);
    ensemble.start(4);
    ensemble.pass(Duration::from_millis(20));
    ensemble.start(5);
    ensemble.pass_until("both vote", |e| {
        [4, 5]
            .iter()
            .all(|id| e.core(*id).status() == Status::Voting)
    });
    for id in [4, 5] {
        assert_eq!(ensemble.core(id).me(), member_of(id, 1));
    }
}

#[test]
fn a_crash_in_the_middle_of_recovering_begins_again() {
    let mut ensemble = three();
    for number in 1..=9 {
        ensemble.append(1, number).unwrap();
    }
    ensemble.wipe(3);
    ensemble.holds_up = |_, to, body| to == 3 && matches!(body, Body::Learn { .. });
    ensemble.start(3);
    ensemble.pass(SECOND);
    ensemble.crash(3);
    ensemble.let_go();
    ensemble.start(3);
    assert_eq!(ensemble.core(3).status(), Status::Recovering);
    ensemble.pass_until("3 votes", |e| e.core(3).status() == Status::Voting);
}

#[test]
fn a_follower_behind_the_truncation_starts_from_it_with_the_configuration_of_that_place() {
    let mut ensemble = three();
    ensemble.crash(3);
    ensemble.add(4, Ensemble::initialized(4));
    ensemble.change(1, add(4)).unwrap();
    ensemble.pass_until("added", |e| members(e, 1).contains(&4));
    for number in 1..=9 {
        ensemble.append(1, number).unwrap();
    }
    let to = ensemble.append(1, 10).unwrap();
    let term = ensemble.core(1).leading().unwrap();
    let truncate = vec![Value::Truncate { to }];
    ensemble
        .call(1, |core, now, rng| core.propose(now, term, truncate, rng))
        .unwrap();
    ensemble.pass(SECOND);
    // What was deleted cannot be read.
    ensemble.node(1).durable.runs.retain(|run| run.last() >= to);
    ensemble.start(3);
    ensemble.pass_until("3 follows", |e| e.core(3).learned() == e.core(1).learned());
    assert!(
        ensemble
            .node(3)
            .told
            .contains(&Effect::Skipped { first: to })
    );
    assert_eq!(ensemble.configuration(3), ensemble.configuration(1));
}

#[test]
fn nobody_leads_by_a_configuration_whose_entry_it_has_not_learned() {
    let mut driven = Driven::new(recovered(&[1, 2, 3]));
    let configuration = Arc::new(Configuration::majority(1, (1..=4).map(seat)));
    let learn = Body::Learn {
        first_kept: Position(10),
        configured: Some(Configured {
            position: Position(12),
            configuration: Arc::clone(&configuration),
        }),
        runs: vec![run(ballot(1, 2), 10, &[1])],
    };
    driven.hear(2, ballot(1, 2), learn);
    driven.sync();
    assert_eq!(driven.core.learned(), Position(10));
    assert_eq!(driven.core.configuration(), &*configuration);
    for _ in 0..5 {
        driven.pass_deadline();
        assert_eq!(sent(&driven.effects()), Vec::<&Body>::new());
    }
}

#[test]
fn entries_of_another_ensemble_are_not_taken() {
    let mut ensemble = three();
    let learned = ensemble.core(3).learned();
    let other = Configuration {
        cluster: 99,
        ..Configuration::majority(1, (1..=3).map(seat))
    };
    let foreign = Run {
        ballot: ballot(1, 2),
        first: learned.next(),
        values: [Value::Configure(Arc::new(other))].into(),
    };
    let message = Message {
        from: member(2),
        ballot: ballot(1, 2),
        body: Body::Learn {
            first_kept: Position::FIRST,
            configured: None,
            runs: vec![foreign],
        },
    };
    ensemble.call(3, |core, now, rng| core.handle_message(now, message, rng));
    assert_eq!(ensemble.core(3).learned(), learned);
}

#[test]
fn a_program_that_cannot_read_what_is_written_accepts_and_does_not_lead() {
    let mut newer = recovered(&[1, 2, 3]);
    newer.configuration.feature_level = 2;
    newer.configured = Position(1);
    newer.learned = Position(1);
    newer.first = Position(2);
    let mut driven = Driven::new(newer);
    for _ in 0..3 {
        driven.pass_deadline();
        assert_eq!(sent(&driven.effects()), Vec::<&Body>::new());
    }
    let write = Body::Write {
        run: run(ballot(1, 2), 2, &[1]),
        learned: Position(1),
    };
    driven.hear(2, ballot(1, 2), write);
    assert_eq!(sent(&driven.sync()).len(), 1, "it accepts");
}

#[test]
fn the_feature_level_rises_when_every_member_can_read_the_next_and_not_before() {
    let mut ensemble = three();
    let upgrade = |ensemble: &mut Ensemble, id: u64| {
        ensemble.crash(id);
        let options = Options {
            address: seat(id).1.address,
            has_peers: true,
            feature_level: 2,
            ..Options::default()
        };
        let recovered = ensemble.node(id).durable.recovered();
        ensemble.node(id).core = Some(Replica::new(recovered, options));
        ensemble.call(id, Replica::start);
        ensemble.pass(SECOND * 3);
    };
    upgrade(&mut ensemble, 2);
    upgrade(&mut ensemble, 1);
    let (leader, _) = ensemble.leader().unwrap();
    assert_eq!(ensemble.configuration(leader).feature_level, 1);
    upgrade(&mut ensemble, 3);
    let (leader, _) = ensemble.leader().unwrap();
    assert_eq!(ensemble.configuration(leader).feature_level, 2);
    // One that cannot read it is not taken in.
    ensemble.add(4, Ensemble::initialized(4));
    ensemble.pass(SECOND);
    let unread = ChangeError::FeatureLevel {
        level: 2,
        id: ReplicaId(4),
        reads: 1,
    };
    assert_eq!(ensemble.change(leader, add(4)), Err(unread));
}

#[test]
fn a_lone_replica_raises_the_feature_level_too_but_not_before_its_time() {
    let delay = SECOND * 5;
    let mut lone = Ensemble::of(1);
    lone.pass(SECOND);
    assert!(lone.leader().is_some());
    lone.crash(1);
    let options = Options {
        feature_level: 2,
        feature_level_delay: delay,
        ..Options::default()
    };
    let recovered = lone.node(1).durable.recovered();
    lone.node(1).core = Some(Replica::new(recovered, options));
    lone.call(1, Replica::start);
    lone.pass(SECOND * 4);
    assert!(lone.leader().is_some());
    assert_eq!(
        lone.configuration(1).feature_level,
        1,
        "the old version may still come back"
    );
    lone.pass(SECOND * 2);
    assert_eq!(lone.configuration(1).feature_level, 2);
    assert_eq!(lone.core(1).deadline(), Instant::FAR, "and then it rests");
}

#[test]
fn a_configuration_is_settled_when_a_quorum_of_its_members_cannot_forget_it() {
    let mut ensemble = three();
    let gone = Change::Remove { id: ReplicaId(3) };
    // 2 accepts the change, and does not hear that it is chosen.
    ensemble.holds_up = |_, to, body| to == 2 && matches!(body, Body::Heartbeat { .. });
    ensemble.change(1, gone).unwrap();
    let position = ensemble.core(1).configured();
    let settled = Effect::Settled { position };
    assert_eq!(members(&ensemble, 1), [1, 2]);
    assert!(!ensemble.node(1).told.contains(&settled));
    assert!(!ensemble.core(1).is_settled());
    ensemble.holds_up = |_, _, _| false;
    ensemble.let_go();
    ensemble.pass(SECOND);
    assert!(ensemble.node(1).told.contains(&settled));
    // 3 may go now, and everybody else may crash: nobody asks for its vote any more.
    ensemble.crash(3);
    for id in [1, 2] {
        assert!(ensemble.node(id).durable.learned >= position);
        ensemble.crash(id);
    }
    ensemble.start(1);
    ensemble.start(2);
    ensemble.pass_until("a leader", |e| e.leader().is_some());
}

#[test]
fn where_nobody_leads_whoever_lacks_entries_gets_them_from_anybody_who_has_them() {
    let mut driven = Driven::new(Recovered {
        learned: Position(5),
        configured: Position(1),
        ..recovered(&[1, 2, 3])
    });
    let join = Join {
        address: "here:1".into(),
        feature_level: 1,
        learned: Position(2),
        needs_incarnation: false,
        nonce: 0,
        status: Status::Voting,
    };
    let effects = driven.hear(9, Ballot::ZERO, Body::Join(join));
    let read = Effect::Read {
        peer: ReplicaId(9),
        from: Position(3),
        through: Position(5),
    };
    assert!(effects.contains(&read), "{effects:?}");
}
