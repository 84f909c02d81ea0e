//! Counting votes.

use super::ballot::{Incarnation, ReplicaId};
use super::entry::{Configuration, Position};
use crate::base::mistake;

/// The smallest number that is more than half of `size`.
pub(super) fn majority(size: usize) -> u32 {
    u32::try_from(size / 2 + 1).unwrap_or(u32::MAX)
}

/// Whether those members of `configuration` for which `votes` holds are a quorum.
pub(super) fn is_reached(
    configuration: &Configuration,
    mut votes: impl FnMut(ReplicaId, Incarnation) -> bool,
) -> bool {
    let members = configuration.members.iter();
    let voters = members.filter(|(id, seat)| votes(**id, seat.incarnation));
    voters.count() >= configuration.quorum as usize
}

/// The highest position that a quorum has reached, or zero if too few have reported.
pub(super) fn watermark(
    configuration: &Configuration,
    mut reached: impl FnMut(ReplicaId, Incarnation) -> Option<Position>,
) -> Position {
    // On the stack: this is done for every acknowledgement.
    let mut highest = [Position::ZERO; Configuration::MEMBERS_MAX];
    let members = configuration.members.iter();
    let positions = members.filter_map(|(id, seat)| reached(*id, seat.incarnation));
    for (slot, position) in highest.iter_mut().zip(positions) {
        *slot = position;
    }
    highest.sort_unstable_by(|a, b| b.cmp(a));
    let index = (configuration.quorum as usize).saturating_sub(1);
    let index = index.saturating_sub(usize::from(mistake::is_on("one-vote-less")));
    highest.get(index).copied().unwrap_or(Position::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paxos::Seat;
    use std::collections::BTreeMap;

    fn configuration(size: u64) -> Configuration {
        Configuration::majority(1, (1..=size).map(|id| (ReplicaId(id), Seat::default())))
    }

    #[test]
    fn a_majority_is_more_than_half() {
        for (size, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let configuration = configuration(size);
            assert_eq!(configuration.quorum, quorum);
            assert!(configuration.is_sound());
            let first = |count: u32| move |id: ReplicaId, _| id.0 <= u64::from(count);
            assert!(is_reached(&configuration, first(quorum)));
            assert!(!is_reached(&configuration, first(quorum - 1)));
        }
    }

    #[test]
    fn a_quorum_of_half_or_of_more_than_there_are_is_not_sound() {
        for (size, quorum) in [(2, 1), (4, 2), (6, 3), (3, 4), (1, 0)] {
            let unsound = Configuration {
                quorum,
                ..configuration(size)
            };
            assert!(!unsound.is_sound(), "{quorum} of {size}");
        }
    }

    #[test]
    fn the_watermark_is_what_a_quorum_has() {
        let five = configuration(5);
        let mut matched: BTreeMap<_, _> = [(1, 9), (2, 7), (3, 5), (4, 1), (5, 0)]
            .map(|(id, at)| (ReplicaId(id), Position(at)))
            .into();
        let reached = |matched: &BTreeMap<ReplicaId, Position>| {
            watermark(&five, |id, _| matched.get(&id).copied())
        };
        assert_eq!(reached(&matched), Position(5));
        matched.insert(ReplicaId(99), Position(100));
        assert_eq!(reached(&matched), Position(5), "strangers do not count");
        matched.retain(|id, _| id.0 <= 2);
        assert_eq!(reached(&matched), Position::ZERO);
    }
}
