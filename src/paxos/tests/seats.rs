//! Seats of members that are gone, and what a member says of configurations that it has learned.

use super::super::simulation::Durable;
use super::ensemble::Ensemble;
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const LITTLE: Duration = Duration::from_millis(100);

fn has_seat(ensemble: &Ensemble, leader: u64, id: u64) -> bool {
    let members = &ensemble.configuration(leader).members;
    members.contains_key(&ReplicaId(id))
}

/// The machine of member 3 goes, and one without a name of its own comes up at its address.
fn lose_three(ensemble: &mut Ensemble) {
    ensemble.crash(3);
    ensemble.nodes.remove(&3);
    ensemble.add(9, Ensemble::never_initialized(9));
    ensemble.crash(9);
    ensemble.start_at(9, 3);
}

#[test]
fn the_seat_of_one_that_was_heard_in_this_term_is_kept_for_two_seconds() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    lose_three(&mut ensemble);
    ensemble.pass(2 * SECOND - LITTLE);
    assert!(!has_seat(&ensemble, 1, 9), "it may only be slow");
    ensemble.pass(SECOND);
    assert!(has_seat(&ensemble, 1, 9) && !has_seat(&ensemble, 1, 3));
}

#[test]
fn the_seat_of_one_that_has_not_said_a_word_in_this_term_is_kept_for_one_second() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    lose_three(&mut ensemble);
    ensemble.elect(2);
    ensemble.pass(SECOND - LITTLE);
    assert!(!has_seat(&ensemble, 2, 9), "it may be about to answer");
    // It asks again every election timeout.
    ensemble.pass(8 * LITTLE);
    assert!(has_seat(&ensemble, 2, 9) && !has_seat(&ensemble, 2, 3));
    ensemble.pass_until("9 votes", |e| e.core(9).shown_status() == Status::Voting);
    ensemble.crash(1);
    ensemble.append(2, 1).unwrap();
    assert_eq!(ensemble.given(2).len(), 1);
}

#[test]
fn a_configuration_that_was_learned_is_durable_before_learned_is_answered() {
    let mut driven = Driven::new(Recovered {
        configured: Position(1),
        learned: Position(1),
        ..recovered(&[1, 2, 3])
    });
    driven.sync();
    let term = ballot(5, 2);
    let next = Arc::new(Configuration {
        feature_level: 1,
        ..Configuration::majority(1, [1, 2, 3, 4].map(seat))
    });
    let run = Run {
        ballot: term,
        first: Position(2),
        values: [value(1), Value::Configure(Arc::clone(&next)), value(2)].into(),
    };
    let learn = Body::Learn {
        first_kept: Position::FIRST,
        configured: None,
        runs: vec![run],
    };
    let effects = driven.hear(2, term, learn);
    assert_eq!(learned_of(&effects).len(), 3);
    let said = |effects: &[Effect]| {
        let progress = |body: &&Body| matches!(body, Body::Progress { learned, .. } if *learned == Position(4));
        sent(effects).into_iter().filter(progress).count()
    };
    assert_eq!(said(&effects), 0, "nothing is durable yet: {effects:?}");
    // What it holds when it says so includes the configuration, not only the entry that brought it.
    let mut durable = Vec::new();
    let mut tickets = Vec::new();
    for effect in effects {
        if let Effect::Persist { ticket, records } = effect {
            durable.extend(records);
            tickets.push(ticket);
        }
    }
    let mut is_said = false;
    for ticket in tickets {
        driven.core.handle_persisted(NOW, ticket, &mut driven.rng);
        let effects = driven.effects();
        is_said |= said(&effects) > 0;
        assert!(
            !effects.iter().any(|e| matches!(e, Effect::Persist { .. })),
            "{effects:?}"
        );
    }
    assert!(is_said);
    let configured = Configured {
        position: Position(3),
        configuration: next,
    };
    assert!(
        durable.contains(&Record::Configuration(configured)),
        "{durable:?}"
    );
    assert!(
        durable.contains(&Record::Learned(Position(4))),
        "{durable:?}"
    );
}

#[test]
fn a_newcomer_that_was_initialized_later_costs_no_term() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    // The rounds of its own log began at a later time, and nobody was promised anything by it.
    let durable = Durable {
        promised: ballot(1_000_000, 0),
        ..Ensemble::initialized(4)
    };
    ensemble.add(4, durable);
    let add = Change::Add {
        member: member(4),
        address: seat(4).1.address,
    };
    ensemble.change(1, add).unwrap();
    ensemble.pass_until("4 has a seat", |e| has_seat(e, 1, 4));
    ensemble.pass(5 * SECOND);
    assert_eq!(ensemble.leader(), Some((1, term)));
    ensemble.append(1, 1).unwrap();
    assert_eq!(ensemble.given(4).len(), 1);
    // Nor does it when it starts again, whether or not it has promised anything by then.
    for _ in 0..2 {
        ensemble.crash(4);
        ensemble.start(4);
        ensemble.pass(SECOND);
        ensemble.append(1, 2).unwrap();
    }
    assert_eq!(ensemble.leader(), Some((1, term)));
    assert!(ensemble.elect(4) > term);
}

#[test]
fn a_member_that_has_promised_nothing_yet_is_bound_by_nothing_when_it_starts_again() {
    let begins = ballot(1_000_000, 0);
    let formed = |configured| Recovered {
        promised: begins,
        configured: Position(configured),
        learned: Position(configured),
        ..recovered(&[1, 2, 3])
    };
    let prepare = |recovered, round| {
        let mut driven = Driven::new(recovered);
        driven.hear(2, ballot(round, 2), Body::Prepare);
        driven.sync();
        driven.core.promised()
    };
    assert_eq!(prepare(formed(1), 5), ballot(5, 2));
    // What it has promised binds it.
    let bound = Recovered {
        promised: ballot(9, 3),
        ..formed(1)
    };
    assert_eq!(prepare(bound, 5), ballot(9, 3));
    // The ensemble that it helps to form begins above the rounds of all who form it.
    assert_eq!(prepare(formed(0), 5), begins);
    assert_eq!(prepare(formed(0), 1_000_001), ballot(1_000_001, 2));
}
