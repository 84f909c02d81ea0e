//! What a replica is, and what it tells about itself and its peers.

use super::ballot::{Incarnation, ReplicaId};
use super::entry::Position;
use crate::base::clock::Instant;

/// Whether a replica takes part. The numbers are those of the Mesos log, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not initialised: knows nothing, does nothing.
    Empty,
    /// Initialised, and waits for the ensemble to be formed: does not vote yet.
    Starting,
    /// Learns what it has missed, and does not vote.
    Recovering,
    /// Votes.
    Voting,
}

impl Status {
    /// What the Mesos log calls it, for operators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "EMPTY",
            Self::Starting => "STARTING",
            Self::Recovering => "RECOVERING",
            Self::Voting => "VOTING",
        }
    }
}

/// What a leader knows about another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub id: ReplicaId,
    /// In which life it was last heard.
    pub incarnation: Incarnation,
    /// Whether its votes count in the configuration that is in force.
    pub is_member: bool,
    /// Whether it says that it votes.
    pub is_voting: bool,
    /// Everything up to here has been sent.
    pub sent: Position,
    /// Everything up to here is durable there.
    pub matched: Position,
    /// What it has learned.
    pub learned: Position,
    /// When it was last heard; [`Instant::ZERO`] if never in this term.
    pub heard: Instant,
}
