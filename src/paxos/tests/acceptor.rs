//! Promising, accepting, learning: the kernel alone.

use super::super::acceptor::Refusal;
use super::*;

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
    assert_eq!(values_of(entries), [(1, value(1))]);
    assert_eq!(acceptor.learned, Position(1));
}
