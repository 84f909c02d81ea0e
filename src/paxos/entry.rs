//! What the log holds: positions, values, runs, and the ensemble's configuration.

use super::ballot::{Ballot, Incarnation, Member, ReplicaId};
use super::quorum;
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

/// A member's place in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// The life whose votes count.
    pub incarnation: Incarnation,
    /// `host:port` where the member's peers reach it. Empty on a node that has none.
    pub address: Arc<str>,
}

/// Who votes, and how many of them make a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Names the ensemble; a replica of another one is refused.
    pub cluster: u128,
    /// What every member can read: nothing newer is written.
    pub feature_level: u32,
    /// The voters, each with the incarnation whose votes count.
    pub members: BTreeMap<ReplicaId, Seat>,
    /// How many voters decide. More than half of them.
    pub quorum: u32,
}

impl Configuration {
    /// Most members that a configuration may have.
    pub const MEMBERS_MAX: usize = 15;

    /// `seats` with the smallest majority of them as its quorum.
    pub fn majority(cluster: u128, seats: impl IntoIterator<Item = (ReplicaId, Seat)>) -> Self {
        let members: BTreeMap<_, _> = seats.into_iter().collect();
        let quorum = quorum::majority(members.len());
        Self {
            cluster,
            feature_level: 1,
            members,
            quorum,
        }
    }

    /// `member` alone, with no address.
    pub fn alone(cluster: u128, member: Member) -> Self {
        let seat = Seat {
            incarnation: member.incarnation,
            ..Seat::default()
        };
        Self::majority(cluster, [(member.id, seat)])
    }

    /// Whether `member` votes in the incarnation it has.
    pub fn counts(&self, member: Member) -> bool {
        let seat = self.members.get(&member.id);
        seat.is_some_and(|seat| seat.incarnation == member.incarnation)
    }

    /// Whether any two quorums share a member, and every quorum is one that the members can form.
    pub fn is_sound(&self) -> bool {
        let size = self.members.len();
        let quorum = self.quorum as usize;
        size <= Self::MEMBERS_MAX && quorum <= size && 2 * quorum > size
    }
}

/// A configuration and the entry that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// Where the entry stands.
    pub position: Position,
    /// What is in force behind it.
    pub configuration: Arc<Configuration>,
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
            Self::Configure(configuration) => 32 + configuration.members.len() * 64,
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
///
/// Cheap to clone: the record for the disk, the message for each peer and the event for the owner
/// share the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The ballot of all of them.
    pub ballot: Ballot,
    /// Where the first value stands.
    pub first: Position,
    /// The values, one a position.
    pub values: Arc<[Value]>,
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

    /// About how many bytes the values take in memory.
    pub fn size_bytes(&self) -> usize {
        self.values.iter().map(Value::size_bytes).sum()
    }

    /// The entries of the run, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.values.iter().zip(0..).map(|(value, index)| Entry {
            position: self.first.plus(index),
            ballot: self.ballot,
            value: value.clone(),
        })
    }

    /// The value at `position`, if the run has one there.
    pub fn at(&self, position: Position) -> Option<&Value> {
        let index = position.0.checked_sub(self.first.0)?;
        self.values.get(usize::try_from(index).ok()?)
    }

    /// The part of the run from `from` to `to`, both included; none if it has nothing there.
    pub fn part(&self, from: Position, to: Position) -> Option<Self> {
        if from <= self.first && to >= self.last() {
            return Some(self.clone());
        }
        let (from, to) = (from.max(self.first), to.min(self.last()));
        if from > to {
            return None;
        }
        let start = usize::try_from(from.0 - self.first.0).ok()?;
        let end = usize::try_from(to.0 - self.first.0).ok()?;
        Some(Self {
            ballot: self.ballot,
            first: from,
            values: self.values.get(start..=end)?.into(),
        })
    }

    /// Cuts values at consecutive positions into the fewest runs.
    pub fn cut(ballot: Ballot, first: Position, values: Vec<Value>) -> Vec<Self> {
        let bytes: usize = values.iter().map(Value::size_bytes).sum();
        if (1..=Self::VALUES_MAX).contains(&values.len()) && bytes <= Self::BYTES_SOFT {
            return vec![Self {
                ballot,
                first,
                values: values.into(),
            }];
        }
        let entries = values.into_iter().zip(first.0..).map(|(value, at)| Entry {
            position: Position(at),
            ballot,
            value,
        });
        Self::collect(entries)
    }

    /// Cuts entries into the fewest runs: of one ballot, consecutive, bounded.
    pub fn collect(entries: impl IntoIterator<Item = Entry>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut head = (Ballot::ZERO, Position::ZERO);
        let mut bytes = 0;
        let mut close = |(ballot, first): (Ballot, Position), values: &mut Vec<Value>| {
            if !values.is_empty() {
                runs.push(Self {
                    ballot,
                    first,
                    values: values.drain(..).collect(),
                });
            }
        };
        for entry in entries {
            let size = entry.value.size_bytes();
            let continues = head.0 == entry.ballot
                && head.1.plus(values.len() as u64) == entry.position
                && values.len() < Self::VALUES_MAX
                && bytes + size <= Self::BYTES_SOFT;
            if !continues {
                close(head, &mut values);
                head = (entry.ballot, entry.position);
                bytes = 0;
            }
            values.push(entry.value);
            bytes += size;
        }
        close(head, &mut values);
        runs
    }
}
