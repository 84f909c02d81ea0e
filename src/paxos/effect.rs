//! What a replica asks of its owner.

use super::ballot::{Ballot, ReplicaId};
use super::entry::{Configuration, Entry, Position, Run};
use super::message::Message;
use super::replica::Status;
use std::sync::Arc;

/// Orders requests for durability. Rises by one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One durable fact. Later records of the same kind replace earlier ones, but for runs: every run
/// is kept until it is truncated, and at each position the highest ballot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The ensemble this replica belongs to.
    Configuration(Arc<Configuration>),
    /// Entries below this position may be forgotten.
    First(Position),
    /// Entries up to here are chosen and held.
    Learned(Position),
    /// No lower ballot is accepted.
    Promise(Ballot),
    /// Entries accepted.
    Run(Run),
    /// Whether the replica votes.
    Status(Status),
}

/// One request to the owner. They are carried out in the order they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This replica's term has ended. What it had in flight may or may not be chosen.
    Discarded {
        /// The term.
        ballot: Ballot,
    },
    /// This replica leads: every earlier entry has been given as `Learned` before.
    Leading {
        /// The term.
        ballot: Ballot,
    },
    /// An entry is chosen. Given once, in order, without gaps but for `Skipped`.
    Learned(Entry),
    /// Make all of `records` durable, or none, after those of lower tickets; then call
    /// `handle_persisted`. Failing is final: the owner stops.
    Persist {
        /// Names the request.
        ticket: Ticket,
        /// What to keep.
        records: Vec<Record>,
    },
    /// Read entries that are durable and learned from `from` on, as many as are convenient; then
    /// call `handle_read`.
    Read {
        /// For whom: handed back.
        peer: ReplicaId,
        /// The first position wanted.
        from: Position,
        /// The last position that may be given.
        through: Position,
    },
    /// Send a message. It may be lost, doubled, delayed or overtaken.
    Send {
        /// To whom.
        to: ReplicaId,
        /// What.
        message: Message,
    },
    /// Entries below `first` are gone everywhere; the next `Learned` is at `first`.
    Skipped {
        /// The first position that is kept.
        first: Position,
    },
    /// The status has changed.
    Status(Status),
}
