//! Who takes part, and the numbers that order coordinators.

use std::fmt;

/// Names a replica for its whole life. Random, made by `initialize`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Counts how often a replica has lost its state and come back. What an older incarnation
/// acknowledged does not count any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u32);

/// A replica in one of its incarnations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Which replica.
    pub id: ReplicaId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// The number of a coordinator's term. Unique to its replica; ordered by round first.
///
/// No two terms that lead have the same round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Rises with every election.
    pub round: u64,
    /// Whose ballot it is.
    pub replica: ReplicaId,
}

impl Ballot {
    /// Below every ballot that a coordinator can have.
    pub const ZERO: Self = Self {
        round: 0,
        replica: ReplicaId(0),
    };

    /// Whether it is nobody's: it says where the rounds of a new log begin, and binds nobody, for no replica
    /// can have been promised it.
    pub const fn is_nobodys(self) -> bool {
        self.replica.0 == 0
    }

    /// What is promised by whoever has promised this ballot and now promises another.
    pub fn and_promise(self, other: Self) -> Self {
        if self.is_nobodys() && !other.is_nobodys() {
            // The rounds of its own log are not those of the ensemble that it has been taken into.
            return other;
        }
        self.max(other)
    }

    /// The lowest ballot of `replica` that is above this one.
    ///
    /// # Panics
    ///
    /// If 2^64 elections have been held.
    pub fn above(self, replica: ReplicaId) -> Self {
        let round = self.round.checked_add(1);
        Self {
            round: round.expect("fewer than 2^64 elections are ever held"),
            replica,
        }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.replica)
    }
}
