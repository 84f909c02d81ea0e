//! Standing for election, settling earlier terms, being demoted.

use super::*;

#[test]
fn a_lone_replica_elects_itself_and_settles_what_it_had_accepted() {
    let old = ballot(3, 1);
    let mut driven = Driven::new(Recovered {
        promised: old,
        // Position 2 is a hole: nobody can have chosen anything there.
        accepted: vec![run(old, 1, &[1]), run(old, 3, &[3])],
        ..recovered(&[1])
    });
    let effects = driven.sync();
    let learned = learned_of(&effects);
    assert_eq!(learned[..3], [value(1), Value::Nop, value(3)]);
    assert!(
        matches!(learned[3], Value::Configure(_)),
        "the first term forms the ensemble"
    );
    let ballot = ballot(4, 1);
    assert!(effects.contains(&Effect::Leading { ballot }));
    let position = driven.core.configured();
    assert_eq!(effects.last(), Some(&Effect::Settled { position }));
    assert_eq!(driven.core.leading(), Some(ballot));
}

#[test]
fn a_lone_replica_leads_only_after_its_promise_is_durable() {
    let mut driven = Driven::new(recovered(&[1]));
    let effects = driven.effects();
    let [Effect::Persist { ticket, records }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(records, &[Record::Promise(ballot(1, 1))]);
    assert_eq!(driven.core.leading(), None);
    let refused = driven
        .core
        .propose(NOW, ballot(1, 1), vec![value(1)], &mut driven.rng);
    assert_eq!(refused, Err(ProposeError::NotCoordinator));
    driven.core.handle_persisted(NOW, *ticket, &mut driven.rng);
    assert_eq!(
        driven.core.leading(),
        None,
        "its own first entry is not durable yet"
    );
    driven.sync();
    assert_eq!(driven.core.leading(), Some(ballot(1, 1)));
}

#[test]
fn the_accepted_value_of_the_highest_ballot_is_settled_and_leading_waits_for_all_of_it() {
    let mut driven = Driven::new(Recovered {
        promised: ballot(4, 2),
        accepted: vec![run(ballot(4, 2), 1, &[42])],
        ..recovered(&[1, 2, 3])
    });
    driven.stand(3);
    let term = ballot(5, 1);
    let promise = Body::Promise {
        learned: Position::ZERO,
        accepted: vec![run(ballot(3, 3), 1, &[31]), run(ballot(3, 3), 2, &[32])],
    };
    driven.hear(3, term, promise);
    driven.sync();
    let first = driven.hear(3, term, accepted(1, 1));
    assert_eq!(learned_of(&first), [value(42)]);
    assert_eq!(
        driven.core.leading(),
        None,
        "position 2 and its own entry are not learned"
    );
    driven.hear(3, term, accepted(2, 2));
    assert_eq!(driven.core.leading(), None, "its own entry is not learned");
    driven.hear(3, term, accepted(3, 3));
    assert_eq!(
        driven.core.leading(),
        None,
        "it configures, and the peer has not learned what is before it"
    );
    driven.hear(3, term, progress(2, 0));
    assert_eq!(driven.core.leading(), Some(term));
}

#[test]
fn a_rejected_candidate_stands_again_above_the_ballot_it_was_told() {
    let (mut driven, _) = candidate_of_three();
    let promised = ballot(41, 3);
    driven.hear(2, ballot(1, 1), Body::Reject { promised });
    driven.sync();
    assert_eq!(driven.core.promised(), ballot(42, 1));
}

#[test]
fn whoever_knows_nothing_believes_rounds_that_began_at_the_time_and_none_beyond_reason() {
    // So much is the time in milliseconds by now; a log that is made anew begins there.
    let time = 1_800_000_000_000;
    let fresh = || {
        Driven::new(Recovered {
            status: Status::Recovering,
            ..recovered(&[1])
        })
    };
    let heartbeat = Body::Heartbeat {
        learned: Position::ZERO,
        round: 0,
    };
    let is_answered = |driven: &mut Driven, round| {
        let effects = driven.hear(2, ballot(round, 2), heartbeat.clone());
        !sent(&effects).is_empty()
    };
    assert!(is_answered(&mut fresh(), time));
    assert!(!is_answered(&mut fresh(), time * 1_000));
    assert!(!is_answered(&mut fresh(), u64::MAX));
    // And from there on they rise by elections.
    let mut driven = fresh();
    assert!(is_answered(&mut driven, 1 << 44));
    assert!(is_answered(&mut driven, (1 << 44) + u64::from(u32::MAX)));
    assert!(!is_answered(&mut driven, 1 << 46));
}

#[test]
fn votes_of_strangers_and_of_older_incarnations_do_not_count() {
    let (mut driven, _) = candidate_of_three();
    let promise = Body::Promise {
        learned: Position::ZERO,
        accepted: Vec::new(),
    };
    driven.hear(9, ballot(1, 1), promise.clone());
    let newer = Message {
        from: Member {
            id: ReplicaId(2),
            incarnation: Incarnation(1),
        },
        ballot: ballot(1, 1),
        body: promise.clone(),
    };
    driven.core.handle_message(NOW, newer, &mut driven.rng);
    assert_eq!(driven.core.end(), Position::ZERO);
    driven.hear(2, ballot(1, 1), promise);
    assert_eq!(driven.core.end(), Position(1), "the barrier is written");
}

#[test]
fn followers_whose_leader_has_gone_stand_one_after_the_other() {
    // Whatever is drawn, and also if the first in turn cannot: its turn passes.
    for seed in 0..50 {
        let mut deadlines = Vec::new();
        for me in [2, 3] {
            let ids = [me, 1, 5 - me];
            let mut rng = Rng::from_seed(seed);
            let mut core = Replica::new(recovered(&ids), Options::default());
            core.start(NOW, &mut rng);
            let heartbeat = Body::Heartbeat {
                learned: Position::ZERO,
                round: 0,
            };
            let message = Message {
                from: member(1),
                ballot: ballot(1, 1),
                body: heartbeat,
            };
            core.handle_message(NOW, message, &mut rng);
            core.handle_disconnected(NOW, ReplicaId(1), &mut rng);
            deadlines.push(core.deadline().since(NOW).as_millis());
        }
        assert!((5..=10).contains(&deadlines[0]), "{deadlines:?}");
        assert!((55..=60).contains(&deadlines[1]), "{deadlines:?}");
    }
}
