//! The rules of the protocol, one test each, named by what they claim.

use super::acceptor::{Acceptor, Refusal};
use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::sync::Arc;

const NOW: Instant = Instant::from_nanos(1);

fn ballot(round: u64, replica: u64) -> Ballot {
    Ballot {
        round,
        replica: ReplicaId(replica),
    }
}

fn member(id: u64) -> Member {
    Member {
        id: ReplicaId(id),
        incarnation: Incarnation(0),
    }
}

fn value(number: u8) -> Value {
    Value::Append(Arc::from([number]))
}

fn run(ballot: Ballot, first: u64, numbers: &[u8]) -> Run {
    Run {
        ballot,
        first: Position(first),
        values: numbers.iter().map(|number| value(*number)).collect(),
    }
}

fn acceptor() -> Acceptor {
    Acceptor::new(
        Status::Voting,
        Ballot::ZERO,
        Position::FIRST,
        Position::ZERO,
        &[],
    )
}

fn values_of(entries: impl Iterator<Item = Entry>) -> Vec<(u64, Value)> {
    entries.map(|e| (e.position.0, e.value)).collect()
}

fn recovered(members: &[u64]) -> Recovered {
    let members: Vec<Member> = members.iter().copied().map(member).collect();
    Recovered {
        me: members[0],
        status: Status::Voting,
        promised: Ballot::ZERO,
        first: Position::FIRST,
        learned: Position::ZERO,
        configuration: Configuration::majority(1, &members),
        is_formed: false,
        accepted: Vec::new(),
    }
}

struct Driven {
    core: Replica,
    rng: Rng,
    asked: Ticket,
    synced: Ticket,
}

impl Driven {
    fn new(recovered: Recovered) -> Self {
        let mut driven = Self {
            core: Replica::new(recovered, Timing::default()),
            rng: Rng::from_seed(1),
            asked: Ticket(0),
            synced: Ticket(0),
        };
        driven.core.start(NOW, &mut driven.rng);
        driven
    }

    fn effects(&mut self) -> Vec<Effect> {
        let effects: Vec<Effect> = std::iter::from_fn(|| self.core.poll_effect()).collect();
        for effect in &effects {
            if let Effect::Persist { ticket, .. } = effect {
                self.asked = *ticket;
            }
        }
        effects
    }

    fn hear(&mut self, from: u64, ballot: Ballot, body: Body) -> Vec<Effect> {
        let from = member(from);
        let message = Message { from, ballot, body };
        self.core.handle_message(NOW, message, &mut self.rng);
        self.effects()
    }

    /// Makes everything durable until nothing more is asked for; gives the other effects.
    fn sync(&mut self) -> Vec<Effect> {
        let mut others = Vec::new();
        loop {
            let effects = self.effects().into_iter();
            others.extend(effects.filter(|effect| !matches!(effect, Effect::Persist { .. })));
            if self.asked == self.synced {
                return others;
            }
            self.synced = self.asked;
            self.core.handle_persisted(NOW, self.synced, &mut self.rng);
        }
    }
}

fn sent(effects: &[Effect]) -> Vec<&Body> {
    let bodies = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message, .. } => Some(&message.body),
        _ => None,
    });
    bodies.collect()
}

#[test]
fn a_promise_refuses_lower_ballots_and_is_given_again_to_its_owner() {
    let mut acceptor = acceptor();
    assert_eq!(acceptor.promise(ballot(2, 1)), Ok(true));
    assert_eq!(acceptor.promise(ballot(2, 1)), Ok(false));
    let refusal = Refusal::Reject(ballot(2, 1));
    assert_eq!(acceptor.promise(ballot(1, 9)), Err(refusal));
    assert_eq!(acceptor.write(&run(ballot(1, 9), 1, &[1])), Err(refusal));
    assert_eq!(
        acceptor.promise(ballot(2, 2)),
        Err(refusal),
        "a round has one owner"
    );
    assert_eq!(acceptor.promise(ballot(3, 2)), Ok(true));
}

#[test]
fn accepting_a_write_with_a_higher_ballot_raises_the_promise() {
    let mut acceptor = acceptor();
    assert_eq!(acceptor.promise(ballot(4, 1)), Ok(true));
    let accepted = acceptor.write(&run(ballot(5, 2), 3, &[7])).unwrap();
    assert!(accepted.is_promise_raised);
    // The delayed write of the older leader must not overwrite what may be chosen.
    let late = acceptor.write(&run(ballot(4, 1), 3, &[8]));
    assert_eq!(late, Err(Refusal::Reject(ballot(5, 2))));
    let held = values_of(acceptor.accepted_from(Position::ZERO));
    assert_eq!(held, [(3, value(7))]);
}

#[test]
fn a_write_seen_twice_asks_for_nothing_new_and_a_longer_one_for_the_rest() {
    let mut acceptor = acceptor();
    let first = acceptor.write(&run(ballot(1, 1), 1, &[1, 2])).unwrap();
    assert_eq!(first.runs, [run(ballot(1, 1), 1, &[1, 2])]);
    assert!(
        acceptor
            .write(&run(ballot(1, 1), 1, &[1]))
            .unwrap()
            .runs
            .is_empty()
    );
    let longer = acceptor.write(&run(ballot(1, 1), 1, &[1, 2, 3])).unwrap();
    assert_eq!(longer.runs, [run(ballot(1, 1), 3, &[3])]);
}

