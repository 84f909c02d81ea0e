//! Counting votes.

use super::ballot::ReplicaId;
use super::entry::{Configuration, Position};
use std::collections::BTreeMap;

/// Whether `voters`, all of whom count, are enough.
pub(super) fn is_reached(configuration: &Configuration, voters: usize) -> bool {
    voters >= configuration.quorum as usize
}

/// The highest position that a quorum has reached, or zero if too few have reported.
pub(super) fn watermark(
    configuration: &Configuration,
    matched: &BTreeMap<ReplicaId, Position>,
) -> Position {
    let mut reached: Vec<Position> = configuration
        .members
        .keys()
        .filter_map(|id| matched.get(id).copied())
        .collect();
    reached.sort_unstable_by(|a, b| b.cmp(a));
    let index = (configuration.quorum as usize).saturating_sub(1);
    reached.get(index).copied().unwrap_or(Position::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paxos::{Incarnation, Member};

    fn configuration(size: u64) -> Configuration {
        let members: Vec<Member> = (1..=size)
            .map(|id| Member {
                id: ReplicaId(id),
                incarnation: Incarnation(0),
            })
            .collect();
        Configuration::majority(1, &members)
    }

    #[test]
    fn a_majority_is_more_than_half() {
        for (size, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            assert_eq!(configuration(size).quorum, quorum);
            let needed = quorum as usize;
            assert!(is_reached(&configuration(size), needed));
            assert!(!is_reached(&configuration(size), needed - 1));
        }
    }

    #[test]
    fn the_watermark_is_what_a_quorum_has() {
        let five = configuration(5);
        let mut matched: BTreeMap<_, _> = [(1, 9), (2, 7), (3, 5), (4, 1), (5, 0)]
            .map(|(id, at)| (ReplicaId(id), Position(at)))
            .into();
        assert_eq!(watermark(&five, &matched), Position(5));
        matched.insert(ReplicaId(99), Position(100));
        assert_eq!(
            watermark(&five, &matched),
            Position(5),
            "strangers do not count"
        );
        matched.retain(|id, _| id.0 <= 2);
        assert_eq!(watermark(&five, &matched), Position::ZERO);
    }
}
