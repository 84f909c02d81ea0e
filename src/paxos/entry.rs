//! What the log holds: positions, values, runs, and the ensemble's configuration.

use super::ballot::{Ballot, Incarnation, Member, ReplicaId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A place in the log. The first is 1; 0 stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before every entry.
    pub const ZERO: Self = Self(0);
    /// The first entry of a log.
    pub const FIRST: Self = Self(1);

    /// The position behind this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; [`Position::ZERO`] has none and gives itself.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position `count` behind this one.
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who votes, and how many of them make a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Names the ensemble; a replica of another one is refused.
    pub cluster: u128,
    /// What every member can read: nothing newer is written.
    pub feature_level: u32,
    /// The voters, each in the incarnation whose votes count.
    pub members: BTreeMap<ReplicaId, Incarnation>,
    /// How many voters decide. More than half of them.
    pub quorum: u32,
}

impl Configuration {
    /// The smallest majority of `members`.
    pub fn majority(cluster: u128, members: &[Member]) -> Self {
        let members: BTreeMap<_, _> = members.iter().map(|m| (m.id, m.incarnation)).collect();
        let quorum = u32::try_from(members.len() / 2 + 1).unwrap_or(u32::MAX);
        Self {
            cluster,
            feature_level: 1,
            members,
            quorum,
        }
    }

    /// Whether `member` votes in the incarnation it has.
    pub fn counts(&self, member: Member) -> bool {
        self.members.get(&member.id) == Some(&member.incarnation)
    }
}

/// What one position holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The owner's bytes.
    Append(Arc<[u8]>),
    /// The ensemble as it is from here on.
    Configure(Arc<Configuration>),
    /// Nothing: fills a hole, or marks the start of a term.
    Nop,
    /// Entries below `to` are not needed any more.
    Truncate {
        /// The first position that is kept.
        to: Position,
    },
}

impl Value {
    /// About how many bytes the value takes in memory.
    pub fn size_bytes(&self) -> usize {
        32 + match self {
            Self::Append(bytes) => bytes.len(),
            Self::Configure(configuration) => 32 + configuration.members.len() * 16,
            Self::Nop | Self::Truncate { .. } => 0,
        }
    }
}

/// A value at its position, with the ballot it was accepted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub position: Position,
    /// Under which ballot.
    pub ballot: Ballot,
    /// What.
    pub value: Value,
}

/// Values at consecutive positions under one ballot. Never empty once stored or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The ballot of all of them.
    pub ballot: Ballot,
    /// Where the first value stands.
    pub first: Position,
    /// The values, one a position.
    pub values: Vec<Value>,
}

impl Run {
    /// Most values in one run. Bounds what has to be read to find the run that covers a position.
    pub const VALUES_MAX: usize = 1024;
    /// A run is closed when it has grown over this many bytes.
    pub const BYTES_SOFT: usize = 1 << 20;

    /// Where the last value stands.
    pub fn last(&self) -> Position {
        self.first.plus(self.values.len() as u64).before()
    }

    /// The entries of the run, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.values.iter().zip(0..).map(|(value, index)| Entry {
            position: self.first.plus(index),
            ballot: self.ballot,
            value: value.clone(),
        })
    }

    /// Cuts entries into the fewest runs: of one ballot, consecutive, bounded.
    pub fn collect(entries: impl IntoIterator<Item = Entry>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            let size = entry.value.size_bytes();
            match runs.last_mut() {
                Some(run)
                    if run.ballot == entry.ballot
                        && run.last().next() == entry.position
                        && run.values.len() < Self::VALUES_MAX
                        && bytes + size <= Self::BYTES_SOFT =>
                {
                    run.values.push(entry.value);
                    bytes += size;
                }
                _ => {
                    runs.push(Self {
                        ballot: entry.ballot,
                        first: entry.position,
                        values: vec![entry.value],
                    });
                    bytes = size;
                }
            }
        }
        runs
    }
}