#[test]
fn only_entries_of_the_coordinators_own_ballot_are_learned_by_its_watermark() {
    let mut acceptor = acceptor();
    acceptor.write(&run(ballot(1, 1), 1, &[1, 2])).unwrap();
    acceptor.write(&run(ballot(2, 2), 1, &[1])).unwrap();
    let entries = acceptor.learn_accepted(ballot(2, 2), Position(2));
    assert_eq!(values_of(entries.into_iter()), [(1, value(1))]);
    assert_eq!(acceptor.learned, Position(1));
}

#[test]
fn a_replica_that_may_not_vote_says_so() {
    for status in [Status::Empty, Status::Starting, Status::Recovering] {
        let mut driven = Driven::new(Recovered {
            status,
            ..recovered(&[1, 2, 3])
        });
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
fn a_lone_replica_elects_itself_and_settles_what_it_had_accepted() {
    let old = ballot(3, 1);
    let mut driven = Driven::new(Recovered {
        promised: old,
        // Position 2 is a hole: nobody can have chosen anything there.
        accepted: vec![run(old, 1, &[1]), run(old, 3, &[3])],
        ..recovered(&[1])
    });
    let effects = driven.sync();
    let learned = effects.iter().filter_map(|effect| match effect {
        Effect::Learned(entry) => Some(entry.value.clone()),
        _ => None,
    });
    let learned: Vec<Value> = learned.collect();
    assert_eq!(learned[..3], [value(1), Value::Nop, value(3)]);
    assert!(
        matches!(learned[3], Value::Configure(_)),
        "the first term forms the ensemble"
    );
    let ballot = ballot(4, 1);
    assert_eq!(effects.last(), Some(&Effect::Leading { ballot }));
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

/// Replica 1 of three, leading.
fn leading_of_three() -> (Driven, Ballot) {
    let (mut driven, term) = candidate_of_three();
    let promise = Body::Promise {
        learned: Position::ZERO,
        accepted: Vec::new(),
    };
    driven.hear(2, term, promise);
    driven.sync();
    assert_eq!(
        driven.core.leading(),
        None,
        "a quorum has not accepted its first entry"
    );
    driven.hear(2, term, accepted(1, 1));
    assert_eq!(driven.core.leading(), Some(term));
    (driven, term)
}

/// Replica 1 of three, with a promise of its own for ballot 1.
fn candidate_of_three() -> (Driven, Ballot) {
    let mut driven = Driven::new(recovered(&[1, 2, 3]));
    let due = driven.core.deadline();
    driven.core.handle_timeout(due, &mut driven.rng);
    driven.sync();
    (driven, ballot(1, 1))
}

fn accepted(first: u64, last: u64) -> Body {
    Body::Accepted {
        first: Position(first),
        last: Position(last),
        learned: Position::ZERO,
    }
}

#[test]
fn the_accepted_value_of_the_highest_ballot_is_settled_and_leading_waits_for_all_of_it() {
    let mut driven = Driven::new(Recovered {
        promised: ballot(4, 2),
        accepted: vec![run(ballot(4, 2), 1, &[42])],
        ..recovered(&[1, 2, 3])
    });
    let due = driven.core.deadline();
    driven.core.handle_timeout(due, &mut driven.rng);
    driven.sync();
    let term = ballot(5, 1);
    let promise = Body::Promise {
        learned: Position::ZERO,
        accepted: vec![run(ballot(3, 3), 1, &[31]), run(ballot(3, 3), 2, &[32])],
    };
    driven.hear(3, term, promise);
    driven.sync();
    let first = driven.hear(3, term, accepted(1, 1));
    let learned: Vec<Value> = first
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Learned(entry) => Some(entry.value),
            _ => None,
        })
        .collect();
    assert_eq!(learned, [value(42)]);
    assert_eq!(
        driven.core.leading(),
        None,
        "position 2 and its own entry are not learned"
    );
    driven.hear(3, term, accepted(2, 2));
    assert_eq!(driven.core.leading(), None, "its own entry is not learned");
    driven.hear(3, term, accepted(3, 3));
    assert_eq!(driven.core.leading(), Some(term));
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
    let behind = Body::Progress {
        learned: Position(1),
    };
    driven.hear(3, term, behind);
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
fn a_rejected_candidate_stands_again_above_the_ballot_it_was_told() {
    let (mut driven, _) = candidate_of_three();
    let promised = ballot(41, 3);
    driven.hear(2, ballot(1, 1), Body::Reject { promised });
    driven.sync();
    assert_eq!(driven.core.promised(), ballot(42, 1));
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
            Body::Heartbeat { learned: far },
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
            Body::Progress { learned: far },
            Body::Reject { promised: wild },
            Body::CatchUp { from: far },
            Body::CatchUp {
                from: Position::ZERO,
            },
            Body::Learn {
                first_kept: Position::ZERO,
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
