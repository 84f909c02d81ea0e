//! Replicas whose owners are not ready to lead yet.

use super::ensemble::Ensemble;
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn cool(ensemble: &mut Ensemble, id: u64) {
    ensemble.call(id, |core, now, rng| core.set_warm(now, false, rng));
}

fn warm(ensemble: &mut Ensemble, id: u64) {
    ensemble.call(id, |core, now, rng| core.set_warm(now, true, rng));
}

#[test]
fn a_replica_whose_owner_is_behind_votes_and_accepts_but_does_not_stand() {
    let mut ensemble = Ensemble::of(3);
    ensemble.elect(1);
    ensemble.pass(SECOND);
    ensemble.crash(2);
    cool(&mut ensemble, 3);
    // With it alone the leader goes on: it accepts.
    ensemble.append(1, 1).unwrap();
    assert_eq!(ensemble.given(1).len(), 1);
    ensemble.crash(1);
    ensemble.start(2);
    cool(&mut ensemble, 2);
    ensemble.pass(20 * SECOND);
    assert_eq!(ensemble.leader(), None, "neither of them is ready");
    // It votes for the other, and gives it what it lacks.
    let before = ensemble.now;
    warm(&mut ensemble, 2);
    ensemble.pass_until("a leader", |e| e.leader().is_some());
    assert_eq!(ensemble.leader().unwrap().0, 2);
    assert!(ensemble.now.since(before) < Duration::from_millis(150));
    assert_eq!(ensemble.given(2), ensemble.given(3));
    ensemble.append(2, 2).unwrap();
    // It is none the worse for it.
    ensemble.start(1);
    ensemble.pass(SECOND);
    warm(&mut ensemble, 3);
    ensemble.crash(2);
    cool(&mut ensemble, 1);
    ensemble.pass_until("the other leads", |e| e.leader().is_some());
    assert_eq!(ensemble.leader().unwrap().0, 3);
}

#[test]
fn a_lone_replica_leads_as_soon_as_its_owner_is_ready() {
    let mut rng = Rng::from_seed(1);
    let mut core = Replica::new(recovered(&[1]), Options::default());
    core.set_warm(NOW, false, &mut rng);
    core.start(NOW, &mut rng);
    let mut driven = Driven {
        core,
        rng,
        asked: Ticket(0),
        synced: Ticket(0),
    };
    driven.pass_deadline();
    driven.sync();
    assert_eq!(driven.core.leading(), None);
    driven.core.set_warm(NOW, true, &mut driven.rng);
    driven.sync();
    assert_eq!(driven.core.leading(), Some(ballot(1, 1)));
}

#[test]
fn a_term_is_handed_to_a_replica_that_is_ready_for_it() {
    for cold in [2, 3] {
        let mut ensemble = Ensemble::of(3);
        ensemble.elect(1);
        ensemble.pass(SECOND);
        ensemble.append(1, 1).unwrap();
        cool(&mut ensemble, cold);
        let before = ensemble.now;
        assert!(ensemble.call(1, Replica::hand_over));
        let ready = 5 - cold;
        ensemble.pass_until("another leads", |e| {
            e.leader().is_some_and(|(id, _)| id == ready)
        });
        assert!(ensemble.now.since(before) < Duration::from_millis(200));
        assert_eq!(ensemble.core(1).leading(), None);
    }
}

#[test]
fn a_term_is_handed_to_a_replica_that_becomes_ready_for_it_after_it_was_told() {
    for (late, is_alone) in [(2, false), (3, false), (2, true)] {
        let mut ensemble = Ensemble::of(3);
        let term = ensemble.elect(1);
        ensemble.pass(SECOND);
        cool(&mut ensemble, 2);
        cool(&mut ensemble, 3);
        if is_alone {
            ensemble.crash(5 - late);
            ensemble.pass(SECOND);
        }
        let before = ensemble.now;
        assert!(ensemble.call(1, Replica::hand_over));
        ensemble.pass(Duration::from_millis(150));
        assert_eq!(ensemble.leader(), Some((1, term)));
        warm(&mut ensemble, late);
        ensemble.pass_until("it leads", |e| e.leader().is_some_and(|(id, _)| id == late));
        assert!(ensemble.now.since(before) < Duration::from_millis(500));
        assert_eq!(ensemble.core(1).leading(), None);
    }
}

#[test]
fn a_term_that_nobody_is_ready_for_is_kept() {
    let mut ensemble = Ensemble::of(3);
    let term = ensemble.elect(1);
    ensemble.pass(SECOND);
    cool(&mut ensemble, 2);
    cool(&mut ensemble, 3);
    assert!(ensemble.call(1, Replica::hand_over));
    assert_eq!(ensemble.append(1, 1), Err(ProposeError::Full));
    ensemble.pass(SECOND);
    assert_eq!(ensemble.leader(), Some((1, term)));
    ensemble.append(1, 1).unwrap();
}
