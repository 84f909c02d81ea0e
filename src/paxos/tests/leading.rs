//! Answering, leading, feeding, and what hostile peers can do.

use super::*;

#[test]
fn a_replica_that_may_not_vote_says_so() {
    for status in [Status::Empty, Status::Starting, Status::Recovering] {
        let mut driven = Driven::new(Recovered {
            status,
            ..recovered(&[1, 2, 3])
        });
        driven.effects();
        let write = Body::Write {
            run: run(ballot(1, 2), 1, &[1]),
            learned: Position::ZERO,
        };
        for body in [Body::Prepare, write] {
            let effects = driven.hear(2, ballot(1, 2), body);
            assert_eq!(sent(&effects), [&Body::Ignored { status }]);
            assert_eq!(effects.len(), 1, "nothing else is done");
        }
        assert_eq!(driven.core.promised(), Ballot::ZERO);
    }
}

#[test]
fn nothing_is_promised_or_acknowledged_before_it_is_durable() {
    let mut driven = Driven::new(recovered(&[1, 2, 3]));
    let effects = driven.hear(2, ballot(1, 2), Body::Prepare);
    assert!(sent(&effects).is_empty());
    // Asking again does not get it out either.
    let again = driven.hear(2, ballot(1, 2), Body::Prepare);
    assert!(sent(&again).is_empty());
    let Some(Effect::Persist { ticket, records }) = effects.last() else {
        panic!("nothing was asked for");
    };
    assert_eq!(records, &[Record::Promise(ballot(1, 2))]);
    driven.core.handle_persisted(NOW, *ticket, &mut driven.rng);
    let promises = driven.effects();
    assert_eq!(sent(&promises).len(), 2);
    let write = Body::Write {
        run: run(ballot(1, 2), 1, &[1]),
        learned: Position::ZERO,
    };
    assert!(sent(&driven.hear(2, ballot(1, 2), write)).is_empty());
    driven
        .core
        .handle_persisted(NOW, Ticket(2), &mut driven.rng);
    assert_eq!(sent(&driven.effects()), [&accepted(1, 1)]);
}

#[test]
fn truncation_beyond_the_end_is_refused_and_up_to_it_moves_the_first_position() {
    let mut driven = Driven::new(recovered(&[1]));
    driven.sync();
    let term = driven.core.leading().unwrap();
    let mut propose = |value: Value| {
        let proposed = driven.core.propose(NOW, term, vec![value], &mut driven.rng);
        driven.sync();
        (proposed, driven.core.first())
    };
    assert_eq!(propose(value(1)), (Ok(Position(2)), Position(1)));
    let beyond = Value::Truncate { to: Position(4) };
    let error = ProposeError::BeyondEnd {
        to: Position(4),
        end: Position(3),
    };
    assert_eq!(propose(beyond), (Err(error), Position(1)));
    let all = Value::Truncate { to: Position(3) };
    assert_eq!(propose(all), (Ok(Position(3)), Position(3)));
}

#[test]
fn a_peer_is_sent_from_the_disk_only_what_is_durable_there() {
    let (mut driven, term) = leading_of_three();
    driven.sync();
    let values = vec![value(1), value(2)];
    driven
        .core
        .propose(NOW, term, values, &mut driven.rng)
        .unwrap();
    // The peers are faster than its own disk, which may hold older values there.
    driven.hear(2, term, accepted(2, 3));
    driven.hear(3, term, accepted(1, 3));
    assert_eq!(driven.core.learned(), Position(3));
    let reads_beyond = |effects: Vec<Effect>| {
        let beyond =
            |effect: &Effect| matches!(effect, Effect::Read { through, .. } if through.0 > 1);
        effects.iter().any(beyond)
    };
    let from = Position(2);
    let asked = driven.hear(3, term, Body::CatchUp { from });
    assert!(!reads_beyond(asked));
    driven.hear(3, term, progress(1, 0));
    for _ in 0..10 {
        let due = driven.core.deadline();
        driven.core.handle_timeout(due, &mut driven.rng);
        assert!(!reads_beyond(driven.effects()));
    }
    driven.sync();
    assert!(reads_beyond(driven.hear(3, term, Body::CatchUp { from })));
}

#[test]
fn a_coordinator_that_meets_a_higher_ballot_is_demoted_and_never_writes_again() {
    for body in [
        Body::Prepare,
        Body::Reject {
            promised: ballot(2, 2),
        },
        Body::Heartbeat {
            learned: Position::ZERO,
            round: 0,
        },
    ] {
        let (mut driven, term) = leading_of_three();
        driven
            .core
            .propose(NOW, term, vec![value(1)], &mut driven.rng)
            .unwrap();
        driven.effects();
        let of = match body {
            Body::Reject { .. } => term,
            _ => ballot(2, 2),
        };
        let effects = driven.hear(2, of, body);
        assert!(effects.contains(&Effect::Discarded { ballot: term }));
        let again = driven
            .core
            .propose(NOW, term, vec![value(2)], &mut driven.rng);
        assert_eq!(again, Err(ProposeError::NotCoordinator));
    }
}

#[test]
fn hostile_numbers_neither_panic_nor_stick() {
    let far = Position(u64::MAX);
    let wild = ballot(u64::MAX, 2);
    let endless = Run {
        first: far,
        ..run(ballot(1, 1), 1, &[1, 2])
    };
    for of in [ballot(1, 1), ballot(1, 2), wild] {
        for body in [
            Body::Prepare,
            Body::Write {
                run: Run {
                    ballot: of,
                    ..endless.clone()
                },
                learned: far,
            },
            Body::Heartbeat {
                learned: far,
                round: 0,
            },
            Body::Promise {
                learned: Position::ZERO,
                accepted: vec![endless.clone()],
            },
            Body::Promise {
                learned: far,
                accepted: vec![endless.clone()],
            },
            Body::Accepted {
                first: Position::ZERO,
                last: far,
                learned: far,
            },
            progress(u64::MAX, 0),
            Body::Reject { promised: wild },
            Body::CatchUp { from: far },
            Body::CatchUp {
                from: Position::ZERO,
            },
            Body::Learn {
                first_kept: Position::ZERO,
                configured: None,
                runs: vec![endless.clone()],
            },
        ] {
            let (mut driven, _) = leading_of_three();
            driven.hear(2, of, body);
            driven.sync();
            assert!(driven.core.promised().round < u64::MAX);
            let due = driven.core.deadline();
            driven.core.handle_timeout(due, &mut driven.rng);
            driven.sync();
            driven.core.check_invariants();
        }
    }
}
